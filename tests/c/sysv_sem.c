/* Goal: System V semaphores follow the kernel's rules for keys, values, operations and rights; waits end as said. */
#include "test.h"

#define UNTOUCHED_ID 0x5a5a

static int id; /* the result of calls under REFUSED_ID */

/* The call, which would store an id in `id`, gives the code and a sentence with the word. */
#define REFUSED_ID(want, word, call)   \
    do {                               \
        id = UNTOUCHED_ID;             \
        REFUSED(want, word, call);     \
        CHECK_EQ(id, UNTOUCHED_ID);    \
    } while (0)

#define VALUES(...) ((uint16_t[]){__VA_ARGS__}), COUNT(((uint16_t[]){__VA_ARGS__}))
#define OPS(...) ((shm_sysv_sem_op[]){__VA_ARGS__}), COUNT(((shm_sysv_sem_op[]){__VA_ARGS__}))

static const char *hex(int32_t key)
{
    static char text[16];

    snprintf(text, sizeof text, "%#x", (unsigned)key);
    return text;
}

static shm_sysv_sem_info info_of(int set)
{
    shm_sysv_sem_info info;

    OK(shm_sysv_sem_stat(set, &info, sizeof info, &error));
    return info;
}

static shm_sysv_sem_state state_of(int set, uint32_t index)
{
    shm_sysv_sem_state state;

    OK(shm_sysv_sem_stat_one(set, index, &state, sizeof state, &error));
    return state;
}

/* Waits until so many wait for a semaphore to grow. */
static void await_waiters(int set, uint32_t index, uint32_t count)
{
    while (state_of(set, index).waiting != count)
        usleep(500);
}

/* ---- Keys and values ------------------------------------------------------------------------ */

static void keys(void)
{
    const int32_t key = test_key(1);
    int first, second;

    REFUSED_ID(-ENOENT, hex(key), shm_sysv_sem_open(key, 0, &id, &error));
    REFUSED_ID(-EINVAL, "at least 1", shm_sysv_sem_create(key, NULL, 0, 0, 0, &id, &error));
    OK(shm_sysv_sem_create(key, VALUES(3, 0, 32767), 0, 0, &first, &error));
    OK(shm_sysv_sem_open(key, 3, &second, &error));
    CHECK_EQ(first, second);
    CHECK_EQ(first, semget(key, 0, 0));
    CHECK_EQ(shm_sysv_sem_value(first, 0, &error), 3);
    CHECK_EQ(shm_sysv_sem_value(first, 2, &error), 32767);
    REFUSED_ID(-EEXIST, hex(key), shm_sysv_sem_create(key, VALUES(1), 0, 0, &id, &error));
    REFUSED_ID(-EINVAL, "3 semaphores", shm_sysv_sem_open(key, 4, &id, &error));
    REFUSED_ID(-EINVAL, "3 semaphores",
               shm_sysv_sem_create(key, VALUES(1, 1, 1, 1), SHMKIT_SEM_OR_OPEN, 0, &id, &error));
    GIVES(0, shm_sysv_sem_create(key, VALUES(9), SHMKIT_SEM_OR_OPEN, 0, &second, &error));
    CHECK_EQ(first, second);
    CHECK_EQ(shm_sysv_sem_value(first, 0, &error), 3);
    OK(shm_sysv_sem_remove(first, &error));
    GIVES(1, shm_sysv_sem_create(key, VALUES(9), SHMKIT_SEM_OR_OPEN, 0, &second, &error));
    CHECK(first != second);
    CHECK_EQ(shm_sysv_sem_value(second, 0, &error), 9);
    OK(shm_sysv_sem_remove(second, &error));

    REFUSED_ID(-EINVAL, "ftok", shm_sysv_sem_create(-1, VALUES(1), 0, 0, &id, &error));
    REFUSED_ID(-EINVAL, "ftok", shm_sysv_sem_open(-1, 0, &id, &error));
    REFUSED_ID(-EINVAL, "IPC_PRIVATE", shm_sysv_sem_open(0, 0, &id, &error));
    OK(shm_sysv_sem_create(0, NULL, 2, 0, 0, &first, &error));
    OK(shm_sysv_sem_create(0, NULL, 2, 0, 0, &second, &error));
    CHECK(first != second);
    CHECK_EQ(shm_sysv_sem_value(first, 1, &error), 0);
    OK(shm_sysv_sem_remove(first, &error));
    OK(shm_sysv_sem_remove(second, &error));
}

