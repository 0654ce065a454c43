#!/bin/bash
# program.sh COMMAND...: runs the program (COMMAND is its path, or an emulator and its path), and prints a line for each
# check as Rust's tests do.
set -u
failed=0
# check NAME PATTERN ARGUMENT...: the program with these arguments must succeed and print the pattern.
check() {
  local name=$1 pattern=$2 output
  shift 2
  if output=$("${command[@]}" "$@" 2>&1) && grep -qE "$pattern" <<<"$output"; then
    echo "test program::$name ... ok"
  else
    printf 'test program::%s ... FAILED\n%s\n' "$name" "$output"
    failed=1
  fi
}
command=("$@")
version=$(grep -m1 '^version = ' Cargo.toml | cut -d'"' -f2)
check version "^netns-agent ${version//./\\.}\$" --version
check settings '^ +--otlp-endpoint' run --help
check loopback_is_listed '"name": ?"lo"' list -o json --exclude-interfaces=
exit $failed
