/* Goal: what the kernel knows of regions comes through C: limits, objects, holders, pages, leftovers, traps. */
#include "test.h"
#include <inttypes.h>

#define LIST_UNTOUCHED ((shm_list *)0x5a5a)

static shm_list *list;

#define FREE() (shm_list_free(list), list = NULL)

/* A call that would write to `list`, and must not. */
#define REFUSED_LIST(want, word, call)    \
    do {                                  \
        list = LIST_UNTOUCHED;            \
        REFUSED(want, word, call);        \
        CHECK(list == LIST_UNTOUCHED);    \
        list = NULL;                      \
    } while (0)

static void limits(void)
{
    shm_limit limit, found;
    size_t count = 0;

    OK(shm_limits_list(&list, &error));
    for (; shm_limit_get(list, count, &limit, sizeof limit) == 1; count++) {
        CHECK(limit.name[0] && limit.source[0]);
        CHECK(limit.has_value == !limit.unknown && limit.reserved == 0);
        CHECK(!limit.has_used || !limit.used_unknown);
        CHECK(limit.has_used || limit.used == 0);
        CHECK(limit.unit >= SHMKIT_UNIT_BYTES && limit.unit <= SHMKIT_UNIT_SETTING);
        CODE(1, shm_limit_find(list, limit.name, &found, sizeof found));
        CHECK(!strcmp(found.name, limit.name));
    }
    CHECK(count > 25);
    CODE(1, shm_limit_find(list, "kernel.shmmni", &limit, sizeof limit));
    CHECK(limit.has_value && limit.has_used && limit.unit == SHMKIT_UNIT_COUNT && !limit.word);
    CHECK(!strcmp(limit.source, "/proc/sys/kernel/shmmni"));
    CODE(1, shm_limit_find(list, "kernel.shmmax", &limit, sizeof limit));
    CHECK(!limit.has_used && !limit.used_unknown); /* nothing uses it up */

    /* A struct of another size: filled as far as it goes; what it has behind ours becomes 0. */
    struct {
        shm_limit limit;
        char behind[16];
    } wide, guard;
    memset(&wide, 0x5a, sizeof wide);
    CODE(1, shm_limit_find(list, "kernel.shmmni", &wide.limit, sizeof wide));
    for (size_t i = 0; i < sizeof wide.behind; i++)
        CHECK(wide.behind[i] == 0);
    memset(&guard, 0x5a, sizeof guard);
    CODE(1, shm_limit_find(list, "kernel.shmmni", &guard.limit, 8));
    CHECK(!strcmp(guard.limit.name, "kernel.shmmni") && *(unsigned char *)&guard.limit.source == 0x5a);

    /* Behind the last, and of another kind: nothing, and nothing written. */
    memset(&guard, 0x5a, sizeof guard);
    CODE(0, shm_limit_get(list, count, &guard.limit, sizeof limit));
    CODE(0, shm_limit_get(list, SIZE_MAX, &guard.limit, sizeof limit));
    CODE(0, shm_limit_find(list, "", &guard.limit, sizeof limit));
    CODE(0, shm_object_get(list, 0, &(shm_object){0}, sizeof(shm_object)));
    CHECK(*(unsigned char *)&guard.limit == 0x5a);
    FREE();
}

