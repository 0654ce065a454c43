#!/usr/bin/env bash
# initramfs.sh KERNEL WORK: makes WORK/initramfs of busybox (BUSYBOX, for another architecture), the kernel's modules that
# the tests need, and init.
set -euo pipefail
kernel=$1 work=$2
release=$(basename "$kernel"/boot/vmlinuz-*)
release=${release#vmlinuz-}
tree=$work/initramfs
modules=$(echo "$kernel"{,/usr}/lib/modules/"$release" | tr ' ' '\n' | while read -r d; do [ ! -d "$d" ] || echo "$d"; done | head -1)
mkdir -p "$tree"/{bin,sbin,dev,proc,sys,machine,top,lib/modules/"$release"/kernel}
cp "${BUSYBOX:-$(command -v busybox)}" "$tree/bin/busybox"
ln -s ../bin/busybox "$tree/sbin/modprobe"
for part in net lib crypto drivers/virtio drivers/net/{veth,tun,dummy,macvlan,macvtap,vrf,netkit,vxlan,ifb,geneve}.ko drivers/net/{bonding,ipvlan,vxlan} \
  fs/{9p,netfs,fscache,overlayfs} arch/{x86,arm64}/crypto; do
  for found in "$modules/kernel/$part"{,.xz,.zst}; do
    [ ! -e "$found" ] || (cd "$modules" && cp -r --parents "${found#"$modules/"}" "$tree/lib/modules/$release/")
  done
done
# busybox reads plain modules only.
find "$tree/lib/modules" -name '*.ko.xz' -exec xz -d {} +
find "$tree/lib/modules" -name '*.ko.zst' -exec zstd -q -d --rm {} +
cp "$modules"/modules.{builtin,order} "$tree/lib/modules/$release/"
touch "$tree/lib/modules/$release/modules.builtin.modinfo"
depmod -b "$tree" "$release"
cp "$(dirname "${BASH_SOURCE[0]}")/init.sh" "$tree/init"
chmod +x "$tree/init"
