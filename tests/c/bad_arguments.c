/* Goal: NULL, negative, huge, unaligned and unknown arguments to every function are errors that say why. */
#include "test.h"

static int sockets[2]; /* connected; a valid region waits in sockets[1] */
static int file_fd;

/* ---- Every call that opens a region, with other arguments that are good ---------------------- */

static int create(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_region_create("bad-arguments", 2 * page, options, region, error);
}

static int from_fd(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_region_from_fd(file_fd, 0, options, region, error);
}

static int anon_create(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_anon_create(2 * page, options, region, error);
}

static int file_create(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_file_create(test_path("created"), 2 * page, options, region, error);
}

static int file_open(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_file_open(test_path("file"), 0, options, region, error);
}

static int posix_create(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_posix_create(test_name("created"), 2 * page, options, region, error);
}

static int posix_open(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_posix_open(test_name("object"), options, region, error);
}

static int sysv_create(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_sysv_create(test_key(1), 2 * page, options, region, error);
}

static int sysv_attach(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_sysv_attach(test_key(2), options, region, error);
}

static int sysv_attach_id(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_sysv_attach_id(shmget(test_key(2), 0, 0), options, region, error);
}

static int sysv_create_at(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_sysv_create_at(test_path("file"), 1, 2 * page, options, region, error);
}

static int sysv_attach_at(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_sysv_attach_at(test_path("file"), 2, options, region, error);
}

static int recv_region(const shm_region_options *options, shm_region **region, shm_error *error)
{
    return shm_recv_region(sockets[1], options, region, error);
}

#define COMMON \
    (SHMKIT_REGION_READ_ONLY | SHMKIT_REGION_POPULATE | SHMKIT_REGION_LOCKED | SHMKIT_REGION_NO_FORK | \
     SHMKIT_REGION_NO_DUMP)
#define WITH_FD \
    (COMMON | SHMKIT_REGION_PRIVATE | SHMKIT_REGION_RISK_REOPEN | SHMKIT_REGION_GROWABLE | SHMKIT_REGION_MIRROR)
#define FILES (WITH_FD | SHMKIT_REGION_NO_RESERVE)
#define MAKING (SHMKIT_REGION_REPLACE | SHMKIT_REGION_OR_OPEN)
#define SYSV (COMMON | SHMKIT_REGION_AUTO_REMOVE)
#define SYSV_MAKING (SYSV | SHMKIT_REGION_OR_OPEN | SHMKIT_REGION_NO_RESERVE)
#define HUGE (SHMKIT_REGION_HUGE_2M | SHMKIT_REGION_HUGE_1G)

static const struct opener {
    const char *name;
    int (*open)(const shm_region_options *, shm_region **, shm_error *);
    uint32_t flags; /* what the header lists */
    bool makes, by_offset;
} openers[] = {
    {"shm_region_create", create, FILES | HUGE, true, false},
    {"shm_region_from_fd", from_fd, FILES | SHMKIT_REGION_PAST_END | HUGE, false, true},
    {"shm_anon_create", anon_create, COMMON | SHMKIT_REGION_PRIVATE | SHMKIT_REGION_NO_RESERVE, true, false},
    {"shm_file_create", file_create, FILES | MAKING, true, false},
    {"shm_file_open", file_open, FILES | SHMKIT_REGION_PAST_END | HUGE, false, true},
    {"shm_posix_create", posix_create,
     FILES | MAKING | SHMKIT_REGION_RISK_DISK | SHMKIT_REGION_UNLINK_LAST | SHMKIT_REGION_UNLINK_CREATOR, true, false},
    {"shm_posix_open", posix_open, FILES | SHMKIT_REGION_RISK_DISK, false, true},
    {"shm_sysv_create", sysv_create, SYSV_MAKING | HUGE, true, false},
    {"shm_sysv_attach", sysv_attach, SYSV, false, false},
    {"shm_sysv_attach_id", sysv_attach_id, SYSV, false, false},
    {"shm_sysv_create_at", sysv_create_at, SYSV_MAKING, true, false},
    {"shm_sysv_attach_at", sysv_attach_at, SYSV, false, false},
    {"shm_recv_region", recv_region, (WITH_FD | SHMKIT_REGION_RISK_SHRINK | HUGE) & ~SHMKIT_REGION_GROWABLE, false,
     false},
};

static void remove_key(int32_t key)
{
    int id = shmget(key, 0, 0);

    if (id != -1)
        CHECK_SYS(shmctl(id, IPC_RMID, NULL));
}

static int32_t key_of(const char *path, int project)
{
    int32_t key;

    OK(shm_sysv_key(path, project, &key, &error));
    return noted(key);
}

