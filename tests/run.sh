#!/usr/bin/env bash
# Installs what the tests need, once a machine, and runs every Rust test. No root is needed: tests make a user
# namespace of their own. Arguments are handed to cargo test, for example: tests/run.sh -p iface-core
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ ! -x tests/tools.sh ] || tests/tools.sh
export PATH="${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/bin:$PATH:/usr/sbin:/sbin"
[ $# != 0 ] || set -- --workspace
exec cargo test --locked "$@"
