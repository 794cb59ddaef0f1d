/* Goal: names go with their users, and a region removes its own name alone, whoever dies in between. */
#include "test.h"

#define LAST SHMKIT_REGION_UNLINK_LAST
#define CREATOR SHMKIT_REGION_UNLINK_CREATOR
#define OR_OPEN SHMKIT_REGION_OR_OPEN

static bool stands(const char *name)
{
    return access(in_shm(name), F_OK) == 0;
}

static void arguments(void)
{
    const char *name = test_name("arguments");

    REFUSED(-EINVAL, "NULL", shm_region_unlink(NULL, &error));
    CODE(-EINVAL, shm_region_unlink(NULL, NULL));
    REFUSED_REGION(-EINVAL, "UNLINK_LAST",
                   shm_posix_create(name, page, OPTIONS(.flags = LAST | CREATOR), &region, &error));
    REFUSED_REGION(-EINVAL, "700", shm_posix_create(name, page, OPTIONS(.flags = LAST, .mode = 0700), &region, &error));
    REFUSED_REGION(-EINVAL, "UNLINK_CREATOR", shm_posix_open(name, OPTIONS(.flags = CREATOR), &region, &error));
    REFUSED_REGION(-EINVAL, "UNLINK_LAST", shm_region_create("memfd", page, OPTIONS(.flags = LAST), &region, &error));
    REFUSED_REGION(-EINVAL, "UNLINK_LAST", shm_sysv_create(0, page, OPTIONS(.flags = LAST), &region, &error));
    CHECK(!stands(name));
    OK(shm_region_create("memfd", page, NULL, &region, &error));
    REFUSED(-EOPNOTSUPP, "memfd", shm_region_unlink(region, &error));
    CLOSE(region);
}

static void lives(void)
{
    const char *name = test_name("lives");
    shm_region *first = NULL, *second = NULL;

    GIVES(1, shm_posix_create(name, page, OPTIONS(.flags = LAST | OR_OPEN), &first, &error));
    GIVES(0, shm_posix_create(name, page, OPTIONS(.flags = LAST | OR_OPEN), &second, &error));
    CLOSE(first);
    CHECK(stands(name));
    CLOSE(second);
    CHECK(!stands(name));

    OK(shm_posix_create(name, page, OPTIONS(.flags = CREATOR), &first, &error));
    OK(shm_posix_open(name, NULL, &second, &error));
    CLOSE(first);
    CHECK(!stands(name));
    OK(shm_posix_create(name, page, OPTIONS(.flags = LAST), &first, &error));
    REFUSED(-ESTALE, name, shm_region_unlink(second, &error));
    CLOSE(second);
    OK(shm_region_unlink(first, &error));
    REFUSED(-ENOENT, name, shm_region_unlink(first, &error));
    CLOSE(first);
}

/* ---- Killed at any system call ------------------------------------------------------------------ */

static const char *object;

static void come_and_go(void *argument)
{
    const uint32_t *flags = argument;
    shm_region *made = NULL;

    if (shm_posix_create(object, page, OPTIONS(.flags = *flags | OR_OPEN), &made, &error) < 0)
        FAIL("%s", error.message);
    CLOSE(made);
}

/* Nobody is left, so there is nothing to be found. */
static void killed_alone(uint32_t flags)
{
    for (int nth = 0, killed = true; killed; nth++) {
        killed = killed_at(nth, come_and_go, &flags);
        int code = shm_posix_open(object, NULL, &region, &error);
        CHECK_EQ(code, -ENOENT);
        CHECK(!stands(object));
    }
}

/* It was one of two, so the other still has the name, and takes it away. */
static void killed_beside(uint32_t flags)
{
    for (int nth = 0, killed = true; killed; nth++) {
        shm_region *kept = NULL;
        GIVES(1, shm_posix_create(object, page, OPTIONS(.flags = flags | OR_OPEN), &kept, &error));
        killed = killed_at(nth, come_and_go, &flags);
        OK(shm_posix_open(object, NULL, &region, &error));
        CLOSE(region);
        CLOSE(kept);
        CHECK(!stands(object));
    }
}

/* It was to remove a leftover, and to make its own. */
static void killed_over_leftover(uint32_t flags)
{
    for (int nth = 0, killed = true; killed; nth++) {
        int fd = open(in_shm(object), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        CHECK_SYS(fd);
        CHECK_SYS(fchmod(fd, 01700));
        close(fd);
        killed = killed_at(nth, come_and_go, &flags);
        OK(shm_posix_create(object, page, OPTIONS(.flags = flags), &region, &error));
        CLOSE(region);
        CHECK(!stands(object));
    }
}

static void killed(int socket UNUSED, void *argument UNUSED)
{
    isolate(CLONE_NEWNS, "size=16m,mode=1777");
    object = test_name("killed");
    for (size_t at = 0; at < 2; at++) {
        uint32_t flags = at ? CREATOR : LAST;
        killed_alone(flags);
        killed_beside(flags);
        killed_over_leftover(flags);
    }
}

static void test(void)
{
    RUN(arguments);
    RUN(lives);
    IN_CHILD(killed, NULL);
}