static void bad_arguments(void)
{
    const int32_t key = test_key(1);
    uint16_t values[3] = {7, 7, 7};
    shm_sysv_sem_info info;
    shm_sysv_sem_state state;
    int set;

    REFUSED(-EINVAL, "NULL", shm_sysv_sem_create(key, NULL, 1, 0, 0, NULL, &error));
    REFUSED_ID(-EINVAL, "0x1000", shm_sysv_sem_create(key, NULL, 1, SHMKIT_SEM_UNDO, 0, &id, &error));
    REFUSED_ID(-EINVAL, "0x80000000", shm_sysv_sem_create(key, NULL, 1, 0x80000000, 0, &id, &error));
    REFUSED_ID(-EINVAL, "0o1000", shm_sysv_sem_create(key, NULL, 1, 0, 01000, &id, &error));
    REFUSED_ID(-EINVAL, "semmsl", shm_sysv_sem_create(key, NULL, SIZE_MAX, 0, 0, &id, &error));
    REFUSED_ID(-ERANGE, "32768", shm_sysv_sem_create(key, VALUES(1, 32768), 0, 0, &id, &error));
    SAYS("32767");
    CHECK_EQ(semget(key, 0, 0), -1);

    OK(shm_sysv_sem_create(key, VALUES(1, 2, 3), 0, 0, &set, &error));
    REFUSED(-EINVAL, "NULL", shm_sysv_sem_open(key, 0, NULL, &error));
    REFUSED_ID(-EINVAL, "3 semaphores", shm_sysv_sem_open(key, SIZE_MAX, &id, &error));
    REFUSED(-EINVAL, "nothing to do", shm_sysv_sem_operate(set, NULL, 0, &error));
    REFUSED(-EINVAL, "NULL", shm_sysv_sem_operate(set, NULL, 1, &error));
    REFUSED(-EINVAL, "0x800", shm_sysv_sem_operate(set, OPS({0, -1, IPC_NOWAIT}), &error));
    REFUSED(-EINVAL, "negative", shm_sysv_sem_operate_until(set, OPS({0, -1, 0}), -1, &error));
    REFUSED(-EFBIG, "semaphore 3", shm_sysv_sem_try_operate(set, OPS({0, -1, 0}, {3, 1, 0}), &error));
    SAYS("3 semaphores");
    REFUSED(-ERANGE, "32767", shm_sysv_sem_try_operate(set, OPS({0, 32767, 0}), &error));
    REFUSED(-E2BIG, "at most", shm_sysv_sem_try_operate(set, (shm_sysv_sem_op[]){{0}}, SIZE_MAX, &error));
    CHECK_EQ(shm_sysv_sem_value(set, 0, &error), 1);

    REFUSED(-EINVAL, "3 semaphores", shm_sysv_sem_value(set, 3, &error));
    REFUSED(-EINVAL, "3 semaphores", shm_sysv_sem_value(set, UINT32_MAX, &error));
    REFUSED(-EINVAL, "3 semaphores", shm_sysv_sem_set_value(set, 3, 0, &error));
    REFUSED(-ERANGE, "32767", shm_sysv_sem_set_value(set, 0, 32768, &error));
    REFUSED(-ERANGE, "-1", shm_sysv_sem_set_value(set, 0, -1, &error));
    REFUSED(-EINVAL, "3 semaphores", shm_sysv_sem_values(set, values, 2, &error));
    REFUSED(-EINVAL, "3 semaphores", shm_sysv_sem_values(set, values, SIZE_MAX, &error));
    REFUSED(-EINVAL, "NULL", shm_sysv_sem_values(set, NULL, 3, &error));
    CHECK_EQ(values[0], 7);
    REFUSED(-EINVAL, "3 of them", shm_sysv_sem_set_values(set, VALUES(1, 1), &error));
    REFUSED(-EINVAL, "NULL", shm_sysv_sem_set_values(set, NULL, 3, &error));
    REFUSED(-ERANGE, "65535", shm_sysv_sem_set_values(set, VALUES(1, 1, 65535), &error));
    REFUSED(-EINVAL, "NULL", shm_sysv_sem_stat(set, NULL, sizeof info, &error));
    REFUSED(-EINVAL, "sizeof", shm_sysv_sem_stat(set, &info, 0, &error));
    REFUSED(-EINVAL, "NULL", shm_sysv_sem_stat_one(set, 0, NULL, sizeof state, &error));
    REFUSED(-EINVAL, "sizeof", shm_sysv_sem_stat_one(set, 0, &state, SIZE_MAX, &error));
    REFUSED(-EINVAL, "3 semaphores", shm_sysv_sem_stat_one(set, 3, &state, sizeof state, &error));
    REFUSED(-EINVAL, "0o1000", shm_sysv_sem_set_owner(set, 0, 0, 01000, &error));
    OK(shm_sysv_sem_remove(set, &error));

    const int bogus[] = {-1, INT_MIN, INT_MAX, set};
    for (size_t at = 0; at < COUNT(bogus); at++) {
        char number[16];
        snprintf(number, sizeof number, "%d", bogus[at]);
        REFUSED(-EINVAL, number, shm_sysv_sem_remove(bogus[at], &error));
        REFUSED(-EINVAL, number, shm_sysv_sem_operate(bogus[at], OPS({0, 0, 0}), &error));
        REFUSED(-EINVAL, number, shm_sysv_sem_operate_until(bogus[at], OPS({0, 0, 0}), INT64_MAX, &error));
        REFUSED(-EINVAL, number, shm_sysv_sem_try_operate(bogus[at], OPS({0, 0, 0}), &error));
        REFUSED(-EINVAL, number, shm_sysv_sem_value(bogus[at], 0, &error));
        REFUSED(-EINVAL, number, shm_sysv_sem_values(bogus[at], values, 3, &error));
        REFUSED(-EINVAL, number, shm_sysv_sem_set_value(bogus[at], 0, 0, &error));
        REFUSED(-EINVAL, number, shm_sysv_sem_set_values(bogus[at], values, 3, &error));
        REFUSED(-EINVAL, number, shm_sysv_sem_stat_one(bogus[at], 0, &state, sizeof state, &error));
        REFUSED(-EINVAL, number, shm_sysv_sem_stat(bogus[at], &info, sizeof info, &error));
        REFUSED(-EINVAL, number, shm_sysv_sem_set_owner(bogus[at], 0, 0, 0600, &error));
        CODE(-EINVAL, shm_sysv_sem_remove(bogus[at], NULL));
    }
}

