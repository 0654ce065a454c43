"""Checks deploy/kubectl-netns and its manifest for krew, with programs that stand in for kubectl."""
import json, os, pathlib, shutil, subprocess, tempfile, time, unittest

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# Records its arguments and replies like a cluster of two nodes; lookup fails on the second node.
KUBECTL = r"""#!/bin/sh
printf '<%s>' "$@" >>"$ASKED"; echo >>"$ASKED"
case "$*" in
*spec.nodeName=n1*) echo n1 agents a1 ;;
*spec.nodeName=*) ;;
*"get pods"*) printf 'n2 agents a2\nn1 agents a1\n' ;;
*"get namespaces"*) printf 'namespace/default\nnamespace/shop\n' ;;
*exec*a2*lookup*) echo "no such interface" >&2; echo "command terminated with exit code 1" >&2; exit 1 ;;
*exec*a1*"net1"*) printf 'NETNS\tINTERFACE\nblue\tnet1\n' ;;
*exec*a2*"net1"*) echo "netns-agent: no interface matches net1" >&2; echo "command terminated with exit code 1" >&2; exit 1 ;;
*exec*a2*"list lost"*) echo "Error from server: error dialing backend" >&2; exit 1 ;;
*exec*a2*"list slow"*) exec sleep 1000 ;;
*port-forward*a1*) echo "Forwarding from 127.0.0.1:40123 -> 9465" ;;
*exec*watch*hang*) echo started; exec sleep 1000 ;;
*exec*a1*"-o tsv") printf 'NETNS\tINDEX\tINTERFACE\tSTATE\tMAC\tPOD\tNETWORK\nhost\t2\tveth1\tup\t-\t→ a/b\tcni\n' ;;
*exec*a2*"-o tsv") printf 'NETNS\tINTERFACE\tSTATE\tPOD\tINDEX\na netns\teth0\tdown\ta/b\t3\n' ;;
*exec*"-o json") printf '[\n{"name":"eth0"},\n{"name":"eth1"}\n]\n' ;;
*exec*a1*) echo "answer 1" ;;
*exec*a2*) echo "answer 2" ;;
esac
"""
# A cluster of 200 nodes with an agent each, of which one never answers and one is gone. An answer takes half a second.
FLEET = r"""#!/bin/sh
case "$*" in
*"get pods"*) n=1; while [ $n -le 200 ]; do echo "worker-$n agents agent-$n"; n=$((n + 1)); done ;;
*agent-77\ *) exec sleep 1000 ;;
*agent-99\ *) echo 'Error from server: error dialing backend: connection refused' >&2; exit 1 ;;
*) echo >>"$ASKED"
   sleep 0.5
   printf 'NETNS\tINTERFACE\tSTATE\tMAC\tPOD\tNETWORK\nhost\teth0\tup\t02:00:00:00:00:01\t-\t-\n' ;;
esac
"""