static void fits(void)
{
    OK(shm_fits(SHMKIT_KIND_MEMFD, NULL, page, NULL, &error));
    OK(shm_fits(SHMKIT_KIND_ANONYMOUS, NULL, page, OPTIONS(.flags = SHMKIT_REGION_NO_RESERVE), &error));
    OK(shm_fits(SHMKIT_KIND_FILE, test_path("new"), page, NULL, &error));
    CHECK(access(test_path("new"), F_OK) == -1);
    REFUSED(-ENOSPC, "bytes are free", shm_fits(SHMKIT_KIND_FILE, test_path("new"), (uint64_t)1 << 60, NULL, &error));
    REFUSED(-ENOENT, "no/new", shm_fits(SHMKIT_KIND_FILE, test_path("no/new"), 1, NULL, &error));
    REFUSED(-EINVAL, "path", shm_fits(SHMKIT_KIND_FILE, NULL, 1, NULL, &error));
    REFUSED(-EINVAL, "0 bytes", shm_fits(SHMKIT_KIND_MEMFD, NULL, 0, NULL, &error));
    REFUSED(-EINVAL, "1 byte", shm_fits(SHMKIT_KIND_SYSV, NULL, 0, NULL, &error));
    REFUSED(-EINVAL, "shmmax", shm_fits(SHMKIT_KIND_SYSV, NULL, UINT64_MAX, NULL, &error));
    REFUSED(-ENOMEM, "address", shm_fits(SHMKIT_KIND_MEMFD, NULL, UINT64_MAX, NULL, &error));
    /* What making it refuses, in the same words. */
    shm_region_options far = {.size = sizeof far, .flags = SHMKIT_REGION_GROWABLE, .size_max = (uint64_t)1 << 62};
    shm_region *region = NULL;
    int code = shm_region_create("far", page, &far, &region, &error);
    CHECK(code == -ENOMEM || code == -EINVAL); /* valgrind's answer */
    REFUSED(code, "address", shm_fits(SHMKIT_KIND_MEMFD, NULL, page, &far, &error));
    REFUSED(-EINVAL, "cannot be GROWABLE: size_max is 1,",
            shm_fits(SHMKIT_KIND_MEMFD, NULL, page, OPTIONS(.flags = SHMKIT_REGION_GROWABLE, .size_max = 1), &error));
    REFUSED(-EINVAL, "shm_sysv_create has no use for the flag GROWABLE",
            shm_fits(SHMKIT_KIND_SYSV, NULL, page, OPTIONS(.flags = SHMKIT_REGION_GROWABLE), &error));
    REFUSED(-EINVAL, "shm_posix_create has no use for seals",
            shm_fits(SHMKIT_KIND_POSIX, NULL, page, OPTIONS(.seals = SHMKIT_SEAL_GROW), &error));
    REFUSED(-EINVAL, "HUGE_FALLBACK without",
            shm_fits(SHMKIT_KIND_MEMFD, NULL, page, OPTIONS(.flags = SHMKIT_REGION_HUGE_FALLBACK), &error));
    for (int kind = -1; kind <= SHMKIT_KIND_NAMED_SEMAPHORE + 1; kind++)
        if (kind <= 0 || kind == SHMKIT_KIND_DESCRIPTOR || kind > SHMKIT_KIND_SYSV)
            REFUSED(-EINVAL, "kind", shm_fits(kind, NULL, 1, NULL, &error));
    REFUSED(-EINVAL, "", shm_fits(SHMKIT_KIND_MEMFD, NULL, 1, OPTIONS(.flags = 1u << 31), &error));
}

static void limited(int socket UNUSED, void *argument UNUSED)
{
    isolate(CLONE_NEWIPC, NULL);
    write_file("/proc/sys/kernel/shmmax", "8192");
    OK(shm_fits(SHMKIT_KIND_SYSV, NULL, 8192, NULL, &error));
    REFUSED(-EINVAL, "kernel.shmmax is 8192 bytes (/proc/sys/kernel/shmmax)",
            shm_fits(SHMKIT_KIND_SYSV, NULL, 8193, NULL, &error));
}

/* The object of a name, with or without its slash; its number in `index`. */
static shm_object find(const char *name, int kind, size_t *index)
{
    shm_object object;

    for (*index = 0; shm_object_get(list, *index, &object, sizeof object) == 1; ++*index)
        if (object.kind == kind && object.name && !strcmp(object.name + (object.name[0] == '/'), name))
            return object;
    FAIL("nothing of kind %d is named %s", kind, name);
}

