#!/usr/bin/env bash
# Runs the suites that depend on the kernel on Debian's kernels, each in a virtual machine, and prints a table:
#
#   tests/kernels.sh                 Linux 5.10, 6.1, 6.12 and the newest of Debian
#   tests/kernels.sh 5.10 6.12       only these
#   tests/kernels.sh 6.1 -- churn    only tests with `churn` in the name
#
# Kernels are unpacked beside the system into ${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/kernels. The machine's
# own files are the root file system of the virtual machine, read-only, so the binaries and tools are the same on every
# kernel. qemu emulates the CPU: the programs are built with optimisation, time limits grow by the measured factor, which is
# printed, and tests make a tenth of their namespaces. KERNELS_ACCEL=kvm uses the CPU itself, where /dev/kvm works.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
cache=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools
fail() { echo "kernels.sh: $*" >&2; exit 1; }

versions=() filter=()
while [ $# != 0 ]; do
  case $1 in
    --) shift; filter=("$@"); break ;;
    *) versions+=("$1"); shift ;;
  esac
done
[ ${#versions[@]} != 0 ] || versions=(5.10 6.1 6.12 newest)

tests/tools.sh kernels
export PATH=$cache/bin:$PATH:/usr/sbin:/sbin
mkdir -p "$cache/kernels"

# Test binaries and the program, optimised: emulation makes each instruction tens of times slower.
built=$(CARGO_TARGET_DIR=target/emulated CARGO_PROFILE_DEV_OPT_LEVEL=1 CARGO_PROFILE_DEV_DEBUG=0 \
  cargo test --quiet --locked --no-run -p netns-scan --test exactness -p netns-agent --test cli --test privileges --message-format=json |
  jq -r 'select(.executable != null and .profile.test and (.target.kind[0] == "test")) | "\(.target.name) \(.executable)"')
suite() { awk -v name="$1" '$1 == name {print $2}' <<<"$built"; }
for name in exactness cli privileges; do [ -x "$(suite $name)" ] || fail "cargo built no test $name"; done

# suites: name, binary and filter of each.
suites() {
  local name
  if [ ${#filter[@]} != 0 ]; then
    for name in exactness cli privileges; do echo "$name $(suite $name) ${filter[*]}"; done
  else
    for name in identity links lifetime churn; do echo "$name $(suite exactness) $name::"; done
    for name in cli privileges; do echo "$name $(suite $name)"; done
  fi
}

# A fixed amount of work, timed here and in the virtual machine, in milliseconds.
load='i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done'
host_speed() { local began; began=$(date +%s%N); busybox sh -c "$load"; echo $((($(date +%s%N) - began) / 1000000)); }

# run VERSION: boots the kernel, runs all suites, and prints their output.
run() {
  local image=$cache/kernels/$1 work=$2
  tests/kernels/initramfs.sh "$image" "$work"
  {
    echo "root=$root"
    echo "path=$PATH"
    echo "home=$HOME"
    echo "speed=$(host_speed)"
    printf 'load=%q\n' "$load"
  } >"$work/initramfs/settings"
  suites >"$work/initramfs/suites"
  (cd "$work/initramfs" && find . | cpio -o -H newc --quiet --owner 0:0 | gzip -1) >"$work/initramfs.gz"
  # One machine must not wait for ever: 40 minutes, and a kernel that panics ends. In the foreground, so that a signal to
  # the script ends the machine too.
  timeout --foreground 2400 qemu-system-x86_64 -M q35 -accel "${KERNELS_ACCEL:-tcg,thread=multi}" -cpu max -smp 2 -m 4G -nodefaults -nographic -no-reboot \
    -kernel "$(echo "$image"/boot/vmlinuz-*)" -initrd "$work/initramfs.gz" -append "console=ttyS0 quiet panic=-1 loglevel=3" \
    -serial stdio -virtfs "local,path=/,mount_tag=machine,security_model=none,readonly=on,multidevs=remap" </dev/null | stdbuf -o0 tr -d '\r'
}

work=$(mktemp -d "${TMPDIR:-/tmp}/netns-agent-kernels.XXXXXX")
trap 'rm -rf "$work"' EXIT
for version in "${versions[@]}"; do
  tests/kernels/fetch.sh "$version" "$cache/kernels/$version"
  mkdir -p "$work/$version"
  echo "=== Linux $version"
  run "$version" "$work/$version" | tee "$work/$version.log" | grep --line-buffered -v ' \.\.\. ok$' || true
  rm -rf "$work/${version:?}"
done

python tests/kernels/table.py "$work"/*.log
