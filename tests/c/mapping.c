/* Goal: what cannot be mapped is refused, and what is taken away under a mapping is an error, not a death. */
#include "test.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/un.h>

/* A file of a size, opened read-write. */
static int file_of(const char *path, off_t size)
{
    int fd;

    CHECK_SYS(fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644));
    CHECK_SYS(ftruncate(fd, size));
    return fd;
}

/* ---- Refused ----------------------------------------------------------------------------------- */

static void offsets(void)
{
    const char *path = test_path("offsets"), *name = test_name("offsets");
    int fd = file_of(path, 3 * (off_t)page);
    shm_region *opened = NULL;
    const uint64_t off_grid[] = {1, 8, 4095, 4097, UINT64_MAX};

    OK(shm_posix_create(name, 3 * page, NULL, &opened, &error));
    CLOSE(opened);
    /* Off the page grid: EINVAL, naming the offset and the page size (D2.6). */
    for (size_t at = 0; at < COUNT(off_grid); at++) {
        char number[32];
        snprintf(number, sizeof number, "%llu", (unsigned long long)off_grid[at]);
        REFUSED_REGION(-EINVAL, number, shm_region_from_fd(fd, 0, OPTIONS(.offset = off_grid[at]), &region, &error));
        SAYS("4096");
        REFUSED_REGION(-EINVAL, number, shm_file_open(path, 0, OPTIONS(.offset = off_grid[at]), &region, &error));
        SAYS("4096");
        REFUSED_REGION(-EINVAL, number, shm_posix_open(name, OPTIONS(.offset = off_grid[at]), &region, &error));
        SAYS("4096");
    }
    /* At the end, or beyond it, there is nothing to map. */
    REFUSED_REGION(-EINVAL, "12288", shm_region_from_fd(fd, 0, OPTIONS(.offset = 3 * page), &region, &error));
    REFUSED_REGION(-EINVAL, "12288", shm_file_open(path, 0, OPTIONS(.offset = 4 * page), &region, &error));
    REFUSED_REGION(-EINVAL, "12288", shm_posix_open(name, OPTIONS(.offset = 3 * page), &region, &error));
    /* More than the file has; the message has the three numbers. */
    REFUSED_REGION(-EINVAL, "8193", shm_region_from_fd(fd, 8193, OPTIONS(.offset = page), &region, &error));
    SAYS("4096");
    SAYS("12288");
    REFUSED_REGION(-EINVAL, "12289", shm_file_open(path, 12289, NULL, &region, &error));
    SAYS(path + strlen(path) - 8);
    /* offset + length past the end of the number range: EOVERFLOW. */
    const uint64_t far[] = {UINT64_MAX - page + 1, (uint64_t)INT64_MAX + 1, (uint64_t)INT64_MAX + 1 - page};
    for (size_t at = 0; at < COUNT(far); at++)
        for (uint32_t flags = 0; flags <= SHMKIT_REGION_PAST_END; flags += SHMKIT_REGION_PAST_END) {
            shm_region_options *options = OPTIONS(.offset = far[at], .flags = flags);
            REFUSED_REGION(-EOVERFLOW, "", shm_region_from_fd(fd, 2 * page, options, &region, &error));
            REFUSED_REGION(-EOVERFLOW, "", shm_file_open(path, 2 * page, options, &region, &error));
        }
    /* Too long: ENOMEM. */
    REFUSED_REGION(too_long_to_map(), "4611686018427387904",
                   shm_region_from_fd(fd, (size_t)1 << 62, OPTIONS(.flags = SHMKIT_REGION_PAST_END), &region, &error));
    REFUSED_REGION(too_long_to_map(), "4611686018427387904",
                   shm_file_open(path, (size_t)1 << 62, OPTIONS(.flags = SHMKIT_REGION_PAST_END), &region, &error));
    /* Any page will do, and the size is kept to the byte. */
    CHECK_EQ(pwrite(fd, "second page", 12, (off_t)page), 12);
    OK(shm_region_from_fd(fd, 5000, OPTIONS(.offset = page), &opened, &error));
    CHECK_EQ(shm_region_size(opened), 5000);
    CHECK(!strcmp(shm_region_data(opened), "second page"));
    CODE(SHMKIT_KIND_DESCRIPTOR, shm_region_kind(opened));
    CHECK(shm_region_name(opened) == NULL);
    CHECK(shm_region_fd(opened) != fd);
    CHECK_EQ(fcntl(shm_region_fd(opened), F_GETFD), FD_CLOEXEC);
    CLOSE(opened);
    OK(shm_file_open(path, 0, OPTIONS(.offset = page), &opened, &error));
    CHECK_EQ(shm_region_size(opened), 2 * page);
    CHECK(!strcmp(shm_region_name(opened), path));
    CODE(SHMKIT_KIND_FILE, shm_region_kind(opened));
    CLOSE(opened);
    close(fd);
    CHECK_SYS(unlink(path));
    OK(shm_posix_unlink(name, &error));
}

