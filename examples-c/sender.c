/* Puts a text and a file into a region and hands it to receiver, a process started on its own.
 *     receiver SOCKET           first, in one terminal
 *     sender SOCKET FILE        then, in another
 * The file is read straight into the region: its bytes are in memory once, for both processes. */

#include "message.h"

#include <fcntl.h>
#include <string.h>

static const char text[] =
    "这段内容是保存在共享内存里的,接收方和发送方都能根据自己的fd访问到这块内容";

/* Reads exactly `size` bytes; a file that is shorter or longer by now is an error. */
static bool read_file(const char *path, int fd, char *data, size_t size)
{
    size_t done = 0;
    ssize_t got;
    char more;

    while (done < size) {
        got = read(fd, data + done, size - done < CHUNK ? size - done : CHUNK);
        if (got < 0) {
            perror(path);
            return false;
        }
        if (got == 0)
            break;
        show_progress("reading", done, done + (size_t)got, size);
        done += (size_t)got;
    }
    if (done < size || read(fd, &more, 1) != 0) {
        fprintf(stderr, "%s: changed while it was read: it had %zu bytes\n", path, size);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_error error;
    shm_peer peer;
    struct stat info;
    int socket;

    if (argc != 3) {
        fprintf(stderr, "usage: sender SOCKET FILE\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *path = argv[2];
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* so that a FIFO does not wait */
    if (file < 0 || fstat(file, &info) < 0) {
        perror(path);
        return EXIT_FAILURE;
    }
    if (!S_ISREG(info.st_mode)) {
        fprintf(stderr, "%s: not a regular file\n", path);
        return EXIT_FAILURE;
    }

    int64_t deadline = shmkit_deadline_in_ms(10000);
    if (shm_connect_until(argv[1], deadline, &socket, &error) < 0 ||
        shm_peer_get(socket, &peer, sizeof peer, &error) < 0)
        shmkit_die(&error);
    printf("sender: process %d, connected to process %d\n", getpid(), peer.pid);

    struct message message = {
        .text_offset = sizeof message,
        .text_size = sizeof text - 1,
        .file_offset = sizeof message + sizeof text - 1,
        .file_size = (uint64_t)info.st_size,
    };
    size_t size = message.file_offset + message.file_size;
    if (shm_region_create("sender", size, NULL, &region, &error) < 0)
        shmkit_die(&error);

    char *data = shm_region_data(region);
    memcpy(data, &message, sizeof message);
    memcpy(data + message.text_offset, text, message.text_size);
    if (!read_file(path, file, data + message.file_offset, message.file_size))
        return EXIT_FAILURE;

    if (shm_send_region(socket, region, &error) < 0)
        shmkit_die(&error);
    close(peer.pidfd);
    close(socket);
    close(file);

    /* The region is the receiver's too from here on; this process only reads it. */
    if (!print_region("sender", region) ||
        !print_sha256("sender: sha256", data + message.file_offset, message.file_size, path))
        return EXIT_FAILURE;
    return EXIT_SUCCESS;
}
