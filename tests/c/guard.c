/* Goal: the fault guard takes the faults of its sections, and every other SIGBUS ends as it would have without it. */
#include "test.h"

/* NO-VALGRIND: an access that goes on after its fault finds other registers; SA_NODEFER forgets the handler's mask */
/* NO-MUSL: it has no makecontext */
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/time.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
/* Its own SIGBUS handler reports and exits; these tests want the kernel's end. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "handle_sigbus=0:use_sigaltstack=0";
}
#endif

/* ---- Pages that go ---------------------------------------------------------------------------- */

static int file = -1;       /* two pages of 'x', of which the second goes */
static shm_region *guarded; /* over the file */
static volatile char *gone; /* its second page */
static volatile char read_byte;
static volatile char *bare; /* the second page in a mapping that nobody guards */

static void grow(void)
{
    static char bytes[1 << 16];

    memset(bytes, 'x', page);
    CHECK_EQ(pwrite(file, bytes, page, 0), page);
    CHECK_EQ(pwrite(file, bytes, page, (off_t)page), page);
}

static void shrink(void)
{
    CHECK_SYS(ftruncate(file, (off_t)page));
}

static void setup_unguarded(void)
{
    char *start;

    CHECK_SYS(file = memfd_create("guard", MFD_CLOEXEC));
    grow();
    OK(shm_region_from_fd(file, 0, NULL, &guarded, &error));
    gone = (char *)shm_region_data(guarded) + page;
    start = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(start != MAP_FAILED);
    bare = start + page;
}

static void setup(void)
{
    setup_unguarded();
    OK(shm_guard_enable(guarded, &error));
    OK(shm_guard_check(&error));
    shrink();
}

static void clear(void)
{
    CHECK_SYS(munmap((char *)bare - page, 2 * page));
    CLOSE(guarded);
    close(file);
}

/* The guard works: zeros, and told. */
static void works(void)
{
    shrink();
    CODE(0, shm_guard_begin(guarded));
    CHECK_EQ(gone[0], 0);
    CHECK_EQ(gone[page - 1], 0);
    CODE(SHMKIT_E_SHRUNK, shm_guard_end(guarded));
    CODE(SHMKIT_E_SHRUNK, shm_region_read(guarded, page, &(char){0}, 1));
}

static void touch_bare(int socket UNUSED, void *argument UNUSED)
{
    read_byte = bare[0];
}

static void touch_guarded(int socket UNUSED, void *argument UNUSED)
{
    read_byte = gone[0];
}

static void send_bus(int socket UNUSED, void *argument UNUSED)
{
    CHECK_SYS(kill(getpid(), SIGBUS));
}

#define DIES(run) CHECK_EQ(fate_of(run, NULL), 128 + SIGBUS)

static struct sigaction current(void)
{
    struct sigaction action;

    CHECK_SYS(sigaction(SIGBUS, NULL, &action));
    return action;
}

/* ---- Without the program's own handlers --------------------------------------------------------- */

static void arguments(int socket UNUSED, void *argument UNUSED)
{
    shm_region *sealed = NULL;

    REFUSED(SHMKIT_E_UNGUARDED, "never", shm_guard_check(&error));
    CODE(SHMKIT_E_UNGUARDED, shm_guard_check(NULL));
    REFUSED(-EINVAL, "NULL", shm_guard_enable(NULL, &error));
    CODE(-EINVAL, shm_guard_enable(NULL, NULL));
    CODE(-EINVAL, shm_guard_begin(NULL));
    CODE(-EINVAL, shm_guard_end(NULL));
    /* Memory that cannot shrink: nothing is installed. */
    OK(shm_region_create("sealed", page, NULL, &sealed, &error));
    OK(shm_guard_enable(sealed, &error));
    CODE(0, shm_guard_begin(sealed));
    CODE(0, shm_guard_end(sealed));
    CODE(-EINVAL, shm_guard_end(sealed));
    CLOSE(sealed);
    CHECK(current().sa_handler == SIG_DFL);
    REFUSED(SHMKIT_E_UNGUARDED, "never", shm_guard_check(&error));
    setup_unguarded();
    CODE(SHMKIT_E_UNGUARDED, shm_guard_begin(guarded));
    CHECK(current().sa_handler == SIG_DFL);
    OK(shm_guard_enable(guarded, NULL));
    CHECK_EQ(current().sa_flags & (SA_SIGINFO | SA_ONSTACK | SA_RESETHAND), SA_SIGINFO | SA_ONSTACK);
    OK(shm_guard_check(&error));
    works();
    clear();
    OK(shm_guard_check(&error));
}

