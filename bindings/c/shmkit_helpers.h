/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * shmkit_helpers.h: short forms over shmkit.h for C and C++ programs: typed pointers into a region,
 * closing, locking for a scope, printing errors, deadlines. All of it is inline: nothing here is in the library.
 *
 * Any C from C99 on, any C++ from C++11 on, with gcc or clang.
 */

#ifndef SHMKIT_HELPERS_H
#define SHMKIT_HELPERS_H

#include <shmkit.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The alignment of a type, in every version of the languages. */
#if defined(__cplusplus)
#define SHMKIT_ALIGNOF(type) alignof(type)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define SHMKIT_ALIGNOF(type) _Alignof(type)
#else
#define SHMKIT_ALIGNOF(type) __alignof__(type)
#endif

/* What SHMKIT_AT and SHMKIT_ARRAY expand to: an address, or NULL. */
static inline void *shmkit_at(const shm_region *region, size_t offset, size_t size, size_t count,
                              size_t alignment)
{
    void *pointer = NULL;
    size_t length;

    if (__builtin_mul_overflow(size, count, &length))
        return NULL;
    return shm_region_at(region, offset, length, alignment, &pointer) < 0 ? NULL : pointer;
}

/**
 * The object of this type at an offset of a region: `type *`, valid until the region is closed.
 *
 *     struct job *job = SHMKIT_AT(region, struct job, 64);
 *
 * `offset`: in bytes.
 * NULL when it is not all inside the region or not aligned for its type, or `region` is NULL. The
 * pointer is raw: see shm_region_can_shrink. Any thread.
 */
#define SHMKIT_AT(region, type, offset) SHMKIT_ARRAY(region, type, offset, 1)

/**
 * The first of `count` objects of this type that begin at an offset of a region: `type *`.
 *
 *     double *samples = SHMKIT_ARRAY(region, double, 4096, 1000);
 *
 * `offset`: in bytes. `count`: any number, also one that another process chose: count times size is
 * checked.
 * NULL as for SHMKIT_AT. Any thread.
 */
#define SHMKIT_ARRAY(region, type, offset, count) \
    ((type *)shmkit_at((region), (offset), sizeof(type), (count), SHMKIT_ALIGNOF(type)))

/* What SHMKIT_CLOSE and SHMKIT_SCOPED expand to. */
static inline int shmkit_close(shm_region **region)
{
    shm_region *closing = *region;

    *region = NULL;
    return shm_region_close(closing);
}

/**
 * Closes the region in a variable and sets the variable to NULL, so that closing twice is harmless.
 *
 *     SHMKIT_CLOSE(region);
 *
 * Copies of the variable still dangle. Returns as shm_region_close. No other thread may use the
 * region.
 */
#define SHMKIT_CLOSE(region) shmkit_close(&(region))

/**
 * Declares a variable whose region is closed when its scope ends, by return, break or goto, in C++
 * also by an exception; not by exit() or longjmp().
 *
 *     SHMKIT_SCOPED shm_region *region = NULL;
 *
 * The variable must be initialised. SHMKIT_CLOSE may come first. To keep the region, copy the
 * variable and set it to NULL.
 */
#define SHMKIT_SCOPED __attribute__((cleanup(shmkit_close)))

/* A mutex that is held, or why it is not: what shmkit_lock returned. */
typedef struct shmkit_held {
    shm_party *party;
    shm_mutex *mutex;
    int result; /* of shm_mutex_lock: 0, SHMKIT_OWNER_DIED, or negative */
} shmkit_held;

/**
 * Locks a mutex for a SHMKIT_HELD variable.
 *
 * `held.result` is what shm_mutex_lock returned. Any thread.
 */
static inline shmkit_held shmkit_lock(shm_party *party, shm_mutex *mutex)
{
    shmkit_held held;

    held.party = party;
    held.mutex = mutex;
    held.result = shm_mutex_lock(party, mutex);
    return held;
}

/* What SHMKIT_HELD expands to. */
static inline void shmkit_unlock(shmkit_held *held)
{
    if (held->result >= 0)
        shm_mutex_unlock(held->party, held->mutex);
    held->result = -1;
}

/**
 * Declares a variable whose mutex is unlocked when its scope ends, if it was locked; as SHMKIT_SCOPED.
 *
 *     SHMKIT_HELD shmkit_held held = shmkit_lock(party, &board->lock);
 *     if (held.result < 0)
 *         return held.result;
 *     if (held.result == SHMKIT_OWNER_DIED) {
 *         repair(board);
 *         shm_mutex_consistent(party, &board->lock);
 *     }
 *
 * To unlock earlier, call shmkit_unlock(&held). The variable must not be copied.
 */
#define SHMKIT_HELD __attribute__((cleanup(shmkit_unlock)))

/**
 * Prints an error's sentence and a newline.
 *
 * `error`: filled by a call that failed. Any thread.
 */
static inline void shmkit_print_error(FILE *stream, const shm_error *error)
{
    fprintf(stream, "%s\n", error->message);
}

/**
 * Prints an error's sentence on stderr and ends the program with exit(EXIT_FAILURE).
 *
 *     if (shm_region_create("frames", 4096, NULL, &region, &error) < 0)
 *         shmkit_die(&error);
 *
 * For programs, not for libraries.
 */
__attribute__((noreturn)) static inline void shmkit_die(const shm_error *error)
{
    shmkit_print_error(stderr, error);
    exit(EXIT_FAILURE);
}

#ifdef CLOCK_MONOTONIC /* <time.h> hides it from -std=c99 and c11 without -D_POSIX_C_SOURCE=200809L */
/**
 * The deadline this many milliseconds from now, for the calls whose names end in _until.
 *
 *     shm_connect_until("/run/frames", shmkit_deadline_in_ms(500), &socket, &error)
 *
 * `milliseconds`: less than 0 counts as 0; so many that they cannot be counted is for ever.
 * Returns nanoseconds on CLOCK_MONOTONIC. Any thread, also in a signal handler.
 */
static inline int64_t shmkit_deadline_in_ms(int64_t milliseconds)
{
    struct timespec now;
    int64_t now_ns;

    clock_gettime(CLOCK_MONOTONIC, &now);
    now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    if (milliseconds < 0)
        return now_ns;
    if (milliseconds > (INT64_MAX - now_ns) / 1000000)
        return INT64_MAX;
    return now_ns + milliseconds * 1000000;
}
#endif

#endif /* SHMKIT_HELPERS_H */
