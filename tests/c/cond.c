/* Goal: conditions, semaphores and what is done once serve several processes, outlive those that are killed, and
 * refuse wrong arguments. */
#include "test.h"

#include <poll.h>

struct board {
    shm_party_table parties;
    shm_mutex lock;
    shm_cond changed;
    shm_semaphore plain, tracked;
    shm_once once;
    uint64_t zeros[8];
    uint64_t count;
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
    CHECK(shm_mutex_init(party, &board->lock, &error) >= 0);
    CHECK(shm_cond_init(party, &board->changed, &error) >= 0);
    CHECK(shm_semaphore_init(party, &board->plain, 0, 0, &error) >= 0);
    CHECK(shm_semaphore_init(party, &board->tracked, 1, SHMKIT_SEMAPHORE_TRACKED, &error) >= 0);
    CHECK(shm_once_init(party, &board->once, &error) >= 0);
    return party;
}

static void tear_down(shm_party *party)
{
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

/* ---- Arguments ------------------------------------------------------------------------------ */

static uint64_t outside[8];

static void bad_conditions(void)
{
    shm_party *party;
    shm_watch *watch = NULL;
    shm_cond *cond, *bad[] = {NULL, (shm_cond *)outside, (shm_cond *)UINTPTR_MAX, (shm_cond *)-8};

    set_up();
    party = join();
    cond = &board->changed;
    OK(shm_watch_open(&watch, &error));
    CODE(0, shm_mutex_lock(party, &board->lock));
    for (size_t at = 0; at < COUNT(bad); at++) {
        REFUSED(-EINVAL, "condition", shm_cond_init(party, bad[at], &error));
        CODE(-EINVAL, shm_cond_wait(party, bad[at], &board->lock));
        CODE(-EINVAL, shm_cond_wait_until(party, bad[at], &board->lock, 0));
        CODE(-EINVAL, shm_cond_signal(party, bad[at]));
        CODE(-EINVAL, shm_cond_broadcast(party, bad[at]));
        CODE(-EINVAL, shm_cond_wait(party, cond, (shm_mutex *)bad[at]));
        CODE(-EINVAL, shm_cond_wait_watch(party, bad[at], &board->lock, watch));
        CODE(-EINVAL, shm_cond_wait_watch(party, cond, (shm_mutex *)bad[at], watch));
    }
    REFUSED(-EINVAL, "NULL", shm_cond_init(NULL, cond, &error));
    CODE(-EINVAL, shm_cond_wait(NULL, cond, &board->lock));
    CODE(-EINVAL, shm_cond_wait_until(NULL, cond, &board->lock, 0));
    CODE(-EINVAL, shm_cond_signal(NULL, cond));
    CODE(-EINVAL, shm_cond_broadcast(NULL, cond));
    CODE(-EINVAL, shm_cond_wait(party, (shm_cond *)board->zeros, &board->lock));
    CODE(-EINVAL, shm_cond_signal(party, (shm_cond *)board->zeros));
    CODE(-EINVAL, shm_cond_broadcast(party, (shm_cond *)board->zeros));
    CODE(-EINVAL, shm_cond_wait(party, cond, (shm_mutex *)board->zeros));
    CODE(-EINVAL, shm_cond_wait_watch(party, (shm_cond *)board->zeros, &board->lock, watch));
    CODE(-EINVAL, shm_cond_wait_watch(NULL, cond, &board->lock, watch));
    CODE(-EINVAL, shm_cond_wait_watch(party, cond, &board->lock, NULL));
    memset(board->zeros, 0xff, sizeof board->zeros);
    REFUSED(-EINVAL, "magic", shm_cond_init(party, (shm_cond *)board->zeros, &error));
    CODE(-EINVAL, shm_cond_signal(party, (shm_cond *)board->zeros));
    REFUSED(-EINVAL, "magic", shm_cond_init(party, (shm_cond *)&board->lock, &error));

    CODE(-EINVAL, shm_cond_wait_until(party, cond, &board->lock, -1));
    CODE(-EINVAL, shm_cond_wait_until(party, cond, &board->lock, INT64_MIN));
    CODE(-ETIMEDOUT, shm_cond_wait_until(party, cond, &board->lock, 0));
    CODE(-ETIMEDOUT, shm_cond_wait_until(party, cond, &board->lock, shmkit_deadline_in_ms(1)));
    CODE(0, shm_cond_signal(party, cond));
    CODE(0, shm_cond_broadcast(party, cond));
    CODE(0, shm_mutex_unlock(party, &board->lock));
    CODE(-EPERM, shm_cond_wait(party, cond, &board->lock));
    CODE(-EPERM, shm_cond_wait_until(party, cond, &board->lock, INT64_MAX));
    /* From here on: what a watch that gives up passes on can end a wait without a signal. */
    memset(board->zeros, 0, sizeof board->zeros);
    CODE(-EINVAL, shm_cond_wait_watch(party, cond, (shm_mutex *)board->zeros, watch));
    CODE(-EPERM, shm_cond_wait_watch(party, cond, &board->lock, watch));
    CODE(0, shm_mutex_lock(party, &board->lock));
    CODE(-EAGAIN, shm_cond_wait_watch(party, cond, &board->lock, watch));
    CODE(-EBUSY, shm_party_leave(party));
    CODE(-EAGAIN, shm_cond_wait_watch(party, cond, &board->lock, watch));
    CODE(0, shm_cond_signal(party, cond));
    CODE(0, shm_cond_wait_watch(party, cond, &board->lock, watch));
    CODE(-EAGAIN, shm_cond_wait_watch(party, cond, &board->lock, watch));
    CODE(0, shm_watch_cancel(watch));
    CODE(-EPERM, shm_mutex_unlock(party, &board->lock));
    CODE(0, shm_watch_close(watch));
    tear_down(party);
}

static void bad_semaphores(void)
{
    shm_party *party;
    shm_watch *watch = NULL;
    shm_semaphore *plain, *tracked, *zeros, *bad[] = {NULL, (shm_semaphore *)outside, (shm_semaphore *)UINTPTR_MAX,
                                                      (shm_semaphore *)-8};

    set_up();
    OK(shm_watch_open(&watch, &error));
    party = join();
    plain = &board->plain;
    tracked = &board->tracked;
    zeros = (shm_semaphore *)board->zeros;
    for (size_t at = 0; at < COUNT(bad); at++) {
        REFUSED(-EINVAL, "semaphore", shm_semaphore_init(party, bad[at], 1, 0, &error));
        CODE(-EINVAL, shm_semaphore_wait(party, bad[at]));
        CODE(-EINVAL, shm_semaphore_wait_until(party, bad[at], 0));
        CODE(-EINVAL, shm_semaphore_wait_watch(party, bad[at], watch));
        CODE(-EINVAL, shm_semaphore_trywait(party, bad[at]));
        CODE(-EINVAL, shm_semaphore_post(party, bad[at]));
        CODE(-EINVAL, shm_semaphore_value(party, bad[at]));
    }
    REFUSED(-EINVAL, "NULL", shm_semaphore_init(NULL, plain, 1, 0, &error));
    CODE(-EINVAL, shm_semaphore_wait(NULL, plain));
    CODE(-EINVAL, shm_semaphore_wait_watch(NULL, plain, watch));
    CODE(-EINVAL, shm_semaphore_wait_watch(party, plain, NULL));
    CODE(-EINVAL, shm_semaphore_wait_watch(party, zeros, watch));
    CODE(-EAGAIN, shm_semaphore_wait_watch(party, plain, watch));
    CODE(0, shm_semaphore_wait_watch(party, tracked, watch));
    CODE(-EAGAIN, shm_semaphore_wait_watch(party, tracked, watch));
    CODE(0, shm_watch_cancel(watch));
    CODE(0, shm_semaphore_post(party, tracked));
    CODE(-EINVAL, shm_semaphore_wait_until(NULL, plain, 0));
    CODE(-EINVAL, shm_semaphore_trywait(NULL, plain));
    CODE(-EINVAL, shm_semaphore_post(NULL, plain));
    CODE(-EINVAL, shm_semaphore_value(NULL, plain));
    CODE(-EINVAL, shm_semaphore_wait(party, zeros));
    CODE(-EINVAL, shm_semaphore_trywait(party, zeros));
    CODE(-EINVAL, shm_semaphore_post(party, zeros));
    CODE(-EINVAL, shm_semaphore_value(party, zeros));
    REFUSED(-EINVAL, "0x2", shm_semaphore_init(party, zeros, 1, 2, &error));
    REFUSED(-EINVAL, "2147483648", shm_semaphore_init(party, zeros, 1u << 31, 0, &error));
    REFUSED(-EINVAL, "0 units", shm_semaphore_init(party, zeros, 0, SHMKIT_SEMAPHORE_TRACKED, &error));
    REFUSED(-EINVAL, "magic", shm_semaphore_init(party, tracked, 1, 0, &error));
    REFUSED(-EINVAL, "magic", shm_semaphore_init(party, plain, 1, SHMKIT_SEMAPHORE_TRACKED, &error));
    memset(zeros, 0xff, sizeof *zeros);
    REFUSED(-EINVAL, "magic", shm_semaphore_init(party, zeros, 1, 0, &error));
    CODE(-EINVAL, shm_semaphore_wait(party, zeros));
    CODE(-EINVAL, shm_semaphore_post(party, zeros));

    GIVES(0, shm_semaphore_init(party, plain, 7, 0, &error));
    CODE(0, shm_semaphore_value(party, plain));
    CODE(-EAGAIN, shm_semaphore_trywait(party, plain));
    CODE(-EINVAL, shm_semaphore_wait_until(party, plain, -1));
    CODE(-ETIMEDOUT, shm_semaphore_wait_until(party, plain, 0));
    CODE(-ETIMEDOUT, shm_semaphore_wait_until(party, plain, shmkit_deadline_in_ms(1)));
    CODE(0, shm_semaphore_post(party, plain));
    CODE(1, shm_semaphore_value(party, plain));
    CODE(-EINVAL, shm_semaphore_wait_until(party, plain, INT64_MIN));
    CODE(0, shm_semaphore_wait(party, plain));
    CODE(0, shm_semaphore_post(party, plain));
    CODE(0, shm_semaphore_wait_until(party, plain, 0));
    memset(zeros, 0, sizeof *zeros);
    GIVES(1, shm_semaphore_init(party, zeros, INT32_MAX, 0, &error));
    CODE(-EOVERFLOW, shm_semaphore_post(party, zeros));
    CODE(INT32_MAX, shm_semaphore_value(party, zeros));

    CODE(-EPERM, shm_semaphore_post(party, tracked));
    CODE(0, shm_semaphore_wait_until(party, tracked, 0));
    CODE(-EBUSY, shm_party_leave(party));
    CODE(0, shm_semaphore_value(party, tracked));
    CODE(-EAGAIN, shm_semaphore_trywait(party, tracked));
    CODE(-ETIMEDOUT, shm_semaphore_wait_until(party, tracked, shmkit_deadline_in_ms(1)));
    CODE(0, shm_semaphore_post(party, tracked));
    CODE(-EPERM, shm_semaphore_post(party, tracked));
    CODE(1, shm_semaphore_value(party, tracked));
    CODE(0, shm_watch_close(watch));
    tear_down(party);
}

static void bad_onces(void)
{
    shm_party *party;
    shm_once *once, *bad[] = {NULL, (shm_once *)outside, (shm_once *)UINTPTR_MAX, (shm_once *)-8};

    set_up();
    party = join();
    once = &board->once;
    for (size_t at = 0; at < COUNT(bad); at++) {
        REFUSED(-EINVAL, "once", shm_once_init(party, bad[at], &error));
        CODE(-EINVAL, shm_once_begin(party, bad[at]));
        CODE(-EINVAL, shm_once_begin_until(party, bad[at], 0));
        CODE(-EINVAL, shm_once_end(party, bad[at], 1));
    }
    REFUSED(-EINVAL, "NULL", shm_once_init(NULL, once, &error));
    CODE(-EINVAL, shm_once_begin_watch(NULL, &board->once, NULL));
    CODE(-EINVAL, shm_once_begin_watch(party, NULL, NULL));
    CODE(-EINVAL, shm_once_begin_watch(party, &board->once, NULL));
    CODE(-EINVAL, shm_once_begin(NULL, once));
    CODE(-EINVAL, shm_once_begin_until(NULL, once, 0));
    CODE(-EINVAL, shm_once_end(NULL, once, 1));
    CODE(-EINVAL, shm_once_begin(party, (shm_once *)board->zeros));
    CODE(-EINVAL, shm_once_end(party, (shm_once *)board->zeros, 1));
    memset(board->zeros, 0xff, sizeof board->zeros);
    REFUSED(-EINVAL, "magic", shm_once_init(party, (shm_once *)board->zeros, &error));
    CODE(-EINVAL, shm_once_begin(party, (shm_once *)board->zeros));

    GIVES(0, shm_once_init(party, once, &error));
    CODE(-EINVAL, shm_once_begin_until(party, once, -1));
    CODE(-EPERM, shm_once_end(party, once, 1));
    CODE(SHMKIT_ONCE_RUN, shm_once_begin(party, once));
    CODE(-EDEADLK, shm_once_begin(party, once));
    CODE(-EBUSY, shm_party_leave(party));
    CODE(0, shm_once_end(party, once, 0));
    CODE(SHMKIT_ONCE_RUN, shm_once_begin_until(party, once, 0));
    CODE(0, shm_once_end(party, once, -1));
    CODE(0, shm_once_begin(party, once));
    CODE(0, shm_once_begin_until(party, once, INT64_MAX));
    CODE(-EPERM, shm_once_end(party, once, 1));
    tear_down(party);
}

/* ---- Deaths --------------------------------------------------------------------------------- */

static void serve(int socket, void *argument UNUSED)
{
    shm_party *party = join();

    tell(socket, 1);
    for (;;) {
        CODE(0, shm_semaphore_wait(party, &board->plain));
        CODE(0, shm_mutex_lock(party, &board->lock));
        board->count++;
        CODE(0, shm_cond_signal(party, &board->changed));
        CODE(0, shm_mutex_unlock(party, &board->lock));
    }
}

static void a_condition_and_a_semaphore(void)
{
    struct child child;
    shm_party *party;
    int code;

    set_up();
    child = child_start(serve, NULL);
    hear(child.socket);
    party = join();
    CODE(0, shm_mutex_lock(party, &board->lock));
    for (uint64_t round = 1; round <= 1000; round++) {
        CODE(0, shm_semaphore_post(party, &board->plain));
        while (board->count < round)
            CODE(0, shm_cond_wait(party, &board->changed, &board->lock));
    }
    CODE(0, shm_mutex_unlock(party, &board->lock));
    CHECK_SYS(kill(child.pid, SIGKILL));
    CHECK_EQ(child_end(&child), 128 + SIGKILL);
    code = shm_mutex_lock(party, &board->lock);
    if (code == SHMKIT_OWNER_DIED)
        code = shm_mutex_consistent(party, &board->lock);
    CHECK_EQ(code, 0);
    CODE(0, shm_mutex_unlock(party, &board->lock));
    tear_down(party);
}

/* The same, for a program that waits by descriptors. */
static void a_condition_by_a_watch(void)
{
    struct child child;
    shm_party *party;
    shm_watch *watch;
    struct pollfd wait = {.events = POLLIN};
    int code = 0;

    set_up();
    child = child_start(serve, NULL);
    hear(child.socket);
    party = join();
    OK(shm_watch_open(&watch, &error));
    wait.fd = shm_watch_fd(watch);
    CODE(0, shm_mutex_lock(party, &board->lock));
    for (uint64_t round = 1; round <= 1000; round++) {
        CODE(0, shm_semaphore_post(party, &board->plain));
        while (board->count < round) {
            while ((code = shm_cond_wait_watch(party, &board->changed, &board->lock, watch)) == -EAGAIN)
                CHECK_SYS(poll(&wait, 1, -1));
            CHECK_EQ(code, 0);
        }
    }
    CODE(-EAGAIN, shm_cond_wait_watch(party, &board->changed, &board->lock, watch));
    CHECK_SYS(kill(child.pid, SIGKILL));
    CHECK_EQ(child_end(&child), 128 + SIGKILL);
    /* Its death ends the wait. */
    while ((code = shm_cond_wait_watch(party, &board->changed, &board->lock, watch)) == -EAGAIN)
        CHECK_SYS(poll(&wait, 1, -1));
    CHECK(code >= 0);
    CODE(0, shm_mutex_unlock(party, &board->lock));
    CODE(0, shm_watch_close(watch));
    tear_down(party);
}

static void begin_and_take(int socket, void *argument UNUSED)
{
    shm_party *party = join();

    CODE(0, shm_semaphore_wait(party, &board->tracked));
    CODE(SHMKIT_ONCE_RUN, shm_once_begin(party, &board->once));
    tell(socket, 1);
    for (;;)
        pause();
}

static void in_child(int socket UNUSED, void *party)
{
    CODE(-EPERM, shm_semaphore_post(party, &board->tracked));
    CODE(-EPERM, shm_once_end(party, &board->once, 1));
    CODE(-ETIMEDOUT, shm_once_begin_until(party, &board->once, 0));
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

static void what_a_dead_process_had(void)
{
    struct child child;
    shm_party *party;

    set_up();
    child = child_start(begin_and_take, NULL);
    hear(child.socket);
    party = join();
    CODE(-EAGAIN, shm_semaphore_trywait(party, &board->tracked));
    CODE(-ETIMEDOUT, shm_once_begin_until(party, &board->once, 0));
    CHECK_SYS(kill(child.pid, SIGKILL));
    CODE(0, shm_semaphore_wait(party, &board->tracked));
    CODE(SHMKIT_OWNER_DIED, shm_once_begin(party, &board->once));
    CHECK_EQ(child_end(&child), 128 + SIGKILL);
    IN_CHILD(in_child, party);
    CODE(0, shm_once_end(party, &board->once, 1));
    CODE(0, shm_semaphore_post(party, &board->tracked));
    CODE(0, shm_once_begin(party, &board->once));
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
    RUN(bad_conditions);
    RUN(bad_semaphores);
    RUN(bad_onces);
    RUN(a_condition_and_a_semaphore);
    RUN(a_condition_by_a_watch);
    RUN(what_a_dead_process_had);
}

static void test(void)
{
    IN_CHILD(balanced, NULL);
}
