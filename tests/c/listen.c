/* Goal: sockets to hand over on: names, stale and live listeners, deadlines, and who is at the other end. */
#include "test.h"

#include <poll.h>
#include <sys/un.h>

static const char *abstract(const char *name)
{
    return kept("@shmkit-test", '-', test_name(name));
}

/* A listener of the test's own. */
static int plain_listener(const char *path, int type, int backlog)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    CHECK_SYS(listener = socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    CHECK_SYS(bind(listener, (struct sockaddr *)&address, sizeof address));
    if (backlog >= 0)
        CHECK_SYS(listen(listener, backlog));
    return listener;
}

static void passes_descriptors(int one, int other)
{
    int got;

    OK(shm_send_fd(one, 0, &error));
    OK(shm_recv_fd(other, &got, &error));
    close(got);
}

static bool nobody_waits(int listener)
{
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    return poll(&waiting, 1, 0) == 0;
}

/* Connects to a listener, accepts, and sends a descriptor both ways. */
static void meets(const char *path, int listener)
{
    int client, server, type;
    socklen_t length = sizeof type;

    OK(shm_connect(path, &client, &error));
    OK(shm_accept(listener, &server, &error));
    CHECK_SYS(getsockopt(client, SOL_SOCKET, SO_TYPE, &type, &length));
    CHECK_EQ(type, SOCK_SEQPACKET);
    CHECK_EQ(fcntl(client, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(server, F_GETFD), FD_CLOEXEC);
    passes_descriptors(client, server);
    passes_descriptors(server, client);
    close(client);
    close(server);
}

/* ---- Paths -------------------------------------------------------------------------------------------- */

static void paths(void)
{
    const char *path = test_path("socket");
    char long_path[PATH_MAX];
    struct stat status;
    int listener, other = 0x5a5a, client;

    /* Nothing is there: ENOENT. */
    REFUSED(-ENOENT, path, shm_connect(path, &other, &error));
    OK(shm_listen(path, &listener, &error));
    CHECK_EQ(fcntl(listener, F_GETFD), FD_CLOEXEC);
    CHECK_SYS(stat(path, &status));
    CHECK(S_ISSOCK(status.st_mode));
    meets(path, listener);
    /* Live: it is not replaced, nor disturbed. */
    REFUSED(-EADDRINUSE, path, shm_listen(path, &other, &error));
    CHECK(nobody_waits(listener));
    meets(path, listener);
    /* Also when its queue is full. */
    close(listener);
    CHECK_SYS(unlink(path));
    listener = plain_listener(path, SOCK_SEQPACKET, 0);
    OK(shm_connect_until(path, 0, &client, &error));
    REFUSED(-EADDRINUSE, path, shm_listen(path, &other, &error));
    REFUSED(-ETIMEDOUT, path, shm_connect_until(path, 0, &other, &error));
    int64_t deadline = shmkit_deadline_in_ms(20);
    REFUSED(-ETIMEDOUT, path, shm_connect_until(path, deadline, &other, &error));
    CHECK(shmkit_deadline_in_ms(0) >= deadline);
    close(client);
    /* Stale socket file: ECONNREFUSED at connect; at listen it is replaced. */
    close(listener);
    CHECK_SYS(stat(path, &status));
    REFUSED(-ECONNREFUSED, path, shm_connect(path, &other, &error));
    OK(shm_listen(path, &listener, &error));
    meets(path, listener);
    close(listener);
    CHECK_SYS(unlink(path));
    /* A listener of the other type is live, too. */
    listener = plain_listener(path, SOCK_STREAM, 1);
    REFUSED(-EADDRINUSE, path, shm_listen(path, &other, &error));
    REFUSED(-EPROTOTYPE, path, shm_connect(path, &other, &error));
    close(listener);
    CHECK_SYS(unlink(path));
    /* Only a socket is replaced. */
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    CHECK_EQ(write(fd, "precious", 8), 8);
    close(fd);
    REFUSED(-EADDRINUSE, path, shm_listen(path, &other, &error));
    REFUSED(-ECONNREFUSED, path, shm_connect(path, &other, &error));
    CHECK_SYS(stat(path, &status));
    CHECK_EQ(status.st_size, 8);
    CHECK_SYS(unlink(path));
    CHECK_SYS(mkdir(path, 0700));
    REFUSED(-EADDRINUSE, path, shm_listen(path, &other, &error));
    CHECK_SYS(rmdir(path));
    CHECK_SYS(symlink("nowhere", path));
    REFUSED(-EADDRINUSE, path, shm_listen(path, &other, &error));
    CHECK_SYS(unlink(path));
    /* Directories that are none. */
    REFUSED(-ENOENT, "missing", shm_listen(test_path("missing/socket"), &other, &error));
    REFUSED(-ENOENT, "missing", shm_connect(test_path("missing/socket"), &other, &error));
    close(open(test_path("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    REFUSED(-ENOTDIR, "file", shm_listen(test_path("file/socket"), &other, &error));
    REFUSED(-ENOTDIR, "file", shm_connect(test_path("file/socket"), &other, &error));
    CHECK_SYS(unlink(test_path("file")));

    /* At most 107 bytes. */
    snprintf(long_path, sizeof long_path, "%s/", scratch);
    memset(long_path + strlen(long_path), 's', 200);
    long_path[108] = '\0';
    REFUSED(-ENAMETOOLONG, "107", shm_listen(long_path, &other, &error));
    REFUSED(-ENAMETOOLONG, "107", shm_connect(long_path, &other, &error));
    long_path[107] = '\0';
    OK(shm_listen(long_path, &listener, &error));
    meets(long_path, listener);
    close(listener);
    CHECK_SYS(unlink(long_path));
    CHECK_EQ(other, 0x5a5a);
}

/* '@name': the abstract namespace. */
static void abstract_names(void)
{
    const char *name = abstract("name");
    char long_name[200];
    int listener, other = 0x5a5a, plain;
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    REFUSED(-ECONNREFUSED, name, shm_connect(name, &other, &error));
    OK(shm_listen(name, &listener, &error));
    meets(name, listener);
    REFUSED(-EADDRINUSE, name, shm_listen(name, &other, &error));
    /* It is the name that others know: a NUL, then the bytes. */
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    CHECK_SYS(plain = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    CHECK_SYS(connect(plain, (struct sockaddr *)&address,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))));
    close(plain);
    close(listener);
    /* It goes with the socket. */
    OK(shm_listen(name, &listener, &error));
    close(listener);
    memset(long_name, 'n', sizeof long_name);
    memcpy(long_name, name, strlen(name));
    long_name[108] = '\0';
    REFUSED(-ENAMETOOLONG, "107", shm_listen(long_name, &other, &error));
    REFUSED(-ENAMETOOLONG, "107", shm_connect(long_name, &other, &error));
    long_name[107] = '\0';
    OK(shm_listen(long_name, &listener, &error));
    meets(long_name, listener);
    close(listener);
    CHECK_EQ(other, 0x5a5a);
}

static void stranger(int socket UNUSED, void *path)
{
    int other;

    become_nobody();
    REFUSED(-EACCES, (char *)path, shm_connect(path, &other, &error));
    REFUSED(-EACCES, "new", shm_listen(test_path("new"), &other, &error));
}

/* The umask narrows who may connect. */
static void rights(void)
{
    char path[128];
    mode_t old = umask(077);
    int listener;

    strcpy(path, test_path("socket"));
    OK(shm_listen(path, &listener, &error));
    umask(old);
    IN_CHILD(stranger, path);
    close(listener);
    CHECK_SYS(unlink(path));
}

/* ---- Waiting --------------------------------------------------------------------------------------------- */

static void connect_when_told(int socket, void *path)
{
    int client;

    hear(socket);
    OK(shm_connect(path, &client, &error));
    hear(socket);
    close(client);
}

static void deadlines(void)
{
    char path[128];
    int listener, server = 0x5a5a, client;
    int64_t deadline;

    strcpy(path, abstract("waiting"));
    OK(shm_listen(path, &listener, &error));
    REFUSED(-ETIMEDOUT, "", shm_accept_until(listener, 0, &server, &error));
    deadline = shmkit_deadline_in_ms(20);
    REFUSED(-ETIMEDOUT, "", shm_accept_until(listener, deadline, &server, &error));
    CHECK(shmkit_deadline_in_ms(0) >= deadline);
    CHECK_EQ(server, 0x5a5a);
    /* Non-blocking: EAGAIN; with a deadline it waits. */
    CHECK_SYS(fcntl(listener, F_SETFL, O_NONBLOCK));
    REFUSED(-EAGAIN, "", shm_accept(listener, &server, &error));
    REFUSED(-ETIMEDOUT, "", shm_accept_until(listener, shmkit_deadline_in_ms(5), &server, &error));
    /* One in the past tries once. */
    OK(shm_connect(path, &client, &error));
    OK(shm_accept_until(listener, 0, &server, &error));
    close(server);
    close(client);
    OK(shm_connect_until(path, 0, &client, &error));
    OK(shm_accept(listener, &server, &error));
    passes_descriptors(client, server);
    close(server);
    close(client);
    /* Somebody comes meanwhile. */
    struct child child = child_start(connect_when_told, path);
    tell(child.socket, 1);
    OK(shm_accept_until(listener, INT64_MAX, &server, &error));
    CHECK_EQ(fcntl(server, F_GETFL) & O_NONBLOCK, 0);
    tell(child.socket, 1);
    CHILD_PASSED(child);
    close(server);
    close(listener);
    /* Any listening Unix socket will do, also a stream's. */
    listener = plain_listener(test_path("stream"), SOCK_STREAM, 1);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", test_path("stream"));
    CHECK_SYS(client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK_SYS(connect(client, (struct sockaddr *)&address, sizeof address));
    OK(shm_accept(listener, &server, &error));
    passes_descriptors(client, server);
    close(client);
    close(server);
    close(listener);
    CHECK_SYS(unlink(test_path("stream")));
    /* Not a listening socket. */
    CHECK_SYS(client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    REFUSED(-EINVAL, "", shm_accept(client, &server, &error));
    REFUSED(-EINVAL, "", shm_accept_until(client, shmkit_deadline_in_ms(5000), &server, &error));
    close(client);
}

static void connect_in_a_queue(int socket, void *path)
{
    int client;

    tell(socket, 1);
    OK(shm_connect(path, &client, &error));
    tell(socket, 2);
    hear(socket);
    close(client);
}

/* shm_connect waits while the queue is full. */
static void full_queue(void)
{
    char path[128];
    int listener, server, first;

    strcpy(path, test_path("queue"));
    listener = plain_listener(path, SOCK_SEQPACKET, 0);
    OK(shm_connect(path, &first, &error));
    struct child child = child_start(connect_in_a_queue, path);
    hear(child.socket);
    /* It is not through before there is room. */
    struct pollfd waiting = {.fd = child.socket, .events = POLLIN};
    CHECK_EQ(poll(&waiting, 1, 20), 0);
    OK(shm_accept(listener, &server, &error));
    close(server);
    CHECK_EQ(hear(child.socket), 2);
    OK(shm_accept(listener, &server, &error));
    close(server);
    tell(child.socket, 1);
    CHILD_PASSED(child);
    close(first);
    close(listener);
    CHECK_SYS(unlink(path));
}

static void no_descriptor_left(int socket UNUSED, void *argument UNUSED)
{
    const char *name = abstract("none-left");
    int listener, client, other, fd;

    OK(shm_listen(name, &listener, &error));
    OK(shm_connect(name, &client, &error));
    limit(RLIMIT_NOFILE, (rlim_t)open_fds() + 4);
    while ((fd = dup(0)) != -1)
        other = fd;
    REFUSED(-EMFILE, "", shm_accept(listener, &other, &error));
    REFUSED(-EMFILE, "", shm_connect(name, &other, &error));
    REFUSED(-EMFILE, "", shm_listen(abstract("another"), &other, &error));
    /* The connection still waits. */
    close(other);
    OK(shm_accept(listener, &other, &error));
}

static void descriptor_limit(void)
{
    IN_CHILD(no_descriptor_left, NULL);
}

/* ---- Who is at the other end --------------------------------------------------------------------------------- */

static void check_pidfd(int pidfd, pid_t pid)
{
    char path[64], line[128];
    int of = -1;
    FILE *file;

    if (pidfd == -1) {
        SKIP_PART("this kernel has no SO_PEERPIDFD (Linux 6.5)");
        return;
    }
    CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    CHECK(file = fopen(path, "re"));
    while (fgets(line, sizeof line, file))
        sscanf(line, "Pid: %d", &of);
    fclose(file);
    CHECK_EQ(of, pid);
}

static void peer_as_nobody(int socket, void *path)
{
    int client;
    struct shm_peer peer;

    become_nobody();
    OK(shm_connect(path, &client, &error));
    tell(socket, 1);
    OK(shm_peer_get(client, &peer, sizeof peer, &error));
    CHECK_EQ(peer.pid, getppid()); /* the process that listened */
    if (peer.pidfd != -1)
        close(peer.pidfd);
    hear(socket);
    close(client);
}

static void from_another_namespace(int socket, void *path)
{
    int client, status;

    isolate(CLONE_NEWPID, NULL);
    pid_t inside = fork();
    CHECK_SYS(inside);
    if (inside == 0) {
        shm_peer peer;
        OK(shm_connect(path, &client, &error));
        OK(shm_peer_get(client, &peer, sizeof peer, &error));
        CHECK_EQ(peer.pid, 0); /* who listens is not in this namespace */
        if (peer.pidfd != -1)
            close(peer.pidfd);
        tell(socket, 1);
        hear(socket);
        _exit(0);
    }
    CHECK_EQ(waitpid(inside, &status, 0), inside);
    CHECK_EQ(status, 0);
    _exit(0); /* a sanitizer's look for leaks does not work across PID namespaces */
}

static void peers(void)
{
    char path[128];
    int listener, client, server, pair[2];
    shm_peer peer;

    strcpy(path, abstract("peers"));
    OK(shm_listen(path, &listener, &error));
    OK(shm_connect(path, &client, &error));
    OK(shm_accept(listener, &server, &error));
    for (int at = 0; at < 2; at++) {
        memset(&peer, 0x5a, sizeof peer);
        OK(shm_peer_get(at ? server : client, &peer, sizeof peer, &error));
        CHECK_EQ(peer.pid, getpid());
        CHECK_EQ(peer.uid, geteuid());
        CHECK_EQ(peer.gid, getegid());
        check_pidfd(peer.pidfd, getpid());
        if (peer.pidfd != -1)
            close(peer.pidfd);
    }
    close(client);
    close(server);

    /* Another user's process; its pidfd is readable when it has ended. */
    struct child child = child_start(peer_as_nobody, path);
    if (geteuid() == 0) {
        OK(shm_accept(listener, &server, &error));
        hear(child.socket);
        OK(shm_peer_get(server, &peer, sizeof peer, &error));
        CHECK_EQ(peer.pid, child.pid);
        CHECK_EQ(peer.uid, NOBODY);
        CHECK_EQ(peer.gid, NOBODY);
        check_pidfd(peer.pidfd, child.pid);
        tell(child.socket, 1);
        CHILD_PASSED(child);
        if (peer.pidfd != -1) {
            struct pollfd ended = {.fd = peer.pidfd, .events = POLLIN};
            CHECK_EQ(poll(&ended, 1, 5000), 1);
            close(peer.pidfd);
        }
        close(server);
    } else
        CHILD_PASSED(child);

    /* On a socketpair the credentials name its creator. */
    CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    OK(shm_peer_get(pair[0], &peer, sizeof peer, &error));
    CHECK_EQ(peer.pid, getpid());
    if (peer.pidfd != -1)
        close(peer.pidfd);
    close(pair[0]);
    close(pair[1]);
    /* Nobody there: ENOTCONN. Another family: EOPNOTSUPP. */
    CHECK_SYS(client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    REFUSED(-ENOTCONN, "", shm_peer_get(client, &peer, sizeof peer, &error));
    close(client);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (client != -1) {
        REFUSED(-EOPNOTSUPP, "", shm_peer_get(client, &peer, sizeof peer, &error));
        close(client);
    }
    close(listener);
}

/* A process that is not in the caller's PID namespace has pid 0 there. */
static void namespaces(void)
{
    char path[128];
    int listener, server;
    shm_peer peer;

    strcpy(path, abstract("namespaces"));
    OK(shm_listen(path, &listener, &error));
    struct child child = child_start(from_another_namespace, path);
    long answer;
    if (recv(child.socket, &answer, sizeof answer, 0) == sizeof answer) {
        OK(shm_accept(listener, &server, &error));
        OK(shm_peer_get(server, &peer, sizeof peer, &error));
        CHECK(peer.pid > 0 && peer.pid != child.pid); /* it is in ours, which is the parent's */
        if (peer.pidfd != -1)
            close(peer.pidfd);
        tell(child.socket, 1);
        close(server);
    }
    CHILD_PASSED(child);
    close(listener);
}

/* ---- Two that listen at once ------------------------------------------------------------------------------------ */

static void listen_at_once(int socket, void *path)
{
    while (hear(socket)) {
        int listener = -1, code = shm_listen(path, &listener, &error);
        tell(socket, code);
        hear(socket);
        if (code == 0)
            close(listener); /* and leaves a stale file */
        tell(socket, 0);
    }
}

/* Of two that find a stale file, one listens, and whoever listens is not replaced. */
static void raced(void)
{
    char path[128];
    struct child child[2];
    int rounds = instrumented() ? 30 : 300, client;

    strcpy(path, test_path("raced"));
    close(plain_listener(path, SOCK_SEQPACKET, 0));
    for (int at = 0; at < 2; at++)
        child[at] = child_start(listen_at_once, path);
    for (int round = 0; round < rounds; round++) {
        long code[2];
        for (int at = 0; at < 2; at++)
            tell(child[at].socket, 1);
        for (int at = 0; at < 2; at++)
            code[at] = hear(child[at].socket);
        CHECK((code[0] == 0 && code[1] == -EADDRINUSE) || (code[1] == 0 && code[0] == -EADDRINUSE));
        /* The winner can be reached. */
        OK(shm_connect(path, &client, &error));
        close(client);
        for (int at = 0; at < 2; at++) {
            tell(child[at].socket, 1);
            hear(child[at].socket);
        }
    }
    for (int at = 0; at < 2; at++) {
        tell(child[at].socket, 0);
        CHILD_PASSED(child[at]);
    }
    CHECK_SYS(unlink(path));
}

static void test(void)
{
    RUN(paths);
    RUN(abstract_names);
    RUN(rights);
    RUN(deadlines);
    RUN(full_queue);
    if (limits_descriptors())
        RUN(descriptor_limit);
    RUN(peers);
    RUN(namespaces);
    RUN(raced);
}
