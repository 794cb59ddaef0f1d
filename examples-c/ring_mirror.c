/* A ring of bytes between two processes. Its memory is mapped twice in a row, so a record that runs
 * over the end lies in one piece: it is written and read as any other.
 *     ring_mirror */

#include <shmkit_helpers.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* How many bytes were ever written and read. In a region of its own: the ring's is all ring. */
struct cursors {
    _Alignas(64) _Atomic uint64_t written;
    _Alignas(64) _Atomic uint64_t read;
};

struct ring {
    char *bytes; /* 2 * SIZE of them, of which the second half is the first */
    struct cursors *cursors;
    int bell; /* a byte here says: look at the cursors again */
};

enum { SIZE = 64 << 10, RECORDS = 20 };

/* A bell that is full rings already; nobody hears it when the other process is gone, which wait tells. */
static void ring_bell(const struct ring *ring)
{
    send(ring->bell, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void wait_for_bell(const struct ring *ring)
{
    char bells[64];

    if (recv(ring->bell, bells, sizeof bells, 0) <= 0) {
        fprintf(stderr, "the other process is gone\n");
        exit(EXIT_FAILURE);
    }
}

/* Writes a record: its length, then its bytes. */
static void put(const struct ring *ring, const void *record, uint32_t length)
{
    uint64_t written = ring->cursors->written;
    char *at = ring->bytes + written % SIZE;

    while (SIZE - (written - ring->cursors->read) < sizeof length + length)
        wait_for_bell(ring);
    memcpy(at, &length, sizeof length); /* in one piece, wherever it begins */
    memcpy(at + sizeof length, record, length);
    ring->cursors->written = written + sizeof length + length;
    ring_bell(ring);
}

/* The next record, where it lies. What the other process wrote is read once, and checked. */
static const char *get(const struct ring *ring, uint32_t *length)
{
    uint64_t read = ring->cursors->read, filled;
    const char *at = ring->bytes + read % SIZE;

    while ((filled = ring->cursors->written - read) == 0)
        wait_for_bell(ring);
    memcpy(length, at, sizeof *length);
    if (filled > SIZE || filled < sizeof *length || filled - sizeof *length < *length) {
        fprintf(stderr, "the ring is damaged\n");
        exit(EXIT_FAILURE);
    }
    return at + sizeof *length;
}

/* Its place is free again. */
static void got(const struct ring *ring, uint32_t length)
{
    ring->cursors->read += sizeof length + length;
    ring_bell(ring);
}

static void producer(const struct ring *ring)
{
    static char record[SIZE];

    for (int i = 0; i < RECORDS; i++) {
        uint32_t length = 5000 + 1000 * (uint32_t)i;

        memset(record, 'a' + i, length);
        put(ring, record, length);
    }
}

static bool consumer(const struct ring *ring)
{
    uint32_t length;

    for (int i = 0; i < RECORDS; i++) {
        const char *record = get(ring, &length);

        if (record + length > ring->bytes + SIZE)
            printf("record %d, %u bytes, runs over the end\n", i, length);
        if (length == 0 || record[0] != 'a' + i || memcmp(record, record + 1, length - 1) != 0) {
            fprintf(stderr, "record %d is another\n", i);
            return false;
        }
        got(ring, length);
    }
    printf("%d records, each in one piece\n", RECORDS);
    return true;
}

int main(void)
{
    SHMKIT_SCOPED shm_region *bytes = NULL, *cursors = NULL;
    shm_region_options mirrored = {.size = sizeof mirrored, .flags = SHMKIT_REGION_MIRROR};
    shm_error error;
    int bells[2], status;

    if (shm_region_create("ring", SIZE, &mirrored, &bytes, &error) < 0 ||
        shm_anon_create(sizeof(struct cursors), NULL, &cursors, &error) < 0)
        shmkit_die(&error);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, bells) < 0) {
        perror("socketpair");
        return EXIT_FAILURE;
    }
    struct ring ring = {
        .bytes = shm_region_data(bytes),
        .cursors = SHMKIT_AT(cursors, struct cursors, 0),
    };
    pid_t child = fork();
    ring.bell = bells[child == 0];
    close(bells[child != 0]);
    if (child == 0) {
        producer(&ring);
        return EXIT_SUCCESS;
    }
    bool good = child > 0 && consumer(&ring);
    close(ring.bell);
    return good && waitpid(child, &status, 0) == child && status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
