#!/bin/sh
# What README shows is true: its programs are examples-c/tour.c and examples-go/tour, its gcc line runs
# as it stands, and prints what README says.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "readme: $*" >&2
    exit 1
}
[ -e target/lib/libshmkit.so ] || fail "the library is missing; run 'make lib'"

# The text between ``` of this kind (c, sh, or none) that follows a line.
block() { # LINE KIND
    awk -v after="$1" -v fence="\`\`\`$2" '
        inside && /^```$/ { exit }
        inside { print }
        found && $0 == fence { inside = 1 }
        index($0, after) == 1 { found = 1 }' README.md
}

block 'The same from C' c >"$work/tour.c"
diff -u --label README.md --label examples-c/tour.c "$work/tour.c" examples-c/tour.c >&2 ||
    fail "the program differs from examples-c/tour.c"
block 'The same in Go' go >"$work/tour.go"
diff -u --label README.md --label examples-go/tour/main.go "$work/tour.go" examples-go/tour/main.go >&2 ||
    fail "the program differs from examples-go/tour/main.go"

block '`make lib` builds' sh >"$work/command"
grep -q '^gcc ' "$work/command" || fail "no gcc line"
[ "$(wc -l <"$work/command")" = 1 ] || fail "more than one line to compile a program"
block 'It prints' '' >"$work/promised"
[ -s "$work/promised" ] || fail "no output is promised"
status=0
sh "$work/command" >"$work/printed" 2>&1 || status=$?
cat "$work/printed"
[ "$status" = 0 ] || fail "the gcc line ends with $status"
diff -u --label README.md --label printed "$work/promised" "$work/printed" >&2 || fail "it prints something else"
