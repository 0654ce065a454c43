"""table.py VERSION LOG: rows of the table of kernels, from the log of a virtual machine. Fails if a test failed, or if a
suite did not end."""
import collections, re, sys

version, log = sys.argv[1:]
lines = open(log, errors="replace").read().splitlines()
kernel, slow, suite, selected, ended = "did not boot", "?", None, set(), {}
counts = collections.defaultdict(collections.Counter)
for line in lines:
    if found := re.search(r"kernel: (\S+) .*slow=(\d+)", line):
        kernel, slow = found.groups()
    elif found := re.match(r"suite: (\w+) ended with (\d+) after (\d+) s", line):
        ended[found[1]] = int(found[2]), int(found[3])
    elif found := re.match(r"suite: (\w+) selected$", line):
        selected.add(found[1])
    elif found := re.match(r"suite: (\w+)$", line):
        suite = found[1]
    elif found := re.match(r"test (\S+)\s+\.\.\. (ok|FAILED)", line):
        engine = re.search(r"\b(nsid|setns)\b", found[1])
        counts[suite, engine[1] if engine else "both"][found[2]] += 1
for (suite, engine), count in sorted(counts.items()):
    seconds = ended.get(suite, (1, "no end"))[1]
    print(f"| {kernel} | {slow} | {suite} | {engine} | {count['ok']} | {count['FAILED']} | {seconds} |")
good = counts and selected == ended.keys() and not any(code for code, _ in ended.values())
if not good:
    print(f"kernels.sh: Linux {version} failed; the log above has the reasons", file=sys.stderr)
sys.exit(not good)
