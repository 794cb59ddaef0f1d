#!/usr/bin/env bash
# Runs the examples as a user would, and compares what they print.
#     tests/examples.sh [LANGUAGE=DIRECTORY...]      (after `make examples`)
# What several languages have is run for each pair of them, as two processes; without arguments it is C
# with itself.
# TMPDIR (else /tmp) should be on a disk: D2.2 is otherwise only half shown.
set -uo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
ulimit -c 0

built=$PWD/target/examples-c
declare -A programs=([c]=$built) # by language
for argument; do
    programs[${argument%%=*}]=$PWD/${argument#*=}
done
library=$PWD/target/lib/libshmkit.so
disk=$(mktemp -d "${TMPDIR:-/tmp}/shmkit-examples.XXXXXX") || exit 1
memory=
passed=0 failed=0 skipped=0

cleanup() {
    [ ! -e "$disk/people" ] || "$built/testread" "$disk/people" --remove
    (cd "$disk" && "$built/shard_sysv" read)
    rm -rf "$disk" "$memory" "/dev/shm/shmkit-examples-$$"
} >/dev/null 2>&1
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
memory=$(mktemp -d /dev/shm/shmkit-examples.XXXXXX) || exit 1

# row NAME FUNCTION [ARGUMENT...]: one line an example; what it printed only when it failed. Any
# command that fails ends the row.
row() {
    local name=$1 output code
    shift
    output=$(exec 2>&1; set -e; trap 'kill $(jobs -p) 2>/dev/null || true' EXIT; "$@")
    code=$?
    if [ $code = 0 ]; then
        passed=$((passed + 1))
        echo "ok $name"
    else
        failed=$((failed + 1))
        printf '%s\nFAIL %s\n' "$output" "$name"
    fi
}

skip() { # NAME REASON
    skipped=$((skipped + 1))
    echo "SKIP $1: $2"
}

# A program, with a time limit. With `&` behind "${limit[@]}", $! is the process to wait for.
limit=(timeout --foreground --kill-after=5 60)
run() { "${limit[@]}" "$built/$1" "${@:2}"; }

same() { # EXPECTED ACTUAL
    diff --label expected --label actual -u <(printf '%s\n' "$1") <(printf '%s\n' "$2")
}

# Keys, descriptors and process ids differ from run to run.
steady() { sed -E -e 's/key 0x[0-9a-f]+/key KEY/' -e 's/(descriptor|process) [0-9]+/\1 N/g'; }

# ends CODE OUTPUT PROGRAM [ARGUMENT...]: all that it prints, stderr too, and its exit code.
ends() {
    local expected="$2
exit code $1" output code=0
    shift 2
    output=$(run "$@" 2>&1) || code=$?
    same "$expected" "$(steady <<<"$output")
exit code $code"
}

# hear LINE: the next line from descriptor 4.
hear() {
    local line
    read -r -t 60 line <&4 || line='(nothing)'
    same "$1" "$line"
}

tour() { # [DIRECTORY WHAT-GO-PUTS-IN-FRONT]
    local built=${1-$built}
    ends 0 "$(cat <<END
4096 bytes: written by A, read by B, copied by nobody
${2-}16 bytes at offset 4090 are beyond the memfd: it has 4096 bytes
END
)" tour
}

# map_normalfile DIRECTORY FILE-SYSTEM five|ten: how many records the second program sees at the end.
map_normalfile() {
    local ten five first
    ten=$(cat <<'END'
name: b age 20;
name: c age 21;
name: d age 22;
name: e age 23;
name: f age 24;
name: g age 25;
name: h age 26;
name: i age 27;
name: j age 28;
name: k age 29;
END
)
    five=$(cat <<'END'
name: b age 20;
name: c age 21;
name: d age 22;
name: e age 23;
name: f age 24;
name:  age 0;
name:  age 0;
name:  age 0;
name:  age 0;
name:  age 0;
END
)
    cd "$1"
    mkfifo in out
    "${limit[@]}" "$built/map_normalfile1" file <in >out &
    first=$! # kept: a <(process) changes $! too
    exec 3>in 4<out
    hear "file system: $2"
    hear 'initialize over'
    ends 0 "$ten" map_normalfile2 file
    echo >&3
    hear 'umap ok'
    wait $first
    ends 0 "${!3}" map_normalfile2 file
    same 40 "$(stat -c %s file)"
}

