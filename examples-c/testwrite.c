/* Writes 10 records into the System V segment of a path, for testread. The segment stays when the
 * program ends; nobody but its owner can attach it.
 *     testwrite PATH      (an existing file or directory) */

#include <shmkit_helpers.h>

#include "people.h"

int main(int argc, char **argv)
{
    shm_region_options options = {.size = sizeof options, .flags = SHMKIT_REGION_OR_OPEN};
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_error error;
    int32_t key;

    if (argc != 2) {
        fprintf(stderr, "usage: testwrite PATH\n");
        return 2;
    }
    if (shm_sysv_key(argv[1], 0, &key, &error) < 0 ||
        shm_sysv_create(key, 4096, &options, &region, &error) < 0)
        shmkit_die(&error);

    people_fill(SHMKIT_ARRAY(region, people, 0, 10), 10);
    return EXIT_SUCCESS;
}
