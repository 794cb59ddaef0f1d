/* What the functions of inspection find, all of it in one call: arrays, whose strings the list keeps. */

#ifndef SHMKIT_GO_LISTS_H
#define SHMKIT_GO_LISTS_H

#include "bridge.h"
#include <stdlib.h>

typedef struct listed {
	shm_list *list;
	shm_limit *limits;
	shm_object *objects;
	size_t *held;        /* how many holders each object has */
	shm_holder *holders; /* those of one object behind those of the other */
	shm_gap *gaps;
	shm_leftover *leftovers;
	shm_trap *traps;
	shm_run *runs;
	size_t limit_count, object_count, held_count, holder_count, gap_count, leftover_count, trap_count, run_count;
	shm_file_system file_system;
} listed;

/* An array with room for one more; twice as large when it is full. */
static inline void *room(void *items, size_t count, size_t size)
{
	if (count & (count - 1))
		return items;
	items = realloc(items, (count ? 2 * count : 1) * size);
	if (!items)
		abort(); /* as Go does, when memory is out */
	return items;
}

#define APPEND(items, count, one)                                  \
	do {                                                       \
		(items) = room((items), (count), sizeof *(items)); \
		(items)[(count)++] = (one);                        \
	} while (0)
#define TAKE(type, items, count, get, ...)                             \
	for (type one; get(out->list, __VA_ARGS__, &one, sizeof one) == 1;) \
		APPEND(out->items, out->count, one)

static inline int list_all(int code, listed *out)
{
	if (code < 0)
		return code;
	TAKE(shm_limit, limits, limit_count, shm_limit_get, out->limit_count);
	TAKE(shm_object, objects, object_count, shm_object_get, out->object_count);
	for (size_t object = 0; object < out->object_count; object++) {
		size_t before = out->holder_count;
		TAKE(shm_holder, holders, holder_count, shm_holder_get, object, out->holder_count - before);
		APPEND(out->held, out->held_count, out->holder_count - before);
	}
	TAKE(shm_gap, gaps, gap_count, shm_gap_get, out->gap_count);
	TAKE(shm_leftover, leftovers, leftover_count, shm_leftover_get, out->leftover_count);
	TAKE(shm_trap, traps, trap_count, shm_trap_get, out->trap_count);
	TAKE(shm_run, runs, run_count, shm_run_get, out->run_count);
	shm_file_system_get(out->list, &out->file_system, sizeof out->file_system);
	return code;
}

#undef TAKE
#undef APPEND

static inline void go_listed_free(listed *out)
{
	free(out->limits);
	free(out->objects);
	free(out->held);
	free(out->holders);
	free(out->gaps);
	free(out->leftovers);
	free(out->traps);
	free(out->runs);
	shm_list_free(out->list);
}

#define LISTS(function, parameters, ...)                                        \
	static inline int go_##function parameters                              \
	{                                                                       \
		return list_all(function(__VA_ARGS__ &out->list, error), out); \
	}
#define RESULT listed *out, shm_error *error

LISTS(shm_limits_list, (RESULT), )
LISTS(shm_objects_list, (uint32_t select, RESULT), select, )
LISTS(shm_objects_list_of, (int32_t pid, uint32_t select, RESULT), pid, select, )
LISTS(shm_leftovers_list, (RESULT), )
LISTS(shm_traps_list, (RESULT), )
LISTS(shm_region_holders, (const shm_region *region, uint32_t select, RESULT), region, select, )
LISTS(shm_region_residency, (const shm_region *region, size_t offset, size_t length, RESULT), region, offset, length, )
LISTS(shm_region_file_system, (const shm_region *region, RESULT), region, )

#undef LISTS
#undef RESULT

#endif
