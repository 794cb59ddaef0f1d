#!/usr/bin/env bash
# The Go package and all Go programs of the tree: formatted, vetted, tested plain, with the race detector,
# with a garbage collection at every turn, with views that die with their callback, and linked statically.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "go: $*" >&2
    exit 1
}
for tool in go gofmt staticcheck; do
    command -v "$tool" >/dev/null || fail "$tool is missing; ./dev check installs it"
done
[ -e bindings/go/internal/capi/link.go ] || fail "the library is missing: make lib"
export CGO_ENABLED=1 GOTOOLCHAIN=local

mapfile -t sources < <(find . -name target -prune -o -name '*.go' -print)
unformatted=$(gofmt -l "${sources[@]}")
[ -z "$unformatted" ] || fail "not formatted, gofmt -w does it: $unformatted"

export CGO_CFLAGS="-O2 -g -Wall -Werror"
for programs in examples-go tests/pairs/go benches/go; do
    (cd $programs && go vet ./... && staticcheck ./...)
done
cd bindings/go
for tags in '' shmkit_debug shmkit_static; do
    go vet -tags "$tags" ./...
    staticcheck -tags "$tags" ./...
done
run() { # WHAT [ARGUMENT ...]
    echo "-- $1"
    shift
    "$@" ./... | grep -v 'no test files'
}
run plain go test -count=1
run 'race detector' go test -count=1 -race
run 'GOGC=1' env GOGC=1 go test -count=1
run 'shmkit_debug' go test -count=1 -tags shmkit_debug
run 'shmkit_debug, race detector' go test -count=1 -race -tags shmkit_debug
run 'shmkit_static' go test -count=1 -tags shmkit_static