/* -EBUSY, and the handle stays good. */
static void closing(int socket UNUSED, void *argument UNUSED)
{
    shm_region *sealed = NULL;

    setup();
    CODE(0, shm_guard_begin(guarded));
    CHECK_EQ(gone[0], 0);
    CODE(-EBUSY, shm_region_close(guarded));
    CHECK_EQ(gone[0], 0);
    CHECK_EQ(shm_region_size(guarded), 2 * page);
    CODE(0, shm_guard_begin(guarded));
    CODE(SHMKIT_E_SHRUNK, shm_guard_end(guarded));
    CODE(-EBUSY, shm_region_close(guarded));
    CODE(SHMKIT_E_SHRUNK, shm_guard_end(guarded));
    clear();
    OK(shm_region_create("sealed", page, NULL, &sealed, &error));
    CODE(0, shm_guard_begin(sealed));
    CODE(-EBUSY, shm_region_close(sealed));
    CODE(0, shm_guard_end(sealed));
    CLOSE(sealed);
}

static void deaths(int socket UNUSED, void *argument UNUSED)
{
    setup();
    DIES(touch_bare);
    DIES(touch_guarded);
    DIES(send_bus);
    CODE(0, shm_guard_begin(guarded));
    DIES(touch_bare);
    DIES(send_bus);
    CODE(0, shm_guard_end(guarded));
    works();
    DIES(touch_guarded);
    clear();
}

static void touch_traced(void *argument UNUSED)
{
    read_byte = bare[0];
}

/* Whoever looks at the death sees the fault. */
static void death_has_its_address(int socket UNUSED, void *argument UNUSED)
{
    struct child child;
    siginfo_t info;
    int status, signal = 0;

    setup();
    child = child_start(run_traced, &(struct traced){touch_traced, NULL});
    CHECK_EQ(waitpid(child.pid, &status, 0), child.pid);
    if (WIFEXITED(status))
        SKIP("cannot trace a child");
    for (int stops = 0; stops < 3; stops++) {
        CHECK_SYS(ptrace(PTRACE_CONT, child.pid, NULL, signal));
        CHECK_EQ(waitpid(child.pid, &status, 0), child.pid);
        if (!WIFSTOPPED(status))
            break;
        CHECK_EQ(signal = WSTOPSIG(status), SIGBUS);
        CHECK_SYS(ptrace(PTRACE_GETSIGINFO, child.pid, NULL, &info));
        CHECK_EQ(info.si_code, BUS_ADRERR);
        CHECK(info.si_addr == (void *)bare);
    }
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    close(child.socket);
    clear();
}

static void errno_stays(int socket UNUSED, void *argument UNUSED)
{
    setup();
    CODE(0, shm_guard_begin(guarded));
    errno = 77;
    CHECK_EQ(gone[0], 0);
    CHECK_EQ(errno, 77);
    CODE(SHMKIT_E_SHRUNK, shm_guard_end(guarded));
    clear();
}

/* ---- A handler of the program's, installed before ours ---------------------------------------------- */

static sigjmp_buf back;
static volatile sig_atomic_t calls;
static volatile struct {
    int signal;
    void *address, *context;
    sigset_t blocked;
} last;

static void noted_call(int signal)
{
    calls = calls + 1;
    last.signal = signal;
    sigprocmask(SIG_BLOCK, NULL, (sigset_t *)&last.blocked);
}

static void leaving_plain(int signal)
{
    noted_call(signal);
    siglongjmp(back, 1);
}

static void leaving_informed(int signal, siginfo_t *info, void *context)
{
    noted_call(signal);
    last.address = info->si_addr;
    last.context = context;
    siglongjmp(back, 1);
}

static void staying(int signal)
{
    noted_call(signal);
}

static bool last_blocked(int signal)
{
    return sigismember((sigset_t *)&last.blocked, signal) == 1;
}

/* Installs a handler; the mask has SIGUSR1 in it. */
static struct sigaction install(void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags}, old;

    sigaddset(&action.sa_mask, SIGUSR1);
    CHECK_SYS(sigaction(SIGBUS, &action, &old));
    return old;
}

static struct sigaction install_informed(void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO}, old;

    sigaddset(&action.sa_mask, SIGUSR1);
    CHECK_SYS(sigaction(SIGBUS, &action, &old));
    return old;
}

