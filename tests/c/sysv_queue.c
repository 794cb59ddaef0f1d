/* Goal: System V queues follow the kernel's rules for keys, types, lengths and rights; waits end as said. */
#include "test.h"

#ifndef MSG_COPY /* linux/msg.h; musl has it not */
#define MSG_COPY 040000
#endif

#define UNTOUCHED_ID 0x5a5a

static int id;       /* the result of calls under REFUSED_ID */
static int64_t type; /* of the message received last */
static char text[64];

#define REFUSED_ID(want, word, call)   \
    do {                               \
        id = UNTOUCHED_ID;             \
        REFUSED(want, word, call);     \
        CHECK_EQ(id, UNTOUCHED_ID);    \
    } while (0)

/* The same for a call that would store a type and bytes. */
#define REFUSED_MESSAGE(want, word, call)      \
    do {                                       \
        type = -7;                             \
        strcpy(text, "untouched");             \
        REFUSED(want, word, call);             \
        CHECK_EQ(type, -7);                    \
        CHECK(!strcmp(text, "untouched"));     \
    } while (0)

#define INTO text, sizeof text, &type, &error

static const char *hex(int32_t key)
{
    static char text[16];

    snprintf(text, sizeof text, "%#x", (unsigned)key);
    return text;
}

static shm_sysv_queue_info info_of(int queue)
{
    shm_sysv_queue_info info;

    OK(shm_sysv_queue_stat(queue, &info, sizeof info, &error));
    return info;
}

static int new_queue(void)
{
    int queue;

    OK(shm_sysv_queue_create(test_key(1), 0, 0, &queue, &error));
    return queue;
}

/* The next message is this text of this type. */
static void check_received(int length, int64_t of_type, const char *want)
{
    if (length < 0)
        FAIL("%s", error.message);
    CHECK_EQ(length, strlen(want));
    CHECK(!memcmp(text, want, strlen(want)));
    CHECK_EQ(type, of_type);
}

