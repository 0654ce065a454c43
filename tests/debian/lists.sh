#!/usr/bin/env bash
# lists.sh SUITES ARCHITECTURES: keeps lists of packages of Debian suites (`bookworm,sid`) for architectures
# (`amd64,arm64`) apart from the system's, at most a day old, and prints the path of the APT_CONFIG that uses them.
# Nothing is installed.
set -euo pipefail
suites=${1//,/ } architectures=${2//,/ }
lists=${XDG_CACHE_HOME:-$HOME/.cache}/netns-agent-tools/debian/${1//,/-}-${2//,/-}
mkdir -p "$lists"/{lists/partial,cache/archives/partial,parts}
exec 8>"$lists/lock"
flock 8
touch "$lists/status"
mirror=$(apt-get indextargets --format '$(SITE)' 2>/dev/null | grep -m1 debian.org/debian$ || echo http://deb.debian.org/debian)
for suite in $suites; do
  echo "deb [arch=$2 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main"
done >"$lists/sources.list"
cat >"$lists/apt.conf" <<END
Dir::Etc::sourcelist "$lists/sources.list";
Dir::Etc::sourceparts "$lists/parts";
Dir::State "$lists";
Dir::State::status "$lists/status";
Dir::Cache "$lists/cache";
APT::Architecture "${architectures%% *}";
APT::Architectures { $(printf '"%s"; ' $architectures)};
APT::Sandbox::User "";
Acquire::Languages "none";
END
if [ -z "$(find "$lists/updated" -mmin -1440 2>/dev/null)" ]; then
  APT_CONFIG=$lists/apt.conf apt-get update -qq >&2
  touch "$lists/updated"
fi
echo "$lists/apt.conf"