anonymous_fork() {
    ends 0 "$(cat <<'END'
child read: the 1 people's age is 20
child read: the 2 people's age is 21
child read: the 3 people's age is 22
child read: the 4 people's age is 23
child read: the 5 people's age is 24
parent read: the first people,s age is 100
umap
umap ok
END
)" anonymous_fork
}

page=$(getconf PAGESIZE)
boundary1=$(cat <<END
pagesize is $page
access page 1 over
access page 1 edge over, now begin to access page 2
access page 2 over
access page 2 over
access page 2 edge over, now begin to access page 3
END
)
boundary2=$(cat <<END
pagesize is $page
access page 1 over
access page 1 edge over, now begin to access page 2
END
)
shrunk() { # OFFSET [MORE]
    echo "SHMKIT_E_SHRUNK: 4 bytes at offset $1 of the region are not there:" \
        "the file of the region's descriptor N has $((2 * page - 99)) bytes now${2-}"
    echo 'still running: the age at the end of page 1 is 100'
}

page_boundary() { # raw|checked 1|2 CODE OUTPUT
    local output code=0
    output=$({ run page_boundary "$1" "$2"; } 2>/dev/null) || code=$?
    same "$4
exit code $3" "$(steady <<<"$output")
exit code $code"
}

testwrite_testread() {
    cd "$disk"
    touch people
    ends 1 'cannot find the System V segment of key KEY: there is none' testread people
    run testwrite people
    ends 0 "$(cat <<'END'
name:b
age 20
name:c
age 21
name:d
age 22
name:e
age 23
name:f
age 24
name:g
age 25
name:h
age 26
name:i
age 27
name:j
age 28
name:k
age 29
END
)" testread people
    run testwrite people
    run testread people --remove >/dev/null
    ends 1 'cannot find the System V segment of key KEY: there is none' testread people
    ends 1 "cannot make a System V key of 'missing': No such file or directory" testwrite missing
    ends 1 "cannot make a System V key of 'missing': No such file or directory" testread missing
}

# shard_mmap DIRECTORY FROM TO: languages; FROM writes, TO reads.
shard_mmap() {
    local from=${programs[$2]} built=${programs[$3]} refused= missing='./block: No such file or directory'
    [ "$3" != go ] || refused='shmkit: FromFile: ' missing='open ./block: no such file or directory'
    cd "$(mktemp -d "$1/XXXXXX")"
    ends 1 "$missing" shard_mmap read
    "${limit[@]}" "$from/shard_mmap" write 'one text'
    same 1024 "$(stat -c %s block)"
    ends 0 'one text' shard_mmap read
    "${limit[@]}" "$from/shard_mmap" write 'two'
    ends 0 'two' shard_mmap read
    ends 1 'the text has 1025 bytes, the block 1024' shard_mmap write "$(printf '%1025s' '')"
    truncate -s 1023 block
    ends 1 "${refused}cannot map 1024 bytes at offset 0 of the file of descriptor N: it has 1023 bytes" \
        shard_mmap read
}

shard_sysv() { # FROM TO
    local from=${programs[$1]} built=${programs[$2]} missing='cannot find the System V segment of key KEY: there is none'
    [ "$2" != go ] || missing="shmkit: AttachSysV: $missing"
    cd "$disk"
    ends 1 "$missing" shard_sysv read
    "${limit[@]}" "$from/shard_sysv" write 'one text'
    "${limit[@]}" "$from/shard_sysv" write 'two'
    ends 0 'two' shard_sysv read
    ends 1 "$missing" shard_sysv read
}