static void objects(void)
{
    const uint32_t all = SHMKIT_SELECT_SEGMENTS | SHMKIT_SELECT_SEMAPHORES | SHMKIT_SELECT_QUEUES |
                         SHMKIT_SELECT_POSIX | SHMKIT_SELECT_MEMFDS | SHMKIT_SELECT_ANONYMOUS |
                         SHMKIT_SELECT_FILES | SHMKIT_SELECT_HOLDERS;
    shm_region *memfd = NULL, *posix = NULL, *segment = NULL;
    shm_object object;
    shm_holder holder;
    shm_gap gap;
    size_t index;
    int descriptors = 0, mappings = 0;

    OK(shm_region_create("tests/c/inspect", 5000, NULL, &memfd, &error));
    OK(shm_posix_create(test_name("object"), 5000, NULL, &posix, &error));
    OK(shm_sysv_create(test_key(1), 5000, NULL, &segment, &error));

    OK(shm_objects_list_of(getpid(), all, &list, &error));
    object = find("tests/c/inspect", SHMKIT_KIND_MEMFD, &index);
    CHECK_EQ(object.size_bytes, 5000);
    CHECK_EQ(object.mode, 0600);
    CHECK_EQ(object.owner_uid, geteuid());
    CHECK_EQ(object.seals, shm_region_seals(memfd));
    CHECK(object.id == -1 && object.key == 0 && object.unlinked == 1);
    CHECK(object.attach_count == UINT64_MAX && object.creator_uid == UINT32_MAX);
    for (size_t i = 0; shm_holder_get(list, index, i, &holder, sizeof holder) == 1; i++) {
        CHECK_EQ(holder.pid, getpid());
        CHECK_EQ(holder.rights, SHMKIT_RIGHTS_READ_WRITE);
        CHECK(holder.command[0] && holder.start_ticks > 0);
        if (holder.descriptor == -1) {
            CHECK(holder.start == (uintptr_t)shm_region_data(memfd) && holder.shared == 1);
            CHECK_EQ(holder.length_bytes, 2 * page);
            mappings++;
        } else {
            CHECK_EQ(holder.descriptor, shm_region_fd(memfd));
            descriptors++;
        }
    }
    CHECK(descriptors == 1 && mappings == 1);
    CODE(0, shm_holder_get(list, SIZE_MAX, 0, &holder, sizeof holder));
    FREE();

    OK(shm_objects_list(SHMKIT_SELECT_SEGMENTS | SHMKIT_SELECT_POSIX, &list, &error));
    object = find(test_name("object"), SHMKIT_KIND_POSIX, &index);
    CHECK_EQ(object.size_bytes, 5000);
    CODE(0, shm_holder_get(list, index, 0, &holder, sizeof holder)); /* nobody asked */
    for (index = 0; shm_object_get(list, index, &object, sizeof object) == 1; index++)
        if (object.id == shm_sysv_id(segment))
            break;
    CHECK(object.id == shm_sysv_id(segment) && object.key == test_key(1) && object.kind == SHMKIT_KIND_SYSV);
    CHECK(object.attach_count == 1 && object.creator_pid == getpid() && !object.name);
    CODE(0, shm_gap_get(list, 0, &gap, sizeof gap));
    FREE();

    OK(shm_region_holders(segment, SHMKIT_SELECT_DESCRIPTORS, &list, &error));
    CODE(0, shm_holder_get(list, 0, 0, &holder, sizeof holder)); /* a segment has none */
    FREE();
    REFUSED_LIST(-EINVAL, "DESCRIPTORS", shm_region_holders(segment, SHMKIT_SELECT_POSIX, &list, &error));
    OK(shm_region_holders(segment, 0, &list, &error));
    CODE(1, shm_object_get(list, 0, &object, sizeof object));
    CODE(0, shm_object_get(list, 1, &object, sizeof object));
    CHECK(object.id == shm_sysv_id(segment));
    CODE(1, shm_holder_get(list, 0, 0, &holder, sizeof holder));
    CHECK(holder.pid == getpid() && holder.start == (uintptr_t)shm_region_data(segment));
    FREE();

    OK(shm_sysv_remove(shm_sysv_id(segment), &error));
    OK(shm_posix_unlink(test_name("object"), &error));
    CLOSE(segment);
    CLOSE(posix);
    CLOSE(memfd);
}