static void values(void)
{
    uint16_t values[3];
    int set;

    OK(shm_sysv_sem_create(test_key(1), VALUES(1, 2, 3), 0, 0, &set, &error));
    OK(shm_sysv_sem_values(set, values, 3, &error));
    CHECK(values[0] == 1 && values[1] == 2 && values[2] == 3);
    OK(shm_sysv_sem_set_value(set, 1, 20, &error));
    OK(shm_sysv_sem_values(set, values, 3, &error));
    CHECK(values[0] == 1 && values[1] == 20 && values[2] == 3);
    OK(shm_sysv_sem_set_values(set, VALUES(0, 5, 32767), &error));
    OK(shm_sysv_sem_values(set, values, 3, &error));
    CHECK(values[0] == 0 && values[1] == 5 && values[2] == 32767);
    OK(shm_sysv_sem_remove(set, &error));
}

/* ---- Operations ----------------------------------------------------------------------------- */

static void operations(void)
{
    int set;

    OK(shm_sysv_sem_create(test_key(1), VALUES(1, 0), 0, 0, &set, &error));
    /* All of them or none. */
    REFUSED(-EAGAIN, "wait", shm_sysv_sem_try_operate(set, OPS({0, -1, 0}, {1, -1, 0}), &error));
    CHECK_EQ(shm_sysv_sem_value(set, 0, &error), 1);
    OK(shm_sysv_sem_operate(set, OPS({0, -1, 0}, {1, 2, 0}), &error));
    CHECK_EQ(shm_sysv_sem_value(set, 0, &error), 0);
    CHECK_EQ(shm_sysv_sem_value(set, 1, &error), 2);
    /* In their order: zero first, then one. */
    OK(shm_sysv_sem_try_operate(set, OPS({0, 0, 0}, {0, 1, 0}), &error));
    REFUSED(-EAGAIN, "wait", shm_sysv_sem_try_operate(set, OPS({0, 0, 0}, {0, 1, 0}), &error));
    /* A deadline: past, near, far. */
    int64_t before = shmkit_deadline_in_ms(0);
    REFUSED(-ETIMEDOUT, "deadline", shm_sysv_sem_operate_until(set, OPS({0, -2, 0}), 0, &error));
    OK(shm_sysv_sem_operate_until(set, OPS({0, -1, 0}), 0, &error));
    REFUSED(-ETIMEDOUT, "deadline", shm_sysv_sem_operate_until(set, OPS({0, -1, 0}), before + 50000000, &error));
    CHECK(shmkit_deadline_in_ms(0) >= before + 50000000);
    OK(shm_sysv_sem_operate_until(set, OPS({1, -1, 0}), INT64_MAX, &error));
    OK(shm_sysv_sem_remove(set, &error));
}

