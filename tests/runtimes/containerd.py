"""Tests the agent beside a containerd; the argument is the root of the runtime."""
import json, os, pathlib, signal, subprocess, sys, time

import grpc

from agent import Agent, both_ends, host_ends, in_root, names, owners, row, until, version
from cri import Runtime
import kubernetes

ROOT, HERE = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).resolve().parent
PAUSE, STATE, SOCKET = "local/pause:1", "/run/containerd", "/run/containerd/containerd.sock"
RESULTS = ROOT / "var/lib/cni/results"
CGROUP = "kubepods-of-netns-agent-test"
INTERFACES = {"eth0": "bridged", "eth1": "routed", "eth2": "shared"}


def networks(version):
    """Three networks a pod: a bridge with tuning and portmap, ptp, and macvlan."""
    ipam = lambda third: {"type": "host-local", "dataDir": "/run/ipam", "ranges": [[{"subnet": f"10.9.{third}.0/24"}]]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": ipam(1)}
    tuning = {"type": "tuning", "mtu": 1400}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    for number, name, plugins in (
            (1, "bridged", [bridge, tuning, portmap]),
            (2, "routed", [{"type": "ptp", "ipam": ipam(2)}]),
            (3, "shared", [{"type": "macvlan", "master": "nic", "ipam": ipam(3)}])):
        text = json.dumps({"cniVersion": version, "name": name, "plugins": plugins})
        (ROOT / f"etc/cni/net.d/{number}0-{name}.conflist").write_text(text)


def configuration(major, names_below_state):
    """Without CAP_SYS_RESOURCE nobody may lower oom_score_adj, so it never goes below containerd's own."""
    state = f'root = "/var/lib/containerd"\nstate = "{STATE}"\n[grpc]\n  address = "{SOCKET}"\n'
    settings = "  disable_apparmor = true\n  restrict_oom_score_adj = true\n"
    if major == 1:
        cri = "io.containerd.grpc.v1.cri"
        return (f'version = 2\n{state}[plugins."{cri}"]\n{settings}  sandbox_image = "{PAUSE}"\n'
                f'  [plugins."{cri}".cni]\n    max_conf_num = 0\n    bin_dir = "/usr/lib/cni"\n')
    cri, images = "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images"
    return (f'version = 3\n{state}[plugins."{cri}"]\n{settings}  netns_mounts_under_state_dir = {str(names_below_state).lower()}\n'
            f'  [plugins."{cri}".cni]\n    max_conf_num = 0\n    bin_dirs = ["/usr/lib/cni"]\n'
            f'[plugins."{images}".pinned_images]\n  sandbox = "{PAUSE}"\n')


class Containerd:
    def __init__(self, major, names_below_state):
        (ROOT / "tmp/config.toml").write_text(configuration(major, names_below_state))
        self.log = open("/run/containerd.log", "ab")
        self.start()

    def start(self):
        self.process = subprocess.Popen(in_root(ROOT, "containerd", "--config", "/tmp/config.toml"), stdout=self.log, stderr=self.log,
                                        stdin=subprocess.DEVNULL)
        self.cri = Runtime(ROOT / SOCKET.lstrip("/"))
        until("containerd answers", self.version)

    def version(self):
        assert self.process.poll() is None, "containerd ended: " + open("/run/containerd.log").read()[-2000:]
        try:
            return self.cri.version()
        except grpc.RpcError:
            return None

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.cri.channel.close()


def inside(interfaces):
    """(pod, name of the namespace, interface, network) of each interface inside a pod, but for lo."""
    return {(i["pod"]["name"], i["netns"]["name"], i["name"], i["network"]) for i in interfaces
            if i["pod"] and i["pod"]["end"] == "pod" and i["name"] != "lo"}


def owned(agent, pods):
    """Whether each pod has its three interfaces with their networks, in one namespace, and nothing else is owned."""
    found = inside(agent.watched())
    places = {(pod, netns) for pod, netns, *_ in found}
    complete = {(*place, *interface) for place in places for interface in INTERFACES.items()}
    return found == complete and sorted(pod for pod, _ in places) == sorted(pods)


def sandboxes_come_and_go(containerd, agent, directory):
    """Ten pods: owners, a runtime that is killed and started again, and the end of every pod."""
    pods = {f"web-{n}": f"5b1f0a00-0000-4000-8000-{n:012d}" for n in range(10)}
    ids = {pod: containerd.cri.run_sandbox("shop", pod, uid) for pod, uid in pods.items()}
    until("every interface has its pod and network", lambda: owned(agent, pods))
    assert len(names(directory)) == len(pods), names(directory)
    before = inside(agent.watched())
    assert inside(agent.listed()) == before, "list and watch differ"

    containerd.kill()
    containerd.start()
    assert inside(agent.watched()) == before, "a restart of the runtime changes owners"

    # A kubelet makes a sandbox again under the same uid when the first one died.
    containerd.cri.end_sandbox(ids["web-0"])
    until("the interfaces of an ended sandbox are gone", lambda: owned(agent, set(pods) - {"web-0"}))
    ids["web-0"] = containerd.cri.run_sandbox("shop", "web-0", pods["web-0"], attempt=1)
    until("the sandbox made again has its pod", lambda: owned(agent, pods))
    again, first = ({netns for pod, netns, *_ in found if pod == "web-0"} for found in (inside(agent.watched()), before))
    assert not again & first, "the namespace is another one"

    end(containerd, ids.values())
    until("no interface is left", lambda: not inside(agent.watched()))
    assert not names(directory), names(directory)


def users_of_their_own(containerd, agent, directory):
    """`hostUsers: false`: the namespace belongs to another user namespace."""
    sandbox = containerd.cri.run_sandbox("shop", "db-0", "5b1f0a00-0000-4000-8000-000000000100", own_users=True)
    until("the pod's interfaces have their owner", lambda: owned(agent, {"db-0"}))
    containerd.cri.end_sandbox(sandbox)
    until("no interface is left", lambda: not inside(agent.watched()))


def names_pods_by(source, pods, *arguments):
    """A list of the agent has each pod's interfaces with the pod from this source."""
    command = [os.environ["AGENT"], "list", "-o", "json", "--cni-cache-dir=", *arguments]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = {(i["pod"]["namespace"], i["pod"]["name"], i["pod"]["uid"], i["name"], i["pod"]["source"])
             for i in listed if i["pod"] and i["pod"]["end"] == "pod" and i["name"] != "lo"}
    assert found == {("shop", *pod, name, source) for pod in pods.items() for name in INTERFACES}, listed


def end(containerd, sandboxes):
    for sandbox in sandboxes:
        containerd.cri.end_sandbox(sandbox)
    until("the kernel destroys every namespace", lambda: not host_ends())


def records_name_the_pods(containerd, _agent, _directory):
    """Without CNI results, containerd's own records name pod, uid and namespace."""
    pods = {f"web-{n}": f"5b1f0a00-0000-4000-8000-{n + 200:012d}" for n in range(3)}
    ids = [containerd.cri.run_sandbox("shop", pod, uid) for pod, uid in pods.items()]
    tasks = f"{STATE}/io.containerd.runtime.v2.task/k8s.io"
    names_pods_by("runtime-record", pods, "--watch-pods", "false", "--container-dir", tasks)
    end(containerd, ids)


def processes_name_the_pods(containerd, _agent, _directory):
    """Without CNI results and records, the cgroups of the pods' processes lead to the pods of an API server."""
    pods = {f"web-{n}": f"5b1f0a00-0000-4000-8000-{n + 300:012d}" for n in range(3)}
    ids = [containerd.cri.run_sandbox("shop", pod, uid, cgroup=f"/{CGROUP}/pod{uid}") for pod, uid in pods.items()]
    names_pods_by("process", pods, "--container-dir=", "--proc", "/proc", *kubernetes.serve("shop", pods))
    end(containerd, ids)
    # The kubelet removes the cgroups of its pods.
    for group in sorted(pathlib.Path("/sys/fs/cgroup").glob(f"**/{CGROUP}/**/"), reverse=True):
        group.rmdir()


def ctr(*words):
    subprocess.run(["chroot", ROOT, "ctr", "-a", SOCKET, *words], check=True, stdout=subprocess.DEVNULL)


def containers_of_nerdctl_have_names(_containerd, _agent, _directory):
    """As with nerdctl: runc makes a namespace without a name, and a hook moves a veth into it."""
    (ROOT / "box/busybox").write_bytes((ROOT / "bin/busybox").read_bytes())
    (ROOT / "box/busybox").chmod(0o755)
    ctr("run", "-d", "--rootfs", "--annotation", "nerdctl/name=shop", "--annotation", "nerdctl/namespace=default",
        "/box", "shop", "/busybox", "sleep", "1000000")
    process = pathlib.Path(f"{STATE}/io.containerd.runtime.v2.task/default/shop/init.pid").read_text()
    subprocess.run(["ip", "link", "add", "nerd0", "type", "veth", "peer", "name", "eth0", "netns", process], check=True)
    command = [os.environ["AGENT"], "list", "-o", "json", "--watch-pods", "false", "--proc", "/proc"]
    listed = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert owners(listed) == both_ends("nerdctl", "shop"), listed
    ctr("task", "rm", "-f", "shop")
    ctr("container", "rm", "shop")
    until("the kernel destroys every namespace", lambda: not pathlib.Path("/sys/class/net/nerd0").exists())


TESTS = (sandboxes_come_and_go, records_name_the_pods, processes_name_the_pods, users_of_their_own,
         containers_of_nerdctl_have_names)


def run(major, names_below_state):
    containerd = Containerd(major, names_below_state)
    ctr("-n", "k8s.io", "images", "import", "/tmp/pause.tar")
    directory = f"{STATE}/io.containerd.grpc.v1.cri/netns" if names_below_state else "/run/netns"
    agent, done = Agent("--cni-cache-dir", RESULTS), []
    try:
        for test in TESTS:
            test(containerd, agent, directory)
            done.append(test.__name__)
        agent.stop()
    except BaseException:
        sys.stderr.write(agent.log() + open("/run/containerd.log").read()[-3000:])
        raise
    finally:
        containerd.kill()
    return done


def main():
    major = int(version("chroot", ROOT, "containerd", "--version").split(".")[0])
    subprocess.run([sys.executable, HERE / "image.py", ROOT / "bin/busybox", PAUSE, ROOT / "tmp/pause.tar"], check=True)
    # The newest version that the suite's plugins know.
    answer = subprocess.run(["chroot", ROOT, "/usr/lib/cni/bridge"], env=os.environ | {"CNI_COMMAND": "VERSION"},
                            input='{"cniVersion": "1.0.0"}', capture_output=True, text=True, check=True).stdout
    newest = json.loads(answer)["supportedVersions"][-1]
    networks(newest)
    runtime = f"containerd {version('chroot', ROOT, 'containerd', '--version')}, runc {version('chroot', ROOT, 'runc', '--version')}, CNI {newest}"
    for names_below_state in (False, True) if major == 2 else (False,):
        began = time.monotonic()
        done = run(major, names_below_state)
        row(runtime, "names below the state directory" if names_below_state else "names in /run/netns", done, began)


main()
