/* Goal: System V segments follow the kernel's rules for keys, sizes, rights, removal and counts. */
#include "test.h"

static const char *hex(int32_t key)
{
    static char text[16];

    snprintf(text, sizeof text, "%x", (unsigned)key);
    return text;
}

static const char *decimal(long number)
{
    static char text[24];

    snprintf(text, sizeof text, "%ld", number);
    return text;
}

static shm_sysv_info info_of(int id)
{
    shm_sysv_info info;

    OK(shm_sysv_stat(id, &info, sizeof info, &error));
    return info;
}

/* ---- Keys and sizes ------------------------------------------------------------------------- */

static void keys(void)
{
    const int32_t key = test_key(1);
    shm_region *first = NULL, *second = NULL;

    /* Missing key without create: ENOENT. */
    REFUSED_REGION(-ENOENT, hex(key), shm_sysv_attach(key, NULL, &region, &error));
    /* Size 0 at creation: EINVAL. */
    REFUSED_REGION(-EINVAL, "0", shm_sysv_create(key, 0, NULL, &region, &error));
    /* The first creates, the second with the same key finds (D4.2). */
    OK(shm_sysv_create(key, 5000, NULL, &first, &error));
    OK(shm_sysv_attach(key, NULL, &second, &error));
    CHECK_EQ(shm_sysv_id(first), shm_sysv_id(second));
    CHECK_EQ(shm_region_size(second), 5000);
    /* Exclusive creation of an existing key: EEXIST, which wins over a size error. */
    REFUSED_REGION(-EEXIST, hex(key), shm_sysv_create(key, 5000, NULL, &region, &error));
    REFUSED_REGION(-EEXIST, hex(key), shm_sysv_create(key, 5001, NULL, &region, &error));
    REFUSED_REGION(-EEXIST, hex(key), shm_sysv_create(key, 1, NULL, &region, &error));
    CLOSE(second);
    /* Asking for more bytes than there are: EINVAL, compared by byte. Fewer or 0 is fine. */
    REFUSED_REGION(-EINVAL, "5001", shm_sysv_attach(key, OPTIONS(.size_min = 5001), &region, &error));
    SAYS("5000");
    REFUSED_REGION(-EINVAL, "5001", shm_sysv_attach_id(shm_sysv_id(first), OPTIONS(.size_min = 5001), &region, &error));
    SAYS("5000");
    REFUSED_REGION(-EINVAL, "5001",
                   shm_sysv_create(key, 5001, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &region, &error));
    SAYS("5000");
    const uint64_t enough[] = {5000, 4096, 1, 0};
    for (size_t at = 0; at < COUNT(enough); at++) {
        OK(shm_sysv_attach(key, OPTIONS(.size_min = enough[at]), &second, &error));
        CHECK_EQ(shm_region_size(second), 5000);
        /* The mapping still has full size. */
        ((volatile char *)shm_region_data(second))[4999] = 1;
        CODE(-ERANGE, shm_region_read(second, 5000, &(char){0}, 1));
        CLOSE(second);
    }
    /* Create or open tells which. */
    GIVES(0, shm_sysv_create(key, 100, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &second, &error));
    CHECK_EQ(shm_region_size(second), 5000);
    CHECK_EQ(shm_sysv_id(first), shm_sysv_id(second));
    CLOSE(second);
    OK(shm_sysv_remove(shm_sysv_id(first), &error));
    GIVES(1, shm_sysv_create(key, 100, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &second, &error));
    CHECK_EQ(shm_region_size(second), 100);
    CHECK(shm_sysv_id(first) != shm_sysv_id(second));
    OK(shm_sysv_remove(shm_sysv_id(second), &error));
    CLOSE(second);
    CLOSE(first);

    /* IPC_PRIVATE makes a new one each time. */
    OK(shm_sysv_create(0, page, OPTIONS(.flags = SHMKIT_REGION_AUTO_REMOVE), &first, &error));
    OK(shm_sysv_create(0, page, OPTIONS(.flags = SHMKIT_REGION_AUTO_REMOVE), &second, &error));
    CHECK(shm_sysv_id(first) != shm_sysv_id(second));
    CLOSE(first);
    CLOSE(second);
}

