#!/usr/bin/env bash
# Builds for arm64 on an amd64 machine, and runs what was built on an emulated CPU:
#
#   tests/arm64.sh unit [FILTER]      the unit tests of iface-core, in processes of this machine's kernel (qemu-user)
#   tests/arm64.sh program            the program in release mode, in the same way
#   tests/arm64.sh image              the container image of that program (needs root); see tests/image.sh
#   tests/arm64.sh kernels [VERSION...] [-- BINARY:FILTER...]
#                                     tests on Debian's arm64 kernels, each in a virtual machine with two CPUs, and a table;
#                                     BINARY is core (the unit tests of iface-core), exactness, cli, privileges, or
#                                     program, which takes no filter. The default is Linux 6.12 and all but cli; less:
#                                     tests/arm64.sh kernels 6.1 -- core:parallel exactness:identity:: program
#                                     A machine runs for an hour at most, or ARM64_LIMIT seconds.
#
# Compilers and qemu are Debian 13's packages, unpacked beside the system into
# ${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/arm64 (2 GB). They run inside that folder by chroot, in a user
# namespace unless it is root's. An amd64 CPU orders memory more strictly than arm64's, also in emulation: only a native
# arm64 machine, as in GitHub's workflow, can show a missing order.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools
root=$tools/arm64 machine=$tools/arm64-machine target=${ARM64_TARGET_DIR:-$PWD/target/arm64}
emulator="qemu-aarch64 -L /usr/aarch64-linux-gnu"
fail() { echo "arm64.sh: $*" >&2; exit 1; }
[ "$(uname -m)" = x86_64 ] || fail "this script needs an amd64 machine; on arm64, run .ci/run itself"

# inside COMMAND [FROM:TO]...: runs a command in the checkout, inside the unpacked Debian.
inside() {
  local namespaces=(--mount --propagation private)
  [ "$(id -u)" = 0 ] || namespaces+=(--user --map-root-user)
  unshare "${namespaces[@]}" bash tests/arm64/inside.sh "$root" "$target" "$@"
}

unit() { inside "cargo test --locked -p iface-core --lib -- ${1-}"; }

release() { inside "cargo build --quiet --locked --release -p netns-agent"; }

program() {
  release
  inside "tests/arm64/program.sh $emulator /target/aarch64-unknown-linux-gnu/release/netns-agent"
}

image() {
  release
  tests/debian/unpack.sh "$machine" trixie arm64 $machine_packages
  FOREIGN_ROOT=$machine EMULATOR=$root/usr/bin/qemu-aarch64 tests/image.sh "$target/aarch64-unknown-linux-gnu/release/netns-agent"
}

# tests ARGUMENT...: builds tests by cargo's arguments, and prints the path of the binary.
tests() {
  inside "cargo test --quiet --locked --no-run --message-format=json-render-diagnostics $*" </dev/null |
    jq -r 'select(.executable != null and .profile.test) | .executable'
}

# suite BINARY:FILTER: builds a binary, and prints name, path and arguments of the suite for tests/kernels/init.sh.
suite() {
  local kind=${1%%:*} filter=${1#*:} path name
  case $1 in *:*) ;; *) filter="" ;; esac
  name=$kind
  case $kind in
    core) path=$(tests -p iface-core --lib) name=${filter##*::} ;;
    exactness) path=$(tests -p netns-scan --test exactness) name=${filter%%:*} ;;
    cli | privileges) path=$(tests -p netns-agent --test "$kind") ;;
    program) release; path=/checkout/tests/arm64/program.sh filter=/target/aarch64-unknown-linux-gnu/release/netns-agent ;;
    *) fail "there is no binary $kind" ;;
  esac
  [ "$path" ] || fail "cargo built no tests $kind"
  echo "${name:-$kind} $path $filter"
}

kernels() {
  local versions=() suites=() word version
  while [ $# != 0 ]; do
    case $1 in
      --) shift; suites=("$@"); break ;;
      *) versions+=("$1"); shift ;;
    esac
  done
  [ ${#versions[@]} != 0 ] || versions=(6.12)
  [ ${#suites[@]} != 0 ] || suites=(program core:parallel exactness:{identity,links,lifetime,churn}:: privileges)
  tests/debian/unpack.sh "$machine" trixie arm64 $machine_packages
  # The script of base-files makes this link of a directory, and tests name files by it.
  [ -L "$machine/var/run" ] || { rmdir "$machine/var/run" && ln -s /run "$machine/var/run"; }
  work=$(mktemp -d "${TMPDIR:-/tmp}/netns-agent-arm64.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  for word in "${suites[@]}"; do suite "$word"; done >"$work/suites"
  for version in "${versions[@]}"; do
    tests/kernels/fetch.sh "$version" "$tools/kernels/$version-arm64" arm64
    echo "=== Linux $version"
    inside "tests/arm64/machine.sh ${ARM64_LIMIT:-3600}" "$tools/kernels/$version-arm64:kernel" "$machine:machine" "$PWD:machine/checkout" \
      "$target:machine/target" "$work:orders" </dev/null | tee "$work/$version.log" | grep --line-buffered -v ' \.\.\. ok$' || true
  done
  python3 tests/kernels/table.py "$work"/*.log
}

verb=${1-}
case $verb in
  unit | program | image | kernels) shift ;;
  *) sed -n '2,/^#$/p' "$0" >&2; exit 2 ;;
esac
mkdir -p "$tools/kernels"
# Files of the virtual machine: programs that the tests call.
machine_packages="python3 bash dash coreutils util-linux bsdutils iproute2 procps grep libgcc-s1 busybox-static"
tests/debian/unpack.sh "$root" trixie amd64,arm64 bash coreutils gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
  rustc-web cargo-web libstd-rust-web-dev:arm64 qemu-user qemu-system-arm kmod cpio gzip xz-utils zstd grep sed findutils mawk \
  busybox-static
# The build has no network.
cargo fetch --quiet --locked
began=$SECONDS
"$verb" "$@"
echo "arm64: ok in $((SECONDS - began)) s"
