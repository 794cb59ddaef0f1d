/* Go's ShardData, AttachShmWithSysV and DetachShmWithSysV in C: two processes, one System V segment,
 * under the key of the current directory.
 *     shard_sysv write TEXT      makes the segment where it is missing, writes TEXT
 *     shard_sysv read            prints it and removes the segment */

#include <shmkit_helpers.h>
#include <string.h>
#include <sys/ipc.h>

enum { BLOCK_SIZE = 1024 };

/* ShardData */
struct shard_data {
    int id; /* the segment's */
    char *data;
    size_t size;
    shm_region *region;
};

/* AttachShmWithSysV. `flag`: IPC_CREAT creates the segment where it is missing, 0 does not. */
static int attach_shm_with_sysv(int32_t key, size_t size, int flag, struct shard_data *shard,
                                shm_error *error)
{
    shm_region_options create = {.size = sizeof create, .flags = SHMKIT_REGION_OR_OPEN};
    shm_region_options attach = {.size = sizeof attach, .size_min = size};
    shm_region *region;
    int code = flag & IPC_CREAT ? shm_sysv_create(key, size, &create, &region, error)
                                : shm_sysv_attach(key, &attach, &region, error);

    if (code < 0)
        return code;
    *shard = (struct shard_data){shm_sysv_id(region), shm_region_data(region), size, region};
    return 0;
}

/* DetachShmWithSysV: detaches and removes. Others that have the segment attached keep it. */
static int detach_shm_with_sysv(struct shard_data *shard, shm_error *error)
{
    shard->data = NULL;
    SHMKIT_CLOSE(shard->region);
    return shm_sysv_remove(shard->id, error);
}

int main(int argc, char **argv)
{
    const char *text = argc == 3 && strcmp(argv[1], "write") == 0 ? argv[2] : NULL;
    struct shard_data shard;
    shm_error error;
    int32_t key;

    if (text == NULL && (argc != 2 || strcmp(argv[1], "read") != 0)) {
        fprintf(stderr, "usage: shard_sysv write TEXT | shard_sysv read\n");
        return 2;
    }
    if (text != NULL && strlen(text) > BLOCK_SIZE) {
        fprintf(stderr, "the text has %zu bytes, the block %d\n", strlen(text), BLOCK_SIZE);
        return EXIT_FAILURE;
    }
    if (shm_sysv_key(".", 1, &key, &error) < 0 ||
        attach_shm_with_sysv(key, BLOCK_SIZE, text ? IPC_CREAT : 0, &shard, &error) < 0)
        shmkit_die(&error);

    if (text != NULL) {
        strncpy(shard.data, text, shard.size); /* all of the block: zeros behind the text */
        SHMKIT_CLOSE(shard.region);            /* the segment stays for the reader */
        return EXIT_SUCCESS;
    }
    printf("%.*s\n", (int)shard.size, shard.data);
    if (detach_shm_with_sysv(&shard, &error) < 0)
        shmkit_die(&error);
    return EXIT_SUCCESS;
}
