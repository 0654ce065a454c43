#!/usr/bin/env bash
# Builds the page of the admin server from the sources in this folder:
#
#   crates/agent/ui/build.sh            checks the types, writes crates/agent/src/admin/page
#   crates/agent/ui/build.sh --check    fails where the committed files differ from the sources
#
# Needs Node.js and npm; package-lock.json fixes the versions. The program itself is built from the committed files, so
# it needs neither.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
page=../src/admin/page
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT

# node_modules belongs to this lock file.
if ! cmp -s package-lock.json node_modules/.lock; then
  npm ci --ignore-scripts --no-progress --loglevel=error >&2
  cp package-lock.json node_modules/.lock
fi
npx --no-install tsc --noEmit
npx --no-install esbuild src/app.tsx --bundle --minify --format=iife --target=es2022 --charset=utf8 \
  --jsx=automatic --jsx-import-source=preact --legal-comments=none --log-level=warning --outfile="$made/app.js"
npx --no-install esbuild src/style.css --bundle --minify --target=chrome110,firefox115,safari16 \
  --legal-comments=none --log-level=warning --outfile="$made/app.css"
cp src/index.html src/icon.svg "$made"
# The licences of the bundled packages come with their text, as the licences ask.
for package in preact uplot d3-hierarchy d3-shape d3-path; do
  printf '%s %s\n\n' "$package" "$(node -p "require('./node_modules/$package/package.json').version")"
  cat "node_modules/$package/LICENSE"
  printf '\n\n'
done >"$made/licenses.txt"

if [ "${1-}" = --check ]; then
  for file in "$made"/*; do
    cmp "$file" "$page/$(basename "$file")" ||
      { echo "the page differs from its sources; run crates/agent/ui/build.sh and commit the result" >&2; exit 1; }
  done
  echo "the page is as its sources make it"
else
  cp "$made"/* "$page/"
  gzip -9c "$made"/app.* "$made/index.html" | wc -c | sed 's/$/ bytes compressed/'
fi