/* A fault outside; a handler leaves. */
static __attribute__((noinline)) void leave(void)
{
    if (sigsetjmp(back, 1) == 0) {
        read_byte = bare[0];
        FAIL("the access went on");
    }
}

/* The handler is called once each time. */
static void caught(int times)
{
    for (int time = 0; time < times; time++) {
        calls = 0;
        leave();
        CHECK_EQ(calls, 1);
        CHECK_EQ(last.signal, SIGBUS);
        CHECK(last_blocked(SIGUSR1));
        CHECK(last_blocked(SIGBUS));
        CHECK(!last_blocked(SIGUSR2));
    }
}

static void before_ours_plain(int socket UNUSED, void *argument UNUSED)
{
    install(leaving_plain, 0);
    setup();
    caught(1000);
    works();
    caught(1000);
    clear();
}

static void before_ours_informed(int socket UNUSED, void *argument UNUSED)
{
    install_informed(leaving_informed, 0);
    setup();
    for (int round = 0; round < 3; round++) {
        last.address = NULL;
        caught(1000);
        CHECK(last.address == (void *)bare);
        CHECK(last.context != NULL);
        works();
    }
    clear();
}

/* On an alternate stack each delivery has its frame at the same address. */
static void before_ours_on_a_stack(int socket UNUSED, void *argument UNUSED)
{
    static char stack[1 << 16];

    CHECK_SYS(sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL));
    install_informed(leaving_informed, SA_ONSTACK);
    setup();
    caught(1000);
    CHECK((char *)last.context >= stack && (char *)last.context < stack + sizeof stack);
    works();
    caught(1000);
    clear();
}

static void before_ours_once(int socket UNUSED, void *argument UNUSED)
{
    install(leaving_plain, SA_RESETHAND);
    setup();
    works();
    caught(1);
    works();
    DIES(touch_bare);
    DIES(send_bus);
    clear();
}

static void before_ours_nested(int socket UNUSED, void *argument UNUSED)
{
    install(staying, SA_NODEFER);
    setup();
    calls = 0;
    CHECK_SYS(raise(SIGBUS));
    CHECK_EQ(calls, 1);
    CHECK(!last_blocked(SIGBUS));
    CHECK(last_blocked(SIGUSR1));
    works();
    clear();
}

/* A signal that was sent is ignored, a fault kills. */
static void before_ours_ignored(int socket UNUSED, void *argument UNUSED)
{
    CHECK(signal(SIGBUS, SIG_IGN) != SIG_ERR);
    setup();
    for (int time = 0; time < 3; time++) {
        CHECK_SYS(raise(SIGBUS));
        CHECK_SYS(kill(getpid(), SIGBUS));
    }
    works();
    DIES(touch_bare);
    clear();
}

/* ---- A handler of the program's, installed after ours ----------------------------------------------- */

static struct sigaction next;

/* Calls the one before it, as a handler should. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
    if (next.sa_flags & SA_SIGINFO)
        next.sa_sigaction(signal, info, context);
    else if (next.sa_handler != SIG_DFL && next.sa_handler != SIG_IGN)
        next.sa_handler(signal);
}

static void chaining(int signal, siginfo_t *info, void *context)
{
    noted_call(signal);
    pass_on(signal, info, context);
}

static void after_ours_chaining(int socket UNUSED, void *argument UNUSED)
{
    shm_region *another = NULL;

    setup();
    next = install_informed(chaining, 0);
    OK(shm_guard_check(&error));
    CHECK_EQ(calls, 0); /* a child has called */
    works();
    CHECK_EQ(calls, 2);
    CHECK(current().sa_sigaction == chaining);
    OK(shm_region_from_fd(file, 0, NULL, &another, &error));
    OK(shm_guard_enable(another, &error));
    CLOSE(another);
    CHECK(current().sa_sigaction == chaining);
    DIES(touch_bare);
    DIES(send_bus);
    clear();
}

/* The way to a handler before ours has another depth now than the one that it left by siglongjmp. */
static void between_two(int socket UNUSED, void *argument UNUSED)
{
    static char stack[1 << 16];

    CHECK_SYS(sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = sizeof stack}, NULL));
    install_informed(leaving_informed, SA_ONSTACK);
    setup();
    caught(100);
    next = install_informed(chaining, SA_ONSTACK);
    OK(shm_guard_check(&error));
    for (int time = 0; time < 100; time++) {
        calls = 0;
        leave();
        CHECK_EQ(calls, 2);
    }
    works();
    clear();
}

