#include "board.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define BARRIER MARK('B')

int pthread_barrier_init(pthread_barrier_t *barrier, const pthread_barrierattr_t *attributes, unsigned count)
{
    int shared = PTHREAD_PROCESS_PRIVATE;

    if (attributes)
        pthread_barrierattr_getpshared(attributes, &shared);
    if (shared == PTHREAD_PROCESS_SHARED && count > 0) {
        shm_party *party = board_party();
        shm_barrier *ours;

        memset(barrier, 0, sizeof *barrier);
        ours = party ? board_place(barrier, BARRIER, 0) : NULL;
        return !ours || shm_barrier_init(party, ours, count, NULL) < 0 ? EAGAIN : 0;
    }
    NEXT(pthread_barrier_init, barrier, attributes, count);
}

int pthread_barrier_destroy(pthread_barrier_t *barrier)
{
    if (board_find(barrier, BARRIER, NULL)) {
        memset(barrier, 0xff, sizeof *barrier);
        return 0;
    }
    NEXT(pthread_barrier_destroy, barrier);
}

int pthread_barrier_wait(pthread_barrier_t *barrier)
{
    shm_barrier *ours = board_find(barrier, BARRIER, NULL);
    int result;

    if (ours) {
        /* POSIX has no word for a death: it goes on waiting. */
        do
            result = shm_barrier_wait(board_party(), ours);
        while (result == SHMKIT_E_PEER_DIED);
        return result == SHMKIT_BARRIER_SERIAL ? PTHREAD_BARRIER_SERIAL_THREAD : -result;
    }
    NEXT(pthread_barrier_wait, barrier);
}
