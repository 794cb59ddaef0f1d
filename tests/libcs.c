/* Two processes with two C libraries share one region: they take turns on its locks, and what one of them
 * leaves behind when it is killed the other repairs. `make check-musl` builds it for both.
 *     libcs OTHER      the same for the other C library; it is the one that dies */

#include <errno.h>
#include <inttypes.h>
#include <shmkit_helpers.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __GLIBC__
#define LIBC "glibc"
#else
#define LIBC "musl"
#endif

enum { EACH = 100000, DEATHS = 20, PASSES = 1000 };
enum { FIRST, SECOND };
#define WATCHED UINT32_C(0x80000000) /* in a lock's word: somebody waits for it (docs/layout.md) */

/* The region. The mutex guards count and done, the rwlock value. */
static struct board {
    shm_party_table parties;
    shm_mutex mutex;
    shm_rwlock rwlock;
    shm_semaphore ping, pong;
    shm_event there, back, holds;
    char libc[2][8];
    uint64_t count, done[2];
    uint64_t value;
    uint32_t passes;
} *board;

static shm_party *party;
static int me;
static char **command;
static shm_error error;

#define CHECK(condition)                                                                    \
    do {                                                                                    \
        if (!(condition)) {                                                                 \
            fprintf(stderr, "%s:%d: %s: does not hold: %s\n", __FILE__, __LINE__, LIBC, #condition); \
            exit(EXIT_FAILURE);                                                             \
        }                                                                                   \
    } while (0)

#define GIVES(want, call)                                                                    \
    do {                                                                                     \
        int got_ = (call);                                                                   \
        if (got_ != (want)) {                                                                \
            fprintf(stderr, "%s:%d: %s: %s answers %d (%s)\n", __FILE__, __LINE__, LIBC, #call, got_, \
                    got_ < 0 ? shm_strerror(got_) : "");                                     \
            exit(EXIT_FAILURE);                                                              \
        }                                                                                    \
    } while (0)
#define OK(call) GIVES(0, call)

static void join(int fd)
{
    shm_region *region;

    if ((fd < 0 ? shm_region_create("libcs", sizeof *board, NULL, &region, &error)
                : shm_region_from_fd(fd, 0, NULL, &region, &error)) < 0 ||
        shm_party_join(region, offsetof(struct board, parties), NULL, &party, &error) < 0)
        shmkit_die(&error);
    board = shm_region_data(region);
    strcpy(board->libc[me], LIBC);
    /* The C library has each thread do this, the library's own too, by a signal that must come through. */
    CHECK(setgid(getgid()) == 0);
    if (fd >= 0)
        return;

    CHECK(shm_mutex_init(party, &board->mutex, &error) == 1);
    CHECK(shm_rwlock_init(party, &board->rwlock, &error) == 1);
    CHECK(shm_semaphore_init(party, &board->ping, 0, 0, &error) == 1);
    CHECK(shm_semaphore_init(party, &board->pong, 0, 0, &error) == 1);
    CHECK(shm_event_init(party, &board->there, SHMKIT_EVENT_AUTO_RESET, &error) == 1);
    CHECK(shm_event_init(party, &board->back, SHMKIT_EVENT_AUTO_RESET, &error) == 1);
    CHECK(shm_event_init(party, &board->holds, SHMKIT_EVENT_AUTO_RESET, &error) == 1);
    /* What the other program inherits. */
    CHECK((fd = dup(shm_region_fd(region))) >= 0);
    CHECK(asprintf(&command[2], "%d", fd) > 0);
}

static void count(void)
{
    for (int i = 0; i < EACH; i++) {
        OK(shm_mutex_lock(party, &board->mutex));
        board->count++;
        board->done[me]++;
        OK(shm_mutex_unlock(party, &board->mutex));
    }
}

/* Each waits for the other, in turn. */
static void pass(void)
{
    for (uint32_t i = 0; i < PASSES; i++) {
        if (me == FIRST) {
            OK(shm_semaphore_post(party, &board->ping));
            OK(shm_semaphore_wait(party, &board->pong));
            CHECK(board->passes == 2 * i + 1);
            board->passes++;
            OK(shm_event_set(party, &board->there));
            OK(shm_event_wait(party, &board->back));
            /* A writer shuts out readers and writers; two readers share. */
            OK(shm_rwlock_read(party, &board->rwlock));
            CHECK(board->value == i + 1);
            OK(shm_semaphore_post(party, &board->ping));
            OK(shm_semaphore_wait(party, &board->pong));
            OK(shm_rwlock_unlock(party, &board->rwlock));
        } else {
            OK(shm_semaphore_wait(party, &board->ping));
            board->passes++;
            OK(shm_rwlock_write(party, &board->rwlock));
            OK(shm_semaphore_post(party, &board->pong));
            OK(shm_event_wait(party, &board->there));
            CHECK(board->passes == 2 * i + 2);
            OK(shm_event_set(party, &board->back));
            board->value++;
            OK(shm_rwlock_unlock(party, &board->rwlock));
            OK(shm_semaphore_wait(party, &board->ping));
            OK(shm_rwlock_tryread(party, &board->rwlock));
            OK(shm_rwlock_unlock(party, &board->rwlock));
            GIVES(-EBUSY, shm_rwlock_trywrite(party, &board->rwlock));
            OK(shm_semaphore_post(party, &board->pong));
        }
    }
}

/* Leaves off half way through, with both locks. */
static void take(void)
{
    OK(shm_mutex_lock(party, &board->mutex));
    board->count++;
    OK(shm_rwlock_write(party, &board->rwlock));
    OK(shm_event_set(party, &board->holds));
}

static void die_while_waited_for(void)
{
    volatile uint32_t *word = (void *)&board->mutex;

    take();
    while (!(*word & WATCHED))
        continue;
    raise(SIGKILL);
}

static void be_killed(void)
{
    take();
    pause();
}

/* What the other program does. */
static void (*const roles[])(void) = {count, pass, die_while_waited_for, be_killed};
enum role { COUNT, PASS, DIE_WHILE_WAITED_FOR, BE_KILLED };

static pid_t start(enum role role)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHECK(asprintf(&command[3], "%d", role) > 0);
        execv(command[1], command);
        perror(command[1]);
        _exit(127);
    }
    return pid;
}

