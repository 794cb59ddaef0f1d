/* Go's ShardData, AttachShmWithMmap and DetachShmWithMmap in C: two processes, one file, ./block.
 *     shard_mmap write TEXT      makes ./block of 1024 zero bytes where it is missing, writes TEXT
 *     shard_mmap read            prints it */

#include <fcntl.h>
#include <shmkit_helpers.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK_SIZE = 1024 };

/* ShardData */
struct shard_data {
    int id; /* the file's descriptor */
    char *data;
    size_t size;
    shm_region *region;
};

/* AttachShmWithMmap. `flags`: SHMKIT_REGION_READ_ONLY and _PRIVATE, for its prot and flags. */
static int attach_shm_with_mmap(int fd, uint64_t offset, size_t length, uint32_t flags,
                                struct shard_data *shard, shm_error *error)
{
    shm_region_options options = {.size = sizeof options, .flags = flags, .offset = offset};
    shm_region *region;
    int code = shm_region_from_fd(fd, length, &options, &region, error);

    if (code < 0)
        return code;
    *shard = (struct shard_data){fd, shm_region_data(region), length, region};
    return 0;
}

/* DetachShmWithMmap. The bytes stay in the file. */
static int detach_shm_with_mmap(struct shard_data *shard)
{
    shard->data = NULL;
    return SHMKIT_CLOSE(shard->region);
}

int main(int argc, char **argv)
{
    const char *text = argc == 3 && strcmp(argv[1], "write") == 0 ? argv[2] : NULL;
    struct shard_data shard;
    shm_error error;

    if (text == NULL && (argc != 2 || strcmp(argv[1], "read") != 0)) {
        fprintf(stderr, "usage: shard_mmap write TEXT | shard_mmap read\n");
        return 2;
    }
    if (text != NULL && strlen(text) > BLOCK_SIZE) {
        fprintf(stderr, "the text has %zu bytes, the block %d\n", strlen(text), BLOCK_SIZE);
        return EXIT_FAILURE;
    }
    int fd = open("block", text ? O_RDWR | O_CREAT | O_CLOEXEC : O_RDONLY | O_CLOEXEC, 0600);
    if (fd < 0 || (text != NULL && posix_fallocate(fd, 0, BLOCK_SIZE) != 0)) {
        perror("./block");
        return EXIT_FAILURE;
    }

    if (attach_shm_with_mmap(fd, 0, BLOCK_SIZE, text ? 0 : SHMKIT_REGION_READ_ONLY, &shard, &error) < 0)
        shmkit_die(&error);
    if (text != NULL)
        strncpy(shard.data, text, shard.size); /* all of the block: zeros behind the text */
    else
        printf("%.*s\n", (int)shard.size, shard.data);

    detach_shm_with_mmap(&shard);
    close(fd);
    return EXIT_SUCCESS;
}
