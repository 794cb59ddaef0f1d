#!/usr/bin/env bash
# Installs to a directory of its own and uses what is there as a stranger would: by pkg-config alone,
# from outside the tree. Then removes it again.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "installation: $*" >&2
    exit 1
}
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
root=$temporary/root
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

# ---- Files: default directories, and each directory chosen -------------------------------
install_and_compare() { # BINDIR LIBDIR INCLUDEDIR MANDIR GODIR BASHDIR ZSHDIR FISHDIR [VARIABLE=VALUE ...]
    local bin=$1 lib=$2 include=$3 man=$4 go=$5 bash=$6 zsh=$7 fish=$8
    shift 8
    make -s install DESTDIR="$root" "$@" >"$temporary/log" 2>&1 || { cat "$temporary/log" >&2; fail "make install $*"; }
    {
        echo "$bin/shmkit $man/man1/shmkit.1 $bash/shmkit $zsh/_shmkit $fish/shmkit.fish" | tr ' ' '\n'
        printf "$lib/%s\n" "libshmkit.so.$version" libshmkit.so.0 libshmkit.so libshmkit.a pkgconfig/shmkit.pc
        printf "$include/%s\n" shmkit.h shmkit_helpers.h
        find bindings/go -type f ! -name '_*' ! -name '*_test.go' -printf "$go/%P\n"
        for page in man/*.[37]; do echo "$man/man${page##*.}/${page##*/}"; done
        sed -n "s|^[a-z].*[ *]\(shm_[a-z_]*\)(.*|$man/man3/\1.3|p" include/shmkit.h
    } | sort >"$temporary/expected"
    find "$root" ! -type d -printf '/%P\n' | sort >"$temporary/found"
    diff -u "$temporary/expected" "$temporary/found" || fail "make install $* brings other files"
}
uninstall() { # [VARIABLE=VALUE ...]
    make -s uninstall DESTDIR="$root" "$@" >/dev/null
    [ -z "$(find "$root" ! -type d)" ] || fail "make uninstall $* leaves files: $(find "$root" ! -type d)"
}

chosen=(PREFIX=/opt/shmkit BINDIR=/opt/tools LIBDIR=/opt/lib64 INCLUDEDIR=/opt/shmkit/c MANDIR=/opt/man
    GODIR=/opt/shmkit/go BASHDIR=/opt/bash ZSHDIR=/opt/zsh FISHDIR=/opt/fish)
install_and_compare /opt/tools /opt/lib64 /opt/shmkit/c /opt/man /opt/shmkit/go /opt/bash /opt/zsh /opt/fish "${chosen[@]}"
for want in prefix=/opt/shmkit libdir=/opt/lib64 'includedir=${prefix}/c' 'godir=${prefix}/go'; do
    grep -qxF "$want" "$root/opt/lib64/pkgconfig/shmkit.pc" || fail "shmkit.pc lacks the line $want"
done
uninstall "${chosen[@]}"

prefix=/opt/shmkit
install_and_compare $prefix/bin $prefix/lib $prefix/include $prefix/share/man $prefix/share/shmkit/go \
    $prefix/share/bash-completion/completions $prefix/share/zsh/site-functions \
    $prefix/share/fish/vendor_completions.d PREFIX=$prefix
echo "files: $(wc -l <"$temporary/expected"), where they should be"

# ---- A stranger's program ----------------------------------------------------------------
mkdir "$temporary/stranger"
cat >"$temporary/stranger/program.c" <<'C'
#include <shmkit.h>
#include <shmkit_helpers.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    shm_region *region = NULL;
    shm_error error;
    char seen[6] = "";

    if (shm_version() != (SHMKIT_VERSION_MAJOR << 16 | SHMKIT_VERSION_MINOR << 8 | SHMKIT_VERSION_PATCH))
        return 2;
    if (shm_region_create("stranger", 100, NULL, &region, &error) < 0)
        shmkit_die(&error);
    if (shm_region_write(region, 94, "hello", 6) < 0 || shm_region_read(region, 94, seen, 6) < 0 ||
        strcmp(seen, "hello") != 0 || SHMKIT_CLOSE(region) < 0)
        return 3;
    return 0;
}
C
cp "$temporary/stranger/program.c" "$temporary/stranger/program.cpp"

