/* Goal: whatever a hostile peer sends in the place of a region is refused with a reason, closed, and not waited for. */
#include "test.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

/* The frame, as docs/layout.md has it. */
enum { MAGIC = 0, VERSION = 8, KIND = 12, SIZE = 16, OFFSET = 24, RIGHTS = 32, FLAGS = 36, RESERVE = 40, RESERVED = 48, FRAME = 64 };

#define READ_AND_SHRINK_RISKS (SHMKIT_REGION_READ_ONLY | SHMKIT_REGION_RISK_SHRINK)

static int pair[2];
static int type;
static int memory;                  /* a sealed memfd of two pages, with MARK in it */
static unsigned char valid[FRAME]; /* the frame that goes with it */
static unsigned char frame[FRAME]; /* the one to be sent */

static void connect_pair(void)
{
    CHECK_SYS(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair));
}

static void disconnect_pair(void)
{
    close(pair[0]);
    close(pair[1]);
}

/* A message as no friend would send it. */
static void raw_send(const void *bytes, size_t length, const int *fds, size_t count)
{
    char control[CMSG_SPACE(SHMKIT_FDS_MAX * sizeof(int))] = {0};
    struct iovec data = {(void *)(uintptr_t)bytes, length};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

    if (count) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, count * sizeof(int));
    }
    CHECK_EQ(sendmsg(pair[0], &message, MSG_NOSIGNAL), length);
}

static void put(size_t at, uint64_t value, size_t bytes)
{
    memcpy(frame + at, &value, bytes);
}

static void fresh(void)
{
    memcpy(frame, valid, FRAME);
}

/* The frame and one descriptor, received with flags. */
static int received(int fd, uint32_t flags, shm_region **got)
{
    raw_send(frame, FRAME, &fd, 1);
    return shm_recv_region_until(pair[1], OPTIONS(.flags = flags), shmkit_deadline_in_ms(5000), got, &error);
}

#define REFUSED_FRAME(want, word, fd, flags) REFUSED_REGION(want, word, received(fd, flags, &region))

/* The connection is in order: a good frame arrives. */
static void still_works(void)
{
    shm_region *got = NULL;

    fresh();
    OK(received(memory, 0, &got));
    CHECK_EQ(shm_region_size(got), 2 * page);
    CHECK(!strcmp(shm_region_data(got), "good"));
    CLOSE(got);
}

/* ---- Messages ------------------------------------------------------------------------------------------ */

static void messages(void)
{
    int fds[SHMKIT_FDS_MAX];
    char longer[3 * FRAME] = {0};
    size_t counts[] = {2, 3, 64, SHMKIT_FDS_MAX};
    int64_t deadline;

    for (size_t at = 0; at < COUNT(fds); at++)
        fds[at] = memory;
    fresh();
    connect_pair();
    still_works();
    /* Zero bytes with a descriptor: a stream drops it in silence. */
    raw_send("", 0, fds, 1);
    deadline = shmkit_deadline_in_ms(0);
    if (type == SOCK_STREAM)
        REFUSED_REGION(-ETIMEDOUT, "", shm_recv_region_until(pair[1], NULL, deadline, &region, &error));
    else
        REFUSED_REGION(-EPROTO, "", shm_recv_region_until(pair[1], NULL, deadline, &region, &error));
    still_works();
    /* Plain bytes: a good frame, and no descriptor. */
    raw_send(valid, FRAME, NULL, 0);
    REFUSED_REGION(-EPROTO, "descriptor", shm_recv_region(pair[1], NULL, &region, &error));
    still_works();
    /* Two descriptors, and more: every surplus one is closed. */
    for (size_t at = 0; at < COUNT(counts); at++) {
        raw_send(valid, FRAME, fds, counts[at]);
        REFUSED_REGION(-EPROTO, "descriptors", shm_recv_region(pair[1], NULL, &region, &error));
        still_works();
    }
    disconnect_pair();

    /* Truncated frames, and the sender closes half way. */
    for (size_t length = 1; length < FRAME; length++) {
        connect_pair();
        raw_send(valid, length, fds, length % 2);
        close(pair[0]);
        region = UNTOUCHED;
        int code = shm_recv_region_until(pair[1], NULL, shmkit_deadline_in_ms(5000), &region, &error);
        CHECK(code == -EPROTO || (type == SOCK_STREAM && code == -ECONNRESET));
        CHECK(region == UNTOUCHED);
        close(pair[1]);
    }
    /* Longer ones. On a stream the rest is the next frame's, which it spoils. */
    for (size_t length = FRAME + 1; length <= sizeof longer; length += 31) {
        shm_region *got = NULL;
        connect_pair();
        memcpy(longer, valid, FRAME);
        raw_send(longer, length, fds, 1);
        close(pair[0]);
        int code = shm_recv_region(pair[1], NULL, &got, &error);
        if (type == SOCK_STREAM) {
            CHECK_EQ(code, 0);
            CLOSE(got);
            code = shm_recv_region(pair[1], NULL, &got, &error);
            CHECK(code == -EPROTO || code == -ECONNRESET);
        } else
            CHECK_EQ(code, -EPROTO);
        close(pair[1]);
    }
}