/* What the openers open; a region that was received is replaced. */
static void prepare(const struct opener *opener)
{
    shm_region *made = NULL;

    unlink(test_path("created"));
    shm_posix_unlink(test_name("created"), NULL);
    remove_key(test_key(1));
    remove_key(key_of(test_path("file"), 1));
    if (opener->open == recv_region && recv(sockets[1], &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == -1) {
        OK(create(NULL, &made, &error));
        OK(shm_send_region(sockets[0], made, &error));
        CLOSE(made);
    }
    if (opener->open == sysv_attach || opener->open == sysv_attach_id) {
        remove_key(test_key(2));
        OK(shm_sysv_create(test_key(2), 2 * page, NULL, &made, &error));
        CLOSE(made);
    }
    if (opener->open == sysv_attach_at) {
        remove_key(key_of(test_path("file"), 2));
        OK(shm_sysv_create_at(test_path("file"), 2, 2 * page, NULL, &made, &error));
        CLOSE(made);
    }
}

/* Unknown flags, and flags that the call has no use for, are EINVAL; the others are taken. */
static void flags(void)
{
    int pools = lock_pools();

    for (size_t at = 0; at < COUNT(openers); at++)
        for (int bit = 0; bit < 32; bit++) {
            const struct opener *opener = &openers[at];
            shm_region_options *options = OPTIONS(.flags = 1u << bit, .size_max = 1 << 20);
            shm_region *opened = NULL;

            /* Where the machine has no huge pages to give, ordinary ones will do. */
            if (opener->makes && opener->flags & HUGE & options->flags)
                options->flags |= SHMKIT_REGION_HUGE_FALLBACK;

            prepare(opener);
            if (!(opener->flags & options->flags)) {
                int code = opener->open(options, &opened, &error);
                if (code != -EINVAL || opened || error.code != -EINVAL)
                    FAIL("%s with flag %#x answers %d (%s)", opener->name, options->flags, code, shm_error_name(code));
                continue;
            }
            int code = opener->open(options, &opened, &error);
            if (code != (options->flags == SHMKIT_REGION_OR_OPEN) || !opened)
                FAIL("%s with flag %#x answers %d: %s", opener->name, options->flags, code, error.message);
            CLOSE(opened);
        }
    if (pools != -1)
        close(pools);
}

static void null_outputs(void)
{
    for (size_t at = 0; at < COUNT(openers); at++) {
        prepare(&openers[at]);
        REFUSED(-EINVAL, "NULL", openers[at].open(NULL, NULL, &error));
        CODE(-EINVAL, openers[at].open(NULL, NULL, NULL));
        REFUSED_REGION(-EINVAL, "", openers[at].open(OPTIONS(.flags = 1u << 31), &region, &error));
        CODE(-EINVAL, openers[at].open(OPTIONS(.flags = 1u << 31), &region, NULL));
    }
}

static void other_fields(void)
{
    for (size_t at = 0; at < COUNT(openers); at++) {
        const struct opener *opener = &openers[at];

        prepare(opener);
        if (opener->makes && opener->open != anon_create)
            REFUSED_REGION(-EINVAL, "mode", opener->open(OPTIONS(.mode = 01000), &region, &error));
        if (opener->by_offset) {
            /* The offset must be a multiple of the page size (D2.6). */
            REFUSED_REGION(-EINVAL, "offset", opener->open(OPTIONS(.offset = 1), &region, &error));
            SAYS("4096");
            /* offset + length beyond the number range, or beyond the file: never a mapping. */
            for (size_t i = 0; i < 4; i++) {
                uint64_t offset[] = {2 * page, (uint64_t)1 << 62, (uint64_t)INT64_MAX + 1, UINT64_MAX - page + 1};
                int code = opener->open(OPTIONS(.offset = offset[i]), &region, &error);
                CHECK(code == -EINVAL || code == -EOVERFLOW);
            }
        }
        if (!opener->makes) {
            REFUSED_REGION(-EINVAL, "8193", opener->open(OPTIONS(.size_min = 8193), &region, &error));
            SAYS("8192");
            prepare(opener);
            REFUSED_REGION(-EINVAL, "", opener->open(OPTIONS(.size_min = UINT64_MAX), &region, &error));
            prepare(opener);
        }
        /* What only other calls use is refused too. */
        if (opener->open != create)
            REFUSED_REGION(-EINVAL, "seal", opener->open(OPTIONS(.seals = SHMKIT_SEAL_SHRINK), &region, &error));
        if (!opener->by_offset)
            REFUSED_REGION(-EINVAL, "offset", opener->open(OPTIONS(.offset = page), &region, &error));
        if (opener->open == create) {
            REFUSED_REGION(-EINVAL, "seal", opener->open(OPTIONS(.seals = 64), &region, &error));
            REFUSED_REGION(-EINVAL, "seal", opener->open(OPTIONS(.seals = SHMKIT_SEAL_NONE | 1), &region, &error));
        }
        if (opener->open == recv_region) {
            REFUSED_REGION(-EFBIG, "8191", opener->open(OPTIONS(.size_max = 8191), &region, &error));
            SAYS("8192");
        }
    }
}

/* ---- Structures that may grow ------------------------------------------------------------- */

/* Bytes that end where no page follows: reading past them would be death. */
static unsigned char *before_a_hole(size_t bytes)
{
    static unsigned char *memory;

    if (!memory) {
        memory = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED);
        CHECK_SYS(mprotect(memory + 2 * page, page, PROT_NONE));
    }
    memset(memory, 0, 2 * page);
    return memory + 2 * page - bytes;
}

static shm_region_options *options_of(uint32_t size, uint32_t stored)
{
    unsigned char *bytes = before_a_hole(size);

    memcpy(bytes, &stored, sizeof stored);
    return (shm_region_options *)(void *)bytes;
}

static void options_that_grow(void)
{
    const uint32_t known = sizeof(shm_region_options);
    shm_region *opened = NULL;

    /* Too short to hold its own size. */
    for (uint32_t size = 0; size < 4; size++)
        REFUSED_REGION(-EINVAL, "size", create(options_of(8, size), &region, &error));
    /* Shorter: what is missing is 0. */
    OK(create(options_of(8, 4), &opened, &error));
    CLOSE(opened);
    for (uint32_t size = 8; size < known; size += 8) {
        OK(create(options_of(size, size), &opened, &error));
        CLOSE(opened);
    }
    /* Longer: accepted while the tail is 0. */
    for (uint32_t size = known; size <= 4096; size += 8) {
        OK(create(options_of(size, size), &opened, &error));
        CLOSE(opened);
    }
    for (uint32_t tail = known; tail < known + 40; tail++) {
        shm_region_options *options = options_of(known + 40, known + 40);
        ((unsigned char *)options)[tail] = 1;
        REFUSED_REGION(-E2BIG, "", create(options, &region, &error));
    }
    /* Wild sizes are not followed. */
    REFUSED_REGION(-E2BIG, "4097", create(options_of(8, 4097), &region, &error));
    REFUSED_REGION(-E2BIG, "4294967295", create(options_of(8, UINT32_MAX), &region, &error));
}

static void information_that_grows(void)
{
    shm_sysv_info whole;
    shm_peer whole_peer;
    _Alignas(16) unsigned char bytes[sizeof whole + 24];
    shm_region *opened = NULL;
    int pair[2];

    OK(shm_sysv_create(0, page, OPTIONS(.flags = SHMKIT_REGION_AUTO_REMOVE), &opened, &error));
    int id = shm_sysv_id(opened);
    OK(shm_sysv_stat(id, &whole, sizeof whole, &error));
    for (size_t size = 1; size <= sizeof whole + 16; size++) {
        memset(bytes, 0xa5, sizeof bytes);
        OK(shm_sysv_stat(id, (shm_sysv_info *)(void *)bytes, size, &error));
        CHECK(!memcmp(bytes, &whole, size < sizeof whole ? size : sizeof whole));
        for (size_t at = sizeof whole; at < size; at++)
            CHECK_EQ(bytes[at], 0);
        for (size_t at = size; at < sizeof bytes; at++)
            CHECK_EQ(bytes[at], 0xa5);
    }
    REFUSED(-EINVAL, "NULL", shm_sysv_stat(id, NULL, sizeof whole, &error));
    memset(bytes, 0xa5, sizeof bytes);
    REFUSED(-EINVAL, "", shm_sysv_stat(id, (shm_sysv_info *)(void *)bytes, 0, &error));
    REFUSED(-EINVAL, "", shm_sysv_stat(id, (shm_sysv_info *)(void *)bytes, SIZE_MAX, &error));
    for (size_t at = 0; at < sizeof bytes; at++)
        CHECK_EQ(bytes[at], 0xa5);
    CLOSE(opened);

    CHECK_SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    for (size_t size = 1; size <= sizeof(shm_peer) + 16; size++) {
        int fds = open_fds();
        memset(bytes, 0xa5, sizeof bytes);
        OK(shm_peer_get(pair[0], (shm_peer *)(void *)bytes, size, &error));
        pid_t pid = getpid();
        CHECK(!memcmp(bytes, &pid, size < sizeof pid ? size : sizeof pid));
        for (size_t at = sizeof(shm_peer); at < size; at++)
            CHECK_EQ(bytes[at], 0);
        for (size_t at = size; at < sizeof bytes; at++)
            CHECK_EQ(bytes[at], 0xa5);
        /* A pidfd that does not fit the caller's struct is not left open. */
        if (size >= sizeof whole_peer) {
            memcpy(&whole_peer, bytes, sizeof whole_peer);
            if (whole_peer.pidfd != -1)
                close(whole_peer.pidfd);
        }
        CHECK_EQ(open_fds(), fds);
    }
    REFUSED(-EINVAL, "NULL", shm_peer_get(pair[0], NULL, sizeof(shm_peer), &error));
    REFUSED(-EINVAL, "", shm_peer_get(pair[0], (shm_peer *)(void *)bytes, 0, &error));
    close(pair[0]);
    close(pair[1]);
}