# Go, the shell, and a program that knows shm_open(3) alone: of 3 bytes it expects and makes '>EL' for
# the number 2, and answers with ']dk' (tests/pairs/README.md).
posix() { # DIRECTORY
    local built=$1 plain=$PWD/target/pairs/plain name=/shmkit-examples-$$ code=0
    local missing="shmkit: OpenPOSIX: cannot open the POSIX object '$name': No such file or directory"
    ends 1 "$missing" posix read "$name"
    run posix create "$name" '>EL'
    ends 1 "shmkit: CreatePOSIX: cannot create the POSIX object '$name': File exists" posix create "$name" text
    same '>EL' "$(<"/dev/shm$name")"
    same verified "$("${limit[@]}" "$plain" consume posix "$name" 3 2)"
    ends 0 ']dk' posix read "$name"
    run posix unlink "$name"
    [ ! -e "/dev/shm$name" ]
    ends 1 "$missing" posix read "$name"

    # It ends with an error, as nobody has answered it; the object stays.
    "${limit[@]}" "$plain" produce posix "$name" 3 2 </dev/null || code=$?
    same 1 "$code"
    ends 0 '>EL' posix read "$name"
    echo -n 'from a shell' >"/dev/shm$name"
    ends 0 'from a shell' posix read "$name"
    run posix unlink "$name"
    [ ! -e "/dev/shm$name" ]
}

# hand_over FILE SOCKET FROM TO: what both sides print, and that it is about the same file. FROM has
# the sender, TO the receiver.
hand_over() {
    local waiting sender receiver bytes file inode to
    cd "$(mktemp -d "$disk/XXXXXX")"
    mkfifo out
    "${limit[@]}" "$4/receiver" "$2" >out &
    waiting=$!
    exec 4<out
    hear "waiting on $2"
    "${limit[@]}" "$3/sender" "$2" "$1" >sent
    cat <&4 >received
    wait $waiting

    # The numbers that differ from run to run come from the sender, but for the receiver's descriptor.
    read -r _ _ sender _ _ _ receiver < <(sed -n '1s/,//p' sent)
    read -r _ _ file _ _ _ inode bytes _ < <(sed -n '2s/,//gp' sent)
    to=$(sed -n 's/^receiver: descriptor \([0-9]*\),.*/\1/p' received)
    [ "$to" != "$file" ]
    [ "$bytes" -gt "$(stat -c %s "$1")" ]
    same "$(cat <<END
sender: process $sender, connected to process $receiver
sender: descriptor $file, device 0:1, inode $inode, $bytes bytes
$(sha256sum "$1")
END
)" "$(cat sent)"
    same "$(cat <<END
receiver: process $receiver, connected to process $sender
receiver: descriptor $to, device 0:1, inode $inode, $bytes bytes
receiver: shrinking it: Operation not permitted
共享内存中的文件内容是: 这段内容是保存在共享内存里的,接收方和发送方都能根据自己的fd访问到这块内容
$(sha256sum - <"$1")
END
)" "$(cat received)"
    [ ! -e "$2" ]
}

hand_over_twice() { # DIRECTORY
    local first second
    hand_over "$library" socket "$1" "$1" &
    first=$!
    hand_over "$built/sender" socket "$1" "$1" &
    second=$!
    wait $first
    wait $second
}

# Above 256 MiB there is progress: a line a tenth, as stderr is no terminal.
hand_over_large() { # DIRECTORY
    local job
    truncate -s 260M "$disk/large"
    (hand_over "$disk/large" socket "$1" "$1") 2>"$disk/progress"
    rm "$disk/large"
    for job in reading 'sender: sha256' 'receiver: sha256'; do
        same "$job: $(cat <<'END'
32 of 260 MiB
64 of 260 MiB
80 of 260 MiB
112 of 260 MiB
144 of 260 MiB
160 of 260 MiB
192 of 260 MiB
208 of 260 MiB
240 of 260 MiB
260 of 260 MiB
END
)" "$job: $(sed -n "s/^$job: //p" "$disk/progress")"
    done
}