static void take(int socket, void *set)
{
    tell(socket, shm_sysv_sem_operate(*(int *)set, OPS({0, -1, 0}), &error));
}

static void take_in_time(int socket, void *set)
{
    tell(socket, shm_sysv_sem_operate_until(*(int *)set, OPS({0, -1, 0}), shmkit_deadline_in_ms(60000), &error));
}

static void woken(void)
{
    struct child child;
    int set;

    OK(shm_sysv_sem_create(test_key(1), VALUES(0), 0, 0, &set, &error));
    for (int timed = 0; timed < 2; timed++) {
        child = child_start(timed ? take_in_time : take, &set);
        await_waiters(set, 0, 1);
        OK(shm_sysv_sem_operate(set, OPS({0, 1, 0}), &error));
        CHECK_EQ(hear(child.socket), 0);
        CHILD_PASSED(child);
        CHECK_EQ(state_of(set, 0).last_pid, child.pid);
    }
    OK(shm_sysv_sem_remove(set, &error));
}

/* Whoever waits for what is removed is told. */
static void removed(void)
{
    struct child child;
    int set;

    for (int timed = 0; timed < 2; timed++) {
        OK(shm_sysv_sem_create(test_key(1), VALUES(0), 0, 0, &set, &error));
        child = child_start(timed ? take_in_time : take, &set);
        await_waiters(set, 0, 1);
        OK(shm_sysv_sem_remove(set, &error));
        CHECK_EQ(hear(child.socket), -EIDRM);
        CHILD_PASSED(child);
    }
}

static volatile sig_atomic_t signals;

static void count_signal(int signal UNUSED)
{
    signals++;
}

static void take_under_signals(int socket, void *set)
{
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = count_signal}, NULL);
    tell(socket, 0);
    take(socket, set);
    tell(socket, signals);
}

/* A signal shows in its handler alone. */
static void interrupted(void)
{
    struct child child;
    int set;

    OK(shm_sysv_sem_create(test_key(1), VALUES(0), 0, 0, &set, &error));
    child = child_start(take_under_signals, &set);
    hear(child.socket);
    for (int count = 0; count < 20; count++) {
        await_waiters(set, 0, 1);
        CHECK_SYS(kill(child.pid, SIGUSR1));
        usleep(500);
    }
    OK(shm_sysv_sem_operate(set, OPS({0, 1, 0}), &error));
    CHECK_EQ(hear(child.socket), 0);
    CHECK(hear(child.socket) > 0);
    CHILD_PASSED(child);
    OK(shm_sysv_sem_remove(set, &error));
}