/* The message ends inside its array, and nothing behind it is touched. */
static void error_struct(void)
{
    static char path[3 * PATH_MAX];
    struct {
        shm_error error;
        unsigned char guard[64];
    } guarded;

    for (size_t length = 1; length < sizeof path; length += length < 400 ? 1 : 997) {
        memset(path, 'x', sizeof path);
        path[0] = '/';
        path[length] = '\0';
        memset(&guarded, 0xa5, sizeof guarded);
        region = UNTOUCHED;
        int code = shm_file_open(path, 0, NULL, &region, &guarded.error);
        CHECK(code < 0 && region == UNTOUCHED);
        CHECK_EQ(guarded.error.code, code);
        CHECK(memchr(guarded.error.message, '\0', sizeof guarded.error.message));
        for (size_t at = 0; at < sizeof guarded.guard; at++)
            CHECK_EQ(guarded.guard[at], 0xa5);
    }
    /* A name of many wide characters is cut at a character's end. */
    for (size_t at = 0; at + 3 < 300; at += 3)
        memcpy(path + at, "\xe5\x85\xb1\0", 4);
    REFUSED(-ENAMETOOLONG, "", shm_posix_unlink(path, &error));
    const unsigned char *last = (const unsigned char *)error.message + strlen(error.message);
    int rest = 0;
    while ((*--last & 0xc0) == 0x80)
        rest++;
    CHECK_EQ(rest, *last >= 0xf0 ? 3 : *last >= 0xe0 ? 2 : *last >= 0xc0 ? 1 : 0);
    /* Control characters of a stranger's name do not reach a terminal. */
    REFUSED(-ENOENT, "", shm_posix_unlink("shmkit-\x1b[2J\n", &error));
    for (const char *c = error.message; *c; c++)
        CHECK((unsigned char)*c >= 0x20);
}

/* ---- Sizes, names, numbers ---------------------------------------------------------------- */