installed=$root$prefix/lib
flags=(-Wall -Wextra -Wpedantic -Werror)
export PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$installed/pkgconfig PKG_CONFIG_PATH=
cd "$temporary/stranger"

# try NAME shared|static COMPILER [ARGUMENT ...]: builds, runs, and asks the loader what it took.
try() {
    local name=$1 kind=$2 taken
    shift 2
    "$@" -o "$name" || fail "$name: cannot build: $*"
    LD_LIBRARY_PATH=$installed "./$name" || fail "$name: exit code $?"
    taken=$(LD_LIBRARY_PATH=$installed ldd "./$name" 2>/dev/null | sed -n 's/.*libshmkit.* => \(.*\) (.*/\1/p')
    case $kind in
    shared) [ "$taken" = "$installed/libshmkit.so.0" ] || fail "$name: the loader took '$taken'" ;;
    static) [ -z "$taken" ] || fail "$name: is not static but takes $taken" ;;
    esac
    echo "$name: built by pkg-config, runs"
}
shared=$(pkg-config --cflags --libs shmkit)
static=$(pkg-config --cflags --libs --static shmkit)
# shellcheck disable=SC2086 # lists of words
{
    try shared shared ${CC:-cc} -std=c11 "${flags[@]}" program.c $shared
    try shared-c++17 shared ${CXX:-g++} -std=c++17 "${flags[@]}" program.cpp $shared
    # libshmkit.a in a program that is otherwise dynamic, and in one that is all static. There the
    # linker warns of getaddrinfo in Rust's standard library, which shmkit never calls.
    try static-library static ${CC:-cc} -std=c11 "${flags[@]}" program.c -static-libgcc ${static/-lshmkit/-l:libshmkit.a}
    try static-library-c++17 static ${CXX:-g++} -std=c++17 "${flags[@]}" program.cpp ${static/-lshmkit/-l:libshmkit.a}
    try all-static static ${CC:-cc} -std=c11 "${flags[@]}" program.c -static $static 2>"$temporary/log" ||
        { cat "$temporary/log" >&2; false; }
}
cd - >/dev/null

tests/install-go.sh "$root" "$prefix"

# ---- The tool ----------------------------------------------------------------------------
[ "$("$root$prefix/bin/shmkit" --version)" = "shmkit $version" ] || fail "shmkit --version is not $version"
"$root$prefix/bin/shmkit" fits 1 >/dev/null || fail "shmkit fits 1: exit code $?"
bash -c '. "$1" && complete -p shmkit' bash "$root$prefix/share/bash-completion/completions/shmkit" >/dev/null ||
    fail "bash does not take the completions"
echo "shmkit: runs, and bash completes it"

# The uninstalled .pc, for use from the tree.
unset PKG_CONFIG_SYSROOT_DIR PKG_CONFIG_LIBDIR
# shellcheck disable=SC2046
${CC:-cc} -o "$temporary/uninstalled" "$temporary/stranger/program.c" $(PKG_CONFIG_PATH=target/lib pkg-config --cflags --libs shmkit)
"$temporary/uninstalled" || fail "the program that uses the tree's library: exit code $?"
echo "uninstalled: built by pkg-config from target/lib, runs"

# ---- Man pages ---------------------------------------------------------------------------
mapfile -t pages < <(find "$root$prefix/share/man" -type f)
for page in "${pages[@]}"; do
    warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null) ||
        warnings="man cannot show it: $warnings"
    [ -z "$warnings" ] || fail "${page##*/}: $warnings"
done
MANPATH=$root$prefix/share/man man -w shm_send_fd >/dev/null || fail "man shm_send_fd finds nothing"
echo "man pages: ${#pages[@]}, no warnings; each function finds its page"

uninstall PREFIX=$prefix
echo "make uninstall leaves no file"
