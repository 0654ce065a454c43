#!/bin/sh
# Installs the programs the tests run for real. Does nothing where they are there already.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "tests/tools.sh: $*" >&2
    exit 1
}

# $1: a program; $2: the Debian package that has it.
debian() {
    command -v "$1" >/dev/null 2>&1 && return
    command -v apt-get >/dev/null 2>&1 || fail "install $1 (Debian's package $2)"
    [ "$(id -u)" = 0 ] || fail "install $1: sudo apt-get install $2"
    # At runlevel 1 the package starts no service.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$2" >/dev/null ||
        fail "apt-get could not install $2; apt-get update may help"
}

# An OTLP receiver; the program is inside the wheel.
rotel() {
    find target/venv -name rotel-agent -type f 2>/dev/null | grep -q . && return
    debian python3 python3-minimal
    python3 -m venv target/venv || fail "python3 makes no virtual environments (Debian's package python3-venv)"
    target/venv/bin/pip install --quiet --disable-pip-version-check --pre rotel || fail "pip could not install rotel"
}

rotel
debian promtool prometheus
debian openssl openssl
