/* Goal: descriptors and regions arrive whole or not at all, on both socket types, and every failure says why. */
#include "test.h"

#include <netinet/in.h>
#include <sys/ioctl.h>

static int pair[2];
static int type; /* SOCK_SEQPACKET or SOCK_STREAM, of sockets that the test made */

static void connect_pair(void)
{
    CHECK_SYS(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair));
}

static void disconnect_pair(void)
{
    close(pair[0]);
    close(pair[1]);
}

static bool nothing_waits(int socket)
{
    return recv(socket, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) == -1 && errno == EAGAIN;
}

static void non_blocking(int socket, int on)
{
    CHECK_SYS(ioctl(socket, FIONBIO, &on));
}

static struct stat status_of(int fd)
{
    struct stat status;

    CHECK_SYS(fstat(fd, &status));
    return status;
}

static void same_file(int one, int other)
{
    CHECK_EQ(status_of(one).st_dev, status_of(other).st_dev);
    CHECK_EQ(status_of(one).st_ino, status_of(other).st_ino);
}

/* A connection in a known state: a descriptor passes. */
static void still_works(void)
{
    int got = -1;

    OK(shm_send_fd(pair[0], 0, &error));
    OK(shm_recv_fd(pair[1], &got, &error));
    same_file(0, got);
    close(got);
    CHECK(nothing_waits(pair[1]));
}

/* ---- Descriptors -------------------------------------------------------------------------------------- */

static void one_descriptor(void)
{
    int fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC), got = -1;

    connect_pair();
    OK(shm_send_fd(pair[0], fd, &error));
    OK(shm_recv_fd(pair[1], &got, &error));
    CHECK(got != fd);
    CHECK_EQ(fcntl(got, F_GETFD), FD_CLOEXEC);
    same_file(fd, got);
    CHECK(nothing_waits(pair[1]));
    close(got);
    /* Several after each other stay apart, also on a stream. */
    for (int times = 0; times < 3; times++)
        OK(shm_send_fd(pair[1], times == 1 ? fd : pair[1], &error));
    for (int times = 0; times < 3; times++) {
        OK(shm_recv_fd(pair[0], &got, &error));
        same_file(times == 1 ? fd : pair[1], got);
        close(got);
    }
    /* Any program that passes descriptors understands it: one descriptor and one byte. */
    OK(shm_send_fd(pair[0], fd, &error));
    char bytes[16], control[CMSG_SPACE(4 * sizeof(int))];
    struct msghdr message = {.msg_iov = &(struct iovec){bytes, sizeof bytes}, .msg_iovlen = 1,
                             .msg_control = control, .msg_controllen = sizeof control};
    CHECK_EQ(recvmsg(pair[1], &message, MSG_CMSG_CLOEXEC), 1);
    CHECK_EQ(CMSG_FIRSTHDR(&message)->cmsg_len, CMSG_LEN(sizeof(int)));
    memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof got);
    same_file(fd, got);
    close(got);
    close(fd);
    disconnect_pair();
}

