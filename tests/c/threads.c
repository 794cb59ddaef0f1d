/* Goal: every function may be called from any thread at any time, also on the same region and the same socket. */
#include "test.h"

#include <pthread.h>

#define THREADS 4

static shm_region *common, *shrinking; /* 4 pages each, a page for each thread */
static int pair[2], file;

static void *work(void *argument)
{
    const size_t me = (size_t)(uintptr_t)argument;
    int rounds = instrumented() ? 20 : 500;
    shm_error error;

    for (int round = 0; round < rounds; round++) {
        shm_region *own = NULL, *got = NULL;
        unsigned char out[512], in[512];
        char number[32];
        void *pointer;

        /* One region, each thread its own bytes. */
        memset(out, (int)(me + (size_t)round * THREADS), sizeof out);
        CHECK_EQ(shm_region_write(common, me * page + 100, out, sizeof out), 0);
        CHECK_EQ(shm_region_read(common, me * page + 100, in, sizeof in), 0);
        CHECK(!memcmp(in, out, sizeof in));
        CHECK_EQ(shm_region_at(common, me * page, page, page, &pointer), 0);
        CHECK_EQ(shm_region_check(common, me * page, page, &error), 0);
        CHECK_EQ(shm_region_prefault(common, me * page, page, &error), 0);
        CHECK_EQ(shm_region_protect(common, me * page, page, SHMKIT_RIGHTS_READ, &error), 0);
        CHECK_EQ(shm_region_write(common, me * page, out, 1), -EACCES);
        CHECK_EQ(shm_region_protect(common, me * page, page, SHMKIT_RIGHTS_READ_WRITE, &error), 0);
        CHECK_EQ(shm_region_flush(common, me * page, page), 0);
        /* One that shrinks and grows meanwhile. */
        int code = shm_region_write(shrinking, me * page, out, sizeof out);
        CHECK(code == 0 || code == SHMKIT_E_SHRUNK);
        code = shm_region_read(shrinking, me * page, in, sizeof in);
        CHECK(code == 0 || code == SHMKIT_E_SHRUNK);
        if (me == 0) {
            CHECK_SYS(ftruncate(file, 0));
            CHECK_SYS(ftruncate(file, 4 * (off_t)page));
        }
        /* Regions of its own, over one socket that all send to and receive from. */
        CHECK_EQ(shm_region_create("own", page, NULL, &own, &error), 0);
        CHECK_EQ(shm_send_region(pair[0], own, &error), 0);
        CHECK_EQ(shm_recv_region(pair[1], NULL, &got, &error), 0);
        CHECK_EQ(SHMKIT_CLOSE(own), 0);
        CHECK_EQ(SHMKIT_CLOSE(got), 0);
        /* An error is the caller's alone. */
        snprintf(number, sizeof number, "%zu", 1000000 + me);
        CHECK_EQ(shm_region_check(common, 1000000 + me, 1, &error), -ERANGE);
        CHECK(strstr(error.message, number));
    }
    return NULL;
}

static void all_at_once(void)
{
    pthread_t threads[THREADS];

    for (size_t at = 0; at < THREADS; at++)
        CHECK_EQ(pthread_create(&threads[at], NULL, work, (void *)(uintptr_t)at), 0);
    for (size_t at = 0; at < THREADS; at++)
        CHECK_EQ(pthread_join(threads[at], NULL), 0);
}

static void balanced(int socket UNUSED, void *argument UNUSED)
{
    all_at_once(); /* stacks and heaps of threads stay for the next ones */
    RUN(all_at_once);
}

static void test(void)
{
    OK(shm_region_create("common", 4 * page, NULL, &common, &error));
    OK(shm_file_create(test_path("shrinking"), 4 * page, NULL, &shrinking, &error));
    CHECK_SYS(file = open(test_path("shrinking"), O_RDWR | O_CLOEXEC));
    CHECK_SYS(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    IN_CHILD(balanced, NULL);
    close(file);
    close(pair[0]);
    close(pair[1]);
    CLOSE(common);
    CLOSE(shrinking);
    CHECK_SYS(unlink(test_path("shrinking")));
}
