#!/usr/bin/env python3
"""Records the netlink messages of a pod's life, for the tests of the engines without a kernel.

    unshare --user --map-root-user --net python3 record.py > pod.txt

A section is a point in time: the notifications since the section before, and the replies to requests at that time.
Lines of the sockets in the host's namespace begin with `host`, those of the sockets in the pod's namespace with `pod`.
"""

import ctypes
import os
import signal
import socket
import struct
import subprocess
import time

SOL_NETLINK, ADD_MEMBERSHIP, LISTEN_ALL_NSID, STRICT_CHECK = 270, 1, 8, 12
LINK, IPV4, IPV6, NSID = 1, 5, 9, 28
DUMP, ACK = 0x300, 4
CLONE_NEWNET = 0x40000000


def netlink():
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    opened.bind((0, 0))
    return opened


def inside(pid):
    """Sockets for notifications and for requests in the namespace of a process, which they keep alive."""
    setns = ctypes.CDLL(None, use_errno=True).setns
    with open("/proc/self/ns/net", "rb") as home, open(f"/proc/{pid}/ns/net", "rb") as there:
        assert setns(there.fileno(), CLONE_NEWNET) == 0
        events, requests = netlink(), netlink()
        assert setns(home.fileno(), CLONE_NEWNET) == 0
    for group in (LINK, IPV4, IPV6):
        events.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
    return events, requests


def attribute(kind, value):
    return struct.pack("=HHi", 8, kind, value)


def link_request(nsid, ifindex):
    body = struct.pack("=BBHiII", 0, 0, 0, ifindex, 0, 0)
    # IFLA_EXT_MASK with RTEXT_FILTER_SKIP_STATS, IFLA_TARGET_NETNSID.
    body += attribute(29, 8) if ifindex else b""
    return 18, body + (attribute(46, nsid) if nsid is not None else b"")


def address_request(nsid):
    body = struct.pack("=BBBBI", 0, 0, 0, 0, 0)
    return 22, body + (attribute(10, nsid) if nsid is not None else b"")


def ask(requests, name, message, flags, of="host"):
    """Prints a request by name, and the datagrams of the reply."""
    kind, body = message
    requests.send(struct.pack("=IHHII", 16 + len(body), kind, 1 | flags, 1, 0) + body)
    print(of, "asked", name)
    while True:
        datagram = requests.recv(1 << 16)
        last, at = 0, 0
        while at < len(datagram):
            length, last = struct.unpack_from("=IH", datagram, at)
            at += (length + 3) & ~3
        print(of, "replied", datagram.hex())
        if last in (2, 3):
            return


def ask_all(requests, nsid, of="host"):
    place = "own" if nsid is None else nsid
    ask(requests, f"links {place}", link_request(nsid, 0), DUMP, of)
    ask(requests, f"addresses {place}", address_request(nsid), DUMP, of)


def notified(events, until, of="host"):
    """Prints notifications up to one that `until` accepts, and those that are queued behind."""
    met, end = False, time.monotonic() + 5
    while not met or (events.settimeout(0.2) is None and time.monotonic() < end):
        try:
            datagram, control, _, _ = events.recvmsg(1 << 16, 64)
        except TimeoutError:
            break
        nsid = "own"
        for level, kind, value in control:
            if (level, kind) == (SOL_NETLINK, LISTEN_ALL_NSID):
                nsid = struct.unpack_from("=i", value)[0]
        print(of, "notified", nsid, datagram.hex())
        met = met or until(struct.unpack_from("=H", datagram, 4)[0], datagram)
    assert met


def main():
    events, requests = netlink(), netlink()
    events.setsockopt(SOL_NETLINK, LISTEN_ALL_NSID, 1)
    for group in (LINK, IPV4, IPV6, NSID):
        events.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
    requests.setsockopt(SOL_NETLINK, STRICT_CHECK, 1)
    own = os.open("/proc/self/ns/net", os.O_RDONLY)
    # NETNSA_FD and NETNSA_NSID: the first nsid is the host's own, as in the engine, and the next the pod's.
    assign = struct.pack("=I", 0) + attribute(3, own) + attribute(1, -1)
    requests.send(struct.pack("=IHHII", 16 + len(assign), 88, 1 | ACK, 1, 0) + assign)
    requests.recv(1 << 16)
    events.recv(1 << 16)
    print("# Made by record.py on Linux", os.uname().release.split("-")[0])

    print("section start")
    ask_all(requests, None)

    pod = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec sleep 60"], stdout=subprocess.PIPE)
    pod.stdout.readline()
    pod_events, pod_requests = inside(pod.pid)
    within = ["nsenter", "--target", str(pod.pid), "--net"]

    def ip(*words, within=()):
        subprocess.run([*within, "ip", *words], check=True)

    events.settimeout(5)
    ip("link", "add", "host0", "type", "veth", "peer", "name", "eth0", "netns", str(pod.pid))
    # Without IPv6's own addresses, which come at any time.
    for name, where in (("host0", ()), ("eth0", within)):
        ip("link", "set", name, "up", "addrgenmode", "none", within=where)
    print("section appears")
    notified(events, lambda kind, datagram: kind == 16 and b"host0" in datagram)
    ask_all(requests, 1)
    ask(requests, "link 1 2", link_request(1, 2), ACK)
    notified(pod_events, lambda kind, datagram: kind == 16 and b"eth0" in datagram, "pod")
    ask_all(pod_requests, None, "pod")

    events.settimeout(5)
    pod_events.settimeout(5)
    ip("address", "add", "10.0.0.2/24", "dev", "eth0", within=within)
    ip("link", "set", "eth0", "mtu", "1400", within=within)
    print("section changes")
    notified(events, lambda kind, datagram: kind == 20 and bytes([10, 0, 0, 2]) in datagram)
    ask_all(requests, 1)
    ask(requests, "link 1 2", link_request(1, 2), ACK)
    notified(pod_events, lambda kind, datagram: kind == 20 and bytes([10, 0, 0, 2]) in datagram, "pod")
    ask_all(pod_requests, None, "pod")
    pod_events.close()
    pod_requests.close()

    events.settimeout(5)
    pod.send_signal(signal.SIGKILL)
    pod.wait()
    print("section ends")
    notified(events, lambda kind, _: kind == 89)
    ask(requests, "link 1 2", link_request(1, 2), ACK)


main()
