#!/usr/bin/env bash
# Makes the files of a release, apart from images, from a built program:
#
#   packaging/build.sh OUT [BINARY]     default: target/release/netns-agent
#
# OUT gets an archive (program, man page, completions, systemd unit), the chart, the kubectl plugin with its manifest for
# krew, and SHA256SUMS; also a .deb where dpkg-deb is there, and a .rpm where rpmbuild is. The same input makes the same bytes: times come from SOURCE_DATE_EPOCH, by default the time of the last commit.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mkdir -p "$1" && cd "$1" && pwd)
binary=$(realpath "${2:-target/release/netns-agent}")
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)} LC_ALL=C TZ=UTC
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
[ "$("$binary" --version)" = "netns-agent $version" ] || { echo "build.sh: $binary is not version $version" >&2; exit 1; }

staged=target/package-files
rm -rf "$staged"
mkdir -p "$staged"
install -m 755 "$binary" "$staged/netns-agent"
"$binary" man >"$staged/netns-agent.1"
for shell in bash zsh fish; do "$binary" completions "$shell" >"$staged/netns-agent.$shell"; done
"$binary" config default >"$staged/config.yaml"
cp packaging/netns-agent.service LICENSE "$staged/"

# archive FILE DIRECTORY...: entries sorted, with fixed owner, time and compression.
archive() {
  local file=$1
  shift
  tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=go-w -cf - "$@" | gzip -n9 >"$file"
}
archive "$out/netns-agent-$version-$(uname -m)-linux.tar.gz" --transform "s,^$staged,netns-agent-$version," "$staged"
# helm package writes the current time; the same entries in an archive of our own install just as well.
archive "$out/netns-agent-chart-$version.tgz" --exclude=ci -C charts netns-agent
plugin=target/package-plugin
rm -rf "$plugin"
mkdir -p "$plugin"
cp deploy/kubectl-netns deploy/kubectl_complete-netns LICENSE "$plugin/"
archive "$out/kubectl-netns-$version.tar.gz" --transform "s,^$plugin,kubectl-netns-$version," "$plugin"
sum=$(sha256sum "$out/kubectl-netns-$version.tar.gz")
sed "/^#/d; s/VERSION/$version/g; s/SHA256/${sum%% *}/" packaging/krew.yaml >"$out/netns.yaml"
# Packages sort a version with ~ before the release.
package_version=${version/-/'~'}
# debian: a package of the staged files. dpkg-deb takes the times of its entries from SOURCE_DATE_EPOCH.
debian() {
  local root=target/package-debian name architecture glibc size
  rm -rf "$root"
  install -D -m 755 "$staged/netns-agent" "$root/usr/bin/netns-agent"
  install -D -m 644 "$staged/config.yaml" "$root/etc/netns-agent/config.yaml"
  install -D -m 644 "$staged/netns-agent.service" "$root/usr/lib/systemd/system/netns-agent.service"
  install -D -m 644 "$staged/LICENSE" "$root/usr/share/doc/netns-agent/copyright"
  install -D -m 644 "$staged/netns-agent.bash" "$root/usr/share/bash-completion/completions/netns-agent"
  install -D -m 644 "$staged/netns-agent.zsh" "$root/usr/share/zsh/vendor-completions/_netns-agent"
  install -D -m 644 "$staged/netns-agent.fish" "$root/usr/share/fish/vendor_completions.d/netns-agent.fish"
  mkdir -p "$root/usr/share/man/man1" "$root/DEBIAN"
  gzip -n9 <"$staged/netns-agent.1" >"$root/usr/share/man/man1/netns-agent.1.gz"
  # The newest version of glibc's symbols that the program needs.
  glibc=$(objdump -T "$binary" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
  architecture=$(dpkg --print-architecture)
  size=$(find "$root" -type f -printf '%s\n' | awk '{sum += $1} END {print int((sum + 1023) / 1024)}')
  sed "s/@VERSION@/$package_version/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$size/; s/@GLIBC@/${glibc#GLIBC_}/" \
    packaging/debian/control >"$root/DEBIAN/control"
  install -m 644 packaging/debian/conffiles "$root/DEBIAN/"
  for name in postinst prerm postrm; do install -m 755 "packaging/debian/$name" "$root/DEBIAN/"; done
  dpkg-deb --root-owner-group -Zxz --build "$root" "$out/netns-agent_$package_version-1_$architecture.deb" >/dev/null
}
! command -v dpkg-deb >/dev/null || debian
# redhat: a package of the staged files, without what rpmbuild adds of this machine and of today.
redhat() {
  local top=$PWD/target/package-rpm
  rm -rf "$top"
  gzip -n9 <"$staged/netns-agent.1" >"$staged/netns-agent.1.gz"
  rpmbuild -bb --quiet --define "_topdir $top" --define "given_version $package_version" --define "staged $PWD/$staged" \
    --define "_buildhost localhost" --define "use_source_date_epoch_as_buildtime 1" \
    --define "clamp_mtime_to_source_date_epoch 1" packaging/rpm/netns-agent.spec
  mv "$top"/RPMS/*/netns-agent-*.rpm "$out/"
}
! command -v rpmbuild >/dev/null || redhat
(cd "$out" && rm -f SHA256SUMS && sha256sum ./*netns* >SHA256SUMS)
cat "$out/SHA256SUMS"
