#!/usr/bin/env bash
# unpack.sh DIRECTORY SUITE ARCHITECTURES PACKAGE...: unpacks packages of a Debian suite, and all packages that they
# depend on, into a directory that can be entered with chroot. No script of a package runs, and the system stays as it is.
# ARCHITECTURES is a list as in `amd64,arm64`; the first is the directory's own.
set -euo pipefail
directory=$1 suite=$2 architectures=$3
shift 3
wanted="$suite $architectures $*"
[ "$(cat "$directory/complete" 2>/dev/null)" != "$wanted" ] || exit 0
part=$directory.part
rm -rf "$part" "$directory"
mkdir -p "$part"/{archives/partial,root}
APT_CONFIG=$("$(dirname "${BASH_SOURCE[0]}")/lists.sh" "$suite" "$architectures")
export APT_CONFIG
apt-get install -qq -y --download-only --no-install-recommends -o Dir::Cache::archives="$part/archives" base-files "$@" >&2
# base-files has the links of /bin and /lib to /usr, which the other packages need.
for package in "$part"/archives/base-files_*.deb "$part"/archives/*.deb; do dpkg -x "$package" "$part/root"; done
echo "$wanted" >"$part/root/complete"
mv "$part/root" "$directory"
rm -rf "$part"
