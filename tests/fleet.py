#!/usr/bin/env python3
"""Measures what many agents ask of one API server and send to one receiver; docs/fleet.md has the figures.

    tests/fleet.py [NODES] [PODS]     default: 6 nodes of 110 pods, each node in a user and network namespace of its own

Needs kube-apiserver (LAB_BIN, as tests/cluster.sh builds it) and etcd, but no root. The API server is a real one; a
relay in front of it counts bytes by node and can cut all connections. The receiver speaks OTLP over HTTP.
"""
import collections, gzip, http.server, json, os, re, socket, ssl, subprocess, sys, threading, time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AGENT = os.environ.get("AGENT", str(Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/netns-agent"))
LAB_BIN = Path(os.environ.get("LAB_BIN", Path(os.environ.get("TMPDIR", "/tmp")) / "k8s-lab-bin"))
HOST, SECURE, RELAY, OTLP = "10.99.0.1", 16443, 6443, 4318
WORK = Path("/run/fleet")
TLS = ssl._create_unverified_context()

# A node: waits for its NIC, makes pods as a container runtime leaves them, says so, then becomes the agent.
NODE = r"""
set -e
kubeconfig=$(cat "$KUBECONFIG_FILE")
mount -t tmpfs tmpfs /run
echo "$kubeconfig" >/run/kubeconfig
mkdir -p /run/netns /run/cni
read -r _
ip link set lo up
ip address add 10.99.$((NODE / 200 + 1)).$((NODE % 200 + 1))/16 dev eth0
ip link set eth0 up
n=0
while [ $n -lt $PODS ]; do
    echo "netns add cni-$n"
    echo "link add veth$n type veth peer name eth0 netns cni-$n"
    echo "link set veth$n up"
    printf '{"kind":"cniCacheV1","containerId":"c%s","ifName":"eth0","networkName":"cbr0","cniArgs":[["K8S_POD_NAMESPACE","default"],["K8S_POD_NAME","pod-%s-%s"]],"result":{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/run/netns/cni-%s"}]}}' $n $NODE $n $n >/run/cni/cbr0-c$n-eth0
    n=$((n + 1))
done | ip -batch -
echo made
exec >&2
exec "$AGENT" run --netns-dir /run/netns --cni-cache-dir /run/cni --kubeconfig /run/kubeconfig --node-name node-$NODE \
    --pod-labels 'app' --otlp-endpoint http://10.99.0.1:4318 --export-interval 15s --admin-address ''
"""


def request(path, body=None, method=None):
    data = json.dumps(body).encode() if body is not None else None
    asked = urllib.request.Request(f"https://127.0.0.1:{SECURE}{path}", data, method=method,
                                   headers={"Authorization": "Bearer fleet", "Content-Type": "application/json"})
    with urllib.request.urlopen(asked, context=TLS, timeout=60) as answer:
        return answer.read().decode()


def until(limit, ask, what):
    deadline = time.monotonic() + limit
    while True:
        try:
            if found := ask():
                return found
        except OSError:
            pass
        assert time.monotonic() < deadline, f"not within {limit} s: {what}"
        time.sleep(0.2)


def until_all(limit, count, whole, what):
    """Waits as long as the count grows at least once within the limit: many nodes need their time on few processors."""
    best, deadline = 0, time.monotonic() + limit
    while (found := count()) < whole:
        if found > best:
            best, deadline = found, time.monotonic() + limit
        assert time.monotonic() < deadline, f"{what}: {best} of {whole}, and no further one for {limit} s"
        time.sleep(0.2)


class Relay(threading.Thread):
    """Forwards connections of agents to the API server, counts them, and can refuse them."""

    def __init__(self):
        super().__init__(daemon=True)
        self.connections, self.received, self.sent = collections.Counter(), collections.Counter(), collections.Counter()
        self.times, self.open, self.refusing = [], set(), False
        self.listener = socket.create_server((HOST, RELAY), backlog=512)

    def run(self):
        while True:
            client, (node, _) = self.listener.accept()
            if self.refusing:
                client.close()
                continue
            self.connections[node] += 1
            self.times.append(time.monotonic())
            server = socket.create_connection(("127.0.0.1", SECURE))
            self.open |= {client, server}
            for source, sink, count in ((client, server, self.sent), (server, client, self.received)):
                threading.Thread(target=self.copy, args=(source, sink, count, node), daemon=True).start()

    def copy(self, source, sink, count, node):
        try:
            while data := source.recv(65536):
                count[node] += len(data)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        self.refusing = True
        for end in self.open:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.open.clear()


def messages(data, number):
    """The nested messages with a field number in a message of protobuf."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
    while at < len(data):
        key = varint()
        if key & 7 == 0:
            varint()
        else:
            size = {1: 8, 5: 4}.get(key & 7) or varint()
            if key >> 3 == number and key & 7 == 2:
                yield data[at : at + size]
            at += size


def points_in(data):
    """Count of data points in an ExportMetricsServiceRequest: gauges (5) and sums (7)."""
    metrics = (metric for resource in messages(data, 1) for scope in messages(resource, 2) for metric in messages(scope, 2))
    return sum(1 for metric in metrics for kind in (5, 7) for values in messages(metric, kind) for _ in messages(values, 1))


class Server(http.server.ThreadingHTTPServer):
    # All agents can connect at once; five, the default, make the others wait for a retransmission.
    request_queue_size = 1024


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes in OTLP and keeps (time, node, bytes, bytes after gzip, points) of each request with metrics."""
    protocol_version, requests = "HTTP/1.1", []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/metrics"):
            plain = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
            self.requests.append((time.monotonic(), self.client_address[0], len(plain), len(gzip.compress(plain, 6)), points_in(plain)))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def start_api_server():
    subprocess.run(["openssl", "genrsa", "-out", WORK / "key", "2048"], check=True, capture_output=True)
    (WORK / "tokens").write_text('fleet,fleet,fleet,"system:masters"\n')
    (WORK / "kubeconfig").write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "fleet",
        "clusters": [{"name": "fleet", "cluster": {"server": f"https://{HOST}:{RELAY}", "insecure-skip-tls-verify": True}}],
        "users": [{"name": "fleet", "user": {"token": "fleet"}}],
        "contexts": [{"name": "fleet", "context": {"cluster": "fleet", "user": "fleet"}}]}))
    log = open(WORK / "log", "w")
    etcd = subprocess.Popen(["etcd", "--data-dir", WORK / "etcd", "--unsafe-no-fsync", "--log-level", "error"], stdout=log, stderr=log)
    server = subprocess.Popen([
        LAB_BIN / "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", f"--secure-port={SECURE}", f"--cert-dir={WORK}/certs",
        f"--token-auth-file={WORK}/tokens", "--authorization-mode=AlwaysAllow", "--disable-admission-plugins=ServiceAccount",
        f"--service-account-key-file={WORK}/key", f"--service-account-signing-key-file={WORK}/key", "--service-account-issuer=https://fleet",
        "--service-cluster-ip-range=10.0.0.0/24", f"--advertise-address={HOST}", "--event-ttl=1h"], stdout=log, stderr=log)
    until(120, lambda: request("/readyz") == "ok", "the API server is ready")
    return [etcd, server]


