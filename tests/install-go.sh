#!/usr/bin/env bash
# The installed Go package, used by a stranger: README's program alone in an empty folder, with the
# installed sources and library; and what he is told when something does not fit.
#     tests/install-go.sh ROOT PREFIX     called by tests/install.sh, with pkg-config's variables set
set -euo pipefail
readme=$(cd "$(dirname "$0")/.." && pwd)/README.md
root=$1 prefix=$2

fail() {
    echo "installation, Go: $*" >&2
    exit 1
}
installed=$root$prefix/lib
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"
export TMPDIR=$work # cgo leaves files where it fails
export CGO_ENABLED=1 GOTOOLCHAIN=local GOFLAGS=-mod=mod GOPROXY=off

# The text of README's first block of a kind that follows a line.
block() { # LINE KIND
    awk -v after="$1" -v fence="\`\`\`$2" '
        inside && /^```$/ { exit }
        inside { print }
        found && $0 == fence { inside = 1 }
        index($0, after) == 1 { found = 1 }' "$readme"
}

[ "$(find "$root" -name go.mod | wc -l)" = 1 ] || fail "not exactly one go.mod is installed"

mkdir program
cd program
block '# shmkit' go >main.go
block '## In a Go program' sh >commands
[ "$(wc -l <commands)" = 3 ] || fail "README says it in $(wc -l <commands) lines, not 3"
expected='4096 bytes: written by A, read by B, copied by nobody
shmkit: Check: 16 bytes at offset 4090 are beyond the memfd: it has 4096 bytes'
printed=$(LD_LIBRARY_PATH=$installed sh -e commands 2>../log) || { cat ../log >&2; fail "README's three lines fail"; }
[ "$printed" = "$expected" ] || fail "README's program prints: $printed"
echo "Go: README's program, alone in an empty folder, runs"

mkdir limits
cat >limits/main.go <<'GO'
package main

import (
	"fmt"
	"shmkit/inspect"
)

func main() {
	limits, err := inspect.Limits()
	fmt.Println(len(limits) > 25, err)
}
GO
printed=$(LD_LIBRARY_PATH=$installed go run ./limits)
[ "$printed" = 'true <nil>' ] || fail "package inspect prints: $printed"
echo "Go: package inspect too"

# try NAME shared|static [ARGUMENT ...]: builds, runs, and asks the loader what it took.
try() {
    local name=$1 kind=$2 taken
    shift 2
    go build -o "$name" "$@" . 2>../log || { cat ../log >&2; fail "$name: cannot build"; }
    [ "$(LD_LIBRARY_PATH=$installed "./$name")" = "$expected" ] || fail "$name: does not run"
    taken=$({ LD_LIBRARY_PATH=$installed ldd "./$name" 2>/dev/null || true; } | sed -n 's/.*libshmkit.* => \(.*\) (.*/\1/p')
    case $kind in
    shared) [ "$taken" = "$installed/libshmkit.so.0" ] || fail "$name: the loader took '$taken'" ;;
    static) [ -z "$taken" ] || fail "$name: is not static but takes $taken" ;;
    esac
    echo "Go, $name: runs"
}
try shared shared
try static-library static -tags shmkit_static
try all-static static -tags shmkit_static -ldflags '-extldflags=-static'
go mod vendor
GOFLAGS=-mod=vendor try vendored shared
rm -r vendor

# told SENTENCE COMMAND [ARGUMENT ...]: the command fails, and says so.
told() {
    local sentence=$1 said
    shift
    if said=$("$@" 2>&1); then fail "$* succeeds"; fi
    case $said in
    *"$sentence"*) echo "Go: told '$sentence'" ;;
    *) fail "$* does not say '$sentence' but: $said" ;;
    esac
}
told 'build with CGO_ENABLED=1, and have a C compiler' env CGO_ENABLED=0 go build -o nothing .
# Go's cache does not see what pkg-config says: another flag makes it ask anew.
anew() { env CGO_CFLAGS="-O2 -DANEW=$RANDOM" "$@" go build -o nothing .; }
told 'Package shmkit was not found in the pkg-config search path' anew PKG_CONFIG_LIBDIR="$work"

# A header of another version, and none.
cp -r "$root" "$work/other"
sed -i 's/^#define SHMKIT_VERSION_MINOR .*/#define SHMKIT_VERSION_MINOR 99/' "$work/other$prefix/include/shmkit.h"
told 'this Go package shmkit is of version' anew PKG_CONFIG_SYSROOT_DIR="$work/other"
rm "$work/other$prefix/include/shmkit.h"
told 'the Go package shmkit needs shmkit.h' anew PKG_CONFIG_SYSROOT_DIR="$work/other"

# A library that says it is older, and none.
cat >"$work/older.c" <<'C'
unsigned shm_version(void) { return 8; }
C
echo 'SHMKIT_0.1 { global: shm_version; };' >"$work/older.map"
${CC:-cc} -shared -fPIC -o "$work/older.so" "$work/older.c" -Wl,--version-script="$work/older.map"
told 'this program was built for libshmkit' env LD_PRELOAD="$work/older.so" LD_LIBRARY_PATH="$installed" ./shared
told 'libshmkit.so.0: cannot open shared object file' env LD_LIBRARY_PATH="$work" ./shared