/* Waits until a child sleeps in the kernel; pauses between tries count too. */
static void await_sleep(pid_t pid)
{
    char path[64], state = 0;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    while (state != 'S') {
        FILE *file = fopen(path, "re");
        CHECK(file);
        CHECK(fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
        fclose(file);
        usleep(500);
    }
}

static void keys(void)
{
    const int32_t key = test_key(1);
    int first, second;

    REFUSED_ID(-ENOENT, hex(key), shm_sysv_queue_open(key, &id, &error));
    OK(shm_sysv_queue_create(key, 0, 0, &first, &error));
    OK(shm_sysv_queue_open(key, &second, &error));
    CHECK_EQ(first, second);
    CHECK_EQ(first, msgget(key, 0));
    REFUSED_ID(-EEXIST, hex(key), shm_sysv_queue_create(key, 0, 0, &id, &error));
    GIVES(0, shm_sysv_queue_create(key, SHMKIT_QUEUE_OR_OPEN, 0, &second, &error));
    CHECK_EQ(first, second);
    OK(shm_sysv_queue_remove(first, &error));
    GIVES(1, shm_sysv_queue_create(key, SHMKIT_QUEUE_OR_OPEN, 0, &second, &error));
    CHECK(first != second);
    OK(shm_sysv_queue_remove(second, &error));

    REFUSED_ID(-EINVAL, "ftok", shm_sysv_queue_create(-1, 0, 0, &id, &error));
    REFUSED_ID(-EINVAL, "ftok", shm_sysv_queue_open(-1, &id, &error));
    REFUSED_ID(-EINVAL, "IPC_PRIVATE", shm_sysv_queue_open(0, &id, &error));
    OK(shm_sysv_queue_create(0, 0, 0, &first, &error));
    OK(shm_sysv_queue_create(0, 0, 0, &second, &error));
    CHECK(first != second);
    OK(shm_sysv_queue_remove(first, &error));
    OK(shm_sysv_queue_remove(second, &error));
}

static void bad_arguments(void)
{
    const int32_t key = test_key(1);
    shm_sysv_queue_info info;
    int queue;

    REFUSED(-EINVAL, "NULL", shm_sysv_queue_create(key, 0, 0, NULL, &error));
    REFUSED_ID(-EINVAL, "0x1", shm_sysv_queue_create(key, SHMKIT_QUEUE_AT_MOST, 0, &id, &error));
    REFUSED_ID(-EINVAL, "0o1000", shm_sysv_queue_create(key, 0, 01000, &id, &error));
    REFUSED(-EINVAL, "NULL", shm_sysv_queue_open(key, NULL, &error));
    queue = new_queue();
    REFUSED(-EINVAL, "type", shm_sysv_queue_try_send(queue, 0, "x", 1, &error));
    REFUSED(-EINVAL, "type", shm_sysv_queue_send(queue, -1, "x", 1, &error));
    REFUSED(-EINVAL, "NULL", shm_sysv_queue_send(queue, 1, NULL, 1, &error));
    REFUSED(-EINVAL, "negative", shm_sysv_queue_send_until(queue, 1, "x", 1, -1, &error));
    REFUSED(-EINVAL, "memory", shm_sysv_queue_try_send(queue, 1, "x", SIZE_MAX, &error));
    CHECK_EQ(info_of(queue).messages, 0);
    REFUSED_MESSAGE(-EINVAL, "type", shm_sysv_queue_receive(queue, -1, 0, INTO));
    REFUSED_MESSAGE(-EINVAL, "type", shm_sysv_queue_receive(queue, 0, SHMKIT_QUEUE_EXCEPT, INTO));
    REFUSED_MESSAGE(-EINVAL, "type", shm_sysv_queue_receive(queue, INT64_MIN, SHMKIT_QUEUE_AT_MOST, INTO));
    REFUSED_MESSAGE(-EINVAL, "not both",
                    shm_sysv_queue_try_receive(queue, 1, SHMKIT_QUEUE_AT_MOST | SHMKIT_QUEUE_EXCEPT, INTO));
    REFUSED_MESSAGE(-EINVAL, "0x800", shm_sysv_queue_receive(queue, 0, IPC_NOWAIT, INTO));
    REFUSED_MESSAGE(-EINVAL, "0x4000", shm_sysv_queue_receive_until(queue, 0, MSG_COPY, 0, INTO));
    REFUSED_MESSAGE(-EINVAL, "negative", shm_sysv_queue_receive_until(queue, 0, 0, INT64_MIN, INTO));
    REFUSED(-EINVAL, "NULL", shm_sysv_queue_try_receive(queue, 0, 0, NULL, 1, &type, &error));
    REFUSED_MESSAGE(-EINVAL, "memory", shm_sysv_queue_try_receive(queue, 0, 0, text, SIZE_MAX, &type, &error));
    REFUSED_MESSAGE(-EINVAL, "0x2000", shm_sysv_queue_peek(queue, 0, SHMKIT_QUEUE_EXCEPT, INTO));
    REFUSED(-EINVAL, "NULL", shm_sysv_queue_stat(queue, NULL, sizeof info, &error));
    REFUSED(-EINVAL, "sizeof", shm_sysv_queue_stat(queue, &info, 0, &error));
    REFUSED(-EINVAL, "0o1000", shm_sysv_queue_set_owner(queue, 0, 0, 01000, &error));
    OK(shm_sysv_queue_remove(queue, &error));

    const int bogus[] = {-1, INT_MIN, INT_MAX, queue};
    for (size_t at = 0; at < COUNT(bogus); at++) {
        char number[16];
        snprintf(number, sizeof number, "%d", bogus[at]);
        REFUSED(-EINVAL, number, shm_sysv_queue_remove(bogus[at], &error));
        REFUSED(-EINVAL, number, shm_sysv_queue_send(bogus[at], 1, NULL, 0, &error));
        REFUSED(-EINVAL, number, shm_sysv_queue_send_until(bogus[at], 1, NULL, 0, INT64_MAX, &error));
        REFUSED(-EINVAL, number, shm_sysv_queue_try_send(bogus[at], 1, NULL, 0, &error));
        REFUSED_MESSAGE(-EINVAL, number, shm_sysv_queue_receive(bogus[at], 0, 0, INTO));
        REFUSED_MESSAGE(-EINVAL, number, shm_sysv_queue_receive_until(bogus[at], 0, 0, INT64_MAX, INTO));
        REFUSED_MESSAGE(-EINVAL, number, shm_sysv_queue_try_receive(bogus[at], 0, 0, INTO));
        REFUSED_MESSAGE(-EINVAL, number, shm_sysv_queue_peek(bogus[at], 0, 0, INTO));
        REFUSED(-EINVAL, number, shm_sysv_queue_stat(bogus[at], &info, sizeof info, &error));
        REFUSED(-EINVAL, number, shm_sysv_queue_set_bytes_max(bogus[at], 1, &error));
        REFUSED(-EINVAL, number, shm_sysv_queue_set_owner(bogus[at], 0, 0, 0600, &error));
        CODE(-EINVAL, shm_sysv_queue_remove(bogus[at], NULL));
    }
}

/* By type, another type, at most a type; first come, first served. */
static void types(void)
{
    int queue = new_queue();

    for (int at = 0; at < 5; at++) {
        char word[2] = {(char)('a' + at), '\0'};
        OK(shm_sysv_queue_send(queue, (int[]){3, 2, 3, 1, 2}[at], word, 1, &error));
    }
    check_received(shm_sysv_queue_receive(queue, 2, 0, INTO), 2, "b");
    check_received(shm_sysv_queue_receive(queue, 3, SHMKIT_QUEUE_EXCEPT, INTO), 1, "d");
    check_received(shm_sysv_queue_receive(queue, 3, SHMKIT_QUEUE_AT_MOST, INTO), 2, "e");
    check_received(shm_sysv_queue_receive_until(queue, 0, 0, 0, INTO), 3, "a");
    REFUSED_MESSAGE(-ENOMSG, "type 2", shm_sysv_queue_try_receive(queue, 2, 0, INTO));
    REFUSED_MESSAGE(-ENOMSG, "at most type 2", shm_sysv_queue_try_receive(queue, 2, SHMKIT_QUEUE_AT_MOST, INTO));
    REFUSED_MESSAGE(-ENOMSG, "another type than 3", shm_sysv_queue_try_receive(queue, 3, SHMKIT_QUEUE_EXCEPT, INTO));
    check_received(shm_sysv_queue_try_receive(queue, 0, 0, INTO), 3, "c");
    REFUSED_MESSAGE(-ENOMSG, "none", shm_sysv_queue_try_receive(queue, 0, 0, INTO));
    OK(shm_sysv_queue_send(queue, INT64_MAX, NULL, 0, &error));
    check_received(shm_sysv_queue_receive(queue, 0, 0, INTO), INT64_MAX, "");
    OK(shm_sysv_queue_remove(queue, &error));
}

static void lengths(void)
{
    int queue = new_queue();

    OK(shm_sysv_queue_send(queue, 5, "0123456789", 10, &error));
    REFUSED_MESSAGE(-E2BIG, "9 bytes", shm_sysv_queue_receive(queue, 0, 0, text, 9, &type, &error));
    REFUSED(-E2BIG, "0 bytes", shm_sysv_queue_receive(queue, 0, 0, NULL, 0, NULL, &error));
    CHECK_EQ(info_of(queue).messages, 1);
    check_received(shm_sysv_queue_receive(queue, 0, 0, text, 10, &type, &error), 5, "0123456789");
    OK(shm_sysv_queue_send(queue, 5, "0123456789", 10, &error));
    strcpy(text, "untouched");
    check_received(shm_sysv_queue_receive(queue, 0, SHMKIT_QUEUE_TRUNCATE, text, 3, &type, &error), 5, "012");
    CHECK_EQ(text[3], 'o');
    CHECK_EQ(info_of(queue).messages, 0);
    OK(shm_sysv_queue_send(queue, 5, "gone", 4, &error));
    GIVES(0, shm_sysv_queue_receive(queue, 0, SHMKIT_QUEUE_TRUNCATE, NULL, 0, NULL, &error));
    OK(shm_sysv_queue_remove(queue, &error));
}

static void peeking(void)
{
    int queue = new_queue(), code;

    OK(shm_sysv_queue_send(queue, 5, "first", 5, &error));
    OK(shm_sysv_queue_send(queue, 6, "second", 6, &error));
    code = shm_sysv_queue_peek(queue, 1, 0, INTO);
    if (code == -ENOSYS) {
        SAYS("MSG_COPY");
        SKIP_PART("this kernel has no MSG_COPY");
    } else {
        check_received(code, 6, "second");
        check_received(shm_sysv_queue_peek(queue, 0, 0, INTO), 5, "first");
        REFUSED_MESSAGE(-ENOMSG, "2", shm_sysv_queue_peek(queue, 2, 0, INTO));
        REFUSED_MESSAGE(-ENOMSG, "2", shm_sysv_queue_peek(queue, UINT32_MAX, 0, INTO));
        REFUSED_MESSAGE(-E2BIG, "4 bytes", shm_sysv_queue_peek(queue, 0, 0, text, 4, &type, &error));
        check_received(shm_sysv_queue_peek(queue, 0, SHMKIT_QUEUE_TRUNCATE, text, 4, &type, &error), 5, "firs");
        CHECK_EQ(info_of(queue).messages, 2);
    }
    OK(shm_sysv_queue_remove(queue, &error));
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static void full(void)
{
    int queue = new_queue();
    int64_t before = shmkit_deadline_in_ms(0);

    OK(shm_sysv_queue_set_bytes_max(queue, 10, &error));
    OK(shm_sysv_queue_try_send(queue, 1, "12345678", 8, &error));
    REFUSED(-EAGAIN, "8 bytes", shm_sysv_queue_try_send(queue, 1, "123", 3, &error));
    SAYS("at most 10");
    REFUSED(-ETIMEDOUT, "deadline", shm_sysv_queue_send_until(queue, 1, "123", 3, 0, &error));
    REFUSED(-ETIMEDOUT, "deadline", shm_sysv_queue_send_until(queue, 1, "123", 3, before + 50000000, &error));
    CHECK(shmkit_deadline_in_ms(0) >= before + 50000000);
    OK(shm_sysv_queue_send_until(queue, 1, "12", 2, 0, &error));
    before = shmkit_deadline_in_ms(0);
    REFUSED_MESSAGE(-ETIMEDOUT, "deadline", shm_sysv_queue_receive_until(queue, 2, 0, 0, INTO));
    REFUSED_MESSAGE(-ETIMEDOUT, "deadline", shm_sysv_queue_receive_until(queue, 2, 0, before + 50000000, INTO));
    CHECK(shmkit_deadline_in_ms(0) >= before + 50000000);
    OK(shm_sysv_queue_remove(queue, &error));
}

static volatile sig_atomic_t signals;

static void count_signal(int signal UNUSED)
{
    signals++;
}

struct wait {
    int queue;
    bool timed, sending;
};

static void wait_for(int socket, void *argument)
{
    const struct wait *wait = argument;
    int64_t deadline = shmkit_deadline_in_ms(60000);

    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = count_signal}, NULL);
    tell(socket, 0);
    if (wait->sending)
        tell(socket, wait->timed ? shm_sysv_queue_send_until(wait->queue, 2, "waited", 6, deadline, &error)
                                 : shm_sysv_queue_send(wait->queue, 2, "waited", 6, &error));
    else
        tell(socket, wait->timed ? shm_sysv_queue_receive_until(wait->queue, 1, 0, deadline, INTO)
                                 : shm_sysv_queue_receive(wait->queue, 1, 0, INTO));
    tell(socket, signals);
}

