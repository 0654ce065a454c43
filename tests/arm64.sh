#!/usr/bin/env bash
# Builds the unit tests of iface-core for arm64 on an amd64 machine and runs them in emulation of the CPU (qemu-user):
#
#   tests/arm64.sh                     all of them
#   tests/arm64.sh lookup::table       only tests with `lookup::table` in the name
#
# Compilers and qemu are Debian 13's packages, unpacked beside the system into
# ${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/arm64 (1.5 GB). The build runs inside that folder by chroot, in a
# user namespace unless it is root's. An amd64 CPU orders memory more strictly than arm64's, also in emulation: only a
# native arm64 machine, as in GitHub's workflow, can show a missing order.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools
root=$tools/arm64 target=${ARM64_TARGET_DIR:-$PWD/target/arm64} filter=${1-}
[ "$(uname -m)" = x86_64 ] || { echo "arm64.sh: this script needs an amd64 machine; on arm64, run .ci/run itself" >&2; exit 1; }

mkdir -p "$tools"
tests/debian/unpack.sh "$root" trixie amd64,arm64 bash coreutils gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross \
  rustc-web cargo-web libstd-rust-web-dev:arm64 qemu-user
# The build has no network.
cargo fetch --quiet --locked

namespaces=(--mount --propagation private)
[ "$(id -u)" = 0 ] || namespaces+=(--user --map-root-user)
began=$SECONDS
unshare "${namespaces[@]}" bash tests/arm64/inside.sh "$root" "$target" "cargo test --locked -p iface-core --lib -- $filter"
echo "arm64: ok in $((SECONDS - began)) s"
