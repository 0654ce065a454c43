#!/usr/bin/env bash
# Runs the suites that depend on the kernel on Debian's kernels, each in a virtual machine, and prints a table:
#
#   tests/kernels.sh                 Linux 5.10, 6.1, 6.12 and the newest of Debian
#   tests/kernels.sh 5.10 6.12       only these
#   tests/kernels.sh 6.1 -- exactness:churn:: cli
#                                    only these suites, BINARY:FILTER...; BINARY is exactness, cli, privileges, or
#                                    runtimes, for containers with cgroup version 2:
#   tests/kernels.sh 6.12 -- "runtimes:sid containerd lxc"
#                                    by tests/runtimes.sh, with its arguments
#
# Kernels are unpacked beside the system into ${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/kernels. The machine's
# own files are the root file system of the virtual machine, read-only, so the binaries and tools are the same on every
# kernel; only the unified hierarchy of cgroups is mounted. qemu emulates the CPU: the programs are built with optimisation,
# time limits grow by the measured factor, which is printed, and tests make a tenth of their namespaces.
# KERNELS_ACCEL=kvm uses the CPU itself, where /dev/kvm works. A machine runs for an hour at most, or KERNELS_LIMIT seconds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
cache=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools
fail() { echo "kernels.sh: $*" >&2; exit 1; }

versions=() suites=()
while [ $# != 0 ]; do
  case $1 in
    --) shift; suites=("$@"); break ;;
    *) versions+=("$1"); shift ;;
  esac
done
[ ${#versions[@]} != 0 ] || versions=(5.10 6.1 6.12 newest)
# An emulated CPU is too slow for exact accounts: of a deleted namespace, the last packets are lost before the agent runs.
[ ${#suites[@]} != 0 ] || suites=(exactness:{identity,links,lifetime,churn}:: "cli:--skip account::" privileges)

tests/tools.sh kernels
export PATH=$cache/bin:$PATH:/usr/sbin:/sbin
mkdir -p "$cache/kernels"

work=$(mktemp -d "${TMPDIR:-/tmp}/netns-agent-kernels.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Test binaries and the program, optimised: emulation makes each instruction tens of times slower.
built=$(CARGO_TARGET_DIR=target/emulated CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0 \
  cargo test --quiet --locked --no-run -p netns-scan --test exactness -p netns-agent --test cli --test privileges --message-format=json-render-diagnostics |
  jq -r 'select(.executable != null and (.target.kind[0] == "test" or .target.kind[0] == "bin")) | "\(.target.name) \(.executable)"')
binary() { awk -v name="$1" '$1 == name {path = $2} END {print path}' <<<"$built"; }
for name in exactness cli privileges netns-agent; do [ -x "$(binary $name)" ] || fail "cargo built no $name"; done

# suite BINARY:FILTER: name, path and arguments of the suite for tests/kernels/init.sh.
suite() {
  local kind=${1%%:*} filter=
  case $1 in *:*) filter=${1#*:} ;; esac
  case $kind in
    exactness) echo "${filter%%:*} $(binary exactness) $filter" ;;
    cli | privileges) echo "$kind $(binary "$kind") $filter" ;;
    runtimes)
      tests/runtimes.sh unpack $filter >&2
      [ -e "$work/image.tar" ] || tests/image.sh "$(binary netns-agent)" "$work/image.tar" >&2
      echo "runtimes env NETNS_AGENT_BINARY=$(binary netns-agent) IMAGE=$work/image.tar tests/runtimes.sh $filter"
      ;;
    *) fail "there is no binary $kind" ;;
  esac
}

# A fixed amount of work, timed here and in the virtual machine, in milliseconds.
load='i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done'
host_speed() { local began; began=$(date +%s%N); busybox sh -c "$load"; echo $((($(date +%s%N) - began) / 1000000)); }

# run VERSION DIRECTORY: boots the kernel, runs all suites, and prints their output.
run() {
  local image=$cache/kernels/$1 directory=$2
  tests/kernels/initramfs.sh "$image" "$directory"
  {
    echo "root=$root"
    echo "path=$PATH"
    echo "home=$HOME"
    echo "speed=$(host_speed)"
    printf 'load=%q\n' "$load"
  } >"$directory/initramfs/settings"
  cp "$work/suites" "$directory/initramfs/suites"
  (cd "$directory/initramfs" && find . | cpio -o -H newc --quiet --owner 0:0 | gzip -1) >"$directory/initramfs.gz"
  # One machine must not wait for ever, and a kernel that panics ends. In the foreground, so that a signal to
  # the script ends the machine too.
  timeout --foreground "${KERNELS_LIMIT:-3600}" qemu-system-x86_64 -M q35 -accel "${KERNELS_ACCEL:-tcg,thread=multi}" -cpu max -smp 2 -m 4G -nodefaults -nographic -no-reboot \
    -kernel "$(echo "$image"/boot/vmlinuz-*)" -initrd "$directory/initramfs.gz" -append "console=ttyS0 quiet panic=-1 loglevel=3" \
    -serial stdio -virtfs "local,path=/,mount_tag=machine,security_model=none,readonly=on,multidevs=remap" </dev/null | stdbuf -o0 tr -d '\r'
}

for word in "${suites[@]}"; do suite "$word"; done >"$work/suites"
for version in "${versions[@]}"; do
  tests/kernels/fetch.sh "$version" "$cache/kernels/$version"
  mkdir -p "$work/$version"
  echo "=== Linux $version"
  run "$version" "$work/$version" | tee "$work/$version.log" | grep --line-buffered -v ' \.\.\. ok$' || true
  rm -rf "$work/${version:?}"
done

python tests/kernels/table.py "$work"/*.log
