/* Goal: a lock in a region belongs to a process, survives its death, and leaves the program's own locks alone;
 * wrong arguments are errors. */
#include "test.h"

#include <pthread.h>

struct board {
    shm_party_table parties;
    shm_mutex lock, other;
    pthread_mutex_t own; /* the program's, robust and shared */
    uint64_t count;
};

static shm_region *memory;
static struct board *board;

static void set_up(void)
{
    pthread_mutexattr_t attributes;

    OK(shm_region_create("board", sizeof(struct board), NULL, &memory, &error));
    board = shm_region_data(memory);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    CHECK_EQ(pthread_mutex_init(&board->own, &attributes), 0);
}

static shm_party *join(void)
{
    shm_party *party = NULL;

    OK(shm_party_join(memory, offsetof(struct board, parties), NULL, &party, &error));
    CHECK(shm_mutex_init(party, &board->lock, &error) >= 0);
    return party;
}

/* ---- Arguments ------------------------------------------------------------------------------ */

#define NO_PARTY ((shm_party *)0x5a5a)
#define REFUSED_PARTY(want, word, call) \
    do {                                \
        party = NO_PARTY;               \
        REFUSED(want, word, call);      \
        CHECK(party == NO_PARTY);       \
    } while (0)
#define PARTY_OPTIONS(...) (&(shm_party_options){.size = sizeof(shm_party_options), __VA_ARGS__})