/* A waiter goes on when it can, and is told when the queue is removed; signals show in their handler alone. */
static void waiting(void)
{
    struct wait wait;
    struct child child;

    for (int way = 0; way < 8; way++) {
        bool remove = way & 4;
        wait = (struct wait){new_queue(), way & 1, way & 2};
        OK(shm_sysv_queue_set_bytes_max(wait.queue, 10, &error));
        OK(shm_sysv_queue_send(wait.queue, 9, "12345678", 8, &error));
        child = child_start(wait_for, &wait);
        hear(child.socket);
        for (int count = 0; count < 10; count++) {
            await_sleep(child.pid);
            CHECK_SYS(kill(child.pid, SIGUSR1));
            usleep(500);
        }
        await_sleep(child.pid);
        if (!remove) {
            check_received(shm_sysv_queue_receive(wait.queue, 9, 0, INTO), 9, "12345678");
            if (!wait.sending)
                OK(shm_sysv_queue_send(wait.queue, 1, "it", 2, &error));
            CHECK_EQ(hear(child.socket), wait.sending ? 0 : 2);
            CHECK_EQ(info_of(wait.queue).messages, wait.sending);
            OK(shm_sysv_queue_remove(wait.queue, &error));
        } else {
            OK(shm_sysv_queue_remove(wait.queue, &error));
            CHECK_EQ(hear(child.socket), -EIDRM);
        }
        CHECK(hear(child.socket) > 0);
        CHILD_PASSED(child);
    }
}

