#!/usr/bin/env bash
# The main job: a receiver and a sender, two processes, and a file's bytes in a region between them.
# Both print the file's SHA-256, which has to be sha256sum's.
#     tests/demo.sh SENDER RECEIVER FILE
set -euo pipefail
cd "$(dirname "$0")/.."
sender=$1 receiver=$2 file=$3

directory=$(mktemp -d)
trap 'kill "$waiting" 2>/dev/null || true; rm -rf "$directory"' EXIT
mkfifo "$directory/output"

"$receiver" "$directory/socket" >"$directory/output" &
waiting=$!
exec 3<"$directory/output"
# It listens once it has said so; if it ends instead, so do we.
read -r line <&3 || wait "$waiting"
echo "$line"
tee "$directory/received" <&3 &
shown=$!

"$sender" "$directory/socket" "$file" | tee "$directory/sent"
wait "$waiting"
waiting=
wait "$shown"

digest=$(sha256sum <"$file")
for output in sent received; do
    grep -q "^${digest%% *}  " "$directory/$output" || {
        echo "demo: sha256sum says ${digest%% *}" >&2
        exit 1
    }
done
