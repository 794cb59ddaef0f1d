/* Goal: a System V segment made for a path is found by that path alone, and a half-made one blocks nobody. */
#include "test.h"

/* All that enters a key besides the project: 8 bits of the device and 16 of the inode. */
static int32_t key_of(const char *path, int project)
{
    int32_t key;

    OK(shm_sysv_key(path, project, &key, &error));
    return noted(key);
}

static void make_file(const char *path)
{
    int fd;

    CHECK_SYS(fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644));
    close(fd);
}

static void remove_segment(shm_region **segment)
{
    OK(shm_sysv_remove(shm_sysv_id(*segment), &error));
    CLOSE(*segment);
}

static void keys(void)
{
    const char *path = test_path("a"), *link_path = test_path("link");
    int before = shmget(-1, 0, 0);

    make_file(path);
    CHECK_EQ(key_of(path, 1), ftok(path, 1));
    CHECK_EQ(key_of(path, 255), ftok(path, 255));
    CHECK_EQ(key_of(path, 0), ftok(path, 0));
    CHECK_EQ(key_of("/", 'x'), ftok("/", 'x'));
    /* A hard link has the same key. */
    CHECK_SYS(link(path, link_path));
    CHECK_EQ(key_of(link_path, 1), key_of(path, 1));
    /* ftok answers -1 for these, which is a valid key; here they are errors that name the path. */
    int32_t key = 7;
    REFUSED(-ENOENT, "nothing-here", shm_sysv_key(test_path("nothing-here"), 1, &key, &error));
    REFUSED(-ENOTDIR, "below", shm_sysv_key(test_path("a/below"), 1, &key, &error));
    CHECK_SYS(symlink("loop", test_path("loop")));
    REFUSED(-ELOOP, "loop", shm_sysv_key(test_path("loop"), 1, &key, &error));
    char name[300];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    REFUSED(-ENAMETOOLONG, "", shm_sysv_key(name, 1, &key, &error));
    CHECK_EQ(key, 7);
    /* The documents' programs go on with key -1 and make a segment 0xffffffff: none here (D2.9). */
    const char *missing = test_path("nothing-here");
    REFUSED_REGION(-ENOENT, "nothing-here", shm_sysv_create_at(missing, 1, page, NULL, &region, &error));
    REFUSED_REGION(-ENOENT, "nothing-here", shm_sysv_attach_at(missing, 1, NULL, &region, &error));
    CHECK_EQ(shmget(-1, 0, 0), before);
    CHECK_SYS(unlink(test_path("loop")));
    CHECK_SYS(unlink(path));
    CHECK_SYS(unlink(link_path));
}

static void made_and_found(void)
{
    const char *path = test_path("a"), *link_path = test_path("link");
    shm_region *made = NULL, *found = NULL;
    const size_t sizes[] = {1, 127, 128, 3968, 3969, 4096, 4097, 10000};

    make_file(path);
    CHECK_SYS(link(path, link_path));
    for (size_t at = 0; at < COUNT(sizes); at++) {
        REFUSED_REGION(-ENOENT, path, shm_sysv_attach_at(path, 9, NULL, &region, &error));
        noted(ftok(path, 9));
        OK(shm_sysv_create_at(path, 9, sizes[at], NULL, &made, &error));
        /* The size is kept to the byte, the identity is not part of it. */
        CHECK_EQ(shm_region_size(made), sizes[at]);
        CODE(0, shm_region_write(made, sizes[at] - 1, "x", 1));
        CODE(-ERANGE, shm_region_write(made, sizes[at], "x", 1));
        CHECK_EQ(shm_sysv_id(made), shmget(ftok(path, 9), 0, 0));
        shm_sysv_info info;
        OK(shm_sysv_stat(shm_sysv_id(made), &info, sizeof info, &error));
        CHECK(info.size_bytes > sizes[at] && info.size_bytes <= sizes[at] + 128);
        CHECK_EQ(info.mode, 0600);
        /* Another name of the same file, a hard link, finds the same segment. */
        OK(shm_sysv_attach_at(link_path, 9, NULL, &found, &error));
        CHECK_EQ(shm_region_size(found), sizes[at]);
        CHECK_EQ(shm_sysv_id(made), shm_sysv_id(found));
        CHECK_EQ(((char *)shm_region_data(found))[sizes[at] - 1], 'x');
        CLOSE(found);
        OK(shm_sysv_attach_at(path, 9, OPTIONS(.size_min = sizes[at]), &found, &error));
        CLOSE(found);
        /* The bytes of the identity do not count as the region's. */
        REFUSED_REGION(-EINVAL, "", shm_sysv_attach_at(path, 9, OPTIONS(.size_min = sizes[at] + 1), &region, &error));
        /* Created or found. */
        REFUSED_REGION(-EEXIST, path, shm_sysv_create_at(path, 9, 1, NULL, &region, &error));
        GIVES(0, shm_sysv_create_at(path, 9, 1, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &found, &error));
        CHECK_EQ(shm_region_size(found), sizes[at]);
        CLOSE(found);
        REFUSED_REGION(-EINVAL, "",
                       shm_sysv_create_at(path, 9, sizes[at] + 1, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &region,
                                          &error));
        remove_segment(&made);
    }
    GIVES(1, shm_sysv_create_at(path, 9, page, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &made, &error));
    /* Read-only too. */
    OK(shm_sysv_attach_at(path, 9, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &found, &error));
    CODE(-EACCES, shm_region_write(found, 0, "x", 1));
    CLOSE(found);
    remove_segment(&made);
    CHECK_SYS(unlink(path));
    CHECK_SYS(unlink(link_path));
}

