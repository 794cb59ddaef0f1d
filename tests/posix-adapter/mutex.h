#ifndef MUTEX_H
#define MUTEX_H

#include <pthread.h>

#include "board.h"

/* The lock behind a mutex of the program's; NULL: it is the C library's. */
shm_mutex *mutex_behind(pthread_mutex_t *mutex, uint32_t *flags);

/* What POSIX answers where our call gave this result. */
int mutex_answer(int result, shm_mutex *ours, uint32_t flags);

#endif
