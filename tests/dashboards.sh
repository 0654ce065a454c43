#!/usr/bin/env bash
# Checks the Grafana dashboards against the types of @grafana/schema, and draws them:
#
#   tests/dashboards.sh           checks the dashboards: every field, and the options of each kind of panel
#   tests/dashboards.sh --draw    also draws each panel into docs/dashboards, from the answers of a Prometheus
#
# Needs Node.js and npm; tests/dashboards/package-lock.json fixes the versions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/dashboards"
root=../..

check() {
  if ! cmp -s package-lock.json node_modules/.lock; then
    npm ci --ignore-scripts --no-progress --loglevel=error >&2
    cp package-lock.json node_modules/.lock
  fi
  local file name
  rm -rf made
  mkdir made
  # Literals, as an import of JSON would lose the texts of enumerations.
  for file in "$root"/deploy/grafana/*.json; do
    name=$(basename "$file" .json)
    printf 'import type { Checked } from "../panel";\nexport const dashboard: Checked = %s;\n' "$(cat "$file")" >"made/$name.ts"
  done
  npx --no-install tsc
  # A field that Grafana does not know is refused, or the check would be worth nothing.
  sed 's/"gridPos"/"gridPoss"/' made/pod.ts >made/wrong.ts
  if npx --no-install tsc >made/refused; then
    echo "dashboards.sh: the types accept a field that does not exist" >&2
    exit 1
  fi
  grep -q "gridPoss" made/refused
  rm made/wrong.ts
  echo "the dashboards have Grafana's types"
}

"$root/tests/tools.sh" "$([ "${1-}" = --draw ] && echo drawing || echo npm)"
check
if [ "${1-}" = --draw ]; then
  [ -n "${AGENT-}" ] || (cd "$root" && cargo build --locked -p netns-agent)
  AGENT=$(realpath "${AGENT:-$root/target/debug/netns-agent}") \
    PATH="${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/bin:$PATH:/usr/sbin:/sbin" \
    unshare --user --map-root-user --net --mount --pid --fork --kill-child --mount-proc python -u scene.py
fi
