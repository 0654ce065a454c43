"""Draws the dashboards into docs/dashboards: a node with pods and traffic, an agent, an OTLP receiver, and a Prometheus that
scrapes the agent. Runs in namespaces of its own; started by tests/dashboards.sh."""
import http.server, itertools, json, math, os, pathlib, socket, subprocess, tempfile, threading, time, urllib.request

from draw import LENGTH, draw

ROOT = pathlib.Path(__file__).resolve().parents[2]
NODE_SH = ROOT / "tests/page/node.sh"
API, PROMETHEUS, PAGE, RECEIVER = "127.0.0.1:6443", "127.0.0.1:9090", "127.0.0.1:9465", "127.0.0.1:4318"
# Number, namespace and name of each pod, its workload, and its share of the traffic.
PODS = [
    (0, "shop", "web-6b5f7c9d8f-q9z4m", ("ReplicaSet", "web-6b5f7c9d8f"), 6),
    (1, "shop", "web-6b5f7c9d8f-x7k2p", ("ReplicaSet", "web-6b5f7c9d8f"), 4),
    (2, "shop", "db-0", ("StatefulSet", "db"), 5),
    (3, "video", "transcode-0", ("StatefulSet", "transcode"), 9),
    (4, "infra", "dns-4kx9q", ("DaemonSet", "dns"), 2),
    (5, "batch", "import-zz7lq", ("Job", "import"), 7),
]


# Listens in a pod: accepts twenty connections, then none, and never reads its datagrams.
SERVER = """import socket, time
tcp, udp = socket.create_server(("", 80), backlog=1), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
udp.bind(("", 9))
accepted = [tcp.accept() for _ in range(20)]
time.sleep(1e6)"""


def node(*args):
    subprocess.run(["bash", NODE_SH, *map(str, args)], check=True, stdin=subprocess.DEVNULL)


def pod_list():
    def item(number, namespace, name, owner, _):
        kind, workload = owner
        labels = {"team": "a" if number % 2 else "b"} | ({"pod-template-hash": "6b5f7c9d8f"} if kind == "ReplicaSet" else {})
        return {"metadata": {"name": name, "namespace": namespace, "uid": f"5b1f0a00-0000-4000-8000-{number:012d}", "labels": labels,
                             "ownerReferences": [{"apiVersion": "batch/v1" if kind == "Job" else "apps/v1", "kind": kind, "name": workload, "uid": workload, "controller": True}]},
                "spec": {"nodeName": "node-1"},
                "status": {"phase": "Running", "podIP": f"10.244.0.{number + 2}", "podIPs": [{"ip": f"10.244.0.{number + 2}"}]}}
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": [item(*pod) for pod in PODS]}


class ApiServer(http.server.BaseHTTPRequestHandler):
    """Lists the pods; a watch brings nothing new."""

    def do_GET(self):
        if "watch=true" in self.path:
            threading.Event().wait()
        answer = {"major": "1", "minor": "30"} if self.path.startswith("/version") else pod_list()
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def kubeconfig(folder):
    file = folder / "kubeconfig"
    file.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": f"http://{API}"}}],
        "users": [{"name": "u", "user": {}}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))
    return file


def start_agent(folder):
    config = folder / "agent.yaml"
    config.write_text(json.dumps({
        "netns-dir": ["/run/netns"], "cni-cache-dir": ["/run/cni"], "kubeconfig": str(kubeconfig(folder)), "node-name": "node-1",
        "pod-labels": ["team"], "protocol-stats": True, "exclude-interfaces": ["lo"], "admin-address": PAGE,
        "otlp-endpoint": f"http://{RECEIVER}", "export-interval": "5s", "export-events": True, "prometheus-interfaces": "on",
        "metrics": ["interface.bandwidth.limit", "interface.carrier.changes"]}))
    return subprocess.Popen([os.environ["AGENT"], "run", "--config", config], stderr=open(folder / "agent.log", "w"))


