"""Tests the agent beside a podman run by root; the argument is the root of the runtime."""
import json, pathlib, subprocess, sys, time

import quick_start
from agent import COMMAND_LIMIT, Agent, both_ends, host_ends, in_root, names, owners, row, two_containers, until, version

ROOT = pathlib.Path(sys.argv[1])
RECORDS = ROOT / "var/lib/containers/storage/vfs-containers"
# podman 4 may use CNI plugins in place of netavark.
BACKEND = "netavark" if (ROOT / "usr/lib/podman/netavark").exists() else "cni"
SETTINGS = f"""
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "{BACKEND}"
firewall_driver = "none"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
"""


def podman(*words):
    done = subprocess.run(in_root(ROOT, "podman", "--storage-driver", "vfs", *words), capture_output=True, text=True, timeout=COMMAND_LIMIT)
    assert done.returncode == 0, f"podman {' '.join(words)}: {done.stderr[-2000:]}"
    return done.stdout


def run(name, *words):
    podman("run", "-d", "--name", name, *words, "--rootfs", "/box", "/busybox", "sleep", "1000000")


def containers_come_and_go(agent):
    # A container is removed after those that use its network.
    remove = lambda *names: [podman("rm", "-f", "-t", "0", name) for name in names]
    return two_containers(agent, "podman", run, lambda name: podman("restart", "-t", "0", name), remove)


def members_of_a_pod_share_an_owner(agent):
    """The namespace is the infra container's, and the members claim nothing."""
    podman("pod", "create", "--name", "shop", "--network", "demo", "--infra-name", "shop-infra")
    run("cart", "--pod", "shop")
    until("the pod's interface has its owner", lambda: owners(agent.watched()) == both_ends("podman", "shop-infra"))
    podman("pod", "rm", "-f", "-t", "0", "shop")
    until("no interface is left", lambda: not owners(agent.watched()))
    return members_of_a_pod_share_an_owner.__name__


def make_network():
    if BACKEND == "netavark":
        podman("network", "create", "--disable-dns", "--subnet", "198.51.100.0/24", "demo")
        return
    # podman's own network would need iptables.
    ipam = {"type": "host-local", "ranges": [[{"subnet": "198.51.100.0/24"}]], "dataDir": "/run/ipam"}
    network = {"cniVersion": "0.4.0", "name": "demo", "plugins": [{"type": "ptp", "ipam": ipam}]}
    (ROOT / "etc/cni/net.d/demo.conflist").write_text(json.dumps(network))


def main():
    (ROOT / "box/busybox").write_bytes((ROOT / "bin/busybox").read_bytes())
    (ROOT / "box/busybox").chmod(0o755)
    (ROOT / "etc/containers/containers.conf").write_text(SETTINGS)
    # podman 5.4 builds the image of a pod's first container.
    (ROOT / "etc/containers/policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    RECORDS.mkdir(parents=True)
    make_network()
    agent, began = Agent("--container-dir", RECORDS), time.monotonic()
    try:
        done = [test(agent) for test in (containers_come_and_go, members_of_a_pod_share_an_owner)]
        # The storage driver of this test has another name.
        records = RECORDS.with_name("overlay-containers")
        records.mkdir(exist_ok=True)
        subprocess.run(["mount", "--bind", RECORDS, records], check=True)
        remove = lambda *names: [podman("rm", "-f", "-t", "0", name) for name in names]
        done.append(quick_start.in_a_container(ROOT, "Run in podman", podman, run, remove))
        until("the kernel destroys every namespace", lambda: not host_ends() and not names("/run/netns"))
        agent.stop()
    except BaseException:
        sys.stderr.write(agent.log())
        raise
    podman_version = version("chroot", ROOT, "podman", "--version")
    row(f"podman {podman_version}, {BACKEND}, run by root", "names in /run/netns", done, began)


main()