hand_over_errors() { # DIRECTORY
    local waiting code built=$1
    cd "$(mktemp -d "$disk/XXXXXX")"
    mkfifo pipe
    ends 1 "cannot connect to 'nobody': No such file or directory" sender nobody "$library"
    ends 1 'missing: No such file or directory' sender nobody missing
    ends 1 'pipe: not a regular file' sender nobody pipe
    # /proc says 0 bytes and has more: as a file that grows. The receiver sees its sender go.
    "${limit[@]}" "$built/receiver" socket >pipe 2>refused &
    waiting=$!
    exec 4<pipe
    hear 'waiting on socket'
    ends 1 'sender: process N, connected to process N
/proc/version: changed while it was read: it had 0 bytes' sender socket /proc/version
    code=0
    wait $waiting || code=$?
    same 1 "$code"
    same 'cannot receive on descriptor N: the peer closed the connection' "$(steady <refused)"
    [ ! -e socket ]
}

growing_log() {
    ends 0 "$(cat <<'END'
writer: 4096 bytes were full, and are 8192 now
writer: 8192 bytes were full, and are 16384 now
writer: 16384 bytes were full, and are 32768 now
reader: 4096 bytes when it came, 32768 now, 2000 lines, the last 'line 2000'
END
)" growing_log
}

shared_counter() { # PROGRAM, of any language: how many were killed is chance, the count is not
    local output
    output=$("${limit[@]}" "$1/shared_counter")
    same '4 workers, each up to 2000000: the count is 8000000' "$(sed -n 1p <<<"$output")"
    [[ $(sed -n 2p <<<"$output") =~ ^[0-9]+\ were\ killed,\ and\ the\ count\ was\ repaired\ [0-9]+\ times$ ]]
    [ "$(wc -l <<<"$output")" = 2 ]
}

ring_mirror() {
    ends 0 "$(cat <<'END'
record 7, 12000 bytes, runs over the end
record 12, 17000 bytes, runs over the end
record 15, 20000 bytes, runs over the end
record 18, 23000 bytes, runs over the end
20 records, each in one piece
END
)" ring_mirror
}

publish() {
    ends 0 "$(cat <<'END'
receiver: reads 'the first text'
receiver: shm_region_write: Permission denied
receiver: shm_region_protect: Permission denied
receiver: shm_region_from_fd: Operation not permitted
receiver: mprotect: Permission denied
receiver: write: Operation not permitted
receiver: ftruncate: Operation not permitted
receiver: write after opening it again: Operation not permitted
receiver: mmap after opening it again: Operation not permitted
creator: goes on writing
receiver: reads 'the second text'
creator: shm_region_write to a frozen region: Permission denied
receiver: reads 'the last word on it'
END
)" publish
}

guarded_read() {
    ends 0 "$(cat <<END
guarded section: 2 of 4 pages, SHMKIT_E_SHRUNK
checked copy: SHMKIT_E_SHRUNK
1 bytes at offset $((3 * page)) of the region are not there:\
 the file of the region's descriptor N has $page bytes now
own fault: the program's own handler
END
)" guarded_read
}

# huge_pages: what the pool has to give, and whether the kernel can put memory onto huge pages.
huge_pages() {
    local pool=/sys/kernel/mm/hugepages/hugepages-2048kB kernel=/sys/kernel/mm/transparent_hugepage
    local got="3145728 on pages of $page" put='4194304 bytes were put onto huge pages' output
    local refused="cannot advise Collapse for 4194304 bytes at offset 0 of the memfd 'ordinary'"
    if [ -d $pool ] && [ $(($(<$pool/free_hugepages) - $(<$pool/resv_hugepages) + \
        $(<$pool/nr_overcommit_hugepages) - $(<$pool/surplus_hugepages))) -ge 2 ]; then
        got='4194304 on pages of 2097152'
    fi
    if [ "$(cat $kernel/hpage_pmd_size)" != 2097152 ] || grep -q '\[deny]' $kernel/shmem_enabled ||
        ! printf '6.1\n%s\n' "$(uname -r)" | sort -VC; then
        put="$refused: Invalid argument"
    fi 2>/dev/null
    output=$(run huge_pages 2>&1)
    case $output in
    *"$refused: Cannot allocate memory" | *"$refused: Resource temporarily unavailable")
        put=${output##*ordinary: } # memory in small pieces is no fault of ours
        ;;
    esac
    same "pool: 3145728 bytes were asked for, these are $got
ordinary: $put" "$output"
}

