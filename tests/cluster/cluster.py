"""Views of the cluster that are independent of the agent: kubectl, helm, the node's own tools, the output of the OTLP
receiver, and Prometheus."""
import json, os, pathlib, re, shutil, signal, subprocess, sys, time, urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/netns-agent"
WORK = pathlib.Path(os.environ["WORK"])
LAB = pathlib.Path(os.environ["LAB_DIR"]) if os.environ.get("LAB_DIR") else None
# Kubernetes deletes namespaces slowly, so each run uses names of its own.
RUN = f"t{int(time.time()) % 1_000_000}"
SPACE, AGENT_SPACE = f"boxes-{RUN}", f"agent-{RUN}"
INTERVAL = 2


def run(*args, timeout=120, stdin=None, check=True):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout, input=stdin)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(map(str, args))}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def kubectl(*args, **how):
    return run("kubectl", *args, **how)


def helm(*args, **how):
    return run("helm", "-n", AGENT_SPACE, *args, **how)


def until(limit, what, look):
    """Returns the first true result of `look`; fails with the last error, or `what`, after `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        try:
            problem, answer = what, look()
            if answer:
                return answer
        except (AssertionError, KeyError, IndexError, ValueError, subprocess.SubprocessError) as error:
            problem = f"{what}: {error}"
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {problem}")
        time.sleep(0.5)


def pods(space=SPACE):
    """Running pods of a namespace by uid, from the API server."""
    items = json.loads(kubectl("-n", space, "get", "pods", "-o", "json"))["items"]
    return {p["metadata"]["uid"]: p for p in items
            if p["status"]["phase"] == "Running" and "deletionTimestamp" not in p["metadata"] and p["status"].get("podIP")}


def deployment(name, replicas, space=SPACE):
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": space},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name, "team": f"team-{name}"}},
            "spec": {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False, "containers": [
                {"name": "box", "image": os.environ["BUSYBOX_IMAGE"], "command": ["sleep", "1000000"]}]}}}}


def apply(*objects):
    kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def rolled_out(what, space=SPACE, limit=180):
    kubectl("-n", space, "rollout", "status", what, f"--timeout={limit}s", timeout=limit + 10)


def agent(*args, **how):
    return kubectl("-n", AGENT_SPACE, "exec", "ds/netns-agent", "--", "netns-agent", *args, **how)


def listed():
    """Output of `kubectl exec ds/netns-agent -- netns-agent list`."""
    return json.loads(agent("list", "-o", "json"))


def agent_pod():
    (pod,) = pods(AGENT_SPACE).values()
    return pod


def prometheus(query, at=None):
    """The answer to a query, now or at a time."""
    prefix = os.environ["PROMETHEUS_AT"].split()
    url = f"http://127.0.0.1:{os.environ['PROMETHEUS_PORT']}/api/v1/query?query={urllib.parse.quote(query)}"
    url += f"&time={at}" if at else ""
    answer = json.loads(run(*prefix, "curl", "-sS", "-m", "10", url))
    assert answer["status"] == "success", answer
    return [(sample["metric"], float(sample["value"][1])) for sample in answer["data"]["result"]]


class Otlp:
    """Output of the OTLP receiver since the last read."""

    def __init__(self):
        self.file = open(WORK / "otlp.log", errors="replace")
        self.part = ""

    def skip(self):
        self.file.seek(0, 2)
        self.part = ""

    def resources(self):
        """(resource attributes, metric names, interface names) of each new resource."""
        self.part += self.file.read()
        whole, found, _rest = self.part.rpartition("ResourceMetrics #")
        self.part = found + _rest
        for text in whole.split("ResourceMetrics #")[1:]:
            head, _, metrics = text.partition("InstrumentationScope")
            attributes = dict(re.findall(r"-> ([\w.]+): Str\(([^)]*)\)", head))
            yield (attributes, set(re.findall(r"-> Name: (\S+)", metrics)),
                   set(re.findall(r"-> network\.interface\.name: Str\(([^)]*)\)", metrics)))


def alive(pid):
    try:
        return bool(pathlib.Path(f"/proc/{pid}/cmdline").read_text())  # empty for a zombie
    except OSError:
        return False


class Node:
    """The lab's node; other clusters give no access to their nodes."""

    def process(self):
        """The pid of the agent."""
        uid = agent_pod()["metadata"]["uid"]
        for proc in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (proc / "comm").read_text().strip() == "netns-agent" and uid in (proc / "cgroup").read_text().replace("_", "-"):
                    if "run" in (proc / "cmdline").read_text().split("\0"):
                        return int(proc.name)
            except OSError:
                pass  # exited
        raise AssertionError(f"no process of pod {uid}")

    def status(self):
        lines = pathlib.Path(f"/proc/{self.process()}/status").read_text().splitlines()
        return dict(line.split(":", 1) for line in lines)

    def start(self, *args, **how):
        """Starts the agent's program in its container, with the container's environment; returns its pid."""
        pid = self.process()
        environment = pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0")[:-1]
        inside = [shutil.which("nsenter"), f"--target={pid}", "--mount", "--net", "--pid", "/usr/local/bin/netns-agent"]
        outside = subprocess.Popen([*inside, *args], env=dict(e.split("=", 1) for e in environment), stdin=subprocess.DEVNULL, **how)
        # nsenter forks to enter the pid namespace, and ends with its child.
        children = pathlib.Path(f"/proc/{outside.pid}/task/{outside.pid}/children")
        return int(until(10, "nsenter starts the program", lambda: children.read_text().split())[0])

    def scheduled(self, pid):
        """Seconds for which the threads of a process ran, and waited for a CPU (proc(5), schedstat)."""
        ran = waited = 0
        for file in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
            words = file.read_text().split()
            ran, waited = ran + int(words[0]), waited + int(words[1])
        return ran / 1e9, waited / 1e9

    def links(self, netns):
        """Links of a namespace by name, from the kernel."""
        return {link["ifname"]: link for link in json.loads(run("ip", "-n", netns, "-s", "-j", "link"))}

    def send_packets(self, addresses):
        """Ten UDP packets from the node to each address."""
        program = ("import socket, sys\n"
                   "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                   "for address in sys.argv[1:]:\n"
                   "    for _ in range(10):\n"
                   "        s.sendto(b'x' * 100, (address, 9))\n")
        run("nsenter", f"--net={LAB}/ns/node.net", sys.executable, "-c", program, *addresses)

    def kill(self):
        os.kill(self.process(), signal.SIGKILL)

    def namespaces(self):
        return {p.name for p in pathlib.Path("/run/netns").glob("cni-*")}

    def sandboxes(self, results):
        """The namespaces' paths in CNI's result files."""
        found = set()
        for file in pathlib.Path(results).iterdir():
            try:
                interfaces = json.loads(file.read_text())["result"]["interfaces"]
            except (OSError, ValueError, KeyError):
                continue  # incomplete, deleted, or of a plugin without interfaces
            found.update(i["sandbox"] for i in interfaces if i.get("sandbox"))
        return found

    def served_interfaces(self):
        """Interfaces from the agent's admin server, queried on the node."""
        return json.loads(run("nsenter", f"--net={LAB}/ns/node.net", "curl", "-sS", "-m", "10", "http://127.0.0.1:9465/v1/interfaces"))

    def stop_api_server(self):
        """Kills the API server; the returned function starts the server again with the same arguments."""
        file = LAB / "pid/kube-apiserver"
        pid = int(file.read_text())
        arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        os.kill(pid, signal.SIGKILL)
        until(60, "the API server exits", lambda: not alive(pid))

        def start():
            inside = ["nsenter", f"--net={LAB}/ns/node.net", f"--mount={LAB}/ns/node.mnt", f"--wdns={LAB}"]
            with open(LAB / "log/kube-apiserver.log", "a") as log:
                again = subprocess.Popen(inside + arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
            file.write_text(str(again.pid))
            until(90, "the API server is ready", lambda: kubectl("get", "--raw", "/readyz") == "ok")
        return start

    def show_containerd_to_the_kubelet(self):
        """Restarts the kubelet so that its cAdvisor asks the lab's containerd about pods: by default it asks a socket in /run, and
        the kubelet then has no network metrics of pods."""
        file = LAB / "pid/kubelet"
        pid = int(file.read_text())
        arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        os.kill(pid, signal.SIGTERM)
        until(60, "the kubelet exits", lambda: not alive(pid))
        inside = ["nsenter", f"--net={LAB}/ns/node.net", f"--mount={LAB}/ns/node.mnt", f"--wdns={LAB}"]
        with open(LAB / "log/kubelet.log", "a") as log:
            again = subprocess.Popen([*inside, *arguments, f"--containerd={LAB}/containerd/containerd.sock"], stdout=log, stderr=log,
                                     env=os.environ | {"AWS_EC2_METADATA_DISABLED": "true"}, stdin=subprocess.DEVNULL, start_new_session=True)
        file.write_text(str(again.pid))

    def second_network(self, present):
        """Adds or removes eth1 for pods created from now on."""
        config = LAB / "cni/net.d/20-lab2.conflist"
        if present:
            config.with_suffix(".off").rename(config)
        else:
            config.rename(config.with_suffix(".off"))
