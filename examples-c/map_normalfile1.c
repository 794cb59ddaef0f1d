/* Maps 10 records over a file of 5 and fills them all, while map_normalfile2 looks on.
 *     map_normalfile1 FILE      (an existing FILE is replaced; Enter ends the mapping)
 * What lies past the end of the file is in its last page only. A disk's file system drops it when
 * the page is written back, which the flush makes certain; tmpfs, which writes nothing back, never. */

#include <linux/magic.h>
#include <shmkit_helpers.h>
#include <sys/vfs.h>

#include "people.h"

static const char *file_system(int fd)
{
    struct statfs info;

    if (fstatfs(fd, &info) < 0)
        return "unknown";
    switch (info.f_type) {
    case EXT4_SUPER_MAGIC: return "ext4"; /* ext2 and ext3 have the same number */
    case TMPFS_MAGIC: return "tmpfs";
    case BTRFS_SUPER_MAGIC: return "btrfs";
    case XFS_SUPER_MAGIC: return "xfs";
    case OVERLAYFS_SUPER_MAGIC: return "overlayfs";
    default: return "another";
    }
}

int main(int argc, char **argv)
{
    shm_region_options replace = {.size = sizeof replace, .flags = SHMKIT_REGION_REPLACE};
    shm_region_options past_end = {.size = sizeof past_end, .flags = SHMKIT_REGION_PAST_END};
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_error error;

    if (argc != 2) {
        fprintf(stderr, "usage: map_normalfile1 FILE\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);

    if (shm_file_create(argv[1], 5 * sizeof(people), &replace, &region, &error) < 0)
        shmkit_die(&error);
    SHMKIT_CLOSE(region);
    if (shm_file_open(argv[1], 10 * sizeof(people), &past_end, &region, &error) < 0)
        shmkit_die(&error);

    /* The page holds all 10: the pointer is good as long as nobody truncates the file. */
    people_fill(SHMKIT_ARRAY(region, people, 0, 10), 10);
    printf("file system: %s\n", file_system(shm_region_fd(region)));
    printf("initialize over\n");

    while (getchar() != '\n' && !feof(stdin))
        ;

    int code = shm_region_flush(region, 0, shm_region_size(region));
    if (code < 0) {
        fprintf(stderr, "cannot flush '%s': %s\n", argv[1], shm_strerror(code));
        return EXIT_FAILURE;
    }
    SHMKIT_CLOSE(region);
    printf("umap ok\n");
    return EXIT_SUCCESS;
}
