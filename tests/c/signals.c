/* Goal: what docs/threads-signals-fork.md allows in a signal handler needs no memory and no lock: a handler
 * that interrupts anything at all calls it, and nothing in it allocates.
 * NO-VALGRIND: the test has an allocator of its own
 * NO-ASAN: the test has an allocator of its own
 * NO-MUSL: the allocator under it is glibc's */
#include "test.h"

#include <sys/time.h>

extern void *__libc_malloc(size_t size), *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size), *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

static volatile sig_atomic_t in_handler;

static void none_here(const char *call)
{
    if (in_handler) {
        in_handler = 0;
        FAIL("%s in a signal handler", call);
    }
}

void *malloc(size_t size) { return none_here("malloc"), __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return none_here("calloc"), __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return none_here("realloc"), __libc_realloc(old, size); }
void *aligned_alloc(size_t alignment, size_t size) { return none_here("aligned_alloc"), __libc_memalign(alignment, size); }
void free(void *memory) { none_here("free"), __libc_free(memory); }
int posix_memalign(void **memory, size_t alignment, size_t size)
{
    none_here("posix_memalign");
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

static shm_region *sealed;  /* cannot shrink, never protected */
static shm_region *guarded; /* a file of one page, mapped as three; the guard is on */
static volatile sig_atomic_t interruptions;

/* ---- What the document's table allows; tests/docs.sh holds both equal -------------------------------- */

static void call_shm_region_data(void) { CHECK(shm_region_data(sealed)); }
static void call_shm_region_size(void) { CHECK_EQ(shm_region_size(sealed), 2 * page); }
static void call_shm_region_size_max(void) { CHECK_EQ(shm_region_size_max(sealed), 2 * page); }
static void call_shm_region_page_size(void) { CHECK_EQ(shm_region_page_size(sealed), page); }
static void call_shm_region_fd(void) { CHECK(shm_region_fd(sealed) >= 0); }
static void call_shm_region_kind(void) { CHECK_EQ(shm_region_kind(sealed), SHMKIT_KIND_MEMFD); }
static void call_shm_region_rights(void) { CHECK_EQ(shm_region_rights(sealed), SHMKIT_RIGHTS_READ_WRITE); }
static void call_shm_region_name(void) { CHECK(!strcmp(shm_region_name(sealed), "sealed")); }
static void call_shm_region_can_shrink(void) { CHECK_EQ(shm_region_can_shrink(sealed), 0); }
static void call_shm_region_at(void)
{
    void *at;

    CHECK_EQ(shm_region_at(sealed, page, page, 1, &at), 0);
    CHECK_EQ(shm_region_at(sealed, page, page + 1, 1, &at), -ERANGE);
}
static void call_shm_region_read(void)
{
    char bytes[100];

    CHECK_EQ(shm_region_read(sealed, page, bytes, sizeof bytes), 0);
    CHECK(bytes[99] == 'b' || bytes[99] == 'h');
    CHECK_EQ(shm_region_read(sealed, 2 * page, bytes, 1), -ERANGE);
}
static void call_shm_region_write(void) { CHECK_EQ(shm_region_write(sealed, page + 99, "h", 1), 0); }
static void call_shm_guard_begin(void) { CHECK_EQ(shm_guard_begin(guarded), 0); }
static void call_shm_guard_end(void)
{
    /* The section of call_shm_guard_begin, and a fault in it. */
    CHECK_EQ(((volatile char *)shm_region_data(guarded))[2 * page], 0);
    CHECK_EQ(shm_guard_end(guarded), SHMKIT_E_SHRUNK);
}
static void call_shm_version(void) { CHECK(shm_version()); }
static void call_shm_strerror(void) { CHECK(shm_strerror(SHMKIT_E_SHRUNK)[0]); }
static void call_shm_error_name(void) { CHECK(!strcmp(shm_error_name(-EINVAL), "EINVAL")); }

static void (*const allowed[])(void) = {
    call_shm_region_data,     call_shm_region_size,  call_shm_region_size_max,   call_shm_region_page_size,
    call_shm_region_fd,       call_shm_region_kind,  call_shm_region_rights,     call_shm_region_name,
    call_shm_region_at,       call_shm_region_read,  call_shm_region_write,      call_shm_region_can_shrink,
    call_shm_guard_begin,     call_shm_guard_end,    call_shm_version,           call_shm_strerror,
    call_shm_error_name,
};

static void on_alarm(int signal UNUSED)
{
    int old = errno;

    in_handler = 1;
    for (size_t at = 0; at < COUNT(allowed); at++)
        allowed[at]();
    in_handler = 0;
    interruptions++;
    errno = old;
}

static void in_a_handler(void)
{
    const struct itimerval often = {{0, 50}, {0, 50}}, never = {{0, 0}, {0, 0}};
    const char *path = test_path("guarded");
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    char bytes[100];

    CHECK_SYS(fd);
    CHECK_SYS(ftruncate(fd, (off_t)page));
    OK(shm_file_open(path, 3 * page, OPTIONS(.flags = SHMKIT_REGION_PAST_END), &guarded, &error));
    OK(shm_guard_enable(guarded, &error));
    OK(shm_region_create("sealed", 2 * page, NULL, &sealed, &error));
    memset(shm_region_data(sealed), 'b', 2 * page);

    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm, .sa_flags = SA_RESTART}, NULL);
    CHECK_SYS(setitimer(ITIMER_REAL, &often, NULL));
    /* It interrupts the allocator, the library's own calls, and sections of the same region. */
    while (interruptions < 2000) {
        shm_region *own = NULL;

        OK(shm_region_create("own", 3 * page, OPTIONS(.flags = SHMKIT_REGION_GROWABLE, .size_max = 9 * page), &own, &error));
        OK(shm_region_grow(own, 5 * page, &error));
        REFUSED(-ERANGE, "", shm_region_check(own, 0, 6 * page, &error));
        CLOSE(own);
        CHECK_EQ(shm_guard_begin(guarded), 0);
        ((volatile char *)shm_region_data(guarded))[page] = 1;
        CHECK_EQ(((volatile char *)shm_region_data(guarded))[0], 0);
        CHECK_EQ(shm_guard_end(guarded), SHMKIT_E_SHRUNK);
        CHECK_EQ(shm_region_read(guarded, 0, bytes, sizeof bytes), 0);
        CHECK_EQ(shm_region_read(guarded, page, bytes, sizeof bytes), SHMKIT_E_SHRUNK);
    }
    CHECK_SYS(setitimer(ITIMER_REAL, &never, NULL));
    signal(SIGALRM, SIG_DFL);

    CLOSE(sealed);
    CLOSE(guarded);
    close(fd);
    CHECK_SYS(unlink(path));
}

static void in_child(int socket UNUSED, void *argument UNUSED)
{
    in_a_handler();
}

static void test(void)
{
    /* A child, because a handler stays installed. */
    IN_CHILD(in_child, NULL);
}
