#!/usr/bin/env bash
# Pods and containers of today's runtimes: the agent must list every interface with its owner, see it end, and hold nothing.
#
#   tests/runtimes.sh                    containerd, Docker, podman (also rootless) and systemd-nspawn of Debian trixie and sid
#   tests/runtimes.sh sid                the runtimes of one suite
#   NETNS_AGENT_BINARY=… tests/runtimes.sh   the program to test, by default target/debug/netns-agent
#
# Pods of containerd are asked for through the CRI, as a kubelet does. Runtimes, runc and the CNI plugins are unpacked beside the system into
# ${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/runtimes, and run in namespaces of their own. Needs root on amd64. Prints
# rows for the table in docs/requirements.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fail() { echo "runtimes.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "needs root: the runtimes make cgroups and mounts"
tests/tools.sh runtimes
cache=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools
export PATH=$cache/bin:$PATH:/usr/sbin:/sbin
[ -n "${NETNS_AGENT_BINARY-}" ] || cargo build -q --locked -p netns-agent
AGENT=$(realpath "${NETNS_AGENT_BINARY:-target/debug/netns-agent}")
export AGENT
unset NETNS_AGENT_BINARY
[ $# != 0 ] || set -- trixie sid
failed=0
for suite in "$@"; do
  for runtime in containerd docker podman rootless nspawn; do
    if [ $suite-$runtime = sid-nspawn ] && [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
      echo "not run: $suite's systemd-nspawn refuses cgroup version 1, which this machine has"
      continue
    fi
    root=$cache/runtimes/$suite-$runtime
    case $runtime in
      containerd) packages=(containerd containernetworking-plugins iptables) ;;
      docker) packages=(docker.io docker-cli tini iptables) ;;
      podman) packages=(podman netavark catatonit) ;;
      rootless) packages=(podman netavark catatonit uidmap passt slirp4netns util-linux) ;;
      nspawn) packages=(systemd-container) ;;
    esac
    tests/debian/unpack.sh "$root" "$suite" amd64 "${packages[@]}" runc busybox-static
    # The names of the pods' namespaces, their processes and the node's links end with this call.
    unshare --mount --net --pid --ipc --fork --kill-child --mount-proc tests/runtimes/inside.sh "$root" $runtime || failed=1
  done
done
exit $failed