static void take_and_stay(int socket, void *set)
{
    OK(shm_sysv_sem_operate(*(int *)set, OPS({0, -1, SHMKIT_SEM_UNDO}, {1, 1, 0}), &error));
    tell(socket, 0);
    hear(socket);
}

/* What a killed process has taken with undo comes back, and wakes who waits for it. */
static void killed(void)
{
    struct child holder, waiter;
    int set;

    OK(shm_sysv_sem_create(test_key(1), VALUES(1, 0), 0, 0, &set, &error));
    holder = child_start(take_and_stay, &set);
    hear(holder.socket);
    waiter = child_start(take, &set);
    await_waiters(set, 0, 1);
    kill(holder.pid, SIGKILL);
    CHECK_EQ(child_end(&holder), 128 + SIGKILL);
    CHECK_EQ(hear(waiter.socket), 0);
    CHILD_PASSED(waiter);
    CHECK_EQ(shm_sysv_sem_value(set, 1, &error), 1);
    /* Setting the value forgets what was to be undone. */
    OK(shm_sysv_sem_set_value(set, 0, 1, &error));
    holder = child_start(take_and_stay, &set);
    hear(holder.socket);
    OK(shm_sysv_sem_set_value(set, 0, 5, &error));
    kill(holder.pid, SIGKILL);
    CHECK_EQ(child_end(&holder), 128 + SIGKILL);
    CHECK_EQ(shm_sysv_sem_value(set, 0, &error), 5);
    OK(shm_sysv_sem_remove(set, &error));
}

/* ---- What the kernel knows ------------------------------------------------------------------ */

static void information(void)
{
    const int32_t key = test_key(1);
    struct { shm_sysv_sem_info info; char more[8]; } longer;
    shm_sysv_sem_info info;
    shm_sysv_sem_state state;
    struct timespec coarse;
    int set;

    memset(&longer, 0x5a, sizeof longer);
    clock_gettime(CLOCK_REALTIME_COARSE, &coarse);
    OK(shm_sysv_sem_create(key, VALUES(1, 2), 0, 0640, &set, &error));
    info = info_of(set);
    CHECK_EQ(info.count, 2);
    CHECK_EQ(info.operated_at, 0);
    CHECK(info.changed_at >= coarse.tv_sec && info.changed_at <= coarse.tv_sec + 60);
    CHECK_EQ(info.key, key);
    CHECK_EQ(info.id, set);
    CHECK_EQ(info.owner_uid, geteuid());
    CHECK_EQ(info.owner_gid, getegid());
    CHECK_EQ(info.creator_uid, geteuid());
    CHECK_EQ(info.creator_gid, getegid());
    CHECK_EQ(info.mode, 0640);
    CHECK_EQ(info.reserved, 0);
    OK(shm_sysv_sem_stat(set, &longer.info, sizeof longer, &error));
    CHECK(!memcmp(&longer.info, &info, sizeof info) && longer.more[7] == 0);
    memset(&info, 0x5a, sizeof info);
    OK(shm_sysv_sem_stat(set, &info, 8, &error));
    CHECK_EQ(info.count, 2);
    CHECK_EQ(info.mode, 0x5a5a5a5a);

    state = state_of(set, 0);
    CHECK_EQ(state.value, 1);
    CHECK_EQ(state.waiting, 0);
    CHECK_EQ(state.waiting_for_zero, 0);
    OK(shm_sysv_sem_operate(set, OPS({1, -1, 0}), &error));
    CHECK(info_of(set).operated_at >= coarse.tv_sec);
    CHECK_EQ(state_of(set, 1).last_pid, getpid());

    OK(shm_sysv_sem_set_owner(set, geteuid(), getegid(), 0705, &error));
    OK(shm_sysv_sem_set_owner(set, UINT32_MAX, UINT32_MAX, 0705, &error));
    CHECK(info_of(set).owner_uid == geteuid() && info_of(set).owner_gid == getegid());
    CHECK_EQ(info_of(set).mode, 0604); /* 0101 would mark it unfinished */
    OK(shm_sysv_sem_remove(set, &error));

    /* Execute bits are dropped; the umask does not narrow. */
    mode_t old = umask(077);
    OK(shm_sysv_sem_create(key, VALUES(1), 0, 0777, &set, &error));
    umask(old);
    CHECK_EQ(info_of(set).mode, 0666);
    OK(shm_sysv_sem_remove(set, &error));
    OK(shm_sysv_sem_create(key, NULL, 1, 0, 0, &set, &error));
    CHECK_EQ(info_of(set).mode, 0600);
    OK(shm_sysv_sem_remove(set, &error));
}