static void bad_parties(void)
{
    shm_party *party;
    shm_region *read_only, *file, *private;
    int fd;

    set_up();
    REFUSED_PARTY(-EINVAL, "NULL", shm_party_join(NULL, 0, NULL, &party, &error));
    REFUSED(-EINVAL, "NULL", shm_party_join(memory, 0, NULL, NULL, &error));
    CODE(-EINVAL, shm_party_join(NULL, 0, NULL, NULL, NULL));
    REFUSED_PARTY(-EINVAL, "multiple of 8", shm_party_join(memory, 4, NULL, &party, &error));
    REFUSED_PARTY(-EINVAL, "bytes", shm_party_join(memory, sizeof *board, NULL, &party, &error));
    REFUSED_PARTY(-EINVAL, "bytes", shm_party_join(memory, SIZE_MAX - 7, NULL, &party, &error));
    REFUSED_PARTY(-EINVAL, "12608", shm_party_join(memory, 4096, NULL, &party, &error));
    REFUSED_PARTY(-EINVAL, "sizeof", shm_party_join(memory, 0, &(shm_party_options){0}, &party, &error));
    REFUSED_PARTY(-E2BIG, "at most", shm_party_join(memory, 0, &(shm_party_options){.size = 1u << 31}, &party, &error));
    REFUSED_PARTY(-EINVAL, "0x80000000", shm_party_join(memory, 0, PARTY_OPTIONS(.flags = 1u << 31), &party, &error));
    REFUSED_PARTY(-EINVAL, "4097", shm_party_join(memory, 0, PARTY_OPTIONS(.slots = 4097), &party, &error));
    REFUSED_PARTY(-EINVAL, "cells", shm_party_join(memory, 0, PARTY_OPTIONS(.cells = UINT32_MAX), &party, &error));
    CHECK_EQ(shm_party_size(0, 0), sizeof(shm_party_table));
    CHECK_EQ(shm_party_size(64, 32), sizeof(shm_party_table));
    CHECK_EQ(shm_party_size(1, 1), 64 + 16 * 8 + 64 + 16 * 4);
    CHECK_EQ(shm_party_size(4097, 0), 0);
    CHECK_EQ(shm_party_size(0, UINT32_MAX), 0);
    CODE(0, shm_party_leave(NULL));

    CHECK_SYS(fd = open(test_path("file"), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    CHECK_SYS(ftruncate(fd, 1 << 16));
    OK(shm_region_from_fd(fd, 0, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &read_only, &error));
    OK(shm_region_from_fd(fd, 0, NULL, &file, &error));
    OK(shm_region_from_fd(fd, 0, OPTIONS(.flags = SHMKIT_REGION_PRIVATE), &private, &error));
    CHECK_SYS(close(fd));
    CHECK_SYS(unlink(test_path("file")));
    REFUSED_PARTY(-EACCES, "read-only", shm_party_join(read_only, 0, NULL, &party, &error));
    REFUSED_PARTY(-EINVAL, "private", shm_party_join(private, 0, NULL, &party, &error));
    REFUSED_PARTY(SHMKIT_E_UNSEALED, "taken away", shm_party_join(file, 0, NULL, &party, &error));
    OK(shm_party_join(file, 0, PARTY_OPTIONS(.flags = SHMKIT_PARTY_CAN_SHRINK), &party, &error));
    CODE(0, shm_party_leave(party));
    CLOSE(read_only);
    CLOSE(private);
    CLOSE(file);

    memset(board, 0xff, 64);
    REFUSED_PARTY(-EINVAL, "magic", shm_party_join(memory, 0, NULL, &party, &error));
    CLOSE(memory);
}

static void bad_mutexes(void)
{
    shm_mutex outside = {{0}}, *mutex, *const bad[] = {NULL, &outside, (shm_mutex *)UINTPTR_MAX, (shm_mutex *)-8};
    shm_party *party;
    int32_t pid = 77;

    set_up();
    party = join();
    mutex = &board->lock;
    for (size_t at = 0; at < COUNT(bad); at++) {
        REFUSED(-EINVAL, "mutex", shm_mutex_init(party, bad[at], &error));
        CODE(-EINVAL, shm_mutex_lock(party, bad[at]));
        CODE(-EINVAL, shm_mutex_lock_until(party, bad[at], 0));
        CODE(-EINVAL, shm_mutex_trylock(party, bad[at]));
        CODE(-EINVAL, shm_mutex_unlock(party, bad[at]));
        CODE(-EINVAL, shm_mutex_consistent(party, bad[at]));
        CODE(-EINVAL, shm_mutex_owner(party, bad[at], &pid));
    }
    REFUSED(-EINVAL, "NULL", shm_mutex_init(NULL, mutex, &error));
    CODE(-EINVAL, shm_mutex_lock(NULL, mutex));
    CODE(-EINVAL, shm_mutex_lock_until(NULL, mutex, 0));
    CODE(-EINVAL, shm_mutex_trylock(NULL, mutex));
    CODE(-EINVAL, shm_mutex_unlock(NULL, mutex));
    CODE(-EINVAL, shm_mutex_consistent(NULL, mutex));
    CODE(-EINVAL, shm_mutex_owner(NULL, mutex, &pid));
    CODE(-EINVAL, shm_mutex_owner(party, mutex, NULL));

    /* Zeros, ones, halves, and the table are no locks. */
    CODE(-EINVAL, shm_mutex_lock(party, &board->other));
    CODE(-EINVAL, shm_mutex_unlock(party, &board->other));
    CODE(-EINVAL, shm_mutex_consistent(party, &board->other));
    CODE(-EINVAL, shm_mutex_owner(party, &board->other, &pid));
    memset(&board->other, 0xff, sizeof board->other);
    REFUSED(-EINVAL, "magic", shm_mutex_init(party, &board->other, &error));
    CODE(-EINVAL, shm_mutex_trylock(party, &board->other));
    memset(&board->other, 0, sizeof board->other);
    ((unsigned char *)&board->other)[39] = 1;
    REFUSED(-EINVAL, "zeros", shm_mutex_init(party, &board->other, &error));
    memset(&board->other, 0, sizeof board->other);
    GIVES(1, shm_mutex_init(party, &board->other, &error));
    GIVES(0, shm_mutex_init(party, &board->other, &error));
    REFUSED(-EINVAL, "multiple of 8", shm_mutex_init(party, (shm_mutex *)((char *)mutex + 4), &error));
    REFUSED(-EINVAL, "table", shm_mutex_init(party, (shm_mutex *)((char *)board + 1024), &error));

    CODE(-EINVAL, shm_mutex_lock_until(party, mutex, -1));
    CODE(-EINVAL, shm_mutex_lock_until(party, mutex, INT64_MIN));
    CODE(0, shm_mutex_owner(party, mutex, &pid));
    CHECK_EQ(pid, 77);
    /* An owner that is no member: no number that kill() would take for many processes. */
    *(volatile uint32_t *)mutex = 0x3ffffffe;
    CODE(-ESRCH, shm_mutex_owner(party, mutex, &pid));
    CHECK_EQ(pid, 77);
    *(volatile uint32_t *)mutex = 0;
    CODE(0, shm_mutex_lock_until(party, mutex, 0));
    CODE(-EINVAL, shm_mutex_lock_until(party, mutex, -1));
    CODE(1, shm_mutex_owner(party, mutex, &pid));
    CHECK_EQ(pid, getpid());
    CODE(-EDEADLK, shm_mutex_lock(party, mutex));
    CODE(-EDEADLK, shm_mutex_lock_until(party, mutex, INT64_MAX));
    CODE(-EBUSY, shm_mutex_trylock(party, mutex));
    CODE(-EINVAL, shm_mutex_consistent(party, mutex));
    CODE(-EBUSY, shm_party_leave(party));
    CODE(-EBUSY, shm_region_close(memory));
    REFUSED(-EBUSY, "party", shm_region_freeze(memory, &error));
    CODE(0, shm_mutex_unlock(party, mutex));
    CODE(-EPERM, shm_mutex_unlock(party, mutex));
    CODE(0, shm_mutex_lock_until(party, mutex, INT64_MAX));
    CODE(0, shm_mutex_unlock(party, mutex));
    CODE(-EBUSY, shm_region_close(memory));
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

static void any_thread(void)
{
    shm_party *party;

    set_up();
    OK(shm_party_join(memory, 0, PARTY_OPTIONS(.flags = SHMKIT_PARTY_ANY_THREAD), &party, &error));
    GIVES(1, shm_mutex_init(party, &board->lock, &error));
    CODE(0, shm_mutex_lock(party, &board->lock));
    CODE(-ETIMEDOUT, shm_mutex_lock_until(party, &board->lock, 0));
    CODE(-ETIMEDOUT, shm_mutex_lock_until(party, &board->lock, shmkit_deadline_in_ms(1)));
    CODE(0, shm_mutex_unlock(party, &board->lock));
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

/* ---- Deaths --------------------------------------------------------------------------------- */

static void hold(int socket, void *argument UNUSED)
{
    shm_party *party = join();

    CHECK_EQ(pthread_mutex_lock(&board->own), 0);
    CODE(0, shm_mutex_lock(party, &board->lock));
    tell(socket, 1);
    for (;;)
        pause();
}

/* The owner has died: we are told once, here and by the program's own lock. */
static void recover(shm_party *party)
{
    CODE(SHMKIT_OWNER_DIED, shm_mutex_lock(party, &board->lock));
    CODE(0, shm_mutex_consistent(party, &board->lock));
    CODE(-EINVAL, shm_mutex_consistent(party, &board->lock));
    CODE(0, shm_mutex_unlock(party, &board->lock));
    CODE(0, shm_mutex_lock(party, &board->lock));
    CODE(0, shm_mutex_unlock(party, &board->lock));
}

static void both_locks_recover(void)
{
    struct child child;
    shm_party *party;
    int32_t pid;

    set_up();
    child = child_start(hold, NULL);
    hear(child.socket);
    party = join();
    CODE(1, shm_mutex_owner(party, &board->lock, &pid));
    CHECK_EQ(pid, child.pid);
    CODE(-EBUSY, shm_mutex_trylock(party, &board->lock));
    CODE(-EPERM, shm_mutex_unlock(party, &board->lock));
    CODE(-EPERM, shm_mutex_consistent(party, &board->lock));
    CHECK_SYS(kill(child.pid, SIGKILL));
    recover(party);
    CHECK_EQ(pthread_mutex_lock(&board->own), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(&board->own), 0);
    CHECK_EQ(pthread_mutex_unlock(&board->own), 0);
    CHECK_EQ(child_end(&child), 128 + SIGKILL);
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

static void hold_and_execute(int socket, void *argument UNUSED)
{
    shm_party *party = join();

    CODE(0, shm_mutex_lock(party, &board->lock));
    tell(socket, 1);
    execlp("sleep", "sleep", "1000", (char *)NULL);
    FAIL("sleep: %s", strerror(errno));
}

static void to_execute_is_to_die(void)
{
    struct child child;
    shm_party *party;

    set_up();
    child = child_start(hold_and_execute, NULL);
    hear(child.socket);
    party = join();
    recover(party);
    CHECK_EQ(waitpid(child.pid, NULL, WNOHANG), 0); /* it runs */
    CHECK_SYS(kill(child.pid, SIGKILL));
    CHECK_EQ(child_end(&child), 128 + SIGKILL);
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

static void be_killed(int socket, void *argument UNUSED)
{
    join();
    tell(socket, 1);
    for (;;)
        pause();
}

/* One waits for a word and for the others' lives. */
static void a_death_ends_a_wait(void)
{
    shm_party *party;
    struct child child;
    uint32_t seen, word = 0;
    const uint32_t *nothing;
    int32_t pids[2] = { 0, 0 };

    set_up();
    nothing = (const uint32_t *)&board->count;
    party = join();
    CODE(1, shm_party_members(party, pids, 2));
    CHECK_EQ(pids[0], getpid());
    CHECK_EQ(pids[1], 0);
    CODE(0, shm_party_changes(party, &seen));
    CODE(0, shm_party_wait(party, nothing, 1, seen));
    CODE(-ETIMEDOUT, shm_party_wait_until(party, nothing, 0, seen, 0));
    CODE(0, shm_party_wake(party, nothing, 1));

    child = child_start(be_killed, NULL);
    hear(child.socket);
    CODE(SHMKIT_PARTY_CHANGED, shm_party_wait(party, nothing, 0, seen));
    CODE(2, shm_party_members(party, NULL, 0));
    CODE(2, shm_party_members(party, pids, 1));
    CODE(0, shm_party_changes(party, &seen));
    CHECK_SYS(kill(child.pid, SIGKILL));
    CODE(SHMKIT_PARTY_CHANGED, shm_party_wait(party, nothing, 0, seen));
    CHECK_EQ(child_end(&child), 128 + SIGKILL);
    CODE(1, shm_party_members(party, pids, 2));

    CODE(-EINVAL, shm_party_members(NULL, pids, 2));
    CODE(-EINVAL, shm_party_changes(NULL, &seen));
    CODE(-EINVAL, shm_party_changes(party, NULL));
    CODE(-EINVAL, shm_party_wait(NULL, nothing, 0, seen));
    CODE(-EINVAL, shm_party_wait(party, NULL, 0, seen));
    CODE(-EINVAL, shm_party_wait(party, &word, 0, seen));
    CODE(-EINVAL, shm_party_wait(party, (const uint32_t *)((const char *)nothing + 2), 0, seen));
    CODE(-EINVAL, shm_party_wait_until(party, nothing, 0, seen, -1));
    CODE(-EINVAL, shm_party_wake(NULL, nothing, 1));
    CODE(-EINVAL, shm_party_wake(party, &word, 1));
    CODE(0, shm_party_wake(party, nothing, UINT32_MAX));
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

static void not_recoverable(void)
{
    struct child child;
    shm_party *party;

    set_up();
    child = child_start(hold, NULL);
    hear(child.socket);
    CHECK_SYS(kill(child.pid, SIGKILL));
    CHECK_EQ(child_end(&child), 128 + SIGKILL);
    party = join();
    CODE(SHMKIT_OWNER_DIED, shm_mutex_trylock(party, &board->lock));
    CODE(0, shm_mutex_unlock(party, &board->lock));
    CODE(-ENOTRECOVERABLE, shm_mutex_lock(party, &board->lock));
    CODE(-ENOTRECOVERABLE, shm_mutex_trylock(party, &board->lock));
    CODE(-ENOTRECOVERABLE, shm_mutex_lock_until(party, &board->lock, 0));
    CODE(-EPERM, shm_mutex_unlock(party, &board->lock));
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

static void in_child(int socket UNUSED, void *party)
{
    CODE(-EPERM, shm_mutex_unlock(party, &board->lock));
    CODE(-EBUSY, shm_mutex_trylock(party, &board->lock));
    CODE(-EBUSY, shm_region_close(memory));
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

static void a_child_owns_nothing(void)
{
    shm_party *party;
    int32_t pid;

    set_up();
    party = join();
    CODE(0, shm_mutex_lock(party, &board->lock));
    IN_CHILD(in_child, party);
    CODE(1, shm_mutex_owner(party, &board->lock, &pid));
    CHECK_EQ(pid, getpid());
    CODE(0, shm_mutex_unlock(party, &board->lock));
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

/* The stack of the first keeper stays with the C library, for the next thread. */
static void warm_up(void)
{
    set_up();
    CODE(0, shm_party_leave(join()));
    CLOSE(memory);
}

static void balanced(int socket UNUSED, void *argument UNUSED)
{
    warm_up();
    RUN(bad_parties);
    RUN(bad_mutexes);
    RUN(any_thread);
    RUN(both_locks_recover);
    RUN(to_execute_is_to_die);
    RUN(a_death_ends_a_wait);
    RUN(not_recoverable);
    RUN(a_child_owns_nothing);
}

static void test(void)
{
    IN_CHILD(balanced, NULL);
}
