#include "board.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define RWLOCK MARK('R')

static shm_rwlock *rwlock_behind(pthread_rwlock_t *rwlock)
{
    return board_find(rwlock, RWLOCK, NULL);
}

int pthread_rwlock_init(pthread_rwlock_t *rwlock, const pthread_rwlockattr_t *attributes)
{
    int shared = PTHREAD_PROCESS_PRIVATE;

    if (attributes)
        pthread_rwlockattr_getpshared(attributes, &shared);
    if (shared == PTHREAD_PROCESS_SHARED) {
        shm_party *party = board_party();
        shm_rwlock *ours;

        memset(rwlock, 0, sizeof *rwlock);
        ours = party ? board_place(rwlock, RWLOCK, 0) : NULL;
        return !ours || shm_rwlock_init(party, ours, NULL) < 0 ? EAGAIN : 0;
    }
    NEXT(pthread_rwlock_init, rwlock, attributes);
}

int pthread_rwlock_destroy(pthread_rwlock_t *rwlock)
{
    if (rwlock_behind(rwlock)) {
        memset(rwlock, 0xff, sizeof *rwlock);
        return 0;
    }
    NEXT(pthread_rwlock_destroy, rwlock);
}

/* POSIX has no word for a writer that died: what it left is taken as it is. A reader then has the lock for
 * writing, gives it back, and is told by -1 to try again. */
static int answer(int result, shm_rwlock *ours, bool reads)
{
    if (result != SHMKIT_OWNER_DIED)
        return -result;
    shm_rwlock_consistent(board_party(), ours);
    if (!reads)
        return 0;
    shm_rwlock_unlock(board_party(), ours);
    return -1;
}

#define AGAIN_WHILE_TOLD(call)              \
    for (int result;;)                      \
        if ((result = (call)) != -1)        \
    return result

int pthread_rwlock_rdlock(pthread_rwlock_t *rwlock)
{
    shm_rwlock *ours = rwlock_behind(rwlock);

    if (ours)
        AGAIN_WHILE_TOLD(answer(shm_rwlock_read(board_party(), ours), ours, true));
    NEXT(pthread_rwlock_rdlock, rwlock);
}

int pthread_rwlock_tryrdlock(pthread_rwlock_t *rwlock)
{
    shm_rwlock *ours = rwlock_behind(rwlock);

    if (ours)
        AGAIN_WHILE_TOLD(answer(shm_rwlock_tryread(board_party(), ours), ours, true));
    NEXT(pthread_rwlock_tryrdlock, rwlock);
}

int pthread_rwlock_timedrdlock(pthread_rwlock_t *rwlock, const struct timespec *until)
{
    shm_rwlock *ours = rwlock_behind(rwlock);
    int64_t deadline_ns;
    int invalid;

    if (ours) {
        if ((invalid = board_deadline(CLOCK_REALTIME, until, &deadline_ns)))
            return invalid;
        AGAIN_WHILE_TOLD(answer(shm_rwlock_read_until(board_party(), ours, deadline_ns), ours, true));
    }
    NEXT(pthread_rwlock_timedrdlock, rwlock, until);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *rwlock)
{
    shm_rwlock *ours = rwlock_behind(rwlock);

    if (ours)
        return answer(shm_rwlock_write(board_party(), ours), ours, false);
    NEXT(pthread_rwlock_wrlock, rwlock);
}

int pthread_rwlock_trywrlock(pthread_rwlock_t *rwlock)
{
    shm_rwlock *ours = rwlock_behind(rwlock);

    if (ours)
        return answer(shm_rwlock_trywrite(board_party(), ours), ours, false);
    NEXT(pthread_rwlock_trywrlock, rwlock);
}

int pthread_rwlock_timedwrlock(pthread_rwlock_t *rwlock, const struct timespec *until)
{
    shm_rwlock *ours = rwlock_behind(rwlock);
    int64_t deadline_ns;
    int invalid;

    if (ours) {
        if ((invalid = board_deadline(CLOCK_REALTIME, until, &deadline_ns)))
            return invalid;
        return answer(shm_rwlock_write_until(board_party(), ours, deadline_ns), ours, false);
    }
    NEXT(pthread_rwlock_timedwrlock, rwlock, until);
}

int pthread_rwlock_unlock(pthread_rwlock_t *rwlock)
{
    shm_rwlock *ours = rwlock_behind(rwlock);

    if (ours)
        return -shm_rwlock_unlock(board_party(), ours);
    NEXT(pthread_rwlock_unlock, rwlock);
}
