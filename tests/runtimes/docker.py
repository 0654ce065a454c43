"""Tests the agent beside a Docker; the argument is the root of the runtime."""
import pathlib, subprocess, sys, time

from agent import Agent, both_ends, host_ends, mounted, owners, row, until, version

ROOT, HERE = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).resolve().parent
RECORDS = ROOT / "var/lib/docker/containers"


def docker(*words):
    done = subprocess.run(["chroot", ROOT, "docker", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr[-2000:]}"
    return done.stdout


def run(name, *words):
    docker("run", "-d", "--name", name, *words, "box", "/busybox", "sleep", "1000000")


def containers_come_and_go(agent):
    run("web", "--network", "demo")
    run("db", "--network", "demo")
    run("open", "--network", "host")
    run("beside", "--network", "container:db")
    until("both containers have their interfaces", lambda: owners(agent.watched()) == both_ends("docker", "web", "db"))
    assert owners(agent.listed()) == both_ends("docker", "web", "db"), agent.listed()
    delay = agent.named_after("web")
    docker("restart", "-t", "0", "web")
    until("a container that was restarted", lambda: owners(agent.watched()) == both_ends("docker", "web", "db"))
    docker("rm", "-f", "web", "open", "beside", "db")
    until("no interface is left", lambda: not owners(agent.watched()))
    return f"named {delay:.0f} ms after its veth"


def start():
    """dockerd, which starts a containerd of its own."""
    log = open("/run/dockerd.log", "w")
    daemon = subprocess.Popen(["unshare", "--mount", "--propagation", "unchanged", HERE / "root.sh", ROOT, "dockerd", "--iptables=false", "--ip6tables=false",
                               "--bridge=none", "--storage-driver", "vfs"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
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
        done = containers_come_and_go(agent)
        until("the kernel destroys every namespace", lambda: not host_ends() and not mounted("/run/docker/netns") - {"default"})
        agent.stop()
    except BaseException:
        sys.stderr.write(agent.log() + pathlib.Path("/run/dockerd.log").read_text()[-3000:])
        raise
    daemon.terminate()
    daemon.wait(30)
    row(f"Docker {version('chroot', ROOT, 'docker', '--version')}", "names in /run/docker/netns", [done], began)


main()
