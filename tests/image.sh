#!/usr/bin/env bash
# Builds the Dockerfile's last stages with Debian's buildah from an existing binary, on a base made of this machine's
# glibc (without a registry), and checks the image.
#   tests/image.sh [BINARY [ARCHIVE]]       default: target/release/netns-agent; ARCHIVE is written for `docker load`
#   FOREIGN_ROOT=DIRECTORY EMULATOR=FILE tests/image.sh BINARY
#                                           a program for another architecture, with the libraries of a Debian unpacked in
#                                           DIRECTORY, run by a static emulator; tests/arm64.sh image does all of it
set -euo pipefail
cd "$(dirname "$0")/.."
tests/tools.sh image
binary=$(realpath "${1:-target/release/netns-agent}")
work=$(mktemp -d "${TMPDIR:-/tmp}/netns-agent-image.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { echo "image.sh: $*" >&2; exit 1; }
# Separate storage without overlay mounts or a daemon: nothing remains on the machine.
in_storage() { local verb=$1; shift; buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs "$verb" "$@"; }

foreign=${FOREIGN_ROOT-}
case $(readelf -h "$binary" | sed -n 's/^ *Machine: *//p') in
  *X86-64) architecture=amd64 ;;
  AArch64) architecture=arm64 ;;
  *) fail "$binary is a program for neither amd64 nor arm64" ;;
esac
# libraries: paths of the program's loader and libraries. ldd would start a foreign program.
libraries() {
  if [ "$foreign" ]; then
    readelf -Wl "$binary" | sed -n 's/.*program interpreter: \(.*\)]/\1/p'
    readelf -Wd "$binary" | sed -n 's/.*(NEEDED).*\[\(.*\)]/\1/p' | while read -r name; do (cd "$foreign" && printf '/%s\n' lib/*/"$name"); done
  else
    ldd "$binary" | grep -o '/[^ ]*'
  fi | sort -u
}
mkdir "$work/base" "$work/context"
cp "$binary" "$work/context/netns-agent"
for library in $(libraries); do install -D "$foreign$library" "$work/base$library"; done
tar -C "$work/base" -cf "$work/base.tar" .
base=$(in_storage from --arch "$architecture" scratch)
in_storage add -q "$base" "$work/base.tar" / >/dev/null
in_storage commit -q "$base" localhost/base:local >/dev/null

in_storage bud -q --isolation chroot --arch "$architecture" --target prebuilt --build-arg BASE_IMAGE=localhost/base:local \
  --build-arg BINARY=netns-agent --build-arg TARGETARCH= --build-arg REVISION=test -t localhost/netns-agent:local \
  -f Dockerfile "$work/context" >/dev/null
config=$(in_storage inspect --type image localhost/netns-agent:local | jq .OCIv1)
[ "$(jq -r .architecture <<<"$config")" = "$architecture" ] || fail "the image is not for $architecture: $config"
for label in title description source licenses version revision; do
  jq -e ".config.Labels.\"org.opencontainers.image.$label\"" <<<"$config" >/dev/null || fail "no label $label"
done
jq -e '.config | .User == "0:0" and .Entrypoint == ["/usr/local/bin/netns-agent"] and .Cmd == ["run"]' <<<"$config" >/dev/null ||
  fail "user, entrypoint or command differ: $config"
jq -e '.config.Env | any(startswith("GLIBC_TUNABLES=glibc.malloc."))' <<<"$config" >/dev/null || fail "GLIBC_TUNABLES are missing: $config"
container=$(in_storage from localhost/netns-agent:local)
[ -z "${EMULATOR-}" ] || in_storage copy -q "$container" "$EMULATOR" /emulator >/dev/null
in_image() { in_storage run --isolation chroot "$container" -- ${EMULATOR:+/emulator} "$@"; }
version=$(in_image /usr/local/bin/netns-agent --version)
[ "$version" = "netns-agent $(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)" ] || fail "the image runs $version"
in_image /usr/local/bin/netns-agent list -o json --exclude-interfaces= | jq -e 'any(.name == "lo")' >/dev/null ||
  fail "the image does not list the loopback interface"
! in_image /bin/sh -c true 2>/dev/null || fail "there is a shell in the image"
[ -z "${2-}" ] || in_storage push -q localhost/netns-agent:local "docker-archive:$2:netns-agent:latest" >/dev/null
echo "image: $version, $architecture, $(stat -c %s "$binary") bytes of program, labels, environment, user and command as the chart expects"
