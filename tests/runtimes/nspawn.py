"""Tests the agent beside a systemd-nspawn without systemd-machined, so that nothing names the namespace or its owner; the
argument is the root of the runtime."""
import pathlib, signal, subprocess, sys, time

from agent import LIMIT, Agent, in_root, row, until, version

ROOT = pathlib.Path(sys.argv[1])


def start():
    box = ROOT / "box"
    (box / "bin").mkdir()
    (box / "bin/busybox").write_bytes((ROOT / "bin/busybox").read_bytes())
    (box / "bin/busybox").chmod(0o755)
    # A root directory that nspawn accepts, and an id of the node.
    for folder in ("etc", "usr"):
        (box / folder).mkdir()
    (box / "etc/os-release").touch()
    (ROOT / "etc/machine-id").write_text("5b1f0a0000004000800000000000000a\n")
    inside = in_root(ROOT, "systemd-nspawn", "--register=no", "--keep-unit", "--network-veth", "-M", "web", "-D", "/box",
                     "/bin/busybox", "sleep", "1000000")
    return subprocess.Popen(inside, stdin=subprocess.DEVNULL, stdout=open("/run/nspawn.log", "w"), stderr=subprocess.STDOUT)


def ends(interfaces):
    """Names of the veth's two ends, each with its namespace and its peer."""
    return {(i["name"], i["netns"]["place"].split(":")[0], (i["peer"] or {}).get("name")) for i in interfaces if i["name"] in ("host0", "ve-web")}


def a_machine_comes_and_goes(agent):
    machine = start()
    both = {("host0", "nsid", "ve-web"), ("ve-web", "host", "host0")}
    try:
        until("both ends are seen", lambda: ends(agent.watched()) == both)
        assert ends(agent.listed()) == both, agent.listed()
    except BaseException:
        sys.stderr.write(pathlib.Path("/run/nspawn.log").read_text())
        raise
    finally:
        # nspawn ends its machine.
        machine.send_signal(signal.SIGTERM)
    until("no interface is left", lambda: not ends(agent.watched()))
    machine.wait(LIMIT)


def main():
    agent, began = Agent(), time.monotonic()
    a_machine_comes_and_goes(agent)
    agent.stop()
    number = version("chroot", ROOT, "systemd-nspawn", "--version")
    row(f"systemd-nspawn {number.strip('()')}", "no name, found by its nsid", [a_machine_comes_and_goes.__name__], began)


main()