/* 1 to 253 descriptors a message, with a payload. */
static void many_descriptors(void)
{
    const size_t counts[] = {1, 2, 3, 252, 253}, sizes[] = {1, 7, 64, 4096};
    int fds[SHMKIT_FDS_MAX + 1], got[SHMKIT_FDS_MAX];
    char sent[4096], payload[4096];

    connect_pair();
    for (size_t at = 0; at < COUNT(fds); at++)
        CHECK_SYS(fds[at] = at % 2 ? dup(0) : dup(pair[0]));
    for (size_t at = 0; at < sizeof sent; at++)
        sent[at] = (char)(at * 7);
    for (size_t count = 0; count < COUNT(counts); count++)
        for (size_t size = 0; size < COUNT(sizes); size++) {
            memset(payload, 0, sizeof payload);
            OK(shm_send_fds(pair[0], fds, counts[count], sent, sizes[size], &error));
            OK(shm_recv_fds(pair[1], got, counts[count], payload, sizes[size], &error));
            CHECK(!memcmp(sent, payload, sizes[size]));
            for (size_t at = 0; at < counts[count]; at++) {
                same_file(fds[at], got[at]);
                CHECK_EQ(fcntl(got[at], F_GETFD), FD_CLOEXEC);
                close(got[at]);
            }
        }
    /* 254: EINVAL, before anything is sent. */
    REFUSED(-EINVAL, "254", shm_send_fds(pair[0], fds, 254, sent, 1, &error));
    CHECK(nothing_waits(pair[1]));
    for (size_t at = 0; at < COUNT(fds); at++)
        close(fds[at]);
    /* A bad number among good ones: EBADF, which names it (D1.6), and nothing is sent. */
    int closed = dup(0);
    close(closed);
    char number[16];
    snprintf(number, sizeof number, "%d", closed);
    for (size_t bad = 0; bad < 5; bad++) {
        int mixed[5] = {0, 0, 0, 0, 0};
        mixed[bad] = closed;
        REFUSED(-EBADF, number, shm_send_fds(pair[0], mixed, 5, sent, 1, &error));
        CHECK(nothing_waits(pair[1]));
    }
    REFUSED(-EBADF, number, shm_send_fd(pair[0], closed, &error));
    CHECK(nothing_waits(pair[1]));
    still_works();
    disconnect_pair();
}

/* Another number of descriptors or bytes than expected: all are closed, EPROTO. */
static void wrong_counts(void)
{
    const int fds[] = {0, 0, 0, 0};
    int got[4];
    char payload[16] = "0123456789abcde";

    for (size_t sent = 1; sent <= 4; sent++)
        for (size_t wanted = 1; wanted <= 4; wanted++)
            for (size_t bytes = 1; bytes <= 3; bytes++) {
                if (sent == wanted && bytes == 2)
                    continue;
                int before;
                connect_pair();
                before = open_fds();
                for (size_t at = 0; at < COUNT(got); at++)
                    got[at] = -7;
                OK(shm_send_fds(pair[0], fds, sent, payload, bytes, &error));
                shutdown(pair[0], SHUT_WR); /* a stream may otherwise wait for the rest */
                int code = shm_recv_fds(pair[1], got, wanted, payload, 2, &error);
                if (type == SOCK_STREAM && sent == wanted && bytes > 2)
                    CHECK_EQ(code, 0); /* the rest of a stream is the next message's */
                else if (type == SOCK_STREAM && bytes < 2)
                    CHECK(code == -EPROTO || code == -ECONNRESET); /* it ended in the middle */
                else
                    CHECK_EQ(code, -EPROTO);
                for (size_t at = 0; at < COUNT(got); at++) {
                    if (code == 0 && at < wanted)
                        close(got[at]);
                    else
                        CHECK_EQ(got[at], -7);
                }
                CHECK_EQ(open_fds(), before);
                disconnect_pair();
            }
    /* The one-descriptor call, too, and the message has the numbers. */
    connect_pair();
    OK(shm_send_fds(pair[0], fds, 3, payload, 1, &error));
    REFUSED(-EPROTO, "3", shm_recv_fd(pair[1], &got[0], &error));
    if (type == SOCK_SEQPACKET)
        still_works();
    disconnect_pair();
    connect_pair();
    CHECK_EQ(send(pair[0], "x", 1, 0), 1);
    REFUSED(-EPROTO, "0 descriptors", shm_recv_fd(pair[1], &got[0], &error));
    disconnect_pair();
}

/* ---- The other side is gone, or slow ------------------------------------------------------------------------ */