/* Pipe, directory, eventfd, /dev/null: ENODEV. /dev/zero maps happily and is not shared: refused (D3.7). */
static void no_files(void)
{
    const char *kinds[] = {"pipe", "pipe", "socket", "eventfd", "epoll", "directory", "/dev/null", "/dev/zero"};
    int fds[COUNT(kinds)], pipes[2], pair[2];

    CHECK_SYS(pipe2(pipes, O_CLOEXEC));
    CHECK_SYS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    fds[0] = pipes[0];
    fds[1] = pipes[1];
    fds[2] = pair[0];
    CHECK_SYS(fds[3] = eventfd(0, EFD_CLOEXEC));
    CHECK_SYS(fds[4] = epoll_create1(EPOLL_CLOEXEC));
    CHECK_SYS(fds[5] = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    CHECK_SYS(fds[6] = open("/dev/null", O_RDWR | O_CLOEXEC));
    CHECK_SYS(fds[7] = open("/dev/zero", O_RDWR | O_CLOEXEC));
    for (size_t at = 0; at < COUNT(fds); at++)
        for (uint32_t flags = 0; flags <= SHMKIT_REGION_READ_ONLY; flags++)
            for (size_t size = 0; size <= page; size += page) {
                int code = shm_region_from_fd(fds[at], size, OPTIONS(.flags = flags), &region, &error);
                if (code != -ENODEV)
                    FAIL("%s: %d %s", kinds[at], code, shm_error_name(code));
            }
    for (size_t at = 0; at < COUNT(fds); at++)
        close(fds[at]);
    close(pair[1]);

    /* The same by path; a FIFO does not block. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener;
    CHECK_SYS(mkfifo(test_path("fifo"), 0600));
    CHECK_SYS(listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    snprintf(address.sun_path, sizeof address.sun_path, "%s", test_path("socket"));
    CHECK_SYS(bind(listener, (struct sockaddr *)&address, sizeof address));
    const struct {
        const char *path;
        int code, code_read_only; /* for directories and sockets the kernel has its own */
    } files[] = {{scratch, -EISDIR, -ENODEV},
                 {test_path("fifo"), -ENODEV, -ENODEV},
                 {test_path("socket"), -ENXIO, -ENXIO},
                 {"/dev/null", -ENODEV, -ENODEV},
                 {"/dev/zero", -ENODEV, -ENODEV}};
    for (size_t at = 0; at < COUNT(files); at++) {
        const char *path = files[at].path;
        REFUSED_REGION(files[at].code, path, shm_file_open(path, 0, NULL, &region, &error));
        REFUSED_REGION(files[at].code_read_only, path,
                       shm_file_open(path, page, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &region, &error));
        REFUSED_REGION(files[at].code, path,
                       shm_file_create(path, page, OPTIONS(.flags = SHMKIT_REGION_OR_OPEN), &region, &error));
        if (strncmp(path, "/dev/", 5)) /* where only root creates */
            REFUSED_REGION(-EEXIST, path, shm_file_create(path, page, NULL, &region, &error));
    }
    close(listener);
    CHECK_SYS(unlink(test_path("fifo")));
    CHECK_SYS(unlink(test_path("socket")));
}

static void access_modes(void)
{
    const char *path = test_path("modes");
    int fd = file_of(path, (off_t)page), reader, writer;
    shm_region *opened = NULL;

    CHECK_SYS(reader = open(path, O_RDONLY | O_CLOEXEC));
    CHECK_SYS(writer = open(path, O_WRONLY | O_CLOEXEC));
    /* Write-only descriptor: EACCES. */
    REFUSED_REGION(-EACCES, "", shm_region_from_fd(writer, 0, NULL, &region, &error));
    for (uint32_t flag = SHMKIT_REGION_READ_ONLY; flag <= SHMKIT_REGION_PRIVATE; flag++)
        REFUSED_REGION(-EACCES, "", shm_region_from_fd(writer, 0, OPTIONS(.flags = flag), &region, &error));
    /* A read-only one cannot be mapped for writing, but privately. */
    REFUSED_REGION(-EACCES, "", shm_region_from_fd(reader, 0, NULL, &region, &error));
    OK(shm_region_from_fd(reader, 0, OPTIONS(.flags = SHMKIT_REGION_PRIVATE), &opened, &error));
    CODE(0, shm_region_write(opened, 0, "own", 4));
    CLOSE(opened);
    OK(shm_region_from_fd(reader, 0, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &opened, &error));
    CODE(-EACCES, shm_region_write(opened, 0, "x", 1));
    REFUSED(-EACCES, "", shm_region_protect(opened, 0, page, SHMKIT_RIGHTS_READ_WRITE, &error));
    CLOSE(opened);
    close(reader);
    close(writer);
    close(fd);
    CHECK_SYS(unlink(path));
}

