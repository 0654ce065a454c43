#!/usr/bin/env bash
# system.sh SUITE: makes a Debian with systemd that can be booted, in which the user `newcomer` may use sudo, and prints its
# path. Made once a suite in ${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/systems (300 MB), and not written to again.
set -euo pipefail
suite=$1
packages=systemd-sysv,systemd-container,dbus,iproute2,curl,sudo,dnf
systems=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/systems
mkdir -p "$systems"
exec 8>"$systems/lock"
flock 8
root=$systems/$suite
wanted="$suite $packages"
if [ "$(cat "$root/complete" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$root" "$root.part"
  # The machine's own mirror, proxy and checks of dates.
  mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -m1 debian.org/debian$ ||
    echo http://deb.debian.org/debian)
  apt-config dump | grep -E '^Acquire::(https?|Check-Date|Check-Valid-Until)\b.*"..*"' >"$systems/acquire.conf" || true
  mmdebstrap --quiet --mode=root --variant=apt --include="$packages" --aptopt="$systems/acquire.conf" \
    --dpkgopt=force-unsafe-io \
    "$suite" "$root.part" "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >&2
  chroot "$root.part" useradd --create-home --shell /bin/bash newcomer
  echo "newcomer ALL=(ALL) NOPASSWD: ALL" >"$root.part/etc/sudoers.d/newcomer"
  echo 5b1f0a0000004000800000000000000a >"$root.part/etc/machine-id"
  echo box >"$root.part/etc/hostname"
  echo "127.0.0.1 localhost box" >"$root.part/etc/hosts"
  echo "$wanted" >"$root.part/complete"
  mv "$root.part" "$root"
fi
echo "$root"