/* It has no descriptor, and its mapping is named /SYSV<key> (D2.17). */
static void what_it_is(void)
{
    const int32_t key = test_key(1);
    shm_region *made = NULL;
    char name[32];

    OK(shm_sysv_create(key, page, NULL, &made, &error));
    CODE(SHMKIT_KIND_SYSV, shm_region_kind(made));
    CODE(-EOPNOTSUPP, shm_region_fd(made));
    CODE(-EOPNOTSUPP, shm_region_seals(made));
    REFUSED(-EOPNOTSUPP, "", shm_region_seal(made, SHMKIT_SEAL_WRITE, &error));
    CODE(0, shm_region_can_shrink(made));
    CHECK(shm_region_name(made) == NULL);
    snprintf(name, sizeof name, "/SYSV%08x (deleted)", (unsigned)key);
    CHECK_EQ(mappings_of(name), 1);
    for (size_t at = 0; at < page; at++)
        CHECK_EQ(((char *)shm_region_data(made))[at], 0);
    OK(shm_sysv_remove(shm_sysv_id(made), &error));
    CLOSE(made);
}

/* Plain shmget and shmat find ours, with mode 0600, and we find theirs (D2.9). */
static void plain_calls(void)
{
    const int32_t key = test_key(1);
    shm_region *made = NULL;
    struct shmid_ds status;
    int id;

    OK(shm_sysv_create(key, 8, NULL, &made, &error));
    CODE(0, shm_region_write(made, 0, "ours", 5));
    CHECK_EQ(id = shmget(key, 8, 0), shm_sysv_id(made));
    CHECK_SYS(shmctl(id, IPC_STAT, &status));
    CHECK_EQ(status.shm_perm.mode & 0777, 0600);
    CHECK_EQ(status.shm_segsz, 8);
    char *plain = shmat(id, NULL, 0);
    CHECK(plain != (char *)-1);
    CHECK(!strcmp(plain, "ours"));
    CHECK_SYS(shmdt(plain));
    OK(shm_sysv_remove(id, &error));
    CLOSE(made);

    CHECK_SYS(id = shmget(key, 3000, IPC_CREAT | IPC_EXCL | 0640));
    CHECK((plain = shmat(id, NULL, 0)) != (char *)-1);
    strcpy(plain, "theirs");
    OK(shm_sysv_attach(key, NULL, &made, &error));
    CHECK_EQ(shm_region_size(made), 3000);
    CHECK(!strcmp(shm_region_data(made), "theirs"));
    CHECK_EQ(shm_sysv_id(made), id);
    CHECK_SYS(shmdt(plain));
    OK(shm_sysv_remove(id, &error));
    CLOSE(made);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void write_and_exit(int socket UNUSED, void *key)
{
    shm_region *made = NULL;

    OK(shm_sysv_create(*(int32_t *)key, page, NULL, &made, &error));
    CODE(0, shm_region_write(made, 10, "left here", 10));
    CLOSE(made);
}

static void attach_and_read(int socket UNUSED, void *key)
{
    shm_region *found = NULL;
    char text[10];

    OK(shm_sysv_attach(*(int32_t *)key, NULL, &found, &error));
    CODE(0, shm_region_read(found, 10, text, sizeof text));
    CHECK(!strcmp(text, "left here"));
    OK(shm_sysv_remove(shm_sysv_id(found), &error));
    CLOSE(found);
}

/* Data outlives every process until the segment is removed (D2.10). */
static void outlives_processes(void)
{
    int32_t key = test_key(1);

    IN_CHILD(write_and_exit, &key);
    IN_CHILD(attach_and_read, &key);
    REFUSED_REGION(-ENOENT, hex(key), shm_sysv_attach(key, NULL, &region, &error));
}

static void removed_in_use(void)
{
    const int32_t key = test_key(1);
    shm_region *made = NULL, *other = NULL;
    int id;

    OK(shm_sysv_create(key, page, NULL, &made, &error));
    id = shm_sysv_id(made);
    CHECK_EQ(info_of(id).removed, 0);
    OK(shm_sysv_remove(id, &error));
    /* The memory survives, the segment is marked, the key is 0. */
    CODE(0, shm_region_write(made, 0, "alive", 6));
    CHECK_EQ(info_of(id).removed, 1);
    CHECK_EQ(info_of(id).key, 0);
    CHECK_EQ(info_of(id).mode, 0600);
    /* Lookup by key fails, attach by id still works. */
    REFUSED_REGION(-ENOENT, hex(key), shm_sysv_attach(key, NULL, &region, &error));
    OK(shm_sysv_attach_id(id, NULL, &other, &error));
    CHECK(!strcmp(shm_region_data(other), "alive"));
    CLOSE(other);
    /* Removing again is no error. */
    OK(shm_sysv_remove(id, &error));
    /* A new segment under the old key gets a new id. */
    OK(shm_sysv_create(key, page, NULL, &other, &error));
    CHECK(shm_sysv_id(other) != id);
    OK(shm_sysv_remove(shm_sysv_id(other), &error));
    CLOSE(other);
    /* The last detach ends it. */
    CLOSE(made);
    shm_sysv_info info;
    int code = shm_sysv_stat(id, &info, sizeof info, &error);
    CHECK(code == -EINVAL || code == -EIDRM);
    SAYS(decimal(id));
    code = shm_sysv_attach_id(id, NULL, &made, &error);
    CHECK(code == -EINVAL || code == -EIDRM);
    code = shm_sysv_remove(id, &error);
    CHECK(code == -EINVAL || code == -EIDRM);
}

/* An option marks the segment removed right after the attach. */
static void auto_remove(void)
{
    const int32_t key = test_key(1);
    shm_region *made = NULL, *other = NULL;
    int id;

    OK(shm_sysv_create(key, page, OPTIONS(.flags = SHMKIT_REGION_AUTO_REMOVE), &made, &error));
    id = shm_sysv_id(made);
    CHECK_EQ(info_of(id).removed, 1);
    REFUSED_REGION(-ENOENT, hex(key), shm_sysv_attach(key, NULL, &region, &error));
    OK(shm_sysv_attach_id(id, NULL, &other, &error));
    CLOSE(made);
    CHECK_EQ(info_of(id).attach_count, 1);
    CLOSE(other);
    CHECK_EQ(shmctl(id, IPC_STAT, &(struct shmid_ds){0}), -1);

    OK(shm_sysv_create(key, page, NULL, &made, &error));
    CLOSE(made);
    OK(shm_sysv_attach(key, OPTIONS(.flags = SHMKIT_REGION_AUTO_REMOVE), &made, &error));
    CHECK_EQ(info_of(shm_sysv_id(made)).removed, 1);
    CLOSE(made);
    CHECK_EQ(shmget(key, 0, 0), -1);
}

/* ---- Counts ------------------------------------------------------------------------------------ */

static void stay(int socket, void *argument UNUSED)
{
    tell(socket, 1);
    hear(socket);
}

static void go_elsewhere(int socket, void *argument UNUSED)
{
    char number[16];

    snprintf(number, sizeof number, "%d", socket);
    fcntl(socket, F_SETFD, 0);
    /* The new program says so, and stays until it is told. */
    execl("/bin/sh", "sh", "-c", "printf 12345678 >&\"$0\"; read -r answer <&\"$0\"; exit 0", number, (char *)NULL);
    FAIL("exec: %s", strerror(errno));
}

/* The attach count follows fork (+), exec (-), exit and SIGKILL (-); two attaches count two (D4.5). */
static void attach_counts(void)
{
    shm_region *made = NULL, *again = NULL;
    struct child child;
    int id;

    OK(shm_sysv_create(0, page, OPTIONS(.flags = SHMKIT_REGION_AUTO_REMOVE), &made, &error));
    id = shm_sysv_id(made);
    CHECK_EQ(info_of(id).attach_count, 1);
    OK(shm_sysv_attach_id(id, NULL, &again, &error));
    CHECK_EQ(info_of(id).attach_count, 2);
    CHECK(shm_region_data(made) != shm_region_data(again));
    CODE(0, shm_region_write(made, 100, "same pages", 11));
    CHECK(!strcmp((char *)shm_region_data(again) + 100, "same pages"));
    CLOSE(again);
    CHECK_EQ(info_of(id).attach_count, 1);

    child = child_start(stay, NULL);
    hear(child.socket);
    CHECK_EQ(info_of(id).attach_count, 2);
    tell(child.socket, 1);
    CHILD_PASSED(child);
    CHECK_EQ(info_of(id).attach_count, 1);
    CHECK_EQ(info_of(id).last_pid, child.pid);

    child = child_start(stay, NULL);
    hear(child.socket);
    CHECK_EQ(info_of(id).attach_count, 2);
    kill(child.pid, SIGKILL);
    CHECK_EQ(child_end(&child), 128 + SIGKILL);
    CHECK_EQ(info_of(id).attach_count, 1);

    child = child_start(go_elsewhere, NULL);
    hear(child.socket);
    CHECK_EQ(info_of(id).attach_count, 1);
    CHECK_EQ(send(child.socket, "\n", 1, MSG_NOSIGNAL), 1);
    CHILD_PASSED(child);
    CLOSE(made);

    /* A region that a child does not get. */
    OK(shm_sysv_create(0, page,
                       OPTIONS(.flags = SHMKIT_REGION_AUTO_REMOVE | SHMKIT_REGION_NO_FORK), &made, &error));
    child = child_start(stay, NULL);
    hear(child.socket);
    CHECK_EQ(info_of(shm_sysv_id(made)).attach_count, 1);
    tell(child.socket, 1);
    CHILD_PASSED(child);
    CLOSE(made);
}

/* ---- What the kernel knows (D2.12) ------------------------------------------------------------- */

static void information(void)
{
    const int32_t key = test_key(1);
    shm_region *made = NULL;
    struct timespec coarse; /* the clock that the kernel's times come from */
    int64_t before, after;
    shm_sysv_info info;
    char line[512], *found = NULL;
    FILE *table;

    clock_gettime(CLOCK_REALTIME_COARSE, &coarse);
    before = coarse.tv_sec;
    OK(shm_sysv_create(key, 12345, OPTIONS(.mode = 0640), &made, &error));
    info = info_of(shm_sysv_id(made));
    clock_gettime(CLOCK_REALTIME_COARSE, &coarse);
    after = coarse.tv_sec;
    CHECK_EQ(info.size_bytes, 12345);
    CHECK_EQ(info.attach_count, 1);
    CHECK(info.attached_at >= before && info.attached_at <= after);
    CHECK(info.changed_at >= before && info.changed_at <= after);
    CHECK_EQ(info.detached_at, 0);
    CHECK_EQ(info.key, key);
    CHECK_EQ(info.id, shm_sysv_id(made));
    CHECK_EQ(info.owner_uid, geteuid());
    CHECK_EQ(info.owner_gid, getegid());
    CHECK_EQ(info.creator_uid, geteuid());
    CHECK_EQ(info.creator_gid, getegid());
    CHECK_EQ(info.creator_pid, getpid());
    CHECK_EQ(info.last_pid, getpid());
    CHECK_EQ(info.mode, 0640);
    CHECK_EQ(info.removed, 0);
    CHECK_EQ(info.locked, 0);
    CHECK_EQ(info.reserved, 0);

    /* As ipcs(1) reads it. */
    CHECK(table = fopen("/proc/sysvipc/shm", "re"));
    while (!found && fgets(line, sizeof line, table)) {
        int seen_key = 0, seen_id = 0;
        long seen_size = 0;
        if (sscanf(line, "%d %d %*o %ld", &seen_key, &seen_id, &seen_size) == 3 && seen_key == key)
            if (seen_id == info.id && seen_size == 12345)
                found = line;
    }
    fclose(table);
    CHECK(found);

    /* IPC_SET changes mode and owner. */
    OK(shm_sysv_set_owner(info.id, info.owner_uid, info.owner_gid, 0604, &error));
    CHECK_EQ(info_of(info.id).mode, 0604);
    if (geteuid() == 0) {
        OK(shm_sysv_set_owner(info.id, NOBODY, NOBODY - 1, 0, &error));
        CHECK_EQ(info_of(info.id).owner_uid, NOBODY);
        /* (uid_t)-1 keeps what there is. */
        OK(shm_sysv_set_owner(info.id, (uid_t)-1, 7, 0, &error));
        CHECK(info_of(info.id).owner_uid == NOBODY && info_of(info.id).owner_gid == 7);
        OK(shm_sysv_set_owner(info.id, (uid_t)-1, NOBODY - 1, 0, &error));
        OK(shm_sysv_set_owner(info.id, NOBODY, (gid_t)-1, 0, &error));
        CHECK_EQ(info_of(info.id).owner_gid, NOBODY - 1);
        CHECK_EQ(info_of(info.id).creator_uid, 0);
        CHECK_EQ(info_of(info.id).mode, 0);
    } else
        SKIP_PART("only root gives a segment to another user");

    /* SHM_LOCK and SHM_UNLOCK show. */
    OK(shm_sysv_lock(info.id, &error));
    CHECK_EQ(info_of(info.id).locked, 1);
    CHECK_EQ(info_of(info.id).removed, 0);
    OK(shm_sysv_unlock(info.id, &error));
    CHECK_EQ(info_of(info.id).locked, 0);

    OK(shm_sysv_remove(info.id, &error));
    CHECK_EQ(info_of(info.id).removed, 1);
    CLOSE(made);
}

/* The umask does not narrow the mode. */
static void mode(void)
{
    mode_t old = umask(077);
    shm_region *made = NULL;

    OK(shm_sysv_create(0, page, OPTIONS(.mode = 0666, .flags = SHMKIT_REGION_AUTO_REMOVE), &made, &error));
    CHECK_EQ(info_of(shm_sysv_id(made)).mode, 0666);
    CLOSE(made);
    umask(old);
}

/* ---- Rights ------------------------------------------------------------------------------------ */

/* What the kernel says to an attach without the right to it; valgrind looks at the segment first. */
static int no_right_to_attach(void)
{
    return RUNNING_ON_VALGRIND ? -EINVAL : -EACCES;
}

struct target {
    int32_t key;
    int id;
};

static void stranger_and_mode_0(int socket UNUSED, void *argument)
{
    const struct target *target = argument;
    shm_sysv_info info;

    become_nobody();
    /* Mode 000 and another user: EACCES. IPC_STAT: EACCES. */
    REFUSED_REGION(no_right_to_attach(), decimal(target->id), shm_sysv_attach(target->key, NULL, &region, &error));
    REFUSED_REGION(no_right_to_attach(), decimal(target->id), shm_sysv_attach_id(target->id, NULL, &region, &error));
    REFUSED_REGION(no_right_to_attach(), decimal(target->id),
                   shm_sysv_create(target->key, 1, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &region, &error));
    REFUSED(-EACCES, decimal(target->id), shm_sysv_stat(target->id, &info, sizeof info, &error));
    /* IPC_SET, IPC_RMID, SHM_LOCK by a stranger: EPERM. */
    REFUSED(-EPERM, decimal(target->id), shm_sysv_set_owner(target->id, NOBODY, NOBODY, 0666, &error));
    REFUSED(-EPERM, decimal(target->id), shm_sysv_remove(target->id, &error));
    REFUSED(-EPERM, decimal(target->id), shm_sysv_lock(target->id, &error));
    REFUSED(-EPERM, decimal(target->id), shm_sysv_unlock(target->id, &error));
}

static void stranger_who_may_read(int socket UNUSED, void *argument)
{
    const struct target *target = argument;
    shm_region *found = NULL;

    become_nobody();
    /* shmget checks only the bits asked for: the failure may come at the attach. */
    REFUSED_REGION(-EACCES, decimal(target->id), shm_sysv_attach(target->key, NULL, &region, &error));
    REFUSED_REGION(-EACCES, decimal(target->id), shm_sysv_attach_id(target->id, NULL, &region, &error));
    OK(shm_sysv_attach(target->key, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &found, &error));
    CHECK(!strcmp(shm_region_data(found), "for all to read"));
    CODE(-EACCES, shm_region_write(found, 0, "x", 1));
    REFUSED(-EACCES, "", shm_region_protect(found, 0, page, SHMKIT_RIGHTS_READ_WRITE, &error));
    CLOSE(found);
    /* With AUTO_REMOVE, and no right to remove, nothing stays attached. */
    REFUSED_REGION(-EPERM, decimal(target->id),
                   shm_sysv_attach(target->key,
                                   OPTIONS(.flags = SHMKIT_REGION_READ_ONLY | SHMKIT_REGION_AUTO_REMOVE), &region,
                                   &error));
}

static void rights(void)
{
    struct target target = {.key = test_key(1)};
    shm_region *made = NULL;

    OK(shm_sysv_create(target.key, page, NULL, &made, &error));
    CODE(0, shm_region_write(made, 0, "for all to read", 16));
    target.id = shm_sysv_id(made);
    OK(shm_sysv_set_owner(target.id, geteuid(), getegid(), 0, &error));
    IN_CHILD(stranger_and_mode_0, &target);
    OK(shm_sysv_set_owner(target.id, geteuid(), getegid(), 0644, &error));
    IN_CHILD(stranger_who_may_read, &target);
    CHECK_EQ(info_of(target.id).attach_count, 1);
    OK(shm_sysv_remove(target.id, &error));
    CLOSE(made);
}

static void over_the_lock_limit(int socket UNUSED, void *argument UNUSED)
{
    shm_region *made = NULL;

    become_ordinary();
    OK(shm_sysv_create(0, 4 * page, OPTIONS(.flags = SHMKIT_REGION_AUTO_REMOVE), &made, &error));
    /* SHM_LOCK: ENOMEM over RLIMIT_MEMLOCK, whose value is in the message (D3.9). */
    limit(RLIMIT_MEMLOCK, 2 * page);
    REFUSED(-ENOMEM, "RLIMIT_MEMLOCK", shm_sysv_lock(shm_sysv_id(made), &error));
    SAYS(decimal(2 * (long)page));
    if (locks_memory()) {
        REFUSED(-ENOMEM, "RLIMIT_MEMLOCK", shm_region_lock(made, 0, 4 * page, &error));
        SAYS(decimal(2 * (long)page));
        /* The same for the flag, and nothing stays attached. */
        REFUSED_REGION(-ENOMEM, "RLIMIT_MEMLOCK",
                       shm_sysv_attach_id(shm_sysv_id(made), OPTIONS(.flags = SHMKIT_REGION_LOCKED), &region, &error));
    }
    CHECK_EQ(info_of(shm_sysv_id(made)).attach_count, 1);
    /* EPERM when the limit is 0. */
    limit(RLIMIT_MEMLOCK, 0);
    REFUSED(-EPERM, decimal(shm_sysv_id(made)), shm_sysv_lock(shm_sysv_id(made), &error));
    CLOSE(made);
}

static void locking(void)
{
    IN_CHILD(over_the_lock_limit, NULL);
}

static void test(void)
{
    RUN(keys);
    RUN(what_it_is);
    RUN(plain_calls);
    RUN(outlives_processes);
    RUN(removed_in_use);
    RUN(auto_remove);
    RUN(attach_counts);
    RUN(information);
    RUN(mode);
    RUN(rights);
    RUN(locking);
}