/* ---- What the kernel knows, rights, limits ----------------------------------------------------- */

static void information(void)
{
    const int32_t key = test_key(1);
    shm_sysv_queue_info info;
    struct timespec coarse;
    int queue;

    clock_gettime(CLOCK_REALTIME_COARSE, &coarse);
    OK(shm_sysv_queue_create(key, 0, 0751, &queue, &error));
    info = info_of(queue);
    CHECK_EQ(info.messages, 0);
    CHECK_EQ(info.bytes, 0);
    CHECK(info.bytes_max > 0);
    CHECK_EQ(info.sent_at, 0);
    CHECK_EQ(info.received_at, 0);
    CHECK(info.changed_at >= coarse.tv_sec);
    CHECK_EQ(info.key, key);
    CHECK_EQ(info.id, queue);
    CHECK_EQ(info.owner_uid, geteuid());
    CHECK_EQ(info.owner_gid, getegid());
    CHECK_EQ(info.creator_uid, geteuid());
    CHECK_EQ(info.creator_gid, getegid());
    CHECK_EQ(info.sender_pid, 0);
    CHECK_EQ(info.receiver_pid, 0);
    CHECK_EQ(info.mode, 0640);
    CHECK_EQ(info.reserved, 0);
    OK(shm_sysv_queue_send(queue, 1, "1234", 4, &error));
    OK(shm_sysv_queue_send(queue, 1, "123", 3, &error));
    GIVES(4, shm_sysv_queue_receive(queue, 0, 0, INTO));
    info = info_of(queue);
    CHECK_EQ(info.messages, 1);
    CHECK_EQ(info.bytes, 3);
    CHECK(info.sent_at >= coarse.tv_sec && info.received_at >= coarse.tv_sec);
    CHECK_EQ(info.sender_pid, getpid());
    CHECK_EQ(info.receiver_pid, getpid());
    OK(shm_sysv_queue_set_bytes_max(queue, 100, &error));
    CHECK_EQ(info_of(queue).bytes_max, 100);
    OK(shm_sysv_queue_set_owner(queue, UINT32_MAX, UINT32_MAX, 0644, &error));
    CHECK_EQ(info_of(queue).bytes_max, 100);
    CHECK_EQ(info_of(queue).mode, 0644);
    memset(&info, 0x5a, sizeof info);
    OK(shm_sysv_queue_stat(queue, &info, 8, &error));
    CHECK_EQ(info.messages, 1);
    CHECK_EQ(info.bytes, 0x5a5a5a5a5a5a5a5a);
    OK(shm_sysv_queue_remove(queue, &error));
}

