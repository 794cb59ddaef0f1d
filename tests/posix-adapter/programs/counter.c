/* Processes count together, and some of them are killed: the number is exact nevertheless. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 4
#define DEATHS 200
#define TURNS 20000

static struct {
    pthread_mutex_t lock;
    uint64_t count, tally[WORKERS];
    uint32_t recoveries;
} *board;

static void lock(void)
{
    int result = pthread_mutex_lock(&board->lock);

    if (result == EOWNERDEAD) {
        board->count = 0;
        for (int worker = 0; worker < WORKERS; worker++)
            board->count += board->tally[worker];
        board->recoveries++;
        result = pthread_mutex_consistent(&board->lock);
    }
    if (result != 0) {
        printf("lock: %d\n", result);
        exit(1);
    }
}

static pid_t start(int worker, uint64_t turns)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    for (uint64_t turn = 0; turn < turns; turn++) {
        lock();
        *(volatile uint64_t *)&board->count += 1;
        *(volatile uint64_t *)&board->tally[worker] += 1;
        if (pthread_mutex_unlock(&board->lock) != 0)
            _exit(1);
    }
    _exit(0);
}

int main(void)
{
    pthread_mutexattr_t attributes;
    pid_t pids[WORKERS];
    uint64_t sum = 0;
    int status, failed = 0;

    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (board == MAP_FAILED || pthread_mutex_init(&board->lock, &attributes) != 0)
        return 1;
    for (int worker = 0; worker < WORKERS; worker++)
        pids[worker] = start(worker, UINT64_MAX);
    for (int death = 0; death < DEATHS; death++) {
        int worker = death % WORKERS;
        uint64_t before = *(volatile uint64_t *)&board->count;

        while (*(volatile uint64_t *)&board->count - before < 100)
            sched_yield();
        kill(pids[worker], SIGKILL);
        waitpid(pids[worker], NULL, 0);
        pids[worker] = start(worker, UINT64_MAX);
    }
    for (int worker = 0; worker < WORKERS; worker++) {
        kill(pids[worker], SIGKILL);
        waitpid(pids[worker], NULL, 0);
        pids[worker] = start(worker, TURNS);
    }
    for (int worker = 0; worker < WORKERS; worker++) {
        waitpid(pids[worker], &status, 0);
        failed |= status;
    }
    lock();
    for (int worker = 0; worker < WORKERS; worker++)
        sum += board->tally[worker];
    printf("%s, recoveries: %s\n", sum == board->count && !failed ? "exact" : "wrong",
           board->recoveries > 0 ? "some" : "none");
    return 0;
}
