/* Workers that come and go find each other by a name, which goes with the last of them: with its
 * shm_region_close, and when it was killed, with the next worker that comes.
 *     transient_name NAME */

#include <shmkit_helpers.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name;

struct worker {
    pid_t pid;
    int socket; /* a byte here ends its work */
};

/* The first one that comes makes the object, the others find it. */
static int work(int number, int socket)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_region_options options = {
        .size = sizeof options,
        .flags = SHMKIT_REGION_OR_OPEN | SHMKIT_REGION_UNLINK_LAST,
    };
    shm_error error;
    char byte;

    int created = shm_posix_create(name, 4096, &options, &region, &error);
    if (created < 0)
        shmkit_die(&error);
    printf("worker %d: %s it\n", number, created ? "made" : "found");
    if (send(socket, "", 1, MSG_NOSIGNAL) != 1)
        return EXIT_FAILURE;
    return recv(socket, &byte, 1, 0) == 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Starts a worker, and waits until it has the object. */
static struct worker come(int number)
{
    int sockets[2];
    char byte;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
        perror("socketpair");
        exit(EXIT_FAILURE);
    }
    struct worker worker = {.pid = fork(), .socket = sockets[0]};
    if (worker.pid == 0) {
        close(sockets[0]);
        exit(work(number, sockets[1]));
    }
    close(sockets[1]);
    if (worker.pid < 0 || recv(sockets[0], &byte, 1, 0) != 1)
        exit(EXIT_FAILURE);
    return worker;
}

/* Waits for its end, which closes its region or does not. */
static void gone(struct worker worker, int expected)
{
    int status;

    if (waitpid(worker.pid, &status, 0) < 0 || status != expected)
        exit(EXIT_FAILURE);
    close(worker.socket);
}

static void go(struct worker worker)
{
    if (send(worker.socket, "", 1, MSG_NOSIGNAL) != 1)
        exit(EXIT_FAILURE);
    gone(worker, 0);
}

static void look(const char *when)
{
    char path[300];

    snprintf(path, sizeof path, "/dev/shm/%s", name);
    printf("%s: the name is %s\n", when, access(path, F_OK) == 0 ? "there" : "gone");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: transient_name NAME\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    name = argv[1];

    struct worker first = come(1);
    struct worker second = come(2);
    go(first);
    look("one is left");
    go(second);
    look("both have gone");

    struct worker third = come(3);
    kill(third.pid, SIGKILL);
    gone(third, SIGKILL);
    look("the only one was killed");
    struct worker fourth = come(4); /* does not find what the third has left */
    go(fourth);
    look("it has gone");
    return EXIT_SUCCESS;
}
