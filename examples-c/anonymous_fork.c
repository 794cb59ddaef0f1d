/* Parent and child share anonymous memory: the child reads what the parent wrote after fork(), and
 * the parent what the child changed.
 *     anonymous_fork */

#include <shmkit_helpers.h>
#include <sys/wait.h>
#include <unistd.h>

#include "people.h"

enum { COUNT = 5 };

static int child(people *records, int filled)
{
    char ready;

    if (read(filled, &ready, 1) != 1)
        return EXIT_FAILURE;
    for (int i = 0; i < COUNT; i++)
        printf("child read: the %d people's age is %d\n", i + 1, records[i].age);
    records[0].age = 100;
    return EXIT_SUCCESS;
}

int main(void)
{
    SHMKIT_SCOPED shm_region *region = NULL;
    shm_error error;
    int filled[2], status;

    if (shm_anon_create(COUNT * sizeof(people), NULL, &region, &error) < 0)
        shmkit_die(&error);
    people *records = SHMKIT_ARRAY(region, people, 0, COUNT);

    if (pipe(filled) < 0) {
        perror("pipe");
        return EXIT_FAILURE;
    }
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        return EXIT_FAILURE;
    }
    if (pid == 0) {
        close(filled[1]);
        return child(records, filled[0]);
    }
    close(filled[0]);

    people_fill(records, COUNT);
    if (write(filled[1], "", 1) != 1 || waitpid(pid, &status, 0) < 0 || status != 0) {
        fprintf(stderr, "the child failed\n");
        return EXIT_FAILURE;
    }
    printf("parent read: the first people,s age is %d\n", records[0].age);

    printf("umap\n");
    SHMKIT_CLOSE(region);
    printf("umap ok\n");
    return EXIT_SUCCESS;
}
