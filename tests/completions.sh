#!/usr/bin/env bash
# Each shell loads the tool's completions, and completes a word with them. A shell that is not here is skipped.
#     tests/completions.sh DIRECTORY      with shmkit.bash, _shmkit and shmkit.fish
set -euo pipefail
directory=$(realpath "$1")
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
failed=0

# The answer is the word that `shmkit doc` becomes.
complete_in_bash() {
    bash --norc -c '. "$1/shmkit.bash"; COMP_WORDS=(shmkit doc) COMP_CWORD=1; _shmkit shmkit doc shmkit
        echo "${COMPREPLY[*]}"' bash "$directory"
}
complete_in_fish() {
    HOME=$home XDG_CONFIG_HOME=$home XDG_DATA_HOME=$home XDG_CACHE_HOME=$home XDG_RUNTIME_DIR=$home \
        fish --no-config -c "source '$directory/shmkit.fish'; complete -C 'shmkit doc'" | cut -f1
}
# Only its line editor completes: in a terminal, with a function in the tool's place that tells its argument.
complete_in_zsh() {
    HOME=$home ZDOTDIR=$home TERM=dumb zsh -f -c '
        zmodload zsh/zpty
        zpty shell zsh -f -i
        say() { zpty -w shell "$@" }
        say "PS1= PS2= fpath=(\"$1\" \$fpath); autoload -U compinit; compinit -u -d \"$2/dump\"; echo rea\"\"dy"
        zpty -r shell text "*ready*"
        say "shmkit() { echo \"wo\"\"rd=\$1.\" }; echo to\"\"ld"
        zpty -r shell text "*told*"
        say $'"'"'shmkit doc\t'"'"'
        zpty -r shell text "*word=*.*"
        zpty -d shell
        print -r -- "${${text##*word=}%%.*}"' zsh "$directory" "$home"
}

for shell in bash zsh fish; do
    if ! command -v $shell >/dev/null; then
        echo "SKIP completions in $shell: it is not installed"
        continue
    fi
    export -f complete_in_$shell
    export directory home
    word=$(timeout --kill-after=5 60 bash -c complete_in_$shell 2>"$home/said" </dev/null) || word="exit code $?"
    if [ "$word" = doctor ]; then
        echo "PASS completions in $shell"
    else
        echo "FAIL completions in $shell: 'shmkit doc' becomes '$word': $(cat "$home/said")" >&2
        failed=1
    fi
done
exit $failed
