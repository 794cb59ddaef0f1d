/* Waits for one region from sender, and shows what came.
 *     receiver SOCKET           a path, or @name for the abstract namespace
 * The sender is not trusted: the library checks the region before it maps it, this program what the
 * sender wrote into it. */

#include "message.h"

#include <errno.h>
#include <string.h>

/* Nobody can make the region smaller, not even by its own descriptor. */
static bool print_shrink(const shm_region *region)
{
    if (ftruncate(shm_region_fd(region), 0) == 0) {
        fprintf(stderr, "receiver: the region could be shrunk\n");
        return false;
    }
    printf("receiver: shrinking it: %s\n", strerror(errno));
    return errno == EPERM;
}

int main(int argc, char **argv)
{
    shm_region_options options = {
        .size = sizeof options,
        .flags = SHMKIT_REGION_READ_ONLY,
        .size_min = sizeof(struct message),
    };
    SHMKIT_SCOPED shm_region *region = NULL;
    struct message message;
    shm_error error;
    shm_peer peer;
    int listener, socket;

    if (argc != 2) {
        fprintf(stderr, "usage: receiver SOCKET\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (shm_listen(argv[1], &listener, &error) < 0)
        shmkit_die(&error);
    printf("waiting on %s\n", argv[1]);

    int accepted = shm_accept(listener, &socket, &error);
    close(listener);
    if (argv[1][0] != '@')
        unlink(argv[1]);
    if (accepted < 0 || shm_peer_get(socket, &peer, sizeof peer, &error) < 0 ||
        shm_recv_region(socket, &options, &region, &error) < 0)
        shmkit_die(&error);
    close(peer.pidfd);
    close(socket);
    printf("receiver: process %d, connected to process %d\n", getpid(), peer.pid);
    if (!print_region("receiver", region) || !print_shrink(region))
        return EXIT_FAILURE;

    /* The sender can still write: its numbers are read once, then checked, then used. */
    if (shm_region_read(region, 0, &message, sizeof message) < 0)
        return EXIT_FAILURE;
    const char *text = SHMKIT_ARRAY(region, char, message.text_offset, message.text_size);
    const char *file = SHMKIT_ARRAY(region, char, message.file_offset, message.file_size);
    if (text == NULL || file == NULL) {
        fprintf(stderr, "receiver: the head of the region points out of it\n");
        return EXIT_FAILURE;
    }
    printf("共享内存中的文件内容是: ");
    fwrite(text, 1, message.text_size, stdout);
    printf("\n");
    if (!print_sha256("receiver: sha256", file, message.file_size, "-"))
        return EXIT_FAILURE;
    return EXIT_SUCCESS;
}
