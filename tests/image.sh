#!/usr/bin/env bash
# Builds the Dockerfile's last stages with Debian's buildah from an existing binary, on a base made of this machine's
# glibc (without a registry), and checks the image.
#   tests/image.sh [BINARY [ARCHIVE]]       default: target/release/netns-agent; ARCHIVE is written for `docker load`
set -euo pipefail
cd "$(dirname "$0")/.."
tests/tools.sh image
binary=$(realpath "${1:-target/release/netns-agent}")
work=$(mktemp -d "${TMPDIR:-/tmp}/netns-agent-image.XXXXXX")
trap 'rm -rf "$work"' EXIT
fail() { echo "image.sh: $*" >&2; exit 1; }
# Separate storage without overlay mounts or a daemon: nothing remains on the machine.
in_storage() { local verb=$1; shift; buildah --root "$work/root" --runroot "$work/run" --storage-driver vfs "$verb" "$@"; }

mkdir "$work/base" "$work/context"
cp "$binary" "$work/context/netns-agent"
for library in $(ldd "$binary" | grep -o '/[^ ]*' | sort -u); do install -D "$library" "$work/base$library"; done
tar -C "$work/base" -cf "$work/base.tar" .
base=$(in_storage from scratch)
in_storage add -q "$base" "$work/base.tar" / >/dev/null
in_storage commit -q "$base" localhost/base:local >/dev/null

in_storage bud -q --isolation chroot --target prebuilt --build-arg BASE_IMAGE=localhost/base:local \
  --build-arg BINARY=netns-agent --build-arg TARGETARCH= --build-arg REVISION=test -t localhost/netns-agent:local \
  -f Dockerfile "$work/context" >/dev/null
config=$(in_storage inspect --type image localhost/netns-agent:local | jq .OCIv1)
for label in title description source licenses version revision; do
  jq -e ".config.Labels.\"org.opencontainers.image.$label\"" <<<"$config" >/dev/null || fail "no label $label"
done
jq -e '.config | .User == "0:0" and .Entrypoint == ["/usr/local/bin/netns-agent"] and .Cmd == ["run"]' <<<"$config" >/dev/null ||
  fail "user, entrypoint or command differ: $config"
jq -e '.config.Env | any(startswith("GLIBC_TUNABLES=glibc.malloc."))' <<<"$config" >/dev/null || fail "GLIBC_TUNABLES are missing: $config"
container=$(in_storage from localhost/netns-agent:local)
version=$(in_storage run --isolation chroot "$container" -- /usr/local/bin/netns-agent --version)
[ "$version" = "netns-agent $(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)" ] || fail "the image runs $version"
! in_storage run --isolation chroot "$container" -- /bin/sh -c true 2>/dev/null || fail "there is a shell in the image"
[ -z "${2-}" ] || in_storage push -q localhost/netns-agent:local "docker-archive:$2:netns-agent:latest" >/dev/null
echo "image: $version, $(stat -c %s "$binary") bytes of program, labels, environment, user and command as the chart expects"
