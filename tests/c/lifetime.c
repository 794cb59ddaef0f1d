/* Goal: memory lives while anyone refers to it, in whatever order its users close, exit, exec or are killed. */
#include "test.h"

#include <poll.h>

enum { MEMFD, ANONYMOUS, REGULAR, POSIX, SYSV, KINDS };

static int pair[2];

static void connect_pair(void)
{
    CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
}

static void disconnect_pair(void)
{
    close(pair[0]);
    close(pair[1]);
}

/* A region of a kind, which no name leads to any more. */
static shm_region *make(int kind, uint32_t flags)
{
    shm_region *made = NULL;

    switch (kind) {
    case MEMFD:
        OK(shm_region_create("lifetime", 2 * page, OPTIONS(.flags = flags), &made, &error));
        break;
    case ANONYMOUS:
        OK(shm_anon_create(2 * page, OPTIONS(.flags = flags), &made, &error));
        break;
    case REGULAR:
        OK(shm_file_create(test_path("lifetime"), 2 * page, OPTIONS(.flags = flags), &made, &error));
        CHECK_SYS(unlink(test_path("lifetime")));
        break;
    case POSIX:
        OK(shm_posix_create(test_name("lifetime"), 2 * page, OPTIONS(.flags = flags), &made, &error));
        OK(shm_posix_unlink(test_name("lifetime"), &error));
        break;
    default:
        OK(shm_sysv_create(0, 2 * page, OPTIONS(.flags = flags | SHMKIT_REGION_AUTO_REMOVE), &made, &error));
    }
    return made;
}

/* ---- What travels (D1.3) --------------------------------------------------------------------------------- */

static void receive_description(int socket, void *argument)
{
    const struct stat *sent = argument;
    struct stat status;
    int got, shift[5];

    for (size_t at = 0; at < COUNT(shift); at++)
        CHECK_SYS(shift[at] = dup(0));
    OK(shm_recv_fd(pair[1], &got, &error));
    /* The same file, and the same offset in it, under a number of its own. */
    CHECK_SYS(fstat(got, &status));
    CHECK_EQ(status.st_dev, sent->st_dev);
    CHECK_EQ(status.st_ino, sent->st_ino);
    CHECK_EQ(lseek(got, 0, SEEK_CUR), 100);
    CHECK_EQ(lseek(got, 23, SEEK_CUR), 123);
    tell(socket, got);
}

/* The kernel's open file travels, not a number. */
static void description(void)
{
    shm_region *made = make(MEMFD, 0);
    int fd = shm_region_fd(made);
    struct stat status;

    connect_pair();
    CHECK_SYS(fstat(fd, &status));
    CHECK_EQ(lseek(fd, 100, SEEK_SET), 100);
    struct child child = child_start(receive_description, &status);
    OK(shm_send_fd(pair[0], fd, &error));
    CHECK(hear(child.socket) != fd);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 123);
    CHILD_PASSED(child);
    CLOSE(made);
    disconnect_pair();
}

/* ---- In flight (D1.4) ------------------------------------------------------------------------------------- */

static void send_and_end(int socket, void *argument)
{
    shm_region *made = make(MEMFD, 0);

    CODE(0, shm_region_write(made, 2 * page - 9, "survives", 9));
    OK(shm_send_region(pair[0], made, &error));
    if (argument) { /* killed with everything open */
        tell(socket, 1);
        hear(socket);
    }
    CLOSE(made);
}

/* The sender closes, exits or is killed while the descriptor is on its way: the receiver still reads all. */
static void sender_ended(void)
{
    for (int killed = 0; killed < 2; killed++) {
        shm_region *got = NULL;

        connect_pair();
        struct child child = child_start(send_and_end, killed ? pair : NULL);
        if (killed) {
            hear(child.socket);
            kill(child.pid, SIGKILL);
            CHECK_EQ(child_end(&child), 128 + SIGKILL);
        } else
            CHILD_PASSED(child);
        close(pair[0]);
        OK(shm_recv_region(pair[1], NULL, &got, &error));
        CHECK(!strcmp((char *)shm_region_data(got) + 2 * page - 9, "survives"));
        CODE(0, shm_region_write(got, 0, "on", 3));
        CLOSE(got);
        REFUSED_REGION(-ECONNRESET, "", shm_recv_region(pair[1], NULL, &region, &error));
        close(pair[1]);
    }
}

static bool hung_up(int pipe_end)
{
    struct pollfd end = {.fd = pipe_end, .events = POLLIN};
    return poll(&end, 1, 0) == 1 && (end.revents & POLLHUP);
}

/* What nobody received goes with the connection. */
static void never_received(void)
{
    int pipes[2];

    connect_pair();
    CHECK_SYS(pipe2(pipes, O_CLOEXEC));
    OK(shm_send_fd(pair[0], pipes[1], &error));
    close(pipes[1]);
    CHECK(!hung_up(pipes[0])); /* it lives in the socket's queue */
    close(pair[0]);
    CHECK(!hung_up(pipes[0]));
    close(pair[1]);
    CHECK(hung_up(pipes[0]));
    close(pipes[0]);
}

/* ---- Whose is what ------------------------------------------------------------------------------------------ */

