#!/usr/bin/env bash
# fetch.sh VERSION DIRECTORY [ARCHITECTURE]: unpacks Debian's newest kernel of a version (5.10, or `newest`) and its modules
# into a directory, for amd64 unless the architecture is given. Nothing is installed.
set -euo pipefail
version=$1 directory=$2 architecture=${3:-amd64}
[ ! -e "$directory/complete" ] || exit 0
part=$directory.part
rm -rf "$part" "$directory"
mkdir -p "$part/root"
APT_CONFIG=$("$(dirname "${BASH_SOURCE[0]}")/../debian/lists.sh" bullseye,bookworm,trixie,sid "$architecture")
export APT_CONFIG
case $version in
  newest) pattern="linux-image-[0-9.]+[+a-z0-9]*-$architecture" ;;
  *) pattern="linux-image-${version//./\\.}[.-][0-9.+a-z-]*$architecture" ;;
esac
image=$(apt-cache pkgnames linux-image-"${version#newest}" | grep -xE "$pattern" | grep -vE -- '-(cloud|rt)-' | sort -V | tail -1)
[ -n "$image" ] || { echo "fetch.sh: Debian has no kernel $version" >&2; exit 1; }
# Newer packages keep the kernel, its modules and the lists of them apart.
packages=$(apt-cache depends --important "$image" | awk '$1 == "Depends:" && $2 ~ /^linux-(base|binary|modules)-[0-9]/ {print $2}')
(cd "$part" && apt-get download -qq "$image" $packages)
for package in "$part"/*.deb; do dpkg -x "$package" "$part/root"; done
# Newer packages also keep the kernel beside its modules.
for kernel in "$part"/root/usr/lib/modules/*/vmlinuz; do
  [ ! -e "$kernel" ] || install -D "$kernel" "$part/root/boot/vmlinuz-$(basename "$(dirname "$kernel")")"
done
mv "$part/root" "$directory"
rm -rf "$part"
ls "$directory"/boot/vmlinuz-* >/dev/null
touch "$directory/complete"
