"""Keeps a map of all interfaces of the node, and prints every change."""
import http.client
import json
import socket
import sys
import time


class Agent(http.client.HTTPConnection):
    """HTTP over the agent's Unix socket."""

    def __init__(self, path):
        # Heartbeats come every 15 seconds.
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def lines(path, resume):
    """The lines of one connection; None where the agent cannot go on from `resume`."""
    agent = Agent(path)
    agent.request("GET", "/v1/watch" + (f"?resume={resume}" if resume else ""))
    answer = agent.getresponse()
    if answer.status == 410:
        yield None
    elif answer.status == 200:
        for line in answer:
            yield json.loads(line)


def follow(path):
    """Each line with the map after the line; goes on after a cut."""
    interfaces, seq = {}, None
    while True:
        try:
            for line in lines(path, seq):
                if line is None or line["event"] == "Restart":
                    interfaces, seq = {}, None
                    break
                if line["event"] in ("Added", "Updated"):
                    interfaces[line["interface"]["id"]] = line["interface"]
                elif line["event"] == "Deleted":
                    interfaces.pop(line["interface"]["id"], None)
                seq = line["seq"]
                yield line, interfaces
        except (OSError, ValueError, http.client.HTTPException):
            pass
        time.sleep(1)


if __name__ == "__main__":
    for line, interfaces in follow(sys.argv[1]):
        print(len(interfaces), line["event"], line.get("interface", {}).get("name", ""), flush=True)