/* On a stream, bytes and descriptors come in any pieces. */
static void pieces(void)
{
    shm_region *got = NULL;

    if (type != SOCK_STREAM)
        return;
    /* The descriptor with the second half: a region or a refusal, nothing in between. */
    connect_pair();
    raw_send(valid, FRAME / 2, NULL, 0);
    raw_send(valid + FRAME / 2, FRAME / 2, &memory, 1);
    int code = shm_recv_region(pair[1], NULL, &got, &error);
    CHECK(code == 0 || code == -EPROTO);
    CLOSE(got);
    /* A descriptor with each byte. */
    for (size_t at = 0; at < FRAME; at++)
        raw_send(valid + at, 1, &memory, 1);
    close(pair[0]);
    REFUSED_REGION(-EPROTO, "", shm_recv_region(pair[1], NULL, &region, &error));
    close(pair[1]);
    /* 253 with each of two halves. */
    int fds[SHMKIT_FDS_MAX];
    for (size_t at = 0; at < COUNT(fds); at++)
        fds[at] = memory;
    connect_pair();
    raw_send(valid, FRAME / 2, fds, SHMKIT_FDS_MAX);
    raw_send(valid + FRAME / 2, FRAME / 2, fds, SHMKIT_FDS_MAX);
    REFUSED_REGION(-EPROTO, "", shm_recv_region(pair[1], NULL, &region, &error));
    still_works();
    disconnect_pair();
}