static void paths(void)
{
    const char *path = test_path("file");
    char name[5000];
    int fd;

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    memcpy(name, "/tmp/", 5);
    REFUSED_REGION(-ENOENT, "missing", shm_file_open(test_path("missing"), 0, NULL, &region, &error));
    REFUSED_REGION(-ENOENT, "missing/x", shm_file_create(test_path("missing/x"), page, NULL, &region, &error));
    REFUSED_REGION(-ENAMETOOLONG, "", shm_file_open(name, 0, NULL, &region, &error));
    REFUSED_REGION(-ENAMETOOLONG, "", shm_file_create(name, page, NULL, &region, &error));
    name[300] = '\0';
    REFUSED_REGION(-ENAMETOOLONG, "", shm_file_create(name, page, NULL, &region, &error));
    /* An empty file has nothing to map. */
    fd = file_of(path, 0);
    REFUSED_REGION(-EINVAL, "empty", shm_file_open(path, 0, NULL, &region, &error));
    REFUSED_REGION(-EINVAL, "empty", shm_region_from_fd(fd, 0, NULL, &region, &error));
    REFUSED_REGION(-ENOTDIR, "file/x", shm_file_open(test_path("file/x"), 0, NULL, &region, &error));
    REFUSED_REGION(-ENOTDIR, "file/x", shm_file_create(test_path("file/x"), page, NULL, &region, &error));
    CHECK_SYS(symlink("loop", test_path("loop")));
    REFUSED_REGION(-ELOOP, "loop", shm_file_open(test_path("loop"), 0, NULL, &region, &error));
    CHECK_SYS(unlink(test_path("loop")));
    /* A symbolic link is followed. */
    shm_region *opened = NULL;
    CHECK_SYS(ftruncate(fd, 100));
    CHECK_SYS(symlink(path, test_path("link")));
    OK(shm_file_open(test_path("link"), 0, NULL, &opened, &error));
    CHECK_EQ(shm_region_size(opened), 100);
    CLOSE(opened);
    CHECK_SYS(unlink(test_path("link")));
    close(fd);
    CHECK_SYS(unlink(path));
}