static void pages(void)
{
    shm_region *made = NULL;
    shm_run run;
    shm_usage usage;
    shm_file_system system;

    OK(shm_region_create("pages", 4 * page, OPTIONS(.flags = SHMKIT_REGION_NO_RESERVE), &made, &error));
    OK(shm_region_residency(made, 0, 4 * page, &list, &error));
    CODE(1, shm_run_get(list, 0, &run, sizeof run));
    CHECK(run.offset == 0 && run.length_bytes == 4 * page && run.resident == 0);
    CODE(0, shm_run_get(list, 1, &run, sizeof run));
    FREE();
    CODE(0, shm_region_write(made, page, "x", 1));
    OK(shm_region_residency(made, 0, 4 * page, &list, &error));
    CODE(1, shm_run_get(list, 1, &run, sizeof run));
    CHECK(run.offset == page && run.length_bytes == page && run.resident == 1);
    CODE(1, shm_run_get(list, 2, &run, sizeof run));
    CHECK(run.offset == 2 * page && run.length_bytes == 2 * page && run.resident == 0);
    FREE();
    REFUSED_LIST(-ERANGE, "beyond", shm_region_residency(made, 1, 4 * page, &list, &error));
    REFUSED_LIST(-ERANGE, "beyond", shm_region_residency(made, SIZE_MAX, SIZE_MAX, &list, &error));
    REFUSED_LIST(-EINVAL, "NULL", shm_region_residency(NULL, 0, 0, &list, &error));

    OK(shm_region_usage(made, &usage, sizeof usage, &error));
    CHECK(usage.size_bytes == 4 * page && usage.resident_bytes == page && usage.mappings == 1);
    CHECK(usage.page_size == page && strstr(usage.vm_flags, "sh"));
    REFUSED(-EINVAL, "NULL", shm_region_usage(NULL, &usage, sizeof usage, &error));
    REFUSED(-EINVAL, "NULL", shm_region_usage(made, NULL, sizeof usage, &error));
    REFUSED(-EINVAL, "sizeof", shm_region_usage(made, &usage, 0, &error));

    OK(shm_region_file_system(made, &list, &error));
    CODE(1, shm_file_system_get(list, &system, sizeof system));
    CHECK(!strcmp(system.kind, "tmpfs") && !system.mount_point && system.in_memory == 1);
    CHECK(system.free_bytes == UINT64_MAX && system.options[0] == '\0');
    FREE();
    CLOSE(made);
}

static void leftovers(void)
{
    shm_region *made = NULL;
    shm_leftover left;
    shm_object object;
    size_t index;

    OK(shm_posix_create(test_name("left"), 5000, NULL, &made, &error));
    CLOSE(made);
    OK(shm_leftovers_list(&list, &error));
    object = find(test_name("left"), SHMKIT_KIND_POSIX, &index);
    CODE(1, shm_leftover_get(list, index, &left, sizeof left));
    CHECK(object.size_bytes == 5000 && left.decided == 1 && strstr(left.reason, "open or mapped"));
    CHECK(left.reasons == SHMKIT_REASON_NOT_OPEN && object.unlinked == 0);
    OK(shm_leftover_check(list, index, &error));
    OK(shm_posix_open(test_name("left"), NULL, &made, &error));
    REFUSED(-EBUSY, test_name("left"), shm_leftover_remove(list, index, &error));
    CLOSE(made);
    OK(shm_leftover_remove(list, index, &error));
    REFUSED(-ENOENT, "gone", shm_leftover_remove(list, index, &error));
    REFUSED(-EINVAL, "number", shm_leftover_check(list, SIZE_MAX, &error));
    REFUSED(-EINVAL, "number", shm_leftover_remove_in_use(list, SIZE_MAX, &error));
    REFUSED(-ENOENT, "gone", shm_leftover_remove_in_use(list, index, &error));
    FREE();

    /* What is in use, when that is what is asked for. */
    OK(shm_posix_create(test_name("left"), 5000, NULL, &made, &error));
    CLOSE(made);
    OK(shm_leftovers_list(&list, &error));
    find(test_name("left"), SHMKIT_KIND_POSIX, &index);
    OK(shm_posix_open(test_name("left"), NULL, &made, &error));
    OK(shm_region_write(made, 0, "x", 1));
    REFUSED(-ESTALE, "changed", shm_leftover_remove(list, index, &error));
    OK(shm_leftover_remove_in_use(list, index, &error));
    REFUSED(-ENOENT, "", shm_posix_open(test_name("left"), NULL, &(shm_region *){NULL}, &error));
    CLOSE(made);
    FREE();
    OK(shm_limits_list(&list, &error));
    REFUSED(-EINVAL, "number", shm_leftover_remove(list, 0, &error)); /* another list */
    FREE();
}

