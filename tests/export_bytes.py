#!/usr/bin/env python3
"""Measures the bytes of an OTLP export, compressed and not, for nodes with so many pods of one interface:

    unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc tests/export_bytes.py AGENT PODS...

The pods are namespaces with CNI results, one veth each; host ends are left out, as by default."""
import http.server, json, pathlib, subprocess, sys, threading, time


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes exports over HTTP and keeps their sizes."""
    requests = []
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.requests.append((time.monotonic(), len(body), self.headers.get("content-encoding")))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def batch(lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def add_pods(numbers):
    name = "cni-5b1f0a00-0000-4000-8000-{:012d}".format
    batch(f"netns add {name(n)}" for n in numbers)
    batch(f"link add veth{n} type veth peer name eth0 netns {name(n)}" for n in numbers)
    for n in numbers:
        pod, uid = f"web-6b5f7c9d8f-{n:05x}", f"6b1c0d6c-2b1a-4777-8888-{n:012d}"
        result = {"kind": "cniCacheV1", "containerId": f"{n:064x}", "ifName": "eth0", "networkName": "k8s-pod-network",
                  "cniArgs": [["K8S_POD_NAMESPACE", f"team-{n % 20}"], ["K8S_POD_NAME", pod], ["K8S_POD_UID", uid]],
                  "result": {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "sandbox": f"/run/netns/{name(n)}"}],
                             "ips": [{"interface": 0, "address": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}/16"}]}}
        pathlib.Path(f"/run/cni/k8s-pod-network-{n:064x}-eth0").write_text(json.dumps(result))


def export(agent, compression):
    """Bytes and requests of one export of all pods, the third: all series are known by then."""
    del Receiver.requests[:]
    process = subprocess.Popen([agent, "run", "--netns-dir", "/run/netns", "--cni-cache-dir", "/run/cni", "--otlp-endpoint", "http://127.0.0.1:4318",
                                "--otlp-protocol", "http/protobuf", "--otlp-compression", compression, "--export-interval", "10s",
                                "--node-name", "worker-1.example", "--admin-address", ""], stderr=subprocess.PIPE, text=True)
    try:
        exports = []
        end = time.monotonic() + 180
        while time.monotonic() < end and len(exports) < 4:
            time.sleep(1)
            exports, last = [], None
            for at, size, encoding in list(Receiver.requests):
                assert (encoding == "gzip") == (compression == "gzip"), encoding
                # The requests of an export follow each other.
                if last is None or at - last > 4:
                    exports.append([0, 0])
                exports[-1][0] += size
                exports[-1][1] += 1
                last = at
        return exports[2]
    finally:
        process.terminate()
        process.communicate(timeout=60)


def main():
    agent, counts = sys.argv[1], sorted(map(int, sys.argv[2:]))
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    pathlib.Path("/run/netns").mkdir()
    pathlib.Path("/run/cni").mkdir()
    batch(["link set lo up"])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 4318), Receiver)
    # An agent that ends cuts its connection.
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = 0
    for count in counts:
        add_pods(range(made, count))
        made = count
        for compression in ("gzip", "none"):
            size, requests = export(agent, compression)
            print(f"{count} pods, {compression}: {size} bytes in {requests} requests, {size / count:.0f} bytes a pod", flush=True)


if __name__ == "__main__":
    main()
