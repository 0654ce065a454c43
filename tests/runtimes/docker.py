"""Tests the agent beside a Docker; the argument is the root of the runtime."""
import pathlib, subprocess, sys, time

import quick_start
from agent import COMMAND_LIMIT, LIMIT, Agent, host_ends, in_root, mounted, row, two_containers, until, version

ROOT = pathlib.Path(sys.argv[1])
RECORDS = ROOT / "var/lib/docker/containers"


def docker(*words):
    done = subprocess.run(["chroot", ROOT, "docker", *words], capture_output=True, text=True, timeout=COMMAND_LIMIT)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr[-2000:]}"
    return done.stdout


def run(name, *words):
    docker("run", "-d", "--name", name, *words, "box", "/busybox", "sleep", "1000000")


def containers_come_and_go(agent):
    return two_containers(agent, "docker", run, lambda name: docker("restart", "-t", "0", name), lambda *names: docker("rm", "-f", *names))


def start():
    """dockerd, which starts a containerd of its own."""
    log = open("/run/dockerd.log", "w")
    daemon = subprocess.Popen(in_root(ROOT, "dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver", "vfs"),
                              stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    answers = lambda: subprocess.run(["chroot", ROOT, "docker", "info"], capture_output=True).returncode == 0
    try:
        until("dockerd answers", answers)
    except AssertionError:
        sys.stderr.write(pathlib.Path("/run/dockerd.log").read_text()[-3000:])
        raise
    return daemon


def main():
    daemon = start()
    archive = ROOT / "tmp/box.tar"
    subprocess.run(["tar", "-C", ROOT / "bin", "-cf", archive, "busybox"], check=True)
    docker("import", "/tmp/box.tar", "box")
    docker("network", "create", "--subnet", "198.51.100.0/24", "demo")
    agent, began = Agent("--container-dir", RECORDS), time.monotonic()
    try:
        done = [containers_come_and_go(agent)]
        remove = lambda *names: docker("rm", "-f", *names)
        done.append(quick_start.in_a_container(ROOT, "Run in Docker", docker, run, remove))
        until("the kernel destroys every namespace", lambda: not host_ends() and not mounted("/run/docker/netns") - {"default"})
        agent.stop()
    except BaseException:
        sys.stderr.write(agent.log() + pathlib.Path("/run/dockerd.log").read_text()[-3000:])
        raise
    daemon.terminate()
    daemon.wait(LIMIT)
    row(f"Docker {version('chroot', ROOT, 'docker', '--version')}", "names in /run/docker/netns", done, began)


main()
