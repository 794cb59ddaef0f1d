#!/usr/bin/env bash
# Runs the C tests that make has built: each exits 0 when it passed, 77
# when it cannot run here, wholly or in part, and prints why.
#     tests/c.sh plain | valgrind | asan | musl
# A line with NO-VALGRIND:, NO-ASAN: or NO-MUSL: and a reason in a test's source keeps it out there.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tests have shorter limits of their own; these are for one that lost its own.
mode=$1 built=target/tests-c seconds=90 command=()
case $mode in
plain) ;;
valgrind)
    seconds=330
    command=(valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=all --show-leak-kinds=all)
    ;;
asan) built=target/tests-asan seconds=330 ;;
musl) built=target/tests-musl ;;
esac

passed=0 failed=0 skipped=0
skip() { # NAME REASON
    skipped=$((skipped + 1))
    echo "SKIP $1: $2"
}
for source in tests/c/*.c; do
    name=$(basename "$source" .c)
    excuse=$(sed -n "s|.*NO-${mode^^}: *||p" "$source" | sed 's| *\*/.*||')
    if [ -n "$excuse" ]; then
        skip "$name" "$excuse"
        continue
    fi
    code=0
    output=$(timeout --kill-after=5 $seconds "${command[@]}" "$built/$name" 2>&1 </dev/null) || code=$?
    case $code in
    0)
        passed=$((passed + 1))
        echo "PASS $name"
        ;;
    77) skip "$name" "$output" ;;
    *)
        failed=$((failed + 1))
        [ $code != 124 ] || code="none in $seconds seconds"
        printf '%s\nFAIL %s (exit code: %s)\n' "$output" "$name" "$code"
        ;;
    esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $((passed + skipped)) -gt 0 ]