/* Too many mappings: ENOMEM. */
static void no_more_mappings(int socket UNUSED, void *argument UNUSED)
{
    int fd = file_of(test_path("many"), (off_t)page);
    long count = 0;

    /* Neighbours with other rights do not merge. */
    while (mmap(NULL, page, count % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
        CHECK(++count < 10000000);
    CHECK_EQ(errno, ENOMEM);
    REFUSED_REGION(-ENOMEM, "", shm_region_from_fd(fd, 0, NULL, &region, &error));
    REFUSED_REGION(-ENOMEM, "", shm_anon_create(page, NULL, &region, &error));
    REFUSED_REGION(-ENOMEM, "", shm_region_create("many", page, NULL, &region, &error));
    close(fd);
}

static void too_many(void)
{
    if (instrumented()) /* the tool itself would run out of mappings first */
        printf("left to the plain run: too many mappings\n");
    else
        IN_CHILD(no_more_mappings, NULL);
    unlink(test_path("many"));
}

static void no_more_descriptors(int socket UNUSED, void *argument)
{
    int fd = *(int *)argument, fds = open_fds();

    limit(RLIMIT_NOFILE, (rlim_t)fds);
    while (dup(fd) != -1) {
    }
    REFUSED_REGION(-EMFILE, "", shm_region_create("none left", page, NULL, &region, &error));
    REFUSED_REGION(-EMFILE, "", shm_region_from_fd(fd, 0, NULL, &region, &error));
    REFUSED_REGION(-EMFILE, "", shm_file_open(test_path("few"), 0, NULL, &region, &error));
    REFUSED_REGION(-EMFILE, "", shm_posix_create(test_name("few"), page, NULL, &region, &error));
}

static void too_few_descriptors(void)
{
    int fd = file_of(test_path("few"), (off_t)page);

    IN_CHILD(no_more_descriptors, &fd);
    close(fd);
    CHECK_SYS(unlink(test_path("few")));
}

/* ---- Taken away ------------------------------------------------------------------------------------ */

/* The default actions, which a sanitizer may have changed; no core dump. */
static void die_plainly(void)
{
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    signal(SIGBUS, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
}

static void touch(int socket UNUSED, void *address)
{
    die_plainly();
    *(volatile char *)address = 1;
}

static void truncated_file(const char *path, uint32_t flags)
{
    int fd = file_of(path, 3 * (off_t)page);
    shm_region *opened = NULL;
    char bytes[2 * 4096];

    OK(shm_file_open(path, 0, OPTIONS(.flags = flags), &opened, &error));
    char *data = shm_region_data(opened);
    memset(data, 'd', 3 * page);
    CODE(1, shm_region_can_shrink(opened));
    CODE(0, shm_region_read(opened, page, bytes, 2 * page));

    /* Truncated under the mapping: SIGBUS for the raw pointer, SHMKIT_E_SHRUNK from the checked calls. */
    CHECK_SYS(ftruncate(fd, (off_t)page + 100));
    CHECK_EQ(fate_of(touch, data + 2 * page), 128 + SIGBUS);
    CODE(SHMKIT_E_SHRUNK, shm_region_read(opened, 2 * page, bytes, 1));
    CODE(SHMKIT_E_SHRUNK, shm_region_write(opened, 2 * page, "x", 1));
    CODE(SHMKIT_E_SHRUNK, shm_region_read(opened, 3 * page - 1, bytes, 1));
    CODE(SHMKIT_E_SHRUNK, shm_region_read(opened, 2 * page - 1, bytes, 2));
    CODE(SHMKIT_E_SHRUNK, shm_region_write(opened, 2 * page - 1, bytes, 2));
    /* shm_region_check tells to how many bytes. */
    REFUSED(SHMKIT_E_SHRUNK, "4196", shm_region_check(opened, 2 * page, 1, &error));
    SAYS(path);
    REFUSED(SHMKIT_E_SHRUNK, "4196", shm_region_prefault(opened, 0, 3 * page, &error));
    /* Up to the last page that the file reaches, there is memory (D2.5). */
    CODE(0, shm_region_read(opened, 0, bytes, 2 * page));
    CHECK_EQ(bytes[page + 99], 'd');
    CODE(0, shm_region_write(opened, 2 * page - 1, "x", 1));
    OK(shm_region_check(opened, 0, 2 * page, &error));
    /* Nothing else is wrong with the region. */
    CHECK_EQ(shm_region_size(opened), 3 * page);
    CODE(-ERANGE, shm_region_read(opened, 3 * page, bytes, 1));

    /* Regrown, it reads zeros. */
    CHECK_SYS(ftruncate(fd, 0));
    CODE(SHMKIT_E_SHRUNK, shm_region_read(opened, 0, bytes, 1));
    REFUSED(SHMKIT_E_SHRUNK, "0 bytes", shm_region_check(opened, 0, 1, &error));
    CHECK_SYS(ftruncate(fd, 3 * (off_t)page));
    memset(bytes, 1, sizeof bytes);
    CODE(0, shm_region_read(opened, page, bytes, 2 * page));
    for (size_t at = 0; at < 2 * page; at++)
        CHECK_EQ(bytes[at], 0);
    CODE(0, shm_region_write(opened, 2 * page, "back", 5));
    OK(shm_region_check(opened, 0, 3 * page, &error));
    CLOSE(opened);
    close(fd);
    CHECK_SYS(unlink(path));
}

static void truncated(void)
{
    const char *shm = in_shm(test_name("truncated"));

    truncated_file(test_path("truncated"), 0);
    truncated_file(test_path("truncated"), SHMKIT_REGION_PRIVATE);
    truncated_file(shm, 0);
    truncated_file(shm, SHMKIT_REGION_PRIVATE);
}

/* Access is valid up to the last page that the file reaches (D2.5), which a mapping does not move (D2.3). */
static void past_the_end(void)
{
    const char *path = test_path("past");
    int fd = file_of(path, 2 * (off_t)page - 99);
    shm_region *opened = NULL;
    struct stat status;
    char byte = 1;

    REFUSED_REGION(-EINVAL, "12288", shm_file_open(path, 3 * page, NULL, &region, &error));
    SAYS("8093");
    OK(shm_file_open(path, 3 * page, OPTIONS(.flags = SHMKIT_REGION_PAST_END), &opened, &error));
    CHECK_EQ(shm_region_size(opened), 3 * page);
    CODE(0, shm_region_read(opened, 2 * page - 1, &byte, 1));
    CHECK_EQ(byte, 0);
    CODE(0, shm_region_write(opened, 2 * page - 1, "x", 1));
    CODE(SHMKIT_E_SHRUNK, shm_region_read(opened, 2 * page, &byte, 1));
    REFUSED(SHMKIT_E_SHRUNK, "8093", shm_region_check(opened, 0, 3 * page, &error));
    CHECK_EQ(fate_of(touch, (char *)shm_region_data(opened) + 2 * page - 1), 0);
    CHECK_EQ(fate_of(touch, (char *)shm_region_data(opened) + 2 * page), 128 + SIGBUS);
    CLOSE(opened);
    /* From the second page on. */
    OK(shm_region_from_fd(fd, 3 * page, OPTIONS(.flags = SHMKIT_REGION_PAST_END, .offset = page), &opened, &error));
    CODE(0, shm_region_read(opened, page - 1, &byte, 1));
    CODE(SHMKIT_E_SHRUNK, shm_region_read(opened, page, &byte, 1));
    REFUSED(SHMKIT_E_SHRUNK, "8093", shm_region_check(opened, page, 1, &error));
    CHECK_EQ(fate_of(touch, (char *)shm_region_data(opened) + page), 128 + SIGBUS);
    CLOSE(opened);
    CHECK_SYS(fstat(fd, &status));
    CHECK_EQ(status.st_size, 2 * page - 99);
    /* A file of one byte gives one page. */
    CHECK_SYS(ftruncate(fd, 1));
    OK(shm_file_open(path, 2 * page, OPTIONS(.flags = SHMKIT_REGION_PAST_END), &opened, &error));
    CODE(0, shm_region_read(opened, page - 1, &byte, 1));
    CODE(SHMKIT_E_SHRUNK, shm_region_read(opened, page, &byte, 1));
    CLOSE(opened);
    OK(shm_file_open(path, 0, NULL, &opened, &error));
    CHECK_EQ(shm_region_size(opened), 1);
    CODE(-ERANGE, shm_region_read(opened, 1, &byte, 1));
    CLOSE(opened);
    close(fd);
    CHECK_SYS(unlink(path));
}

/* EFAULT is the caller's own buffer, and told apart from a region that shrank. */
static void bad_buffer(void)
{
    const char *path = test_path("buffer");
    int fd = file_of(path, 2 * (off_t)page), empty = file_of(test_path("empty"), 0);
    shm_region *opened = NULL;

    OK(shm_file_open(path, 0, NULL, &opened, &error));
    char *read_only = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *no_page = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, empty, 0);
    CHECK(read_only != MAP_FAILED && no_page != MAP_FAILED);
    CODE(-EFAULT, shm_region_read(opened, 0, read_only, 16));
    CODE(-EFAULT, shm_region_read(opened, 0, no_page, 16));
    CODE(-EFAULT, shm_region_write(opened, 0, no_page, 16));
    /* Good to its half. */
    CHECK_SYS(ftruncate(empty, (off_t)page));
    CODE(-EFAULT, shm_region_read(opened, 0, no_page + page - 8, 16));
    CODE(-EFAULT, shm_region_write(opened, 0, no_page + page - 8, 16));
    CODE(0, shm_region_read(opened, 0, no_page + page - 8, 8));
    CODE(0, shm_region_write(opened, 0, no_page, 16));
    /* The region is at fault first. */
    CHECK_SYS(ftruncate(fd, (off_t)page));
    CODE(SHMKIT_E_SHRUNK, shm_region_read(opened, page - 4, no_page + page - 8, 16));
    CODE(SHMKIT_E_SHRUNK, shm_region_write(opened, page - 4, no_page + page - 8, 16));
    CODE(-EFAULT, shm_region_read(opened, page - 12, no_page + page - 8, 16));
    munmap(read_only, page);
    munmap(no_page, 2 * page);
    CLOSE(opened);
    close(fd);
    close(empty);
    CHECK_SYS(unlink(path));
    CHECK_SYS(unlink(test_path("empty")));
}

/* ---- Rights (D2.18) ---------------------------------------------------------------------------------- */

static void look(int socket UNUSED, void *address)
{
    die_plainly();
    exit(*(volatile char *)address == 'p' ? 0 : 2);
}

static void protected(shm_region *opened)
{
    char *data = shm_region_data(opened), bytes[16] = "";

    memset(data, 'p', 3 * page);
    OK(shm_region_protect(opened, page, page, SHMKIT_RIGHTS_NONE, &error));
    CHECK_EQ(fate_of(look, data + page), 128 + SIGSEGV);
    CHECK_EQ(fate_of(look, data), 0);
    CODE(-EACCES, shm_region_read(opened, page, bytes, 16));
    CODE(-EACCES, shm_region_write(opened, page, bytes, 16));
    CODE(-EACCES, shm_region_read(opened, page - 8, bytes, 16));
    REFUSED(-EACCES, "", shm_region_check(opened, 0, 3 * page, &error));
    CODE(0, shm_region_read(opened, 0, bytes, 16));
    CODE(0, shm_region_write(opened, 2 * page, bytes, 16));
    /* Reading alone. */
    OK(shm_region_protect(opened, page, page, SHMKIT_RIGHTS_READ, &error));
    CHECK_EQ(fate_of(touch, data + page), 128 + SIGSEGV);
    CODE(0, shm_region_read(opened, page, bytes, 16));
    CHECK_EQ(bytes[15], 'p');
    CODE(-EACCES, shm_region_write(opened, page, bytes, 16));
    /* And back. */
    OK(shm_region_protect(opened, 0, 3 * page, SHMKIT_RIGHTS_READ_WRITE, &error));
    CODE(0, shm_region_write(opened, page, "again", 6));
    CHECK(!strcmp(data + page, "again"));
    OK(shm_region_check(opened, 0, 3 * page, &error));
    CHECK_EQ(fate_of(touch, data + page), 0);
}

static void rights(void)
{
    shm_region *opened = NULL;

    OK(shm_region_create("rights", 3 * page, NULL, &opened, &error));
    protected(opened);
    CLOSE(opened);
    OK(shm_file_create(test_path("rights"), 3 * page, NULL, &opened, &error));
    protected(opened);
    CLOSE(opened);
    /* No more than the region was opened with. */
    OK(shm_file_open(test_path("rights"), 0, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &opened, &error));
    CHECK_EQ(fate_of(touch, shm_region_data(opened)), 128 + SIGSEGV);
    REFUSED(-EACCES, "", shm_region_protect(opened, 0, page, SHMKIT_RIGHTS_READ_WRITE, &error));
    OK(shm_region_protect(opened, 0, page, SHMKIT_RIGHTS_NONE, &error));
    OK(shm_region_protect(opened, 0, page, SHMKIT_RIGHTS_READ, &error));
    CLOSE(opened);
    CHECK_SYS(unlink(test_path("rights")));
    OK(shm_anon_create(3 * page, NULL, &opened, &error));
    protected(opened);
    CLOSE(opened);
}

static void after_close(int socket UNUSED, void *argument UNUSED)
{
    shm_region *made = NULL;

    die_plainly();
    OK(shm_region_create("gone", page, NULL, &made, &error));
    char *data = shm_region_data(made);
    CLOSE(made);
    *(volatile char *)data = 1;
}

/* After the close the address is gone (D2.7). */
static void closed(void)
{
    CHECK_EQ(fate_of(after_close, NULL), 128 + SIGSEGV);
}

/* ---- Shared or private, file or anonymous (D3.6) -------------------------------------------------------- */

static int variable;

static void write_theirs(int socket, void *argument)
{
    shm_region *opened = argument;
    char text[8];

    variable = 100;
    /* What the parent wrote before fork() is here; what it writes later, only where shared. */
    CODE(0, shm_region_read(opened, 0, text, 7));
    CHECK(!strcmp(text, "before"));
    CODE(0, shm_region_write(opened, 0, "child", 6));
    tell(socket, 1);
    hear(socket);
    CODE(0, shm_region_read(opened, page, text, 7));
    tell(socket, !strcmp(text, "parent"));
    CLOSE(opened);
}

/* Who sees whose writes. The mapping is shared or not; the variable is a copy, and another one under the same
 * address (D1.1, D2.4, D2.16). */
static void who_sees(shm_region *opened, bool shared)
{
    char text[8];

    for (size_t at = 0; at < 2 * page; at++)
        CHECK_EQ(((char *)shm_region_data(opened))[at], 0); /* it starts as zeros (D3.7) */
    CODE(0, shm_region_write(opened, 0, "before", 7));
    variable = 1;
    struct child child = child_start(write_theirs, opened);
    hear(child.socket);
    CODE(0, shm_region_read(opened, 0, text, 7));
    CHECK(!strcmp(text, shared ? "child" : "before"));
    CODE(0, shm_region_write(opened, page, "parent", 7));
    tell(child.socket, 1);
    CHECK_EQ(hear(child.socket), shared);
    CHILD_PASSED(child);
    CHECK_EQ(variable, 1);
}

static void in_the_file(const char *path, const char *wanted)
{
    char text[8] = "";
    int fd;

    CHECK_SYS(fd = open(path, O_RDONLY | O_CLOEXEC));
    CHECK_EQ(pread(fd, text, 7, 0), 7);
    CHECK(!strcmp(text, wanted));
    close(fd);
}

static void matrix(void)
{
    const char *path = test_path("matrix");
    shm_region *opened = NULL;

    OK(shm_anon_create(2 * page, NULL, &opened, &error));
    CODE(SHMKIT_KIND_ANONYMOUS, shm_region_kind(opened));
    CODE(-EOPNOTSUPP, shm_region_fd(opened));
    CODE(0, shm_region_can_shrink(opened));
    who_sees(opened, true);
    CLOSE(opened);
    OK(shm_anon_create(2 * page, OPTIONS(.flags = SHMKIT_REGION_PRIVATE), &opened, &error));
    who_sees(opened, false);
    CLOSE(opened);
    OK(shm_file_create(path, 2 * page, NULL, &opened, &error));
    who_sees(opened, true);
    in_the_file(path, "child");
    CLOSE(opened);
    CHECK_SYS(unlink(path));
    /* A private mapping's writes do not reach the file, and are seen by its own reads. */
    OK(shm_file_create(path, 2 * page, OPTIONS(.flags = SHMKIT_REGION_PRIVATE), &opened, &error));
    who_sees(opened, false);
    CHECK(!strcmp(shm_region_data(opened), "before"));
    in_the_file(path, "");
    CLOSE(opened);
    CHECK_SYS(unlink(path));
    /* Two openings of a file share; one read-only, too. */
    shm_region *reader = NULL;
    OK(shm_file_create(path, 2 * page, NULL, &opened, &error));
    OK(shm_file_open(path, 0, OPTIONS(.flags = SHMKIT_REGION_READ_ONLY), &reader, &error));
    CODE(0, shm_region_write(opened, page + 1, "through", 8));
    CHECK(!strcmp((char *)shm_region_data(reader) + page + 1, "through"));
    CLOSE(reader);
    CLOSE(opened);
    CHECK_SYS(unlink(path));
}

/* A child does not get a region with NO_FORK. */
static void no_fork(void)
{
    shm_region *opened = NULL;

    OK(shm_region_create("no fork", page, NULL, &opened, &error));
    CHECK_EQ(fate_of(touch, shm_region_data(opened)), 0);
    CLOSE(opened);
    OK(shm_region_create("no fork", page, OPTIONS(.flags = SHMKIT_REGION_NO_FORK), &opened, &error));
    CHECK_EQ(fate_of(touch, shm_region_data(opened)), 128 + SIGSEGV);
    CLOSE(opened);
    OK(shm_anon_create(page, OPTIONS(.flags = SHMKIT_REGION_NO_FORK), &opened, &error));
    CHECK_EQ(fate_of(touch, shm_region_data(opened)), 128 + SIGSEGV);
    CLOSE(opened);
}

/* ---- Numbers beyond 32 bits ------------------------------------------------------------------------------- */

static void large(void)
{
    const size_t four_gib = (size_t)1 << 32, size = four_gib + 3 * page - 1;
    const char *path = test_path("large");
    shm_region *opened = NULL, *part = NULL;
    char text[16];

    OK(shm_region_create("large", size, OPTIONS(.flags = SHMKIT_REGION_NO_RESERVE), &opened, &error));
    CHECK_EQ(shm_region_size(opened), size);
    CODE(0, shm_region_write(opened, four_gib + page, "beyond", 7));
    CHECK(!strcmp((char *)shm_region_data(opened) + four_gib + page, "beyond"));
    CODE(0, shm_region_read(opened, page, text, 7));
    CHECK_EQ(text[0], 0);
    CODE(0, shm_region_write(opened, size - 1, "x", 1));
    CODE(-ERANGE, shm_region_write(opened, size, "x", 1));
    CODE(-ERANGE, shm_region_read(opened, size - 1, text, 2));
    CODE(-ERANGE, shm_region_read(opened, 1, text, size));
    CLOSE(opened);

    int fd = file_of(path, (off_t)size);
    OK(shm_file_open(path, 0, NULL, &opened, &error));
    OK(shm_region_from_fd(fd, 0, OPTIONS(.offset = four_gib), &part, &error));
    CHECK_EQ(shm_region_size(part), 3 * page - 1);
    CODE(0, shm_region_write(opened, four_gib + page, "beyond", 7));
    CODE(0, shm_region_read(part, page, text, 7));
    CHECK(!strcmp(text, "beyond"));
    CHECK_SYS(ftruncate(fd, (off_t)four_gib + 1));
    CODE(SHMKIT_E_SHRUNK, shm_region_read(opened, four_gib + page, text, 1));
    REFUSED(SHMKIT_E_SHRUNK, "4294967297", shm_region_check(part, page, 1, &error));
    CODE(0, shm_region_read(opened, four_gib + page - 1, text, 1));
    CLOSE(part);
    CLOSE(opened);
    close(fd);
    CHECK_SYS(unlink(path));
}

/* ---- What the kernel does with the pages ------------------------------------------------------------------- */

/* The next line about the mapping that begins at an address. */
static bool next_line(FILE *smaps, const void *address, char line[4096])
{
    static bool here;

    while (fgets(line, 4096, smaps)) {
        unsigned long low, high;
        if (sscanf(line, "%lx-%lx ", &low, &high) == 2)
            here = low == (unsigned long)address;
        else if (here)
            return true;
    }
    fclose(smaps);
    return false;
}

/* The sum in kB of the fields whose names end so: "Dirty". */
static long smaps(const void *address, const char *end)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    char line[4096];
    long sum = 0, value;
    int found = 0;

    CHECK(file);
    while (next_line(file, address, line)) {
        char *colon = strchr(line, ':');
        if (colon && colon - line >= (long)strlen(end) && !strncmp(colon - strlen(end), end, strlen(end)) &&
            sscanf(colon, ": %ld", &value) == 1) {
            sum += value;
            found++;
        }
    }
    CHECK(found);
    return sum;
}

static bool has_flag(const void *address, const char *flag)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    char line[4096];
    bool found = false;

    CHECK(file);
    while (next_line(file, address, line))
        found = found || (!strncmp(line, "VmFlags:", 8) && strstr(line, flag));
    return found;
}

