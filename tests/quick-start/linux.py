"""Runs docs/quick-start/linux.md; the arguments are the tree of a Debian and a folder with the files of a checkout."""
import json, re, sys, time

import page
from system import System, until

PAGE = "linux.md"
TWO_CAPABILITIES = 1 << 11 | 1 << 12  # CAP_NET_BROADCAST and CAP_NET_ADMIN


def type_in(system, heading):
    """Runs the commands of a section, and returns the output of each."""
    return [system.run(command) for command in page.commands(PAGE, heading)]


def properties(system):
    lines = system.run("systemctl show netns-agent").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def served(system):
    """(namespace, name) of every interface that the service knows."""
    interfaces = json.loads(system.run("curl -s http://127.0.0.1:9465/v1/interfaces"))
    return {(interface["netns"]["name"], interface["name"]) for interface in interfaces}


def journal(system):
    return system.run("sudo journalctl --unit netns-agent --output cat")


def the_program_is_installed(system):
    """The page's build is the one that .ci/run checks."""
    *builds, install = page.commands(PAGE, "Build the program")
    builds_of_ci = (page.PAGES.parents[1] / ".ci/run").read_text()
    assert builds[-1] in builds_of_ci, f".ci/run does not check {builds[-1]}"
    system.run(install)


def doctor_shows_what_the_page_shows(system):
    shown, *_ = type_in(system, "Look")
    # The version of the kernel and the number of interfaces are the machine's.
    alike = lambda text: re.sub(r"(?<=kernel         ).*|\d+ interfaces?", "", text).splitlines()
    assert alike(shown) == alike(page.output(PAGE, "Look")), shown


def a_new_namespace_is_listed(system):
    """The commands were run before."""
    assert "eth0" in system.run(page.commands(PAGE, "Look")[-1])


def the_service_is_ready_when_started(system):
    *_, ready = type_in(system, "Run as a service")
    assert ready.strip() == "ready", ready
    assert ("blue", "eth0") in served(system)
    # The Debian has no program `man`, with which the check looks for the manual page.
    assert not system.run("systemd-analyze verify --man=no /etc/systemd/system/netns-agent.service 2>&1")


def the_service_is_confined(system):
    process = properties(system)["MainPID"]
    lines = system.run(f"cat /proc/{process}/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == TWO_CAPABILITIES, status
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), status
    root = f"/proc/{process}/root"
    for folder in ("/etc/netns-agent", "/usr/bin", "/var/lib", "/run"):
        refusal = system.run(f"sudo touch {root}{folder}/file", succeeds=False)
        assert "Read-only file system" in refusal, refusal
    assert not system.run(f"sudo ls {root}/home"), "the service sees homes"
    return system.run("systemd-analyze security netns-agent").splitlines()[-1].lstrip("→ ")


def the_service_follows_namespaces(system):
    system.run("sudo ip netns add green")
    system.run("sudo ip link add veth-green type veth peer name eth0 netns green")
    until("the service knows a new namespace", lambda: {("green", "eth0"), (None, "veth-green")} <= served(system))
    until("the journal names its interface", lambda: "netns=green interface=eth0" in journal(system))
    system.run("sudo ip netns del green")
    until("the service knows its end", lambda: not {("green", "eth0"), (None, "veth-green")} & served(system))


def a_reload_applies_filters(system):
    process = properties(system)["MainPID"]
    reloads = lambda: journal(system).count("filters, labels and annotations are as configured now")
    before = reloads()
    system.run("sudo systemctl reload netns-agent")
    until("a reload without a change", lambda: reloads() == before + 1)
    system.run("echo 'exclude-interfaces: [lo, /^veth/]' | sudo tee /etc/netns-agent/config.yaml")
    system.run("sudo systemctl reload netns-agent")
    until("the filter applies", lambda: (None, "veth-blue") not in served(system))
    assert ("blue", "eth0") in served(system) and properties(system)["MainPID"] == process


def a_token_reaches_the_service_alone(system):
    variable = "OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN"
    assert f"`{variable}`" in page.section(PAGE, "Run as a service")
    system.run(f"echo '{variable}' | sudo install -m 600 /dev/stdin /etc/default/netns-agent")
    system.run("sudo systemctl restart netns-agent")
    process = properties(system)["MainPID"]
    assert variable in system.run(f"sudo cat /proc/{process}/environ").split("\0")
    system.run(f"cat /proc/{process}/environ", succeeds=False)


def a_faulty_configuration_is_named_once(system):
    """The service is not restarted in vain."""
    system.run("echo 'exprot-interval: 5s' | sudo tee /etc/netns-agent/config.yaml")
    system.run("sudo systemctl restart netns-agent", succeeds=False)
    state = properties(system)
    assert (state["ActiveState"], state["NRestarts"], state["ExecMainStatus"]) == ("failed", "0", "2"), state
    assert journal(system).count("netns-agent: 1 fault in the configuration:\n") == 1
    system.run("echo 'exclude-interfaces: [lo]' | sudo tee /etc/netns-agent/config.yaml")
    system.run("sudo systemctl restart netns-agent")


def removal_leaves_nothing(system, before):
    type_in(system, "Remove")
    left = system.files() - before
    assert not left, left
    state = properties(system)
    assert (state["LoadState"], state["ActiveState"]) == ("not-found", "inactive"), state
    system.run("pgrep netns-agent", succeeds=False)


