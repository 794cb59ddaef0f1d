/* A side of a pair that knows nothing of shmkit, only of the kernel: README.md has the contract. */

#include "contract.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned char *data;
static int region_fd = -1;

const char *why_not_produce(enum kind kind)
{
    switch (kind) {
    case MEMFD:
    case MEMFD_STREAM:
        return "it knows no frame of shmkit's";
    case SYSV_AT:
        return "it stores no identity of a path";
    default:
        return NULL;
    }
}

const char *why_not_consume(enum kind kind)
{
    return kind == ANONYMOUS ? "only children made by fork() have it" : NULL;
}

static void map(int fd, size_t size, int more_flags)
{
    region_fd = fd;
    data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | more_flags, fd, 0);
    if (data == MAP_FAILED)
        die_of_errno("mmap");
}

static void attach_segment(int id)
{
    data = shmat(id, NULL, 0);
    if (data == (void *)-1)
        die_of_errno("shmat");
}

static int create_object(enum kind kind, const char *where)
{
    if (kind == NAMED_FILE)
        return open(where, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (kind == POSIX)
        return shm_open(where, O_RDWR | O_CREAT | O_EXCL, 0600);
    return memfd_create("plain", MFD_CLOEXEC);
}

void region_create(enum kind kind, const char *where, size_t size)
{
    if (kind == SYSV) {
        int id = shmget(parse_key(where), size, IPC_CREAT | IPC_EXCL | 0600);

        if (id < 0)
            die_of_errno("shmget");
        attach_segment(id);
    } else if (kind == ANONYMOUS) {
        map(-1, size, MAP_ANONYMOUS);
    } else {
        int fd = create_object(kind, where);

        if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
            die_of_errno(where);
        map(fd, size, 0);
    }
}

/* One descriptor, and some bytes that are none of its business. */
static int receive(int type, const char *where)
{
    char bytes[4096];
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };
    int fd, connection = open_connection(type, where);

    if (recvmsg(connection, &message, MSG_CMSG_CLOEXEC) < 0)
        die_of_errno("recvmsg");
    close(connection);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header == NULL || header->cmsg_type != SCM_RIGHTS)
        die("no descriptor came");
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

/* ftok answers -1 when it fails, which is a key as well. */
static int key_at(const char *where)
{
    key_t key = ftok(where, PROJECT);

    if (key == -1)
        die_of_errno(where);
    return key;
}

static int find_segment(enum kind kind, const char *where)
{
    int id = shmget(kind == SYSV ? parse_key(where) : key_at(where), 0, 0);

    if (id < 0)
        die_of_errno("shmget");
    return id;
}

static void attach_found(enum kind kind, const char *where, size_t size)
{
    int id = find_segment(kind, where);
    struct shmid_ds info;

    if (shmctl(id, IPC_STAT, &info) < 0)
        die_of_errno("shmctl");
    /* Behind the bytes of sysv-at there is something of shmkit's. */
    if (kind == SYSV_AT ? info.shm_segsz < size : info.shm_segsz != size)
        die("the segment has %zu bytes, not %zu", info.shm_segsz, size);
    attach_segment(id);
}

static int open_object(enum kind kind, const char *where)
{
    if (kind == NAMED_FILE)
        return open(where, O_RDWR | O_CLOEXEC);
    if (kind == POSIX)
        return shm_open(where, O_RDWR, 0);
    return receive(kind == MEMFD_STREAM ? SOCK_STREAM : SOCK_SEQPACKET, where);
}

void region_attach(enum kind kind, const char *where, size_t size)
{
    if (kind == SYSV || kind == SYSV_AT) {
        attach_found(kind, where, size);
    } else {
        int fd = open_object(kind, where);
        struct stat info;

        if (fd < 0 || fstat(fd, &info) < 0)
            die_of_errno(where);
        if ((size_t)info.st_size != size)
            die("the file has %zu bytes, not %zu", (size_t)info.st_size, size);
        map(fd, size, 0);
    }
}

void region_read(unsigned char *bytes, size_t size)
{
    memcpy(bytes, data, size);
}

void region_write(const unsigned char *bytes, size_t size)
{
    memcpy(data, bytes, size);
}

void region_remove(enum kind kind, const char *where)
{
    int result = kind == NAMED_FILE ? unlink(where)
                 : kind == POSIX    ? shm_unlink(where)
                                    : shmctl(find_segment(kind, where), IPC_RMID, NULL);

    if (result < 0)
        die_of_errno(where);
}

int hand_over_listen(enum kind kind, const char *where)
{
    (void)kind;
    return open_listener(SOCK_SEQPACKET, where);
}

void hand_over(enum kind kind, int listener)
{
    int connection = accept_connection(listener);
    char byte = 0;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };

    (void)kind;
    memcpy(CMSG_DATA(&control.header), &region_fd, sizeof region_fd);
    if (sendmsg(connection, &message, MSG_NOSIGNAL) < 0)
        die_of_errno("sendmsg");
    close(connection);
}