/* Never SIGPIPE: EPIPE. */
static void gone(void)
{
    shm_region *made = NULL;
    int fds[1] = {0}, got;
    char byte = 0;

    OK(shm_region_create("gone", page, NULL, &made, &error));
    connect_pair();
    close(pair[1]);
    REFUSED(-EPIPE, "", shm_send_fd(pair[0], 0, &error));
    REFUSED(-EPIPE, "", shm_send_fds(pair[0], fds, 1, "x", 1, &error));
    REFUSED(-EPIPE, "", shm_send_region(pair[0], made, &error));
    REFUSED(-EPIPE, "", shm_send_region_until(pair[0], made, shmkit_deadline_in_ms(10000), &error));
    REFUSED(-ECONNRESET, "", shm_recv_fd(pair[0], &got, &error));
    REFUSED(-ECONNRESET, "", shm_recv_fds(pair[0], &got, 1, &byte, 1, &error));
    REFUSED_REGION(-ECONNRESET, "", shm_recv_region(pair[0], NULL, &region, &error));
    REFUSED_REGION(-ECONNRESET, "",
                   shm_recv_region_until(pair[0], NULL, shmkit_deadline_in_ms(10000), &region, &error));
    close(pair[0]);

    /* Not connected, and sockets that pass no descriptors. */
    int lonely;
    CHECK_SYS(lonely = socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    REFUSED(-ENOTCONN, "", shm_send_fd(lonely, 0, &error));
    int code = shm_recv_fd(lonely, &got, &error); /* the kernel says EINVAL on a stream */
    CHECK(code == -ENOTCONN || (type == SOCK_STREAM && code == -EINVAL));
    CHECK_EQ(shm_recv_region(lonely, NULL, &region, &error), code);
    close(lonely);
    /* TCP would swallow a descriptor, and say success. */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener == -1 || inet == -1 || bind(listener, (struct sockaddr *)&address, length) == -1 ||
        listen(listener, 1) == -1 || getsockname(listener, (struct sockaddr *)&address, &length) == -1 ||
        connect(inet, (struct sockaddr *)&address, length) == -1)
        SKIP_PART("no TCP here: %s", strerror(errno));
    else {
        REFUSED(-EOPNOTSUPP, "", shm_send_fd(inet, 0, &error));
        REFUSED(-EOPNOTSUPP, "", shm_send_region(inet, made, &error));
    }
    close(inet);
    close(listener);
    CLOSE(made);
}

/* EAGAIN on a non-blocking socket, ETIMEDOUT at a deadline, for every call. */
static void deadlines(void)
{
    shm_region *made = NULL;
    int fds[1] = {0}, got;
    char byte = 0;

    OK(shm_region_create("deadlines", page, NULL, &made, &error));
    connect_pair();
    /* Nothing comes. */
    int64_t soon = shmkit_deadline_in_ms(20);
    REFUSED(-ETIMEDOUT, "", shm_recv_fd_until(pair[1], soon, &got, &error));
    CHECK(shmkit_deadline_in_ms(0) >= soon);
    REFUSED(-ETIMEDOUT, "", shm_recv_fd_until(pair[1], soon, &got, &error));
    REFUSED(-ETIMEDOUT, "", shm_recv_fd_until(pair[1], 0, &got, &error));
    REFUSED(-ETIMEDOUT, "", shm_recv_fds_until(pair[1], &got, 1, &byte, 1, 0, &error));
    REFUSED_REGION(-ETIMEDOUT, "", shm_recv_region_until(pair[1], NULL, 0, &region, &error));
    soon = shmkit_deadline_in_ms(20);
    REFUSED_REGION(-ETIMEDOUT, "", shm_recv_region_until(pair[1], NULL, soon, &region, &error));
    CHECK(shmkit_deadline_in_ms(0) >= soon);
    non_blocking(pair[1], 1);
    REFUSED(-EAGAIN, "", shm_recv_fd(pair[1], &got, &error));
    REFUSED(-EAGAIN, "", shm_recv_fds(pair[1], &got, 1, &byte, 1, &error));
    REFUSED_REGION(-EAGAIN, "", shm_recv_region(pair[1], NULL, &region, &error));
    /* The forms with a deadline wait on a non-blocking socket, too. */
    soon = shmkit_deadline_in_ms(20);
    REFUSED(-ETIMEDOUT, "", shm_recv_fd_until(pair[1], soon, &got, &error));
    CHECK(shmkit_deadline_in_ms(0) >= soon);
    /* One in the past tries once. */
    OK(shm_send_fd_until(pair[0], 0, 0, &error));
    OK(shm_recv_fd_until(pair[1], 0, &got, &error));
    close(got);
    OK(shm_send_fds_until(pair[0], fds, 1, "x", 1, 0, &error));
    OK(shm_recv_fds_until(pair[1], &got, 1, &byte, 1, 0, &error));
    close(got);
    OK(shm_send_region_until(pair[0], made, 0, &error));
    OK(shm_recv_region_until(pair[1], NULL, 0, &region, &error));
    CLOSE(region);
    /* The last moment of all is for ever. */
    OK(shm_send_fd_until(pair[0], 0, INT64_MAX, &error));
    OK(shm_recv_fd_until(pair[1], INT64_MAX, &got, &error));
    close(got);

    /* The peer never reads. */
    int sent = 0, buffer = 1;
    CHECK_SYS(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer));
    non_blocking(pair[0], 1);
    while (shm_send_fd(pair[0], 0, &error) == 0)
        CHECK(++sent < 10000);
    CHECK_EQ(error.code, -EAGAIN);
    REFUSED(-EAGAIN, "", shm_send_region(pair[0], made, &error));
    soon = shmkit_deadline_in_ms(20);
    REFUSED(-ETIMEDOUT, "", shm_send_fd_until(pair[0], 0, soon, &error));
    CHECK(shmkit_deadline_in_ms(0) >= soon);
    non_blocking(pair[0], 0);
    REFUSED(-ETIMEDOUT, "", shm_send_fd_until(pair[0], 0, 0, &error));
    REFUSED(-ETIMEDOUT, "", shm_send_fds_until(pair[0], fds, 1, "x", 1, 0, &error));
    REFUSED(-ETIMEDOUT, "", shm_send_region_until(pair[0], made, 0, &error));
    /* What was taken is all there, and the connection is in order. */
    for (; sent > 0; sent--) {
        OK(shm_recv_fd(pair[1], &got, &error));
        close(got);
    }
    CHECK(nothing_waits(pair[1]));
    still_works();
    disconnect_pair();
    CLOSE(made);
}

