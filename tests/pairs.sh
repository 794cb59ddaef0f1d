#!/usr/bin/env bash
# Programs in several languages share memory: each produces for each, by every kind of region.
#     tests/pairs.sh NAME=PROGRAM...
# tests/pairs/README.md says what a program does.
set -uo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C

kinds=(memfd memfd-stream descriptor file posix sysv sysv-at anonymous)
sizes=(1 4096 100003)
names=()
declare -A programs no cannot
for argument; do
    names+=("${argument%%=*}")
    programs[${argument%%=*}]=$(realpath -e "${argument#*=}") || exit 1
done
passed=0 failed=0 seed=0

work=$(mktemp -d "${TMPDIR:-/tmp}/shmkit-pairs.XXXXXX") || exit 1
posix=/shmkit-pairs-$$ key='' key_at=''
cd "$work" || exit 1

# Whatever a program has left. Nothing is there after a row that passed.
tidy() {
    rm -rf "$work/row" "/dev/shm$posix"
    [ -z "$key" ] || ipcrm -M "$key"
    [ -z "$key_at" ] || ipcrm -M "$key_at"
} 2>/dev/null
trap 'tidy; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP

# Keys that nobody has: one of our choice, and ftok's of a file.
is_free() { ! awk '{ print $1 }' /proc/sysvipc/shm | grep -qx "$1"; }
try=$((0x50000000 + $$))
until is_free $try; do try=$((try + 1)); done
key=$try
for number in {1..100}; do
    : >"$work/place$number"
    read -r device inode < <(stat -c '%d %i' "$work/place$number")
    try=$((1 << 24 | (device & 255) << 16 | inode & 65535))
    ! is_free $try || break
done
place=$work/place$number key_at=$try

where() { # KIND
    case $1 in
    memfd | memfd-stream | descriptor) echo "$work/row/socket" ;;
    file) echo "$work/row/file" ;;
    posix) echo "$posix" ;;
    sysv) echo "$key" ;;
    sysv-at) echo "$place" ;;
    anonymous) echo - ;;
    esac
}

is_named() {
    case $1 in file | posix | sysv | sysv-at) ;; *) false ;; esac
}

limit=(timeout --foreground --kill-after=5 60)

# answers CODE OUTPUT PROGRAM [ARGUMENT...]: what it prints on stdout, and its exit code.
answers() {
    local expected="$2
exit code $1" output code=0
    output=$("${limit[@]}" "${@:3}" </dev/null) || code=$?
    output+="
exit code $code"
    [ "$output" = "$expected" ] || {
        printf '%s\nexpected:\n%s\nprinted:\n%s\n' "${*:3}" "$expected" "$output"
        return 1
    }
}

# fails CODE PROGRAM [ARGUMENT...]: a line on stderr says why, and none on stdout.
fails() {
    local code=0
    "${limit[@]}" "${@:2}" </dev/null >row/stdout 2>row/stderr || code=$?
    [ "$code $(wc -l <row/stderr) $(wc -c <row/stdout)" = "$1 1 0" ] || {
        echo "${*:2}: exit code $code instead of $1, or not one line on stderr alone:"
        cat row/stdout row/stderr
        return 1
    }
}

# A producer in the background: its stdin is descriptor 3, its stdout 4, its process $producer.
start() { # NAME KIND SIZE SEED
    rm -f row/in row/out
    mkfifo row/in row/out
    "${limit[@]}" "${programs[$1]}" produce "$2" "$(where "$2")" "$3" "$4" <row/in >row/out &
    producer=$!
    exec 3>row/in 4<row/out
    hear ready
}

hear() { # LINE
    local line
    read -r -t 60 line <&4 || line='(nothing)'
    [ "$line" = "$1" ] || {
        echo "the producer says '$line' instead of '$1'"
        return 1
    }
}

producer_fails() {
    local code=0
    wait "$producer" || code=$?
    [ $code = 1 ] || {
        echo "the producer ends with $code instead of 1"
        return 1
    }
}