transient_name() {
    ends 0 "$(cat <<'END'
worker 1: made it
worker 2: found it
one is left: the name is there
both have gone: the name is gone
worker 3: made it
the only one was killed: the name is there
worker 4: made it
it has gone: the name is gone
END
)" transient_name "shmkit-examples-$$"
}

semaphore_turns() {
    ends 0 "$(cat <<'END'
2000 lines of two writers, 2000 in their order
killed in its turn: the turn is free again
END
)" semaphore_turns
}

row 'tour' tour
[ -z "${programs[go]+go}" ] || row 'tour, go' tour "${programs[go]}" 'shmkit: Check: '
kind=$(stat -f -c %T "$disk")
case $kind in
tmpfs | ramfs) skip 'D2.2 map_normalfile on a disk' "$disk is on $kind; set TMPDIR to a directory on a disk" ;;
ext2/ext3) row 'D2.1 D2.2 D2.3 map_normalfile on ext4' map_normalfile "$disk" ext4 five ;;
*) row "D2.1 D2.2 D2.3 map_normalfile on $kind" map_normalfile "$disk" "$kind" five ;;
esac
kind=$(stat -f -c %T "$memory")
case $kind in
tmpfs) row 'D2.1 D2.2 D2.3 map_normalfile on tmpfs' map_normalfile "$memory" tmpfs ten ;;
*) skip 'D2.2 map_normalfile on tmpfs' "/dev/shm is on $kind" ;;
esac
row 'D2.4 anonymous_fork' anonymous_fork
row 'D2.5 page_boundary raw 1' page_boundary raw 1 135 "$boundary1"
row 'D2.5 page_boundary raw 2' page_boundary raw 2 135 "$boundary2"
row 'D2.5 page_boundary checked 1' page_boundary checked 1 0 "$boundary1
$(shrunk $((2 * page + 4)))"
row 'D2.5 page_boundary checked 2' page_boundary checked 2 0 "$boundary2
$(shrunk $((page + 4)) ", and the region begins at byte $page of it")"
row 'D2.9 testwrite testread' testwrite_testread
for from in c ${programs[go]+go}; do
    for to in c ${programs[go]+go}; do
        row "D3.1 shard_mmap, $from to $to" shard_mmap "$disk" "$from" "$to"
        row "D3.1 shard_mmap on tmpfs, $from to $to" shard_mmap "$memory" "$from" "$to"
        row "D3.2 shard_sysv, $from to $to" shard_sysv "$from" "$to"
    done
done
[ -z "${programs[go]+go}" ] || row 'D3.3 D3.5 posix, go' posix "${programs[go]}"
: >"$disk/empty"
for to in "${!programs[@]}"; do
    for from in "${!programs[@]}"; do
        directories=("${programs[$from]}" "${programs[$to]}")
        name="D1.2 D1.3 sender receiver, $from to $to"
        row "$name: a file" hand_over "$library" socket "${directories[@]}"
        row "$name: an abstract name" hand_over "$library" "@shmkit-examples-$$" "${directories[@]}"
        row "$name: an empty file" hand_over "$disk/empty" socket "${directories[@]}"
    done
    name="D1.2 D1.3 sender receiver, $to"
    row "$name: two pairs at once" hand_over_twice "${programs[$to]}"
    row "$name: progress" hand_over_large "${programs[$to]}"
    row "$name: errors" hand_over_errors "${programs[$to]}"
done

if fallocate -l 1 "$memory/probe" 2>"$disk/why"; then
    row 'growing_log' growing_log
else
    skip 'growing_log' "$(cat "$disk/why"): a region cannot grow without fallocate(2)"
fi
for language in "${!programs[@]}"; do
    [ ! -e "${programs[$language]}/shared_counter" ] || row "shared_counter, $language" shared_counter "${programs[$language]}"
done
row 'ring_mirror' ring_mirror
row 'publish' publish
row 'guarded_read' guarded_read
row 'huge_pages' huge_pages
row 'transient_name' transient_name
row 'D2.13 semaphore_turns' semaphore_turns

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
