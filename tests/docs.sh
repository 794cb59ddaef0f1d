#!/bin/sh
# The documents follow the code: the man pages name every function with the header's prototype, every
# struct field and every constant; they render without a warning; their examples compile and run; the
# links in the Markdown files lead somewhere. Needs a C compiler, groff, and the library in target/lib.
set -eu
cd "$(dirname "$0")/.."
cc=${CC:-cc}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
fail() {
    echo "docs: $*" >&2
    failed=1
}

for tool in "$cc" groff; do
    command -v "$tool" >/dev/null || { echo "docs: $tool is missing" >&2; exit 1; }
done
[ -e target/lib/libshmkit.so ] || { echo "docs: the library is missing; run 'make lib'" >&2; exit 1; }

# Statements, one a line, spaces only where C needs them.
statements() {
    tr -s ' \n' '  ' | tr ';' '\n' | sed 's/ *\([(),*{}]\) */\1/g; s/^ *//; s/ *$//'
}
prototypes() {
    grep -E '^[a-z][a-z0-9_ ]*[ *]shm_[a-z0-9_]+\([^)]*\)$' || true
}
# A section of a rendered page.
section() {
    awk -v name="$1" '/^[A-Z]/ { inside = ($0 == name); next } inside' "$2"
}

# The header, without its comments.
"$cc" -E -P include/shmkit.h | statements >"$work/header"
prototypes <"$work/header" | sort >"$work/header.prototypes"
sed -n 's/^.*{//; s/^\(u\{0,1\}int[0-9]*_t\|char\) [a-z_]*\(\[[0-9]*\]\)\{0,1\}$/&/p' "$work/header" >"$work/header.fields"
for header in include/shmkit.h bindings/c/shmkit_helpers.h; do
    "$cc" -E -dM -Iinclude "$header"
done | sed -n 's/^#define \(SHMKIT_[A-Z0-9_]*\).*/\1/p' | grep -v '_H$' | sort -u >"$work/constants"
[ "$(wc -l <"$work/header.prototypes")" -ge 122 ] || fail "only $(wc -l <"$work/header.prototypes") prototypes found in the header"
[ "$(wc -l <"$work/header.fields")" -ge 90 ] || fail "only $(wc -l <"$work/header.fields") struct fields found in the header"
[ "$(wc -l <"$work/constants")" -ge 89 ] || fail "only $(wc -l <"$work/constants") constants found in the header"

: >"$work/man.statements"
for page in man/*.[37]; do
    name=$(basename "$page")
    groff -man -Tutf8 -ww -z "$page" 2>"$work/warnings" || fail "$page does not render"
    [ ! -s "$work/warnings" ] || fail "$page: $(cat "$work/warnings")"
    groff -man -Tascii -P-cbou "$page" >"$work/$name" 2>/dev/null

    section SYNOPSIS "$work/$name" | sed '/#include/d' | statements >"$work/synopsis"
    cat "$work/synopsis" >>"$work/man.statements"

    # man(1) finds a function by the page's NAME.
    section NAME "$work/$name" | tr -s ' \n' '  ' | sed 's/ - .*//; s/ //g' | tr ',' '\n' | sort >"$work/names"
    prototypes <"$work/synopsis" | sed 's/(.*//; s/.*[ *]//' | sort >"$work/functions"
    missing=$(comm -13 "$work/names" "$work/functions" | xargs)
    [ -z "$missing" ] || fail "$page: not in NAME: $missing"

    section EXAMPLES "$work/$name" | awk '/#include/ { on = 1 } on { print } on && /^ *}$/ { last = NR }' >"$work/example.c"
    if [ -s "$work/example.c" ]; then
        if "$cc" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Werror -Iinclude -Ibindings/c "$work/example.c" \
            -o "$work/example" -Ltarget/lib -lshmkit -Wl,-rpath,"$PWD/target/lib"; then
            "$work/example" >"$work/output" 2>&1 </dev/null || fail "$page: the example answers $?: $(cat "$work/output")"
            # What stays for others goes when it is told so.
            [ "$name" != shm_named.3 ] || "$work/example" remove || fail "$page: the example does not remove its name"
        else
            fail "$page: the example does not compile"
        fi
    fi
done

# Each function once, as in the header.
prototypes <"$work/man.statements" | sort >"$work/man.prototypes"
diff -u --label include/shmkit.h --label 'man/*, SYNOPSIS' "$work/header.prototypes" "$work/man.prototypes" >&2 ||
    fail "the prototypes differ"

sed 's/^.*{//' "$work/man.statements" | sort -u >"$work/man.fields"
while read -r field; do
    grep -qxF -- "$field" "$work/man.fields" || fail "no man page has the field '$field'"
done <"$work/header.fields"

while read -r constant; do
    cat man/*.[37] | grep -qw -- "$constant" || fail "no man page names $constant"
done <"$work/constants"

sed 's/(.*//; s/.*[ *]//' "$work/header.prototypes" >"$work/functions"
while read -r function; do
    grep -qw -- "$function" docs/threads-signals-fork.md || fail "docs/threads-signals-fork.md does not name $function"
done <"$work/functions"

# What a signal handler may call is called in one.
sed -n 's/^|\(.*\)| yes |.*/\1/p' docs/threads-signals-fork.md | grep -o 'shm_[a-z_]*`' | tr -d '`' | sort -u |
    grep -vx shm_region_protect >"$work/allowed"
sed -n 's/^static void call_\(shm_[a-z_]*\)(void).*/\1/p' tests/c/signals.c | sort >"$work/called"
diff -u --label docs/threads-signals-fork.md --label tests/c/signals.c "$work/allowed" "$work/called" >&2 ||
    fail "what signal handlers may call differs"

# Relative links, from the file that has them.
find . -name target -prune -o -name .git -prune -o -name '*.md' -print >"$work/markdown"
while read -r file; do
    grep -oE '\]\([^)]+\)' "$file" | sed 's/^](//; s/)$//; s/#.*//; s/ .*//' | sort -u >"$work/links" || true
    while read -r link; do
        case $link in '' | http://* | https://* | mailto:*) continue ;; esac
        [ -e "$(dirname "$file")/$link" ] || fail "$file: nothing is at '$link'"
    done <"$work/links"
done <"$work/markdown"

[ "$failed" = 0 ] && echo "docs: $(wc -l <"$work/man.prototypes") functions, $(wc -l <"$work/constants") constants, $(wc -l <"$work/markdown") Markdown files"
exit "$failed"