/* A shared mapping has VM_SHARED (D1.5), and none may be executed. */
static void flags_of_the_mapping(void)
{
    shm_region *opened = NULL;

    OK(shm_region_create("flags", page, NULL, &opened, &error));
    CHECK(has_flag(shm_region_data(opened), " sh"));
    CHECK(!has_flag(shm_region_data(opened), " ex"));
    CLOSE(opened);
    OK(shm_region_create("flags", page, OPTIONS(.flags = SHMKIT_REGION_PRIVATE), &opened, &error));
    CHECK(!has_flag(shm_region_data(opened), " sh"));
    CHECK(!has_flag(shm_region_data(opened), " ex"));
    CLOSE(opened);
}

/* Mapping allocates no memory, the first touch does (D4.4); prefault does it ahead. */
static void first_touch(void)
{
    shm_region *opened = NULL;

    OK(shm_anon_create(8 * page, OPTIONS(.flags = SHMKIT_REGION_NO_RESERVE), &opened, &error));
    char *data = shm_region_data(opened);
    OK(shm_region_advise(opened, 0, 8 * page, SHMKIT_ADVICE_NO_HUGE, &error));
    CHECK_EQ(smaps(data, "Rss"), 0);
    data[0] = 1;
    data[5 * page] = 1;
    CHECK_EQ(smaps(data, "Rss"), 2 * (long)page / 1024);
    OK(shm_region_prefault(opened, 5 * page, 2 * page, &error));
    CHECK_EQ(smaps(data, "Rss"), 3 * (long)page / 1024);
    OK(shm_region_prefault(opened, 0, 8 * page, &error));
    CHECK_EQ(smaps(data, "Rss"), 8 * (long)page / 1024);
    OK(shm_region_lock(opened, 0, 8 * page, &error));
    if (locks_memory())
        CHECK_EQ(smaps(data, "Locked"), 8 * (long)page / 1024);
    OK(shm_region_unlock(opened, 0, 8 * page, &error));
    CHECK_EQ(smaps(data, "Locked"), 0);
    CLOSE(opened);
    OK(shm_region_create("populated", 8 * page, OPTIONS(.flags = SHMKIT_REGION_POPULATE), &opened, &error));
    CHECK_EQ(smaps(shm_region_data(opened), "Rss"), 8 * (long)page / 1024);
    CLOSE(opened);
    OK(shm_region_create("locked", 8 * page, OPTIONS(.flags = SHMKIT_REGION_LOCKED), &opened, &error));
    if (locks_memory())
        CHECK_EQ(smaps(shm_region_data(opened), "Locked"), 8 * (long)page / 1024);
    CLOSE(opened);
}