static void stranger(int socket UNUSED, void *keys)
{
    const int32_t *key = keys;
    int closed, open, own;

    become_nobody();
    OK(shm_sysv_queue_open(key[0], &closed, &error));
    REFUSED(-EACCES, "Permission", shm_sysv_queue_try_send(closed, 1, "x", 1, &error));
    REFUSED(-EACCES, "Permission", shm_sysv_queue_send(closed, 1, "x", 1, &error));
    REFUSED_MESSAGE(-EACCES, "Permission", shm_sysv_queue_receive(closed, 0, 0, INTO));
    REFUSED_MESSAGE(-EACCES, "Permission", shm_sysv_queue_receive_until(closed, 0, 0, INT64_MAX, INTO));
    REFUSED(-EACCES, "Permission", shm_sysv_queue_stat(closed, &(shm_sysv_queue_info){0}, 8, &error));
    REFUSED(-EPERM, "not permitted", shm_sysv_queue_set_owner(closed, UINT32_MAX, 0, 0666, &error));
    REFUSED(-EPERM, "not permitted", shm_sysv_queue_set_bytes_max(closed, 1, &error));
    REFUSED(-EPERM, "not permitted", shm_sysv_queue_remove(closed, &error));
    OK(shm_sysv_queue_open(key[1], &open, &error));
    REFUSED(-EACCES, "Permission", shm_sysv_queue_try_send(open, 1, "x", 1, &error));
    check_received(shm_sysv_queue_receive(open, 0, 0, INTO), 4, "for all");
    /* More than msgmnb takes a right. */
    OK(shm_sysv_queue_create(key[2], 0, 0, &own, &error));
    /* Its owner may not read it, and changes it. */
    OK(shm_sysv_queue_set_owner(own, UINT32_MAX, UINT32_MAX, 0, &error));
    REFUSED(-EACCES, "Permission", shm_sysv_queue_stat(own, &(shm_sysv_queue_info){0}, 8, &error));
    OK(shm_sysv_queue_set_bytes_max(own, 10, &error));
    REFUSED(-EPERM, "/proc/sys/kernel/msgmnb", shm_sysv_queue_set_bytes_max(own, UINT32_MAX, &error));
    OK(shm_sysv_queue_remove(own, &error));
}

