#!/usr/bin/env bash
# Builds the files of a release twice and checks: the same bytes, the expected contents, a chart that Helm 3 and 4 install.
#   tests/packages.sh [BINARY]     default: target/release/netns-agent
set -euo pipefail
cd "$(dirname "$0")/.."
tests/tools.sh packages
export PATH=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/bin:$PATH
work=$(mktemp -d "${TMPDIR:-/tmp}/netns-agent-packages.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { echo "packages.sh: $*" >&2; exit 1; }

packaging/build.sh "$work/first" "$@" >/dev/null
sleep 1 # file systems keep times of a second
packaging/build.sh "$work/second" "$@" >/dev/null
cmp "$work/first/SHA256SUMS" "$work/second/SHA256SUMS" || { diff "$work/first/SHA256SUMS" "$work/second/SHA256SUMS"; fail "two builds differ"; }
(cd "$work/first" && sha256sum --quiet -c SHA256SUMS)

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
tar -C "$work" -xzf "$work/first/netns-agent-$version-$(uname -m)-linux.tar.gz"
for file in netns-agent netns-agent.1 netns-agent.bash netns-agent.zsh netns-agent.fish netns-agent.service config.yaml LICENSE; do
  [ -s "$work/netns-agent-$version/$file" ] || fail "$file is missing from the archive"
done
[ "$("$work/netns-agent-$version/netns-agent" --version)" = "netns-agent $version" ] || fail "the archive holds another program"
"$work/netns-agent-$version/netns-agent" config check --config "$work/netns-agent-$version/config.yaml" >/dev/null || fail "config.yaml has faults"
bash -n "$work/netns-agent-$version/netns-agent.bash"
for helm in helm helm3; do
  "$helm" template x "$work/first/netns-agent-chart-$version.tgz" | grep -q '^kind: DaemonSet' || fail "$helm does not render the packaged chart"
done
tar -C "$work" -xzf "$work/first/kubectl-netns-$version.tar.gz"
for file in kubectl-netns kubectl_complete-netns; do [ -x "$work/kubectl-netns-$version/$file" ] || fail "$file is missing from the plugin's archive"; done
sum=$(sha256sum "$work/first/kubectl-netns-$version.tar.gz")
grep -qx "      sha256: ${sum%% *}" "$work/first/netns.yaml" || fail "the manifest for krew names another archive"
grep -q "/v$version/kubectl-netns-$version.tar.gz$" "$work/first/netns.yaml" || fail "the manifest for krew names another version"
if command -v dpkg-deb >/dev/null; then
  deb=$(compgen -G "$work/first/*.deb") || fail "there is no .deb"
  dpkg-deb --contents "$deb" >"$work/contents"
  for path in usr/bin/netns-agent usr/share/man/man1/netns-agent.1.gz usr/lib/systemd/system/netns-agent.service etc/netns-agent/config.yaml \
    usr/share/bash-completion/completions/netns-agent; do
    grep -q "$path" "$work/contents" || fail "the .deb lacks $path: $(cat "$work/contents")"
  done
  dpkg-deb --info "$deb" conffiles | grep -q config.yaml || fail "config.yaml is not a conffile"
  for script in postinst prerm postrm; do dpkg-deb --info "$deb" $script >/dev/null || fail "the .deb lacks $script"; done
fi
rpm=$(compgen -G "$work/first/*.rpm") || fail "there is no .rpm"
rpm --query --list --package "$rpm" >"$work/contents"
for path in /usr/bin/netns-agent /usr/share/man/man1/netns-agent.1.gz /usr/lib/systemd/system/netns-agent.service \
  /etc/netns-agent/config.yaml /usr/share/bash-completion/completions/netns-agent; do
  grep -qx "$path" "$work/contents" || fail "the .rpm lacks $path: $(cat "$work/contents")"
done
[ "$(rpm --query --configfiles --package "$rpm")" = /etc/netns-agent/config.yaml ] || fail "config.yaml is not a configuration file of the .rpm"
echo "packages: $(wc -l <"$work/first/SHA256SUMS") files, reproducible: $(sed 's/.*\.\///' "$work/first/SHA256SUMS" | tr '\n' ' ')"