/* How the limits, holders and leftovers say what they do not know. */
static void unseen(int socket UNUSED, void *argument UNUSED)
{
    shm_limit limit;
    shm_gap gap;
    bool denied = false;

    isolate(CLONE_NEWNS | CLONE_NEWIPC, "");
    if (mount("none", "/proc/sysvipc", "tmpfs", 0, "") == -1)
        SKIP("cannot hide /proc/sysvipc: %s", strerror(errno));
    OK(shm_limits_list(&list, &error));
    CODE(1, shm_limit_find(list, "kernel.sem.semmni", &limit, sizeof limit));
    CHECK(limit.has_value && !limit.has_used && limit.used == 0 && strstr(limit.used_unknown, "/proc/sysvipc/sem"));
    FREE();
    OK(shm_objects_list(SHMKIT_SELECT_SEGMENTS, &list, &error));
    CODE(1, shm_gap_get(list, 0, &gap, sizeof gap));
    CHECK(gap.cause == SHMKIT_GAP_UNREADABLE && gap.reserved == 0 && strstr(gap.message, "/proc/sysvipc/shm"));
    FREE();
    become_nobody();
    OK(shm_objects_list(SHMKIT_SELECT_MEMFDS, &list, &error));
    for (size_t i = 0; shm_gap_get(list, i, &gap, sizeof gap) == 1; i++)
        denied |= gap.cause == SHMKIT_GAP_PERMISSION && gap.count > 0;
    CHECK(denied);
    FREE();
}

static void usage_of_a_process(void)
{
    shm_region *region = NULL;
    shm_usage whole, same;
    pid_t child;

    OK(shm_anon_create(2 * page, OPTIONS(.flags = SHMKIT_REGION_POPULATE), &region, &error));
    uint64_t start = (uintptr_t)shm_region_data(region);
    OK(shm_region_usage(region, &whole, sizeof whole, &error));
    OK(shm_process_usage(getpid(), start, 2 * page, &same, sizeof same, &error));
    CHECK(!memcmp(&whole, &same, sizeof whole));
    CHECK(same.mappings == 1 && same.resident_bytes == 2 * page);
    /* Of two mappings both, or one alone. */
    OK(shm_region_protect(region, 0, page, SHMKIT_RIGHTS_READ, &error));
    OK(shm_region_usage(region, &whole, sizeof whole, &error));
    CHECK(whole.mappings == 2 && whole.size_bytes == 2 * page);
    OK(shm_process_usage(getpid(), start, 1, &same, sizeof same, &error));
    CHECK(same.mappings == 1 && same.size_bytes == page);
    child = fork();
    CHECK_SYS(child);
    if (child == 0)
        for (;;)
            pause();
    OK(shm_process_usage(child, start, 2 * page, &same, sizeof same, &error));
    CHECK(same.size_bytes == 2 * page && same.mappings == 2);
    CHECK_SYS(kill(child, SIGKILL));
    CHECK_SYS(waitpid(child, NULL, 0));
    REFUSED(-ENOENT, "smaps", shm_process_usage(child, start, 1, &same, sizeof same, &error));
    REFUSED(-ENOENT, "0x0", shm_process_usage(getpid(), 0, 1, &same, sizeof same, &error));
    REFUSED(-ENOENT, "smaps", shm_process_usage(-1, 0, UINT64_MAX, &same, sizeof same, &error));
    REFUSED(-EINVAL, "NULL", shm_process_usage(getpid(), start, 1, NULL, sizeof same, &error));
    REFUSED(-EINVAL, "sizeof", shm_process_usage(getpid(), start, 1, &same, 0, &error));
    CLOSE(region);
}

