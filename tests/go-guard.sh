#!/usr/bin/env bash
# The fault guard in a Go program: tests/go-guard, with the library and header of this tree.
set -euo pipefail
cd "$(dirname "$0")/.."

command -v go >/dev/null || {
    echo "go is missing" >&2
    exit 1
}
[ -e target/lib/libshmkit.so ] || {
    echo "target/lib/libshmkit.so is missing: make lib" >&2
    exit 1
}
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

export CGO_ENABLED=1 GOTOOLCHAIN=local GOFLAGS=-mod=mod GOPROXY=off
export CGO_CFLAGS="-I$PWD/include -O2 -Wall -Werror"
export CGO_LDFLAGS="-L$PWD/target/lib -lshmkit -Wl,-rpath,$PWD/target/lib"
go -C tests/go-guard vet ./...
go -C tests/go-guard build -o "$temporary/go-guard" .
TMPDIR=$temporary timeout 60 "$temporary/go-guard"
echo "PASS go-guard, $(go env GOVERSION)"
