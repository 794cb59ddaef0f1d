#!/usr/bin/env bash
# The main job: a receiver and a sender, two processes, and a file's bytes in a region between them.
#     tests/demo.sh FILE
set -euo pipefail
cd "$(dirname "$0")/.."

directory=$(mktemp -d)
trap 'kill "$receiver" 2>/dev/null || true; rm -rf "$directory"' EXIT
mkfifo "$directory/output"

target/examples-c/receiver "$directory/socket" >"$directory/output" &
receiver=$!
exec 3<"$directory/output"
# It listens once it has said so; if it ends instead, so do we.
read -r line <&3 || wait "$receiver"
echo "$line"
cat <&3 &
shown=$!

target/examples-c/sender "$directory/socket" "$1"
wait "$receiver"
receiver=
wait "$shown"
