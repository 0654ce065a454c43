#!/usr/bin/env bash
# machine.sh SECONDS: boots /kernel with /machine as its root file system, runs the suites of /orders/suites for this long at
# most, and prints their output. The unpacked Debian of tests/arm64/inside.sh is the root directory.
set -euo pipefail
limit=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A fixed amount of work, timed here and in the virtual machine, in milliseconds.
load='i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done'
began=$(date +%s%N)
busybox sh -c "$load"
speed=$((($(date +%s%N) - began) / 1000000))
BUSYBOX=/machine/usr/bin/busybox tests/kernels/initramfs.sh /kernel "$work"
printf 'root=/checkout\npath=/usr/bin:/usr/sbin\nhome=/root\nspeed=%s\nload=%q\n' "$speed" "$load" >"$work/initramfs/settings"
cp /orders/suites "$work/initramfs/suites"
(cd "$work/initramfs" && find . | cpio -o -H newc --quiet --owner 0:0 | gzip -1) >"$work/initramfs.gz"
# A CPU of servers: its emulation is cheaper than that of pointer authentication in newer ones.
timeout --foreground "$limit" qemu-system-aarch64 -M virt -accel tcg,thread=multi -cpu neoverse-n1 -smp 2 \
  -m 4G -nodefaults -nographic -no-reboot -kernel "$(echo /kernel/boot/vmlinuz-*)" -initrd "$work/initramfs.gz" \
  -append "console=ttyAMA0 quiet panic=-1 loglevel=3" -serial stdio \
  -virtfs "local,path=/machine,mount_tag=machine,security_model=none,readonly=on,multidevs=remap" </dev/null |
  stdbuf -o0 tr -d '\r'