/* Plain programs' sets, whatever their state. */
static void plain_sets(void)
{
    const int32_t key = test_key(1);
    int plain, found;

    CHECK_SYS(plain = semget(key, 2, IPC_CREAT | IPC_EXCL | 0600));
    OK(shm_sysv_sem_open(key, 2, &found, &error));
    CHECK_EQ(found, plain);
    GIVES(0, shm_sysv_sem_create(key, NULL, 1, SHMKIT_SEM_OR_OPEN, 0, &found, &error));
    CHECK_EQ(found, plain);
    CHECK_SYS(semop(plain, &(struct sembuf){1, 4, 0}, 1));
    CHECK_EQ(shm_sysv_sem_value(found, 1, &error), 4);
    OK(shm_sysv_sem_remove(found, &error));
}

/* A creator that died between the set and its values: the mode still has the mark. */
static void unfinished(void)
{
    const int32_t key = test_key(1);
    int left, found;

    CHECK_SYS(left = semget(key, 2, IPC_CREAT | IPC_EXCL | 0701));
    int64_t before = shmkit_deadline_in_ms(0);
    REFUSED_ID(-EAGAIN, "not finished", shm_sysv_sem_open(key, 1, &id, &error));
    CHECK(shmkit_deadline_in_ms(0) >= before + 1000000000);
    REFUSED_ID(-EEXIST, hex(key), shm_sysv_sem_create(key, VALUES(7), 0, 0, &id, &error));
    GIVES(1, shm_sysv_sem_create(key, VALUES(7), SHMKIT_SEM_OR_OPEN, 0, &found, &error));
    CHECK(found != left);
    CHECK_EQ(shm_sysv_sem_value(found, 0, &error), 7);
    OK(shm_sysv_sem_remove(found, &error));

    /* A stranger's set with such a mode is no leftover once somebody has operated on it. */
    CHECK_SYS(left = semget(key, 2, IPC_CREAT | IPC_EXCL | 0701));
    CHECK_SYS(semop(left, &(struct sembuf){1, 4, 0}, 1));
    GIVES(0, shm_sysv_sem_create(key, VALUES(7), SHMKIT_SEM_OR_OPEN, 0, &found, &error));
    CHECK_EQ(found, left);
    OK(shm_sysv_sem_remove(found, &error));
}

/* ---- Rights and limits ---------------------------------------------------------------------- */