/* from_fd keeps a duplicate: the caller's descriptor stays the caller's. */
static void duplicates(void)
{
    shm_region *made = make(MEMFD, 0), *other = NULL;
    int fd = dup(shm_region_fd(made));

    OK(shm_region_from_fd(fd, 0, NULL, &other, &error));
    CLOSE(other);
    CHECK_EQ(fcntl(fd, F_GETFD), 0);
    OK(shm_region_from_fd(fd, 0, NULL, &other, &error));
    close(fd);
    CLOSE(made);
    CODE(0, shm_region_write(other, 0, "still here", 11));
    CHECK(!strcmp(shm_region_data(other), "still here"));
    CODE(0, shm_region_can_shrink(other));
    CLOSE(other);
}

static void use_and_close(int socket, void *argument)
{
    shm_region *inherited = argument;
    int fds = open_fds(), mappings = mappings_of("");
    bool has_fd = shm_region_fd(inherited) >= 0;

    CHECK(!strcmp(shm_region_data(inherited), "parent"));
    CODE(0, shm_region_write(inherited, page, "child", 6));
    CLOSE(inherited);
    CHECK_EQ(open_fds(), fds - has_fd);
    CHECK_EQ(mappings_of(""), mappings - 1);
    tell(socket, 1);
}

static void use_until_killed(int socket, void *argument)
{
    CODE(0, shm_region_write(argument, page, "killed", 7));
    tell(socket, 1);
    hear(socket);
}

/* A child has its parent's regions, and closes them for itself. */
static void inherited(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        shm_region *made = make(kind, 0);
        struct child child;

        CODE(0, shm_region_write(made, 0, "parent", 7));
        child = child_start(use_and_close, made);
        hear(child.socket);
        CHILD_PASSED(child);
        CHECK(!strcmp((char *)shm_region_data(made) + page, "child"));
        child = child_start(use_until_killed, made);
        hear(child.socket);
        kill(child.pid, SIGKILL);
        CHECK_EQ(child_end(&child), 128 + SIGKILL);
        CHECK(!strcmp((char *)shm_region_data(made) + page, "killed"));
        CLOSE(made);
    }
}

static void outlive(int socket, void *argument)
{
    shm_region *inherited = argument;
    char text[8];

    tell(socket, 1);
    hear(socket); /* the parent has closed */
    CODE(0, shm_region_read(inherited, 0, text, 7));
    CHECK(!strcmp(text, "parent"));
    CLOSE(inherited);
}

/* The child's region outlives the parent's. */
static void outlived(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        shm_region *made = make(kind, 0);

        CODE(0, shm_region_write(made, 0, "parent", 7));
        struct child child = child_start(outlive, made);
        hear(child.socket);
        CLOSE(made);
        tell(child.socket, 1);
        CHILD_PASSED(child);
    }
}

/* ---- exec --------------------------------------------------------------------------------------------------- */

static void look_for(int socket UNUSED, void *argument)
{
    const int *fds = argument;
    char numbers[256] = "";

    for (size_t at = 0; fds[at] != -1; at++)
        snprintf(numbers + strlen(numbers), sizeof numbers - strlen(numbers), "%d ", fds[at]);
    execl("/bin/sh", "sh", "-c",
          "for fd in $0; do [ ! -e /proc/self/fd/$fd ] || exit 3; done; ! grep -q 'memfd:lifetime' /proc/self/maps",
          numbers, (char *)NULL);
    FAIL("exec: %s", strerror(errno));
}

/* Every descriptor that a call returns is close-on-exec (D1.8), and no mapping survives exec. */
static void closed_by_exec(void)
{
    const char *name = kept("@shmkit-test", '-', test_name("exec"));
    shm_region *made[KINDS + 2];
    int fds[16], count = 0, one[1] = {0};
    shm_peer peer;
    char byte;

    connect_pair();
    for (int kind = 0; kind < KINDS; kind++)
        made[kind] = make(kind, 0);
    OK(shm_region_from_fd(shm_region_fd(made[MEMFD]), 0, NULL, &made[KINDS], &error));
    OK(shm_send_region(pair[0], made[MEMFD], &error));
    OK(shm_recv_region(pair[1], NULL, &made[KINDS + 1], &error));
    for (int at = 0; at < KINDS + 2; at++)
        if (shm_region_fd(made[at]) >= 0)
            fds[count++] = shm_region_fd(made[at]);
    OK(shm_listen(name, &fds[count++], &error));
    OK(shm_connect(name, &fds[count++], &error));
    OK(shm_accept(fds[count - 2], &fds[count], &error));
    count++;
    OK(shm_peer_get(pair[0], &peer, sizeof peer, &error));
    if (peer.pidfd != -1)
        fds[count++] = peer.pidfd;
    OK(shm_send_fd(pair[0], 0, &error));
    OK(shm_recv_fd(pair[1], &fds[count++], &error));
    OK(shm_send_fds(pair[0], one, 1, "x", 1, &error));
    OK(shm_recv_fds(pair[1], &fds[count++], 1, &byte, 1, &error));
    CHECK((size_t)count < COUNT(fds));
    fds[count] = -1;
    CHECK(mappings_of("memfd:lifetime") >= 3);
    for (int at = 0; at < count; at++)
        CHECK_EQ(fcntl(fds[at], F_GETFD), FD_CLOEXEC);
    IN_CHILD(look_for, fds);

    int regions = 0;
    for (int at = 0; at < KINDS + 2; at++) {
        regions += shm_region_fd(made[at]) >= 0;
        CLOSE(made[at]);
    }
    for (int at = regions; at < count; at++)
        close(fds[at]);
    disconnect_pair();
}

static void test(void)
{
    RUN(description);
    RUN(sender_ended);
    RUN(never_received);
    RUN(duplicates);
    RUN(inherited);
    RUN(outlived);
    RUN(closed_by_exec);
}
