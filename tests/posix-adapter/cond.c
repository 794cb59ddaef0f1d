#include "mutex.h"

#include <stdio.h>
#include <stdlib.h>

/* The C library would unlock its own mutex, of which nothing is left. */
static void refuse(pthread_mutex_t *mutex)
{
    if (mutex_behind(mutex, NULL)) {
        fprintf(stderr, "adapter: a condition waits with a mutex of shmkit's\n");
        abort();
    }
}

int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    static __typeof__(pthread_cond_wait) *next;

    refuse(mutex);
    if (!next)
        next = (__typeof__(next))board_next("pthread_cond_wait");
    return next(condition, mutex);
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
    static __typeof__(pthread_cond_timedwait) *next;

    refuse(mutex);
    if (!next)
        next = (__typeof__(next))board_next("pthread_cond_timedwait");
    return next(condition, mutex, until);
}
