"""A client of the CRI (runtime.v1.RuntimeService of Kubernetes' cri-api, api.proto), for the calls that a kubelet makes for a
sandbox. Field numbers are the specification's."""
import grpc

from agent import COMMAND_LIMIT


def varint(number):
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def message(*fields):
    """Fields are (number, value): a text, bytes of another message, or a number."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def entry(number, mapping):
    return [(number, message((1, key), (2, value))) for key, value in mapping.items()]


def first_text(data):
    """The first field of an answer, which is a text in each call used here."""
    assert data[:1] == b"\x0a", data[:20]
    length, shift, at = 0, 0, 1
    while True:
        byte, at = data[at], at + 1
        length, shift = length | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            return data[at:at + length].decode()


class Runtime:
    def __init__(self, socket):
        self.channel = grpc.insecure_channel(f"unix:{socket}")

    def call(self, method, request, timeout=COMMAND_LIMIT):
        return self.channel.unary_unary(f"/runtime.v1.RuntimeService/{method}")(request, timeout=timeout)

    def version(self):
        # VersionResponse: runtime_version is the third field.
        answer = self.call("Version", message((1, "v1")))
        fields, at = {}, 0
        while at < len(answer):
            number, length = answer[at] >> 3, answer[at + 1]
            fields[number], at = answer[at + 2:at + 2 + length].decode(), at + 2 + length
        return fields[3]

    def run_sandbox(self, namespace, name, uid, attempt=0, own_users=False, cgroup=""):
        """RunPodSandbox, which returns after CNI ADD; the answer is the id of the sandbox. `cgroup` is the parent of its cgroup."""
        mapping = message((1, 100_000), (2, 0), (3, 65_536))
        users = [(5, message((1, 0), (2, mapping), (3, mapping)))] if own_users else []
        labels = {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace, "io.kubernetes.pod.uid": uid}
        linux = message((1, cgroup), (2, message((1, message((1, 0), (2, 1), (3, 0), *users)))))
        config = message((1, message((1, name), (2, uid), (3, namespace), (4, attempt))), (2, name), (3, "/tmp/logs"),
                         *entry(6, labels), *entry(7, {"team": "shop"}), (8, linux))
        return first_text(self.call("RunPodSandbox", message((1, config))))

    def end_sandbox(self, sandbox):
        """StopPodSandbox with CNI DEL, and RemovePodSandbox."""
        self.call("StopPodSandbox", message((1, sandbox)))
        self.call("RemovePodSandbox", message((1, sandbox)))
