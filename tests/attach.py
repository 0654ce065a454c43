#!/usr/bin/env python3
"""Runs the example `attach` of netns-scan through churn, and asks the kernel for the programs on each interface.

    tests/attach.py             500 namespaces come, most of them go; needs root in the initial user namespace
    tests/attach.py --can-run   only checks whether the test can run here, and prints the reason if not
"""
import ctypes, os, re, struct, subprocess, sys, time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/examples/attach"
NAMESPACES = 500
# linux/bpf.h
BPF_PROG_QUERY, BPF_TCX_INGRESS, BPF = 16, 46, {"x86_64": 321, "aarch64": 280}
libc = ctypes.CDLL(None, use_errno=True)


def missing():
    """The reason why the test cannot run here, or None."""
    if Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]:
        return "a user namespace of one's own may not load eBPF programs; run as root of the machine"
    held = int(re.search(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())[1], 16)
    for name, bit in (("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21), ("CAP_BPF", 39)):
        if not held >> bit & 1:
            return f"{name} is missing; run as root"
    if tuple(map(int, os.uname().release.split("-")[0].split(".")[:2])) < (6, 6):
        return f"Linux {os.uname().release} has no tcx; 6.6 or later has"
    return None


def programs_on(ifindex):
    """Count of tcx programs for packets received on an interface of the own namespace; None without the interface."""
    attributes = ctypes.create_string_buffer(struct.pack("<IIIIQI", ifindex, BPF_TCX_INGRESS, 0, 0, 0, 0).ljust(128, b"\0"))
    if libc.syscall(BPF[os.uname().machine], BPF_PROG_QUERY, attributes, 64) != 0:
        return None
    return struct.unpack_from("<IIIIQI", attributes)[5]


def links_in(netns):
    """ifindex of each link of a namespace but the loopback, with the programs on the link."""
    pipe = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with open(f"/run/netns/{netns}") as file:
                assert libc.setns(file.fileno(), 0x40000000) == 0
            lines = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
            found = [f"{line.split(':')[0]}={programs_on(int(line.split(':')[0]))}" for line in lines if "LOOPBACK" not in line]
            os.write(pipe[1], " ".join(found).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(pipe[1])
    with os.fdopen(pipe[0]) as answer:
        text = answer.read()
    assert os.waitpid(child, 0)[1] == 0, netns
    return {int(index): count for index, count in (pair.split("=") for pair in text.split())}


def batch(lines):
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", text=True, check=True)


def add(names):
    batch(line for name in names for line in (
        f"netns add {name}", f"link add h-{name} type veth peer name eth0 netns {name}", f"link set h-{name} up"))
    for name in names:
        subprocess.run(["ip", "-n", name, "link", "set", "eth0", "up"], check=True)


def held_links(pid):
    """ifindex of each tcx link that the example holds, 0 for a link whose interface is gone."""
    held = []
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            text = info.read_text()
        except FileNotFoundError:
            continue
        if "link_type:\ttcx" in text:
            held.append(int(re.search(r"ifindex:\t(\d+)", text)[1]))
    return held


def until(limit, wanted, ask):
    deadline = time.monotonic() + limit
    while (found := ask()) != wanted:
        assert time.monotonic() < deadline, f"expected {wanted}, found {found}"
        time.sleep(0.1)


def inside():
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    os.mkdir("/run/netns")
    early = [f"early{n}" for n in range(20)]
    add(early)
    with open("/run/attach.log", "w") as log:
        example = subprocess.Popen([EXAMPLE], stdout=log, stderr=log)
    try:
        until(60, 20, lambda: len(held_links(example.pid)))
        began, kept = time.monotonic(), set(early)
        for round in range(10):
            names = [f"r{round}n{n}" for n in range(NAMESPACES // 10)]
            add(names)
            batch(f"netns del {name}" for name in names[5:])
            kept |= set(names[:5])
        # A link that goes down and up again is attached to again.
        until(60, len(kept), lambda: len(held_links(example.pid)))
        batch(["link set h-early0 down"])
        until(60, len(kept) - 1, lambda: len(held_links(example.pid)))
        batch(["link set h-early0 up"])
        until(60, len(kept), lambda: len(held_links(example.pid)))
        took = time.monotonic() - began
        assert 0 not in held_links(example.pid), "a link of a deleted interface is left"
        for name in kept:
            assert list(links_in(name).values()) == ["1"], (name, links_in(name))
        lines = Path("/run/attach.log").read_text().splitlines()
        attached = [line.removeprefix("attach ") for line in lines if line.startswith("attach ")]
        detached = [line.removeprefix("detach ") for line in lines if line.startswith("detach ")]
        assert len(attached) - len(detached) == len(kept), (len(attached), len(detached))
        repeated = [line for line in attached if attached.count(line) > 1]
        assert [line.split("/")[0] for line in repeated] == ["early0", "early0"], repeated
    except BaseException:
        print(Path("/run/attach.log").read_text()[-3000:], file=sys.stderr)
        raise
    finally:
        example.terminate()
        example.wait()
    # The links of the example end with the example.
    until(30, {"0"}, lambda: {count for name in kept for count in links_in(name).values()})
    print(f"attach: {len(kept)} interfaces after {NAMESPACES} namespaces in {took:.1f} s, "
          f"{len(attached)} attached, {len(detached)} detached: each has one program, and none after the end")


if __name__ == "__main__":
    if "--inside" in sys.argv:
        inside()
    elif reason := missing():
        print(reason)
        sys.exit(1)
    elif "--can-run" not in sys.argv:
        subprocess.run(["cargo", "build", "--locked", "-p", "netns-scan", "--example", "attach"], cwd=ROOT, check=True)
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, __file__, "--inside"]
        sys.exit(subprocess.run(command).returncode)
