"""100 pods scaled up and down three times, the API server stopped in the middle: every tag the agent ever
gives is compared with what kubelet and API server say of the address the interface had."""
import datetime, json, os, subprocess, threading, time

from cluster import AGENT_SPACE, SPACE, agent_pod, apply, deployment, kubectl, listed, pods, until

PODS, ROUNDS = 100, 3
RESULTS = "/var/lib/cni/results"


class Watch:
    """`netns-agent watch` in the agent's pod: when each interface was first seen with its pod."""

    def __init__(self):
        name = agent_pod()["metadata"]["name"]
        self.child = subprocess.Popen(
            ["kubectl", "-n", AGENT_SPACE, "exec", name, "--", "netns-agent", "watch", "-o", "json"],
            stdout=subprocess.PIPE, text=True)
        self.tagged, self.tags, self.synced = {}, [], threading.Event()
        threading.Thread(target=self.read, daemon=True).start()
        assert self.synced.wait(30), "watch did not print Synced within 30 s"

    def read(self):
        for line in self.child.stdout:
            event = json.loads(line)
            if event["event"] == "Synced":
                self.synced.set()
            elif event["interface"]["pod"] and event["interface"]["pod"]["end"] == "pod" and self.synced.is_set():
                interface = event["interface"]
                self.tags.append((interface["pod"]["uid"], interface["addresses"]))
                if event["event"] != "Deleted":
                    self.tagged.setdefault((interface["pod"]["uid"], interface["name"]), seconds(event["time"]))

    def stop(self):
        self.child.terminate()
        self.child.wait(10)


def seconds(rfc3339):
    whole, _, fraction = rfc3339.rstrip("Z").partition(".")
    return datetime.datetime.fromisoformat(whole + "+00:00").timestamp() + float("0." + (fraction or "0"))


class Truth:
    """Which uid had which address (host-local hands none out twice so soon), and when CNI ended for it."""

    def __init__(self):
        self.uid_of, self.written, self.read, self.ended = {}, {}, set(), threading.Event()
        self.thread = threading.Thread(target=self.follow)
        self.thread.start()

    def follow(self):
        while not self.ended.wait(0.1):
            for entry in os.scandir(RESULTS):
                if entry.name in self.read:
                    continue
                try:
                    with open(entry.path) as file:
                        result = json.load(file)
                    self.read.add(entry.name)
                    uid = dict(result.get("cniArgs") or []).get("K8S_POD_UID")
                    if not uid:
                        continue
                    self.written.setdefault((uid, result["ifName"]), os.stat(entry.path).st_mtime_ns / 1e9)
                    for ip in result["result"].get("ips", []):
                        self.uid_of.setdefault(ip["address"].split("/")[0], set()).add(uid)
                except (OSError, ValueError):
                    pass  # half written, or gone already

    def stop(self):
        self.ended.set()
        self.thread.join()


def running():
    """uid → pod of the churned pods."""
    return {uid: pod for uid, pod in pods().items() if pod["metadata"]["labels"]["app"] == "many"}


def scale(replicas):
    kubectl("-n", SPACE, "scale", "deploy/many", f"--replicas={replicas}")


def check_all_tagged():
    mine = {(i["pod"]["uid"], i["name"]) for i in listed() if i["pod"] and i["pod"]["end"] == "pod"}
    wanted = {(uid, name) for uid in running() for name in ("eth0", "eth1")}
    assert len(wanted) == 2 * PODS, f"{len(wanted)} of {2 * PODS} interfaces' pods run"
    assert wanted <= mine, f"untagged: {sorted(wanted - mine)[:4]}"
    return True


def all_tagged_without_api(node):
    """Whether every namespace that has its CNI results is known, with its pod, to an agent without API server."""
    finished = {path.split("/")[-1] for path in node.sandboxes(RESULTS)} & node.namespaces()
    inside = [i for i in node.served_interfaces() if i["netns"]["name"] in finished]
    assert {i["netns"]["name"] for i in inside} == finished, "namespaces are missing"
    return all(i["pod"] and i["pod"]["uid"] for i in inside)


def churn(node):
    watch, truth = Watch(), Truth()
    try:
        apply(deployment("many", 0))
        for turn in range(ROUNDS):
            scale(PODS)
            if turn == 1:
                # Bound to the node by now, but most not made yet: what is made from here on is known by CNI alone.
                until(60, "the first pods of the round", lambda: len(running()) >= 5)
                had = node.namespaces()
                start = node.stop_api_server()
                try:
                    # kubelet goes on with what it knows; kubectl does not, so the admin server is asked.
                    until(30, "pods come without the API server", lambda: node.namespaces() - had)
                    until(20, "all of them are tagged by the CNI cache", lambda: all_tagged_without_api(node))
                finally:
                    start()
            until(240, "every running pod is tagged", check_all_tagged)
            scale(0)
            until(180, "all pods end", lambda: not running() and True)
            until(60, "no interface of them is left", lambda: not [i for i in listed() if i["pod"] and i["pod"]["name"].startswith("many-")])
    finally:
        watch.stop()
        truth.stop()
    wrong = [(uid, addresses) for uid, addresses in watch.tags
             if any(a.split("/")[0] in truth.uid_of and uid not in truth.uid_of[a.split("/")[0]] for a in addresses)]
    assert not wrong, f"wrong tags: {wrong[:3]}"
    delays = sorted((watch.tagged[key] - written) * 1000 for key, written in truth.written.items() if key in watch.tagged)
    assert len(delays) >= 2 * PODS, f"only {len(delays)} interfaces were timed"
    p99 = delays[int(len(delays) * 0.99)]
    assert p99 < 50, f"from CNI's end to the tag: p99 {p99:.1f} ms"
    return {"tags checked": len(watch.tags), "CNI's end to tag, ms (p50, p99, max)":
            [round(x, 1) for x in (delays[len(delays) // 2], p99, delays[-1])]}