/* The program's handler was there before ours, and was put on top of it once more: it calls ours, ours calls
 * it. */
static void round_and_round(int socket UNUSED, void *argument UNUSED)
{
    install_informed(chaining, 0);
    setup();
    next = install_informed(chaining, 0);
    CHECK(next.sa_sigaction != chaining);
    calls = 0;
    works();
    CHECK_EQ(calls, 2);
    OK(shm_guard_check(&error));
    DIES(touch_bare);
    DIES(send_bus);
    works();
    clear();
}

static void swallowing(int signal UNUSED)
{
    _exit(33);
}

static void sigchld(int signal UNUSED)
{
    calls = calls + 1;
}

/* Noticed, without a trace in the program. */
static void after_ours_swallowing(int socket UNUSED, void *argument UNUSED)
{
    shm_region *another = NULL;
    struct sigaction ours;
    sigset_t before = {0}, after = {0};

    setup();
    OK(shm_region_from_fd(file, 0, NULL, &another, &error));
    ours = install(swallowing, 0);
    CHECK_SYS(sigaction(SIGCHLD, &(struct sigaction){.sa_handler = sigchld}, NULL));
    CHECK_SYS(sigprocmask(SIG_BLOCK, NULL, &before));
    calls = 0;
    for (int time = 0; time < 3; time++) {
        REFUSED(SHMKIT_E_UNGUARDED, "exit code 33", shm_guard_check(&error));
        REFUSED(SHMKIT_E_UNGUARDED, "exit code 33", shm_guard_enable(another, &error));
        CODE(SHMKIT_E_UNGUARDED, shm_guard_begin(another));
    }
    CHECK_EQ(calls, 0);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_EQ(errno, ECHILD);
    CHECK_SYS(sigprocmask(SIG_BLOCK, NULL, &after));
    CHECK(!memcmp(&before, &after, sizeof before));
    /* With the other one gone it is as before. */
    CHECK_SYS(sigaction(SIGBUS, &ours, NULL));
    OK(shm_guard_enable(another, &error));
    works();
    CLOSE(another);
    clear();
}

/* Where no descriptor is left, neither for the child's end nor for its file. */
static void checked_without_descriptors(int socket UNUSED, void *argument UNUSED)
{
    int fd;

    setup();
    next = install_informed(chaining, 0);
    limit(RLIMIT_NOFILE, (rlim_t)file + 16);
    while ((fd = dup(file)) != -1) {
    }
    CHECK_EQ(errno, EMFILE);
    OK(shm_guard_check(&error));
    works();
    _exit(0); /* with them */
}

static void hanging(int signal UNUSED)
{
    for (;;)
        pause();
}

/* On a kernel that gives no descriptor for a child. */
static void checked_without_pidfd(int socket UNUSED, void *argument UNUSED)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {COUNT(filter), filter};

    setup();
    CHECK_SYS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == -1)
        SKIP("no seccomp filter: %s", strerror(errno));
    CHECK_EQ(syscall(SYS_pidfd_open, getpid(), 0), -1);
    next = install_informed(chaining, 0);
    OK(shm_guard_check(&error));
    install(hanging, 0);
    REFUSED(SHMKIT_E_UNGUARDED, "within 1 s", shm_guard_check(&error));
    CHECK_EQ(waitpid(-1, NULL, WNOHANG | __WALL), -1);
    CHECK_EQ(errno, ECHILD);
    clear();
}

