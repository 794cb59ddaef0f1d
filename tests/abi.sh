#!/usr/bin/env bash
# Proves from the built objects what programs link against: SONAME, exports, symbol versions, layout,
# native libraries, version numbers.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "ABI: $*" >&2
    exit 1
}
same() { # WHAT EXPECTED FOUND
    diff -u --label expected --label found <(echo "$2") <(echo "$3") >&2 || fail "$1"
}

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
ours=target/lib/libshmkit.so.$version
cargos=target/release/libshmkit.so
golden=$(cat abi/symbols.txt)
names=$(sed 's/@@.*//' abi/symbols.txt)

# What a dynamic object exports; the version nodes themselves are absolute symbols.
exports() { nm --dynamic --defined-only "$1" | awk '$2 != "A" { print $3 }' | LC_ALL=C sort; }

for object in "$ours" "$cargos"; do
    soname=$(readelf --dynamic --wide "$object" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
    same "SONAME of $object" libshmkit.so.0 "$soname"
    readelf --program-headers --wide "$object" | grep -q 'GNU_STACK .* RW ' || fail "$object wants an executable stack"
    ! readelf --dynamic --wide "$object" | grep -q TEXTREL || fail "$object has text relocations"
done
same "exports of $ours, against abi/symbols.txt" "$golden" "$(exports "$ours")"
same "exports of $cargos" "$names" "$(exports "$cargos")"
readelf --dynamic --wide "$ours" | grep -q 'BIND_NOW' || fail "$ours is not bound at load time"

# Comments and macros are no declarations.
declared=$(${CC:-cc} -fpreprocessed -dD -E -P include/shmkit.h | grep -o 'shm_[a-z0-9_]*(' | tr -d '(' | LC_ALL=C sort)
same "functions in include/shmkit.h, against abi/symbols.txt" "$names" "$declared"
echo "$(wc -l <abi/symbols.txt) functions: the header, both shared objects and the golden list agree"

${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only abi/layout.c || fail "the layout has changed"
for constant in $(sed -n 's/^#define \(SHMKIT_[A-Z0-9_]*\) .*/\1/p' include/shmkit.h | grep -v _VERSION_); do
    grep -q "VALUE($constant," abi/layout.c || fail "abi/layout.c lacks $constant"
done
for struct in $(sed -n 's/^typedef struct \(shm_[a-z_]*\) {/\1/p' include/shmkit.h); do
    grep -q "SIZE($struct," abi/layout.c || fail "abi/layout.c lacks $struct"
done
echo "sizes, offsets and constants are those of abi/layout.c"

# In the test profile, so as not to touch the objects above. Compilers add -lgcc_s by themselves.
native=$(cargo rustc --locked --quiet --lib --crate-type staticlib -- --print native-static-libs 2>&1 |
    sed -n 's/^note: native-static-libs: //p' | sed 's/-lgcc_s //')
same "native libraries of libshmkit.a, against Libs.private in bindings/c/shmkit.pc.in" \
    "$(sed -n 's/^Libs.private: //p' bindings/c/shmkit.pc.in)" "$native"
echo "native libraries: $native"

in_header=$(sed -n 's/^#define SHMKIT_VERSION_[A-Z]* //p' include/shmkit.h | paste -sd.)
same "SHMKIT_VERSION_* in the header, against Cargo.toml" "$version" "$in_header"
same "the .pc file's version, against Cargo.toml" "$version" "$(PKG_CONFIG_PATH=target/lib pkg-config --modversion shmkit)"
echo "version $version"
