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
#include <sys/syscall.h>
#include <unistd.h>

/* A call is refused with `answer` where argument `argument`, masked, has this value; everywhere
 * without a mask. */
static const struct rule {
    const char *feature;
    int call, argument;
    unsigned mask, value;
    int answer;
} rules[] = {
    {"process_vm_readv", SYS_process_vm_readv, 0, 0, 0, EPERM},
    {"fallocate", SYS_fallocate, 0, 0, 0, EOPNOTSUPP},
    {"O_TMPFILE", SYS_openat, 2, 020000000, 020000000, EOPNOTSUPP},
    {"AT_EMPTY_PATH", SYS_linkat, 4, 0x1000, 0x1000, ENOENT},
    {"MFD_NOEXEC_SEAL", SYS_memfd_create, 1, 0x8, 0x8, EINVAL},
    {"MFD_NOEXEC_SEAL", SYS_memfd_create, 1, 0x10, 0x10, EINVAL},
    {"F_SEAL_EXEC", SYS_fcntl, 2, ~0u, 0x26, EINVAL},
    {"F_SEAL_EXEC", SYS_fcntl, 2, ~0u, 0x20, EINVAL},
    {"MADV_POPULATE", SYS_madvise, 2, ~0u, 22, EINVAL},
    {"MADV_POPULATE", SYS_madvise, 2, ~0u, 23, EINVAL},
    {"SO_PEERPIDFD", SYS_getsockopt, 2, ~0u, 77, ENOPROTOOPT},
};

static struct sock_filter filter[8 * sizeof rules / sizeof *rules];
static unsigned short length;

static void add(struct sock_filter instruction)
{
    filter[length++] = instruction;
}

static void refuse(const struct rule *rule)
{
    unsigned place = offsetof(struct seccomp_data, args) + 8 * rule->argument;

    add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->call, 0, 4));
    add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, place));
    add((struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, rule->mask));
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, rule->value, 0, 1));
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
