#!/usr/bin/env bash
# The header is what cbindgen makes of src/capi today, and it and the helpers compile in each version
# of C and C++ that is promised, alone and together with the system's headers of similar names.
set -euo pipefail
cd "$(dirname "$0")/.."

temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

cbindgen --quiet --config cbindgen.toml --output "$temporary/shmkit.h" .
if ! diff -u include/shmkit.h "$temporary/shmkit.h"; then
    echo "include/shmkit.h is not what src/capi says; to make it anew: make header" >&2
    exit 1
fi

system='#include <sys/shm.h>
#include <sys/mman.h>
#include <sys/ipc.h>'
count=0
for ours in shmkit.h shmkit_helpers.h; do
    own="#include <$ours>"
    for text in "$own" "$own
$system" "$system
$own"; do
        gnu=-D_GNU_SOURCE # which <sys/shm.h> wants, and ours do not
        [ "$text" != "$own" ] || gnu=-U_GNU_SOURCE
        for language in c:c99 c:c11 c:c2x c++:c++11 c++:c++17; do
            printf '%s\nint main(void) { return 0; }\n' "$text" |
                ${CC:-cc} -x "${language%:*}" -std="${language#*:}" $gnu -Wall -Wextra -Wpedantic -Werror \
                    -Iinclude -Ibindings/c -fsyntax-only - ||
                { printf 'does not compile as %s:\n%s\n' "${language#*:}" "$text" >&2; exit 1; }
            count=$((count + 1))
        done
    done
done
echo "include/shmkit.h is fresh; $count ways to include it and the helpers compile"
