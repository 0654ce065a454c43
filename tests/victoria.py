#!/usr/bin/env python3
"""A real OTLP time-series database, VictoriaMetrics, accounts for a pod what the kernel counted, through restarts of the agent.

    tests/victoria.py [AGENT]    as anybody; AGENT is target/debug/netns-agent by default

Debian's package of VictoriaMetrics is unpacked beside the system, once."""
import json, os, pathlib, signal, socket, subprocess, sys, time, urllib.parse, urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "netns-agent-tools"
DATABASE = CACHE / "victoria-metrics"
URL = "http://127.0.0.1:8428"
POD = "cni-0b1c2d3e-aaaa-bbbb-cccc-0123456789ab"
# 1,000 bytes of payload with the headers of UDP, IPv4 and Ethernet.
DATAGRAM = 1_042


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def wait(what, limit, met):
    end = time.monotonic() + limit
    while not (value := met()):
        assert time.monotonic() < end, f"not within {limit} s: {what}"
        time.sleep(0.2)
    return value


def query(expression):
    """The values of an instant query, now."""
    url = f"{URL}/api/v1/query?" + urllib.parse.urlencode({"query": expression, "nocache": 1})
    with urllib.request.urlopen(url) as answer:
        return [float(series["value"][1]) for series in json.load(answer)["data"]["result"]]


def is_ready():
    try:
        return urllib.request.urlopen(f"{URL}/health").status == 200
    except OSError:
        return False


def counted():
    """Bytes that the pod has received, as the kernel counts."""
    links = json.loads(run("ip", "-netns", POD, "-json", "-statistics", "link", "show", "eth0"))
    return links[0]["stats64"]["rx"]["bytes"]


def send(datagrams):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(datagrams):
            sender.sendto(bytes(1_000), ("10.1.0.2", 9))


def add_pod(results, name):
    run("ip", "netns", "add", POD)
    run("ip", "link", "add", "host0", "type", "veth", "peer", "name", "eth0", "netns", POD)
    # A known neighbour, and no IPv6: hardly anything but the datagrams is carried.
    run("ip", "link", "set", "host0", "up", "addrgenmode", "none")
    run("ip", "-netns", POD, "link", "set", "eth0", "up", "addrgenmode", "none", "address", "02:00:00:00:00:02")
    run("ip", "address", "add", "10.1.0.1/24", "dev", "host0")
    run("ip", "-netns", POD, "address", "add", "10.1.0.2/24", "dev", "eth0")
    run("ip", "neighbour", "add", "10.1.0.2", "lladdr", "02:00:00:00:00:02", "dev", "host0", "nud", "permanent")
    interfaces = [{"name": "host0"}, {"name": "eth0", "mac": "02:00:00:00:00:02", "sandbox": f"/var/run/netns/{POD}"}]
    result = {"cniVersion": "1.0.0", "interfaces": interfaces, "ips": [{"interface": 1, "address": "10.1.0.2/24"}]}
    arguments = [["K8S_POD_NAMESPACE", "shop"], ["K8S_POD_NAME", name], ["K8S_POD_UID", f"uid-of-{name}"]]
    cache = {"kind": "cniCacheV1", "containerId": "c0", "ifName": "eth0", "networkName": "net", "cniArgs": arguments, "result": result}
    (results / "net-c0-eth0").write_text(json.dumps(cache))


class Agent:
    def __init__(self, results, *more):
        program = sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/debug/netns-agent"
        options = ["--otlp-endpoint", f"{URL}/opentelemetry", "--export-interval", "1s", "--cni-cache-dir", results]
        self.process = subprocess.Popen([program, "run", "--node-name", "node-1", *options, *more])

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(20)


def main():
    results = pathlib.Path("/run/results")
    results.mkdir()
    database = DATABASE / "usr/bin/victoria-metrics"
    flags = ["-httpListenAddr=127.0.0.1:8428", "-storageDataPath=/run/data", "-opentelemetry.usePrometheusNaming",
             "-search.latencyOffset=0s", "-loggerLevel=ERROR", "-search.disableCache"]
    server = subprocess.Popen([database, *flags])
    try:
        wait("VictoriaMetrics answers", 30, is_ready)
        new_pod(results)
        restarts(results)
    finally:
        server.terminate()
        server.wait()
    print("the accounts of VictoriaMetrics are the kernel's")


def received(pod):
    return f'k8s_pod_network_io_bytes_total{{k8s_pod_name="{pod}",network_io_direction="receive"}}'


def is_seen(pod):
    """Whether the last point of a pod has all that the kernel has counted."""
    return lambda: query(received(pod)) == [counted()]


def new_pod(results):
    """The agent is there first: the whole life of a pod is in the increase, and the series end with the pod."""
    agent, series = Agent(results), received("web-0")
    wait("the agent exports", 20, lambda: query("count({__name__=~'netns_agent.*'})"))
    add_pod(results, "web-0")
    for _ in range(3):
        send(100)
        time.sleep(1.5)
    send(50)
    total = counted()
    assert total >= 350 * DATAGRAM, total
    run("ip", "netns", "delete", POD)
    wait("the last point has the last datagram", 10, lambda: query(f"last_over_time({series}[5m])") == [total])
    # increase_pure counts from zero: the pod had carried something before its first export.
    increase = query(f"increase_pure({series}[10m])")
    assert increase == [total], f"an increase of {increase}, and the kernel counted {total}"
    for ended in (series, 'k8s_pod_network_interface_up{k8s_pod_name="web-0"}'):
        wait(f"the series ends with the pod: {ended}", 10, lambda: query(ended) == [])
    agent.end()
    (results / "net-c0-eth0").unlink()


def restarts(results):
    """A restart of the agent counts nothing twice, and what was carried meanwhile once."""
    add_pod(results, "web-1")
    send(1_000)
    began, before = time.time(), counted()
    agent = Agent(results)
    wait("a base", 20, is_seen("web-1"))
    for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        send(100)
        wait("the traffic of a run", 10, is_seen("web-1"))
        agent.end(how)
        send(10)
        agent = Agent(results)
        wait("the traffic between two runs", 20, is_seen("web-1"))
    send(7)
    wait("the traffic at the end", 10, is_seen("web-1"))
    carried = counted() - before
    assert carried >= 337 * DATAGRAM, carried
    window = int(time.time() - began) + 1
    # increase begins with the first export: what the pod had carried before the agent is nobody's.
    increase = query(f"increase({received('web-1')}[{window}s])")
    assert increase == [carried], f"an increase of {increase} in {window} s, and the pod received {carried}"
    agent.end()
    run("ip", "netns", "delete", POD)


if __name__ == "__main__":
    if "VICTORIA_INSIDE" in os.environ:
        run("mount", "-t", "tmpfs", "tmpfs", "/run")
        run("ip", "link", "set", "lo", "up")
        main()
    else:
        subprocess.run([ROOT / "tests/debian/unpack.sh", DATABASE, "trixie", "amd64", "victoria-metrics"], check=True)
        isolated = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        os.environ["VICTORIA_INSIDE"] = "1"
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        os.execvp("unshare", [*isolated, sys.executable, __file__, *sys.argv[1:]])
