#include "board.h"

#include <errno.h>
#include <limits.h>
#include <semaphore.h>
#include <string.h>

#define SEMAPHORE MARK('S')

static shm_semaphore *semaphore_behind(sem_t *semaphore)
{
    return board_find(semaphore, SEMAPHORE, NULL);
}

static int told(int result)
{
    if (result >= 0)
        return 0;
    errno = -result;
    return -1;
}

int sem_init(sem_t *semaphore, int shared, unsigned units)
{
    if (shared && units <= SEM_VALUE_MAX) {
        shm_party *party = board_party();
        shm_semaphore *ours;

        memset(semaphore, 0, sizeof *semaphore);
        ours = party ? board_place(semaphore, SEMAPHORE, 0) : NULL;
        return told(ours ? shm_semaphore_init(party, ours, units, 0, NULL) : -ENOSPC);
    }
    NEXT(sem_init, semaphore, shared, units);
}

int sem_destroy(sem_t *semaphore)
{
    if (semaphore_behind(semaphore)) {
        memset(semaphore, 0xff, sizeof *semaphore);
        return 0;
    }
    NEXT(sem_destroy, semaphore);
}

int sem_wait(sem_t *semaphore)
{
    shm_semaphore *ours = semaphore_behind(semaphore);

    if (ours)
        return told(shm_semaphore_wait(board_party(), ours));
    NEXT(sem_wait, semaphore);
}

int sem_trywait(sem_t *semaphore)
{
    shm_semaphore *ours = semaphore_behind(semaphore);

    if (ours)
        return told(shm_semaphore_trywait(board_party(), ours));
    NEXT(sem_trywait, semaphore);
}

static int wait_until(shm_semaphore *ours, clockid_t clock, const struct timespec *until)
{
    int64_t deadline_ns;
    int result = shm_semaphore_trywait(board_party(), ours);

    /* A time that is none matters only to who has to wait. */
    if (result != -EAGAIN)
        return told(result);
    result = board_deadline(clock, until, &deadline_ns);
    return told(result ? -result : shm_semaphore_wait_until(board_party(), ours, deadline_ns));
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
    shm_semaphore *ours = semaphore_behind(semaphore);

    if (ours)
        return wait_until(ours, CLOCK_REALTIME, until);
    NEXT(sem_timedwait, semaphore, until);
}

int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until)
{
    shm_semaphore *ours = semaphore_behind(semaphore);

    if (ours)
        return wait_until(ours, clock, until);
    NEXT(sem_clockwait, semaphore, clock, until);
}

int sem_post(sem_t *semaphore)
{
    shm_semaphore *ours = semaphore_behind(semaphore);

    if (ours)
        return told(shm_semaphore_post(board_party(), ours));
    NEXT(sem_post, semaphore);
}

int sem_getvalue(sem_t *semaphore, int *value)
{
    shm_semaphore *ours = semaphore_behind(semaphore);

    if (ours) {
        int result = shm_semaphore_value(board_party(), ours);

        if (result >= 0)
            *value = result;
        return told(result);
    }
    NEXT(sem_getvalue, semaphore, value);
}