static void drip(int socket, void *argument UNUSED)
{
    /* A byte each millisecond would fill a frame in 64; so only 40, again and again, until the end. */
    for (int sent = 0; sent < 40; sent++) {
        raw_send(valid + sent, 1, sent ? NULL : &memory, sent ? 0 : 1);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    hear(socket);
}

/* A peer that sends a byte now and then is not waited for beyond the deadline. */
static void slow(void)
{
    if (type != SOCK_STREAM)
        return;
    connect_pair();
    struct child child = child_start(drip, NULL);
    int64_t deadline = shmkit_deadline_in_ms(100);
    REFUSED_REGION(-ETIMEDOUT, "", shm_recv_region_until(pair[1], NULL, deadline, &region, &error));
    CHECK(shmkit_deadline_in_ms(0) >= deadline);
    tell(child.socket, 1);
    CHILD_PASSED(child);
    disconnect_pair();
    /* The non-blocking form does not wait either, and says that the stream is of no more use. */
    connect_pair();
    raw_send(valid, 10, &memory, 1);
    CHECK_SYS(fcntl(pair[1], F_SETFL, O_NONBLOCK));
    REFUSED_REGION(-EPROTO, "close", shm_recv_region(pair[1], NULL, &region, &error));
    disconnect_pair();
}

/* ---- Frames ------------------------------------------------------------------------------------------------ */

static void frames(void)
{
    const struct {
        size_t at, bytes;
        uint64_t values[6];
        int code;
    } wrong[] = {
        {VERSION, 4, {0, 2, 3, 256, 0x01000000, UINT32_MAX}, SHMKIT_E_VERSION},
        {KIND, 4, {0, SHMKIT_KIND_ANONYMOUS, SHMKIT_KIND_SYSV, 7, 0x01000001, UINT32_MAX}, SHMKIT_E_NOT_REGION},
        {RIGHTS, 4, {0, 2, 4, 7, 0x01000003, UINT32_MAX}, SHMKIT_E_NOT_REGION},
        {FLAGS, 4, {2, 3, 4, 0x01000000, 0x80000000, UINT32_MAX}, SHMKIT_E_NOT_REGION},
        {SIZE, 8, {0, 8193, 1ull << 32 | 8192, 1ull << 62, INT64_MAX, UINT64_MAX}, SHMKIT_E_NOT_REGION},
        {OFFSET, 8, {1, 4096, 1ull << 32, 1ull << 62, UINT64_MAX - 4095, UINT64_MAX - 8191}, SHMKIT_E_NOT_REGION},
        {RESERVE, 8, {1, 8191, 8192, 1ull << 32, 1ull << 63, UINT64_MAX}, SHMKIT_E_NOT_REGION},
        {RESERVED, 8, {1, 256, 1 << 16, 1ull << 32, 1ull << 63, UINT64_MAX}, SHMKIT_E_NOT_REGION},
        {RESERVED + 8, 8, {1, 256, 1 << 16, 1ull << 32, 1ull << 63, UINT64_MAX}, SHMKIT_E_NOT_REGION},
    };

    connect_pair();
    for (size_t at = 0; at < 8; at++) {
        fresh();
        frame[MAGIC + at] ^= 1;
        REFUSED_FRAME(SHMKIT_E_NOT_REGION, "", memory, 0);
    }
    for (size_t row = 0; row < COUNT(wrong); row++)
        for (size_t at = 0; at < COUNT(wrong[row].values); at++) {
            fresh();
            put(wrong[row].at, wrong[row].values[at], wrong[row].bytes);
            REFUSED_FRAME(wrong[row].code, "", memory, 0);
            /* A risk taken does not make it better. */
            REFUSED_FRAME(wrong[row].code, "", memory, READ_AND_SHRINK_RISKS);
        }
    /* The message has the numbers. */
    fresh();
    put(SIZE, 8193, 8);
    REFUSED_FRAME(SHMKIT_E_NOT_REGION, "8193", memory, 0);
    SAYS("8192");
    fresh();
    put(VERSION, 77, 4);
    REFUSED_FRAME(SHMKIT_E_VERSION, "77", memory, 0);
    /* An offset off the page grid, though the bytes are there. */
    fresh();
    put(OFFSET, 8, 8);
    put(SIZE, 16, 8);
    REFUSED_FRAME(SHMKIT_E_NOT_REGION, "8", memory, 0);
    /* All zeros, all ones. */
    memset(frame, 0, FRAME);
    REFUSED_FRAME(SHMKIT_E_NOT_REGION, "", memory, 0);
    memset(frame, 0xff, FRAME);
    REFUSED_FRAME(SHMKIT_E_NOT_REGION, "", memory, 0);
    /* Less than there is, is fine: the region is what the frame says. */
    shm_region *got = NULL;
    fresh();
    put(SIZE, 5, 8);
    put(OFFSET, page, 8);
    put(RIGHTS, 1, 4);
    OK(received(memory, 0, &got));
    CHECK_EQ(shm_region_size(got), 5);
    CODE(-EACCES, shm_region_write(got, 0, "x", 1));
    CHECK(!strcmp(shm_region_data(got), "page"));
    CLOSE(got);
    /* The caller's cap counts against the claim. */
    fresh();
    raw_send(frame, FRAME, &memory, 1);
    REFUSED_REGION(-EFBIG, "8192", shm_recv_region(pair[1], OPTIONS(.size_max = 8191), &region, &error));
    SAYS("8191");
    raw_send(frame, FRAME, &memory, 1);
    REFUSED_REGION(-EINVAL, "8192", shm_recv_region(pair[1], OPTIONS(.size_min = 8193), &region, &error));
    SAYS("8193");
    still_works();
    disconnect_pair();
}

/* Ten thousand frames with random bytes in them: a refusal, or a region within the memory. */
static void random_frames(void)
{
    uint64_t random = 88172645463325252u; /* the same numbers each time */
    int rounds = instrumented() ? 500 : 10000;

    connect_pair();
    for (int round = 0; round < rounds; round++) {
        shm_region *got = NULL;
        fresh();
        for (int changes = round % 4; changes >= 0; changes--) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            frame[8 + random % (FRAME - 8)] = (unsigned char)(random >> 32);
        }
        int code = received(memory, round % 8 == 7 ? READ_AND_SHRINK_RISKS : 0, &got);
        if (code == 0) {
            uint64_t offset;
            memcpy(&offset, frame + OFFSET, sizeof offset);
            CHECK(shm_region_size(got) > 0 && offset + shm_region_size(got) <= 2 * page);
            CLOSE(got);
        } else
            CHECK(code == SHMKIT_E_NOT_REGION || code == SHMKIT_E_VERSION || code == -EINVAL);
    }
    still_works();
    disconnect_pair();
}

/* ---- Descriptors --------------------------------------------------------------------------------------------- */

static int memfd(unsigned flags, int seals)
{
    int fd;

    CHECK_SYS(fd = memfd_create("hostile", MFD_CLOEXEC | flags));
    CHECK_SYS(ftruncate(fd, 2 * (off_t)page));
    if (seals)
        CHECK_SYS(fcntl(fd, F_ADD_SEALS, seals));
    return fd;
}

static int reopen(int fd, int flags)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, flags | O_CLOEXEC);
}

