#!/usr/bin/env bash
# Runs a command and fails when it leaves something behind: POSIX objects, System V segments, semaphores and
# queues, huge pages in the machine's pools, temporary files, processes.
#     tests/leftovers.sh COMMAND [ARGUMENT ...]
set -euo pipefail

objects() {
    find /dev/shm -mindepth 1 -printf 'POSIX object %p\n'
    awk 'NR > 1 { print "System V segment", $2, "with key", $1, "made by process", $5 }' /proc/sysvipc/shm
    awk 'NR > 1 { print "System V semaphores", $2, "with key", $1 }' /proc/sysvipc/sem
    awk 'NR > 1 { print "System V queue", $2, "with key", $1 }' /proc/sysvipc/msg
    grep -H . /sys/kernel/mm/hugepages/*/nr_hugepages 2>/dev/null || true
}

before=$(objects | sort)
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

TMPDIR=$temporary "$@"

left=$(
    comm -13 <(echo "$before") <(objects | sort)
    find "$temporary" -mindepth 1 -printf 'temporary %p\n'
    # Whoever still runs has the command's TMPDIR in its environment. Others come and go meanwhile.
    { grep -lsz "^TMPDIR=$temporary\$" /proc/[0-9]*/environ || true; } | while IFS=/ read -r _ _ pid _; do
        echo "process $pid: $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" || true)"
    done
)
if [ -n "$left" ]; then
    printf 'left behind:\n%s\n' "$left" >&2
    exit 1
fi
printf '\nnothing was left behind in /dev/shm, of System V, of huge pages, of temporary files, of processes\n'
