#!/usr/bin/env bash
# Tests the requests of the admin server against its own OpenAPI document with schemathesis, without root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
port=19465

if [ "${1-}" = --inside ]; then
  mount -t tmpfs tmpfs /run
  tests/page/node.sh make 3
  "$AGENT" run --netns-dir /run/netns --cni-cache-dir /run/cni --admin-address 127.0.0.1:$port &
  agent=$!
  trap 'kill $agent' EXIT
  # Namespaces of the test's own: nothing else listens on the port.
  curl --silent --show-error --fail --retry 50 --retry-delay 1 --retry-all-errors --max-time 5 "http://127.0.0.1:$port/readyz"
  # The lines of /v1/watch never end. Its parameters are tested in crates/agent/src/admin/watch.
  schemathesis --config-file tests/openapi.toml run "http://127.0.0.1:$port/openapi.json" --exclude-path /v1/watch --phases examples,coverage,fuzzing \
    --max-examples 40 --request-timeout 15 --generation-deterministic --no-color
  exit
fi
tests/tools.sh openapi
[ -n "${AGENT-}" ] || cargo build --locked -p netns-agent
AGENT=$(realpath "${AGENT:-target/debug/netns-agent}") \
  PATH="${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/bin:$PATH:/usr/sbin:/sbin" \
  unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc tests/openapi.sh --inside
