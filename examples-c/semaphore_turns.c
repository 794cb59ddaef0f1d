/* Two processes fill one System V segment, and a semaphore lets one at a time write. A third is killed
 * while it has its turn: the kernel gives the turn back.
 *     semaphore_turns */

#include <shmkit_helpers.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINES = 1000 };

struct log {
    int count;
    struct line {
        pid_t pid;
        int number;
    } lines[2 * LINES];
};

static const shm_sysv_sem_op begin_turn = {.index = 0, .change = -1, .flags = SHMKIT_SEM_UNDO};
static const shm_sysv_sem_op end_turn = {.index = 0, .change = 1, .flags = SHMKIT_SEM_UNDO};

static int turns; /* the id of the set */
static shm_error error;

static void operate(const shm_sysv_sem_op *op)
{
    if (shm_sysv_sem_operate(turns, op, 1, &error) < 0)
        shmkit_die(&error);
}

/* Without turns, two would take the same line, and count it once. */
static void write_lines(struct log *log)
{
    for (int number = 0; number < LINES; number++) {
        operate(&begin_turn);
        log->lines[log->count] = (struct line){getpid(), number};
        log->count++;
        operate(&end_turn);
    }
}

static pid_t start(void (*run)(struct log *), struct log *log)
{
    pid_t pid = fork();

    if (pid == 0) {
        run(log);
        exit(EXIT_SUCCESS);
    }
    return pid;
}

static void die_in_turn(struct log *log)
{
    (void)log;
    operate(&begin_turn);
    raise(SIGKILL);
}

int main(void)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_region_options options = {.size = sizeof options, .flags = SHMKIT_REGION_AUTO_REMOVE};
    const uint16_t one = 1;

    if (shm_sysv_create(0, sizeof(struct log), &options, &region, &error) < 0 ||
        shm_sysv_sem_create(0, &one, 1, 0, 0600, &turns, &error) < 0)
        shmkit_die(&error);
    struct log *log = shm_region_data(region);

    pid_t writers[] = {start(write_lines, log), start(write_lines, log)};
    for (int at = 0; at < 2; at++)
        waitpid(writers[at], NULL, 0);
    int next[2] = {0, 0}, in_order = 0;
    for (int at = 0; at < log->count; at++) {
        int writer = log->lines[at].pid == writers[1];
        in_order += log->lines[at].number == next[writer]++;
    }
    printf("%d lines of two writers, %d in their order\n", log->count, in_order);

    waitpid(start(die_in_turn, log), NULL, 0);
    int code = shm_sysv_sem_try_operate(turns, &begin_turn, 1, &error);
    printf("killed in its turn: the turn is %s\n", code == 0 ? "free again" : error.message);

    if (shm_sysv_sem_remove(turns, &error) < 0)
        shmkit_die(&error);
    return EXIT_SUCCESS;
}
