/* Walks off the end of a file of 2 pages, less 99 bytes, of which 3 pages are mapped: from the start
 * (1), or from the second page on (2). A mapping is good up to the file's last page.
 *     page_boundary raw 1|2        through the pointer: dies of SIGBUS (a shell says 135)
 *     page_boundary checked 1|2    through shm_region_write: an error at the same place */

#include <shmkit_helpers.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "people.h"

static bool checked;

/* Sets the age of one record; false, after the reason, where that is an error. */
static bool set_age(shm_region *region, size_t record, int age)
{
    size_t offset = record * sizeof(people) + offsetof(people, age);
    shm_error error;

    if (!checked) {
        *SHMKIT_AT(region, int, offset) = age;
        return true;
    }
    int code = shm_region_write(region, offset, &age, sizeof age);
    if (code < 0) {
        shm_region_check(region, offset, sizeof age, &error);
        printf("%s: %s\n", shm_error_name(code), error.message);
    }
    return code == 0;
}

/* The last record but one of each page, the last one, and the first of the next page. */
static void walk(shm_region *region, size_t page_size)
{
    for (int page = 1; page < 3; page++) {
        size_t next = (size_t)page * page_size / sizeof(people);

        if (!set_age(region, next - 2, 100))
            return;
        printf("access page %d over\n", page);
        if (!set_age(region, next - 1, 100))
            return;
        printf("access page %d edge over, now begin to access page %d\n", page, page + 1);
        if (!set_age(region, next, 100))
            return;
        printf("access page %d over\n", page + 1);
    }
}

int main(int argc, char **argv)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    shm_error error;
    int age;

    if (argc != 3 || (strcmp(argv[1], "raw") != 0 && strcmp(argv[1], "checked") != 0) ||
        (strcmp(argv[2], "1") != 0 && strcmp(argv[2], "2") != 0)) {
        fprintf(stderr, "usage: page_boundary raw|checked 1|2\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    checked = argv[1][0] == 'c';

    FILE *file = tmpfile();
    if (file == NULL || ftruncate(fileno(file), 2 * (off_t)page_size - 99) < 0) {
        perror("cannot make a temporary file");
        return EXIT_FAILURE;
    }
    shm_region_options options = {
        .size = sizeof options,
        .flags = SHMKIT_REGION_PAST_END,
        .offset = argv[2][0] == '2' ? page_size : 0,
    };
    if (shm_region_from_fd(fileno(file), 3 * page_size, &options, &region, &error) < 0)
        shmkit_die(&error);
    fclose(file);

    printf("pagesize is %zu\n", page_size);
    walk(region, page_size);

    /* Only the checked walk comes back. */
    size_t last = page_size - sizeof age;
    if (shm_region_read(region, last, &age, sizeof age) < 0)
        return EXIT_FAILURE;
    printf("still running: the age at the end of page 1 is %d\n", age);
    return EXIT_SUCCESS;
}
