/* What Go needs of shmkit.h in one call each: a region together with what its handle in Go keeps of it. */

#ifndef SHMKIT_GO_BRIDGE_H
#define SHMKIT_GO_BRIDGE_H

#if defined(__has_include)
#if !__has_include(<shmkit.h>)
#error "the Go package shmkit needs shmkit.h: run make install in shmkit's sources, or make lib to use them in place"
#endif
#endif

#include <shmkit.h>
#include <stdlib.h>
#include <string.h>

#define SHMKIT_GO_MAJOR 0
#define SHMKIT_GO_MINOR 1
#if SHMKIT_VERSION_MAJOR != SHMKIT_GO_MAJOR || SHMKIT_VERSION_MINOR != SHMKIT_GO_MINOR
#error "this Go package shmkit is of version 0.1, and the shmkit.h found is of another: use the Go sources and the header of one installation"
#endif

/* Without pointers, which cgo would look for Go's in at each call. */
typedef struct opened {
	uintptr_t region, data;
	uintptr_t said; /* after a failure: a sentence, to be freed, or 0 */
	size_t size, size_max, huge; /* huge: the page size where it was asked for, else 0 */
	int code, kind, read_only, can_shrink, created;
} opened;

#define ANY_KIND 0

/* Asks for no more than the call leaves open: each question costs a hundredth of opening anonymous memory. */
static inline void describe(int code, shm_region *region, uint32_t flags, int kind, const shm_error *error, opened *out)
{
	out->code = code;
	if (code < 0) {
		out->said = (uintptr_t)strdup(error->message);
		return;
	}
	out->region = (uintptr_t)region;
	out->data = (uintptr_t)shm_region_data(region);
	out->size = shm_region_size(region);
	out->size_max = kind == ANY_KIND || flags & SHMKIT_REGION_GROWABLE ? shm_region_size_max(region) : out->size;
	out->huge = flags & (SHMKIT_REGION_HUGE_2M | SHMKIT_REGION_HUGE_1G) ? shm_region_page_size(region) : 0;
	out->kind = kind ? kind : shm_region_kind(region);
	out->read_only = kind ? flags & SHMKIT_REGION_READ_ONLY : shm_region_rights(region) == SHMKIT_RIGHTS_READ;
	out->can_shrink = kind == SHMKIT_KIND_ANONYMOUS ? 0 : shm_region_can_shrink(region);
	out->created = code;
}

/* OPENS(function, kind, its parameters, its arguments): the same function, with a description for its result. The
 * error is C's, as to clear one in Go costs as much as a question; and nothing is returned, for which cgo would
 * look where Go's stack is by then. */
#define OPENS(function, kind, parameters, ...)                                       \
	static inline void go_##function parameters                                  \
	{                                                                            \
		shm_region *region = NULL;                                           \
		shm_error error;                                                     \
		int code = function(__VA_ARGS__, options, &region, &error);          \
		describe(code, region, options->flags, kind, &error, out);           \
	}
#define RESULT const shm_region_options *options, opened *out

OPENS(shm_region_create, SHMKIT_KIND_MEMFD, (const char *name, size_t size, RESULT), name, size)
OPENS(shm_region_from_fd, ANY_KIND, (int fd, size_t size, RESULT), fd, size)
OPENS(shm_anon_create, SHMKIT_KIND_ANONYMOUS, (size_t size, RESULT), size)
OPENS(shm_file_create, SHMKIT_KIND_FILE, (const char *path, size_t size, RESULT), path, size)
OPENS(shm_file_open, SHMKIT_KIND_FILE, (const char *path, size_t size, RESULT), path, size)
OPENS(shm_posix_create, SHMKIT_KIND_POSIX, (const char *name, size_t size, RESULT), name, size)
OPENS(shm_posix_open, SHMKIT_KIND_POSIX, (const char *name, RESULT), name)
OPENS(shm_sysv_create, SHMKIT_KIND_SYSV, (int32_t key, size_t size, RESULT), key, size)
OPENS(shm_sysv_attach, SHMKIT_KIND_SYSV, (int32_t key, RESULT), key)
OPENS(shm_sysv_attach_id, SHMKIT_KIND_SYSV, (int id, RESULT), id)
OPENS(shm_sysv_create_at, SHMKIT_KIND_SYSV, (const char *path, int project, size_t size, RESULT), path, project, size)
OPENS(shm_sysv_attach_at, SHMKIT_KIND_SYSV, (const char *path, int project, RESULT), path, project)
OPENS(shm_recv_region, ANY_KIND, (int socket, RESULT), socket)

/* Nothing is returned here either. */
static inline void go_shm_region_close(shm_region *region, int *code) { *code = shm_region_close(region); }

#undef ANY_KIND
#undef OPENS
#undef RESULT

/* What a call that changes a region leaves of it. */
typedef struct changed {
	size_t size;
	int rights, can_shrink;
} changed;

#define CHANGES(function, parameters, ...)                                     \
	static inline int go_##function parameters                             \
	{                                                                      \
		int code = function(region __VA_ARGS__, error);                \
		out->size = shm_region_size(region);                           \
		out->rights = shm_region_rights(region);                       \
		out->can_shrink = shm_region_can_shrink(region);               \
		return code;                                                   \
	}
#define RESULT changed *out, shm_error *error

CHANGES(shm_region_grow, (shm_region *region, size_t size, RESULT), , size)
CHANGES(shm_region_follow, (shm_region *region, RESULT))
CHANGES(shm_region_seal, (shm_region *region, uint32_t seals, RESULT), , seals)
CHANGES(shm_region_publish_read_only, (shm_region *region, RESULT))
CHANGES(shm_region_freeze, (shm_region *region, RESULT))

#undef CHANGES
#undef RESULT

#endif
