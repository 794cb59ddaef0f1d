/* Runs a program as on a kernel, or in a container, that lacks a feature: a seccomp filter answers in
 * its place, as such a kernel would.
 *     old-kernel FEATURE... -- PROGRAM [ARGUMENT...] */

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A call is refused with `answer` where each argument, masked, has this value; everywhere without
 * masks. */
static const struct rule {
    const char *feature;
    int call, answer;
    struct match {
        int argument;
        unsigned mask, value;
    } where[2];
} rules[] = {
    {"process_vm_readv", SYS_process_vm_readv, EPERM, {{0}}},
    {"fallocate", SYS_fallocate, EOPNOTSUPP, {{0}}},
    {"O_TMPFILE", SYS_openat, EOPNOTSUPP, {{2, 020000000, 020000000}}},
    {"AT_EMPTY_PATH", SYS_linkat, ENOENT, {{4, 0x1000, 0x1000}}},
    {"MFD_NOEXEC_SEAL", SYS_memfd_create, EINVAL, {{1, 0x8, 0x8}}},
    {"MFD_NOEXEC_SEAL", SYS_memfd_create, EINVAL, {{1, 0x10, 0x10}}},
    {"F_SEAL_EXEC", SYS_fcntl, EINVAL, {{1, ~0u, F_ADD_SEALS}, {2, 0x20, 0x20}}},
    {"MADV_POPULATE", SYS_madvise, EINVAL, {{2, ~0u, 22}}},
    {"MADV_POPULATE", SYS_madvise, EINVAL, {{2, ~0u, 23}}},
    {"PROCMAP_QUERY", SYS_ioctl, ENOTTY, {{1, ~0u, 0xc0686611}}},
    {"SO_PEERPIDFD", SYS_getsockopt, ENOPROTOOPT, {{1, ~0u, SOL_SOCKET}, {2, ~0u, 77}}},
    {"pidfd_open", SYS_pidfd_open, ENOSYS, {{0}}},
    /* Not ENOSYS, for which libc has a way of its own; and not everybody's. */
    {"statx", SYS_statx, EPERM, {{2, 0x4000, 0x4000}}},
};

static struct sock_filter filter[16 * sizeof rules / sizeof *rules];
static unsigned short length;

static void add(struct sock_filter instruction)
{
    filter[length++] = instruction;
}

static void load(unsigned place)
{
    add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, place));
}

/* Goes on if what was loaded has this value, and behind so many instructions more if not. */
static void compare(unsigned value, unsigned char skip)
{
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip));
}

static void refuse(const struct rule *rule)
{
    enum { MATCH = 3, RETURN = 1 };

    load(offsetof(struct seccomp_data, nr));
    compare(rule->call, 2 * MATCH + RETURN);
    for (int at = 0; at < 2; at++) {
        const struct match *match = &rule->where[at];
        load(offsetof(struct seccomp_data, args) + 8 * match->argument);
        add((struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, match->mask));
        compare(match->value, (1 - at) * MATCH + RETURN);
    }
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | rule->answer));
}

int main(int count, char **words)
{
    int at = 1;

    for (; at < count && strcmp(words[at], "--"); at++) {
        unsigned short before = length;
        for (size_t rule = 0; rule < sizeof rules / sizeof *rules; rule++)
            if (!strcmp(words[at], rules[rule].feature))
                refuse(&rules[rule]);
        if (length == before) {
            fprintf(stderr, "old-kernel: no feature %s\n", words[at]);
            return 2;
        }
    }
    if (at + 1 >= count) {
        fprintf(stderr, "usage: old-kernel FEATURE... -- PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    struct sock_fprog program = {length, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("old-kernel: seccomp");
        return 2;
    }
    execvp(words[at + 1], words + at + 1);
    perror(words[at + 1]);
    return 127;
}
