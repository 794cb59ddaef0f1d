/* Prints the 10 records that map_normalfile1 mapped over its file of 5: before map_normalfile1 ends
 * all 10 are there; afterwards 5 and 5 empty ones on a disk's file system, and all 10 on tmpfs.
 *     map_normalfile2 FILE */

#include <shmkit_helpers.h>

#include "people.h"

int main(int argc, char **argv)
{
    shm_region_options options = {
        .size = sizeof options,
        .flags = SHMKIT_REGION_READ_ONLY | SHMKIT_REGION_PAST_END,
    };
    SHMKIT_SCOPED shm_region *region = NULL;
    people records[10];
    shm_error error;

    if (argc != 2) {
        fprintf(stderr, "usage: map_normalfile2 FILE\n");
        return 2;
    }
    if (shm_file_open(argv[1], sizeof records, &options, &region, &error) < 0)
        shmkit_die(&error);

    /* Others can truncate a file: the checked read answers where the pointer would die. */
    if (shm_region_read(region, 0, records, sizeof records) < 0) {
        shm_region_check(region, 0, sizeof records, &error);
        shmkit_die(&error);
    }
    for (int i = 0; i < 10; i++)
        printf("name: %.4s age %d;\n", records[i].name, records[i].age);
    return EXIT_SUCCESS;
}
