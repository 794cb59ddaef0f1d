/* The C side of a pair, over shmkit: README.md has the contract. */

#include "contract.h"

#include <shmkit_helpers.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static shm_region *region;
static shm_error error;

static void must(int code)
{
    if (code < 0)
        die("%s", error.message);
}

const char *why_not_produce(enum kind kind)
{
    (void)kind;
    return NULL;
}

const char *why_not_consume(enum kind kind)
{
    return kind == ANONYMOUS ? "only children made by fork() have it" : NULL;
}

/* A memfd of this program's own making, as any program may have one. */
static int create_over_memfd(size_t size)
{
    int fd = memfd_create("pair", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        die_of_errno("memfd_create");
    int code = shm_region_from_fd(fd, 0, NULL, &region, &error);
    close(fd);
    return code;
}

static int create(enum kind kind, const char *where, size_t size)
{
    switch (kind) {
    case MEMFD:
    case MEMFD_STREAM:
        return shm_region_create("pair", size, NULL, &region, &error);
    case DESCRIPTOR:
        return create_over_memfd(size);
    case NAMED_FILE:
        return shm_file_create(where, size, NULL, &region, &error);
    case POSIX:
        return shm_posix_create(where, size, NULL, &region, &error);
    case SYSV:
        return shm_sysv_create(parse_key(where), size, NULL, &region, &error);
    case SYSV_AT:
        return shm_sysv_create_at(where, PROJECT, size, NULL, &region, &error);
    default: /* ANONYMOUS */
        return shm_anon_create(size, NULL, &region, &error);
    }
}

void region_create(enum kind kind, const char *where, size_t size)
{
    must(create(kind, where, size));
}

static void receive(enum kind kind, const char *where)
{
    int socket, fd;

    if (kind == MEMFD_STREAM)
        socket = open_connection(SOCK_STREAM, where);
    else
        must(shm_connect(where, &socket, &error));
    if (kind == DESCRIPTOR) {
        must(shm_recv_fd(socket, &fd, &error));
        must(shm_region_from_fd(fd, 0, NULL, &region, &error));
        close(fd);
    } else {
        must(shm_recv_region(socket, NULL, &region, &error));
    }
    close(socket);
}

static void open_named(enum kind kind, const char *where)
{
    if (kind == NAMED_FILE)
        must(shm_file_open(where, 0, NULL, &region, &error));
    else if (kind == POSIX)
        must(shm_posix_open(where, NULL, &region, &error));
    else if (kind == SYSV)
        must(shm_sysv_attach(parse_key(where), NULL, &region, &error));
    else
        must(shm_sysv_attach_at(where, PROJECT, NULL, &region, &error));
}

void region_attach(enum kind kind, const char *where, size_t size)
{
    if (kind == MEMFD || kind == MEMFD_STREAM || kind == DESCRIPTOR)
        receive(kind, where);
    else
        open_named(kind, where);
    if (shm_region_size(region) != size)
        die("the region has %zu bytes, not %zu", shm_region_size(region), size);
}

void region_read(unsigned char *bytes, size_t size)
{
    int code = shm_region_read(region, 0, bytes, size);

    if (code < 0)
        die("shm_region_read: %s", shm_strerror(code));
}

void region_write(const unsigned char *bytes, size_t size)
{
    int code = shm_region_write(region, 0, bytes, size);

    if (code < 0)
        die("shm_region_write: %s", shm_strerror(code));
}

void region_remove(enum kind kind, const char *where)
{
    open_named(kind, where);
    if (kind == SYSV || kind == SYSV_AT)
        must(shm_sysv_remove(shm_sysv_id(region), &error));
    else
        must(shm_region_unlink(region, &error));
}

int hand_over_listen(enum kind kind, const char *where)
{
    int listener;

    if (kind == MEMFD_STREAM)
        return open_listener(SOCK_STREAM, where);
    must(shm_listen(where, &listener, &error));
    return listener;
}

void hand_over(enum kind kind, int listener)
{
    int socket;

    if (kind == MEMFD_STREAM)
        socket = accept_connection(listener);
    else
        must(shm_accept(listener, &socket, &error));
    if (kind == DESCRIPTOR)
        must(shm_send_fd(socket, shm_region_fd(region), &error));
    else
        must(shm_send_region(socket, region, &error));
    close(socket);
}
