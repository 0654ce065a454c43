#!/usr/bin/env bash
# Tests the page of the admin server in Chromium, without root:
#
#   tests/page.sh                   builds the agent, compares the committed page with its sources, runs the tests
#   tests/page.sh --picture FILE    also makes a picture of the page
#   PODS=480 tests/page.sh          with more pods, each with two interfaces
#   ONLY=PATTERN tests/page.sh      only tests with such a name
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "${1-}" = --inside ]; then
  # /run and /tmp of the machine stay unchanged.
  mount -t tmpfs tmpfs /run
  exec node --test --test-concurrency=1 ${ONLY:+--test-name-pattern="$ONLY"} crates/agent/ui/test/page.mjs
fi
[ "${1-}" != --picture ] || { PICTURE=$(realpath -m "$2"); export PICTURE; }
tests/tools.sh page
crates/agent/ui/build.sh --check
[ -n "${AGENT-}" ] || cargo build --locked -p netns-agent
AGENT=$(realpath "${AGENT:-target/debug/netns-agent}") NODE_SH=$PWD/tests/page/node.sh \
  PATH="${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/bin:$PATH:/usr/sbin:/sbin" \
  unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc tests/page.sh --inside
