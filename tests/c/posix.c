/* Goal: POSIX objects: the names of shm_open(3), nothing planted is followed, creation is whole or not at all. */
#include "test.h"

#include <linux/magic.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

static int names_in_shm(void)
{
    DIR *directory = opendir("/dev/shm");
    int count = 0;

    CHECK(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void make_object(const char *name, size_t size)
{
    shm_region *made = NULL;

    OK(shm_posix_create(name, size, NULL, &made, &error));
    CLOSE(made);
}

/* ---- Names (D3.4) ---------------------------------------------------------------------------- */

static void names(void)
{
    char accepted[4][300], longest[2 * 4096];
    const char *refused[] = {"",     "/",    "//",  ".",   "..",    "/.",   "/..",
                             "//..", "/a/b", "a/b", "/a/", "/../x", "../x", "a/../b"};
    shm_region *opened = NULL;

    /* One or more leading slashes or none, then 1 to 255 bytes. */
    snprintf(accepted[0], sizeof accepted[0], "%s", test_name("x"));
    snprintf(accepted[1], sizeof accepted[1], "/%s", test_name("x"));
    snprintf(accepted[2], sizeof accepted[2], "///%s", test_name("x"));
    memset(accepted[3], 'n', 255);
    memcpy(accepted[3], test_name(""), strlen(test_name("")));
    accepted[3][255] = '\0';
    for (size_t at = 0; at < COUNT(accepted); at++) {
        make_object(accepted[at], page);
        OK(shm_posix_open(accepted[at], NULL, &opened, &error));
        CODE(SHMKIT_KIND_POSIX, shm_region_kind(opened));
        CHECK(!strcmp(shm_region_name(opened), accepted[at]));
        CLOSE(opened);
        int fd = shm_open(accepted[at], O_RDWR, 0);
        CHECK_SYS(fd);
        close(fd);
        OK(shm_posix_unlink(accepted[at], &error));
        REFUSED(-ENOENT, "", shm_posix_unlink(accepted[at], &error));
    }
    /* EINVAL, as shm_open has it. */
    for (size_t at = 0; at < COUNT(refused); at++) {
        REFUSED_REGION(-EINVAL, refused[at], shm_posix_create(refused[at], page, NULL, &region, &error));
        REFUSED_REGION(-EINVAL, refused[at], shm_posix_open(refused[at], NULL, &region, &error));
        REFUSED(-EINVAL, refused[at], shm_posix_unlink(refused[at], &error));
        CHECK_EQ(shm_open(refused[at], O_RDWR | O_CREAT, 0600), -1);
    }
    /* Longer: ENAMETOOLONG, always. */
    const size_t lengths[] = {256, 257, 4095, 4096, sizeof longest - 1};
    for (size_t at = 0; at < COUNT(lengths); at++)
        for (size_t slashes = 0; slashes < 3; slashes++) {
            memset(longest, 'n', sizeof longest);
            memset(longest, '/', slashes);
            longest[lengths[at] + slashes < sizeof longest ? lengths[at] + slashes : sizeof longest - 1] = '\0';
            REFUSED_REGION(-ENAMETOOLONG, "255", shm_posix_create(longest, page, NULL, &region, &error));
            REFUSED_REGION(-ENAMETOOLONG, "255", shm_posix_open(longest, NULL, &region, &error));
            REFUSED(-ENAMETOOLONG, "255", shm_posix_unlink(longest, &error));
        }
}

/* ---- Planted objects ---------------------------------------------------------------------------- */

static const shm_region_options *or_open(void)
{
    static shm_region_options options = {.size = sizeof options, .flags = SHMKIT_REGION_OR_OPEN};
    return &options;
}

static void refused_everywhere(int code, int code_read_only, const char *name)
{
    REFUSED_REGION(code, name, shm_posix_open(name, NULL, &region, &error));
    REFUSED_REGION(code_read_only, name,
                   shm_posix_open(name, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &region, &error));
    REFUSED_REGION(code, name, shm_posix_create(name, page, or_open(), &region, &error));
    REFUSED_REGION(-EEXIST, name, shm_posix_create(name, page, NULL, &region, &error));
}

static void planted(void)
{
    const char *name = test_name("planted"), *victim = test_path("victim");
    struct stat status;
    int fd;

    /* A symbolic link: ELOOP, also one that leads nowhere or to a good object. */
    CHECK_SYS(fd = open(victim, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    CHECK_EQ(write(fd, "precious", 8), 8);
    close(fd);
    CHECK_SYS(symlink(victim, in_shm(name)));
    refused_everywhere(-ELOOP, -ELOOP, name);
    /* Nor does replacing it touch what it leads to. */
    shm_region *made = NULL;
    if (shm_posix_create(name, page, OPTIONS(.flags = SHMKIT_REGION_REPLACE), &made, &error) == 0)
        CLOSE(made);
    CHECK_SYS(stat(victim, &status));
    CHECK_EQ(status.st_size, 8);
    CHECK_SYS(unlink(in_shm(name)));
    CHECK_SYS(symlink("nowhere", in_shm(name)));
    refused_everywhere(-ELOOP, -ELOOP, name);
    CHECK_EQ(access("/dev/shm/nowhere", F_OK), -1);
    CHECK_SYS(unlink(in_shm(name)));
    CHECK_SYS(unlink(victim));

    /* A directory opens read-only without error; a FIFO opens without blocking: no regular files. */
    CHECK_SYS(mkdir(in_shm(name), 0700));
    refused_everywhere(-EISDIR, -ENODEV, name);
    CHECK_SYS(rmdir(in_shm(name)));
    CHECK_SYS(mkfifo(in_shm(name), 0600));
    refused_everywhere(-ENODEV, -ENODEV, name);
    CHECK_SYS(unlink(in_shm(name)));

    /* A size is an attacker's number: ftruncate(1<<62) succeeds on tmpfs. */
    CHECK_SYS(fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600));
    CHECK_SYS(ftruncate(fd, (off_t)1 << 62));
    REFUSED_REGION(too_long_to_map(), name, shm_posix_open(name, NULL, &region, &error));
    REFUSED_REGION(too_long_to_map(), "", shm_region_from_fd(fd, 0, NULL, &region, &error));
    /* A part of it is an ordinary region. */
    OK(shm_posix_create(name, page, or_open(), &made, &error));
    CHECK_EQ(shm_region_size(made), page);
    CLOSE(made);
    /* An object that is still empty, a creator's that does it by hand. */
    CHECK_SYS(ftruncate(fd, 0));
    REFUSED_REGION(-EINVAL, name, shm_posix_open(name, NULL, &region, &error));
    SAYS("empty");
    REFUSED_REGION(-EINVAL, name, shm_posix_create(name, page, or_open(), &region, &error));
    SAYS("4096");
    close(fd);
    OK(shm_posix_unlink(name, &error));
}

/* ---- Together with glibc ------------------------------------------------------------------------ */

static void glibc(void)
{
    const char *name = test_name("glibc");
    shm_region *ours = NULL;
    struct stat status;
    char *theirs;
    int fd;

    /* Ours, theirs. */
    OK(shm_posix_create(name, 5000, NULL, &ours, &error));
    CODE(0, shm_region_write(ours, 4990, "ours", 5));
    CHECK_SYS(fd = shm_open(name, O_RDWR, 0));
    CHECK_SYS(fstat(fd, &status));
    CHECK_EQ(status.st_size, 5000);
    CHECK_EQ(status.st_mode, S_IFREG | 0600);
    CHECK(status.st_blocks * 512 >= 8192); /* reserved */
    theirs = mmap(NULL, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(theirs != MAP_FAILED);
    CHECK(!strcmp(theirs + 4990, "ours"));
    theirs[0] = '!';
    CHECK_EQ(((char *)shm_region_data(ours))[0], '!');
    munmap(theirs, 5000);
    close(fd);
    CHECK_SYS(shm_unlink(name));
    REFUSED_REGION(-ENOENT, name, shm_posix_open(name, NULL, &region, &error));
    CLOSE(ours);

    /* Theirs, ours. */
    CHECK_SYS(fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600));
    CHECK_SYS(ftruncate(fd, 3 * (off_t)page));
    CHECK_EQ(pwrite(fd, "theirs", 7, (off_t)page), 7);
    OK(shm_posix_open(name, NULL, &ours, &error));
    CHECK_EQ(shm_region_size(ours), 3 * page);
    CHECK(!strcmp((char *)shm_region_data(ours) + page, "theirs"));
    CODE(1, shm_region_can_shrink(ours));
    CLOSE(ours);
    /* From an offset on. */
    OK(shm_posix_open(name, OPTIONS(.offset = page), &ours, &error));
    CHECK_EQ(shm_region_size(ours), 2 * page);
    CHECK(!strcmp(shm_region_data(ours), "theirs"));
    CLOSE(ours);
    OK(shm_posix_unlink(name, &error));
    CHECK_EQ(shm_open(name, O_RDWR, 0), -1);
    close(fd);
}

/* Contents live until the last descriptor and mapping are gone; after unlink the name is free at once and
 * means another object (D3.5). */
static void unlinked_while_mapped(void)
{
    const char *name = test_name("unlinked");
    shm_region *old = NULL, *new = NULL;
    struct stat status, other;

    OK(shm_posix_create(name, page, NULL, &old, &error));
    CODE(0, shm_region_write(old, 0, "old", 4));
    OK(shm_posix_unlink(name, &error));
    REFUSED_REGION(-ENOENT, name, shm_posix_open(name, NULL, &region, &error));
    REFUSED(-ENOENT, name, shm_posix_unlink(name, &error));
    OK(shm_posix_create(name, page, NULL, &new, &error));
    CHECK_EQ(*(char *)shm_region_data(new), 0);
    CHECK(!strcmp(shm_region_data(old), "old"));
    CHECK_SYS(fstat(shm_region_fd(old), &status));
    CHECK_SYS(fstat(shm_region_fd(new), &other));
    CHECK(status.st_ino != other.st_ino);
    CLOSE(old);

    /* Replacing does both at once, and takes nothing from whoever uses the old one. */
    CODE(0, shm_region_write(new, 0, "second", 7));
    old = new;
    OK(shm_posix_create(name, 2 * page, OPTIONS(.flags = SHMKIT_REGION_REPLACE), &new, &error));
    CHECK_EQ(*(char *)shm_region_data(new), 0);
    CHECK_EQ(shm_region_size(new), 2 * page);
    CHECK(!strcmp(shm_region_data(old), "second"));
    CLOSE(old);
    CLOSE(new);
    OK(shm_posix_open(name, NULL, &new, &error));
    CHECK_EQ(shm_region_size(new), 2 * page);
    CLOSE(new);
    OK(shm_posix_unlink(name, &error));
    /* With nothing there to replace it creates. */
    OK(shm_posix_create(name, page, OPTIONS(.flags = SHMKIT_REGION_REPLACE), &new, &error));
    CLOSE(new);
    OK(shm_posix_unlink(name, &error));
}

/* ---- Mode, umask, rights ---------------------------------------------------------------------------- */

static void mode_is(mode_t mask, uint32_t asked, unsigned wanted)
{
    const char *name = test_name("mode");
    mode_t old = umask(mask);
    shm_region *made = NULL;
    struct stat status;

    OK(shm_posix_create(name, page, OPTIONS(.mode = asked), &made, &error));
    umask(old);
    CHECK_SYS(stat(in_shm(name), &status));
    CHECK_EQ(status.st_mode & 07777, wanted);
    CLOSE(made);
    OK(shm_posix_unlink(name, &error));
}

static void modes(void)
{
    mode_is(0, 0, 0600);
    mode_is(022, 0, 0600);
    mode_is(0, 0640, 0640);
    mode_is(077, 0666, 0600);
    mode_is(022, 0666, 0644);
    mode_is(0, 0777, 0777);
}

static void stranger(int socket UNUSED, void *argument UNUSED)
{
    const char *readable = test_name("readable"), *secret = test_name("secret");
    shm_region *opened = NULL;

    become_nobody();
    REFUSED_REGION(-EACCES, secret, shm_posix_open(secret, NULL, &region, &error));
    REFUSED_REGION(-EACCES, secret, shm_posix_open(secret, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &region, &error));
    REFUSED_REGION(-EACCES, secret, shm_posix_create(secret, page, or_open(), &region, &error));
    REFUSED_REGION(-EEXIST, secret, shm_posix_create(secret, page, NULL, &region, &error));
    REFUSED_REGION(-EACCES, readable, shm_posix_open(readable, NULL, &region, &error));
    OK(shm_posix_open(readable, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &opened, &error));
    CHECK(!strcmp(shm_region_data(opened), "to read"));
    CODE(-EACCES, shm_region_write(opened, 0, "x", 1));
    REFUSED(-EACCES, "", shm_region_protect(opened, 0, page, SHMKIT_RIGHTS_READ_WRITE, &error));
    /* Objects opened O_RDONLY cannot be grown, nor mapped writable. */
    CHECK_EQ(ftruncate(shm_region_fd(opened), 2 * (off_t)page), -1);
    REFUSED_REGION(-EACCES, "", shm_region_from_fd(shm_region_fd(opened), 0, NULL, &region, &error));
    CLOSE(opened);
    /* In a sticky directory a stranger cannot unlink. */
    REFUSED(-EPERM, readable, shm_posix_unlink(readable, &error));
}

static void rights(void)
{
    const char *readable = test_name("readable"), *secret = test_name("secret");
    mode_t old = umask(0);
    shm_region *made = NULL;
    struct stat status;

    CHECK_SYS(stat("/dev/shm", &status));
    make_object(secret, page);
    OK(shm_posix_create(readable, page, OPTIONS(.mode = 0644), &made, &error));
    CODE(0, shm_region_write(made, 0, "to read", 8));
    CLOSE(made);
    umask(old);
    if ((status.st_mode & 01777) == 01777)
        IN_CHILD(stranger, NULL);
    else
        SKIP_PART("/dev/shm is not open to all and sticky");
    OK(shm_posix_unlink(readable, &error));
    OK(shm_posix_unlink(secret, &error));
}

static void others_object(int socket UNUSED, void *argument)
{
    become_nobody();
    make_object(argument, page);
}

/* With fs.protected_regular open-or-create on another user's file is EACCES even for root: so the object is
 * opened first and created exclusively second. */
static void another_users_object(void)
{
    char name[64];
    shm_region *opened = NULL;

    strcpy(name, test_name("others"));
    IN_CHILD(others_object, name);
    if (access(in_shm(name), F_OK) == -1)
        return; /* the child has said why */
    GIVES(0, shm_posix_create(name, page, or_open(), &opened, &error));
    CLOSE(opened);
    OK(shm_posix_unlink(name, &error));
}

/* ---- Room --------------------------------------------------------------------------------------------- */

/* Full tmpfs: ENOSPC at creation, where ftruncate would succeed and the first touch be SIGBUS; the name is
 * removed again, and so is what was reserved. */
static void full(int socket UNUSED, void *argument UNUSED)
{
    shm_region *made = NULL;
    struct statvfs before, after;
    int names;

    isolate(CLONE_NEWNS, "size=1m");
    names = names_in_shm();
    CHECK_SYS(statvfs("/dev/shm", &before));
    REFUSED_REGION(-ENOSPC, "full", shm_posix_create("full", 2 << 20, NULL, &region, &error));
    REFUSED_REGION(-ENOSPC, "full", shm_posix_create("full", 2 << 20, or_open(), &region, &error));
    REFUSED_REGION(-ENOSPC, "full",
                   shm_posix_create("full", 2 << 20, OPTIONS(.flags = SHMKIT_REGION_REPLACE), &region, &error));
    REFUSED_REGION(-ENOSPC, "full", shm_file_create("/dev/shm/full", 2 << 20, NULL, &region, &error));
    CHECK_EQ(names_in_shm(), names);
    CHECK_SYS(statvfs("/dev/shm", &after));
    CHECK_EQ(after.f_bfree, before.f_bfree);
    OK(shm_posix_create("fits", 1 << 20, NULL, &made, &error));
    memset(shm_region_data(made), 1, 1 << 20);
    CLOSE(made);
    OK(shm_posix_unlink("fits", &error));
    /* Not reserved: it shows at the first touch, which the checked call survives. */
    OK(shm_posix_create("sparse", 2 << 20, OPTIONS(.flags = SHMKIT_REGION_NO_RESERVE), &made, &error));
    int code = 0;
    for (size_t offset = 0; code == 0 && offset < 2 << 20; offset += page)
        code = shm_region_write(made, offset, "x", 1);
    CHECK_EQ(code, SHMKIT_E_SHRUNK);
    REFUSED(SHMKIT_E_SHRUNK, "", shm_region_prefault(made, 0, 2 << 20, &error));
    CLOSE(made);
    /* To replace needs room for both; the old one stays. */
    OK(shm_posix_unlink("sparse", &error));
    OK(shm_posix_create("old", 700 << 10, NULL, &made, &error));
    CLOSE(made);
    REFUSED_REGION(-ENOSPC, "old",
                   shm_posix_create("old", 700 << 10, OPTIONS(.flags = SHMKIT_REGION_REPLACE), &region, &error));
    OK(shm_posix_open("old", OPTIONS(.size_min = 700 << 10), &made, &error));
    CLOSE(made);
    OK(shm_posix_unlink("old", &error));
}

/* RLIMIT_FSIZE: EFBIG; SIGXFSZ must not kill the caller by our doing, nor stay pending. */
static void file_size_limit(int socket UNUSED, void *argument UNUSED)
{
    const char *name = test_name("limited"), *path = test_path("limited");
    sigset_t pending;
    struct sigaction action;
    shm_region *made = NULL;

    limit(RLIMIT_FSIZE, 16 * page);
    REFUSED_REGION(-EFBIG, "RLIMIT_FSIZE", shm_posix_create(name, 17 * page, NULL, &region, &error));
    REFUSED_REGION(-EFBIG, "RLIMIT_FSIZE", shm_file_create(path, 17 * page, NULL, &region, &error));
    REFUSED_REGION(-EFBIG, "RLIMIT_FSIZE", shm_region_create("limited", 17 * page, NULL, &region, &error));
    REFUSED_REGION(-EFBIG, "RLIMIT_FSIZE",
                   shm_region_create("limited", 17 * page, OPTIONS(.flags = SHMKIT_REGION_NO_RESERVE), &region,
                                     &error));
    CHECK_EQ(access(in_shm(name), F_OK), -1);
    CHECK_EQ(access(path, F_OK), -1);
    CHECK_SYS(sigpending(&pending));
    CHECK(!sigismember(&pending, SIGXFSZ));
    CHECK_SYS(sigaction(SIGXFSZ, NULL, &action));
    CHECK(action.sa_handler == SIG_DFL);
    CHECK_SYS(sigprocmask(SIG_BLOCK, NULL, &pending));
    CHECK(!sigismember(&pending, SIGXFSZ));
    OK(shm_posix_create(name, 16 * page, NULL, &made, &error));
    CLOSE(made);
    OK(shm_posix_unlink(name, &error));
}

/* A directory on a disk in the place of /dev/shm: noticed, unless a flag allows it (D3.10). */
static void on_a_disk(int socket UNUSED, void *argument UNUSED)
{
    struct statfs status;
    shm_region *made = NULL;

    CHECK_SYS(statfs(scratch, &status));
    if (status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC)
        SKIP("%s is on no disk; TMPDIR may name another place", scratch);
    isolate(CLONE_NEWNS, "size=1m");
    CHECK_SYS(mkdir(test_path("disk"), 0700));
    CHECK_SYS(mount(test_path("disk"), "/dev/shm", "none", MS_BIND, ""));
    REFUSED_REGION(SHMKIT_E_ON_DISK, "/dev/shm", shm_posix_create("disk", page, NULL, &region, &error));
    CHECK_EQ(names_in_shm(), 2);
    OK(shm_posix_create("disk", page, OPTIONS(.flags = SHMKIT_REGION_RISK_DISK), &made, &error));
    CLOSE(made);
    REFUSED_REGION(SHMKIT_E_ON_DISK, "/dev/shm", shm_posix_open("disk", NULL, &region, &error));
    OK(shm_posix_open("disk", OPTIONS(.flags = SHMKIT_REGION_RISK_DISK), &made, &error));
    CLOSE(made);
    OK(shm_posix_unlink("disk", &error));
    /* System V and memfd live on the kernel's own. */
    OK(shm_region_create("memory", page, NULL, &made, &error));
    CLOSE(made);
    OK(shm_sysv_create(0, page, OPTIONS(.flags = SHMKIT_REGION_AUTO_REMOVE), &made, &error));
    CLOSE(made);
    CHECK_SYS(umount("/dev/shm"));
    CHECK_SYS(rmdir(test_path("disk")));
}

static void room(void)
{
    IN_CHILD(full, NULL);
    IN_CHILD(file_size_limit, NULL);
    IN_CHILD(on_a_disk, NULL);
}

/* ---- Creation without races ------------------------------------------------------------------------------ */

struct meeting {
    int arrived, code[2], stop;
};

/* Both are here, for the nth time. */
static void meet(struct meeting *meeting)
{
    static int times;

    times++;
    __atomic_add_fetch(&meeting->arrived, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&meeting->arrived, __ATOMIC_SEQ_CST) < 2 * times)
        sched_yield();
}

struct racer {
    struct meeting *meeting;
    int rounds, me, flags;
};

static void race(int socket UNUSED, void *argument)
{
    const struct racer *racer = argument;
    struct meeting *meeting = racer->meeting;
    const char *name = test_name("raced");

    for (int round = 0; round < racer->rounds; round++) {
        shm_region *made = NULL;
        struct stat status;
        meet(meeting);
        int code = shm_posix_create(name, page, OPTIONS(.flags = (uint32_t)racer->flags), &made, &error);
        __atomic_store_n(&meeting->code[racer->me], code, __ATOMIC_SEQ_CST);
        meet(meeting);
        int codes = meeting->code[0] + meeting->code[1];
        if (racer->flags) /* one created, one found */
            CHECK_EQ(codes, 1);
        else /* one created, one was too late */
            CHECK(codes == -EEXIST && meeting->code[0] * meeting->code[1] == 0);
        if (code >= 0) { /* and what it has is what the name means */
            struct stat named;
            CHECK_SYS(fstat(shm_region_fd(made), &status));
            CHECK_SYS(stat(in_shm(name), &named));
            CHECK_EQ(status.st_ino, named.st_ino);
        }
        CLOSE(made);
        meet(meeting);
        if (racer->me == 0)
            OK(shm_posix_unlink(name, &error));
        meet(meeting);
    }
}

/* Two processes, thousands of rounds: exclusive creation, and create-or-open. */
static void raced(void)
{
    struct meeting *meeting = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int rounds = instrumented() ? 100 : 3000;

    CHECK(meeting != MAP_FAILED);
    for (int or_open = 0; or_open < 2; or_open++) {
        struct racer racers[2];
        struct child child[2];
        memset(meeting, 0, sizeof *meeting);
        for (int at = 0; at < 2; at++) {
            racers[at] = (struct racer){meeting, rounds, at, or_open ? SHMKIT_REGION_OR_OPEN : 0};
            child[at] = child_start(race, &racers[at]);
        }
        for (int at = 0; at < 2; at++)
            CHILD_PASSED(child[at]);
    }
    munmap(meeting, page);
}

static void look(int socket UNUSED, void *argument)
{
    struct meeting *meeting = argument;
    const char *name = test_name("seen");
    long seen = 0;

    while (!__atomic_load_n(&meeting->stop, __ATOMIC_SEQ_CST) || seen == 0) {
        struct stat status;
        int fd = shm_open(name, O_RDWR, 0);
        if (fd == -1) {
            CHECK_EQ(errno, ENOENT);
            continue;
        }
        CHECK_SYS(fstat(fd, &status));
        CHECK_EQ(status.st_size, 3 * page);
        CHECK(status.st_blocks * 512 >= 3 * (blkcnt_t)page);
        CHECK_EQ(status.st_mode & 0777, 0644);
        close(fd);
        seen++;
        shm_region *opened = NULL;
        int code = shm_posix_open(name, OPTIONS(.size_min = 3 * page), &opened, &error);
        if (code != -ENOENT)
            CHECK_EQ(code, 0);
        CLOSE(opened);
    }
}

/* Never visible at size 0, nor without its memory or its mode. */
static void never_seen_empty(void)
{
    struct meeting *meeting = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const char *name = test_name("seen");
    int rounds = instrumented() ? 100 : 3000;
    shm_region *made = NULL;

    CHECK(meeting != MAP_FAILED);
    struct child child = child_start(look, meeting);
    for (int round = 0; round < rounds; round++) {
        OK(shm_posix_create(name, 3 * page, OPTIONS(.mode = 0644), &made, &error));
        CLOSE(made);
        OK(shm_posix_create(name, 3 * page, OPTIONS(.mode = 0644, .flags = SHMKIT_REGION_REPLACE), &made, &error));
        CLOSE(made);
        OK(shm_posix_unlink(name, &error));
    }
    OK(shm_posix_create(name, 3 * page, OPTIONS(.mode = 0644), &made, &error));
    CLOSE(made);
    __atomic_store_n(&meeting->stop, 1, __ATOMIC_SEQ_CST);
    CHILD_PASSED(child);
    OK(shm_posix_unlink(name, &error));
    munmap(meeting, page);
}

struct creation {
    int (*create)(const char *, size_t, const shm_region_options *, shm_region **, shm_error *);
    char name[128], path[160];
    uint32_t flags;
};

static void create_one(void *argument)
{
    struct creation *creation = argument;
    shm_region *made = NULL;

    GIVES(creation->flags == SHMKIT_REGION_OR_OPEN,
          creation->create(creation->name, 2 * page, OPTIONS(.flags = creation->flags), &made, &error));
    CLOSE(made);
}

/* A creator killed at any system call leaves the whole object or none of it, and nothing else. */
static void killed_creator(struct creation *creation, bool one_stands_there)
{
    struct stat status;

    CHECK_EQ(access(creation->path, F_OK), -1);
    for (int nth = 0;; nth++) {
        shm_region *made = NULL;
        if (one_stands_there) {
            OK(creation->create(creation->name, page, NULL, &made, &error));
            CLOSE(made);
        }
        int names = names_in_shm() - one_stands_there;
        bool killed = killed_at(nth, create_one, creation);
        bool exists = stat(creation->path, &status) == 0;
        CHECK_EQ(names_in_shm(), names + exists);
        if (exists && !(one_stands_there && status.st_size == (off_t)page))
            CHECK_EQ(status.st_size, 2 * page);
        CHECK_EQ(creation->create(creation->name, 2 * page, NULL, &made, &error), exists ? -EEXIST : 0);
        CLOSE(made);
        CHECK_SYS(unlink(creation->path));
        if (!killed)
            break;
    }
}

static void killed_creators(int socket UNUSED, void *argument UNUSED)
{
    struct creation posix = {.create = shm_posix_create}, file = {.create = shm_file_create};

    isolate(CLONE_NEWNS, "size=16m");
    strcpy(posix.name, test_name("killed"));
    strcpy(posix.path, in_shm(posix.name));
    strcpy(file.name, in_shm(test_name("killed-file")));
    strcpy(file.path, file.name);
    killed_creator(&posix, false);
    killed_creator(&file, false);
    posix.flags = file.flags = SHMKIT_REGION_OR_OPEN;
    killed_creator(&posix, false);
    killed_creator(&file, false);
    posix.flags = file.flags = SHMKIT_REGION_REPLACE;
    killed_creator(&posix, true);
    killed_creator(&file, true);
}

static void test(void)
{
    RUN(names);
    RUN(planted);
    RUN(glibc);
    RUN(unlinked_while_mapped);
    RUN(modes);
    RUN(rights);
    RUN(another_users_object);
    RUN(room);
    RUN(raced);
    RUN(never_seen_empty);
    IN_CHILD(killed_creators, NULL);
}