static void traps(void)
{
    shm_trap trap;
    size_t count = 0;

    OK(shm_traps_list(&list, &error));
    for (; shm_trap_get(list, count, &trap, sizeof trap) == 1; count++) {
        CHECK(trap.name[0] && trap.sentence[0] && trap.remedy[0]);
        CHECK(trap.applies >= -1 && trap.applies <= 1);
    }
    CHECK(count >= 8);
    FREE();
}

static void bad_arguments(void)
{
    char room[256];
    pid_t gone = fork();

    CHECK_SYS(gone);
    if (gone == 0)
        _exit(0);
    CHECK_SYS(waitpid(gone, NULL, 0));
    REFUSED_LIST(-ESRCH, "process", shm_objects_list_of(gone, SHMKIT_SELECT_MEMFDS, &list, &error));
    REFUSED_LIST(-ESRCH, "-1", shm_objects_list_of(-1, SHMKIT_SELECT_MEMFDS, &list, &error));
    REFUSED_LIST(-EINVAL, "0x200", shm_objects_list(512, &list, &error));
    REFUSED_LIST(-EINVAL, "0x80000000", shm_objects_list_of(1, 1u << 31, &list, &error));
    REFUSED_LIST(-EINVAL, "NULL", shm_region_holders(NULL, 0, &list, &error));
    REFUSED_LIST(-EINVAL, "NULL", shm_region_file_system(NULL, &list, &error));
    REFUSED(-EINVAL, "NULL", shm_limits_list(NULL, &error));
    REFUSED(-EINVAL, "NULL", shm_objects_list(1, NULL, &error));
    REFUSED(-EINVAL, "NULL", shm_leftovers_list(NULL, &error));
    REFUSED(-EINVAL, "NULL", shm_traps_list(NULL, &error));
    REFUSED(-EINVAL, "NULL", shm_leftover_check(NULL, 0, &error));
    REFUSED(-EINVAL, "NULL", shm_leftover_remove(NULL, 0, &error));
    CODE(-EINVAL, shm_objects_list(512, &list, NULL));
    shm_list_free(NULL);

    OK(shm_objects_list(0, &list, &error));
    for (size_t size = 0; size <= sizeof room; size += sizeof room) {
        const shm_list *lists[] = {NULL, list};
        for (int known = 0; known < 2; known++) {
            const shm_list *from = lists[known];
            int want = from && size ? 0 : -EINVAL;
            CODE(want, shm_limit_get(from, 0, (shm_limit *)room, size));
            CODE(want, shm_limit_find(from, "x", (shm_limit *)room, size));
            CODE(want, shm_object_get(from, 0, (shm_object *)room, size));
            CODE(want, shm_holder_get(from, 0, 0, (shm_holder *)room, size));
            CODE(want, shm_gap_get(from, 0, (shm_gap *)room, size));
            CODE(want, shm_leftover_get(from, 0, (shm_leftover *)room, size));
            CODE(want, shm_trap_get(from, 0, (shm_trap *)room, size));
            CODE(want, shm_run_get(from, 0, (shm_run *)room, size));
            CODE(want, shm_file_system_get(from, (shm_file_system *)room, size));
            CODE(-EINVAL, shm_object_get(from, 0, NULL, sizeof room));
        }
    }
    CODE(-EINVAL, shm_limit_find(list, NULL, (shm_limit *)room, sizeof room));
    CODE(-EINVAL, shm_object_get(list, 0, (shm_object *)room, SIZE_MAX));
    FREE();
}

static void test(void)
{
    RUN(limits);
    RUN(fits);
    IN_CHILD(limited, NULL);
    RUN(objects);
    RUN(pages);
    RUN(leftovers);
    IN_CHILD(unseen, NULL);
    RUN(usage_of_a_process);
    RUN(traps);
    RUN(bad_arguments);
}
