#!/usr/bin/env bash
# inside.sh ROOT TARGET COMMAND [FROM:TO]...: runs a command in the checkout, inside the unpacked Debian, with cargo set up
# for arm64, and with each directory FROM mounted at TO. Call it in a mount namespace of its own (`unshare --mount`), so
# that the mounts end with it.
set -euo pipefail
root=$1 target=$2 command=$3
shift 3
cargo_home=${CARGO_HOME:-$HOME/.cargo}
mkdir -p "$target"
for dir in dev proc sys; do mount --rbind "/$dir" "$root/$dir"; done
for pair in "$PWD:checkout" "$cargo_home:cargo" "$target:target" "$@"; do
  mkdir -p "$root/${pair##*:}"
  mount --bind "${pair%:*}" "$root/${pair##*:}"
done
cross=aarch64-linux-gnu-gcc native=x86_64-linux-gnu-gcc
# Optimised, as emulation takes tens of times longer than the CPU itself.
exec env -i PATH=/usr/bin:/usr/sbin HOME=/root TERM="${TERM-dumb}" LANG=C.UTF-8 \
  CARGO_HOME=/cargo CARGO_TARGET_DIR=/target CARGO_BUILD_TARGET=aarch64-unknown-linux-gnu CARGO_NET_OFFLINE=true \
  CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=1 \
  ${CARGO_BUILD_JOBS:+CARGO_BUILD_JOBS="$CARGO_BUILD_JOBS"} NETNS_TESTBED_SLOW="${NETNS_TESTBED_SLOW-10}" \
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=$native CC_x86_64_unknown_linux_gnu=$native \
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$cross CC_aarch64_unknown_linux_gnu=$cross \
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" \
  chroot "$root" /bin/bash -euc "cd /checkout; $command"
