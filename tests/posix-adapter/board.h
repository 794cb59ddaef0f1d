/* Where the adapter's objects are. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "shmkit.h"

/* What the adapter leaves in the program's own object, which is larger. */
struct mark {
    uint64_t kind;
    uint32_t number;
    uint32_t flags;
};

#define MARK(letter) (UINT64_C(0x6b7261006d687300) | (letter))

/* This process's party; NULL where it cannot be had. */
shm_party *board_party(void);

/* Gives the program's object a place of size bytes, at most BOARD_CELL, all zeros: NULL where none is left. */
#define BOARD_CELL 64
void *board_place(void *object, uint64_t kind, uint32_t flags);

/* Its place, if it has one of this kind. */
void *board_find(const void *object, uint64_t kind, uint32_t *flags);

/* The function that the program would have without us. */
void *board_next(const char *name);

/* Calls it, and returns what it returns. */
#define NEXT(name, ...)                                     \
    static __typeof__(name) *next;                          \
    if (!next)                                              \
        next = (__typeof__(next))board_next(#name);         \
    return next(__VA_ARGS__)

/* A time of this clock on CLOCK_MONOTONIC, which our deadlines have: 0, or EINVAL. */
int board_deadline(clockid_t clock, const struct timespec *until, int64_t *deadline_ns);

#endif
