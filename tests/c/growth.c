/* Goal: a C program's pointers stay good while a region grows, runs over a mirror's end, is published and frozen. */
#include "test.h"

#define MOST ((size_t)1 << 20)
#define RECORDS 2000

struct record {
    uint64_t number, check;
};

static shm_region *receive(int socket, uint32_t flags)
{
    shm_region *got = NULL;

    OK(shm_recv_region(socket, OPTIONS(.flags = flags, .size_max = MOST), &got, &error));
    return got;
}

/* ---- Growth ------------------------------------------------------------------------------------ */

/* A list that links its records by number, and grows a page at a time. */
static void append(shm_region *list, size_t number)
{
    size_t end = (number + 1) * sizeof(struct record);

    if (end > shm_region_size(list))
        OK(shm_region_grow(list, shm_region_size(list) + page, &error));
    struct record *record = SHMKIT_AT(list, struct record, number * sizeof(struct record));
    CHECK(record && record->number == 0 && record->check == 0);
    record->number = number;
    record->check = ~number;
}

static void check_list(shm_region *list, const struct record *first, size_t count)
{
    for (size_t number = 0; number < count; number++) {
        CHECK_EQ(first[number].number, number);
        CHECK_EQ(first[number].check, ~number);
    }
    CHECK(shm_region_data(list) == first);
}

static void read_and_go_on(int socket, void *argument UNUSED)
{
    shm_region *list = receive(socket, 0);
    const struct record *first = shm_region_data(list);

    CHECK_EQ(shm_region_size(list), page);
    CHECK_EQ(shm_region_size_max(list), MOST);
    check_list(list, first, 10);
    tell(socket, 0);
    hear(socket);
    CHECK(SHMKIT_AT(list, struct record, page) == NULL); /* not before it follows */
    GIVES(1, shm_region_follow(list, &error));
    check_list(list, first, RECORDS);
    for (size_t number = RECORDS; number < 2 * RECORDS; number++)
        append(list, number);
    check_list(list, first, 2 * RECORDS);
    REFUSED(-EFBIG, "1048576", shm_region_grow(list, MOST + 1, &error));
    CLOSE(list);
    tell(socket, 0);
}

static void growth(void)
{
    shm_region *list = NULL;
    struct child child = child_start(read_and_go_on, NULL);

    OK(shm_region_create("list", page, OPTIONS(.flags = SHMKIT_REGION_GROWABLE, .size_max = MOST), &list, &error));
    const struct record *first = shm_region_data(list);
    for (size_t number = 0; number < 10; number++)
        append(list, number);
    OK(shm_send_region(child.socket, list, &error));
    hear(child.socket);
    for (size_t number = 10; number < RECORDS; number++)
        append(list, number);
    tell(child.socket, 0);
    hear(child.socket);
    GIVES(1, shm_region_follow(list, &error));
    check_list(list, first, 2 * RECORDS);
    CHILD_PASSED(child);
    CLOSE(list);
    CHECK_EQ(mappings_of("memfd:list"), 0);
}

/* What could not be had changes nothing. */
static void in_a_small_place(int socket UNUSED, void *argument UNUSED)
{
    shm_region *made = NULL;
    struct stat status;

    isolate(CLONE_NEWNS, "size=256k");
    OK(shm_posix_create("small", page, OPTIONS(.flags = SHMKIT_REGION_GROWABLE, .size_max = MOST), &made, &error));
    memset(shm_region_data(made), 7, page);
    REFUSED(-ENOSPC, "small", shm_region_grow(made, MOST, &error));
    CHECK_EQ(shm_region_size(made), page);
    CHECK_SYS(fstat(shm_region_fd(made), &status));
    CHECK_EQ(status.st_size, page);
    CHECK_EQ(status.st_blocks * 512, page);
    OK(shm_region_grow(made, 10 * page, &error));
    memset((char *)shm_region_data(made) + page, 8, 9 * page);
    /* Over RLIMIT_FSIZE: an error, and not the signal. */
    limit(RLIMIT_FSIZE, 11 * page);
    REFUSED(-EFBIG, "RLIMIT_FSIZE", shm_region_grow(made, 12 * page, &error));
    OK(shm_region_grow(made, 11 * page, &error));
    CHECK_EQ(((char *)shm_region_data(made))[0], 7);
    CLOSE(made);
}

static void no_room(void)
{
    IN_CHILD(in_a_small_place, NULL);
}

/* ---- Mirrors ------------------------------------------------------------------------------------- */

/* Records of an odd size, so that many run over the end, by one pointer each. */
struct odd {
    unsigned char bytes[1001];
};

static void read_odd(int socket, void *argument UNUSED)
{
    shm_region *ring = receive(socket, SHMKIT_REGION_MIRROR);
    const size_t size = shm_region_size(ring);

    CHECK_EQ(size, 2 * page);
    for (size_t number = 0; number < 200; number++) {
        hear(socket);
        const struct odd *odd = SHMKIT_AT(ring, struct odd, number * sizeof *odd % size);
        CHECK(odd);
        for (size_t at = 0; at < sizeof *odd; at++)
            CHECK(odd->bytes[at] == (unsigned char)(number + at));
        tell(socket, 0);
    }
    CLOSE(ring);
}

