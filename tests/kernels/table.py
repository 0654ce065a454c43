"""table.py LOG...: a table of kernels, engines and suites, and the rows of tests/runtimes.sh, from the logs of virtual machines.
Fails if a test failed, or if a suite did not end."""
import collections, pathlib, re, sys


def rows(log, runtimes):
    """Prints the rows of a log, and adds those of runtimes to the list; returns whether all suites ended well."""
    kernel, slow, suite, selected, ended = "did not boot", "?", None, set(), {}
    counts, before = collections.defaultdict(collections.Counter), len(runtimes)
    for line in log.read_text(errors="replace").splitlines():
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
        elif suite == "runtimes" and line.startswith("| "):
            runtimes.append(line)
    for (suite, engine), count in sorted(counts.items()):
        seconds = ended.get(suite, (1, "no end"))[1]
        print(f"| {kernel} | {slow} | {suite} | {engine} | {count['ok']} | {count['FAILED']} | {seconds} |")
    return bool(counts or runtimes[before:]) and selected == ended.keys() and not any(code for code, _ in ended.values())


print("\n| kernel | time factor | suite | engine | passed | failed | seconds of the suite |")
print("|---|---|---|---|---|---|---|")
of_runtimes = []
failed = [log.stem for log in map(pathlib.Path, sys.argv[1:]) if not rows(log, of_runtimes)]
print("", *of_runtimes, sep="\n")
if failed:
    sys.exit(f"failed on Linux {', '.join(failed)}; the output above has the reasons")