class Plugin(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.stand_in(KUBECTL)
        self.environment = {"PATH": f"{self.folder}:{os.environ['PATH']}", "ASKED": str(self.folder / "asked"),
                            "TMPDIR": str(self.folder)}

    def stand_in(self, kubectl):
        (self.folder / "kubectl").write_text(kubectl)
        (self.folder / "kubectl").chmod(0o755)

    def call(self, *args):
        plugin = [str(ROOT / "deploy/kubectl-netns"), *args]
        return subprocess.run(plugin, env=self.environment, capture_output=True, text=True, timeout=60)

    def asked(self):
        return (self.folder / "asked").read_text()

    def test_list_merges_nodes_into_one_table(self):
        """A column that an older agent lacks is "-", and a letter of several bytes takes one place."""
        merged = ("NODE NETNS   INTERFACE STATE MAC POD   NETWORK\n"
                  "n1   host    veth1     up    -   → a/b cni\n"
                  "n2   a netns eth0      down  -   a/b   -\n")
        self.assertEqual(self.call("list").stdout, merged)
        self.assertEqual(self.call("list", "--output=table").stdout, merged)
        self.assertEqual(self.call("list", "--no-headers").stdout.splitlines()[0], "n1 host    veth1 up   - → a/b cni")
        wide = self.call("list", "-owide").stdout
        self.assertEqual(wide.split("\n")[0].split(), "NODE NETNS INDEX INTERFACE STATE MAC POD NETWORK".split())
        self.assertIn("n2   a netns 3 ", " ".join(wide.replace("     ", " ").splitlines()))
        self.assertEqual(self.call("list", "-o", "tsv", "--node", "n1").stdout,
                         "NODE\tNETNS\tINDEX\tINTERFACE\tSTATE\tMAC\tPOD\tNETWORK\nn1\thost\t2\tveth1\tup\t-\t→ a/b\tcni\n")

    def test_json_of_list_names_the_node(self):
        merged = json.loads(self.call("list", "-o", "json").stdout)
        self.assertEqual([(one["node"], one["name"]) for one in merged],
                         [("n1", "eth0"), ("n1", "eth1"), ("n2", "eth0"), ("n2", "eth1")])

    def test_only_texts_have_node_headings(self):
        """Output for programs (yaml, name) has no headings."""
        for args in (["doctor"], ["tree"], ["lookup", "2"]):
            with self.subTest(args):
                self.assertTrue(self.call(*args).stdout.startswith("# node n1\nanswer 1\n# node n2\n"))
        for args in (["list", "-o=name"], ["list", "--output", "yaml"], ["tree", "-odot"]):
            with self.subTest(args):
                self.assertEqual(self.call(*args).stdout, "answer 1\nanswer 2\n")

    def test_agent_flags_are_passed_unchanged(self):
        """Flags of the plugin do not reach the agent."""
        done = self.call("list", "--agent-namespace", "agents", "--context=my cluster", "-n", "a b", "--node", "n1", "-o", "name",
                         "--parallel", "3", "--timeout=5", "*")
        self.assertEqual((done.returncode, done.stdout), (0, "answer 1\n"), done.stderr)
        get, ask = self.asked().splitlines()
        self.assertTrue(get.startswith("<--context=my cluster><get><pods><--namespace=agents>"), get)
        self.assertTrue(ask.endswith("<--><netns-agent><list><-n><a b><*><-o><name>"), ask)

    def test_failing_nodes_are_named(self):
        """The other nodes are printed, and the exit code is 1; a node without an answer is told from one that fails."""
        done = self.call("lookup", "7")
        self.assertEqual((done.returncode, done.stdout), (1, "# node n1\nanswer 1\n# node n2\n"))
        self.assertEqual(done.stderr, "n2: no such interface\nkubectl netns: 1 of 2 nodes failed: n2\n")
        done = self.call("list", "lost")
        self.assertEqual((done.returncode, len(done.stdout.splitlines())), (1, 2))
        self.assertEqual(done.stderr, "n2: Error from server: error dialing backend\nkubectl netns: 1 of 2 nodes did not answer: n2\n")
        done = self.call("list", "slow", "--timeout", "1")
        self.assertEqual((done.returncode, len(done.stdout.splitlines())), (1, 2))
        self.assertEqual(done.stderr, "n2: no answer within 1 s\nkubectl netns: 1 of 2 nodes did not answer: n2\n")

    def test_names_need_one_node_only(self):
        done = self.call("list", "net1")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.splitlines()[1].split(), ["n1", "blue", "net1", "-", "-", "-", "-"])
        done = self.call("list", "-o", "name", "net1", "--node", "n2")
        self.assertEqual(done.returncode, 1)

    def test_fleet_of_200_answers_in_time(self):
        """One table within 10 s, with as many questions at a time as allowed and the two silent nodes at the end."""
        self.stand_in(FLEET)
        began = time.monotonic()
        done = self.call("list", "--timeout", "4")
        took = time.monotonic() - began
        rows = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual({row[0] for row in rows[1:]}, {f"worker-{n}" for n in range(1, 201)} - {"worker-77", "worker-99"})
        self.assertEqual(done.stderr.splitlines()[-1], "kubectl netns: 2 of 200 nodes did not answer: worker-77 worker-99")
        self.assertEqual((done.returncode, len(self.asked().splitlines())), (1, 198))
        self.assertLess(took, 10)
        print(f"kubectl netns list, 200 nodes: {took:.1f} s")

    def test_questions_are_bounded(self):
        """Two places: while two questions wait, the third is not asked."""
        self.stand_in("""#!/bin/sh
case "$*" in
*"get pods"*) for n in 1 2 3 4 5 6; do echo "n$n agents a$n"; done ;;
*) : >"$ASKED.running/$$"; sleep 0.2; ls "$ASKED.running" | wc -l >>"$ASKED"; rm "$ASKED.running/$$"; printf 'NETNS\\tPOD\\n' ;;
esac
""")
        (self.folder / "asked.running").mkdir()
        for places in (1, 2):
            (self.folder / "asked").write_text("")
            self.call("list", "--parallel", str(places))
            counts = [int(line) for line in self.asked().splitlines()]
            self.assertEqual((len(counts), max(counts) <= places), (6, True), counts)

    def test_exit_codes_of_errors_and_help(self):
        for args, code, said in (
            (["list", "--node", "n9"], 1, "no running pod of n9"), (["lisst"], 2, "lisst is not"), (["list", "--node"], 2, "--node needs"),
            (["top"], 2, "one of n1 n2"), (["list", "--parallel", "0"], 2, "whole numbers"), (["list", "--timeout", "1m"], 2, "whole numbers"),
        ):
            with self.subTest(args):
                done = self.call(*args)
                self.assertEqual((done.returncode, said in done.stderr), (code, True), done.stderr)
        self.assertIn("--agent-selector", self.call("--help").stdout)

    def test_words_are_completed(self):
        """kubectl calls kubectl_complete-netns with the words so far; :4 forbids names of files."""
        shutil.copy(ROOT / "deploy/kubectl-netns", self.folder)
        (self.folder / "kubectl").write_text(KUBECTL.replace("#!/bin/sh\n", '#!/bin/sh\n[ "$1" != netns ] || { shift; exec kubectl-netns "$@"; }\n', 1))
        for words, offered in (
            ([""], "list lookup doctor watch top tree ui"), (["t"], "top tree"), (["top", "--node", ""], "n1 n2"),
            (["top", "--node", "n2"], "n2"), (["list", "-n", "s"], "shop"), (["list", "-o", "t"], "table tsv"), (["tree", "-o", "d"], "dot"),
            (["ui", "--ad"], "--admin-port"), (["list", "--net"], "--netns --network"), (["list", "--pod", ""], ""), (["list", ""], ""),
        ):
            with self.subTest(words):
                done = subprocess.run([str(ROOT / "deploy/kubectl_complete-netns"), *words], env=self.environment,
                                      capture_output=True, text=True, timeout=60)
                self.assertEqual(done.stdout.split(), [*offered.split(), ":4"], done.stderr)

    def test_top_has_a_terminal(self):
        self.assertEqual(self.call("top", "--node", "n1", "-n", "x").stdout, "answer 1\n")
        self.assertIn("<exec><-it><-n><agents><a1><-c><netns-agent><--><netns-agent><top><-n><x>", self.asked())

    def test_ui_forwards_a_port(self):
        """ui prints the address that kubectl has chosen and opens a browser there."""
        (self.folder / "browser").write_text('#!/bin/sh\necho "$1" >"$ASKED.opened"\n')
        (self.folder / "browser").chmod(0o755)
        self.environment["BROWSER"] = "browser"
        done = self.call("ui", "--node", "n1", "--admin-port=9999")
        self.assertEqual(done.stdout, "http://127.0.0.1:40123/ shows n1; Ctrl-C ends the connection\n", done.stderr)
        self.assertIn("<port-forward><-n><agents><a1><:9999>", self.asked())
        self.assertEqual(self.call("ui").returncode, 2)

    def test_watch_prefixes_lines_and_stops(self):
        """Each line has its node's name; after SIGTERM no child remains, and the process group survives."""
        lines = self.call("watch").stdout.splitlines()
        self.assertEqual(sorted(lines), ["n1: answer 1", "n2: answer 2"])
        watching = subprocess.Popen([str(ROOT / "deploy/kubectl-netns"), "watch", "hang"], env=self.environment,
                                    stdout=subprocess.PIPE, text=True)
        self.assertEqual({watching.stdout.readline() for _ in range(2)}, {"n1: started\n", "n2: started\n"})
        watching.terminate()  # the signal must not reach this process, which is in the same group
        # End of file: no child of the plugin holds the pipe.
        self.assertEqual(watching.communicate(timeout=30)[0], "")
        self.assertEqual(watching.returncode, 143)

    def test_signal_ends_open_questions(self):
        """After SIGTERM neither questions nor files are left."""
        self.stand_in(KUBECTL.replace("exec sleep 1000", 'echo $$ >>"$ASKED.pids"; exec sleep 1000'))
        os.mkfifo(self.folder / "asked.pids")
        listing = subprocess.Popen([str(ROOT / "deploy/kubectl-netns"), "list", "slow"], env=self.environment,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        pid = int((self.folder / "asked.pids").read_text())
        listing.terminate()
        self.assertEqual(listing.communicate(timeout=30)[0], "")
        self.assertEqual(listing.returncode, 143)
        self.assertFalse(pathlib.Path(f"/proc/{pid}/cmdline").exists() and b"1000" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())
        self.assertEqual([path.name for path in self.folder.iterdir() if path.is_dir()], [])

    def test_krew_manifest_names_the_archive(self):
        """packaging/build.sh fills in the version and the sum of the archive."""
        (manifest,) = yaml.safe_load_all((ROOT / "packaging/krew.yaml").read_text())
        self.assertEqual((manifest["apiVersion"], manifest["kind"]), ("krew.googlecontainertools.github.com/v1alpha2", "Plugin"))
        # The name of the program follows from the name of the plugin.
        (platform,) = manifest["spec"]["platforms"]
        self.assertEqual(platform["bin"], f"kubectl-{manifest['metadata']['name']}")
        self.assertIn(platform["bin"], [pathlib.Path(file["from"]).name for file in platform["files"]])
        self.assertRegex(manifest["spec"]["version"], r"^v")
        self.assertLessEqual(len(manifest["spec"]["shortDescription"]), 50)