static void stranger(int socket UNUSED, void *keys)
{
    const int32_t *key = keys;
    int closed, open;

    become_nobody();
    OK(shm_sysv_sem_open(key[0], 0, &closed, &error));
    REFUSED(-EACCES, "Permission", shm_sysv_sem_try_operate(closed, OPS({0, -1, 0}), &error));
    REFUSED(-EACCES, "Permission", shm_sysv_sem_operate(closed, OPS({0, -1, 0}), &error));
    REFUSED(-EACCES, "Permission", shm_sysv_sem_value(closed, 0, &error));
    REFUSED(-EACCES, "Permission", shm_sysv_sem_values(closed, (uint16_t[1]){0}, 1, &error));
    REFUSED(-EACCES, "Permission", shm_sysv_sem_set_value(closed, 0, 0, &error));
    REFUSED(-EACCES, "Permission", shm_sysv_sem_set_values(closed, VALUES(0), &error));
    REFUSED(-EACCES, "Permission", shm_sysv_sem_stat(closed, &(shm_sysv_sem_info){0}, 8, &error));
    REFUSED(-EPERM, "not permitted", shm_sysv_sem_set_owner(closed, 0, 0, 0666, &error));
    REFUSED(-EPERM, "not permitted", shm_sysv_sem_remove(closed, &error));
    OK(shm_sysv_sem_open(key[1], 0, &open, &error));
    CHECK_EQ(shm_sysv_sem_value(open, 0, &error), 1);
    REFUSED(-EACCES, "Permission", shm_sysv_sem_try_operate(open, OPS({0, -1, 0}), &error));
    /* Another user's set that is not finished is not replaced. */
    REFUSED_ID(-EAGAIN, "not finished",
               shm_sysv_sem_create(key[2], VALUES(1), SHMKIT_SEM_OR_OPEN, 0, &id, &error));
}

static void rights(void)
{
    int32_t key[] = {test_key(1), test_key(2), test_key(3)};
    int closed, open, left;

    OK(shm_sysv_sem_create(key[0], VALUES(1), 0, 0, &closed, &error));
    OK(shm_sysv_sem_create(key[1], VALUES(1), 0, 0644, &open, &error));
    CHECK_SYS(left = semget(key[2], 1, IPC_CREAT | IPC_EXCL | 0767));
    CHECK_SYS(semctl(left, 0, IPC_SET, &(struct semid_ds){.sem_perm = {.mode = 0745}}));
    IN_CHILD(stranger, key);
    OK(shm_sysv_sem_remove(closed, &error));
    OK(shm_sysv_sem_remove(open, &error));
    OK(shm_sysv_sem_remove(left, &error));
}

static void limited(int socket UNUSED, void *argument UNUSED)
{
    int set, other;

    isolate(CLONE_NEWIPC, NULL);
    write_file("/proc/sys/kernel/sem", "5 8 3 2");
    REFUSED_ID(-EINVAL, "/proc/sys/kernel/sem", shm_sysv_sem_create(1, NULL, 6, 0, 0, &id, &error));
    SAYS("semmsl is 5");
    OK(shm_sysv_sem_create(1, NULL, 5, 0, 0, &set, &error));
    REFUSED_ID(-ENOSPC, "/proc/sys/kernel/sem", shm_sysv_sem_create(2, VALUES(1, 1, 1, 1), 0, 0, &id, &error));
    SAYS("5 semaphores exist, 4 more");
    SAYS("semmns is 8");
    OK(shm_sysv_sem_create(2, VALUES(1, 1, 1), 0, 0, &other, &error));
    REFUSED_ID(-ENOSPC, "/proc/sys/kernel/sem", shm_sysv_sem_create(3, NULL, 1, 0, 0, &id, &error));
    SAYS("2 sets exist, and semmni is 2");
    OK(shm_sysv_sem_operate(set, OPS({0, 1, 0}, {1, 1, 0}, {2, 1, 0}), &error));
    REFUSED(-E2BIG, "/proc/sys/kernel/sem",
            shm_sysv_sem_operate(set, OPS({0, 1, 0}, {1, 1, 0}, {2, 1, 0}, {3, 1, 0}), &error));
    SAYS("semopm is 3");
    OK(shm_sysv_sem_remove(set, &error));
    OK(shm_sysv_sem_remove(other, &error));
}

static void limits(void)
{
    IN_CHILD(limited, NULL);
}

static void test(void)
{
    RUN(keys);
    RUN(bad_arguments);
    RUN(values);
    RUN(operations);
    RUN(woken);
    RUN(removed);
    RUN(interrupted);
    RUN(killed);
    RUN(information);
    RUN(plain_sets);
    RUN(unfinished);
    RUN(rights);
    RUN(limits);
}
