#!/usr/bin/env bash
# Containers of a real podman, a real Docker and a real LXC, and a task of a real containerd: the agent must name them as the owners
# of their interfaces within 100 ms.
#
#   tests/containers.sh [PROGRAM]   PROGRAM is netns-agent, by default target/debug/netns-agent
#
# podman, Docker, LXC, containerd, runc, conmon, CNI plugins and busybox are Debian's packages, unpacked beside the system into a
# directory that is removed at the end. Needs root, Debian (or Ubuntu) with apt-get, and a kernel with veth and bridge. The
# only image has busybox. Docker and containerd run in namespaces of their own; see tests/containers/docker.sh.
set -euo pipefail

program=$(realpath "${1:-$(dirname "${BASH_SOURCE[0]}")/../target/debug/netns-agent}")
fail() { echo "containers.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "cannot run: needs root"
command -v apt-get dpkg >/dev/null || fail "cannot run: needs Debian's apt-get and dpkg"
[ -x "$program" ] || fail "cannot run: $program is missing; build it with cargo build"

work=$(mktemp -d)
agent=
podman() {
  CONTAINERS_CONF=$work/containers.conf timeout 60 "$work/usr/bin/podman" --root "$work/storage" --runroot "$work/run" \
    --tmpdir "$work/tmp" --storage-driver vfs --cgroup-manager cgroupfs "$@"
}
finish() {
  [ -z "$agent" ] || kill "$agent" 2>/dev/null || true
  podman rm -f -t 0 web >/dev/null 2>&1 || true
  find /sys/fs/cgroup -depth -type d \( -path '*/netns-agent-test*' -o -path '*/lxc.*.netns-agent-test*' \) -exec rmdir {} + 2>/dev/null || true
  umount -R "$work/storage/vfs-containers" "$work/storage" 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT

(cd "$work" && apt-get download -qq podman conmon docker.io containerd runc tini lxc liblxc1 containernetworking-plugins busybox-static >/dev/null 2>"$work/apt.log") ||
  fail "cannot run: apt-get download failed: $(tail -1 "$work/apt.log")"
for package in "$work"/*.deb; do dpkg -x "$package" "$work"; done
mkdir -p "$work/root/bin" "$work/cni" "$work/storage/vfs-containers"
cp "$work/bin/busybox" "$work/root/bin/"
runc=$(find "$work/usr" -path '*bin/runc' -type f | head -1)
cat >"$work/containers.conf" <<END
[engine]
runtime = "runc"
conmon_path = ["$work/usr/bin/conmon"]
events_logger = "file"
[engine.runtimes]
runc = ["$runc"]
[network]
network_backend = "cni"
network_config_dir = "$work/cni"
cni_plugin_dirs = ["$work/usr/lib/cni"]
END
# ptp makes a veth pair, and needs neither iptables nor a bridge.
cat >"$work/cni/demo.conflist" <<END
{"cniVersion": "0.4.0", "name": "demo", "plugins": [{"type": "ptp", "ipam":
  {"type": "host-local", "ranges": [[{"subnet": "198.51.100.0/28"}]], "dataDir": "$work/ipam"}}]}
END

NETNS_AGENT_LOG_LEVEL=warn "$program" watch -o json --watch-pods false --netns-dir /run/netns \
  --container-dir "$work/storage/vfs-containers" >"$work/events" &
agent=$!
# until LIMIT TEXT: waits until an event has the text.
until_event() {
  timeout "$1" sh -c 'until grep -q "$1" "$2"; do sleep 0.02; done' - "$2" "$work/events" ||
    fail "no event has $2; the last: $(tail -1 "$work/events")"
}
until_event 30 '"Synced"'
limits=(--ulimit nofile=1024:1024 --ulimit nproc=1024:1024)
podman run -d --name web --network demo "${limits[@]}" --rootfs "$work/root" /bin/busybox sleep 600 >/dev/null ||
  fail "podman could not run a container"
until_event 10 '"runtime":"podman","name":"web"'
record=$(ls "$work"/storage/vfs-containers/*/userdata/config.json)
python3 - "$work/events" "$record" <<'END'
import datetime, json, os, sys
events = [json.loads(line) for line in open(sys.argv[1])]
named = [e for e in events if (e.get("interface", {}).get("container") or {}).get("name") == "web"]
first = datetime.datetime.fromisoformat(named[0]["time"][:26] + "+00:00").timestamp()
delay = (first - os.stat(sys.argv[2]).st_mtime) * 1000
ends = sorted({e["interface"]["container"]["end"] for e in named})
print(f"podman's container was named {delay:.1f} ms after its record, at the ends {ends}")
sys.exit(delay > 100 or ends != ["container", "host"])
END
podman rm -f -t 0 web >/dev/null
until_event 10 '"Deleted"'
last=$(grep '"Deleted"' "$work/events" | tail -1)
grep -q '"name":"web"' <<<"$last" || fail "the deleted interface lost its container: $last"
kill "$agent"; wait "$agent" 2>/dev/null || true
agent=
# The death of the first process in the PID namespace ends the daemons and all containers.
timeout 180 unshare --mount --net --pid --fork --kill-child --mount-proc \
  "$(dirname "${BASH_SOURCE[0]}")/containers/docker.sh" "$work" "$program" || fail "the Docker part failed"
echo "containers.sh: passed"
