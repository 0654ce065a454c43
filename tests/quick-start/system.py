"""A Debian that systemd-nspawn boots, with every change in memory."""
import pathlib, shutil, subprocess, time

USER, CHECKOUT = "newcomer", "netns-agent"


def until(what, look, limit=30):
    end = time.monotonic() + limit
    while not (answer := look()):
        assert time.monotonic() < end, f"not within {limit} s: {what}"
        time.sleep(0.05)
    return answer


def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)


class System:
    def __init__(self, tree, checkout):
        """Boots the tree; the home of the user gets a copy of `checkout`."""
        tree = pathlib.Path(tree)
        mount("--make-rprivate", "/")
        # nspawn runs with the tree as its root, and changes how mounts of its root propagate: needs a mount there.
        mount("--bind", tree, tree)
        for folder in ("proc", "sys", "dev"):
            mount("--rbind", f"/{folder}", tree / folder)
        for folder in ("run", "tmp", "mnt"):
            mount("-t", "tmpfs", "system", tree / folder)
        upper, work, root = (tree / "mnt" / name for name in ("upper", "work", "root"))
        for folder in (upper, work, root):
            folder.mkdir()
        mount("-t", "overlay", "overlay", "-o", f"lowerdir={tree},upperdir={upper},workdir={work}", root)
        home = root / "home" / USER
        shutil.copytree(checkout, home / CHECKOUT)
        subprocess.run(["chroot", root, "chown", "-R", f"{USER}:", f"/home/{USER}/{CHECKOUT}"], check=True)
        self.console = tree / "run/console"
        self.nspawn = subprocess.Popen(
            ["chroot", tree, "systemd-nspawn", "--boot", "--quiet", "--register=no", "--keep-unit", "--private-network",
             "--machine=box", "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--console=read-only",
             "--directory=/mnt/root"],
            stdin=subprocess.DEVNULL, stdout=open(self.console, "w"), stderr=subprocess.STDOUT)
        self.leader = None
        try:
            self.leader = until("systemd has booted", self.booted, 120)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.console.read_text()[-3000:]}") from None

    def booted(self):
        """The first process of the system once all units are started."""
        assert self.nspawn.poll() is None, f"systemd-nspawn ended with exit code {self.nspawn.returncode}"
        for child in pathlib.Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children").read_text().split():
            done = subprocess.run([*inside(child), "systemctl", "is-system-running"], capture_output=True, text=True)
            if done.stdout.strip() in ("running", "degraded"):
                return child
        return None

    def run(self, command, succeeds=True):
        """The output of a line typed in the checkout; each question is answered with yes."""
        shell = [*inside(self.leader), "runuser", "-l", USER, "-c", f"cd {CHECKOUT} && {command}"]
        done = subprocess.run(shell, input="y\n" * 3, capture_output=True, text=True, timeout=90)
        said = f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
        assert (done.returncode == 0) == succeeds, f"{command}: exit code {done.returncode}\n{said}"
        return done.stdout if succeeds else done.stderr

    def files(self):
        """Every file but those that systemd, apt, dpkg, dnf and rpm keep for themselves."""
        own = r"^/(home|root/.rpmdb|var/(cache|log|tmp|lib/(apt|dnf|dpkg|private|rpm|systemd/timers|systemd/random-seed)))(/|$)"
        return set(self.run(f"sudo find / -xdev | grep -Ev '{own}'").splitlines())

    def halt(self):
        self.nspawn.kill()
        self.nspawn.wait()


def inside(process):
    return ["nsenter", "--target", process, "--all", "--root", "--wd"]
