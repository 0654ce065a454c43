"""The agent beside a runtime, in the namespaces that inside.sh made."""
import datetime, json, os, pathlib, signal, subprocess, time

# The factor of an emulated CPU, from tests/kernels/init.sh.
SLOW = int(os.environ.get("NETNS_TESTBED_SLOW", 1))
# Seconds until an event, and for a command of a runtime.
LIMIT, COMMAND_LIMIT = 30 * SLOW, 60 * SLOW


def until(what, look, limit=LIMIT):
    end = time.monotonic() + limit
    while not (answer := look()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}")
        time.sleep(0.05)
    return answer


class Agent:
    """`netns-agent watch`, and what its events say. It finds the directories of namespaces by itself."""

    def __init__(self, *sources):
        self.sources = ["--watch-pods", "false", *map(str, sources)]
        self.events = open("/run/events", "w+")
        self.process = subprocess.Popen([os.environ["AGENT"], "watch", "-o", "json", *self.sources], stdout=self.events,
                                        stderr=open("/run/agent.log", "a"), env=os.environ | {"NETNS_AGENT_LOG_LEVEL": "warn"})
        until("watch has listed every interface", lambda: any(event["event"] == "Synced" for event in self.read()))

    def read(self):
        self.events.seek(0)
        whole, _, _incomplete = self.events.read().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def watched(self):
        """Every interface by the events so far."""
        state = {}
        for event in self.read():
            if interface := event.get("interface"):
                state[interface["id"]] = interface
                if event["event"] == "Deleted":
                    del state[interface["id"]]
        return state.values()

    def listed(self):
        done = subprocess.run([os.environ["AGENT"], "list", "-o", "json", *self.sources], capture_output=True, text=True)
        assert done.returncode == 0, f"list: exit code {done.returncode}\n{done.stderr}"
        return json.loads(done.stdout)

    def named_after(self, name):
        """Milliseconds from the first event about a container's veth to the last first event that names the container: of
        these the runtime takes some until it writes its record."""
        seen, named = {}, {}
        for event in self.read():
            if interface := event.get("interface"):
                seen.setdefault(interface["id"], seconds(event["time"]))
                if interface["container"] and interface["container"]["name"] == name:
                    named.setdefault(interface["id"], seconds(event["time"]))
        delay = (max(named.values()) - min(seen[one] for one in named)) * 1000
        assert delay < 1000 * SLOW and len(named) >= 2, f"{name} was named {delay:.1f} ms after its veth, at {len(named)} ends"
        return delay

    def stop(self):
        self.process.terminate()
        assert self.process.wait(LIMIT) == -signal.SIGTERM, self.log()

    def log(self):
        return pathlib.Path("/run/agent.log").read_text()[-2000:]


def seconds(rfc3339):
    return datetime.datetime.fromisoformat(rfc3339[:26].rstrip("Z") + "+00:00").timestamp()


def names(directory):
    return {path.name for path in pathlib.Path(directory).glob("*")}


def mounted(directory):
    """Names below a directory with a namespace. Docker up to 26 removes the empty files a minute later."""
    words = (line.split() for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines())
    paths = (pathlib.Path(line[4]) for line in words if " nsfs " in " ".join(line))
    return {path.name for path in paths if path.parent == pathlib.Path(directory)}


def host_ends():
    """The host's ends of the runtime's links: they go with the namespace of the other end, which only stays if it is held."""
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout)
    return [link["ifname"] for link in links if link["ifname"].startswith("veth")]


def owners(interfaces):
    """(runtime, name, end) of each interface of a container, but for lo."""
    found = [i["container"] for i in interfaces if i["container"] and i["name"] != "lo"]
    return sorted((container["runtime"], container["name"], container["end"]) for container in found)


def both_ends(runtime, *containers):
    """The owners of one veth for each container."""
    return sorted((runtime, name, end) for name in containers for end in ("container", "host"))


def in_root(root, *command):
    """The command in a mount namespace of its own, as if the root of the runtime was the machine's."""
    return ["unshare", "--mount", "--propagation", "unchanged", pathlib.Path(__file__).resolve().parent / "root.sh", root, *command]


def two_containers(agent, runtime, run, restart, remove):
    """Two containers with a network, and others without one of their own: owners, a restart, and the end of all. `remove` ends
    the containers of these names. Returns a measurement."""
    run("web", "--network", "demo")
    run("db", "--network", "demo")
    run("open", "--network", "host")
    run("beside", "--network", "container:db")
    until("both containers have their interfaces", lambda: owners(agent.watched()) == both_ends(runtime, "web", "db"))
    assert owners(agent.listed()) == both_ends(runtime, "web", "db"), agent.listed()
    delay = agent.named_after("web")
    restart("web")
    until("a container that was restarted", lambda: owners(agent.watched()) == both_ends(runtime, "web", "db"))
    remove("web", "open", "beside", "db")
    until("no interface is left", lambda: not owners(agent.watched()))
    return f"named {delay:.0f} ms after its veth"


def version(*command):
    """The third word of a program's version."""
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True).stdout.split()[2].rstrip(",")


def row(runtime, variant, tests, began):
    """A row of the table: `tests` are names, or measurements."""
    print(f"| {os.uname().release} | {runtime} | {variant} | {', '.join(tests)} | passed in {time.monotonic() - began:.0f} s |")