static void nothing(int signal UNUSED) {}

static void send_after_a_signal(int socket, void *argument UNUSED)
{
    pid_t parent = getppid();

    /* The parent is or will be inside its call; a signal each time round, until it has the region. */
    for (int times = 0; times < 20; times++) {
        kill(parent, SIGUSR1);
        sched_yield();
    }
    hear(socket);
    for (int times = 0; times < 20; times++)
        kill(parent, SIGUSR1);
    shm_region *made = NULL;
    OK(shm_region_create("after", page, NULL, &made, &error));
    OK(shm_send_region(pair[0], made, &error));
    CLOSE(made);
    hear(socket);
}

/* EINTR is never shown. */
static void interrupted(void)
{
    struct sigaction action = {.sa_handler = nothing}, old; /* no SA_RESTART */
    int got;

    CHECK_SYS(sigaction(SIGUSR1, &action, &old));
    connect_pair();
    struct child child = child_start(send_after_a_signal, NULL);
    REFUSED(-ETIMEDOUT, "", shm_recv_fd_until(pair[1], shmkit_deadline_in_ms(20), &got, &error));
    tell(child.socket, 1);
    OK(shm_recv_region(pair[1], NULL, &region, &error));
    CLOSE(region);
    tell(child.socket, 1);
    CHILD_PASSED(child);
    disconnect_pair();
    CHECK_SYS(sigaction(SIGUSR1, &old, NULL));
}

/* A payload longer than a socket's buffer: a stream takes it in parts, the other type says EMSGSIZE. */
static char long_payload[4 << 20];

static void receive_long(int socket UNUSED, void *argument UNUSED)
{
    static char payload[sizeof long_payload];
    int got;

    OK(shm_recv_fds(pair[1], &got, 1, payload, sizeof payload, &error));
    CHECK(!memcmp(payload, long_payload, sizeof payload));
    same_file(0, got);
    close(got);
}