/* A flush writes to the disk: dirty before it, clean after it (D2.8). Others see the bytes without it. */
static void flushed(void)
{
    const char *path = test_path("flushed");
    shm_region *opened = NULL;
    char text[8] = "";

    OK(shm_file_create(path, 2 * page, NULL, &opened, &error));
    char *data = shm_region_data(opened);
    CODE(0, shm_region_flush(opened, 0, 2 * page));
    bool disk = smaps(data, "Dirty") == 0;
    strcpy(data, "on disk");
    in_the_file(path, "on disk");
    CHECK(smaps(data, "Dirty") > 0);
    CODE(0, shm_region_flush_async(opened, 0, page));
    CODE(0, shm_region_flush(opened, 3, 1));
    if (disk)
        CHECK_EQ(smaps(data, "Dirty"), 0);
    else
        SKIP_PART("%s is on no disk", scratch);
    CODE(0, shm_region_read(opened, 0, text, 8));
    CHECK(!strcmp(text, "on disk"));
    CLOSE(opened);
    CHECK_SYS(unlink(path));
    /* For memory without a file there is nothing to do. */
    OK(shm_anon_create(page, NULL, &opened, &error));
    CODE(0, shm_region_flush(opened, 0, page));
    CODE(0, shm_region_flush_async(opened, 0, page));
    CLOSE(opened);
}