/* A second copy of the library, as a plugin may have it in itself. */
static void two_copies(int socket UNUSED, void *argument UNUSED)
{
    int (*enable)(shm_region *, shm_error *), (*check)(shm_error *);
    int (*begin)(shm_region *), (*end)(shm_region *);
    int (*open_fd)(int, size_t, const shm_region_options *, shm_region **, shm_error *);
    shm_region *theirs = NULL;
    char copy[PATH_MAX], buffer[1 << 16];
    Dl_info info;
    void *other;
    ssize_t got;
    int from, to;

    CHECK(dladdr((void *)(uintptr_t)shm_version, &info));
    snprintf(copy, sizeof copy, "%s", test_path("copy.so"));
    CHECK_SYS(from = open(info.dli_fname, O_RDONLY | O_CLOEXEC));
    CHECK_SYS(to = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700));
    while ((got = read(from, buffer, sizeof buffer)) > 0)
        CHECK_EQ(write(to, buffer, (size_t)got), got);
    close(from);
    close(to);
    other = dlopen(copy, RTLD_NOW | RTLD_LOCAL);
    CHECK_SYS(unlink(copy));
    if (!other)
        FAIL("%s", dlerror());
    *(void **)&enable = dlsym(other, "shm_guard_enable");
    *(void **)&check = dlsym(other, "shm_guard_check");
    *(void **)&begin = dlsym(other, "shm_guard_begin");
    *(void **)&end = dlsym(other, "shm_guard_end");
    *(void **)&open_fd = dlsym(other, "shm_region_from_fd");
    CHECK(enable && check && begin && end && open_fd && begin != shm_guard_begin);

    setup();
    grow();
    OK(open_fd(file, 0, NULL, &theirs, &error));
    OK(enable(theirs, &error));
    shrink();
    for (int round = 0; round < 2; round++) {
        volatile char *their_gone = (char *)shm_region_data(theirs) + page;
        OK(shm_guard_check(&error));
        OK(check(&error));
        works();
        CODE(0, begin(theirs));
        CHECK_EQ(their_gone[0], 0);
        CODE(SHMKIT_E_SHRUNK, end(theirs));
        DIES(touch_bare);
        DIES(touch_guarded);
        DIES(send_bus);
        if (round == 0) {
            /* Round and round through both. */
            next = install_informed(chaining, 0);
        }
    }
    /* What is unloaded goes on handling. */
    dlclose(other);
    works();
    DIES(touch_bare);
    CODE(0, shm_region_close(guarded));
    _exit(0); /* theirs is left */
}

/* ---- Stacks, threads, signals ------------------------------------------------------------------------ */

static ucontext_t main_context, tiny_context;

static void touch_on_tiny_stack(void)
{
    read_byte = gone[0];
}

/* On a stack that has no room for a signal's frame, beside an alternate one. */
static void on_a_tiny_stack(int socket UNUSED, void *argument UNUSED)
{
    static char alternate[1 << 16];
    char *stack;
    const size_t tiny = 1024;

    setup();
    CHECK_SYS(sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = sizeof alternate}, NULL));
    stack = mmap(NULL, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    CHECK_SYS(mprotect(stack + page, page, PROT_READ | PROT_WRITE));
    CHECK_SYS(getcontext(&tiny_context));
    tiny_context.uc_stack.ss_sp = stack + page;
    tiny_context.uc_stack.ss_size = tiny;
    tiny_context.uc_link = &main_context;
    makecontext(&tiny_context, touch_on_tiny_stack, 0);
    CODE(0, shm_guard_begin(guarded));
    CHECK_SYS(swapcontext(&main_context, &tiny_context));
    CODE(SHMKIT_E_SHRUNK, shm_guard_end(guarded));
    CHECK_SYS(munmap(stack, 2 * page));
    clear();
}

static volatile sig_atomic_t ticks;

/* A section within whatever the signal has interrupted, an end that puts pages back among others. */
static void tick(int signal UNUSED)
{
    int code;

    CHECK_EQ(shm_guard_begin(guarded), 0);
    char byte = gone[0];
    code = shm_guard_end(guarded);
    CHECK(code == 0 || code == SHMKIT_E_SHRUNK);
    CHECK(byte == 'x' || code == SHMKIT_E_SHRUNK);
    ticks = ticks + 1;
}

static void in_signal_handlers(int socket UNUSED, void *argument UNUSED)
{
    const struct itimerval often = {{0, 100}, {0, 100}}, never = {{0, 0}, {0, 0}};

    setup();
    CHECK_SYS(sigaction(SIGALRM, &(struct sigaction){.sa_handler = tick, .sa_flags = SA_RESTART}, NULL));
    CHECK_SYS(setitimer(ITIMER_REAL, &often, NULL));
    while (ticks < (instrumented() ? 50 : 3000)) {
        for (int there = 0; there < 2; there++) {
            char byte;
            int code;
            if (there)
                grow();
            else
                shrink();
            CODE(0, shm_guard_begin(guarded));
            byte = gone[page - 1];
            code = shm_guard_end(guarded);
            CHECK(code == 0 || code == SHMKIT_E_SHRUNK);
            CHECK(byte == 'x' || code == SHMKIT_E_SHRUNK);
            if (!there)
                CHECK_EQ(code, SHMKIT_E_SHRUNK);
        }
    }
    CHECK_SYS(setitimer(ITIMER_REAL, &never, NULL));
    CODE(-EINVAL, shm_guard_end(guarded));
    grow();
    CHECK_EQ(gone[0], 'x');
    clear();
}

