#!/usr/bin/env bash
# Installs what the tests need, once a machine, and runs every Rust test, then the documents'. No root is needed: tests
# make a user namespace of their own. Arguments are handed to cargo test, for example: tests/run.sh -p iface-core
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ ! -x tests/tools.sh ] || tests/tools.sh
export PATH="${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/bin:$PATH:/usr/sbin:/sbin"
[ $# = 0 ] || exec cargo test --locked "$@"
cargo test --locked --workspace
python tests/docs.py