static void rights(void)
{
    int32_t key[] = {test_key(1), test_key(2), test_key(3)};
    int closed, open;

    OK(shm_sysv_queue_create(key[0], 0, 0, &closed, &error));
    OK(shm_sysv_queue_create(key[1], 0, 0644, &open, &error));
    OK(shm_sysv_queue_send(open, 4, "for all", 7, &error));
    IN_CHILD(stranger, key);
    OK(shm_sysv_queue_remove(closed, &error));
    OK(shm_sysv_queue_remove(open, &error));
}

static void limited(int socket UNUSED, void *argument UNUSED)
{
    int queue, other;

    isolate(CLONE_NEWIPC, NULL);
    write_file("/proc/sys/kernel/msgmni", "2");
    write_file("/proc/sys/kernel/msgmax", "20");
    write_file("/proc/sys/kernel/msgmnb", "1000");
    OK(shm_sysv_queue_create(1, 0, 0, &queue, &error));
    OK(shm_sysv_queue_create(2, 0, 0, &other, &error));
    REFUSED_ID(-ENOSPC, "/proc/sys/kernel/msgmni", shm_sysv_queue_create(3, 0, 0, &id, &error));
    SAYS("2 queues exist, and msgmni is 2");
    REFUSED_ID(-ENOSPC, "/proc/sys/kernel/msgmni", shm_sysv_queue_create(3, SHMKIT_QUEUE_OR_OPEN, 0, &id, &error));
    CHECK_EQ(info_of(queue).bytes_max, 1000);
    memset(text, 'x', sizeof text);
    OK(shm_sysv_queue_send(queue, 1, text, 20, &error));
    REFUSED(-EINVAL, "/proc/sys/kernel/msgmax", shm_sysv_queue_send(queue, 1, text, 21, &error));
    SAYS("21 bytes");
    SAYS("msgmax is 20");
    REFUSED(-EINVAL, "/proc/sys/kernel/msgmax", shm_sysv_queue_try_send(queue, 1, text, 21, &error));
    OK(shm_sysv_queue_remove(queue, &error));
    OK(shm_sysv_queue_remove(other, &error));
}

static void limits(void)
{
    IN_CHILD(limited, NULL);
}

static void test(void)
{
    RUN(keys);
    RUN(bad_arguments);
    RUN(types);
    RUN(lengths);
    RUN(peeking);
    RUN(full);
    RUN(waiting);
    RUN(information);
    RUN(rights);
    RUN(limits);
}