def start_receiver(folder):
    return subprocess.Popen(["rotel-agent", "start", "--exporter", "blackhole", "--otlp-http-endpoint", RECEIVER,
                             "--otlp-grpc-endpoint", "127.0.0.1:4317"], stdout=open(folder / "receiver.log", "w"), stderr=subprocess.STDOUT)


def start_prometheus(folder):
    config = folder / "prometheus.yaml"
    config.write_text(json.dumps({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "netns-agent", "honor_labels": True,
                            "static_configs": [{"targets": [PAGE], "labels": {"node": "node-1", "instance": "node-1"}}]}]}))
    return subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={PROMETHEUS}",
                             "--log.level=error"], cwd=folder)


def until_ready(*urls):
    end = time.monotonic() + 60
    for url in urls:
        while True:
            try:
                urllib.request.urlopen(url, timeout=2).close()
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise SystemExit(f"scene.py: {url}: {error}")
                time.sleep(0.2)


def start_server(number):
    """A process of a pod, in the cgroup of a pod as far as the agent can tell."""
    namespace = f"cni-5b1f0a00-0000-4000-8000-{number:012d}"
    process = subprocess.Popen(["ip", "netns", "exec", namespace, "python3", "-c", SERVER], stdin=subprocess.DEVNULL)
    cgroup = pathlib.Path(f"/run/cgroup-{number}")
    cgroup.write_text(f"0::/kubepods/pod5b1f0a00-0000-4000-8000-{number:012d}/server\n")
    subprocess.run(["mount", "--bind", cgroup, f"/proc/{process.pid}/cgroup"], check=True)
    return process


def connect(number, connections):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((f"10.244.0.{number + 2}", 80))
    connections.append(client)


def traffic(seconds):
    """Packets to and from each pod, more and less of them; frames that a pod drops; links of a pod and of the node that
    flap."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    began, connections = time.monotonic(), []
    last = began
    for turn in itertools.count():
        now = time.monotonic()
        if now > began + seconds:
            return
        # A busy machine takes longer turns, which send more at once.
        passed, last, wave = now - last, now, 1.2 + math.sin((now - began) / 12)
        for number, _, _, _, share in PODS:
            packets = int(10 * share * wave * min(passed, 5)) + 1
            for _ in range(packets):
                out.sendto(b"\0" * 1000, (f"10.244.0.{number + 2}", 9))
            if turn % 3 == number % 3:
                node("talk", number, 2 * packets)
        connect(turn % len(PODS), connections)
        if turn % 12 == 10:
            node("lose", 3, 40)
        if turn % 20 in (8, 14):
            ip = ["ip", "-n", "cni-5b1f0a00-0000-4000-8000-000000000900", "link", "set", "net1"]
            subprocess.run([*ip, "down" if turn % 20 == 8 else "up"], check=True)
        if turn % 40 in (20, 24):
            subprocess.run(["ip", "link", "set", "br-lab", "down" if turn % 40 == 20 else "up"], check=True)
        time.sleep(1)


def main():
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    node("make", 0)
    for number, namespace, name, _, _ in PODS:
        node("pod", number, namespace, name)
    node("storage", 3, "video", "transcode-0")
    threading.Thread(target=http.server.ThreadingHTTPServer(("127.0.0.1", 6443), ApiServer).serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        started = [start_server(number) for number, *_ in PODS]
        started += [start_receiver(folder), start_agent(folder), start_prometheus(folder)]
        try:
            until_ready(f"http://{PAGE}/readyz", f"http://{PROMETHEUS}/-/ready")
            traffic(LENGTH + 10)
            end = time.time() - 1
            for file in sorted((ROOT / "deploy/grafana").glob("*.json")):
                draw(file, ROOT / f"docs/dashboards/{file.stem}.png", f"http://{PROMETHEUS}", end)
                print(f"docs/dashboards/{file.stem}.png")
        finally:
            for process in started:
                process.terminate()
                process.wait(20)


if __name__ == "__main__":
    main()