static void long_payloads(void)
{
    int fds[1] = {0};

    for (size_t at = 0; at < sizeof long_payload; at++)
        long_payload[at] = (char)(at / 3);
    connect_pair();
    if (type == SOCK_SEQPACKET) {
        REFUSED(-EMSGSIZE, "4194304", shm_send_fds(pair[0], fds, 1, long_payload, sizeof long_payload, &error));
        CHECK(nothing_waits(pair[1]));
        still_works();
    } else {
        struct child child = child_start(receive_long, NULL);
        OK(shm_send_fds(pair[0], fds, 1, long_payload, sizeof long_payload, &error));
        CHILD_PASSED(child);
        /* A peer that stops reading in the middle: ETIMEDOUT, and the connection is of no more use. */
        REFUSED(-ETIMEDOUT, "", shm_send_fds_until(pair[0], fds, 1, long_payload, sizeof long_payload, 0, &error));
        disconnect_pair();
        connect_pair();
        /* A non-blocking socket took only a part. */
        non_blocking(pair[0], 1);
        REFUSED(-EPROTO, "close", shm_send_fds(pair[0], fds, 1, long_payload, sizeof long_payload, &error));
    }
    disconnect_pair();
}

/* ---- Regions -------------------------------------------------------------------------------------------------- */

static shm_region *hand_over(const shm_region *made, const shm_region_options *options)
{
    shm_region *got = NULL;

    OK(shm_send_region(pair[0], made, &error));
    OK(shm_recv_region(pair[1], options, &got, &error));
    return got;
}

static void regions(void)
{
    shm_region *made = NULL, *got;
    const size_t sizes[] = {1, 4095, 4096, 4097, 1000000};

    connect_pair();
    for (size_t at = 0; at < COUNT(sizes); at++) {
        OK(shm_region_create("regions", sizes[at], NULL, &made, &error));
        CODE(0, shm_region_write(made, sizes[at] - 1, "!", 1));
        got = hand_over(made, NULL);
        CHECK_EQ(shm_region_size(got), sizes[at]);
        CODE(SHMKIT_KIND_MEMFD, shm_region_kind(got));
        CODE(SHMKIT_RIGHTS_READ_WRITE, shm_region_rights(got));
        CODE(0, shm_region_can_shrink(got));
        CODE(shm_region_seals(made), shm_region_seals(got));
        CHECK(shm_region_name(got) == NULL);
        CHECK_EQ(fcntl(shm_region_fd(got), F_GETFD), FD_CLOEXEC);
        CHECK(shm_region_fd(made) != shm_region_fd(got));
        same_file(shm_region_fd(made), shm_region_fd(got));
        CHECK(shm_region_data(made) != shm_region_data(got));
        CHECK_EQ(((char *)shm_region_data(got))[sizes[at] - 1], '!');
        CODE(-ERANGE, shm_region_write(got, sizes[at], "x", 1));
        /* Both write. */
        CODE(0, shm_region_write(got, 0, "?", 1));
        CHECK_EQ(*(char *)shm_region_data(made), '?');
        CLOSE(got);
        /* READ_ONLY narrows the rights. */
        got = hand_over(made, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY));
        CODE(SHMKIT_RIGHTS_READ, shm_region_rights(got));
        CODE(-EACCES, shm_region_write(got, 0, "x", 1));
        REFUSED(-EACCES, "", shm_region_protect(got, 0, 1, SHMKIT_RIGHTS_READ_WRITE, &error));
        CLOSE(got);
        /* PRIVATE keeps writes to oneself. */
        got = hand_over(made, OPTIONS(.flags = SHMKIT_REGION_PRIVATE));
        CODE(0, shm_region_write(got, 0, "p", 1));
        CHECK_EQ(*(char *)shm_region_data(made), '?');
        CLOSE(got);
        got = hand_over(made, OPTIONS(.flags = SHMKIT_REGION_POPULATE | SHMKIT_REGION_LOCKED | SHMKIT_REGION_NO_FORK));
        CLOSE(got);
        /* size_min and size_max; what is refused is closed, and the connection goes on. */
        OK(shm_send_region(pair[0], made, &error));
        char number[24];
        snprintf(number, sizeof number, "%zu", sizes[at] + 1);
        REFUSED_REGION(-EINVAL, number, shm_recv_region(pair[1], OPTIONS(.size_min = sizes[at] + 1), &region, &error));
        if (sizes[at] > 1) {
            OK(shm_send_region(pair[0], made, &error));
            snprintf(number, sizeof number, "%zu", sizes[at] - 1);
            REFUSED_REGION(-EFBIG, number,
                           shm_recv_region(pair[1], OPTIONS(.size_max = sizes[at] - 1), &region, &error));
        }
        got = hand_over(made, OPTIONS(.size_min = sizes[at], .size_max = sizes[at]));
        CLOSE(got);
        still_works();
        CLOSE(made);
    }
    disconnect_pair();
}

