/* The shortest hand-over: process A makes a region and sends it, process B receives it and reads.
 *     tour
 * Here they are child and parent; sender.c and receiver.c are two programs, and move a file. */

#include <shmkit_helpers.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void process_a(const char *path)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_error error;
    int socket;

    if (shm_region_create("tour", 4096, NULL, &region, &error) < 0)
        shmkit_die(&error);
    /* Sealed memory: nobody can take it away, so plain access is safe. */
    strcpy(shm_region_data(region), "written by A, read by B, copied by nobody");
    if (shm_connect(path, &socket, &error) < 0 || shm_send_region(socket, region, &error) < 0)
        shmkit_die(&error);
    close(socket);
}

static void process_b(int listener)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_error error;
    int socket;

    /* A is not trusted: what arrives is checked before it is mapped. */
    if (shm_accept(listener, &socket, &error) < 0 ||
        shm_recv_region(socket, NULL, &region, &error) < 0)
        shmkit_die(&error);
    close(socket);
    const char *text = shm_region_data(region);
    printf("%zu bytes: %.*s\n", shm_region_size(region), (int)shm_region_size(region), text);

    /* Checked access: beyond the end there is an error, not a crash. */
    char seen[16];
    if (shm_region_read(region, 4090, seen, sizeof seen) < 0 &&
        shm_region_check(region, 4090, sizeof seen, &error) < 0)
        shmkit_print_error(stdout, &error);
}

int main(void)
{
    char path[32]; /* '@': a name without a file */
    shm_error error;
    int listener, status;

    snprintf(path, sizeof path, "@tour-%d", (int)getpid());
    if (shm_listen(path, &listener, &error) < 0)
        shmkit_die(&error);
    pid_t child = fork();
    if (child == 0) {
        process_a(path);
        return EXIT_SUCCESS;
    }
    if (child > 0)
        process_b(listener);
    close(listener);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
