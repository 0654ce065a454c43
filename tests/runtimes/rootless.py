"""Tests the agent beside a podman run by users; the argument is the root of the runtime."""
import os, pathlib, subprocess, sys, time

from agent import COMMAND_LIMIT, Agent, in_root, row, until, version

ROOT = pathlib.Path(sys.argv[1])
USER, OTHER = 1000, 1001
SETTINGS = """
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
firewall_driver = "none"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
"""
ENVIRONMENT = {"HOME": "/home/user", "XDG_RUNTIME_DIR": f"/run/user/{USER}", "PATH": os.environ["PATH"]}
FAKES = pathlib.Path("/run/fakes")


def as_user(uid, *command):
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", *map(str, command)]


def podman(*words):
    command = in_root(ROOT, *as_user(USER, "podman", "--storage-driver", "vfs", *words))
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_LIMIT, env=ENVIRONMENT)
    assert done.returncode == 0, f"podman {' '.join(words)}: {done.stderr[-2000:]}"
    return done.stdout


def run(name, *words):
    podman("run", "-d", "--name", name, *words, "--rootfs", "/box", "/busybox", "sleep", "1000000")


def remove(*containers):
    for name in containers:
        podman("rm", "-f", "-t", "0", name)


def owners(interfaces):
    """(owner, interface) of each interface of a container."""
    found = [(i["container"], i["name"]) for i in interfaces if i["container"]]
    return sorted((f"{container['runtime']}/{container['name']}", name) for container, name in found)


def named(**containers):
    """The owners of the loopback interface and another interface of each container."""
    ends = {(f"podman/{name}", interface) for name, interface in containers.items()}
    return sorted(ends | {(f"podman/{name}", "lo") for name in containers})


def containers_come_and_go(agent):
    """A container with each network has its name, and the others' have none of their own."""
    networks = {"none": "lo", "pasta": "tap0", "slirp4netns": "tap0", "bridge": "eth0"}
    for network in networks:
        run(network, "--network", network)
    # The container's user namespace is below the one of the user's podman.
    run("mapped", "--network", "none", "--uidmap", "0:1:1000")
    run("open", "--network", "host")
    run("beside", "--network", "container:pasta")
    networks["mapped"] = "lo"
    until("the containers have their interfaces", lambda: owners(agent.watched()) == named(**networks))
    assert owners(agent.listed()) == named(**networks), agent.listed()
    podman("exec", "pasta", "/busybox", "true")
    podman("restart", "-t", "0", "slirp4netns")
    until("a container that was restarted", lambda: owners(agent.watched()) == named(**networks))
    remove("open", "beside", *networks)
    until("no interface is left", lambda: not owners(agent.watched()))
    return containers_come_and_go.__name__


def members_of_a_pod_share_an_owner(agent):
    podman("pod", "create", "--name", "shop", "--network", "pasta", "--infra-name", "shop-infra")
    run("cart", "--pod", "shop")
    until("the pod's interface has its owner", lambda: owners(agent.watched()) == named(**{"shop-infra": "tap0"}))
    podman("pod", "rm", "-f", "-t", "0", "shop")
    until("no interface is left", lambda: not owners(agent.watched()))
    return members_of_a_pod_share_an_owner.__name__


def fake(name, child):
    """A process of the other user that looks like a conmon, with the process of a command as its child."""
    words = as_user(OTHER, FAKES / "conmon", FAKES / "wait", "-c", f"{abs(hash(name)):064x}", "-n", name)
    script = f"{' '.join(map(str, child))} & exec {' '.join(words)}"
    process = subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE)
    comm = pathlib.Path(f"/proc/{process.pid}/comm")
    until(f"{name} looks like a conmon", lambda: comm.read_text() == "conmon\n")
    return process


def children(process):
    text = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


def users_name_their_own_namespaces_only(agent):
    run("web", "--network", "pasta")
    pid = podman("inspect", "-f", "{{.State.Pid}}", "web").strip()
    FAKES.mkdir()
    (FAKES / "conmon").symlink_to("/bin/sh")
    (FAKES / "wait").write_text("read wait\n")
    fakes = [
        fake("stolen", ["nsenter", f"--net=/proc/{pid}/ns/net", "sleep", "1000000"]),
        fake("node", ["sleep", "1000000"]),
        fake("own", as_user(OTHER, "unshare", "--user", "--net", "--map-root-user", "sleep", "1000000")),
    ]
    mine = named(web="tap0") + [("podman/own", "lo")]
    until("the other user's own namespace has the name", lambda: owners(agent.watched()) == sorted(mine))
    remove("web")
    # No name of the user's competes with the false ones any more.
    until("nothing but the own name is left", lambda: owners(agent.watched()) == [("podman/own", "lo")])
    assert owners(agent.listed()) == [("podman/own", "lo")], agent.listed()
    for process in fakes:
        for child in children(process):
            os.kill(child, 9)
        process.kill()
        process.wait()
    until("no interface is left", lambda: not owners(agent.watched()))
    return users_name_their_own_namespaces_only.__name__


def prepare():
    """A user with ids for containers, and a device that users may open, as on a machine with systemd."""
    (ROOT / "box/busybox").write_bytes((ROOT / "bin/busybox").read_bytes())
    (ROOT / "box/busybox").chmod(0o755)
    (ROOT / "etc/containers/containers.conf").write_text(SETTINGS)
    (ROOT / "etc/containers/policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    (ROOT / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/sh\nuser:x:{USER}:{USER}::/home/user:/bin/sh\n")
    (ROOT / "etc/group").write_text(f"root:x:0:\nuser:x:{USER}:\n")
    for ids in ("subuid", "subgid"):
        (ROOT / "etc" / ids).write_text("user:100000:65536\n")
    (ROOT / "home").mkdir(exist_ok=True)
    (ROOT / "dev/net").mkdir(exist_ok=True)
    for directory in ("home", "dev/net"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "node", ROOT / directory], check=True)
    subprocess.run(["mknod", "-m", "666", ROOT / "dev/net/tun", "c", "10", "200"], check=True)
    (ROOT / "tmp").chmod(0o1777)
    for directory in (ROOT / "home/user", pathlib.Path(f"/run/user/{USER}")):
        directory.mkdir(parents=True)
        directory.chmod(0o700)
        os.chown(directory, USER, USER)


TESTS = (containers_come_and_go, members_of_a_pod_share_an_owner, users_name_their_own_namespaces_only)


def main():
    prepare()
    agent, began = Agent("--proc", "/proc", "--exclude-interfaces", ""), time.monotonic()
    try:
        done = [test(agent) for test in TESTS]
        until("the kernel destroys every namespace", lambda: all(i["netns"]["host"] for i in agent.watched()))
        agent.stop()
    except BaseException:
        sys.stderr.write(f"{agent.log()}{owners(agent.watched())}\n")
        raise
    podman_version = version("chroot", ROOT, "podman", "--version")
    row(f"podman {podman_version}, run by a user, vfs", "processes, `--proc`", done, began)


main()
