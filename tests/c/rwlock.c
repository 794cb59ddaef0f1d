/* Goal: a read-write lock outlives its readers and writers, a barrier does not wait for the dead; wrong arguments
 * are errors. */
#include "test.h"

#include <poll.h>

struct board {
    shm_party_table parties;
    shm_rwlock lock, other;
    shm_barrier barrier, another;
    uint64_t room[4]; /* a read-write lock would fit at the last of them, too */
};

static shm_region *memory;
static struct board *board;

static void set_up(void)
{
    OK(shm_region_create("board", sizeof(struct board), NULL, &memory, &error));
    board = shm_region_data(memory);
}

static shm_party *join(void)
{
    shm_party *party = NULL;

    OK(shm_party_join(memory, offsetof(struct board, parties), NULL, &party, &error));
    CHECK(shm_rwlock_init(party, &board->lock, &error) >= 0);
    return party;
}

static void tear_down(shm_party *party)
{
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

/* ---- Arguments ------------------------------------------------------------------------------ */

static shm_watch *watch;

static void no_lock(int want, shm_party *party, shm_rwlock *lock)
{
    CODE(want, shm_rwlock_read(party, lock));
    CODE(want, shm_rwlock_read_until(party, lock, 0));
    CODE(want, shm_rwlock_read_watch(party, lock, watch));
    CODE(want, shm_rwlock_write_watch(party, lock, watch));
    CODE(want, shm_rwlock_tryread(party, lock));
    CODE(want, shm_rwlock_write(party, lock));
    CODE(want, shm_rwlock_write_until(party, lock, 0));
    CODE(want, shm_rwlock_trywrite(party, lock));
    CODE(want, shm_rwlock_unlock(party, lock));
    CODE(want, shm_rwlock_consistent(party, lock));
}

static void bad_locks(void)
{
    shm_rwlock outside = {{0}}, *lock, *const bad[] = {NULL, &outside, (shm_rwlock *)UINTPTR_MAX, (shm_rwlock *)-8};
    shm_party *party;

    set_up();
    OK(shm_watch_open(&watch, &error));
    party = join();
    lock = &board->lock;
    for (size_t at = 0; at < COUNT(bad); at++) {
        REFUSED(-EINVAL, "read-write lock", shm_rwlock_init(party, bad[at], &error));
        no_lock(-EINVAL, party, bad[at]);
    }
    REFUSED(-EINVAL, "NULL", shm_rwlock_init(NULL, lock, &error));
    CODE(-EINVAL, shm_rwlock_init(NULL, lock, NULL));
    no_lock(-EINVAL, NULL, lock);
    no_lock(-EINVAL, NULL, NULL);

    /* Zeros, ones, halves, another object, and the table. */
    no_lock(-EINVAL, party, &board->other);
    memset(&board->other, 0xff, sizeof board->other);
    REFUSED(-EINVAL, "magic", shm_rwlock_init(party, &board->other, &error));
    no_lock(-EINVAL, party, &board->other);
    memset(&board->other, 0, sizeof board->other);
    ((unsigned char *)&board->other)[55] = 1;
    REFUSED(-EINVAL, "zeros", shm_rwlock_init(party, &board->other, &error));
    memset(&board->other, 0, sizeof board->other);
    GIVES(1, shm_mutex_init(party, (shm_mutex *)&board->other, &error));
    REFUSED(-EINVAL, "magic", shm_rwlock_init(party, &board->other, &error));
    no_lock(-EINVAL, party, &board->other);
    memset(&board->other, 0, sizeof board->other);
    GIVES(1, shm_rwlock_init(party, &board->other, &error));
    GIVES(0, shm_rwlock_init(party, &board->other, &error));
    REFUSED(-EINVAL, "multiple of 8", shm_rwlock_init(party, (shm_rwlock *)((char *)lock + 4), &error));
    REFUSED(-EINVAL, "table", shm_rwlock_init(party, (shm_rwlock *)((char *)board + 1024), &error));

    CODE(-EPERM, shm_rwlock_unlock(party, lock));
    CODE(-EPERM, shm_rwlock_consistent(party, lock));
    CODE(-EINVAL, shm_rwlock_read_until(party, lock, -1));
    CODE(-EINVAL, shm_rwlock_write_until(party, lock, INT64_MIN));
    CODE(0, shm_rwlock_read_until(party, lock, 0));
    CODE(-EINVAL, shm_rwlock_read_until(party, lock, -1));
    CODE(0, shm_rwlock_tryread(party, lock));
    CODE(0, shm_rwlock_read(party, lock));
    CODE(-EPERM, shm_rwlock_consistent(party, lock));
    CODE(-EDEADLK, shm_rwlock_write(party, lock));
    CODE(-EDEADLK, shm_rwlock_write_until(party, lock, INT64_MAX));
    CODE(-EBUSY, shm_rwlock_trywrite(party, lock));
    CODE(-EBUSY, shm_party_leave(party));
    CODE(-EBUSY, shm_region_close(memory));
    for (int time = 0; time < 3; time++)
        CODE(0, shm_rwlock_unlock(party, lock));
    CODE(-EPERM, shm_rwlock_unlock(party, lock));

    CODE(0, shm_rwlock_write_until(party, lock, 0));
    CODE(-EINVAL, shm_rwlock_write_until(party, lock, -1));
    CODE(-EINVAL, shm_rwlock_consistent(party, lock));
    CODE(-EDEADLK, shm_rwlock_write(party, lock));
    CODE(-EDEADLK, shm_rwlock_read(party, lock));
    CODE(-EBUSY, shm_rwlock_tryread(party, lock));
    CODE(-EBUSY, shm_rwlock_trywrite(party, lock));
    CODE(-EBUSY, shm_party_leave(party));
    CODE(0, shm_rwlock_unlock(party, lock));
    CODE(-EPERM, shm_rwlock_unlock(party, lock));
    CODE(-EINVAL, shm_rwlock_read_watch(party, &board->lock, NULL));
    CODE(-EINVAL, shm_rwlock_write_watch(party, &board->lock, NULL));
    CODE(0, shm_rwlock_read_watch(party, &board->lock, watch));
    CODE(-EDEADLK, shm_rwlock_write_watch(party, &board->lock, watch));
    CODE(0, shm_rwlock_unlock(party, &board->lock));
    CODE(0, shm_rwlock_write_watch(party, &board->lock, watch));
    CODE(-EDEADLK, shm_rwlock_read_watch(party, &board->lock, watch));
    CODE(0, shm_rwlock_unlock(party, &board->lock));
    CODE(0, shm_watch_close(watch));
    tear_down(party);
}

static void bad_barriers(void)
{
    shm_barrier outside = {{0}}, *barrier;
    shm_barrier *const bad[] = {NULL, &outside, (shm_barrier *)UINTPTR_MAX, (shm_barrier *)-8};
    shm_party *party;

    set_up();
    party = join();
    barrier = &board->barrier;
    OK(shm_watch_open(&watch, &error));
    for (size_t at = 0; at < COUNT(bad); at++) {
        REFUSED(-EINVAL, "barrier", shm_barrier_init(party, bad[at], 2, &error));
        CODE(-EINVAL, shm_barrier_wait(party, bad[at]));
        CODE(-EINVAL, shm_barrier_wait_until(party, bad[at], 0));
        CODE(-EINVAL, shm_barrier_wait_watch(party, bad[at], watch));
        CODE(-EINVAL, shm_barrier_cancel_watch(party, bad[at], watch));
    }
    REFUSED(-EINVAL, "NULL", shm_barrier_init(NULL, barrier, 2, &error));
    CODE(-EINVAL, shm_barrier_init(NULL, NULL, 0, NULL));
    REFUSED(-EINVAL, "1048575", shm_barrier_init(party, barrier, 0, &error));
    REFUSED(-EINVAL, "1048575", shm_barrier_init(party, barrier, 1 << 20, &error));
    REFUSED(-EINVAL, "1048575", shm_barrier_init(party, barrier, UINT32_MAX, &error));
    CODE(-EINVAL, shm_barrier_wait(party, barrier));
    CODE(-EINVAL, shm_barrier_wait(NULL, barrier));
    CODE(-EINVAL, shm_barrier_wait_until(NULL, barrier, 0));
    CODE(-EINVAL, shm_barrier_wait_watch(party, barrier, watch));
    CODE(-EINVAL, shm_barrier_wait_watch(NULL, barrier, watch));
    CODE(-EINVAL, shm_barrier_cancel_watch(party, barrier, watch));
    CODE(-EINVAL, shm_barrier_cancel_watch(NULL, barrier, watch));

    memset(&board->another, 0xff, sizeof board->another);
    REFUSED(-EINVAL, "magic", shm_barrier_init(party, &board->another, 2, &error));
    CODE(-EINVAL, shm_barrier_wait(party, &board->another));
    memset(&board->another, 0, sizeof board->another);
    GIVES(1, shm_barrier_init(party, &board->another, (1 << 20) - 1, &error));
    GIVES(0, shm_barrier_init(party, &board->another, (1 << 20) - 1, &error));
    REFUSED(-EINVAL, "for 1048575, not for 2", shm_barrier_init(party, &board->another, 2, &error));
    CODE(-ETIMEDOUT, shm_barrier_wait_until(party, &board->another, 0));
    CODE(-EINVAL, shm_barrier_wait_until(party, &board->another, -1));
    CODE(-EINVAL, shm_barrier_wait_watch(party, &board->another, NULL));
    CODE(-EINVAL, shm_barrier_cancel_watch(party, &board->another, NULL));
    CODE(-ECANCELED, shm_barrier_cancel_watch(party, &board->another, watch));
    CODE(-EAGAIN, shm_barrier_wait_watch(party, &board->another, watch));
    CODE(-EBUSY, shm_party_leave(party));
    CODE(-EAGAIN, shm_barrier_wait_watch(party, &board->another, watch));
    CODE(-ECANCELED, shm_barrier_cancel_watch(party, &board->another, watch));
    CODE(-ECANCELED, shm_barrier_cancel_watch(party, &board->another, watch));
    REFUSED(-EINVAL, "magic", shm_rwlock_init(party, (shm_rwlock *)&board->another, &error));

    GIVES(1, shm_barrier_init(party, barrier, 1, &error));
    CODE(SHMKIT_BARRIER_SERIAL, shm_barrier_wait(party, barrier));
    CODE(SHMKIT_BARRIER_SERIAL, shm_barrier_wait_until(party, barrier, 0));
    CODE(SHMKIT_BARRIER_SERIAL, shm_barrier_wait_watch(party, barrier, watch));
    CODE(0, shm_watch_close(watch));
    CODE(-EINVAL, shm_barrier_wait_until(party, barrier, INT64_MIN));
    tear_down(party);
}

static void no_cell_left(void)
{
    shm_party *party;
    shm_rwlock *locks;
    shm_barrier *barrier;

    OK(shm_region_create("cells", 1 << 16, NULL, &memory, &error));
    OK(shm_party_join(memory, 0, &(shm_party_options){.size = sizeof(shm_party_options), .cells = 16}, &party, &error));
    locks = (shm_rwlock *)((char *)shm_region_data(memory) + (1 << 14));
    barrier = (shm_barrier *)((char *)shm_region_data(memory) + (1 << 15));
    for (int at = 0; at < 16; at++)
        GIVES(1, shm_rwlock_init(party, &locks[at], &error));
    REFUSED(-ENOLCK, "all 16", shm_rwlock_init(party, &locks[16], &error));
    REFUSED(-ENOLCK, "all 16", shm_barrier_init(party, barrier, 2, &error));
    GIVES(0, shm_rwlock_init(party, &locks[15], &error));
    tear_down(party);
}

/* ---- Deaths --------------------------------------------------------------------------------- */

static void hold(int socket, void *writes)
{
    shm_party *party = join();

    CODE(0, writes ? shm_rwlock_write(party, &board->lock) : shm_rwlock_read(party, &board->lock));
    tell(socket, 1);
    for (;;)
        pause();
}

static struct child holder(bool writes)
{
    struct child child = child_start(hold, writes ? board : NULL);

    hear(child.socket);
    return child;
}

static void slay(struct child *child)
{
    CHECK_SYS(kill(child->pid, SIGKILL));
    CHECK_EQ(child_end(child), 128 + SIGKILL);
}

static void readers_and_writers_die(void)
{
    struct child child;
    shm_party *party;

    set_up();
    party = join();
    child = holder(false);
    CODE(0, shm_rwlock_tryread(party, &board->lock));
    CODE(0, shm_rwlock_unlock(party, &board->lock));
    CODE(-EPERM, shm_rwlock_unlock(party, &board->lock));
    CODE(-EBUSY, shm_rwlock_trywrite(party, &board->lock));
    CODE(-ETIMEDOUT, shm_rwlock_write_until(party, &board->lock, shmkit_deadline_in_ms(1)));
    slay(&child);
    CODE(0, shm_rwlock_write(party, &board->lock));
    CODE(0, shm_rwlock_unlock(party, &board->lock));

    for (int reads = 0; reads < 2; reads++) {
        child = holder(true);
        CODE(-EBUSY, shm_rwlock_tryread(party, &board->lock));
        CODE(-ETIMEDOUT, shm_rwlock_read_until(party, &board->lock, shmkit_deadline_in_ms(1)));
        CODE(-EPERM, shm_rwlock_unlock(party, &board->lock));
        CODE(-EPERM, shm_rwlock_consistent(party, &board->lock));
        slay(&child);
        CODE(SHMKIT_OWNER_DIED, reads ? shm_rwlock_read(party, &board->lock) : shm_rwlock_write(party, &board->lock));
        CODE(-EDEADLK, shm_rwlock_read(party, &board->lock));
        CODE(0, shm_rwlock_consistent(party, &board->lock));
        CODE(-EINVAL, shm_rwlock_consistent(party, &board->lock));
        CODE(0, shm_rwlock_unlock(party, &board->lock));
        CODE(-EPERM, shm_rwlock_unlock(party, &board->lock));
    }

    child = holder(true);
    slay(&child);
    CODE(SHMKIT_OWNER_DIED, shm_rwlock_tryread(party, &board->lock));
    CODE(0, shm_rwlock_unlock(party, &board->lock));
    CODE(-ENOTRECOVERABLE, shm_rwlock_read(party, &board->lock));
    CODE(-ENOTRECOVERABLE, shm_rwlock_tryread(party, &board->lock));
    CODE(-ENOTRECOVERABLE, shm_rwlock_write_until(party, &board->lock, 0));
    CODE(-ENOTRECOVERABLE, shm_rwlock_trywrite(party, &board->lock));
    CODE(-EPERM, shm_rwlock_unlock(party, &board->lock));
    tear_down(party);
}

static void meet(int socket, void *dies)
{
    shm_party *party = join();

    CHECK(shm_barrier_init(party, &board->barrier, 3, &error) >= 0);
    tell(socket, 1);
    if (dies)
        for (;;)
            pause();
    CODE(SHMKIT_E_PEER_DIED, shm_barrier_wait(party, &board->barrier));
    CHECK(shm_barrier_wait(party, &board->barrier) >= 0);
    CODE(0, shm_party_leave(party)); /* to end without would be to die */
}

static void meet_again(int socket, void *argument UNUSED)
{
    shm_party *party = join();

    CHECK(shm_barrier_init(party, &board->barrier, 3, &error) >= 0);
    tell(socket, 1);
    CHECK(shm_barrier_wait(party, &board->barrier) >= 0);
    CODE(0, shm_party_leave(party)); /* to end without would be to die */
}

static void members_die(void)
{
    struct child waits, dies, comes;
    shm_party *party;

    set_up();
    party = join();
    GIVES(1, shm_barrier_init(party, &board->barrier, 3, &error));
    waits = child_start(meet, NULL);
    dies = child_start(meet, board);
    hear(waits.socket);
    hear(dies.socket);
    slay(&dies);
    CODE(SHMKIT_E_PEER_DIED, shm_barrier_wait(party, &board->barrier));
    comes = child_start(meet_again, NULL);
    CHECK(shm_barrier_wait(party, &board->barrier) >= 0);
    CHECK_EQ(child_end(&waits), 0);
    CHECK_EQ(child_end(&comes), 0);
    CODE(-ETIMEDOUT, shm_barrier_wait_until(party, &board->barrier, shmkit_deadline_in_ms(1)));
    tear_down(party);
}

/* Calls when the watch's descriptor is readable. */
static int by_watch(shm_party *party, shm_watch *own)
{
    struct pollfd wait = {.fd = shm_watch_fd(own), .events = POLLIN};
    int code;

    while ((code = shm_barrier_wait_watch(party, &board->barrier, own)) == -EAGAIN)
        CHECK_SYS(poll(&wait, 1, -1));
    return code;
}

static void members_meet_by_watches(void)
{
    struct child comes, dies;
    shm_watch *other;
    shm_party *party;

    set_up();
    party = join();
    GIVES(1, shm_barrier_init(party, &board->barrier, 3, &error));
    OK(shm_watch_open(&watch, &error));
    OK(shm_watch_open(&other, &error));
    comes = child_start(meet_again, NULL);
    hear(comes.socket);
    CODE(-EAGAIN, shm_barrier_wait_watch(party, &board->barrier, other));
    CHECK(by_watch(party, watch) >= 0);
    CHECK_EQ(child_end(&comes), 0);
    CHECK(by_watch(party, other) >= 0);

    dies = child_start(meet, board);
    hear(dies.socket);
    CODE(-EAGAIN, shm_barrier_wait_watch(party, &board->barrier, other));
    CODE(-EAGAIN, shm_barrier_wait_watch(party, &board->barrier, watch));
    slay(&dies);
    CODE(SHMKIT_E_PEER_DIED, by_watch(party, watch));
    CODE(SHMKIT_E_PEER_DIED, shm_barrier_cancel_watch(party, &board->barrier, other));
    CODE(-ETIMEDOUT, shm_barrier_wait_until(party, &board->barrier, 0));
    CODE(0, shm_watch_close(other));
    CODE(0, shm_watch_close(watch));
    tear_down(party);
}

static void in_child(int socket UNUSED, void *party)
{
    CODE(-EPERM, shm_rwlock_unlock(party, &board->lock));
    CODE(-EBUSY, shm_rwlock_trywrite(party, &board->lock));
    CODE(-EPERM, shm_rwlock_unlock(party, &board->lock));
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

static void a_child_has_nothing(void)
{
    shm_party *party;

    set_up();
    party = join();
    CODE(0, shm_rwlock_read(party, &board->lock));
    IN_CHILD(in_child, party);
    CODE(0, shm_rwlock_unlock(party, &board->lock));
    CODE(0, shm_rwlock_write(party, &board->lock));
    IN_CHILD(in_child, party);
    CODE(0, shm_rwlock_unlock(party, &board->lock));
    tear_down(party);
}

/* The stack of the first keeper stays with the C library, for the next thread. */
static void warm_up(void)
{
    shm_watch *kept;

    set_up();
    OK(shm_watch_open(&kept, &error));
    tear_down(join());
    CODE(0, shm_watch_close(kept));
}

static void balanced(int socket UNUSED, void *argument UNUSED)
{
    warm_up();
    RUN(bad_locks);
    RUN(bad_barriers);
    RUN(no_cell_left);
    RUN(readers_and_writers_die);
    RUN(members_die);
    RUN(members_meet_by_watches);
    RUN(a_child_has_nothing);
}

static void test(void)
{
    IN_CHILD(balanced, NULL);
}