static void advised(void)
{
    const int harmless[] = {SHMKIT_ADVICE_NORMAL, SHMKIT_ADVICE_RANDOM, SHMKIT_ADVICE_SEQUENTIAL,
                            SHMKIT_ADVICE_WILL_NEED, SHMKIT_ADVICE_NO_DUMP, SHMKIT_ADVICE_DUMP};
    const int huge[] = {SHMKIT_ADVICE_HUGE, SHMKIT_ADVICE_NO_HUGE, SHMKIT_ADVICE_COLLAPSE};
    shm_region *opened = NULL;

    OK(shm_region_create("advised", 1024 * page, NULL, &opened, &error));
    memset(shm_region_data(opened), 'a', 1024 * page);
    for (size_t at = 0; at < COUNT(harmless); at++)
        OK(shm_region_advise(opened, page, 7 * page + 1, harmless[at], &error));
    for (size_t at = 0; at < COUNT(huge); at++) {
        int code = shm_region_advise(opened, 0, 1024 * page, huge[at], &error);
        CHECK(code == 0 || code == -EINVAL || code == -ENOMEM || code == -EAGAIN || code == -EBUSY);
    }
    /* Only advice that cannot lose data is on offer. */
    for (size_t at = 0; at < 1024 * page; at++)
        if (((char *)shm_region_data(opened))[at] != 'a')
            FAIL("byte %zu is lost", at);
    CLOSE(opened);
}

