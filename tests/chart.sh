#!/usr/bin/env bash
# Checks the chart, the plain manifests and the examples in deploy/; --write generates
# the files that follow from the chart. See tests/chart.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"$here/tools.sh"
export PATH=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/bin:$PATH
exec python "$here/chart.py" "$@"
