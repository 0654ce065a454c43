"""Checks the documents: commands in console blocks are valid, links lead to files, all modules are named.

Run by tests/run.sh after the Rust tests, which build netns-agent. The Rust tests run the commands of sh blocks. Commands
in console blocks need a cluster or much time, so each is checked against the program's help, values and files.
"""

import os
import re
import shlex
import subprocess
import unittest
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
AGENT = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/netns-agent"
CHART = ROOT / "charts/netns-agent"


def documents():
    folders = ["crates", "deploy", "docs", "charts", "tests"]
    return [*ROOT.glob("*.md"), *(path for folder in folders for path in (ROOT / folder).rglob("*.md") if "node_modules" not in path.parts)]


def commands_in(text):
    """Commands of ```console blocks: lines after "$ ", or all lines of a block without "$ "."""
    for block in re.findall(r"^```console\n(.*?)^```", text, flags=re.M | re.S):
        lines = block.replace("\\\n", " ").splitlines()
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        for line in prompted or lines:
            words = shlex.split(line, comments=True)
            if words:
                yield words
    # Commands in running text have at least two words.
    for code in re.findall(r"(?<!`)`((?:netns-agent|cargo|helm|kubectl|tests/\S+\.sh) [^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        yield shlex.split(code.replace("…", "X"))


@cache
def help_of(*verbs):
    done = subprocess.run([AGENT, *verbs, "--help"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else None


@cache
def kubectl_plugin_verbs():
    text = (ROOT / "deploy/kubectl-netns").read_text()
    return re.search(r"^([a-z |]+)\) shift ;;", text, flags=re.M)[1].split(" | ")


def fault_of_plugin(words):
    """The fault in arguments of the kubectl plugin, or None: flags are those that the plugin completes, or the agent's."""
    verb, rest = words[0], words[1:]
    if verb not in kubectl_plugin_verbs():
        return f"the plugin has no verb {verb}"
    return fault_of_agent([verb, *(word for word in rest if word.split("=")[0] not in plugin_flags(verb))]) if verb != "ui" else None


@cache
def plugin_flags(verb):
    plugin = ROOT / "deploy/kubectl-netns"
    return set(subprocess.run([plugin, "__complete", verb, "--"], capture_output=True, text=True).stdout.split()) - {":4"}


def fault_of_agent(words):
    """The fault in arguments of netns-agent according to its help, or None."""
    if not AGENT.is_file():
        return f"{AGENT} is missing: run cargo build -p netns-agent"
    if not words or words[0].startswith("-"):
        verbs = []
    else:
        verbs = words[:2] if words[0] == "config" else words[:1]
    text = help_of(*verbs)
    if text is None:
        return f"there is no verb {' '.join(verbs)}"
    for flag in (word.split("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)):
        if not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text):
            return f"{' '.join(verbs) or 'netns-agent'} has no flag {flag}"
    return None


def fault_of_helm(words):
    """The fault in a helm command with a missing chart or an unknown value, or None."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for chart in (word for word in words if word.startswith("charts/")):
        if not (ROOT / chart / "Chart.yaml").is_file():
            return f"there is no chart {chart}"
    for before, word in zip(words, words[1:]):
        if before in ("--set", "--set-string"):
            here = values
            for key in word.split("=")[0].split("."):
                if not isinstance(here, dict) or (here and key not in here):
                    return f"the chart has no value {word.split('=')[0]}"
                here = here.get(key)
    return None


@cache
def help_of_tool(program, *verbs):
    done = subprocess.run([program, *verbs, "--help"], capture_output=True, text=True)
    text = done.stdout + done.stderr
    # kubectl lists global flags separately, helm lists global flags with each verb.
    if program == "kubectl":
        text += subprocess.run([program, "options"], capture_output=True, text=True).stdout
    return text if done.returncode == 0 else None


def fault_of_tool(program, words):
    """The fault in the verb or a flag of helm or kubectl according to the help, or None."""
    words = words[: words.index("--")] if "--" in words else words
    with_value = {"-n", "--namespace", "--set", "--context"}
    verbs = [word for before, word in zip(["", *words], words) if not word.startswith("-") and before not in with_value]
    text = help_of_tool(program, *verbs[:1]) if verbs else None
    if text is None or not re.search(rf"^\s*{program} {verbs[0]}\b", text, flags=re.M):
        return f"{program} has no verb {' '.join(verbs[:1])}"
    if verbs[:2] == ["create", "secret"]:
        text += help_of_tool(program, *verbs[:3]) or ""
    for flag in (word.split("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)):
        if not re.search(rf"(?<![\w-]){re.escape(flag)}(?![\w-])", text):
            return f"{program} {verbs[0]} has no flag {flag}"
    return None


def fault_of_cargo(words):
    for before, word in zip(words, words[1:]):
        if before in ("-p", "--package") and f'name = "{word}"' not in (ROOT / "Cargo.lock").read_text():
            return f"there is no package {word}"
        if before == "--bench" and not any(f'name = "{word}"' in path.read_text() for path in ROOT.glob("*/*/Cargo.toml")):
            return f"there is no benchmark {word}"
    if "run" in words and "--" in words:
        return fault_of_agent(words[words.index("--") + 1 :])
    return None


def fault_of(words):
    """The fault in a command, or None."""
    while words and re.match(r"[A-Z_0-9]+=|sudo$", words[0]):
        words = words[1:]
    program, rest = words[0], words[1:]
    for path in (word.split("=")[-1] for word in words):
        if re.match(r"(\./)?(tests|deploy|docs|crates|charts|\.ci)/", path) and not (ROOT / path).exists():
            return f"there is no file {path}"
    if program == "netns-agent":
        return fault_of_agent(rest)
    if program == "cargo":
        return fault_of_cargo(rest)
    if program == "helm":
        return fault_of_helm(rest) or fault_of_tool(program, rest)
    if program == "kubectl" and rest[:1] == ["netns"]:
        return fault_of_plugin(rest[1:])
    if program == "kubectl":
        inner = rest[rest.index("--") + 1 :] if "--" in rest else None
        return fault_of_tool(program, rest) or (fault_of(inner) if inner else None)
    return None


class Commands(unittest.TestCase):
    def test_commands_in_documents_are_valid(self):
        seen = 0
        for path in documents():
            for words in commands_in(path.read_text()):
                seen += 1
                with self.subTest(document=str(path.relative_to(ROOT)), command=" ".join(words)):
                    self.assertIsNone(fault_of(words))
        self.assertGreater(seen, 5, "no commands found; check the pattern for blocks")

    def test_faults_in_commands_are_found(self):
        for command in [
            "netns-agent lsit",
            "netns-agent list --netnss x",
            "cargo run -p netns-agnet -- run",
            "cargo run -p netns-agent -- rum",
            "tests/rum.sh",
            "helm install a charts/netns-agent --set otlp.endpiont=x",
            "kubectl netns lsit",
            "kubectl netns list --nod worker-1",
            "kubectl lable namespace a b=c",
            "kubectl rollout status ds/a --no-such-flag",
            "helm unistall a",
            "helm uninstall a --no-such-flag",
            "kubectl exec ds/netns-agent -- netns-agent lsit",
            "kubectl create secret generic a --no-such-flag=b",
        ]:
            with self.subTest(command=command):
                self.assertIsNotNone(fault_of(shlex.split(command)))


class Plugin(unittest.TestCase):
    def test_completed_flags_exist(self):
        """Every flag that the plugin completes is one of its own, which its help names, or the agent's."""
        plugin = subprocess.run([ROOT / "deploy/kubectl-netns", "--help"], capture_output=True, text=True).stdout
        for verb in kubectl_plugin_verbs():
            for flag in plugin_flags(verb):
                with self.subTest(verb=verb, flag=flag):
                    self.assertTrue(re.search(rf"{flag}\b", plugin) or fault_of_agent([verb, flag]) is None)


class Links(unittest.TestCase):
    def test_relative_links_lead_to_files(self):
        for path in documents():
            for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
                if re.match(r"[a-z]+:|#", target):
                    continue
                with self.subTest(document=str(path.relative_to(ROOT)), link=target):
                    self.assertTrue((path.parent / target.split("#")[0]).exists())


class Workflows(unittest.TestCase):
    def test_actions_are_pinned_by_commit(self):
        """A tag of an action can be moved; the comment names the version for readers and for dependabot."""
        for path in (ROOT / ".github/workflows").iterdir():
            for used in re.findall(r"uses: (.*)", path.read_text()):
                with self.subTest(workflow=path.name, action=used):
                    self.assertRegex(used, r"^[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+(\.\d+)*$")

    def test_jobs_have_no_permission_by_default(self):
        """Each job names the permissions that the job needs."""
        for path in (ROOT / ".github/workflows").iterdir():
            workflow = yaml.safe_load(path.read_text())
            self.assertEqual(workflow["permissions"], {}, path.name)
            for name, job in workflow["jobs"].items():
                with self.subTest(workflow=path.name, job=name):
                    self.assertIn("permissions", job)
                    self.assertIn("timeout-minutes", job)


class Architecture(unittest.TestCase):
    def test_tables_name_each_module_once(self):
        text = (ROOT / "docs/architecture.md").read_text()
        for crate in ["iface-core", "netns-scan", "agent"]:
            section = text.split(f"\n## crates/{crate}:")[1].split("\n## ")[0]
            rows = re.findall(r"^\| (`.*?) \|", section, flags=re.M)
            named = [name.removesuffix(".rs") for row in rows for name in re.findall(r"`([^`]+)`", row)]
            source = ROOT / "crates" / crate / "src"
            modules = {path.stem for path in source.iterdir() if path.suffix == ".rs" or path.is_dir()} - {"lib"}
            with self.subTest(crate=crate):
                self.assertEqual(sorted({name.split("/")[0] for name in named}), sorted(modules))
                self.assertEqual(len(named), len(set(named)), "a module is named twice")
            for name in named:
                with self.subTest(crate=crate, module=name):
                    self.assertTrue((source / name).is_dir() or (source / f"{name}.rs").is_file())

    def test_every_path_of_the_page_exists(self):
        text = (ROOT / "docs/architecture.md").read_text()
        for path in re.findall(r"\bcrates/[\w./-]*[\w/]", text):
            with self.subTest(path=path):
                self.assertTrue((ROOT / path).exists())


if __name__ == "__main__":
    unittest.main()
