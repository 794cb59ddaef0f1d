/* Reads a file that another process truncates meanwhile, and lives: through the pointer in a guarded
 * section, and by checked copies. The program's own SIGBUS handler goes on getting what is its own.
 *     guarded_read */

#include <setjmp.h>
#include <shmkit_helpers.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGES = 4 };

static size_t page_size;
static sigjmp_buf way_out;

/* The program's own, which knows nothing of shmkit. */
static void on_sigbus(int signal)
{
    (void)signal;
    siglongjmp(way_out, 1);
}

/* The other process: when it is told to, it leaves one page of the file. */
static int truncator(int socket, int file)
{
    char byte;
    bool done = recv(socket, &byte, 1, 0) == 1 && ftruncate(file, (off_t)page_size) == 0 &&
                send(socket, "", 1, MSG_NOSIGNAL) == 1;

    return done ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void let_it_truncate(int socket)
{
    char byte;

    if (send(socket, "", 1, MSG_NOSIGNAL) != 1 || recv(socket, &byte, 1, 0) != 1)
        exit(EXIT_FAILURE);
}

/* How many of these pages begin with an x. */
static int count_pages(const char *data, size_t first, size_t end)
{
    int count = 0;

    for (size_t page = first; page < end; page++)
        count += data[page * page_size] == 'x';
    return count;
}

static void through_the_pointer(shm_region *region, int socket)
{
    const char *data = shm_region_data(region);

    if (shm_guard_begin(region) < 0)
        exit(EXIT_FAILURE);
    int count = count_pages(data, 0, PAGES / 2);
    let_it_truncate(socket);
    count += count_pages(data, PAGES / 2, PAGES); /* would be the end, and reads zeros */
    int code = shm_guard_end(region);
    /* Only now it is known what the count is worth. */
    printf("guarded section: %d of %d pages, %s\n", count, PAGES, shm_error_name(code));
}

static void by_checked_copies(shm_region *region)
{
    size_t last = (PAGES - 1) * page_size;
    shm_error error;
    char byte;

    int code = shm_region_read(region, last, &byte, 1);
    printf("checked copy: %s\n", shm_error_name(code));
    if (code < 0 && shm_region_check(region, last, 1, &error) < 0)
        shmkit_print_error(stdout, &error);
}

/* Of a mapping that shmkit knows nothing of. */
static void own_fault(int file)
{
    volatile char *data = mmap(NULL, PAGES * page_size, PROT_READ, MAP_SHARED, file, 0);

    if (data == MAP_FAILED)
        exit(EXIT_FAILURE);
    if (sigsetjmp(way_out, 1) == 0)
        (void)data[(PAGES - 1) * page_size];
    else
        printf("own fault: the program's own handler\n");
}

int main(void)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    struct sigaction action = {.sa_handler = on_sigbus};
    shm_error error;
    int sockets[2], status;

    setvbuf(stdout, NULL, _IOLBF, 0);
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    FILE *file = tmpfile();
    if (file == NULL || ftruncate(fileno(file), PAGES * (off_t)page_size) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) < 0 || sigaction(SIGBUS, &action, NULL) < 0) {
        perror("guarded_read");
        return EXIT_FAILURE;
    }
    pid_t child = fork();
    if (child == 0) {
        close(sockets[0]);
        return truncator(sockets[1], fileno(file));
    }
    close(sockets[1]);

    if (shm_region_from_fd(fileno(file), 0, NULL, &region, &error) < 0 ||
        shm_guard_enable(region, &error) < 0)
        shmkit_die(&error);
    memset(shm_region_data(region), 'x', PAGES * page_size);
    through_the_pointer(region, sockets[0]);
    by_checked_copies(region);
    own_fault(fileno(file));
    fclose(file);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
