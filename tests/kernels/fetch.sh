#!/usr/bin/env bash
# fetch.sh VERSION DIRECTORY: unpacks Debian's newest kernel of a version (5.10, or `newest`) and its modules into a
# directory. Lists of packages are kept apart from the system's, and nothing is installed.
set -euo pipefail
version=$1 directory=$2
[ ! -e "$directory/complete" ] || exit 0
part=$directory.part
rm -rf "$part" "$directory"
mkdir -p "$part/apt/lists/partial" "$part/apt/cache/archives/partial" "$part/apt/parts" "$part/root"
touch "$part/apt/status"
mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -m1 debian.org/debian$ || echo http://deb.debian.org/debian)
for suite in bullseye bookworm trixie sid; do
  echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >"$part/apt/sources.list"
cat >"$part/apt/apt.conf" <<END
Dir::Etc::sourcelist "$part/apt/sources.list";
Dir::Etc::sourceparts "$part/apt/parts";
Dir::State "$part/apt";
Dir::State::status "$part/apt/status";
Dir::Cache "$part/apt/cache";
APT::Architecture "amd64";
END
export APT_CONFIG=$part/apt/apt.conf
apt-get update -qq
case $version in
  newest) pattern='linux-image-[0-9.]+[+a-z0-9]*-amd64' ;;
  *) pattern="linux-image-${version//./\\.}[.-][0-9.+a-z-]*amd64" ;;
esac
image=$(apt-cache pkgnames linux-image-"${version#newest}" | grep -xE "$pattern" | grep -vE -- '-(cloud|rt)-' | sort -V | tail -1)
[ -n "$image" ] || { echo "fetch.sh: Debian has no kernel $version" >&2; exit 1; }
# Newer packages keep the kernel and its modules apart.
packages=$(apt-cache depends --important "$image" | awk '$1 == "Depends:" && $2 ~ /^linux-(binary|modules)-/ {print $2}')
(cd "$part" && apt-get download -qq "$image" $packages)
for package in "$part"/*.deb; do dpkg -x "$package" "$part/root"; done
mv "$part/root" "$directory"
rm -rf "$part"
ls "$directory"/boot/vmlinuz-* >/dev/null
touch "$directory/complete"
