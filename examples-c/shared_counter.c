/* A counter that several processes increment, while some of them are killed: at the end it is exact.
 *     shared_counter */

#include <inttypes.h>
#include <shmkit_helpers.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS = 4, EACH = 2000000, KILLS = 40 };

/* The region. The lock guards what follows it. */
struct board {
    shm_party_table parties;
    shm_mutex lock;
    uint64_t count;
    uint64_t done[WORKERS]; /* by each worker; their sum is what the count has to be */
    uint64_t repairs;
};

/* A worker that was killed in between has counted what it has not noted as done, or the other way round. */
static void repair(struct board *board)
{
    board->count = 0;
    for (int i = 0; i < WORKERS; i++)
        board->count += board->done[i];
    board->repairs++;
}

/* Adds one, unless this worker has done its part. */
static bool count_one(shm_party *party, struct board *board, int me)
{
    SHMKIT_HELD shmkit_held held = shmkit_lock(party, &board->lock);

    if (held.result == SHMKIT_OWNER_DIED) {
        repair(board);
        held.result = shm_mutex_consistent(party, &board->lock);
    }
    if (held.result < 0) {
        fprintf(stderr, "cannot lock: %s\n", shm_strerror(held.result));
        exit(EXIT_FAILURE);
    }
    if (board->done[me] == EACH)
        return false;
    board->count++;
    board->done[me]++;
    return true;
}

static pid_t start(shm_party *party, struct board *board, int me)
{
    fflush(NULL);
    pid_t pid = fork();

    if (pid < 0) {
        perror("fork");
        exit(EXIT_FAILURE);
    }
    if (pid > 0)
        return pid;
    while (count_one(party, board, me))
        continue; /* where the worker before it was killed */
    _exit(EXIT_SUCCESS);
}

int main(void)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_party *party;
    shm_error error;
    pid_t workers[WORKERS];
    int killed = 0, done = 0;

    if (shm_region_create("counter", sizeof(struct board), NULL, &region, &error) < 0)
        shmkit_die(&error);
    struct board *board = shm_region_data(region);
    if (shm_party_join(region, offsetof(struct board, parties), NULL, &party, &error) < 0 ||
        shm_mutex_init(party, &board->lock, &error) < 0)
        shmkit_die(&error);
    for (int i = 0; i < WORKERS; i++)
        workers[i] = start(party, board, i);

    while (done < WORKERS) {
        int32_t owner;
        int status;
        /* 1: there is one, and it is a worker. 0: nobody has the lock; negative: one that dies just now had it. */
        if (killed < KILLS && shm_mutex_owner(party, &board->lock, &owner) == 1)
            kill(owner, SIGKILL);
        pid_t ended = waitpid(-1, &status, WNOHANG);
        for (int i = 0; i < WORKERS && ended > 0; i++) {
            if (workers[i] != ended)
                continue;
            if (WIFEXITED(status)) {
                done++;
                break;
            }
            killed++;
            workers[i] = start(party, board, i);
            break;
        }
    }

    printf("%d workers, each up to %d: the count is %" PRIu64 "\n", done, EACH, board->count);
    printf("%d were killed, and the count was repaired %" PRIu64 " times\n", killed, board->repairs);
    shm_party_leave(party);
    return board->count == (uint64_t)WORKERS * EACH ? EXIT_SUCCESS : EXIT_FAILURE;
}
