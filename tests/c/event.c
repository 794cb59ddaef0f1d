/* Goal: events let processes pass, a watch tells by its descriptor when to try again, a name is one lock for all;
 * wrong arguments are errors. */
#include "test.h"

#include <poll.h>
#include <sys/epoll.h>

struct board {
    shm_party_table parties;
    shm_event manual, automatic;
    shm_mutex lock;
    uint32_t word;
};

static shm_region *memory;
static struct board *board;
static shm_party *party;
static shm_watch *watch;

static bool readable(int ms);

static void set_up(void)
{
    OK(shm_region_create("board", sizeof(struct board), NULL, &memory, &error));
    board = shm_region_data(memory);
    OK(shm_party_join(memory, offsetof(struct board, parties), NULL, &party, &error));
    GIVES(1, shm_event_init(party, &board->manual, 0, &error));
    GIVES(1, shm_event_init(party, &board->automatic, SHMKIT_EVENT_AUTO_RESET, &error));
    GIVES(1, shm_mutex_init(party, &board->lock, &error));
    OK(shm_watch_open(&watch, &error));
}

static void tear_down(void)
{
    CODE(0, shm_watch_close(watch));
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
}

static bool readable(int ms)
{
    struct pollfd wait = {.fd = shm_watch_fd(watch), .events = POLLIN};

    return poll(&wait, 1, ms) == 1;
}

/* ---- Arguments ------------------------------------------------------------------------------ */

static void bad_events(void)
{
    shm_event outside = {{0}}, *const bad[] = {NULL, &outside, (shm_event *)UINTPTR_MAX, (shm_event *)-8};

    set_up();
    for (size_t at = 0; at < COUNT(bad); at++) {
        REFUSED(-EINVAL, "event", shm_event_init(party, bad[at], 0, &error));
        CODE(-EINVAL, shm_event_set(party, bad[at]));
        CODE(-EINVAL, shm_event_reset(party, bad[at]));
        CODE(-EINVAL, shm_event_is_set(party, bad[at]));
        CODE(-EINVAL, shm_event_wait(party, bad[at]));
        CODE(-EINVAL, shm_event_wait_until(party, bad[at], 0));
        CODE(-EINVAL, shm_event_wait_watch(party, bad[at], watch));
    }
    REFUSED(-EINVAL, "NULL", shm_event_init(NULL, &board->manual, 0, &error));
    REFUSED(-EINVAL, "0x2", shm_event_init(party, &board->manual, 2, &error));
    REFUSED(-EINVAL, "magic", shm_event_init(party, &board->automatic, 0, &error));
    REFUSED(-EINVAL, "magic", shm_event_init(party, (shm_event *)&board->lock, 0, &error));
    GIVES(0, shm_event_init(party, &board->manual, 0, &error));
    CODE(-EINVAL, shm_event_set(NULL, &board->manual));
    CODE(-EINVAL, shm_event_set(party, (shm_event *)&board->lock));
    CODE(-EINVAL, shm_event_wait_until(party, &board->manual, -1));
    CODE(-ETIMEDOUT, shm_event_wait_until(party, &board->manual, 0));
    CODE(-ETIMEDOUT, shm_event_wait_until(party, &board->automatic, shmkit_deadline_in_ms(1)));
    tear_down();
}

static void bad_watches(void)
{
    uint32_t stray = 0;

    set_up();
    REFUSED(-EINVAL, "NULL", shm_watch_open(NULL, &error));
    CODE(-EINVAL, shm_watch_open(NULL, NULL));
    CODE(-EINVAL, shm_watch_fd(NULL));
    CODE(-EINVAL, shm_watch_cancel(NULL));
    CODE(0, shm_watch_close(NULL));
    CODE(-EINVAL, shm_watch_word(NULL, &board->word, 0, watch));
    CODE(-EINVAL, shm_watch_word(party, NULL, 0, watch));
    CODE(-EINVAL, shm_watch_word(party, &stray, 0, watch));
    CODE(-EINVAL, shm_watch_word(party, (uint32_t *)((char *)&board->word + 1), 0, watch));
    CODE(-EINVAL, shm_watch_word(party, (uint32_t *)UINTPTR_MAX, 0, watch));
    CODE(-EINVAL, shm_watch_word(party, &board->word, 0, NULL));
    CODE(-EINVAL, shm_event_wait_watch(party, &board->manual, NULL));
    CODE(-EINVAL, shm_mutex_lock_watch(party, &board->lock, NULL));
    CODE(-EINVAL, shm_mutex_lock_watch(party, NULL, watch));
    CODE(-EINVAL, shm_mutex_lock_watch(NULL, &board->lock, watch));
    CODE(0, shm_watch_cancel(watch));
    CODE(0, shm_watch_cancel(watch));
    tear_down();
}