static void *enable_at_once(void *start)
{
    shm_region *own = NULL;
    shm_error error;

    pthread_barrier_wait(start);
    CHECK_EQ(shm_region_from_fd(file, 2 * page, OPTIONS(.flags = SHMKIT_REGION_PAST_END), &own, &error), 0);
    CHECK_EQ(shm_guard_enable(guarded, &error), 0);
    CHECK_EQ(shm_guard_enable(own, &error), 0);
    CHECK_EQ(shm_guard_begin(own), 0);
    CHECK_EQ(((volatile char *)shm_region_data(own))[page], 0);
    CHECK_EQ(shm_guard_end(own), SHMKIT_E_SHRUNK);
    CHECK_EQ(shm_region_close(own), 0);
    return NULL;
}

/* The first call of the process, in many threads at once. */
static void enabled_in_many_threads(int socket UNUSED, void *argument UNUSED)
{
    pthread_t threads[8];
    pthread_barrier_t start;

    install_informed(leaving_informed, 0);
    setup_unguarded();
    shrink();
    CHECK_EQ(pthread_barrier_init(&start, NULL, COUNT(threads)), 0);
    for (size_t at = 0; at < COUNT(threads); at++)
        CHECK_EQ(pthread_create(&threads[at], NULL, enable_at_once, &start), 0);
    for (size_t at = 0; at < COUNT(threads); at++)
        CHECK_EQ(pthread_join(threads[at], NULL), 0);
    works();
    caught(3);
    clear();
}

static volatile sig_atomic_t enough;

static void *read_what_is_gone(void *argument UNUSED)
{
    char byte;

    while (!enough)
        CHECK_EQ(shm_region_read(guarded, page, &byte, 1), SHMKIT_E_SHRUNK);
    return NULL;
}

static void close_in_child(int socket UNUSED, void *argument UNUSED)
{
    char byte;

    CHECK_EQ(shm_region_read(guarded, 0, &byte, 1), 0);
    CHECK_EQ(shm_region_read(guarded, page, &byte, 1), SHMKIT_E_SHRUNK);
    CHECK_EQ(shm_guard_begin(guarded), 0);
    CHECK_EQ(shm_guard_end(guarded), 0);
    CHECK_EQ(shm_region_close(guarded), 0);
    _exit(0);
}

/* Of the copies that other threads have under way, a child has none. */
static void forked_beside_readers(int socket UNUSED, void *argument UNUSED)
{
    pthread_t threads[2];

    setup();
    for (size_t at = 0; at < COUNT(threads); at++)
        CHECK_EQ(pthread_create(&threads[at], NULL, read_what_is_gone, NULL), 0);
    for (int children = 0; children < (instrumented() ? 10 : 100); children++)
        IN_CHILD(close_in_child, NULL);
    enough = 1;
    for (size_t at = 0; at < COUNT(threads); at++)
        CHECK_EQ(pthread_join(threads[at], NULL), 0);
    clear();
}

/* ---------------------------------------------------------------------------------------------------- */

static void test(void)
{
    IN_CHILD(arguments, NULL);
    IN_CHILD(closing, NULL);
    IN_CHILD(deaths, NULL);
    if (!instrumented())
        IN_CHILD(death_has_its_address, NULL);
    IN_CHILD(errno_stays, NULL);
    IN_CHILD(before_ours_plain, NULL);
    IN_CHILD(before_ours_informed, NULL);
    IN_CHILD(before_ours_on_a_stack, NULL);
    IN_CHILD(before_ours_once, NULL);
    IN_CHILD(before_ours_nested, NULL);
    IN_CHILD(before_ours_ignored, NULL);
    IN_CHILD(after_ours_chaining, NULL);
    IN_CHILD(between_two, NULL);
    IN_CHILD(round_and_round, NULL);
    IN_CHILD(after_ours_swallowing, NULL);
    IN_CHILD(checked_without_descriptors, NULL);
    IN_CHILD(checked_without_pidfd, NULL);
    if (!instrumented())
        IN_CHILD(two_copies, NULL);
    IN_CHILD(on_a_tiny_stack, NULL);
    IN_CHILD(in_signal_handlers, NULL);
    IN_CHILD(enabled_in_many_threads, NULL);
    IN_CHILD(forked_beside_readers, NULL);
}
