/* Goal: a region of shm_region_create is sealed, private and not executable, and the kernel keeps it so. */
#include "test.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#define DEFAULT_SEALS (SHMKIT_SEAL_SHRINK | SHMKIT_SEAL_GROW | SHMKIT_SEAL_EXEC)

static shm_region *make(uint32_t seals, uint32_t flags)
{
    shm_region *made = NULL;

    OK(shm_region_create("memfd-test", 2 * page, OPTIONS(.seals = seals, .flags = flags), &made, &error));
    return made;
}

/* The same file, opened anew. */
static int reopen(int fd, int flags)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, flags | O_CLOEXEC);
}

static void fails(int result, int code)
{
    CHECK_EQ(result, -1);
    CHECK_EQ(errno, code);
}

/* ---- Defaults ------------------------------------------------------------------------------------ */

/* A regular file that lives in memory, without a name in any folder (D1.8). */
static void what_it_is(void)
{
    shm_region *made = NULL;
    struct stat status;
    char path[64], target[128] = "";

    OK(shm_region_create("what it is", 5000, NULL, &made, &error));
    int fd = shm_region_fd(made);
    CHECK_SYS(fstat(fd, &status));
    CHECK_EQ(status.st_mode, S_IFREG | 0600);
    CHECK_EQ(status.st_size, 5000);
    CHECK(status.st_blocks * 512 >= 5000); /* reserved */
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(readlink(path, target, sizeof target - 1) > 0);
    CHECK(!strcmp(target, "/memfd:what it is (deleted)"));
    CHECK(!strcmp(shm_region_name(made), "what it is"));
    CODE(SHMKIT_KIND_MEMFD, shm_region_kind(made));
    CODE(0, shm_region_can_shrink(made));
    CODE(DEFAULT_SEALS, shm_region_seals(made));
    CHECK_EQ(shm_region_size(made), 5000);
    for (size_t at = 0; at < 2 * page; at++)
        CHECK_EQ(((char *)shm_region_data(made))[at], 0);
    CHECK_EQ(mappings_of("memfd:what it is"), 1);

    /* Nobody shrinks or grows it, nor makes it executable. */
    fails(ftruncate(fd, 4999), EPERM);
    fails(ftruncate(fd, 5001), EPERM);
    fails(ftruncate(fd, 0), EPERM);
    fails(fallocate(fd, 0, 0, 3 * (off_t)page), EPERM);
    fails(fchmod(fd, 0700), EPERM);
    CLOSE(made);

    /* A plain memfd is born with size 0 and mode 0777. */
    CHECK_SYS(fd = memfd_create("plain", MFD_CLOEXEC));
    CHECK_SYS(fstat(fd, &status));
    CHECK_EQ(status.st_size, 0);
    CHECK(S_ISREG(status.st_mode));
    close(fd);
}

/* Name: 249 bytes at most. */
static void names(void)
{
    char name[251];
    shm_region *made = NULL;

    memset(name, 'n', sizeof name);
    name[250] = '\0';
    REFUSED_REGION(-EINVAL, "249", shm_region_create(name, page, NULL, &region, &error));
    SAYS("250");
    name[249] = '\0';
    OK(shm_region_create(name, page, NULL, &made, &error));
    CHECK(!strcmp(shm_region_name(made), name));
    CLOSE(made);
    /* It need not be unique, nor be anything. */
    shm_region *other = NULL;
    OK(shm_region_create("", page, NULL, &made, &error));
    OK(shm_region_create("", page, NULL, &other, &error));
    CLOSE(made);
    CLOSE(other);
}

static void modes(void)
{
    mode_t old = umask(077);
    shm_region *made = NULL;
    struct stat status;

    /* The umask does not narrow it. */
    OK(shm_region_create("mode", page, OPTIONS(.mode = 0666), &made, &error));
    CHECK_SYS(fstat(shm_region_fd(made), &status));
    CHECK_EQ(status.st_mode & 07777, 0666);
    CLOSE(made);
    umask(old);
    /* Bits to execute: the seal EXEC would bring the write seals with it, and the region would be dead. */
    if (shm_region_create("mode", page, OPTIONS(.mode = 0755), &made, &error) == 0) {
        CODE(0, shm_region_write(made, 0, "x", 1));
        CHECK(!(shm_region_seals(made) & (SHMKIT_SEAL_WRITE | SHMKIT_SEAL_FUTURE_WRITE)));
        CLOSE(made);
    } else
        CHECK_EQ(error.code, -EINVAL); /* and not the kernel's EPERM, which would speak of rights */
}