/* A received region can be sent on, and a part of a file from an offset on. */
static void passed_on(void)
{
    shm_region *made = NULL, *part = NULL, *got, *again;

    connect_pair();
    OK(shm_region_create("passed on", 4 * page, NULL, &made, &error));
    CODE(0, shm_region_write(made, 2 * page, "third page", 11));
    OK(shm_region_from_fd(shm_region_fd(made), page + 5, OPTIONS(.offset = 2 * page), &part, &error));
    got = hand_over(part, NULL);
    CHECK_EQ(shm_region_size(got), page + 5);
    CHECK(!strcmp(shm_region_data(got), "third page"));
    again = hand_over(got, NULL);
    CHECK_EQ(shm_region_size(again), page + 5);
    CHECK(!strcmp(shm_region_data(again), "third page"));
    CLOSE(again);
    CLOSE(got);
    CLOSE(part);
    CLOSE(made);
    disconnect_pair();
}

/* A read-only region is sent only if the kernel keeps it so, or with a flag that names the risk. */
static void read_only(void)
{
    shm_region *made = NULL, *reader = NULL, *got;

    connect_pair();
    OK(shm_region_create("read only", page, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &made, &error));
    REFUSED(SHMKIT_E_UNENFORCEABLE, "read only", shm_send_region(pair[0], made, &error));
    CHECK(nothing_waits(pair[1]));
    OK(shm_region_seal(made, SHMKIT_SEAL_FUTURE_WRITE, &error));
    got = hand_over(made, NULL);
    CODE(-EACCES, shm_region_write(got, 0, "x", 1));
    /* The receiver can neither write nor map it writable, however it re-opens it. */
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", shm_region_fd(got));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK_SYS(fd);
    CHECK_EQ(pwrite(fd, "x", 1, 0), -1);
    CHECK(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    REFUSED_REGION(-EPERM, "", shm_region_from_fd(fd, 0, NULL, &region, &error));
    CHECK_EQ(mprotect(shm_region_data(got), page, PROT_READ | PROT_WRITE), -1);
    close(fd);
    CLOSE(got);
    CLOSE(made);

    /* The writer keeps its mapping, and sends a read-only view. */
    const uint32_t seals = SHMKIT_SEAL_SHRINK | SHMKIT_SEAL_GROW | SHMKIT_SEAL_FUTURE_WRITE;
    OK(shm_region_create("writer", page, OPTIONS(.seals = seals), &made, &error));
    OK(shm_region_from_fd(shm_region_fd(made), 0, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &reader, &error));
    got = hand_over(reader, NULL);
    CODE(0, shm_region_write(made, 0, "live", 5));
    CHECK(!strcmp(shm_region_data(got), "live"));
    CODE(-EACCES, shm_region_write(got, 0, "x", 1));
    CLOSE(got);
    CLOSE(reader);
    CLOSE(made);

    /* With the flag. */
    OK(shm_region_create("at a risk", page,
                         OPTIONS(.flags = SHMKIT_REGION_READ_ONLY | SHMKIT_REGION_RISK_REOPEN), &made, &error));
    got = hand_over(made, NULL);
    CODE(-EACCES, shm_region_write(got, 0, "x", 1));
    CLOSE(got);
    CLOSE(made);
    disconnect_pair();
}

/* Kinds without a descriptor, and a private writable region, cannot be sent. */
static void unsendable(void)
{
    shm_region *made = NULL;

    connect_pair();
    OK(shm_anon_create(page, NULL, &made, &error));
    REFUSED(-EOPNOTSUPP, "anonymous", shm_send_region(pair[0], made, &error));
    CLOSE(made);
    OK(shm_sysv_create(0, page, OPTIONS(.flags = SHMKIT_REGION_AUTO_REMOVE), &made, &error));
    REFUSED(-EOPNOTSUPP, "System V", shm_send_region(pair[0], made, &error));
    CLOSE(made);
    OK(shm_region_create("private one", page, OPTIONS(.flags = SHMKIT_REGION_PRIVATE), &made, &error));
    REFUSED(-EOPNOTSUPP, "private one", shm_send_region(pair[0], made, &error));
    CLOSE(made);
    CHECK(nothing_waits(pair[1]));
    disconnect_pair();
}

/* What can be shrunk is received only with a flag, and then read by copying. */
static void can_shrink(void)
{
    shm_region *made = NULL, *got;
    const char *name = test_name("handed");
    char byte;

    connect_pair();
    for (int kind = 0; kind < 3; kind++) {
        if (kind == 0)
            OK(shm_posix_create(name, 2 * page, NULL, &made, &error));
        else if (kind == 1)
            OK(shm_file_create(test_path("handed"), 2 * page, NULL, &made, &error));
        else
            OK(shm_region_create("handed", 2 * page, OPTIONS(.seals = SHMKIT_SEAL_NONE), &made, &error));
        OK(shm_send_region(pair[0], made, &error));
        REFUSED_REGION(SHMKIT_E_UNSEALED, "RISK_SHRINK", shm_recv_region(pair[1], NULL, &region, &error));
        got = hand_over(made, OPTIONS(.flags = SHMKIT_REGION_RISK_SHRINK));
        CODE(1, shm_region_can_shrink(got));
        if (kind < 2)
            CODE(SHMKIT_KIND_DESCRIPTOR, shm_region_kind(got));
        CODE(0, shm_region_write(made, 5, "z", 1));
        CODE(0, shm_region_read(got, 5, &byte, 1));
        CHECK_EQ(byte, 'z');
        CHECK_SYS(ftruncate(shm_region_fd(made), 1));
        CODE(SHMKIT_E_SHRUNK, shm_region_read(got, page, &byte, 1));
        REFUSED(SHMKIT_E_SHRUNK, "1 byte", shm_region_check(got, page, 1, &error));
        CLOSE(got);
        /* It now holds less than the frame claims. */
        OK(shm_send_region(pair[0], made, &error));
        int code = shm_recv_region(pair[1], OPTIONS(.flags = SHMKIT_REGION_RISK_SHRINK), &region, &error);
        CHECK_EQ(code, SHMKIT_E_NOT_REGION);
        CLOSE(made);
    }
    OK(shm_posix_unlink(name, &error));
    CHECK_SYS(unlink(test_path("handed")));
    disconnect_pair();
}

/* ---- Limits ----------------------------------------------------------------------------------------------------- */

/* A receiver at its descriptor limit: EMFILE, and the connection is in a known state. */
static void receive_without_room(int socket, void *argument UNUSED)
{
    int got[3] = {-7, -7, -7}, fill[64], filled = 0;
    struct rlimit old, low;
    char byte;

    CHECK_SYS(getrlimit(RLIMIT_NOFILE, &old));
    hear(socket);
    low = (struct rlimit){(rlim_t)open_fds() + 8, old.rlim_max};
    CHECK_SYS(setrlimit(RLIMIT_NOFILE, &low));
    while ((size_t)filled < COUNT(fill) && (fill[filled] = dup(0)) != -1)
        filled++;
    CHECK((size_t)filled < COUNT(fill));
    REFUSED(-EMFILE, "", shm_recv_fd(pair[1], &got[0], &error));
    REFUSED_REGION(-EMFILE, "", shm_recv_region(pair[1], NULL, &region, &error));
    REFUSED(-EMFILE, "", shm_recv_fds(pair[1], got, 3, &byte, 1, &error));
    /* Room for some of them is not enough, and these are closed. */
    close(fill[--filled]);
    close(fill[--filled]);
    REFUSED(-EMFILE, "", shm_recv_fds(pair[1], got, 3, &byte, 1, &error));
    int again = dup(0), once_more = dup(0);
    CHECK_SYS(again);
    CHECK_SYS(once_more);
    close(again);
    close(once_more);
    for (size_t at = 0; at < COUNT(got); at++)
        CHECK_EQ(got[at], -7);
    while (filled > 0)
        close(fill[--filled]);
    CHECK_SYS(setrlimit(RLIMIT_NOFILE, &old));
    /* The messages were consumed; the next ones arrive. */
    tell(socket, 1);
    OK(shm_recv_fd(pair[1], &got[0], &error));
    close(got[0]);
    OK(shm_recv_region(pair[1], NULL, &region, &error));
    CLOSE(region);
}

static void descriptor_limit(void)
{
    shm_region *made = NULL;
    const int fds[] = {0, 0, 0};

    connect_pair();
    OK(shm_region_create("limit", page, NULL, &made, &error));
    struct child child = child_start(receive_without_room, NULL);
    OK(shm_send_fd(pair[0], 0, &error));
    OK(shm_send_region(pair[0], made, &error));
    OK(shm_send_fds(pair[0], fds, 3, "x", 1, &error));
    OK(shm_send_fds(pair[0], fds, 3, "x", 1, &error));
    tell(child.socket, 1);
    hear(child.socket);
    OK(shm_send_fd(pair[0], 0, &error));
    OK(shm_send_region(pair[0], made, &error));
    CHILD_PASSED(child);
    CLOSE(made);
    disconnect_pair();
}

/* ETOOMANYREFS: more descriptors in flight than RLIMIT_NOFILE; try again when some have arrived. */
static void too_many_in_flight(int socket UNUSED, void *argument UNUSED)
{
    const int fds[10] = {0};
    int got[10], sent = 0;
    char byte;

    become_ordinary();
    limit(RLIMIT_NOFILE, 64);
    non_blocking(pair[0], 1);
    while (shm_send_fds(pair[0], fds, 10, "x", 1, &error) == 0)
        CHECK(++sent < 1000);
    CHECK_EQ(error.code, -ETOOMANYREFS);
    SAYS("RLIMIT_NOFILE");
    int before = open_fds();
    REFUSED(-ETOOMANYREFS, "", shm_send_fd(pair[0], 0, &error));
    CHECK_EQ(open_fds(), before);
    for (int times = 0; times < 2; times++) {
        OK(shm_recv_fds(pair[1], got, 10, &byte, 1, &error));
        for (size_t at = 0; at < COUNT(got); at++)
            close(got[at]);
    }
    OK(shm_send_fds(pair[0], fds, 10, "x", 1, &error));
}

static void in_flight(void)
{
    connect_pair();
    IN_CHILD(too_many_in_flight, NULL);
    disconnect_pair();
}

/* SO_PASSCRED takes control space first, and must not cost the descriptor. */
static void with_credentials(void)
{
    shm_region *made = NULL, *got;
    int fds[SHMKIT_FDS_MAX] = {0}, taken[SHMKIT_FDS_MAX], on = 1;
    char byte;

    connect_pair();
    CHECK_SYS(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    still_works();
    OK(shm_region_create("credentials", page, NULL, &made, &error));
    got = hand_over(made, NULL);
    CLOSE(got);
    CLOSE(made);
    OK(shm_send_fds(pair[0], fds, SHMKIT_FDS_MAX, "x", 1, &error));
    OK(shm_recv_fds(pair[1], taken, SHMKIT_FDS_MAX, &byte, 1, &error));
    for (size_t at = 0; at < COUNT(taken); at++)
        close(taken[at]);
#ifdef SO_PASSPIDFD
    if (setsockopt(pair[1], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof on) == 0)
        still_works();
#else
    if (setsockopt(pair[1], SOL_SOCKET, 76, &on, sizeof on) == 0) /* SO_PASSPIDFD, Linux 6.5 */
        still_works();
#endif
    disconnect_pair();
}

static void test(void)
{
    for (int times = 0; times < 2; times++) {
        type = times ? SOCK_STREAM : SOCK_SEQPACKET;
        RUN(one_descriptor);
        RUN(many_descriptors);
        RUN(wrong_counts);
        RUN(gone);
        RUN(deadlines);
        RUN(interrupted);
        RUN(long_payloads);
        RUN(regions);
        RUN(passed_on);
        RUN(read_only);
        RUN(unsendable);
        RUN(can_shrink);
        if (limits_descriptors()) {
            RUN(descriptor_limit);
            RUN(in_flight);
        }
        RUN(with_credentials);
    }
}
