#!/usr/bin/env bash
# Checks the chart, the plain manifests and the examples beside them; --write
# writes what is made from the chart. See tests/chart.py.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
"$here/tools.sh"
export PATH=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/bin:$PATH
exec python "$here/chart.py" "$@"
