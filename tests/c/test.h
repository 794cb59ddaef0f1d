/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * What the C tests share. A test is one .c file: it includes this header once and defines
 *
 *     static void test(void) { RUN(one_group); RUN(another_group); }
 *
 * main() below runs it in a process group of its own, under a time limit, and removes afterwards
 * whatever it left: processes, names, files, System V objects. Exit codes: 0 passed, 1 failed,
 * 77 skipped, wholly or in part, with the reason printed.
 */

#ifndef SHMKIT_TEST_H
#define SHMKIT_TEST_H

#include <shmkit.h>
#include <shmkit_helpers.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#define VALGRIND_CLO_CHANGE(option) ((void)0)
#endif

#define UNUSED __attribute__((unused))
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#ifndef TIME_LIMIT
#define TIME_LIMIT 60 /* seconds; five times as many under valgrind or a sanitizer */
#endif

#define NOBODY 65534

static size_t page;      /* sysconf(_SC_PAGESIZE) */
static int test_pid;     /* the supervisor's: it makes names and keys our own */
static bool in_part;     /* something was skipped */
static char scratch[64]; /* a directory of the test's own */

static struct { /* in memory that the supervisor sees */
    char group[64];
    int keys, key[256];
} *shared;

/* ---- Failing and skipping --------------------------------------------------------------- */

__attribute__((noreturn, format(printf, 3, 4))) static void fail(const char *file, int line, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    _exit(1);
}
#define FAIL(...) fail(__FILE__, __LINE__, __VA_ARGS__)

/* Goes on with the rest of the test, which then ends with 77. */
#define SKIP_PART(...) \
    (printf("skipped in part: %s: ", shared->group), printf(__VA_ARGS__), putchar('\n'), in_part = true)

/* Ends this process, a test or a child of one. */
#define SKIP(...) (SKIP_PART(__VA_ARGS__), exit(77))

/* ---- Checks ----------------------------------------------------------------------------- */

static shm_error error;           /* what the last call under OK or REFUSED said */
static UNUSED shm_region *region; /* the result of calls under REFUSED_REGION */

