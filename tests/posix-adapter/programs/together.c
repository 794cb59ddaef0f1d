/* Processes that work together by conditions, semaphores, read-write locks and barriers. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 3
#define ROUNDS 2000
#define ROOM 4

static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled, emptied;
    uint64_t queue[ROOM], first, last, sum;

    sem_t units;
    uint32_t inside, most;

    pthread_rwlock_t rwlock;
    uint64_t left, right, torn;

    pthread_barrier_t barrier;
    uint32_t serial;
} *board;

static void check(const char *what, int result)
{
    if (result != 0) {
        printf("%s: %s\n", what, strerror(result));
        fflush(stdout);
        _exit(1);
    }
}

/* A queue of few places: each of the others puts numbers in, one takes them out. */
static void produce(int me)
{
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        check("lock", pthread_mutex_lock(&board->lock));
        while (board->last - board->first == ROOM)
            check("wait", pthread_cond_wait(&board->emptied, &board->lock));
        board->queue[board->last++ % ROOM] = round * (me + 1);
        check("signal", pthread_cond_signal(&board->filled));
        check("unlock", pthread_mutex_unlock(&board->lock));
    }
}

static void consume(void)
{
    for (int taken = 0; taken < WORKERS * ROUNDS; taken++) {
        check("lock", pthread_mutex_lock(&board->lock));
        while (board->last == board->first)
            check("wait", pthread_cond_wait(&board->filled, &board->lock));
        board->sum += board->queue[board->first++ % ROOM];
        check("broadcast", pthread_cond_broadcast(&board->emptied));
        check("unlock", pthread_mutex_unlock(&board->lock));
    }
}

/* At most two at once. */
static void take_units(void)
{
    for (int round = 0; round < ROUNDS; round++) {
        check("sem_wait", sem_wait(&board->units) ? errno : 0);
        uint32_t inside = __atomic_add_fetch(&board->inside, 1, __ATOMIC_SEQ_CST);
        if (inside > __atomic_load_n(&board->most, __ATOMIC_SEQ_CST) && inside > 2)
            __atomic_store_n(&board->most, inside, __ATOMIC_SEQ_CST);
        __atomic_sub_fetch(&board->inside, 1, __ATOMIC_SEQ_CST);
        check("sem_post", sem_post(&board->units) ? errno : 0);
    }
}

/* Both numbers are the same for whoever looks. */
static void read_and_write(int me)
{
    for (int round = 0; round < ROUNDS; round++) {
        if (round % WORKERS == me) {
            check("wrlock", pthread_rwlock_wrlock(&board->rwlock));
            *(volatile uint64_t *)&board->left += 1;
            *(volatile uint64_t *)&board->right += 1;
        } else {
            check("rdlock", pthread_rwlock_rdlock(&board->rwlock));
            if (*(volatile uint64_t *)&board->left != *(volatile uint64_t *)&board->right)
                __atomic_add_fetch(&board->torn, 1, __ATOMIC_SEQ_CST);
        }
        check("unlock", pthread_rwlock_unlock(&board->rwlock));
    }
}

static void meet(void)
{
    for (int round = 0; round < ROUNDS / 10; round++) {
        int result = pthread_barrier_wait(&board->barrier);

        if (result == PTHREAD_BARRIER_SERIAL_THREAD)
            __atomic_add_fetch(&board->serial, 1, __ATOMIC_SEQ_CST);
        else
            check("barrier", result);
    }
}

static void tell(const char *what, int failed)
{
    printf("%s: %s\n", what, failed ? strerrorname_np(errno) : "0");
}

int main(void)
{
    pthread_mutexattr_t mutex;
    pthread_condattr_t cond;
    pthread_rwlockattr_t rwlock;
    pthread_barrierattr_t barrier;
    struct timespec past = {1, 0};
    int status, failed = 0, value;

    board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 1;
    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
    pthread_condattr_init(&cond);
    pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
    pthread_rwlockattr_init(&rwlock);
    pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
    pthread_barrierattr_init(&barrier);
    pthread_barrierattr_setpshared(&barrier, PTHREAD_PROCESS_SHARED);
    check("mutex", pthread_mutex_init(&board->lock, &mutex));
    check("cond", pthread_cond_init(&board->filled, &cond));
    check("cond", pthread_cond_init(&board->emptied, &cond));
    check("sem", sem_init(&board->units, 1, 2) ? errno : 0);
    check("rwlock", pthread_rwlock_init(&board->rwlock, &rwlock));
    check("barrier", pthread_barrier_init(&board->barrier, &barrier, WORKERS));
    fflush(stdout);
    for (int me = 0; me < WORKERS; me++) {
        if (fork() == 0) {
            produce(me);
            take_units();
            read_and_write(me);
            meet();
            _exit(0);
        }
    }
    consume();
    for (int me = 0; me < WORKERS; me++) {
        wait(&status);
        failed |= status;
    }
    printf("failed: %d, sum: %ju\n", failed, (uintmax_t)board->sum);
    printf("at once: %s\n", board->most > 2 ? "too many" : "at most two");
    printf("left: %ju, right: %ju, torn: %ju\n", (uintmax_t)board->left, (uintmax_t)board->right, (uintmax_t)board->torn);
    printf("rounds: %u\n", board->serial);

    check("getvalue", sem_getvalue(&board->units, &value) ? errno : 0);
    printf("units: %d\n", value);
    tell("trywait", sem_trywait(&board->units));
    tell("wait", sem_wait(&board->units));
    tell("trywait", sem_trywait(&board->units));
    tell("timedwait", sem_timedwait(&board->units, &past));
    tell("post", sem_post(&board->units));
    check("lock", pthread_mutex_lock(&board->lock));
    while ((errno = pthread_cond_timedwait(&board->filled, &board->lock, &past)) == 0)
        continue; /* a wait may end for no reason */
    tell("timedwait", errno);
    check("unlock", pthread_mutex_unlock(&board->lock));
    check("rdlock", pthread_rwlock_rdlock(&board->rwlock));
    errno = pthread_rwlock_trywrlock(&board->rwlock);
    tell("trywrlock", errno);
    errno = pthread_rwlock_tryrdlock(&board->rwlock);
    tell("tryrdlock", errno);
    check("unlock", pthread_rwlock_unlock(&board->rwlock));
    check("unlock", pthread_rwlock_unlock(&board->rwlock));
    errno = pthread_rwlock_timedwrlock(&board->rwlock, &past);
    tell("timedwrlock", errno);
    errno = pthread_rwlock_tryrdlock(&board->rwlock);
    tell("tryrdlock", errno);
    check("unlock", pthread_rwlock_unlock(&board->rwlock));
    check("destroy", pthread_rwlock_destroy(&board->rwlock));
    check("destroy", pthread_barrier_destroy(&board->barrier));
    check("destroy", pthread_cond_destroy(&board->filled));
    check("destroy", sem_destroy(&board->units) ? errno : 0);
    return 0;
}
