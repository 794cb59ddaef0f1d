/* Prints the 10 records that testwrite left in the System V segment of a path.
 *     testread PATH [--remove]      (--remove: removes the segment afterwards) */

#include <shmkit_helpers.h>
#include <stdbool.h>
#include <string.h>

#include "people.h"

int main(int argc, char **argv)
{
    shm_region_options options = {
        .size = sizeof options,
        .flags = SHMKIT_REGION_READ_ONLY,
        .size_min = 10 * sizeof(people),
    };
    SHMKIT_SCOPED shm_region *region = NULL;
    bool remove = argc == 3 && strcmp(argv[2], "--remove") == 0;
    shm_error error;
    int32_t key;

    if (argc != 2 && !remove) {
        fprintf(stderr, "usage: testread PATH [--remove]\n");
        return 2;
    }
    if (shm_sysv_key(argv[1], 0, &key, &error) < 0 ||
        shm_sysv_attach(key, &options, &region, &error) < 0)
        shmkit_die(&error);

    const people *records = SHMKIT_ARRAY(region, people, 0, 10);
    for (int i = 0; i < 10; i++)
        printf("name:%.4s\nage %d\n", records[i].name, records[i].age);

    if (remove && shm_sysv_remove(shm_sysv_id(region), &error) < 0)
        shmkit_die(&error);
    return EXIT_SUCCESS;
}
