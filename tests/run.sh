#!/usr/bin/env bash
# Installs the tools that the tests need, once per machine, and runs all Rust tests, then the tests of the documents.
# Root is not needed: tests make a user namespace of their own. Arguments are passed to cargo test, for example:
# tests/run.sh -p iface-core
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ ! -x tests/tools.sh ] || tests/tools.sh
export PATH="${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/bin:$PATH:/usr/sbin:/sbin"
[ $# = 0 ] || exec cargo test --locked "$@"
cargo test --locked --workspace
python tests/docs.py