#define CHECK(condition)                              \
    do {                                              \
        if (!(condition))                             \
            FAIL("does not hold: %s", #condition);    \
    } while (0)

#define CHECK_SYS(call)                                        \
    do {                                                       \
        if ((call) == -1)                                      \
            FAIL("%s: %s", #call, strerror(errno));            \
    } while (0)

#define CHECK_EQ(got, want)                                                                       \
    do {                                                                                          \
        long long got_ = (long long)(got), want_ = (long long)(want);                             \
        if (got_ != want_)                                                                        \
            FAIL("%s is %lld (%#llx), not %s, which is %lld (%#llx)", #got, got_, got_, #want, want_, want_); \
    } while (0)

/* The error's sentence names the thing. */
#define SAYS(word)                                                                \
    do {                                                                          \
        if (!strstr(error.message, word))                                         \
            FAIL("the message does not name '%s': %s", word, error.message);      \
    } while (0)

static void UNUSED check_code(const char *file, int line, const char *call, int got, int want)
{
    if (got != want)
        fail(file, line, "%s answers %d %s (%s), not %d %s", call, got, shm_error_name(got),
             got < 0 ? error.message : "", want, shm_error_name(want));
}

/* The call, which has &error for its last argument, gives `want`, 0 or positive. */
#define GIVES(want, call)                                                              \
    do {                                                                               \
        error.message[0] = '\0';                                                       \
        check_code(__FILE__, __LINE__, #call, (call), want);                           \
    } while (0)
#define OK(call) GIVES(0, call)

/* The call, which has &error for its last argument, gives the code and a sentence with the word. */
#define REFUSED(want, word, call)                                                      \
    do {                                                                               \
        memset(&error, 0x5a, sizeof error);                                            \
        check_code(__FILE__, __LINE__, #call, (call), want);                           \
        CHECK_EQ(error.code, want);                                                    \
        CHECK(memchr(error.message, '\0', sizeof error.message));                      \
        CHECK(error.message[0] != '\0');                                               \
        SAYS(word);                                                                    \
    } while (0)

/* The same for a call that would write to `region`, and must not. */
#define UNTOUCHED ((shm_region *)0x5a5a)
#define REFUSED_REGION(want, word, call)  \
    do {                                  \
        region = UNTOUCHED;               \
        REFUSED(want, word, call);        \
        CHECK(region == UNTOUCHED);       \
        region = NULL;                    \
    } while (0)

/* A call without a shm_error. */
#define CODE(want, call) check_code(__FILE__, __LINE__, #call, (error.message[0] = '\0', (call)), want)

#define CLOSE(region) CODE(0, SHMKIT_CLOSE(region))

#define OPTIONS(...) (&(shm_region_options){.size = sizeof(shm_region_options), __VA_ARGS__})

/* ---- Nothing is left behind ------------------------------------------------------------- */

/* Under valgrind and sanitizers the process has mappings of the tool's own, and is slow. A few checks
 * that the tool makes impossible are left to the plain run. */
static bool instrumented(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return true;
#else
    return RUNNING_ON_VALGRIND;
#endif
}

/* Whether mappings without a file come and go by themselves: a tool's, or those of musl's allocator. */
static bool maps_at_will(void)
{
#ifdef __GLIBC__
    return instrumented();
#else
    return true;
#endif
}

/* Whether mlock(2) is the kernel's here: the address sanitizer makes it do nothing. */
static UNUSED bool locks_memory(void)
{
    return !instrumented() || RUNNING_ON_VALGRIND;
}

/* Whether RLIMIT_NOFILE is the kernel's: valgrind keeps the limit to itself, and counts in dup(2) alone. */
static UNUSED bool limits_descriptors(void)
{
    return !RUNNING_ON_VALGRIND;
}

/* What the kernel says to a mapping that is too long; valgrind has its own answer. */
static UNUSED int too_long_to_map(void)
{
    return RUNNING_ON_VALGRIND ? -EINVAL : -ENOMEM;
}

static int open_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    CHECK(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 3; /* ".", ".." and the directory's own */
}

/* Lines in /proc/self/maps that contain a word; where others come and go, only those of
 * files, which all shared memory is. */
static int mappings_of(const char *word)
{
    static char line[8192];
    FILE *maps = fopen("/proc/self/maps", "re");
    int count = 0;

    CHECK(maps);
    while (fgets(line, sizeof line, maps)) {
        unsigned long inode = 0;
        sscanf(line, "%*s %*s %*s %*s %lu", &inode);
        count += strstr(line, word) && (inode != 0 || !maps_at_will());
    }
    fclose(maps);
    return count;
}

static void run_balanced(void (*group)(void), const char *name)
{
    int fds = open_fds(), mappings = mappings_of("");

    snprintf(shared->group, sizeof shared->group, "%s", name);
    group();
    if (open_fds() != fds || mappings_of("") != mappings)
        FAIL("%s: %d descriptors before and %d after, %d mappings before and %d after", name, fds, open_fds(),
             mappings, mappings_of(""));
}
#define RUN(group) run_balanced(group, #group)

/* A file of memfd_secret(2), a page long; -1 where there is none, and under valgrind, which does not know
 * the call. */
static UNUSED int secret_memory(void)
{
    int fd = -1;

#ifdef SYS_memfd_secret
    if (RUNNING_ON_VALGRIND)
        return -1;
    fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
#endif
    if (fd == -1)
        SKIP_PART("no memfd_secret here");
    else
        CHECK_SYS(ftruncate(fd, (off_t)page));
    return fd;
}

/* The machine's pools of huge pages: under this lock, until it is closed, no other test changes them or
 * counts on what is in them. -1 where there are none. */
static UNUSED int lock_pools(void)
{
    int fd = open("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", O_RDONLY | O_CLOEXEC);

    if (fd != -1)
        CHECK_SYS(flock(fd, LOCK_EX));
    return fd;
}

/* ---- Names of our own, which the supervisor removes ---------------------------------------- */

/* A System V key whose segment, semaphores and queue are removed in the end. */
static UNUSED int32_t noted(int32_t key)
{
    for (int at = 0; at < shared->keys; at++)
        if (shared->key[at] == key)
            return key;
    CHECK((size_t)shared->keys < COUNT(shared->key));
    shared->key[shared->keys] = key;
    shared->keys++;
    return key;
}

static UNUSED int32_t test_key(int number)
{
    return noted(0x40000000 | (test_pid & 0x3fffff) << 8 | number);
}

/* "first/second", the same string each time; it stays. */
static const char *kept(const char *first, char between, const char *second)
{
    static char strings[64][192];
    static size_t count;
    char string[sizeof strings[0]];
    size_t at = 0;

    CHECK((size_t)snprintf(string, sizeof string, "%s%c%s", first, between, second) < sizeof string);
    while (at < count && strcmp(strings[at], string))
        at++;
    CHECK(at < COUNT(strings));
    if (at == count)
        strcpy(strings[count++], string);
    return strings[at];
}

/* A POSIX name of our own. */
static const char *test_name(const char *name)
{
    char prefix[32];

    snprintf(prefix, sizeof prefix, "shmkit-test-%d", test_pid);
    return kept(prefix, '-', name);
}

/* A path in a directory of our own. */
static UNUSED const char *test_path(const char *name)
{
    return kept(scratch, '/', name);
}

/* Where a POSIX name is a file. */
static UNUSED const char *in_shm(const char *name)
{
    return kept("/dev/shm", '/', name);
}

static int remove_one(const char *path, const struct stat *status UNUSED, int type UNUSED, struct FTW *ftw UNUSED)
{
    return remove(path);
}

/* Removes all files, names and System V objects of ours; tells whether there were any. */
static bool sweep(void)
{
    const char *prefix = test_name("");
    DIR *shm = opendir("/dev/shm");
    struct dirent *entry;
    bool found = rmdir(scratch) == -1;

    if (found) {
        printf("left behind: files in %s\n", scratch);
        nftw(scratch, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    while (shm && (entry = readdir(shm)))
        if (!strncmp(entry->d_name, prefix, strlen(prefix))) {
            char path[PATH_MAX];
            snprintf(path, sizeof path, "/dev/shm/%s", entry->d_name);
            printf("left behind: %s\n", path);
            found = nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0 || found;
        }
    if (shm)
        closedir(shm);
    for (int at = 0; at < shared->keys; at++) {
        int id = shmget(shared->key[at], 0, 0);
        if (id != -1) {
            printf("left behind: System V segment with key %#x\n", (unsigned)shared->key[at]);
            found = shmctl(id, IPC_RMID, NULL) == 0 || found;
        }
        if ((id = semget(shared->key[at], 0, 0)) != -1) {
            printf("left behind: System V semaphores with key %#x\n", (unsigned)shared->key[at]);
            found = semctl(id, 0, IPC_RMID) == 0 || found;
        }
        if ((id = msgget(shared->key[at], 0)) != -1) {
            printf("left behind: System V queue with key %#x\n", (unsigned)shared->key[at]);
            found = msgctl(id, IPC_RMID, NULL) == 0 || found;
        }
    }
    return found;
}

/* ---- Children --------------------------------------------------------------------------- */

struct child {
    pid_t pid;
    int socket; /* its other end is the child's */
};

/* The two sides wait for each other with these; either ends when the other has. */
static UNUSED void tell(int socket, long value)
{
    if (send(socket, &value, sizeof value, MSG_NOSIGNAL) != sizeof value)
        FAIL("the other process has ended: %s", strerror(errno));
}

static UNUSED long hear(int socket)
{
    long value;

    if (recv(socket, &value, sizeof value, 0) != sizeof value)
        FAIL("the other process has ended");
    return value;
}

/* Lowers a limit; what the hard limit allowed stays within reach. */
static UNUSED void limit(int resource, rlim_t value)
{
    struct rlimit now;

    CHECK_SYS(getrlimit(resource, &now));
    CHECK_SYS(setrlimit(resource, &(struct rlimit){value, now.rlim_max}));
}

static void lift_limit(int resource)
{
    struct rlimit now;

    CHECK_SYS(getrlimit(resource, &now));
    CHECK_SYS(setrlimit(resource, &(struct rlimit){now.rlim_max, now.rlim_max}));
}

static UNUSED struct child child_start(void (*run)(int socket, void *argument), void *argument)
{
    struct child child;
    int pair[2];

    CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    fflush(NULL);
    CHECK_SYS(child.pid = fork());
    if (child.pid == 0) {
        /* What it has inherited is no leak of its own. */
        VALGRIND_CLO_CHANGE("--errors-for-leak-kinds=definite");
        VALGRIND_CLO_CHANGE("--show-leak-kinds=definite");
        close(pair[0]);
        run(pair[1], argument);
        close(pair[1]);
        lift_limit(RLIMIT_NOFILE); /* a sanitizer opens files of its own at the end */
        exit(0);
    }
    close(pair[1]);
    child.socket = pair[0];
    return child;
}

/* Waits for the child's end: its exit code, or 128 + the signal that killed it. */
static UNUSED int child_end(struct child *child)
{
    int status;

    close(child->socket);
    while (waitpid(child->pid, &status, 0) == -1)
        CHECK_EQ(errno, EINTR);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The child passed, or skipped its part. */
#define CHILD_PASSED(child)                  \
    do {                                     \
        int code_ = child_end(&(child));     \
        if (code_ == 77)                     \
            in_part = true;                  \
        else                                 \
            CHECK_EQ(code_, 0);              \
    } while (0)

#define IN_CHILD(run, argument)                                 \
    do {                                                        \
        struct child child_ = child_start(run, argument);       \
        CHILD_PASSED(child_);                                   \
    } while (0)

/* How a raw access ends: a child does it. For death by signal, 128 + the signal. */
static UNUSED int fate_of(void (*run)(int socket, void *argument), void *argument)
{
    struct child child = child_start(run, argument);
    return child_end(&child);
}

struct traced {
    void (*run)(void *argument);
    void *argument;
};

static UNUSED void run_traced(int socket UNUSED, void *argument)
{
    struct traced *traced = argument;

    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1)
        SKIP("cannot trace a child: %s", strerror(errno));
    raise(SIGSTOP);
    traced->run(traced->argument);
    _exit(0); /* a sanitizer's look for leaks would trace the traced */
}

/* Kills a child on its nth way into or out of a system call; false when it was done before that. Tells
 * by SKIP_PART where that is not permitted. */
static UNUSED bool killed_at(int nth, void (*run)(void *argument), void *argument)
{
    struct child child = child_start(run_traced, &(struct traced){run, argument});
    int status;

    CHECK(nth < 5000);
    for (int stop = 0; stop <= nth; stop++) {
        CHECK_EQ(waitpid(child.pid, &status, 0), child.pid);
        if (WIFEXITED(status)) {
            close(child.socket);
            CHECK(WEXITSTATUS(status) == 0 || (WEXITSTATUS(status) == 77 && stop == 0));
            in_part = in_part || WEXITSTATUS(status) == 77;
            return false;
        }
        CHECK(WIFSTOPPED(status));
        if (stop < nth)
            CHECK_SYS(ptrace(PTRACE_SYSCALL, child.pid, NULL, NULL));
    }
    CHECK_SYS(kill(child.pid, SIGKILL));
    CHECK_EQ(child_end(&child), 128 + SIGKILL);
    return true;
}

/* ---- A child's own surroundings ----------------------------------------------------------- */

static UNUSED void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd == -1 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        SKIP("cannot write %s: %s", path, strerror(errno));
    close(fd);
}

/* Moves a child into new namespaces (CLONE_NEWIPC …); with CLONE_NEWNS it gets a tmpfs of its own on
 * /dev/shm, of the options given. An ordinary user gets a user namespace too. */
static UNUSED void isolate(int namespaces, const char *tmpfs)
{
    char uid_map[64], gid_map[64];

    snprintf(uid_map, sizeof uid_map, "0 %u 1", (unsigned)geteuid());
    snprintf(gid_map, sizeof gid_map, "0 %u 1", (unsigned)getegid());
    if (unshare(namespaces) == -1) {
        if (errno != EPERM || unshare(namespaces | CLONE_NEWUSER) == -1)
            SKIP("no namespaces here: %s", strerror(errno));
        write_file("/proc/self/setgroups", "deny");
        write_file("/proc/self/uid_map", uid_map);
        write_file("/proc/self/gid_map", gid_map);
    }
    if (namespaces & CLONE_NEWNS) {
        if (mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == -1 ||
            mount("shmkit-test", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, tmpfs) == -1)
            SKIP("cannot mount a tmpfs on /dev/shm: %s", strerror(errno));
    }
}

/* Makes a child an ordinary user, another one than the test's. */
static UNUSED void become_nobody(void)
{
    if (geteuid() == NOBODY || setgroups(0, NULL) == -1 || setresgid(NOBODY, NOBODY, NOBODY) == -1 ||
        setresuid(NOBODY, NOBODY, NOBODY) == -1)
        SKIP("cannot become another user");
    prctl(PR_SET_DUMPABLE, 1); /* else /proc/self stays root's */
}

/* Limits bind a child, who is root no more. */
static UNUSED void become_ordinary(void)
{
    if (geteuid() == 0)
        become_nobody();
}


/* ---- The program ------------------------------------------------------------------------ */

static void test(void);

static pid_t body;

static volatile sig_atomic_t stopped_by;

static void stop_body(int signal)
{
    stopped_by = signal;
    kill(-body, SIGKILL);
}

int main(void)
{
    const char *parent = getenv("TMPDIR"); /* a short one: sockets lie in it */
    shm_region *warm = NULL;
    int status;

    page = (size_t)sysconf(_SC_PAGESIZE);
    test_pid = getpid();
    snprintf(scratch, sizeof scratch, "%s/shmkit-test-%d",
             parent && strlen(parent) < 40 ? parent : "/tmp", test_pid);
    CHECK_SYS(mkdir(scratch, 0755));
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK((void *)shared != MAP_FAILED);
    setvbuf(stdout, NULL, _IOLBF, 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* children of the body's children come to us */

    fflush(NULL);
    CHECK_SYS(body = fork());
    if (body == 0) {
        setpgid(0, 0);
        write_file("/proc/self/oom_score_adj", "1000"); /* should it fill the memory, it shall pay */
        OK(shm_region_create("warm-up", page, NULL, &warm, &error));
        CLOSE(warm);
        REFUSED(-EINVAL, "", shm_region_create("warm-up", 0, NULL, &warm, &error));
        RUN(test);
        exit(in_part ? 77 : 0);
    }
    setpgid(body, body);
    for (size_t at = 0; at < 3; at++)
        sigaction((int[]){SIGALRM, SIGINT, SIGTERM}[at], &(struct sigaction){.sa_handler = stop_body}, NULL);
    alarm(instrumented() ? 5 * TIME_LIMIT : TIME_LIMIT);
    while (waitpid(body, &status, 0) == -1)
        CHECK_EQ(errno, EINTR);
    alarm(0);
    status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);

    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    bool left = kill(-body, SIGKILL) == 0;
    if (left)
        printf("left behind: a process\n");
    while (waitpid(-1, NULL, 0) > 0) {
    }
    left = sweep() || left;
    if (status == 0 || status == 77)
        return left ? 1 : status;
    if (stopped_by == SIGALRM)
        fprintf(stderr, "%s: the time limit is over\n", shared->group);
    else if (status != 1)
        fprintf(stderr, "%s: the test ended with %d\n", shared->group, status);
    return 1;
}

#endif