/* Sizes that no machine has: an error, and nothing was allocated on the way. */
static void sizes(void)
{
    const size_t huge[] = {(size_t)1 << 48, (size_t)1 << 62, (size_t)INT64_MAX, (size_t)INT64_MAX + 1, SIZE_MAX - page,
                           SIZE_MAX};
    const char *name = test_name("sizes"), *path = test_path("sizes");
    int32_t key = test_key(3);

    /* length 0: EINVAL */
    REFUSED_REGION(-EINVAL, "0", shm_region_create("x", 0, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "0", shm_anon_create(0, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "0", shm_file_create(path, 0, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "0", shm_posix_create(name, 0, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "0", shm_sysv_create(key, 0, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "0", shm_sysv_create_at(test_path("file"), 3, 0, NULL, &region, &error));

    for (size_t at = 0; at < COUNT(huge); at++) {
        int codes[] = {
            shm_region_create("x", huge[at], NULL, &region, NULL),
            shm_anon_create(huge[at], NULL, &region, NULL),
            shm_file_create(path, huge[at], NULL, &region, NULL),
            shm_posix_create(name, huge[at], NULL, &region, NULL),
            shm_sysv_create(key, huge[at], NULL, &region, NULL),
            shm_sysv_create_at(test_path("file"), 3, huge[at], NULL, &region, NULL),
            shm_region_from_fd(file_fd, huge[at], NULL, &region, NULL),
            shm_region_from_fd(file_fd, huge[at], OPTIONS(.flags = SHMKIT_REGION_PAST_END), &region, NULL),
            shm_file_open(test_path("file"), huge[at], OPTIONS(.flags = SHMKIT_REGION_PAST_END), &region, NULL),
        };
        for (size_t i = 0; i < COUNT(codes); i++)
            if (codes[i] != -EINVAL && codes[i] != -ENOMEM && codes[i] != -ENOSPC && codes[i] != -EFBIG &&
                codes[i] != -EOVERFLOW)
                FAIL("call %zu of size %zu answers %d (%s)", i, huge[at], codes[i], shm_error_name(codes[i]));
        CHECK(access(path, F_OK) == -1);
        REFUSED(-ENOENT, name, shm_posix_unlink(name, &error));
        CHECK_EQ(shmget(key, 0, 0), -1);
    }
}

static void names(void)
{
    static char long_name[300];

    /* memfd name: 249 bytes at most */
    memset(long_name, 'n', sizeof long_name - 1);
    REFUSED_REGION(-EINVAL, "NULL", shm_region_create(NULL, page, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "249", shm_region_create(long_name, page, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "NULL", shm_file_create(NULL, page, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "NULL", shm_file_open(NULL, 0, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "NULL", shm_posix_create(NULL, page, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "NULL", shm_posix_open(NULL, NULL, &region, &error));
    REFUSED(-EINVAL, "NULL", shm_posix_unlink(NULL, &error));
    REFUSED_REGION(-EINVAL, "NULL", shm_sysv_create_at(NULL, 1, page, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "NULL", shm_sysv_attach_at(NULL, 1, NULL, &region, &error));
    REFUSED_REGION(-ENOENT, "", shm_file_create("", page, NULL, &region, &error));
    REFUSED_REGION(-ENOENT, "", shm_file_open("", 0, NULL, &region, &error));
}

static void system_v_numbers(void)
{
    int32_t key = 0x5a5a;
    shm_region *memfd = NULL;
    const int bad_ids[] = {-1, INT_MIN, INT_MAX};

    REFUSED(-EINVAL, "NULL", shm_sysv_key(NULL, 1, &key, &error));
    REFUSED(-EINVAL, "NULL", shm_sysv_key("/", 1, NULL, &error));
    REFUSED(-EINVAL, "-1", shm_sysv_key("/", -1, &key, &error));
    REFUSED(-EINVAL, "256", shm_sysv_key("/", 256, &key, &error));
    REFUSED(-EINVAL, "", shm_sysv_key("/", INT_MAX, &key, &error));
    REFUSED(-ENOENT, "", shm_sysv_key("", 1, &key, &error));
    CHECK_EQ(key, 0x5a5a);
    REFUSED_REGION(-EINVAL, "256", shm_sysv_create_at("/", 256, page, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "256", shm_sysv_attach_at("/", 256, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "-1", shm_sysv_create(-1, page, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "-1", shm_sysv_attach(-1, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "0", shm_sysv_attach(0, NULL, &region, &error));
    for (size_t at = 0; at < COUNT(bad_ids); at++) {
        char id[16];
        shm_sysv_info info;
        snprintf(id, sizeof id, "%d", bad_ids[at]);
        REFUSED_REGION(-EINVAL, id, shm_sysv_attach_id(bad_ids[at], NULL, &region, &error));
        REFUSED(-EINVAL, id, shm_sysv_stat(bad_ids[at], &info, sizeof info, &error));
        REFUSED(-EINVAL, id, shm_sysv_set_owner(bad_ids[at], 0, 0, 0600, &error));
        REFUSED(-EINVAL, id, shm_sysv_lock(bad_ids[at], &error));
        REFUSED(-EINVAL, id, shm_sysv_unlock(bad_ids[at], &error));
        REFUSED(-EINVAL, id, shm_sysv_remove(bad_ids[at], &error));
        CODE(-EINVAL, shm_sysv_remove(bad_ids[at], NULL));
    }
    OK(create(NULL, &memfd, &error));
    CODE(-EINVAL, shm_sysv_id(NULL));
    CODE(-EOPNOTSUPP, shm_sysv_id(memfd));
    CLOSE(memfd);

    shm_region *sysv = NULL;
    OK(shm_sysv_create(0, page, OPTIONS(.flags = SHMKIT_REGION_AUTO_REMOVE), &sysv, &error));
    REFUSED(-EINVAL, "mode", shm_sysv_set_owner(shm_sysv_id(sysv), 0, 0, 01000, &error));
    OK(shm_sysv_set_owner(shm_sysv_id(sysv), UINT32_MAX, UINT32_MAX, 0600, &error));
    CLOSE(sysv);
}

/* ---- Regions ------------------------------------------------------------------------------ */

static void no_region(void)
{
    char byte = 7;
    void *pointer = &byte;

    CHECK(shm_region_data(NULL) == NULL);
    CHECK_EQ(shm_region_size(NULL), 0);
    CHECK_EQ(shm_region_size_max(NULL), 0);
    CHECK_EQ(shm_region_page_size(NULL), 0);
    CODE(-EINVAL, shm_region_fd(NULL));
    CODE(-EINVAL, shm_region_kind(NULL));
    CODE(-EINVAL, shm_region_rights(NULL));
    CHECK(shm_region_name(NULL) == NULL);
    CODE(-EINVAL, shm_region_can_shrink(NULL));
    CODE(-EINVAL, shm_region_read(NULL, 0, &byte, 1));
    CODE(-EINVAL, shm_region_write(NULL, 0, &byte, 1));
    CODE(-EINVAL, shm_region_at(NULL, 0, 1, 1, &pointer));
    CHECK(pointer == &byte);
    REFUSED(-EINVAL, "NULL", shm_region_check(NULL, 0, 1, &error));
    CODE(-EINVAL, shm_region_flush(NULL, 0, 1));
    CODE(-EINVAL, shm_region_flush_async(NULL, 0, 1));
    REFUSED(-EINVAL, "NULL", shm_region_prefault(NULL, 0, 1, &error));
    REFUSED(-EINVAL, "NULL", shm_region_advise(NULL, 0, 1, SHMKIT_ADVICE_NORMAL, &error));
    REFUSED(-EINVAL, "NULL", shm_region_lock(NULL, 0, 1, &error));
    REFUSED(-EINVAL, "NULL", shm_region_unlock(NULL, 0, 1, &error));
    REFUSED(-EINVAL, "NULL", shm_region_protect(NULL, 0, 1, SHMKIT_RIGHTS_READ, &error));
    CODE(-EINVAL, shm_region_seals(NULL));
    REFUSED(-EINVAL, "NULL", shm_region_seal(NULL, SHMKIT_SEAL_SEAL, &error));
    REFUSED(-EINVAL, "NULL", shm_region_grow(NULL, page, &error));
    CODE(-EINVAL, shm_region_grow(NULL, page, NULL));
    REFUSED(-EINVAL, "NULL", shm_region_follow(NULL, &error));
    CODE(-EINVAL, shm_region_follow(NULL, NULL));
    REFUSED(-EINVAL, "NULL", shm_region_publish_read_only(NULL, &error));
    CODE(-EINVAL, shm_region_publish_read_only(NULL, NULL));
    REFUSED(-EINVAL, "NULL", shm_region_freeze(NULL, &error));
    CODE(-EINVAL, shm_region_freeze(NULL, NULL));
    CODE(0, shm_region_close(NULL));
}

/* Arithmetic is 64-bit and checked: offset <= size && length <= size - offset. */
static void ranges_of(shm_region *opened)
{
    const size_t size = shm_region_size(opened);
    const struct {
        size_t offset, length;
    } outside[] = {
        {size, 1},      {size - 1, 2},     {0, size + 1},       {size + 1, 0},        {size + page, 0},
        {1, SIZE_MAX},  {SIZE_MAX, 1},     {SIZE_MAX, 0},       {SIZE_MAX - 3, 8},    {0, SIZE_MAX},
        {1, SIZE_MAX - 1}, {page, SIZE_MAX - page + 1}, {(size_t)1 << 32, 1}, {(size_t)1 << 63, (size_t)1 << 63},
    };
    char bytes[8] = {0};
    void *pointer = bytes;

    for (size_t at = 0; at < COUNT(outside); at++) {
        size_t offset = outside[at].offset, length = outside[at].length, aligned = offset & ~(page - 1);

        CODE(-ERANGE, shm_region_read(opened, offset, bytes, length));
        CODE(-ERANGE, shm_region_write(opened, offset, bytes, length));
        CODE(-ERANGE, shm_region_at(opened, offset, length, 1, &pointer));
        CHECK(pointer == bytes);
        REFUSED(-ERANGE, "", shm_region_check(opened, offset, length, &error));
        CODE(-ERANGE, shm_region_flush(opened, offset, length));
        CODE(-ERANGE, shm_region_flush_async(opened, offset, length));
        REFUSED(-ERANGE, "", shm_region_prefault(opened, offset, length, &error));
        REFUSED(-ERANGE, "", shm_region_lock(opened, offset, length, &error));
        REFUSED(-ERANGE, "", shm_region_unlock(opened, offset, length, &error));
        /* These want whole pages to begin with. */
        if (aligned > size || length > size - aligned) {
            REFUSED(-ERANGE, "", shm_region_advise(opened, aligned, length, SHMKIT_ADVICE_NORMAL, &error));
            REFUSED(-ERANGE, "", shm_region_protect(opened, aligned, length, SHMKIT_RIGHTS_READ, &error));
        }
    }
    /* The message has the numbers. */
    REFUSED(-ERANGE, "8190", shm_region_check(opened, 8190, 4, &error));
    SAYS("8191");
    /* Nothing, at the very end, is inside. */
    CODE(0, shm_region_read(opened, size, bytes, 0));
    CODE(0, shm_region_write(opened, size, bytes, 0));
    CODE(0, shm_region_at(opened, size, 0, 1, &pointer));
    CHECK(pointer == (char *)shm_region_data(opened) + size);
    OK(shm_region_check(opened, size, 0, &error));
    CODE(0, shm_region_flush(opened, size, 0));
    CODE(0, shm_region_flush_async(opened, size, 0));
    OK(shm_region_prefault(opened, size, 0, &error));
    OK(shm_region_lock(opened, size, 0, &error));
    OK(shm_region_unlock(opened, size, 0, &error));

    CODE(-EINVAL, shm_region_read(opened, 0, NULL, 1));
    CODE(-EINVAL, shm_region_write(opened, 0, NULL, 1));
    CODE(-EINVAL, shm_region_at(opened, 0, 1, 1, NULL));
    CODE(-EINVAL, shm_region_at(opened, 0, 1, 0, &pointer));
    CODE(-EINVAL, shm_region_at(opened, 0, 1, 3, &pointer));
    CODE(-EINVAL, shm_region_at(opened, 1, 4, 4, &pointer));
    CODE(-EINVAL, shm_region_at(opened, 8, 4, SIZE_MAX, &pointer));
    CODE(-EINVAL, shm_region_at(opened, 8, 4, (size_t)1 << 63, &pointer));

    for (size_t i = 0; i < 4; i++)
        REFUSED(-EINVAL, "advice",
                shm_region_advise(opened, 0, page, (int[]){-1, 9, INT_MAX, INT_MIN}[i], &error));
    for (size_t i = 0; i < 4; i++)
        REFUSED(-EINVAL, "rights",
                shm_region_protect(opened, 0, page, (uint32_t[]){2, 4, 7, UINT32_MAX}[i], &error));
    REFUSED(-EINVAL, "offset", shm_region_advise(opened, 1, 1, SHMKIT_ADVICE_NORMAL, &error));
    SAYS("4096");
    REFUSED(-EINVAL, "offset", shm_region_protect(opened, 1, 1, SHMKIT_RIGHTS_READ, &error));
    SAYS("4096");
    for (size_t i = 0; i < 3; i++) {
        uint32_t seals = (uint32_t[]){64, SHMKIT_SEAL_NONE, 1u << 31}[i];
        int code = shm_region_seal(opened, seals, &error);
        CHECK(code == -EINVAL || code == -EOPNOTSUPP);
    }
}

/* Every call on ranges, on a region that can shrink and on one that cannot, both of 8191 bytes. */
static void ranges(void)
{
    shm_region *opened = NULL;

    OK(shm_region_create("ranges", 8191, NULL, &opened, &error));
    ranges_of(opened);
    CLOSE(opened);
    OK(shm_file_create(test_path("ranges"), 8191, NULL, &opened, &error));
    ranges_of(opened);
    CLOSE(opened);
    OK(shm_sysv_create(0, 8191, OPTIONS(.flags = SHMKIT_REGION_AUTO_REMOVE), &opened, &error));
    ranges_of(opened);
    CLOSE(opened);
    CHECK_SYS(unlink(test_path("ranges")));
}

/* Where a mirror's two halves end. */
static void ranges_of_a_mirror(void)
{
    const size_t twice = 4 * page;
    const struct {
        size_t offset, length;
    } outside[] = {
        {twice, 1},    {twice - 1, 2}, {0, twice + 1}, {twice + 1, 0}, {2 * page, 2 * page + 1}, {1, SIZE_MAX},
        {SIZE_MAX, 1}, {SIZE_MAX, 0},  {2 * page, SIZE_MAX - 2 * page + 1}, {(size_t)1 << 63, (size_t)1 << 63},
    };
    shm_region *opened = NULL;
    char bytes[8] = "mirror";
    void *pointer = bytes;

    OK(create(OPTIONS(.flags = SHMKIT_REGION_MIRROR), &opened, &error));
    for (size_t at = 0; at < COUNT(outside); at++) {
        size_t offset = outside[at].offset, length = outside[at].length;
        CODE(-ERANGE, shm_region_read(opened, offset, bytes, length));
        CODE(-ERANGE, shm_region_write(opened, offset, bytes, length));
        CODE(-ERANGE, shm_region_at(opened, offset, length, 1, &pointer));
        REFUSED(-ERANGE, "twice", shm_region_check(opened, offset, length, &error));
        CODE(-ERANGE, shm_region_flush(opened, offset, length));
        REFUSED(-ERANGE, "twice", shm_region_prefault(opened, offset, length, &error));
        REFUSED(-ERANGE, "twice", shm_region_lock(opened, offset, length, &error));
        CHECK(pointer == bytes && !strcmp(bytes, "mirror"));
    }
    CODE(0, shm_region_at(opened, twice, 0, 1, &pointer));
    CHECK(pointer == (char *)shm_region_data(opened) + twice);
    CODE(0, shm_region_write(opened, 2 * page - 4, bytes, 8));
    CODE(0, shm_region_at(opened, 2 * page - 4, 8, 1, &pointer));
    CHECK(!memcmp(pointer, "mirror\0", 8));
    CHECK(!memcmp(shm_region_data(opened), "or\0", 4));
    CLOSE(opened);
}

/* ---- Growing, mirrors, publishing ------------------------------------------------------------ */

/* A failing call fills the caller's shm_error and nothing behind it; a good one leaves it alone. */
static struct {
    shm_error error;
    unsigned char guard[64];
} guarded;

static shm_error *fresh_error(void)
{
    memset(&guarded, 0xa5, sizeof guarded);
    return &guarded.error;
}

static void checked(const char *call, int got, int want)
{
    if (got != want)
        FAIL("%s answers %d (%s), not %d", call, got, shm_error_name(got), want);
    if (want < 0) {
        CHECK_EQ(guarded.error.code, want);
        CHECK(memchr(guarded.error.message, '\0', sizeof guarded.error.message));
        CHECK(guarded.error.message[0] != '\0');
    } else
        for (size_t at = 0; at < sizeof guarded.error; at++)
            CHECK_EQ(((unsigned char *)&guarded.error)[at], 0xa5);
    for (size_t at = 0; at < sizeof guarded.guard; at++)
        CHECK_EQ(guarded.guard[at], 0xa5);
}
#define CHECKED(want, call, ...) checked(#call, call(__VA_ARGS__, fresh_error()), want)

static void growing(void)
{
    const size_t beyond[] = {8 * page + 1,      (size_t)1 << 32, (size_t)1 << 62,
                             (size_t)INT64_MAX, SIZE_MAX - page, SIZE_MAX};
    const uint64_t too_far[] = {(uint64_t)1 << 47, (uint64_t)1 << 62, INT64_MAX, UINT64_MAX - page, UINT64_MAX};
    const struct opener *opener;
    shm_region *opened = NULL, *other = NULL;

    /* How far it may grow has to be said, and has to be possible. */
    for (opener = openers; opener < openers + COUNT(openers); opener++) {
        if (!(opener->flags & SHMKIT_REGION_GROWABLE))
            continue;
        for (size_t at = 0; at < 3; at++) {
            uint64_t least = (uint64_t[]){0, 1, 2 * page - 1}[at];
            prepare(opener);
            REFUSED_REGION(-EINVAL, "size_max",
                           opener->open(OPTIONS(.flags = SHMKIT_REGION_GROWABLE, .size_max = least), &region, &error));
            SAYS("8192");
        }
        for (size_t at = 0; at < COUNT(too_far); at++) {
            prepare(opener);
            region = UNTOUCHED;
            int code = opener->open(OPTIONS(.flags = SHMKIT_REGION_GROWABLE, .size_max = too_far[at]), &region, &error);
            if (code != too_long_to_map() && code != -ENOMEM && code != -EOVERFLOW)
                FAIL("%s that grows to %llu answers %d", opener->name, (unsigned long long)too_far[at], code);
            CHECK(region == UNTOUCHED);
        }
        prepare(opener);
        CHECK_EQ(opener->open(OPTIONS(.flags = SHMKIT_REGION_GROWABLE, .size_max = 8 * page), &opened, &error), 0);
        CHECK_EQ(shm_region_size(opened), 2 * page);
        CHECK_EQ(shm_region_size_max(opened), 8 * page);
        CHECK_EQ(shm_region_page_size(opened), page);
        for (size_t at = 0; at < COUNT(beyond); at++)
            CHECKED(-EFBIG, shm_region_grow, opened, beyond[at]);
        for (size_t at = 0; at < 4; at++)
            CHECKED(0, shm_region_grow, opened, (size_t[]){0, 1, page, 2 * page - 1}[at]);
        CHECKED(0, shm_region_grow, opened, 2 * page);
        CHECKED(0, shm_region_follow, opened);
        CHECK_EQ(shm_region_size(opened), 2 * page);
        CLOSE(opened);
    }
    OK(create(OPTIONS(.flags = SHMKIT_REGION_GROWABLE, .size_max = 8 * page), &opened, &error));
    CHECKED(0, shm_region_grow, opened, 8 * page);
    OK(shm_region_seal(opened, SHMKIT_SEAL_FUTURE_WRITE, &error));
    uint32_t both = SHMKIT_REGION_GROWABLE | SHMKIT_REGION_READ_ONLY;
    OK(shm_region_from_fd(shm_region_fd(opened), page, OPTIONS(.flags = both, .size_max = 8 * page), &other, &error));
    CHECKED(-EACCES, shm_region_grow, other, 2 * page);
    CHECKED(1, shm_region_follow, other);
    CHECK_EQ(shm_region_size(other), 8 * page);
    CLOSE(other);
    CLOSE(opened);
    /* Where nobody asked for it. */
    for (opener = openers; opener < openers + COUNT(openers); opener++) {
        prepare(opener);
        CHECK(opener->open(NULL, &opened, &error) >= 0);
        CHECK_EQ(shm_region_size_max(opened), shm_region_size(opened));
        CHECK_EQ(shm_region_page_size(opened), page);
        for (size_t at = 0; at < COUNT(beyond); at++)
            CHECKED(-EOPNOTSUPP, shm_region_grow, opened, beyond[at]);
        CHECKED(-EOPNOTSUPP, shm_region_grow, opened, 0);
        CHECKED(-EOPNOTSUPP, shm_region_follow, opened);
        CLOSE(opened);
    }
}

/* What keeps all of it for reading takes no arguments but the region: each kind's answer. */
static void reading_alone(void)
{
    for (size_t at = 0; at < COUNT(openers); at++) {
        const struct opener *opener = &openers[at];
        bool made = opener->open == create, memfd = made || opener->open == recv_region;
        shm_region *opened = NULL;

        prepare(opener);
        CHECK(opener->open(NULL, &opened, &error) >= 0);
        CHECKED(made ? 0 : memfd ? -EBUSY : -EOPNOTSUPP, shm_region_publish_read_only, opened);
        CLOSE(opened);
        prepare(opener);
        CHECK(opener->open(NULL, &opened, &error) >= 0);
        CHECKED(memfd ? 0 : -EOPNOTSUPP, shm_region_freeze, opened);
        CHECKED(memfd ? 0 : -EOPNOTSUPP, shm_region_freeze, opened);
        CODE(memfd ? -EACCES : 0, shm_region_write(opened, 0, "x", 1));
        CLOSE(opened);
    }
}

/* Flags that exclude each other, and sizes that cannot be. */
static void clashes(void)
{
    static const uint32_t with_growable[] = {SHMKIT_REGION_PRIVATE, SHMKIT_REGION_LOCKED, SHMKIT_REGION_PAST_END,
                                             SHMKIT_REGION_MIRROR, SHMKIT_REGION_HUGE_2M, SHMKIT_REGION_HUGE_1G};
    static const uint32_t with_mirror[] = {SHMKIT_REGION_PRIVATE, SHMKIT_REGION_PAST_END, SHMKIT_REGION_HUGE_2M,
                                           SHMKIT_REGION_HUGE_1G};

    for (size_t at = 0; at < COUNT(openers); at++) {
        const struct opener *opener = &openers[at];
        prepare(opener);
        for (size_t i = 0; i < COUNT(with_growable); i++) {
            uint32_t both = SHMKIT_REGION_GROWABLE | with_growable[i];
            REFUSED_REGION(-EINVAL, "", opener->open(OPTIONS(.flags = both, .size_max = 8 * page), &region, &error));
        }
        for (size_t i = 0; i < COUNT(with_mirror); i++) {
            uint32_t both = SHMKIT_REGION_MIRROR | with_mirror[i];
            REFUSED_REGION(-EINVAL, "", opener->open(OPTIONS(.flags = both), &region, &error));
        }
        if (opener->makes) {
            REFUSED_REGION(-EINVAL, "HUGE", opener->open(OPTIONS(.flags = HUGE), &region, &error));
            REFUSED_REGION(-EINVAL, "HUGE_FALLBACK",
                           opener->open(OPTIONS(.flags = SHMKIT_REGION_HUGE_FALLBACK), &region, &error));
        }
    }
    REFUSED_REGION(-EINVAL, "8191",
                   shm_region_create("x", 8191, OPTIONS(.flags = SHMKIT_REGION_MIRROR), &region, &error));
    SAYS("4096");
    REFUSED_REGION(-EINVAL, "GROWABLE",
                   create(OPTIONS(.flags = SHMKIT_REGION_GROWABLE, .size_max = 8 * page, .seals = SHMKIT_SEAL_GROW),
                          &region, &error));
    for (size_t at = 0; at < 5; at++) {
        const size_t sizes[] = {(size_t)1 << 62, (size_t)INT64_MAX, (size_t)INT64_MAX + 1, SIZE_MAX - page, SIZE_MAX};
        for (uint32_t flag = SHMKIT_REGION_MIRROR; flag <= SHMKIT_REGION_HUGE_1G; flag <<= 1) {
            region = UNTOUCHED;
            shm_region_options *sparse = OPTIONS(.flags = flag | SHMKIT_REGION_NO_RESERVE);
            int code = shm_region_create("x", sizes[at], sparse, &region, NULL);
            CHECK(code == -ENOMEM || code == -EINVAL || code == -EFBIG || code == -EOPNOTSUPP);
            CHECK(region == UNTOUCHED);
        }
    }
    region = NULL;
}

static void helpers(void)
{
    SHMKIT_SCOPED shm_region *scoped = NULL;
    shm_region *opened = NULL;

    OK(create(NULL, &scoped, &error));
    OK(create(NULL, &opened, &error));
    CHECK(SHMKIT_AT(opened, long, 8) == (long *)shm_region_data(opened) + 1);
    CHECK(SHMKIT_AT(opened, long, 4) == NULL);
    CHECK(SHMKIT_AT(opened, long, 2 * page) == NULL);
    CHECK(SHMKIT_AT(opened, long, SIZE_MAX - 7) == NULL);
    CHECK(SHMKIT_AT(NULL, long, 0) == NULL);
    CHECK(SHMKIT_ARRAY(opened, long, 0, 2 * page / sizeof(long)) != NULL);
    CHECK(SHMKIT_ARRAY(opened, long, 0, SIZE_MAX / 4) == NULL);
    /* double close through the C helpers is harmless */
    CODE(0, SHMKIT_CLOSE(opened));
    CHECK(opened == NULL);
    CODE(0, SHMKIT_CLOSE(opened));
}

/* ---- Sockets ------------------------------------------------------------------------------- */

static int deadline_calls(int socket, int64_t deadline_ns, shm_error *error, int which)
{
    static int result;
    static char payload;
    int fd = file_fd;
    shm_region *got = NULL;

    switch (which) {
    case 0: return shm_accept_until(socket, deadline_ns, &result, error);
    case 1: return shm_connect_until("@shmkit-test-nobody-listens", deadline_ns, &result, error);
    case 2: return shm_send_fd_until(socket, fd, deadline_ns, error);
    case 3: return shm_recv_fd_until(socket, deadline_ns, &result, error);
    case 4: return shm_send_fds_until(socket, &fd, 1, "x", 1, deadline_ns, error);
    case 5: return shm_recv_fds_until(socket, &result, 1, &payload, 1, deadline_ns, error);
    case 6: return shm_recv_region_until(socket, NULL, deadline_ns, &got, error);
    default: return -ENOSYS;
    }
}

static void handover(void)
{
    shm_region *opened = NULL;
    int fds[SHMKIT_FDS_MAX + 1], out = 0x5a5a, pipes[2], pair[2];
    char payload[8] = "payload";
    static char path[200];

    OK(create(NULL, &opened, &error));
    for (size_t at = 0; at < COUNT(fds); at++)
        fds[at] = file_fd;
    memset(path, 'p', sizeof path - 1);
    path[0] = '/';
    CHECK_SYS(pipe2(pipes, O_CLOEXEC));
    CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));

    REFUSED(-EINVAL, "NULL", shm_listen(NULL, &out, &error));
    REFUSED(-EINVAL, "", shm_listen("", &out, &error));
    REFUSED(-EINVAL, "", shm_listen("@", &out, &error));
    REFUSED(-EINVAL, "NULL", shm_listen("@x", NULL, &error));
    REFUSED(-ENAMETOOLONG, "107", shm_listen(path, &out, &error));
    REFUSED(-EINVAL, "NULL", shm_connect(NULL, &out, &error));
    REFUSED(-EINVAL, "", shm_connect("", &out, &error));
    REFUSED(-EINVAL, "", shm_connect("@", &out, &error));
    REFUSED(-EINVAL, "NULL", shm_connect("@x", NULL, &error));
    REFUSED(-ENAMETOOLONG, "107", shm_connect(path, &out, &error));
    REFUSED(-EINVAL, "NULL", shm_accept(pair[0], NULL, &error));
    REFUSED(-EINVAL, "NULL", shm_recv_fd(pair[0], NULL, &error));
    REFUSED(-EINVAL, "NULL", shm_send_region(pair[0], NULL, &error));
    REFUSED(-EINVAL, "NULL", shm_send_region_until(pair[0], NULL, INT64_MAX, &error));

    /* 1 to 253 descriptors, and at least a byte */
    REFUSED(-EINVAL, "NULL", shm_send_fds(pair[0], NULL, 1, payload, 1, &error));
    REFUSED(-EINVAL, "NULL", shm_send_fds(pair[0], fds, 1, NULL, 1, &error));
    REFUSED(-EINVAL, "", shm_send_fds(pair[0], fds, 0, payload, 1, &error));
    REFUSED(-EINVAL, "254", shm_send_fds(pair[0], fds, 254, payload, 1, &error));
    SAYS("253");
    REFUSED(-EINVAL, "253", shm_send_fds(pair[0], fds, SIZE_MAX, payload, 1, &error));
    REFUSED(-EINVAL, "", shm_send_fds(pair[0], fds, 1, payload, 0, &error));
    REFUSED(-EINVAL, "", shm_send_fds(pair[0], fds, 1, payload, SIZE_MAX, &error));
    REFUSED(-EINVAL, "NULL", shm_recv_fds(pair[0], NULL, 1, payload, 1, &error));
    REFUSED(-EINVAL, "NULL", shm_recv_fds(pair[0], fds, 1, NULL, 1, &error));
    REFUSED(-EINVAL, "", shm_recv_fds(pair[0], fds, 0, payload, 1, &error));
    REFUSED(-EINVAL, "254", shm_recv_fds(pair[0], fds, 254, payload, 1, &error));
    REFUSED(-EINVAL, "253", shm_recv_fds(pair[0], fds, SIZE_MAX, payload, 1, &error));
    REFUSED(-EINVAL, "", shm_recv_fds(pair[0], fds, 1, payload, 0, &error));
    REFUSED(-EINVAL, "", shm_recv_fds(pair[0], fds, 1, payload, SIZE_MAX, &error));

    /* A negative deadline. */
    for (int which = 0; which < 7; which++) {
        REFUSED(-EINVAL, "deadline", deadline_calls(pair[0], -1, &error, which));
        REFUSED(-EINVAL, "deadline", deadline_calls(pair[0], INT64_MIN, &error, which));
    }
    REFUSED(-EINVAL, "deadline", shm_send_region_until(pair[0], opened, -1, &error));

    /* Descriptors that are none, or no sockets; nothing was sent above. */
    for (size_t i = 0; i < 3; i++) {
        int bad = (int[]){-1, INT_MIN, INT_MAX}[i];
        char number[16];
        snprintf(number, sizeof number, "%d", bad);
        REFUSED_REGION(-EBADF, number, shm_region_from_fd(bad, 0, NULL, &region, &error));
        REFUSED(-EBADF, number, shm_accept(bad, &out, &error));
        REFUSED(-EBADF, number, shm_send_fd(bad, file_fd, &error));
        REFUSED(-EBADF, number, shm_send_fd(pair[0], bad, &error)); /* D1.6 */
        REFUSED(-EBADF, number, shm_recv_fd(bad, &out, &error));
        REFUSED(-EBADF, number, shm_send_fds(bad, fds, 1, payload, 1, &error));
        REFUSED(-EBADF, number, shm_recv_fds(bad, fds, 1, payload, 1, &error));
        REFUSED(-EBADF, number, shm_send_region(bad, opened, &error));
        REFUSED_REGION(-EBADF, number, shm_recv_region(bad, NULL, &region, &error));
        REFUSED(-EBADF, number, shm_peer_get(bad, &(shm_peer){0}, sizeof(shm_peer), &error));
        REFUSED(-EBADF, number, deadline_calls(bad, INT64_MAX, &error, (int[]){0, 2, 3}[i]));
        REFUSED(-EBADF, number, deadline_calls(bad, INT64_MAX, &error, (int[]){4, 5, 6}[i]));
    }
    for (size_t i = 0; i < 2; i++) {
        int bad = (int[]){pipes[0], file_fd}[i];
        REFUSED(-ENOTSOCK, "", shm_accept(bad, &out, &error));
        REFUSED(-ENOTSOCK, "", shm_send_fd(bad, file_fd, &error));
        REFUSED(-ENOTSOCK, "", shm_recv_fd(bad, &out, &error));
        REFUSED(-ENOTSOCK, "", shm_send_fds(bad, fds, 1, payload, 1, &error));
        REFUSED(-ENOTSOCK, "", shm_recv_fds(bad, fds, 1, payload, 1, &error));
        REFUSED(-ENOTSOCK, "", shm_send_region(bad, opened, &error));
        REFUSED_REGION(-ENOTSOCK, "", shm_recv_region(bad, NULL, &region, &error));
        REFUSED(-ENOTSOCK, "", shm_peer_get(bad, &(shm_peer){0}, sizeof(shm_peer), &error));
    }
    REFUSED(-EINVAL, "", shm_accept(pair[0], &out, &error)); /* not listening */

    CHECK_EQ(recv(pair[1], payload, sizeof payload, MSG_DONTWAIT), -1);
    CHECK_EQ(out, 0x5a5a);
    for (size_t at = 0; at < COUNT(fds); at++)
        CHECK_EQ(fds[at], file_fd);
    CLOSE(opened);
    for (size_t i = 0; i < 2; i++) {
        close(pipes[i]);
        close(pair[i]);
    }
}

static void texts(void)
{
    CHECK(!strcmp(shm_strerror(0), "Success"));
    CHECK(!strcmp(shm_strerror(INT_MAX), "Success"));
    CHECK(!strcmp(shm_strerror(-ENOENT), strerror(ENOENT)));
    CHECK(!strcmp(shm_error_name(-ENOENT), "ENOENT"));
    CHECK(!strcmp(shm_error_name(SHMKIT_E_SHRUNK), "SHMKIT_E_SHRUNK"));
    CHECK(!strcmp(shm_error_name(INT_MIN), "UNKNOWN"));
    CHECK(!strcmp(shm_error_name(-4095), "UNKNOWN"));
    CHECK(shm_strerror(INT_MIN)[0]);
    for (int code = SHMKIT_E_ON_DISK; code <= SHMKIT_E_SHRUNK; code++)
        CHECK(!strncmp(shm_error_name(code), "SHMKIT_E_", 9));
    CHECK_EQ(shm_version(), SHMKIT_VERSION_MAJOR << 16 | SHMKIT_VERSION_MINOR << 8 | SHMKIT_VERSION_PATCH);
}

static void test(void)
{
    shm_region *made = NULL;

    CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets));
    OK(shm_file_create(test_path("file"), 2 * page, NULL, &made, &error));
    CLOSE(made);
    CHECK_SYS(file_fd = open(test_path("file"), O_RDWR | O_CLOEXEC));
    OK(shm_posix_create(test_name("object"), 2 * page, NULL, &made, &error));
    CLOSE(made);
    before_a_hole(0);

    RUN(flags);
    RUN(null_outputs);
    RUN(other_fields);
    RUN(options_that_grow);
    RUN(information_that_grows);
    RUN(error_struct);
    RUN(sizes);
    RUN(names);
    RUN(system_v_numbers);
    RUN(no_region);
    RUN(ranges);
    RUN(ranges_of_a_mirror);
    RUN(growing);
    RUN(reading_alone);
    RUN(clashes);
    RUN(helpers);
    RUN(handover);
    RUN(texts);

    unlink(test_path("created"));
    shm_posix_unlink(test_name("created"), NULL);
    OK(shm_posix_unlink(test_name("object"), &error));
    for (int number = 1; number <= 3; number++) {
        remove_key(test_key(number));
        remove_key(key_of(test_path("file"), number));
    }
    CHECK_SYS(unlink(test_path("file")));
    close(file_fd);
    close(sockets[0]);
    close(sockets[1]);
    munmap(before_a_hole(2 * page), 3 * page);
}