static void end(pid_t pid, bool killed)
{
    int status;

    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(killed ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The other counted, and has not noted it. */
static void repair(void)
{
    GIVES(SHMKIT_OWNER_DIED, shm_mutex_lock(party, &board->mutex));
    CHECK(board->count == board->done[FIRST] + board->done[SECOND] + 1);
    board->count--;
    OK(shm_mutex_consistent(party, &board->mutex));
    GIVES(SHMKIT_OWNER_DIED, shm_rwlock_read(party, &board->rwlock));
    OK(shm_rwlock_consistent(party, &board->rwlock));
    OK(shm_rwlock_unlock(party, &board->rwlock));
    OK(shm_mutex_unlock(party, &board->mutex));
}

int main(int arguments, char **words)
{
    char *room[] = {words[0], arguments > 1 ? words[1] : NULL, NULL, NULL, NULL};
    pid_t other;

    command = room;
    if (arguments > 3) {
        me = SECOND;
        join(atoi(words[2]));
        roles[atoi(words[3])]();
        return shm_party_leave(party);
    }
    CHECK(arguments == 2);
    join(-1);

    other = start(COUNT);
    count();
    end(other, false);
    CHECK(strcmp(board->libc[FIRST], board->libc[SECOND]) != 0);
    CHECK(board->count == 2 * EACH);

    other = start(PASS);
    pass();
    end(other, false);

    for (int i = 0; i < DEATHS; i++) {
        other = start(DIE_WHILE_WAITED_FOR);
        OK(shm_event_wait(party, &board->holds));
        repair();
        end(other, true);

        other = start(BE_KILLED);
        OK(shm_event_wait(party, &board->holds));
        CHECK(kill(other, SIGKILL) == 0);
        repair();
        end(other, true);
    }
    count();
    CHECK(board->count == 3 * EACH && board->count == board->done[FIRST] + board->done[SECOND]);
    printf("%s outlives %s: the count is %" PRIu64 ", repaired %d times; %d passes of a read-write lock, semaphores "
           "and events\n", board->libc[FIRST], board->libc[SECOND], board->count, 2 * DEATHS, PASSES);
    return shm_party_leave(party);
}