#define NAMED_OPTIONS(...) (&(shm_named_options){.size = sizeof(shm_named_options), __VA_ARGS__})

/* What each opens is its object, and no other kind's. */
static void other_kinds(const char *name)
{
    shm_party *joined = NULL;
    shm_rwlock *rwlock = NULL;
    shm_semaphore *semaphore = NULL;
    shm_once *once = NULL;

    REFUSED(-EINVAL, "NULL", shm_rwlock_open(NULL, NULL, &joined, &rwlock, &error));
    REFUSED(-EINVAL, "NULL", shm_once_open(name, NULL, &joined, NULL, &error));
    REFUSED(-EINVAL, "NULL", shm_semaphore_open(name, 1, 0, NULL, NULL, &semaphore, &error));
    OK(shm_rwlock_open(name, NULL, &joined, &rwlock, &error));
    CODE(0, shm_rwlock_read(joined, rwlock));
    CODE(0, shm_rwlock_unlock(joined, rwlock));
    CODE(0, shm_party_leave(joined));
    REFUSED(-EINVAL, "magic", shm_once_open(name, NULL, &joined, &once, &error));
    OK(shm_named_unlink(name, &error));
    OK(shm_semaphore_open(name, 3, 0, NULL, &joined, &semaphore, &error));
    CODE(3, shm_semaphore_value(joined, semaphore));
    CODE(0, shm_party_leave(joined));
    OK(shm_named_unlink(name, &error));
    REFUSED(-EINVAL, "0x80", shm_semaphore_open(name, 3, 0x80, NULL, &joined, &semaphore, &error));
    OK(shm_named_unlink(name, &error));
    OK(shm_once_open(name, NULL, &joined, &once, &error));
    CODE(SHMKIT_ONCE_RUN, shm_once_begin(joined, once));
    CODE(0, shm_once_end(joined, once, 1));
    CODE(0, shm_party_leave(joined));
    OK(shm_named_unlink(name, &error));
}

static void bad_names(void)
{
    char name[64], longer[257];
    shm_party *none = NULL;
    shm_mutex *mutex = NULL;
    shm_event *event = NULL;

    snprintf(name, sizeof name, "shmkit test %d", test_pid);
    memset(longer, 'n', 256);
    longer[256] = 0;
    REFUSED(-EINVAL, "NULL", shm_mutex_open(NULL, NULL, &none, &mutex, &error));
    REFUSED(-EINVAL, "NULL", shm_mutex_open(name, NULL, NULL, &mutex, &error));
    REFUSED(-EINVAL, "NULL", shm_mutex_open(name, NULL, &none, NULL, &error));
    CODE(-EINVAL, shm_mutex_open(NULL, NULL, NULL, NULL, NULL));
    REFUSED(-EINVAL, "empty", shm_mutex_open("", NULL, &none, &mutex, &error));
    REFUSED(-ENAMETOOLONG, "255", shm_mutex_open(longer, NULL, &none, &mutex, &error));
    REFUSED(-EINVAL, "sizeof", shm_mutex_open(name, &(shm_named_options){0}, &none, &mutex, &error));
    REFUSED(-EINVAL, "0x80", shm_mutex_open(name, NAMED_OPTIONS(.flags = 0x80), &none, &mutex, &error));
    REFUSED(-EINVAL, "mode", shm_mutex_open(name, NAMED_OPTIONS(.mode = 01000), &none, &mutex, &error));
    REFUSED(-EINVAL, "4096", shm_mutex_open(name, NAMED_OPTIONS(.slots = UINT32_MAX), &none, &mutex, &error));
    REFUSED(-ENOENT, "no", shm_mutex_open(name, NAMED_OPTIONS(.flags = SHMKIT_NAMED_FIND), &none, &mutex, &error));
    REFUSED(-ENOENT, name, shm_named_unlink(name, &error));
    REFUSED(-EINVAL, "NULL", shm_named_unlink(NULL, &error));
    CHECK(!none && !mutex);
    OK(shm_mutex_open(name, NULL, &none, &mutex, &error));
    CODE(0, shm_party_leave(none));
    none = NULL;
    REFUSED(-EINVAL, "magic", shm_event_open(name, 0, NULL, &none, &event, &error));
    CHECK(!none && !event);
    OK(shm_named_unlink(name, &error));
    other_kinds(name);
    REFUSED(-EINVAL, "0x2", shm_event_open(name, 2, NULL, &none, &event, &error));
    OK(shm_named_unlink(name, &error));
}

/* ---- Use ------------------------------------------------------------------------------------ */

static void set_both(int socket, void *argument UNUSED)
{
    hear(socket);
    CODE(0, shm_event_set(party, &board->manual));
    hear(socket);
    CODE(0, shm_event_set(party, &board->automatic));
    CODE(0, shm_party_leave(party));
    CLOSE(memory);
    CODE(-EPERM, shm_watch_cancel(watch));
    CODE(0, shm_watch_close(watch));
}