/* Two files of one key: the inodes agree in 16 bits. */
static bool make_collision(const char *first, const char *second)
{
    make_file(first);
    for (int tries = 0; tries < 200000; tries++) {
        make_file(second);
        if (ftok(first, 5) == ftok(second, 5))
            return true;
        CHECK_SYS(unlink(second));
    }
    CHECK_SYS(unlink(first));
    return false;
}

/* ftok collisions are noticed. */
static void collision(void)
{
    /* There inodes count up, so that collisions can be made. */
    const char *first = in_shm(test_name("first")), *second = in_shm(test_name("second"));
    shm_region *made = NULL;

    if (!make_collision(first, second)) {
        SKIP_PART("no two files with the same key in /dev/shm");
        return;
    }
    CHECK_EQ(key_of(first, 5), key_of(second, 5));
    OK(shm_sysv_create_at(first, 5, page, NULL, &made, &error));
    REFUSED_REGION(SHMKIT_E_COLLISION, second, shm_sysv_attach_at(second, 5, NULL, &region, &error));
    REFUSED_REGION(SHMKIT_E_COLLISION, second,
                   shm_sysv_create_at(second, 5, page, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &region, &error));
    REFUSED_REGION(-EEXIST, second, shm_sysv_create_at(second, 5, page, NULL, &region, &error));
    /* The first is as before. */
    shm_region *found = NULL;
    OK(shm_sysv_attach_at(first, 5, NULL, &found, &error));
    CLOSE(found);
    remove_segment(&made);

    /* A re-created file has another key, mostly; this one has the same, and is another file. */
    OK(shm_sysv_create_at(first, 5, page, NULL, &made, &error));
    CHECK_SYS(rename(second, first));
    REFUSED_REGION(SHMKIT_E_COLLISION, first, shm_sysv_attach_at(first, 5, NULL, &region, &error));
    remove_segment(&made);
    CHECK_SYS(unlink(first));
}

/* A segment that a plain program made under the same key. */
static void made_by_other_means(void)
{
    const char *path = test_path("a");
    const size_t sizes[] = {1, 64, 128, 4096, 10000};

    make_file(path);
    for (size_t at = 0; at < COUNT(sizes); at++) {
        int id;
        CHECK_SYS(id = shmget(key_of(path, 6), sizes[at], IPC_CREAT | IPC_EXCL | 0600));
        char *bytes = shmat(id, NULL, 0);
        CHECK(bytes != (char *)-1);
        memset(bytes, 0x55, sizes[at]);
        REFUSED_REGION(SHMKIT_E_COLLISION, path, shm_sysv_attach_at(path, 6, NULL, &region, &error));
        REFUSED_REGION(SHMKIT_E_COLLISION, path,
                       shm_sysv_create_at(path, 6, 1, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &region, &error));
        REFUSED_REGION(-EEXIST, path, shm_sysv_create_at(path, 6, 1, NULL, &region, &error));
        /* All ones at the end neither. */
        memset(bytes, 0xff, sizes[at]);
        REFUSED_REGION(SHMKIT_E_COLLISION, path, shm_sysv_attach_at(path, 6, NULL, &region, &error));
        CHECK_SYS(shmdt(bytes));
        CHECK_SYS(shmctl(id, IPC_RMID, NULL));
    }
    CHECK_SYS(unlink(path));
}

