/* A log that grows while it is read: the writer makes its region larger in place, the reader, another
 * process, follows. On neither side does a pointer move.
 *     growing_log */

#include <inttypes.h>
#include <shmkit_helpers.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The region: lines, and how many bytes of them there are, stored when they are complete. */
struct log {
    _Atomic uint64_t used;
    char lines[];
};

enum { START = 4096, MOST = 1 << 20, LINES = 2000 };

/* Appends a line, and makes room for it first. */
static void append(shm_region *region, struct log *log, const char *line)
{
    size_t used = log->used, length = strlen(line), size = shm_region_size(region);
    shm_error error;

    if (sizeof *log + used + length > size) {
        if (shm_region_grow(region, 2 * size, &error) < 0)
            shmkit_die(&error);
        printf("writer: %zu bytes were full, and are %zu now\n", size, shm_region_size(region));
    }
    memcpy(log->lines + used, line, length);
    atomic_store_explicit(&log->used, used + length, memory_order_release);
}

static void writer(int socket)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_region_options options = {
        .size = sizeof options,
        .flags = SHMKIT_REGION_GROWABLE,
        .size_max = MOST,
    };
    shm_error error;
    char line[32];

    if (shm_region_create("log", START, &options, &region, &error) < 0 ||
        shm_send_region(socket, region, &error) < 0)
        shmkit_die(&error);
    struct log *log = shm_region_data(region);
    for (int i = 1; i <= LINES; i++) {
        snprintf(line, sizeof line, "line %d\n", i);
        append(region, log, line);
        if (i % 50 == 0 && send(socket, "", 1, MSG_NOSIGNAL) < 0) /* there is something to read */
            exit(EXIT_FAILURE);
    }
    close(socket);
}

/* How many bytes of lines there are, which were `seen` before. The writer is not trusted: its number is
 * read once, and held against what is mapped here. */
static size_t available(shm_region *region, const struct log *log, size_t seen)
{
    uint64_t used = atomic_load_explicit(&log->used, memory_order_acquire);
    shm_error error;

    if (used > shm_region_size(region) - sizeof *log && shm_region_follow(region, &error) < 0)
        shmkit_die(&error);
    if (used < seen || used > shm_region_size(region) - sizeof *log) {
        fprintf(stderr, "reader: the log says it has %" PRIu64 " bytes\n", used);
        exit(EXIT_FAILURE);
    }
    return used;
}

static void reader(int socket)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_region_options options = {
        .size = sizeof options,
        .flags = SHMKIT_REGION_READ_ONLY,
        .size_min = sizeof(struct log),
        .size_max = MOST, /* so far, and no farther, may the writer make it grow here */
    };
    size_t seen = 0, length = 0;
    shm_error error;
    int count = 0;
    char bell;

    if (shm_recv_region(socket, &options, &region, &error) < 0)
        shmkit_die(&error);
    size_t size = shm_region_size(region);
    const struct log *log = shm_region_data(region);
    const char *next = log->lines, *last = next, *end; /* good whatever the region becomes */

    while (recv(socket, &bell, 1, 0) > 0) {
        size_t used = available(region, log, seen);

        while ((end = memchr(next, '\n', used - seen)) != NULL) {
            count++;
            length = (size_t)(end - next);
            last = next;
            next = end + 1;
            seen += length + 1;
        }
    }
    printf("reader: %zu bytes when it came, %zu now, %d lines, the last '%.*s'\n", size,
           shm_region_size(region), count, (int)length, last);
}

int main(void)
{
    int sockets[2], status;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) < 0) {
        perror("socketpair");
        return EXIT_FAILURE;
    }
    pid_t child = fork();
    if (child == 0) {
        close(sockets[0]);
        writer(sockets[1]);
        return EXIT_SUCCESS;
    }
    close(sockets[1]);
    if (child > 0)
        reader(sockets[0]);
    close(sockets[0]);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
