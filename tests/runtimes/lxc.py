"""Tests the agent beside LXC, which keeps no record of a running container; the argument is the root of the runtime."""
import contextlib, pathlib, subprocess, sys, time

from agent import COMMAND_LIMIT, Agent, both_ends, in_root, owners, row, until

ROOT = pathlib.Path(sys.argv[1])
# The control groups of LXC have this name on the machine.
NAME = "netns-agent-test"
CONFIG = f"""
lxc.uts.name = web
lxc.rootfs.path = dir:/box
lxc.rootfs.mount = /tmp/mount
lxc.init.cmd = /busybox sleep 1000000
lxc.apparmor.profile = unconfined
lxc.net.0.type = veth
lxc.net.0.flags = up
lxc.net.0.hwaddr = 00:16:3e:12:34:56
lxc.net.0.veth.pair = lxcweb0
"""


def lxc(verb, *words):
    done = subprocess.run(in_root(ROOT, f"lxc-{verb}", "-n", NAME, *words), capture_output=True, text=True, timeout=COMMAND_LIMIT)
    assert done.returncode == 0, f"lxc-{verb}: {done.stderr[-2000:]}"
    return done.stdout


def a_container_comes_and_goes(agent):
    """The MAC address in the configuration leads to the namespace, which has no name."""
    lxc("start", "--logfile", "/run/lxc.log", "--logpriority", "INFO")
    until("both ends have their container", lambda: owners(agent.watched()) == both_ends("lxc", NAME))
    assert owners(agent.listed()) == both_ends("lxc", NAME), agent.listed()
    lxc("stop", "--kill")
    until("no interface is left", lambda: not owners(agent.watched()))


def remove_cgroups():
    """LXC leaves the empty control groups of its monitor on the machine."""
    for pattern in (f"**/lxc.*.{NAME}*", "*/lxc.pivot"):
        for group in sorted(pathlib.Path("/sys/fs/cgroup").glob(pattern), reverse=True):
            # Another LXC of the machine may be in lxc.pivot.
            with contextlib.suppress(OSError):
                group.rmdir()


def main():
    for folder in ("box/proc", "box/sys", "box/dev", "box/etc", "box/tmp", "tmp/mount", f"var/lib/lxc/{NAME}"):
        (ROOT / folder).mkdir(parents=True)
    (ROOT / "box/busybox").write_bytes((ROOT / "bin/busybox").read_bytes())
    (ROOT / "box/busybox").chmod(0o755)
    (ROOT / f"var/lib/lxc/{NAME}/config").write_text(CONFIG)
    agent, began = Agent("--container-dir", ROOT / "var/lib/lxc"), time.monotonic()
    try:
        a_container_comes_and_goes(agent)
        agent.stop()
    except BaseException:
        sys.stderr.write(agent.log() + pathlib.Path("/run/lxc.log").read_text()[-5000:])
        raise
    finally:
        remove_cgroups()
    done = [a_container_comes_and_goes.__name__]
    row(f"LXC {lxc('start', '--version').strip()}", "no name, found by its nsid", done, began)


main()
