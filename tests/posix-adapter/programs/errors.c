/* What each call answers, errno for errno. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t *lock;

static void tell(const char *what, int result)
{
    printf("%s: %s\n", what, strerrorname_np(result) ? strerrorname_np(result) : "0");
    fflush(stdout);
}

static struct timespec in_ms(clockid_t clock, int ms)
{
    struct timespec time;

    clock_gettime(clock, &time);
    time.tv_nsec += ms * 1000000L;
    time.tv_sec += time.tv_nsec / 1000000000;
    time.tv_nsec %= 1000000000;
    return time;
}

static void in_child(void (*body)(void))
{
    pid_t pid = fork();

    if (pid == 0) {
        body();
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void others(void)
{
    struct timespec soon = in_ms(CLOCK_REALTIME, 5), steady = in_ms(CLOCK_MONOTONIC, 5), none = {0, 1000000000};

    tell("other: trylock", pthread_mutex_trylock(lock));
    tell("other: timedlock", pthread_mutex_timedlock(lock, &soon));
    tell("other: timedlock in the past", pthread_mutex_timedlock(lock, &(struct timespec){0, 0}));
    tell("other: timedlock, no time", pthread_mutex_timedlock(lock, &none));
    tell("other: clocklock", pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &steady));
    tell("other: unlock", pthread_mutex_unlock(lock));
    tell("other: consistent", pthread_mutex_consistent(lock));
}

static void die_with_it(void)
{
    tell("dying: lock", pthread_mutex_lock(lock));
}

int main(void)
{
    pthread_mutexattr_t attributes;
    struct timespec soon = in_ms(CLOCK_REALTIME, 5000);
    pthread_mutex_t private = PTHREAD_MUTEX_INITIALIZER;

    lock = mmap(NULL, sizeof *lock, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    tell("init", pthread_mutex_init(lock, &attributes));
    tell("unlock of a free one", pthread_mutex_unlock(lock));
    tell("lock", pthread_mutex_lock(lock));
    tell("trylock again", pthread_mutex_trylock(lock));
    in_child(others);
    tell("unlock", pthread_mutex_unlock(lock));
    tell("timedlock", pthread_mutex_timedlock(lock, &soon));
    tell("unlock", pthread_mutex_unlock(lock));
    in_child(die_with_it);
    tell("lock of the dead", pthread_mutex_lock(lock));
    tell("consistent", pthread_mutex_consistent(lock));
    tell("consistent again", pthread_mutex_consistent(lock));
    tell("unlock", pthread_mutex_unlock(lock));
    in_child(die_with_it);
    tell("trylock of the dead", pthread_mutex_trylock(lock));
    tell("unlock without repair", pthread_mutex_unlock(lock));
    tell("lock", pthread_mutex_lock(lock));
    tell("timedlock", pthread_mutex_timedlock(lock, &soon));
    /* Last: glibc 2.36 keeps the lock then. */
    tell("trylock", pthread_mutex_trylock(lock));
    tell("destroy", pthread_mutex_destroy(lock));
    tell("init again", pthread_mutex_init(lock, &attributes));
    tell("lock", pthread_mutex_lock(lock));
    tell("unlock", pthread_mutex_unlock(lock));
    tell("private lock", pthread_mutex_lock(&private));
    tell("private unlock", pthread_mutex_unlock(&private));
    return 0;
}
