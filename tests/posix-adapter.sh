#!/usr/bin/env bash
# Runs ordinary programs twice, over the C library's objects and over shmkit's, and compares what they print.
#     tests/posix-adapter.sh ADAPTER PROGRAM ...
set -euo pipefail

adapter=$1 failed=0
shift
report=$(mktemp)
trap 'rm -f "$report"' EXIT
for program; do
    name=$(basename "$program")
    own=$(timeout 60 "$program" 2>&1) || own="exit code $?: $own"
    : >"$report"
    ours=$(POSIX_ADAPTER_REPORT=$report LD_PRELOAD=$adapter timeout 60 "$program" 2>&1) || ours="exit code $?: $ours"
    if [ "$own" != "$ours" ]; then
        failed=1
        echo "FAIL $name:"
        diff <(echo "$own") <(echo "$ours") || true
    elif ! grep -q '[1-9]' "$report"; then
        failed=1
        echo "FAIL $name: the adapter was not asked"
    else
        echo "PASS $name"
    fi
done
exit $failed
