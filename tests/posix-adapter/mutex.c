#include "mutex.h"

#include <errno.h>
#include <string.h>

#define MUTEX MARK('M')
#define ROBUST 1u

shm_mutex *mutex_behind(pthread_mutex_t *mutex, uint32_t *flags)
{
    return board_find(mutex, MUTEX, flags);
}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    int shared = PTHREAD_PROCESS_PRIVATE, robust = PTHREAD_MUTEX_STALLED, type = PTHREAD_MUTEX_NORMAL;
    int protocol = PTHREAD_PRIO_NONE;

    if (attributes) {
        pthread_mutexattr_getpshared(attributes, &shared);
        pthread_mutexattr_getrobust(attributes, &robust);
        pthread_mutexattr_gettype(attributes, &type);
        pthread_mutexattr_getprotocol(attributes, &protocol);
    }
    if (shared == PTHREAD_PROCESS_SHARED && type == PTHREAD_MUTEX_NORMAL && protocol == PTHREAD_PRIO_NONE) {
        shm_party *party = board_party();
        shm_mutex *ours;

        if (!party)
            return EAGAIN;
        memset(mutex, 0, sizeof *mutex);
        ours = board_place(mutex, MUTEX, robust == PTHREAD_MUTEX_ROBUST ? ROBUST : 0);
        if (!ours)
            return EAGAIN;
        return shm_mutex_init(party, ours, NULL) < 0 ? EAGAIN : 0;
    }
    NEXT(pthread_mutex_init, mutex, attributes);
}

int pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    if (mutex_behind(mutex, NULL)) {
        memset(mutex, 0xff, sizeof *mutex);
        return 0;
    }
    NEXT(pthread_mutex_destroy, mutex);
}

int mutex_answer(int result, shm_mutex *ours, uint32_t flags)
{
    if (result != SHMKIT_OWNER_DIED)
        return -result;
    if (flags & ROBUST)
        return EOWNERDEAD;
    return -shm_mutex_consistent(board_party(), ours);
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    uint32_t flags;
    shm_mutex *ours = mutex_behind(mutex, &flags);

    if (ours)
        return mutex_answer(shm_mutex_lock(board_party(), ours), ours, flags);
    NEXT(pthread_mutex_lock, mutex);
}

int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    uint32_t flags;
    shm_mutex *ours = mutex_behind(mutex, &flags);

    if (ours)
        return mutex_answer(shm_mutex_trylock(board_party(), ours), ours, flags);
    NEXT(pthread_mutex_trylock, mutex);
}

static int lock_until(shm_mutex *ours, uint32_t flags, clockid_t clock, const struct timespec *until)
{
    int64_t deadline_ns;
    int result = shm_mutex_trylock(board_party(), ours), invalid;

    /* A time that is none matters only to who has to wait. */
    if (result != -EBUSY)
        return mutex_answer(result, ours, flags);
    invalid = board_deadline(clock, until, &deadline_ns);
    return invalid ? invalid : mutex_answer(shm_mutex_lock_until(board_party(), ours, deadline_ns), ours, flags);
}

int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until)
{
    uint32_t flags;
    shm_mutex *ours = mutex_behind(mutex, &flags);

    if (ours)
        return lock_until(ours, flags, CLOCK_REALTIME, until);
    NEXT(pthread_mutex_timedlock, mutex, until);
}

int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
    uint32_t flags;
    shm_mutex *ours = mutex_behind(mutex, &flags);

    if (ours)
        return lock_until(ours, flags, clock, until);
    NEXT(pthread_mutex_clocklock, mutex, clock, until);
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    shm_mutex *ours = mutex_behind(mutex, NULL);

    if (ours)
        return -shm_mutex_unlock(board_party(), ours);
    NEXT(pthread_mutex_unlock, mutex);
}

int pthread_mutex_consistent(pthread_mutex_t *mutex)
{
    shm_mutex *ours = mutex_behind(mutex, NULL);

    if (ours) {
        int result = shm_mutex_consistent(board_party(), ours);

        /* POSIX does not say who asks. */
        return result == -EPERM ? EINVAL : -result;
    }
    NEXT(pthread_mutex_consistent, mutex);
}
