#!/usr/bin/env bash
# Runs the commands of docs/quick-start/linux.md as an ordinary user does, in a Debian that systemd boots: the program, the
# service, its removal, the .deb and the .rpm.
#
#   tests/quick-start.sh [PROGRAM]   PROGRAM is netns-agent, by default target/release/netns-agent
#
# systemd-nspawn boots the Debian of tests/debian/system.sh, with every change in memory. Commands that build are not run: the
# page's builds are those of .ci/run. Needs root. tests/runtimes.sh runs the commands for Docker and podman.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
fail() { echo "quick-start.sh: $*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "needs root: systemd-nspawn makes namespaces and mounts"
command -v apt-get dpkg-deb >/dev/null || fail "needs Debian's apt-get and dpkg-deb"
program=$(realpath "${1:-target/release/netns-agent}")
[ -x "$program" ] || fail "$program is missing; build it with cargo build --release --locked -p netns-agent"
tests/tools.sh system
tests/tools.sh packages
export PATH=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/bin:$PATH:/usr/sbin:/sbin
system=$(tests/debian/system.sh bookworm)

work=$(mktemp -d "${TMPDIR:-/tmp}/netns-agent-quick-start.XXXXXX")
groups=()
finish() {
  for group in "${groups[@]}"; do find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT
# The files of a checkout after the page's builds.
install -D "$program" "$work/netns-agent/target/release/netns-agent"
cp -r packaging "$work/netns-agent/"
packaging/build.sh "$work/netns-agent/out" "$program" >/dev/null
# dnf knows no package of the Debian: one that provides what the .rpm needs stands for them all.
{
  printf '%s\n' "Name: debian" "Version: 1" "Release: 1" "Summary: Packages of a Debian" "License: none"
  rpm --query --requires --package "$work"/netns-agent/out/*.rpm | sed '/^rpmlib\|^config/d; s/^/Provides: /'
  printf '%s\n' "%description" "%install" "mkdir -p %{buildroot}/usr/share/licenses" "%files" "%dir /usr/share/licenses"
} >"$work/debian.spec"
rpmbuild -bb --quiet --define "_topdir $work/rpm" "$work/debian.spec"
mv "$work"/rpm/RPMS/*/*.rpm "$work/netns-agent/debian.rpm"

# nspawn divides the cgroup of its caller, in each hierarchy that systemd uses.
name=netns-agent-quick-start.$$
while IFS=: read -r _ controllers path; do
  case $controllers in
    name=systemd) base=/sys/fs/cgroup/systemd ;;
    "") base=/sys/fs/cgroup/unified; [ -d $base ] || base=/sys/fs/cgroup ;;
    *) continue ;;
  esac
  groups+=("$base${path%/}/$name")
done </proc/self/cgroup
mkdir "${groups[@]}"
(
  for group in "${groups[@]}"; do echo "$BASHPID" >"$group/cgroup.procs"; done
  exec unshare --mount --net --pid --ipc --fork --kill-child --mount-proc \
    python -u tests/quick-start/linux.py "$system" "$work/netns-agent"
)
