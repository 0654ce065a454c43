"""Measures how long the kubelet's probes take while others keep the admin server busy.

    python3 tests/probes.py target/release/netns-agent [SECONDS]

64 clients ask for the pages of metrics and interfaces as fast as they can, and 500 connections send nothing and are made
again when the server ends them. Fails when a probe is not answered with 200 within 100 ms. The agent sees the machine's
own interfaces; run the script in a network namespace to choose others.
"""

import multiprocessing
import selectors
import socket
import statistics
import subprocess
import sys
import time

CLIENTS, IDLE, LIMIT, PERIOD = 64, 500, 0.1, 0.1
PATHS = ["/metrics", "/v1/interfaces", "/v1/lookup?ifindex=1", "/livez"]


def request(path, connection="keep-alive"):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n\r\n".encode()


def load(address, clients, until, answers):
    """Keeps one request in flight on each connection; counts the answers."""
    selector, count = selectors.DefaultSelector(), 0

    def begin(path):
        client = socket.create_connection(address, 10)
        client.sendall(request(path))
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ, [path, b""])

    for number in range(clients):
        begin(PATHS[number % len(PATHS)])
    while time.time() < until:
        for key, _ in selector.select(1):
            client, state = key.fileobj, key.data
            try:
                read = client.recv(1 << 16)
            except OSError:
                read = b""
            if not read:
                selector.unregister(client)
                client.close()
                begin(state[0])
                continue
            state[1] = (state[1] + read)[-1024:] if b"\r\n\r\n" in state[1] else state[1] + read
            if is_complete(state[1]):
                count, state[1] = count + 1, b""
                client.sendall(request(state[0]))
    answers.value += count


def is_complete(answer):
    """Whether the end of an answer is here: every answer is chunked or shorter than one read."""
    return answer.endswith(b"0\r\n\r\n") or b"content-length" in answer.lower() and not answer.endswith(b"\r\n\r\n")


def idle(address, until):
    """Holds connections that send nothing."""
    selector = selectors.DefaultSelector()

    def connect():
        try:
            selector.register(socket.create_connection(address, 10), selectors.EVENT_READ)
        except OSError:
            time.sleep(0.01)

    while time.time() < until:
        while len(selector.get_map()) < IDLE:
            connect()
        for key, _ in selector.select(0.1):
            selector.unregister(key.fileobj)
            key.fileobj.close()
        time.sleep(0.05)


def probe(address, path):
    began = time.monotonic()
    with socket.create_connection(address, 10) as client:
        client.sendall(request(path, "close"))
        answer = b""
        while read := client.recv(1 << 16):
            answer += read
    return time.monotonic() - began, answer.startswith(b"HTTP/1.1 200 ")


def measure(address, seconds):
    until, answers = time.time() + seconds, multiprocessing.Value("Q", 0)
    others = [multiprocessing.Process(target=load, args=(address, CLIENTS // 2, until, answers)) for _ in range(2)]
    others.append(multiprocessing.Process(target=idle, args=(address, until)))
    for other in others:
        other.start()
    took, failed = [], 0
    while time.time() < until:
        for path in ["/livez", "/readyz"]:
            duration, ok = probe(address, path)
            took.append(duration)
            failed += not ok
        time.sleep(PERIOD)
    for other in others:
        other.join()
    took.sort()
    late = sum(duration > LIMIT for duration in took)
    print(f"{len(took)} probes beside {answers.value / seconds:.0f} requests/s and {IDLE} idle connections: "
          f"median {statistics.median(took) * 1000:.1f} ms, p99 {took[len(took) * 99 // 100] * 1000:.1f} ms, "
          f"longest {took[-1] * 1000:.1f} ms; {late} later than {LIMIT * 1000:.0f} ms, {failed} failed")
    return late + failed == 0


def main():
    program, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 60
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    arguments = ["run", "--admin-address", f"127.0.0.1:{address[1]}", "--cni-cache-dir", "", "--log-level", "error"]
    agent = subprocess.Popen([program, *arguments])
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                if probe(address, "/readyz")[1]:
                    break
            except OSError:
                pass
            if time.monotonic() > deadline or agent.poll() is not None:
                sys.exit("the agent is not ready within 30 s")
            time.sleep(0.05)
        sys.exit(0 if measure(address, seconds) else 1)
    finally:
        agent.terminate()
        agent.wait(30)


if __name__ == "__main__":
    main()