/* Sends a valid frame with a descriptor that is not what it says; closes the descriptor. */
static void refused_descriptor(int code, const char *word, int fd)
{
    CHECK_SYS(fd);
    fresh();
    REFUSED_FRAME(code, word, fd, 0);
    close(fd);
}

static void descriptors(void)
{
    const char *name = test_name("hostile");
    int fd, pipes[2];
    shm_region *got = NULL;

    connect_pair();
    /* Unsealed, and sealed otherwise. */
    refused_descriptor(SHMKIT_E_UNSEALED, "shrink", memfd(0, 0));
    refused_descriptor(SHMKIT_E_UNSEALED, "shrink", memfd(MFD_ALLOW_SEALING, 0));
    refused_descriptor(SHMKIT_E_UNSEALED, "shrink", memfd(MFD_ALLOW_SEALING, F_SEAL_GROW));
    refused_descriptor(SHMKIT_E_UNSEALED, "shrink",
                       memfd(MFD_ALLOW_SEALING, F_SEAL_SEAL | F_SEAL_GROW | F_SEAL_FUTURE_WRITE));
    /* A file of /dev/shm has F_SEAL_SEAL, which proves nothing. */
    CHECK_SYS(fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600));
    CHECK_SYS(ftruncate(fd, 2 * (off_t)page));
    CHECK_SYS(shm_unlink(name));
    refused_descriptor(SHMKIT_E_UNSEALED, "shrink", fd);
    CHECK_SYS(fd = open(test_path("hostile"), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    CHECK_SYS(ftruncate(fd, 2 * (off_t)page));
    CHECK_SYS(unlink(test_path("hostile")));
    refused_descriptor(SHMKIT_E_UNSEALED, "shrink", fd);
    /* GROW may be open only if the frame says so. */
    refused_descriptor(SHMKIT_E_NOT_REGION, "grow", memfd(MFD_ALLOW_SEALING, F_SEAL_SHRINK));
    fresh();
    put(FLAGS, 1, 4);
    fd = memfd(MFD_ALLOW_SEALING, F_SEAL_SHRINK);
    OK(received(fd, 0, &got));
    CHECK_EQ(shm_region_size(got), 2 * page);
    CLOSE(got);
    close(fd);
    /* O_PATH. */
    refused_descriptor(SHMKIT_E_NOT_REGION, "O_PATH", reopen(memory, O_PATH));
    /* Access mode: write-only, and read-only under a frame that claims writing. */
    refused_descriptor(SHMKIT_E_NOT_REGION, "", reopen(memory, O_WRONLY));
    refused_descriptor(SHMKIT_E_NOT_REGION, "", reopen(memory, O_RDONLY));
    CHECK_SYS(fd = reopen(memory, O_RDONLY));
    REFUSED_FRAME(SHMKIT_E_NOT_REGION, "", fd, SHMKIT_REGION_READ_ONLY);
    put(RIGHTS, 1, 4);
    OK(received(fd, 0, &got));
    CODE(-EACCES, shm_region_write(got, 0, "x", 1));
    CLOSE(got);
    close(fd);
    CHECK_SYS(fd = reopen(memory, O_WRONLY));
    REFUSED_FRAME(SHMKIT_E_NOT_REGION, "", fd, 0);
    close(fd);
    /* Frozen, under a frame that claims writing. */
    fd = memfd(MFD_ALLOW_SEALING, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    fresh();
    int code = received(fd, 0, &got);
    CHECK(code == -EPERM || code == SHMKIT_E_NOT_REGION);
    OK(received(fd, SHMKIT_REGION_READ_ONLY, &got));
    CLOSE(got);
    close(fd);

    /* No regular files. */
    CHECK_SYS(pipe2(pipes, O_CLOEXEC));
    refused_descriptor(SHMKIT_E_NOT_REGION, "", pipes[0]);
    refused_descriptor(SHMKIT_E_NOT_REGION, "", pipes[1]);
    refused_descriptor(SHMKIT_E_NOT_REGION, "", open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    refused_descriptor(SHMKIT_E_NOT_REGION, "", open("/dev/zero", O_RDWR | O_CLOEXEC));
    refused_descriptor(SHMKIT_E_NOT_REGION, "", open("/dev/null", O_RDWR | O_CLOEXEC));
    refused_descriptor(SHMKIT_E_NOT_REGION, "", eventfd(0, EFD_CLOEXEC));
    refused_descriptor(SHMKIT_E_NOT_REGION, "", epoll_create1(EPOLL_CLOEXEC));
    refused_descriptor(SHMKIT_E_NOT_REGION, "", dup(pair[1]));
    /* Nor with the risks taken: /dev/zero would map, and share nothing. */
    CHECK_SYS(fd = open("/dev/zero", O_RDWR | O_CLOEXEC));
    fresh();
    REFUSED_FRAME(SHMKIT_E_NOT_REGION, "", fd, SHMKIT_REGION_RISK_SHRINK);
    close(fd);

    /* Shorter than the frame claims, and empty. */
    CHECK_SYS(fd = memfd_create("short", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    CHECK_SYS(ftruncate(fd, 2 * (off_t)page - 1));
    CHECK_SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    refused_descriptor(SHMKIT_E_NOT_REGION, "8191", fd);
    CHECK_SYS(fd = memfd_create("empty", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    CHECK_SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    refused_descriptor(SHMKIT_E_NOT_REGION, "0", fd);

    /* Huge pages: refused before they are mapped, also while the pool is empty. Nobody asked for them. */
    fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_ALLOW_SEALING);
    if (fd != -1 && ftruncate(fd, 1 << 30) == 0) {
        CHECK_SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
        refused_descriptor(-EOPNOTSUPP, "huge", fd);
    } else {
        SKIP_PART("no huge pages: %s", strerror(errno));
        if (fd != -1)
            close(fd);
    }
    fd = secret_memory();
    if (fd != -1)
        refused_descriptor(SHMKIT_E_UNSEALED, "", fd);
    still_works();
    disconnect_pair();
}

/* ---- A file that its sender truncates all the time --------------------------------------------------------------- */

static void truncate_again_and_again(int socket, void *argument)
{
    int fd = *(int *)argument;

    while (recv(socket, &(long){0}, sizeof(long), MSG_DONTWAIT) == -1 && errno == EAGAIN) {
        CHECK_SYS(ftruncate(fd, 0));
        CHECK_SYS(ftruncate(fd, 2 * (off_t)page));
    }
}

/* With RISK_SHRINK the checked calls answer, one way or the other, and nobody dies. */
static void truncated_all_the_time(void)
{
    int fd = memfd(0, 0), there = 0, shrunk = 0, rounds = instrumented() ? 2000 : 100000;
    shm_region *got = NULL;
    char bytes[64] = "";

    connect_pair();
    fresh();
    OK(received(fd, SHMKIT_REGION_RISK_SHRINK, &got));
    CODE(1, shm_region_can_shrink(got));
    struct child child = child_start(truncate_again_and_again, &fd);
    for (int round = 0; round < rounds || (there == 0 && shrunk == 0); round++) {
        int code = round % 2 ? shm_region_read(got, page - 32, bytes, sizeof bytes)
                             : shm_region_write(got, page - 32, bytes, sizeof bytes);
        CHECK(code == 0 || code == SHMKIT_E_SHRUNK);
        *(code ? &shrunk : &there) += 1;
        if (round % 100 == 0) {
            code = shm_region_check(got, 0, 2 * page, &error);
            CHECK(code == 0 || code == SHMKIT_E_SHRUNK);
        }
    }
    tell(child.socket, 1);
    CHILD_PASSED(child);
    CLOSE(got);
    /* And to receive it meanwhile is a region or a refusal. */
    child = child_start(truncate_again_and_again, &fd);
    for (int round = 0; round < rounds / 50; round++) {
        int code = received(fd, SHMKIT_REGION_RISK_SHRINK, &got);
        CHECK(code == 0 || code == SHMKIT_E_NOT_REGION);
        if (code == 0)
            CLOSE(got);
    }
    tell(child.socket, 1);
    CHILD_PASSED(child);
    close(fd);
    disconnect_pair();
}

/* The frame that a friend sends, and its memory. */
static void capture(void)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec data = {valid, sizeof valid};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    shm_region *made = NULL;

    connect_pair();
    OK(shm_region_create("captured", 2 * page, NULL, &made, &error));
    strcpy(shm_region_data(made), "good");
    strcpy((char *)shm_region_data(made) + page, "page");
    OK(shm_send_region(pair[0], made, &error));
    CHECK_EQ(recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC), FRAME);
    CHECK(CMSG_FIRSTHDR(&message));
    memcpy(&memory, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof memory);
    CLOSE(made);
    disconnect_pair();
}

static void test(void)
{
    for (int times = 0; times < 2; times++) {
        type = times ? SOCK_STREAM : SOCK_SEQPACKET;
        capture();
        RUN(messages);
        RUN(pieces);
        RUN(slow);
        RUN(frames);
        RUN(random_frames);
        RUN(descriptors);
        RUN(truncated_all_the_time);
        close(memory);
    }
}
