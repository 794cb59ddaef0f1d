#include "mutex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COND MARK('C')

/* Of the program's attributes: which clock its times are of. */
#define MONOTONIC 1u

static shm_cond *cond_behind(pthread_cond_t *cond, uint32_t *flags)
{
    return board_find(cond, COND, flags);
}

int pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attributes)
{
    int shared = PTHREAD_PROCESS_PRIVATE;
    clockid_t clock = CLOCK_REALTIME;

    if (attributes) {
        pthread_condattr_getpshared(attributes, &shared);
        pthread_condattr_getclock(attributes, &clock);
    }
    if (shared == PTHREAD_PROCESS_SHARED) {
        shm_party *party = board_party();
        shm_cond *ours;

        memset(cond, 0, sizeof *cond);
        ours = party ? board_place(cond, COND, clock == CLOCK_MONOTONIC ? MONOTONIC : 0) : NULL;
        return !ours || shm_cond_init(party, ours, NULL) < 0 ? EAGAIN : 0;
    }
    NEXT(pthread_cond_init, cond, attributes);
}

int pthread_cond_destroy(pthread_cond_t *cond)
{
    if (cond_behind(cond, NULL)) {
        memset(cond, 0xff, sizeof *cond);
        return 0;
    }
    NEXT(pthread_cond_destroy, cond);
}

int pthread_cond_signal(pthread_cond_t *cond)
{
    shm_cond *ours = cond_behind(cond, NULL);

    if (ours)
        return -shm_cond_signal(board_party(), ours);
    NEXT(pthread_cond_signal, cond);
}

int pthread_cond_broadcast(pthread_cond_t *cond)
{
    shm_cond *ours = cond_behind(cond, NULL);

    if (ours)
        return -shm_cond_broadcast(board_party(), ours);
    NEXT(pthread_cond_broadcast, cond);
}

/* Both are ours, or neither: one would unlock the other's mutex, of which nothing is left. */
static shm_mutex *partner(shm_cond *cond, pthread_mutex_t *mutex, uint32_t *flags)
{
    shm_mutex *ours = mutex_behind(mutex, flags);

    if (!cond != !ours) {
        fprintf(stderr, "adapter: of a condition and its mutex only one is shared between processes\n");
        abort();
    }
    return ours;
}

int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    uint32_t flags;
    shm_cond *ours = cond_behind(cond, NULL);
    shm_mutex *lock = partner(ours, mutex, &flags);

    if (ours)
        return mutex_answer(shm_cond_wait(board_party(), ours, lock), lock, flags);
    NEXT(pthread_cond_wait, cond, mutex);
}

static int wait_until(shm_cond *ours, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
    uint32_t flags;
    shm_mutex *lock = partner(ours, mutex, &flags);
    int64_t deadline_ns;
    int invalid = board_deadline(clock, until, &deadline_ns);

    if (invalid)
        return invalid;
    return mutex_answer(shm_cond_wait_until(board_party(), ours, lock, deadline_ns), lock, flags);
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    uint32_t flags;
    shm_cond *ours = cond_behind(cond, &flags);

    if (ours)
        return wait_until(ours, mutex, flags & MONOTONIC ? CLOCK_MONOTONIC : CLOCK_REALTIME, until);
    partner(NULL, mutex, NULL);
    NEXT(pthread_cond_timedwait, cond, mutex, until);
}

int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
    shm_cond *ours = cond_behind(cond, NULL);

    if (ours)
        return wait_until(ours, mutex, clock, until);
    partner(NULL, mutex, NULL);
    NEXT(pthread_cond_clockwait, cond, mutex, clock, until);
}