static void create_one(void *path)
{
    shm_region *made = NULL;

    OK(shm_sysv_create_at(path, 7, page, NULL, &made, &error));
    CLOSE(made);
}

/* A creator that is killed at any system call leaves nothing that blocks the next one. */
static void killed_creator(void)
{
    char path[128];
    int unfinished = 0, finished = 0;

    strcpy(path, test_path("a"));
    make_file(path);
    int32_t key = key_of(path, 7);
    for (int nth = 0; killed_at(nth, create_one, path); nth++) {
        shm_region *made = NULL;
        bool exists = shmget(key, 0, 0) != -1;
        int code = shm_sysv_attach_at(path, 7, NULL, &made, &error);
        if (code == 0) {
            CHECK(exists);
            finished++;
            CHECK_EQ(shm_region_size(made), page);
            CLOSE(made);
        } else if (exists) {
            /* The creator died half way. */
            CHECK_EQ(code, -EAGAIN);
            SAYS(path);
            unfinished++;
        } else
            CHECK_EQ(code, -ENOENT);
        GIVES(code == 0 ? 0 : 1,
              shm_sysv_create_at(path, 7, page, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &made, &error));
        for (size_t at = 0; at < page; at++)
            CHECK_EQ(((char *)shm_region_data(made))[at], 0);
        remove_segment(&made);
    }
    if (!in_part)
        CHECK(unfinished > 0 && finished > 0);
    int id = shmget(key, 0, 0); /* of the last one, which finished */
    if (id != -1)
        CHECK_SYS(shmctl(id, IPC_RMID, NULL));
    CHECK_SYS(unlink(path));
}

static void race(int socket, void *path)
{
    for (;;) {
        shm_region *made = NULL;
        if (!hear(socket))
            break;
        int code = shm_sysv_create_at(path, 8, page, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &made, &error);
        tell(socket, code < 0 ? code : (long)shm_sysv_id(made) << 1 | code);
        hear(socket);
        CLOSE(made);
        tell(socket, 0);
    }
}

/* Of two that create or open at once, one created, both have the same segment. */
static void raced(void)
{
    char path[128];
    struct child child[2];
    int rounds = instrumented() ? 50 : 500;

    strcpy(path, test_path("a"));
    make_file(path);
    key_of(path, 8);
    for (int at = 0; at < 2; at++)
        child[at] = child_start(race, path);
    for (int round = 0; round < rounds; round++) {
        long answer[2];
        for (int at = 0; at < 2; at++)
            tell(child[at].socket, 1);
        for (int at = 0; at < 2; at++)
            answer[at] = hear(child[at].socket);
        CHECK(answer[0] >= 0 && answer[1] >= 0);
        CHECK_EQ(answer[0] >> 1, answer[1] >> 1);
        CHECK_EQ((answer[0] & 1) + (answer[1] & 1), 1);
        int id = shmget(key_of(path, 8), 0, 0);
        CHECK_SYS(id);
        OK(shm_sysv_remove(id, &error));
        for (int at = 0; at < 2; at++) {
            tell(child[at].socket, 1);
            hear(child[at].socket);
        }
    }
    for (int at = 0; at < 2; at++) {
        tell(child[at].socket, 0);
        CHILD_PASSED(child[at]);
    }
    CHECK_SYS(unlink(path));
}

static void test(void)
{
    RUN(keys);
    RUN(made_and_found);
    RUN(collision);
    RUN(made_by_other_means);
    RUN(killed_creator);
    RUN(raced);
}