static void events_and_epoll(void)
{
    struct epoll_event got, want = {.events = EPOLLIN | EPOLLET};
    struct child child;
    int epoll;

    set_up();
    child = child_start(set_both, NULL);
    CHECK_SYS(epoll = epoll_create1(EPOLL_CLOEXEC));
    CHECK_SYS(epoll_ctl(epoll, EPOLL_CTL_ADD, shm_watch_fd(watch), &want));
    CODE(-EAGAIN, shm_event_wait_watch(party, &board->manual, watch));
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 0);
    CODE(-EBUSY, shm_party_leave(party));
    tell(child.socket, 1);
    CHECK_EQ(epoll_wait(epoll, &got, 1, -1), 1);
    CODE(0, shm_event_wait_watch(party, &board->manual, watch));
    CODE(1, shm_event_is_set(party, &board->manual));
    CODE(0, shm_event_wait(party, &board->manual));
    CODE(1, shm_event_reset(party, &board->manual));
    CODE(0, shm_event_reset(party, &board->manual));
    CODE(0, shm_event_is_set(party, &board->manual));

    CODE(-EAGAIN, shm_event_wait_watch(party, &board->automatic, watch));
    CHECK_EQ(epoll_wait(epoll, &got, 1, 0), 0);
    tell(child.socket, 1);
    CHECK_EQ(epoll_wait(epoll, &got, 1, -1), 1);
    CODE(0, shm_event_wait_watch(party, &board->automatic, watch));
    CODE(0, shm_event_is_set(party, &board->automatic));
    CHECK_EQ(child_end(&child), 0);
    CHECK_SYS(close(epoll));
    tear_down();
}

static void hold(int socket, void *argument UNUSED)
{
    CODE(0, shm_mutex_lock(party, &board->lock));
    tell(socket, 1);
    for (;;)
        pause();
}

static void a_death_is_told_by_the_descriptor(void)
{
    struct child child;
    int code;

    set_up();
    child = child_start(hold, NULL);
    hear(child.socket);
    CODE(-EAGAIN, shm_mutex_lock_watch(party, &board->lock, watch));
    CHECK_SYS(kill(child.pid, SIGKILL));
    do
        CHECK(readable(-1));
    while ((code = shm_mutex_lock_watch(party, &board->lock, watch)) == -EAGAIN);
    CHECK_EQ(code, SHMKIT_OWNER_DIED);
    CHECK(!readable(0));
    CODE(0, shm_mutex_consistent(party, &board->lock));
    CODE(0, shm_mutex_unlock(party, &board->lock));
    CHECK_EQ(child_end(&child), 128 + SIGKILL);
    CODE(0, shm_watch_word(party, &board->word, 1, watch));
    CHECK(readable(0));
    CODE(0, shm_watch_word(party, &board->word, 0, watch));
    CHECK(!readable(0));
    tear_down();
}

static void hold_name(int socket, void *name)
{
    shm_party *own = NULL;
    shm_mutex *mutex = NULL;

    OK(shm_mutex_open(name, NULL, &own, &mutex, &error));
    CODE(0, shm_mutex_lock(own, mutex));
    tell(socket, 1);
    for (;;)
        pause();
}

static void a_name_is_one_lock(void)
{
    char name[64];
    struct child child;
    shm_party *own = NULL;
    shm_mutex *mutex = NULL;

    snprintf(name, sizeof name, "shmkit test %d", test_pid);
    child = child_start(hold_name, name);
    hear(child.socket);
    OK(shm_mutex_open(name, NAMED_OPTIONS(.flags = SHMKIT_NAMED_FIND), &own, &mutex, &error));
    CODE(-EBUSY, shm_mutex_trylock(own, mutex));
    CHECK_SYS(kill(child.pid, SIGKILL));
    CODE(SHMKIT_OWNER_DIED, shm_mutex_lock(own, mutex));
    CODE(-EBUSY, shm_party_leave(own));
    CODE(0, shm_mutex_consistent(own, mutex));
    CODE(0, shm_mutex_unlock(own, mutex));
    CHECK_EQ(child_end(&child), 128 + SIGKILL);
    CODE(0, shm_party_leave(own));
    OK(shm_named_unlink(name, &error));
}

/* Stacks of the first threads stay with the C library, for the next; and a page for watches. */
static void warm_up(void)
{
    set_up();
    tear_down();
}

static void balanced(int socket UNUSED, void *argument UNUSED)
{
    warm_up();
    RUN(bad_events);
    RUN(bad_watches);
    RUN(bad_names);
    RUN(events_and_epoll);
    RUN(a_death_is_told_by_the_descriptor);
    RUN(a_name_is_one_lock);
}

static void test(void)
{
    IN_CHILD(balanced, NULL);
}