/* ---- Seals ----------------------------------------------------------------------------------------- */

static void added_later(void)
{
    shm_region *made = make(SHMKIT_SEAL_NONE, 0);

    CODE(0, shm_region_seals(made) & ~SHMKIT_SEAL_EXEC);
    CODE(1, shm_region_can_shrink(made));
    OK(shm_region_seal(made, SHMKIT_SEAL_GROW, &error));
    CODE(SHMKIT_SEAL_GROW, shm_region_seals(made) & ~SHMKIT_SEAL_EXEC);
    /* F_SEAL_WRITE is EBUSY while a shared mapping lives; a failed call adds none of its seals. */
    REFUSED(-EBUSY, "", shm_region_seal(made, SHMKIT_SEAL_WRITE | SHMKIT_SEAL_SHRINK, &error));
    CODE(SHMKIT_SEAL_GROW, shm_region_seals(made) & ~SHMKIT_SEAL_EXEC);
    OK(shm_region_seal(made, SHMKIT_SEAL_SHRINK, &error));
    OK(shm_region_seal(made, SHMKIT_SEAL_SHRINK, &error));
    CODE(0, shm_region_can_shrink(made));
    /* A reader's shared mapping from a read-write descriptor counts too, on some kernels. */
    shm_region *view = make(SHMKIT_SEAL_NONE, SHMKIT_REGION_READ_ONLY);
    int code = shm_region_seal(view, SHMKIT_SEAL_WRITE | SHMKIT_SEAL_GROW, &error);
    CHECK(code == 0 || code == -EBUSY);
    CODE(code ? 0 : SHMKIT_SEAL_WRITE | SHMKIT_SEAL_GROW, shm_region_seals(view) & ~SHMKIT_SEAL_EXEC);
    CLOSE(view);
    /* Nothing to add is nothing done. */
    OK(shm_region_seal(made, 0, &error));
    /* After F_SEAL_SEAL any addition is EPERM. */
    OK(shm_region_seal(made, SHMKIT_SEAL_SEAL, &error));
    REFUSED(-EPERM, "seal", shm_region_seal(made, SHMKIT_SEAL_FUTURE_WRITE, &error));
    CLOSE(made);

    /* Sealed by another holder: the region sees it at once, for seals belong to the inode. */
    made = make(SHMKIT_SEAL_NONE, 0);
    int fd = reopen(shm_region_fd(made), O_RDWR);
    CHECK_SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    CODE(SHMKIT_SEAL_SHRINK, shm_region_seals(made) & ~SHMKIT_SEAL_EXEC);
    OK(shm_region_seal(made, SHMKIT_SEAL_FUTURE_WRITE, &error));
    CHECK_EQ(fcntl(fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE), F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE);
    close(fd);
    /* On a read-only descriptor: EPERM. */
    shm_region *reader = NULL;
    fd = reopen(shm_region_fd(made), O_RDONLY);
    OK(shm_region_from_fd(fd, 0, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &reader, &error));
    CODE(shm_region_seals(made), shm_region_seals(reader));
    REFUSED(-EPERM, "", shm_region_seal(reader, SHMKIT_SEAL_GROW, &error));
    CLOSE(reader);
    close(fd);
    CLOSE(made);
}

/* SHRINK alone still lets a peer punch a hole: the data silently becomes 0, and nobody dies. */
static void shrink_alone(void)
{
    shm_region *made = make(SHMKIT_SEAL_SHRINK, 0);
    char byte = 1;

    CODE(0, shm_region_write(made, 0, "data", 5));
    fails(ftruncate(shm_region_fd(made), 0), EPERM);
    CHECK_SYS(ftruncate(shm_region_fd(made), 3 * (off_t)page));
    CHECK_EQ(shm_region_size(made), 2 * page);
    CHECK_SYS(fallocate(shm_region_fd(made), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)page));
    CODE(0, shm_region_can_shrink(made));
    CODE(0, shm_region_read(made, 0, &byte, 1));
    CHECK_EQ(byte, 0);
    CLOSE(made);
}