/* Whatever the addresses, they reach the same physical pages (D2.15). */
static void same_pages(void)
{
    shm_region *first = NULL, *second = NULL;
    uint64_t frames[2] = {0, 0};
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

    CHECK_SYS(fd);
    OK(shm_region_create("pages", page, NULL, &first, &error));
    OK(shm_region_from_fd(shm_region_fd(first), 0, NULL, &second, &error));
    CHECK(shm_region_data(first) != shm_region_data(second));
    CODE(0, shm_region_write(first, 9, "seen", 5));
    CHECK(!strcmp((char *)shm_region_data(second) + 9, "seen"));
    OK(shm_region_prefault(second, 0, page, &error));
    for (size_t at = 0; at < 2; at++) {
        uintptr_t address = (uintptr_t)shm_region_data(at ? second : first);
        CHECK_EQ(pread(fd, &frames[at], 8, (off_t)(address / page * 8)), 8);
        frames[at] &= ((uint64_t)1 << 55) - 1;
    }
    if (frames[0])
        CHECK_EQ(frames[0], frames[1]);
    else
        SKIP_PART("only root sees page frame numbers");
    CLOSE(first);
    CLOSE(second);
    close(fd);
}

static void test(void)
{
    RUN(offsets);
    RUN(no_files);
    RUN(access_modes);
    RUN(paths);
    RUN(too_many);
    if (limits_descriptors())
        RUN(too_few_descriptors);
    RUN(truncated);
    RUN(past_the_end);
    RUN(bad_buffer);
    RUN(rights);
    RUN(closed);
    RUN(matrix);
    RUN(no_fork);
    RUN(large);
    RUN(flags_of_the_mapping);
    RUN(first_touch);
    RUN(flushed);
    RUN(advised);
    RUN(same_pages);
}
