"""The agent as a container of a runtime, by the commands of docs/quick-start/linux.md."""
import os, re, shlex, shutil

import page
from agent import until


def in_a_container(root, heading, runtime, run, remove):
    """The section's commands, in order, with a container that starts before the agent and another after the agent. `runtime`
    runs a command of the runtime. The image of tests/image.sh takes the place of the image that the page builds."""
    lines = [line.removeprefix("sudo ") for line in page.commands("linux.md", heading)]
    build, *before, start, look = map(shlex.split, lines)
    program = look[0]
    assert build == [program, "build", "-t", "netns-agent", "."], build
    shutil.copy(os.environ["IMAGE"], root / "tmp/netns-agent.tar")
    runtime("load", "--input", "/tmp/netns-agent.tar")
    for command in before:
        assert command == ["mkdir", "-p", "/run/netns"], command
    run("web", "--network", "demo")
    assert start[0] == program
    runtime(*start[1:])
    run("db", "--network", "demo")
    inside = lambda: re.findall(rf"^\S+ +eth0 .*?\b{program}/(web|db)\b", runtime(*look[1:]), flags=re.M)
    until("the agent in a container lists both", lambda: sorted(inside()) == ["db", "web"])
    ready = runtime("exec", "netns-agent", "netns-agent", "doctor")
    assert re.search(r"^ok +mounts", ready, flags=re.M), ready
    remove("db", "web")
    until("no interface is left", lambda: not inside())
    runtime("rm", "-f", "netns-agent")
    return "the quick start's container"