/* WRITE alone still lets a peer truncate: the checked calls notice. */
static void write_alone(void)
{
    shm_region *made = NULL;
    char byte;

    OK(shm_region_create("write alone", 2 * page,
                         OPTIONS(.seals = SHMKIT_SEAL_NONE, .flags = SHMKIT_REGION_PRIVATE), &made, &error));
    OK(shm_region_seal(made, SHMKIT_SEAL_WRITE, &error));
    fails((int)pwrite(shm_region_fd(made), "x", 1, 0), EPERM);
    CODE(1, shm_region_can_shrink(made));
    CODE(0, shm_region_read(made, 0, &byte, 1));
    CHECK_SYS(ftruncate(shm_region_fd(made), 0));
    CODE(SHMKIT_E_SHRUNK, shm_region_read(made, 0, &byte, 1));
    CODE(SHMKIT_E_SHRUNK, shm_region_write(made, 0, "x", 1));
    REFUSED(SHMKIT_E_SHRUNK, "0 bytes", shm_region_check(made, 0, 1, &error));
    CLOSE(made);
}

/* FUTURE_WRITE: the region's own mapping goes on writing, no new one can be made. */
static void future_write(void)
{
    shm_region *made = make(SHMKIT_SEAL_SHRINK | SHMKIT_SEAL_GROW | SHMKIT_SEAL_FUTURE_WRITE, 0), *reader = NULL;
    int fd = shm_region_fd(made);

    CODE(0, shm_region_write(made, 0, "mine", 5));
    fails((int)pwrite(fd, "x", 1, 0), EPERM);
    fails(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)page), EPERM);
    REFUSED_REGION(-EPERM, "", shm_region_from_fd(fd, 0, NULL, &region, &error));
    OK(shm_region_from_fd(fd, 0, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &reader, &error));
    CHECK(!strcmp(shm_region_data(reader), "mine"));
    CODE(-EACCES, shm_region_write(reader, 0, "x", 1));
    REFUSED(-EACCES, "", shm_region_protect(reader, 0, page, SHMKIT_RIGHTS_READ_WRITE, &error));
    fails(mprotect(shm_region_data(reader), page, PROT_READ | PROT_WRITE), EACCES);
    CLOSE(reader);
    /* It holds nobody who has a writable mapping already: that can be cloned. */
    if (!RUNNING_ON_VALGRIND) { /* which knows no mremap of size 0 */
        char *clone = mremap(shm_region_data(made), 0, page, MREMAP_MAYMOVE);
        CHECK(clone != MAP_FAILED);
        strcpy(clone, "mine too");
        CHECK(!strcmp(shm_region_data(made), "mine too"));
        strcpy(clone, "mine");
        munmap(clone, page);
    }
    /* A private copy may be written. */
    OK(shm_region_from_fd(fd, 0, OPTIONS(.flags = SHMKIT_REGION_PRIVATE), &reader, &error));
    CODE(0, shm_region_write(reader, 0, "copy", 5));
    CHECK(!strcmp(shm_region_data(made), "mine"));
    CLOSE(reader);
    CLOSE(made);
}

/* WRITE: for regions that nobody maps for writing. */
static void write_sealed(void)
{
    shm_region *made = make(SHMKIT_SEAL_NONE, 0), *reader = NULL;
    int fd = reopen(shm_region_fd(made), O_RDWR);

    CODE(0, shm_region_write(made, 0, "final", 6));
    CLOSE(made);
    CHECK_SYS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK));
    REFUSED_REGION(-EPERM, "", shm_region_from_fd(fd, 0, NULL, &region, &error));
    OK(shm_region_from_fd(fd, 0, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &reader, &error));
    CHECK(!strcmp(shm_region_data(reader), "final"));
    CODE(SHMKIT_SEAL_WRITE | SHMKIT_SEAL_SHRINK, shm_region_seals(reader) & ~SHMKIT_SEAL_EXEC);
    CODE(0, shm_region_can_shrink(reader));
    CLOSE(reader);
    close(fd);
}

