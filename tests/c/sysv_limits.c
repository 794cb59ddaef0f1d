/* Goal: a System V limit that is reached is named, with its value and the file that holds it (D2.11). */
#include "test.h"

static shm_region *opened[8];

static void limited(const char *file, const char *value)
{
    isolate(CLONE_NEWIPC, NULL);
    write_file(file, value);
}

/* Over shmmax: EINVAL. */
static void shmmax(int socket UNUSED, void *argument UNUSED)
{
    limited("/proc/sys/kernel/shmmax", "8192");
    OK(shm_sysv_create(0x77, 8192, NULL, &opened[0], &error));
    REFUSED_REGION(-EINVAL, "/proc/sys/kernel/shmmax", shm_sysv_create(0x78, 8193, NULL, &region, &error));
    SAYS("8192");
    SAYS("8193");
    REFUSED_REGION(-EINVAL, "/proc/sys/kernel/shmmax", shm_sysv_create(0, 8193, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "/proc/sys/kernel/shmmax",
                   shm_sysv_create_at(scratch, 1, 8193, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &region, &error));
    /* EEXIST wins over a size error. */
    REFUSED_REGION(-EEXIST, "77", shm_sysv_create(0x77, 8193, NULL, &region, &error));
    /* More than an existing segment has is EINVAL, and no matter of shmmax. */
    REFUSED_REGION(-EINVAL, "8192",
                   shm_sysv_create(0x77, 8193, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &region, &error));
    CHECK(!strstr(error.message, "shmmax"));
    CLOSE(opened[0]);
}

/* shmmni reached: ENOSPC. */
static void shmmni(int socket UNUSED, void *argument UNUSED)
{
    limited("/proc/sys/kernel/shmmni", "3");
    for (int key = 1; key <= 3; key++)
        OK(shm_sysv_create(key, 1, NULL, &opened[key], &error));
    REFUSED_REGION(-ENOSPC, "/proc/sys/kernel/shmmni", shm_sysv_create(4, 1, NULL, &region, &error));
    SAYS("3");
    REFUSED_REGION(-ENOSPC, "/proc/sys/kernel/shmmni", shm_sysv_create_at(scratch, 1, 1, NULL, &region, &error));
    OK(shm_sysv_remove(shm_sysv_id(opened[3]), &error));
    CLOSE(opened[3]);
    OK(shm_sysv_create(4, 1, NULL, &opened[3], &error));
    for (int key = 1; key <= 3; key++)
        CLOSE(opened[key]);
}

/* shmall reached: ENOSPC. It counts pages. */
static void shmall(int socket UNUSED, void *argument UNUSED)
{
    limited("/proc/sys/kernel/shmall", "4");
    OK(shm_sysv_create(1, 3 * page, NULL, &opened[1], &error));
    REFUSED_REGION(-ENOSPC, "/proc/sys/kernel/shmall", shm_sysv_create(2, page + 1, NULL, &region, &error));
    SAYS("4");
    OK(shm_sysv_create(2, page, NULL, &opened[2], &error));
    REFUSED_REGION(-ENOSPC, "/proc/sys/kernel/shmall", shm_sysv_create(3, 1, NULL, &region, &error));
    CLOSE(opened[1]);
    CLOSE(opened[2]);
}

/* Ids live in an IPC namespace: in a new one the same key finds nothing (D4.3). */
static void other_namespace(int socket UNUSED, void *argument)
{
    const int32_t key = *(int32_t *)argument;

    OK(shm_sysv_attach(key, NULL, &opened[0], &error));
    CLOSE(opened[0]);
    isolate(CLONE_NEWIPC, NULL);
    REFUSED_REGION(-ENOENT, "", shm_sysv_attach(key, NULL, &region, &error));
    OK(shm_sysv_create(key, page, NULL, &opened[0], &error));
    CODE(0, shm_region_write(opened[0], 0, "theirs", 7));
    CLOSE(opened[0]);
}

static void namespaces(void)
{
    int32_t key = test_key(1);
    shm_region *made = NULL;

    OK(shm_sysv_create(key, page, NULL, &made, &error));
    CODE(0, shm_region_write(made, 0, "ours", 5));
    IN_CHILD(other_namespace, &key);
    CHECK(!strcmp(shm_region_data(made), "ours"));
    OK(shm_sysv_remove(shm_sysv_id(made), &error));
    CLOSE(made);
}

static void test(void)
{
    IN_CHILD(shmmax, NULL);
    IN_CHILD(shmmni, NULL);
    IN_CHILD(shmall, NULL);
    RUN(namespaces);
}
