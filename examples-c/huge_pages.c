/* Huge pages, in both ways that there are: pages of 2 MiB from the machine's pool, or ordinary ones
 * where it has none to give; and ordinary memory that the kernel puts onto huge pages.
 *     huge_pages */

#include <shmkit_helpers.h>

enum { SIZE = 3 << 20, HUGE_PAGE = 2 << 20 };

static void from_the_pool(void)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_region_options options = {
        .size = sizeof options,
        .flags = SHMKIT_REGION_HUGE_2M | SHMKIT_REGION_HUGE_FALLBACK,
    };
    shm_error error;

    if (shm_region_create("pool", SIZE, &options, &region, &error) < 0)
        shmkit_die(&error);
    printf("pool: %d bytes were asked for, these are %zu on pages of %zu\n", SIZE, shm_region_size(region),
           shm_region_page_size(region));
    /* Set aside is not taken: what can still fail is an error here, and would be a signal later. */
    if (shm_region_prefault(region, 0, shm_region_size(region), &error) < 0)
        shmkit_die(&error);
}

static void by_the_kernel(void)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_error error;

    /* The region begins where a huge page can. What is to be put together has to be there. */
    if (shm_region_create("ordinary", 2 * HUGE_PAGE, NULL, &region, &error) < 0 ||
        shm_region_prefault(region, 0, 2 * HUGE_PAGE, &error) < 0)
        shmkit_die(&error);
    if (shm_region_advise(region, 0, 2 * HUGE_PAGE, SHMKIT_ADVICE_COLLAPSE, &error) < 0)
        printf("ordinary: %s\n", error.message); /* no harm: the pages stay as they are */
    else
        printf("ordinary: %zu bytes were put onto huge pages\n", shm_region_size(region));
}

int main(void)
{
    from_the_pool();
    by_the_kernel();
    return EXIT_SUCCESS;
}
