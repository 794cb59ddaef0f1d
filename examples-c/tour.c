/* The shortest tour: make a region, write into it, read it back, and go too far.
 *     tour
 * sender.c and receiver.c hand such a region to another process. */

#include <shmkit_helpers.h>

int main(void)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_error error;

    if (shm_region_create("tour", 4096, NULL, &region, &error) < 0)
        shmkit_die(&error);

    /* Through a pointer: this memory is sealed, so nobody can take it away. */
    int *answer = SHMKIT_AT(region, int, 64);
    *answer = 42;

    /* Or copied, with every access checked. */
    char text[] = "shared memory", seen[sizeof text];
    if (shm_region_write(region, 0, text, sizeof text) < 0 ||
        shm_region_read(region, 0, seen, sizeof seen) < 0)
        return EXIT_FAILURE;
    printf("%zu bytes of %s, and the answer is %d\n", shm_region_size(region), seen, *answer);

    /* Beyond the end there is an error, not a crash. */
    int code = shm_region_write(region, 4090, text, sizeof text);
    if (code < 0 && shm_region_check(region, 4090, sizeof text, &error) < 0)
        printf("%s: %s\n", shm_error_name(code), error.message);
    return EXIT_SUCCESS;
}