def the_package_starts_the_service(system, before):
    """Also on a machine that has never had a namespace with a name."""
    system.run("sudo ip netns del blue")
    system.run("sudo umount /run/netns && sudo rmdir /run/netns")
    build, install, ready = page.commands(PAGE, "Install a Debian package instead")[:3]
    assert build == "packaging/build.sh out", "quick-start.sh runs another command"
    system.run(install)
    state = properties(system)
    assert (state["ActiveState"], state["UnitFileState"]) == ("active", "enabled"), state
    assert system.run(ready).strip() == "ready"
    # Only its name leads to a namespace without a veth to the host.
    system.run("sudo ip netns add red")
    system.run("sudo ip -n red link add one type veth peer name two")
    until("the first namespace with a name is known", lambda: ("red", "one") in served(system))
    installed = {file for file in system.files() - before if "netns-agent" in file}
    assert {"/usr/bin/netns-agent", "/usr/share/man/man1/netns-agent.1.gz"} <= installed, installed
    system.run("sudo ip netns del red")


def an_upgrade_keeps_settings_and_restarts(system):
    setting = "exclude-interfaces: [lo, veth-red]"
    system.run(f"echo '{setting}' | sudo tee /etc/netns-agent/config.yaml")
    process = properties(system)["MainPID"]
    system.run("dpkg-deb --raw-extract out/netns-agent_*.deb next && sed -i '/^Version/s/$/.1/' next/DEBIAN/control")
    system.run("dpkg-deb --root-owner-group -Znone --build next next.deb")
    system.run("sudo apt-get install ./next.deb")
    state = properties(system)
    assert state["ActiveState"] == "active" and state["MainPID"] != process, state
    assert system.run("cat /etc/netns-agent/config.yaml").strip() == setting
    assert system.run("dpkg-query -W netns-agent").strip().endswith(".1")


def a_purge_leaves_nothing(system, before):
    system.run("echo TOKEN | sudo install -m 600 /dev/stdin /etc/default/netns-agent")
    *_, purge = page.commands(PAGE, "Install a Debian package instead")
    system.run(purge)
    left = system.files() - before
    assert not left, left
    state = properties(system)
    assert (state["LoadState"], state["ActiveState"]) == ("not-found", "inactive"), state
    system.run("dpkg-query -W netns-agent", succeeds=False)


def the_rpm_starts_when_enabled(system):
    system.run("sudo dnf install --assumeyes ./debian.rpm")
    build, install, start, ready = page.commands(PAGE, "Install an RPM package instead")[:4]
    assert build == "packaging/build.sh out", "quick-start.sh runs another command"
    system.run(install)
    assert properties(system)["ActiveState"] == "inactive"
    system.run(start)
    assert system.run(ready).strip() == "ready"
    assert properties(system)["UnitFileState"] == "enabled"


def a_reinstallation_of_the_rpm_keeps_settings_and_restarts(system):
    """The scripts of an upgrade run, too."""
    setting = "exclude-interfaces: [lo, veth-red]"
    system.run(f"echo '{setting}' | sudo tee /etc/netns-agent/config.yaml")
    process = properties(system)["MainPID"]
    system.run("sudo dnf reinstall ./out/netns-agent-*.rpm")
    state = properties(system)
    assert state["ActiveState"] == "active" and state["MainPID"] != process, state
    assert system.run("cat /etc/netns-agent/config.yaml").strip() == setting


def removal_of_the_rpm_leaves_nothing(system, before):
    system.run("echo TOKEN | sudo install -m 600 /dev/stdin /etc/default/netns-agent")
    for command in page.commands(PAGE, "Install an RPM package instead")[4:]:
        system.run(command)
    system.run("sudo dnf remove debian")
    left = system.files() - before
    assert not left, left
    state = properties(system)
    assert (state["LoadState"], state["ActiveState"]) == ("not-found", "inactive"), state


TESTS = [
    the_program_is_installed,
    doctor_shows_what_the_page_shows,
    a_new_namespace_is_listed,
    the_service_is_ready_when_started,
    the_service_is_confined,
    the_service_follows_namespaces,
    a_reload_applies_filters,
    a_token_reaches_the_service_alone,
    a_faulty_configuration_is_named_once,
    removal_leaves_nothing,
    the_package_starts_the_service,
    an_upgrade_keeps_settings_and_restarts,
    a_purge_leaves_nothing,
    the_rpm_starts_when_enabled,
    a_reinstallation_of_the_rpm_keeps_settings_and_restarts,
    removal_of_the_rpm_leaves_nothing,
]


def main():
    began = time.monotonic()
    system = System(*sys.argv[1:])
    print(f"{system.run('systemctl --version').splitlines()[0]}, booted in {time.monotonic() - began:.1f} s")
    before = system.files()
    try:
        for test in TESTS:
            began = time.monotonic()
            measured = test(*[system, before][: test.__code__.co_argcount])
            print(f"ok: {test.__name__} ({time.monotonic() - began:.1f} s)" + (f": {measured}" if measured else ""))
    except BaseException:
        sys.stderr.write(journal(system)[-3000:])
        raise
    finally:
        system.halt()


main()