/* F_SEAL_EXEC on a file of mode 0777 adds all the write and size seals, which a mapping forbids. */
static void exec_seal(void)
{
    shm_region *made = NULL;
    int fd;

    CHECK_SYS(fd = memfd_create("exec", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    CHECK_SYS(ftruncate(fd, (off_t)page));
    CHECK_SYS(fchmod(fd, 0777));
    OK(shm_region_from_fd(fd, 0, NULL, &made, &error));
    int code = shm_region_seal(made, SHMKIT_SEAL_EXEC, &error);
    CHECK(code == 0 || code == -EBUSY);
    CODE(0, shm_region_write(made, 0, "x", 1));
    CHECK(!(shm_region_seals(made) & SHMKIT_SEAL_WRITE));
    CLOSE(made);
    close(fd);

    /* MFD_NOEXEC_SEAL makes the file sealable. */
    fd = memfd_create("noexec", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (fd == -1) {
        CHECK_EQ(errno, EINVAL);
        SKIP_PART("this kernel has no MFD_NOEXEC_SEAL (Linux 6.3)");
        return;
    }
    CHECK_SYS(ftruncate(fd, (off_t)page));
    OK(shm_region_from_fd(fd, 0, NULL, &made, &error));
    CODE(SHMKIT_SEAL_EXEC, shm_region_seals(made));
    OK(shm_region_seal(made, SHMKIT_SEAL_SHRINK, &error));
    CLOSE(made);
    close(fd);
}

/* ---- What has no seals to add -------------------------------------------------------------------------- */

static void without_seals(void)
{
    const char *name = test_name("seals");
    shm_region *made = NULL;
    int fd;

    /* Without ALLOW_SEALING: the seals are F_SEAL_SEAL, to add is EPERM. */
    CHECK_SYS(fd = memfd_create("unsealable", MFD_CLOEXEC));
    CHECK_SYS(ftruncate(fd, (off_t)page));
    OK(shm_region_from_fd(fd, 0, NULL, &made, &error));
    CODE(SHMKIT_SEAL_SEAL, shm_region_seals(made) & ~SHMKIT_SEAL_EXEC);
    CODE(1, shm_region_can_shrink(made));
    REFUSED(-EPERM, "seal", shm_region_seal(made, SHMKIT_SEAL_SHRINK, &error));
    CLOSE(made);
    close(fd);

    /* A file of /dev/shm says F_SEAL_SEAL too: it proves nothing. */
    OK(shm_posix_create(name, page, NULL, &made, &error));
    CODE(SHMKIT_SEAL_SEAL, shm_region_seals(made));
    CODE(1, shm_region_can_shrink(made));
    REFUSED(-EPERM, name, shm_region_seal(made, SHMKIT_SEAL_SHRINK, &error));
    CLOSE(made);
    OK(shm_posix_unlink(name, &error));

    /* A disk's file system: EINVAL. */
    const char *path = test_path("seals");
    OK(shm_file_create(path, page, NULL, &made, &error));
    CODE(1, shm_region_can_shrink(made));
    if (fcntl(shm_region_fd(made), F_GET_SEALS) == -1) {
        CODE(-EINVAL, shm_region_seals(made));
        REFUSED(-EINVAL, path, shm_region_seal(made, SHMKIT_SEAL_SHRINK, &error));
    } else
        SKIP_PART("%s is no disk's file system", scratch);
    CLOSE(made);
    CHECK_SYS(unlink(path));

    /* No descriptor: EOPNOTSUPP. */
    OK(shm_anon_create(page, NULL, &made, &error));
    CODE(-EOPNOTSUPP, shm_region_seals(made));
    REFUSED(-EOPNOTSUPP, "", shm_region_seal(made, SHMKIT_SEAL_SHRINK, &error));
    CLOSE(made);

    fd = secret_memory();
    if (fd != -1) {
        OK(shm_region_from_fd(fd, 0, NULL, &made, &error));
        CODE(-EINVAL, shm_region_seals(made));
        CLOSE(made);
        close(fd);
    }
}

/* O_PATH: EBADF. */
static void path_descriptor(void)
{
    shm_region *made = make(0, 0);
    int fd = reopen(shm_region_fd(made), O_PATH);

    CHECK_SYS(fd);
    REFUSED_REGION(-EBADF, "O_PATH", shm_region_from_fd(fd, 0, NULL, &region, &error));
    REFUSED_REGION(-EBADF, "", shm_region_from_fd(fd, 0, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &region, &error));
    close(fd);
    CLOSE(made);
}

/* ---- Re-opening ------------------------------------------------------------------------------------------ */

static void stranger_with_descriptors(int socket UNUSED, void *argument)
{
    shm_region **made = argument;
    shm_region *opened = NULL;
    int fd;

    become_nobody();
    /* Mode 0600, the default: a descriptor is not opened anew by another user. */
    fails(reopen(shm_region_fd(made[0]), O_RDWR), EACCES);
    fails(reopen(shm_region_fd(made[0]), O_RDONLY), EACCES);
    /* A read-only descriptor is no boundary where the mode allows more: any user re-opens it. */
    CHECK_SYS(fd = reopen(shm_region_fd(made[1]), O_RDWR));
    OK(shm_region_from_fd(fd, 0, NULL, &opened, &error));
    CODE(0, shm_region_write(opened, 0, "stranger", 9));
    CLOSE(opened);
    close(fd);
    /* Only seals hold. */
    CHECK_SYS(fd = reopen(shm_region_fd(made[2]), O_RDWR));
    REFUSED_REGION(-EPERM, "", shm_region_from_fd(fd, 0, NULL, &region, &error));
    fails((int)pwrite(fd, "x", 1, 0), EPERM);
    close(fd);
}

static void reopened(void)
{
    shm_region *made[3] = {NULL, NULL, NULL};

    OK(shm_region_create("closed", page, NULL, &made[0], &error));
    OK(shm_region_create("open", page, OPTIONS(.mode = 0666), &made[1], &error));
    OK(shm_region_create("sealed", page,
                         OPTIONS(.mode = 0666, .seals = DEFAULT_SEALS | SHMKIT_SEAL_FUTURE_WRITE), &made[2], &error));
    IN_CHILD(stranger_with_descriptors, made);
    if (!in_part)
        CHECK(!strcmp(shm_region_data(made[1]), "stranger"));
    for (size_t at = 0; at < COUNT(made); at++)
        CLOSE(made[at]);
}

/* ---- Huge pages -------------------------------------------------------------------------------------------- */

/* Huge pages can run out, as here, where the pool is empty: refused before they are mapped. */
static void huge_pages(void)
{
    FILE *file = fopen("/proc/sys/vm/nr_hugepages", "re"), *over = fopen("/proc/sys/vm/nr_overcommit_hugepages", "re");
    long pages = -1, more = -1;
    int pools = lock_pools(), fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);

    if (file && over && (fscanf(file, "%ld", &pages) != 1 || fscanf(over, "%ld", &more) != 1))
        pages = -1;
    if (file)
        fclose(file);
    if (over)
        fclose(over);
    if (fd == -1 || pages || more)
        SKIP_PART("no huge pages, or a pool that is not empty");
    else {
        CHECK_SYS(ftruncate(fd, 1 << 30));
        REFUSED_REGION(-EOPNOTSUPP, "huge pages", shm_region_from_fd(fd, 0, NULL, &region, &error));
    }
    if (fd != -1)
        close(fd);
    if (pools != -1)
        close(pools);
}

static void test(void)
{
    RUN(what_it_is);
    RUN(names);
    RUN(modes);
    RUN(added_later);
    RUN(shrink_alone);
    RUN(write_alone);
    RUN(future_write);
    RUN(write_sealed);
    RUN(exec_seal);
    RUN(without_seals);
    RUN(path_descriptor);
    RUN(reopened);
    RUN(huge_pages);
}