# Both sides, each size; and a name is removed while the producer still has the region.
exchange() { # PRODUCER CONSUMER KIND SEED
    local consumer=${programs[$2]} kind=$3 size seed=$4 at
    at=$(where "$kind")
    for size in "${sizes[@]}"; do
        seed=$((seed + 1))
        start "$1" "$kind" "$size" "$seed"
        if [ "$kind" != anonymous ]; then
            answers 0 verified "$consumer" consume "$kind" "$at" "$size" "$seed"
        fi
        if is_named "$kind"; then
            answers 0 removed "$consumer" remove "$kind" "$at"
            # The seed that would be right, were the region still there.
            fails 1 "$consumer" consume "$kind" "$at" "$size" $((seed + 1))
            fails 1 "$consumer" remove "$kind" "$at"
        fi
        echo check >&3
        hear answered
        wait "$producer"
    done
}

# What a program refuses, so that what it accepts means something.
refusals() { # NAME
    local program=${programs[$1]} kind role code
    fails 2 "$program"
    fails 2 "$program" kinds
    fails 2 "$program" produce no-such-kind - 1 1
    fails 2 "$program" consume file row/file one 1
    fails 2 "$program" remove anonymous -
    for role in produce consume; do
        for kind in "${kinds[@]}"; do
            [ -z "${no[$1 $role $kind]-}" ] ||
                answers 3 "$kind no: ${no[$1 $role $kind]}" "$program" "$role" "$kind" "$(where "$kind")" 1 1
        done
    done
    for kind in "${kinds[@]}"; do
        # A name that is taken; another pattern, another size; and a producer that nobody has answered.
        if is_named "$kind" && [ -z "${no[$1 produce $kind]-}" ]; then
            start "$1" "$kind" 4096 1
            fails 1 "$program" produce "$kind" "$(where "$kind")" 4096 1
            fails 1 "$program" consume "$kind" "$(where "$kind")" 4096 2
            fails 1 "$program" consume "$kind" "$(where "$kind")" 4095 1
            echo check >&3
            producer_fails
            answers 0 removed "$program" remove "$kind" "$(where "$kind")"
        fi
    done
    start "$1" file 1 1
    answers 0 verified "$program" consume file row/file 1 1
    exec 3>&-
    producer_fails
}

# attempt NAME FUNCTION [ARGUMENT...]: any command that fails ends it, and then $code is not 0. Not
# for conditions: there bash knows no `set -e`.
attempt() {
    local name=$1 output
    shift
    mkdir row
    output=$(exec 2>&1; set -e; trap 'kill $(jobs -p) 2>/dev/null || true' EXIT; "$@")
    code=$?
    if [ $code = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s\nFAIL %s\n' "$output" "$name"
    fi
    tidy
}

# Reads what a program says of its kinds into no[NAME ROLE KIND].
ask() { # NAME ROLE
    local answer line kind said=()
    answer=$("${limit[@]}" "${programs[$1]}" kinds "$2") || return
    while IFS= read -r line; do
        kind=${line%% *}
        said+=("$kind")
        case $line in
        "$kind yes") ;;
        "$kind no: "?*) no[$1 $2 $kind]=${line#*: } ;;
        *) return 1 ;;
        esac
    done <<<"$answer"
    [ "${said[*]}" = "${kinds[*]}" ]
}

for name in "${names[@]}"; do
    for role in produce consume; do
        ask "$name" $role || {
            echo "FAIL $name: 'kinds $role' is not a line for each kind"
            exit 1
        }
    done
    attempt "$name: refusals" refusals "$name"
    [ $code != 0 ] || echo "ok $name: refusals"
done

for consumer in "${names[@]}"; do
    for producer in "${names[@]}"; do
        good=()
        for kind in "${kinds[@]}"; do
            why=${no[$producer produce $kind]-}
            # An anonymous region's consumer is its producer's child.
            [ "$kind $producer" = "anonymous $consumer" ] || why=${why:-${no[$consumer consume $kind]-}}
            if [ -n "$why" ]; then
                echo "cannot $producer to $consumer, $kind: $why"
                cannot[$kind]=$((${cannot[$kind]-0} + 1))
                continue
            fi
            attempt "$producer to $consumer, $kind" exchange "$producer" "$consumer" "$kind" $((seed += 10))
            [ $code != 0 ] || good+=("$kind")
        done
        [ ${#good[@]} = 0 ] || echo "ok $producer to $consumer: ${good[*]}"
    done
done

total=0 counts=
for kind in "${kinds[@]}"; do
    [ -z "${cannot[$kind]-}" ] || counts+=", $kind ${cannot[$kind]}" total=$((total + ${cannot[$kind]}))
done
echo "$total cannot: ${counts:2}"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
