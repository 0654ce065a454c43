#!/usr/bin/env bash
# Pods and containers of real runtimes: the agent must list every interface with its owner, see it end, and hold nothing. In
# Docker and podman, the agent also runs as a container, by the commands of docs/quick-start/linux.md.
#
#   tests/runtimes.sh                    containerd, Docker, podman (also rootless), systemd-nspawn and LXC of Debian
#                                        bookworm, trixie and sid
#   tests/runtimes.sh sid                the runtimes of one suite
#   tests/runtimes.sh sid podman lxc     two of them
#   tests/runtimes.sh unpack sid         only the download, for a machine without a network
#   NETNS_AGENT_BINARY=… tests/runtimes.sh   the program to test, by default target/debug/netns-agent
#   IMAGE=… tests/runtimes.sh            an archive of tests/image.sh with that program, by default made here
#
# Pods of containerd are asked for through the CRI, as a kubelet does. Runtimes, runc and the CNI plugins are unpacked beside
# the system into ${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/runtimes, and run in namespaces of their own. Needs root
# on amd64. Prints rows for the table in docs/requirements.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fail() { echo "runtimes.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "needs root: the runtimes make cgroups and mounts"
tests/tools.sh runtimes
tests/tools.sh image
cache=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools
export PATH=$cache/bin:$PATH:/usr/sbin:/sbin
suites=() runtimes=() unpack=
for word in "$@"; do
  case $word in
    bookworm | trixie | sid) suites+=("$word") ;;
    containerd | docker | podman | rootless | nspawn | lxc) runtimes+=("$word") ;;
    unpack) unpack=only ;;
    *) fail "there is no suite and no runtime $word" ;;
  esac
done
[ ${#suites[@]} != 0 ] || suites=(bookworm trixie sid)
[ ${#runtimes[@]} != 0 ] || runtimes=(containerd docker podman rootless nspawn lxc)
if [ ! "$unpack" ]; then
  [ -n "${NETNS_AGENT_BINARY-}" ] || cargo build -q --locked -p netns-agent
  AGENT=$(realpath "${NETNS_AGENT_BINARY:-target/debug/netns-agent}")
  unset NETNS_AGENT_BINARY
  export AGENT
  # The image that the quick start runs in Docker and podman.
  case " ${runtimes[*]} " in
    *" docker "* | *" podman "*)
      if [ -z "${IMAGE-}" ]; then
        images=$(mktemp -d)
        trap 'rm -rf "$images"' EXIT
        IMAGE=$images/netns-agent.tar
        tests/image.sh "$AGENT" "$IMAGE"
      fi
      export IMAGE
      ;;
  esac
fi
failed=0
for suite in "${suites[@]}"; do
  for runtime in "${runtimes[@]}"; do
    case $suite-$runtime in
      bookworm-rootless)
        echo "not run: podman 4.3 of $suite does not know pasta, a network of the test of rootless podman"
        continue
        ;;
      sid-nspawn | sid-lxc)
        if [ ! "$unpack" ] && [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
          echo "not run: $suite's $runtime refuses cgroup version 1, which this machine has"
          continue
        fi
        ;;
    esac
    root=$cache/runtimes/$suite-$runtime
    case $runtime in
      containerd) packages=(containerd containernetworking-plugins iptables) ;;
      docker) packages=(docker.io docker-cli tini iptables) ;;
      podman) packages=(podman netavark catatonit) ;;
      rootless) packages=(podman netavark catatonit uidmap passt slirp4netns util-linux) ;;
      nspawn) packages=(systemd-container) ;;
      lxc) packages=(lxc) ;;
    esac
    case $suite-$runtime in
      bookworm-docker) packages=(docker.io tini iptables) ;;
      bookworm-podman) packages=(podman containernetworking-plugins iptables catatonit) ;; # CNI in place of netavark
    esac
    tests/debian/unpack.sh "$root" "$suite" amd64 "${packages[@]}" runc busybox-static
    [ ! "$unpack" ] || continue
    # The names of the pods' namespaces, their processes and the node's links end with this call.
    unshare --mount --net --pid --ipc --fork --kill-child --mount-proc tests/runtimes/inside.sh "$root" $runtime || failed=1
  done
done
exit $failed
