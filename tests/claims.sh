#!/usr/bin/env bash
# Every claim of docs/claims.md by its id, and whether it was shown here.
#     tests/claims.sh TESTS EXAMPLES     what `cargo test --test claims -- --show-output` and
#                                        tests/examples.sh have printed
set -euo pipefail
cd "$(dirname "$0")/.."
tests=$1 examples=$2

# VERDICT ID WHAT, a line for each test and each example of a claim.
{
    # A test that cannot run here passes, and prints why.
    awk '
        /^---- .* stdout ----$/ { inside = $2; next }
        inside && /^skipped/ { why[inside] = $0 }
        /^test .*::d[0-9]+_/ { verdict[$2] = $4 }
        END {
            for (test in verdict) {
                name = test
                sub(/.*::/, "", name)
                split(name, part, "_")
                result = verdict[test] == "ok" ? (test in why ? "skipped" : "shown") : "failed"
                print result, toupper(part[1]) "." part[2], name, why[test]
            }
        }' "$tests"
    sed -nE 's/^ok (D.*)/shown \1/p; s/^FAIL (D.*)/failed \1/p; s/^SKIP (D.*)/skipped \1/p' "$examples" |
        awk '{ for (i = 2; $i ~ /^D[0-9]+\.[0-9]+$/; i++) print $1, $i, substr($0, index($0, $i)) }'
    ! grep -q 'Claim D3.11' docs/choosing.md || ! grep -q '(docs/choosing.md)' README.md || echo 'shown D3.11 docs/choosing.md'
} >"${tests%.*}.verdicts"

shown=0 skipped=0 failed=0
for id in $(sed -nE 's/^\| (D[0-9]+\.[0-9]+) \|.*/\1/p' docs/claims.md); do
    count() { awk -v id="$id" -v verdict="$1" '$2 == id && $1 == verdict' "${tests%.*}.verdicts" | wc -l; }
    if [ "$(count failed)" != 0 ]; then
        verdict=FAILED failed=$((failed + 1))
    elif [ "$(count shown)" != 0 ]; then
        verdict=shown shown=$((shown + 1))
    elif [ "$(count skipped)" != 0 ]; then
        verdict=skipped skipped=$((skipped + 1))
    else
        verdict='FAILED: nothing shows it' failed=$((failed + 1))
    fi
    printf '%-6s %s, by %d of %d tests and examples\n' "$id" "$verdict" "$(count shown)" \
        "$(($(count shown) + $(count skipped) + $(count failed)))"
    awk -v id="$id" '$2 == id && $1 != "shown"' "${tests%.*}.verdicts"
done
echo "claims: $shown passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