static void mirror(void)
{
    shm_region *ring = NULL;
    struct child child = child_start(read_odd, NULL);
    struct odd copy;

    OK(shm_region_create("ring", 2 * page, OPTIONS(.flags = SHMKIT_REGION_MIRROR), &ring, &error));
    OK(shm_send_region(child.socket, ring, &error));
    for (size_t number = 0; number < 200; number++) {
        size_t offset = number * sizeof(struct odd) % (2 * page);
        struct odd *odd = SHMKIT_AT(ring, struct odd, offset);
        for (size_t at = 0; at < sizeof *odd; at++)
            odd->bytes[at] = (unsigned char)(number + at);
        CODE(0, shm_region_read(ring, offset, &copy, sizeof copy));
        CHECK(!memcmp(&copy, odd, sizeof copy));
        tell(child.socket, 0);
        hear(child.socket);
    }
    CHILD_PASSED(child);
    CHECK(!memcmp(shm_region_data(ring), (char *)shm_region_data(ring) + 2 * page, 2 * page));
    CHECK_EQ(mappings_of("memfd:ring"), 2);
    CLOSE(ring);
    CHECK_EQ(mappings_of("memfd:ring"), 0);
}

/* ---- Reading alone ------------------------------------------------------------------------------- */

static void store(int socket UNUSED, void *argument)
{
    *(volatile char *)argument = 'x';
    _exit(0);
}

static void try_to_write(int socket, void *argument UNUSED)
{
    shm_region *got = receive(socket, 0);
    int fd = shm_region_fd(got), again;
    char path[64];

    CHECK(!strcmp(shm_region_data(got), "published"));
    CODE(-EACCES, shm_region_write(got, 0, "x", 1));
    REFUSED(-EACCES, "", shm_region_protect(got, 0, page, SHMKIT_RIGHTS_READ_WRITE, &error));
    CHECK_EQ(mprotect(shm_region_data(got), page, PROT_READ | PROT_WRITE), -1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK_SYS(again = open(path, O_RDWR | O_CLOEXEC));
    for (size_t at = 0; at < 2; at++) {
        int one = (int[]){fd, again}[at];
        CHECK_EQ(pwrite(one, "x", 1, 0), -1);
        CHECK_EQ(ftruncate(one, 0), -1);
        CHECK(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, one, 0) == MAP_FAILED);
        CHECK_EQ(fcntl(one, F_ADD_SEALS, F_SEAL_GROW), -1);
    }
    close(again);
    CHECK(!strcmp(shm_region_data(got), "published"));
    tell(socket, 0);
    hear(socket);
    CHECK(!strcmp(shm_region_data(got), "and again"));
    CLOSE(got);
}

static void published(void)
{
    shm_region *made = NULL;
    struct child child = child_start(try_to_write, NULL);

    OK(shm_region_create("published", page, NULL, &made, &error));
    OK(shm_region_publish_read_only(made, &error));
    strcpy(shm_region_data(made), "published");
    OK(shm_send_region(child.socket, made, &error));
    hear(child.socket);
    strcpy(shm_region_data(made), "and again");
    tell(child.socket, 0);
    CHILD_PASSED(child);
    CLOSE(made);

    OK(shm_region_create("given", page, NULL, &made, &error));
    shm_region_fd(made);
    REFUSED(-EBUSY, "descriptor", shm_region_publish_read_only(made, &error));
    CLOSE(made);
}

static void frozen(void)
{
    shm_region *made = NULL, *other = NULL;

    OK(shm_region_create("frozen", page, NULL, &made, &error));
    char *text = shm_region_data(made);
    strcpy(text, "for good");
    OK(shm_region_from_fd(shm_region_fd(made), 0, NULL, &other, &error));
    REFUSED(-EBUSY, "frozen", shm_region_freeze(made, &error));
    strcpy(text, "still writable");
    CHECK(!strcmp(shm_region_data(other), "still writable"));
    CLOSE(other);
    OK(shm_region_freeze(made, &error));
    CHECK(shm_region_data(made) == text && !strcmp(text, "still writable"));
    CODE(-EACCES, shm_region_write(made, 0, "x", 1));
    if (!instrumented()) /* a sanitizer ends the process in its own way */
        CHECK_EQ(fate_of(store, text), 128 + SIGSEGV);
    CHECK(!strcmp(text, "still writable"));
    CLOSE(made);
}

/* ---- Huge pages ------------------------------------------------------------------------------------ */

/* Whatever the machine has: the sizes tell. */
static void huge_or_not(void)
{
    const uint32_t flags[] = {SHMKIT_REGION_HUGE_2M, SHMKIT_REGION_HUGE_1G};
    int pools = lock_pools();

    for (size_t at = 0; at < COUNT(flags); at++) {
        shm_region *made = NULL;
        OK(shm_region_create("huge", 5000, OPTIONS(.flags = flags[at] | SHMKIT_REGION_HUGE_FALLBACK), &made, &error));
        size_t of = shm_region_page_size(made), size = shm_region_size(made);
        CHECK(of == page ? size == 5000 : size == of);
        CODE(of != page, shm_region_can_shrink(made));
        memset(shm_region_data(made), 1, 5000);
        CODE(0, shm_region_write(made, size - 1, "x", 1));
        CLOSE(made);
    }
    if (pools != -1)
        close(pools);
}

static void test(void)
{
    RUN(growth);
    RUN(no_room);
    RUN(mirror);
    RUN(published);
    RUN(frozen);
    RUN(huge_or_not);
}
