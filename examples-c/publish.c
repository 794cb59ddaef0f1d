/* One process writes, another may only read, and the kernel keeps it so: the receiver of a published
 * region tries all ways to write to it. Then a region is frozen, and not even its creator can write.
 *     publish */

#include <errno.h>
#include <fcntl.h>
#include <shmkit_helpers.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 4096 };

/* Lets the other process go on. */
static void pass_on(int socket)
{
    if (send(socket, "", 1, MSG_NOSIGNAL) != 1)
        exit(EXIT_FAILURE);
}

/* Waits until the other one lets this one go on. */
static void wait_for_turn(int socket)
{
    char turn;

    if (recv(socket, &turn, 1, 0) != 1)
        exit(EXIT_FAILURE);
}

/* What a system call answers that should fail. */
static void tried(const char *what, long result)
{
    printf("receiver: %s: %s\n", what, result < 0 ? strerror(errno) : "that was possible!");
}

static void try_to_write(shm_region *region)
{
    int fd = shm_region_fd(region);
    shm_region *writable;
    char path[32];
    shm_error error;

    int code = shm_region_write(region, 0, "mine", 5);
    printf("receiver: shm_region_write: %s\n", shm_strerror(code));
    code = shm_region_protect(region, 0, SIZE, SHMKIT_RIGHTS_READ_WRITE, NULL);
    printf("receiver: shm_region_protect: %s\n", shm_strerror(code));
    code = shm_region_from_fd(fd, 0, NULL, &writable, &error);
    printf("receiver: shm_region_from_fd: %s\n", shm_strerror(code));

    tried("mprotect", mprotect(shm_region_data(region), SIZE, PROT_READ | PROT_WRITE));
    tried("write", pwrite(fd, "mine", 5, 0));
    tried("ftruncate", ftruncate(fd, 0));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = fchmod(fd, 0666) < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
    tried("write after opening it again", pwrite(again, "mine", 5, 0));
    void *mapped = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0);
    tried("mmap after opening it again", mapped == MAP_FAILED ? -1 : 0);
    close(again);
}

static void receiver(int socket)
{
    SHMKIT_SCOPED shm_region *published = NULL, *frozen = NULL;
    shm_error error;

    if (shm_recv_region(socket, NULL, &published, &error) < 0)
        shmkit_die(&error);
    const char *text = shm_region_data(published);
    printf("receiver: reads '%.*s'\n", SIZE, text);
    try_to_write(published);
    pass_on(socket);

    wait_for_turn(socket);
    printf("receiver: reads '%.*s'\n", SIZE, text);
    pass_on(socket);

    if (shm_recv_region(socket, NULL, &frozen, &error) < 0)
        shmkit_die(&error);
    if (!(shm_region_seals(frozen) & SHMKIT_SEAL_WRITE))
        exit(EXIT_FAILURE); /* else these bytes will never change */
    printf("receiver: reads '%.*s'\n", SIZE, (char *)shm_region_data(frozen));
}

static void creator(int socket)
{
    SHMKIT_SCOPED shm_region *published = NULL, *frozen = NULL;
    shm_error error;

    if (shm_region_create("published", SIZE, NULL, &published, &error) < 0)
        shmkit_die(&error);
    strcpy(shm_region_data(published), "the first text");
    if (shm_region_publish_read_only(published, &error) < 0 ||
        shm_send_region(socket, published, &error) < 0)
        shmkit_die(&error);

    wait_for_turn(socket);
    strcpy(shm_region_data(published), "the second text");
    printf("creator: goes on writing\n");
    pass_on(socket);
    wait_for_turn(socket);

    if (shm_region_create("frozen", SIZE, NULL, &frozen, &error) < 0)
        shmkit_die(&error);
    strcpy(shm_region_data(frozen), "the last word on it");
    if (shm_region_freeze(frozen, &error) < 0)
        shmkit_die(&error);
    int code = shm_region_write(frozen, 0, "mine", 5);
    printf("creator: shm_region_write to a frozen region: %s\n", shm_strerror(code));
    if (shm_send_region(socket, frozen, &error) < 0)
        shmkit_die(&error);
}

int main(void)
{
    int sockets[2], status;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) < 0) {
        perror("socketpair");
        return EXIT_FAILURE;
    }
    /* The child is made first: one that is made later could have the region mapped, writable. */
    pid_t child = fork();
    if (child == 0) {
        close(sockets[0]);
        receiver(sockets[1]);
        return EXIT_SUCCESS;
    }
    close(sockets[1]);
    if (child > 0)
        creator(sockets[0]);
    close(sockets[0]);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
