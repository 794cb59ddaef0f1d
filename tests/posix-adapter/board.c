#include "board.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CELLS 4096

struct board {
    shm_party_table parties;
    _Atomic uint32_t used; /* cells; none is used twice: a lock's bytes are its own as long as anybody is here */
    char cells[CELLS][BOARD_CELL] __attribute__((aligned(BOARD_CELL)));
};

static shm_region *memory;
static struct board *board;
static shm_party *_Atomic party; /* a child that is forked goes on with it */

__attribute__((constructor)) static void make_board(void)
{
    shm_error error;

    if (shm_region_create("posix-adapter", sizeof *board, NULL, &memory, &error) != 0) {
        fprintf(stderr, "adapter: %s\n", error.message);
        abort();
    }
    board = shm_region_data(memory);
}

/* Says how many objects there were, where the check asks. */
__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("POSIX_ADAPTER_REPORT");
    FILE *file = path ? fopen(path, "ae") : NULL;

    if (file) {
        fprintf(file, "%u\n", atomic_load(&board->used));
        fclose(file);
    }
}

shm_party *board_party(void)
{
    static atomic_flag joining = ATOMIC_FLAG_INIT;
    shm_party *joined = atomic_load(&party);

    if (joined || !board)
        return joined;
    while (atomic_flag_test_and_set(&joining))
        usleep(100);
    if (!(joined = atomic_load(&party)) &&
        shm_party_join(memory, offsetof(struct board, parties), NULL, &joined, NULL) == 0)
        atomic_store(&party, joined);
    atomic_flag_clear(&joining);
    return joined;
}

void *board_place(void *object, uint64_t kind, uint32_t flags)
{
    struct mark mark = {.kind = kind, .flags = flags};

    if (!board)
        return NULL;
    mark.number = atomic_fetch_add(&board->used, 1);
    if (mark.number >= CELLS) {
        atomic_fetch_sub(&board->used, 1);
        return NULL;
    }
    memcpy(object, &mark, sizeof mark);
    return board->cells[mark.number];
}

void *board_find(const void *object, uint64_t kind, uint32_t *flags)
{
    const struct mark *mark = object;

    if (!board || mark->kind != kind || mark->number >= CELLS)
        return NULL;
    if (flags)
        *flags = mark->flags;
    return board->cells[mark->number];
}

void *board_next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (!function) {
        fprintf(stderr, "adapter: no %s\n", name);
        abort();
    }
    return function;
}

#define SECOND INT64_C(1000000000)

int board_deadline(clockid_t clock, const struct timespec *until, int64_t *deadline_ns)
{
    struct timespec now, steady;
    int64_t left;

    if (until->tv_nsec < 0 || until->tv_nsec >= SECOND)
        return EINVAL;
    clock_gettime(clock, &now);
    clock_gettime(CLOCK_MONOTONIC, &steady);
    left = (until->tv_sec - now.tv_sec) * SECOND + until->tv_nsec - now.tv_nsec;
    *deadline_ns = left < 0 ? 0 : steady.tv_sec * SECOND + steady.tv_nsec + left;
    return 0;
}