def pod(node, number):
    """A pod of about the usual size: two containers with probes, resources and variables."""
    container = {"name": "main", "image": "registry.example/shop/web:1.27.3", "ports": [{"containerPort": 8080}],
                 "env": [{"name": f"SETTING_{n}", "value": f"value of setting {n}"} for n in range(12)],
                 "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                 "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}}, "livenessProbe": {"httpGet": {"path": "/live", "port": 8080}}}
    return {"metadata": {"name": f"pod-{node}-{number}", "labels": {"app": f"app-{number % 20}", "pod-template-hash": "5b1f0a6c9d"}},
            "spec": {"nodeName": f"node-{node}", "containers": [container, {**container, "name": "sidecar", "ports": []}]}}


def create_pods(nodes, pods):
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda at: request("/api/v1/namespaces/default/pods", pod(*at)), ((node, n) for node in nodes for n in range(pods))))


def start_node(node, pods):
    environment = {**os.environ, "NODE": str(node), "PODS": str(pods), "AGENT": AGENT, "KUBECONFIG_FILE": str(WORK / "kubeconfig")}
    log = open(WORK / f"node-{node}.log", "w")
    started = subprocess.Popen(["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", NODE], env=environment,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    own = os.readlink("/proc/self/ns/net")
    until(60, lambda: os.readlink(f"/proc/{started.pid}/ns/net") != own, "the node has a namespace")
    subprocess.run(["ip", "link", "add", f"node{node}", "up", "master", "br0", "type", "veth", "peer", "name", "eth0", "netns", str(started.pid)], check=True)
    started.stdin.write("go\n")
    started.stdin.close()
    assert started.stdout.readline() == "made\n", f"node {node} cannot be made: {(WORK / f'node-{node}.log').read_text()[-500:]}"
    return started


def requests_of_agents():
    """Requests for pods and workloads at the API server by verb and resource, without those of this script."""
    found = collections.Counter()
    for labels, value in re.findall(r"^apiserver_request_total\{(.*?)\} (\S+)$", request("/metrics"), flags=re.M):
        labels = dict(re.findall(r'(\w+)="(.*?)"', labels))
        if labels["verb"] in ("LIST", "WATCH", "GET") and labels["group"] + labels["resource"] in ("pods", "appsreplicasets", "batchjobs"):
            # Requests of the API server to itself come over its loopback client, before the agents start.
            found[f"{labels['verb']} {labels['resource']}"] += int(float(value))
    return found


def difference(after, before):
    return {key: after[key] - before[key] for key in after if after[key] != before[key]}


def median(values):
    return sorted(values)[len(values) // 2]


def inside(nodes, pods):
    for command in ("mount -t tmpfs tmpfs /run", f"mkdir -p {WORK}", "ip link set lo up", "ip link add br0 type bridge",
                    f"ip address add {HOST}/16 dev br0", "ip link set br0 up"):
        subprocess.run(command.split(), check=True)
    running = start_api_server()
    relay = Relay()
    relay.start()
    server = Server((HOST, OTLP), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        create_pods(range(nodes), pods)
        version = json.loads(request("/version"))["gitVersion"]
        print(f"{nodes} nodes, {pods} pods each, API server {version}, {len(json.dumps(json.loads(request('/api/v1/namespaces/default/pods/pod-0-0'))))} bytes of JSON per pod")
        measure(nodes, pods, relay, running)
    except BaseException:
        # The shortest log is of the node that came least far.
        logs = sorted(WORK.glob("node-*.log"), key=lambda log: log.stat().st_size)
        for log in (*logs[:1], WORK / "log"):
            print(f"{log.name}:", log.read_text()[-2000:], sep="\n", file=sys.stderr)
        raise
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


def measure(nodes, pods, relay, running):
    before = requests_of_agents()
    begun = time.monotonic()
    # A few at a time: all namespaces of the machine are made under one lock of the kernel.
    with ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        for agent in pool.map(lambda node: start_node(node, pods), range(nodes)):
            running.append(agent)
    print(f"{nodes * pods} namespaces made and all agents started after {time.monotonic() - begun:.0f} s", flush=True)
    per_node = lambda: collections.Counter(node for _, node, *_ in list(Receiver.requests))
    until_all(120, lambda: sum(count >= 2 for count in per_node().values()), nodes, "nodes with two exports")
    show("start", nodes, relay, difference(requests_of_agents(), before))
    # Quiet, for half a minute.
    marks, begun = snapshot(relay), time.monotonic()
    time.sleep(30)
    taken = [rest for moment, _, *rest in list(Receiver.requests) if moment > begun]
    for name, at in (("requests", None), ("bytes", 0), ("bytes after gzip", 1), ("data points", 2)):
        count = len(taken) if at is None else sum(rest[at] for rest in taken)
        print(f"export every 15 s, per node: {count / nodes / 2:.0f} {name}")
    show("half a minute without a change", nodes, relay, difference(requests_of_agents(), marks[0]), marks)

    # A tenth of the pods of each node is replaced.
    marks, replaced = snapshot(relay), max(1, pods // 10)
    with ThreadPoolExecutor(16) as pool:
        names = [(node, n) for node in range(nodes) for n in range(replaced)]
        list(pool.map(lambda at: request(f"/api/v1/namespaces/default/pods/pod-{at[0]}-{at[1]}?gracePeriodSeconds=0", method="DELETE"), names))
    create_pods(range(nodes), replaced)
    time.sleep(3)
    show(f"{replaced} of {pods} pods replaced", nodes, relay, difference(requests_of_agents(), marks[0]), marks)

    # An outage of half a minute.
    marks = snapshot(relay)
    relay.cut()
    time.sleep(30)
    relay.refusing, back = False, time.monotonic()
    relay.times.clear()
    until_all(120, lambda: sum(count > marks[1][node] for node, count in relay.connections.copy().items()), nodes, "agents that have connected again")
    time.sleep(5)
    show("an outage of 30 s", nodes, relay, difference(requests_of_agents(), marks[0]), marks)
    times = sorted(moment - back for moment in relay.times)
    busiest = max(sum(1 for other in times if moment <= other < moment + 1) for moment in times)
    print(f"after the outage: first connection after {times[0]:.1f} s, median {median(times):.1f} s, last {times[-1]:.1f} s, at most {busiest} within one second")


def snapshot(relay):
    return requests_of_agents(), collections.Counter(relay.connections), collections.Counter(relay.received), collections.Counter(relay.sent)


def show(phase, nodes, relay, requests, marks=None):
    zero = collections.Counter()
    _, connections, received, sent = marks or (zero, zero, zero, zero)
    of = lambda now, then: median([now[node] - then[node] for node in now]) if now else 0
    text = ", ".join(f"{count / nodes:.2f} {name}" for name, count in sorted(requests.items())) or "no request"
    print(f"{phase}, per node: {text}; {of(relay.connections, connections)} connections, {of(relay.sent, sent)} bytes sent and "
          f"{of(relay.received, received)} bytes received, TLS included", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(int(sys.argv[2]), int(sys.argv[3]))
    else:
        nodes, pods = (sys.argv[1:] + ["6", "110"][len(sys.argv) - 1:])[:2]
        # One instance for files and one for namespaces each; all programs of the user share the limit.
        instances = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
        assert 2 * int(nodes) + 16 <= instances, f"{nodes} agents need {2 * int(nodes)} instances of inotify: raise fs.inotify.max_user_instances, which is {instances}"
        assert (LAB_BIN / "kube-apiserver").exists(), f"{LAB_BIN}/kube-apiserver is missing: tests/cluster.sh builds it; or set LAB_BIN"
        command = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                   sys.executable, __file__, "--inside", nodes, pods]
        sys.exit(subprocess.run(command).returncode)
