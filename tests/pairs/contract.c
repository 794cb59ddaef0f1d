/* The command line that README.md describes. */

#include "contract.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const kind_names[KINDS] = {
    "memfd", "memfd-stream", "descriptor", "file", "posix", "sysv", "sysv-at", "anonymous",
};

_Noreturn void die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(EXIT_FAILURE);
}

_Noreturn void die_of_errno(const char *call)
{
    die("%s: %s", call, strerror(errno));
}

static void say(const char *line)
{
    if (puts(line) == EOF || fflush(stdout) == EOF)
        die_of_errno("stdout");
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: pair kinds produce|consume | pair produce|consume KIND WHERE SIZE SEED |"
                    " pair remove KIND WHERE\n");
    exit(2);
}

static enum kind parse_kind(const char *name)
{
    for (int kind = 0; kind < KINDS; kind++)
        if (strcmp(name, kind_names[kind]) == 0)
            return (enum kind)kind;
    usage();
}

static unsigned long parse_number(const char *text)
{
    char *end;

    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0)
        usage();
    return number;
}

int parse_key(const char *where)
{
    unsigned long key = parse_number(where);

    if (key > INT_MAX)
        usage();
    return (int)key;
}

static struct sockaddr_un address_of(const char *where)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(where) >= sizeof address.sun_path)
        die("the socket's path is too long");
    strcpy(address.sun_path, where);
    return address;
}

int open_listener(int type, const char *where)
{
    struct sockaddr_un address = address_of(where);
    int listener = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 1) < 0)
        die_of_errno(where);
    return listener;
}

int open_connection(int type, const char *where)
{
    struct sockaddr_un address = address_of(where);
    int connection = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) < 0)
        die_of_errno(where);
    return connection;
}

int accept_connection(int listener)
{
    int connection = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (connection < 0)
        die_of_errno("accept4");
    return connection;
}

static unsigned char pattern(unsigned long seed, size_t i)
{
    return (seed * 31 + i * 7 + (i >> 8)) & 255;
}

static unsigned char *room(size_t size)
{
    unsigned char *bytes = malloc(size);

    if (bytes == NULL)
        die_of_errno("malloc");
    return bytes;
}

static void fill(size_t size, unsigned long seed)
{
    unsigned char *bytes = room(size);

    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern(seed, i);
    region_write(bytes, size);
    free(bytes);
}

static void verify(size_t size, unsigned long seed)
{
    unsigned char *bytes = room(size);

    region_read(bytes, size);
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != pattern(seed, i))
            die("byte %zu is %d, not %d", i, bytes[i], pattern(seed, i));
    free(bytes);
}

/* Both for a consumer of its own and for the child of an anonymous region's producer. */
static void answer(size_t size, unsigned long seed)
{
    verify(size, seed);
    fill(size, seed + 1);
}

static void answer_in_child(size_t size, unsigned long seed)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        answer(size, seed);
        exit(EXIT_SUCCESS);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0)
        die_of_errno("fork");
    if (status != 0)
        exit(EXIT_FAILURE);
}

static void produce(enum kind kind, const char *where, size_t size, unsigned long seed)
{
    bool handed_over = kind == MEMFD || kind == MEMFD_STREAM || kind == DESCRIPTOR;
    int listener = -1;
    char line[16];

    region_create(kind, where, size);
    fill(size, seed);
    if (handed_over)
        listener = hand_over_listen(kind, where);
    if (kind == ANONYMOUS)
        answer_in_child(size, seed);
    say("ready");
    if (handed_over) {
        hand_over(kind, listener);
        close(listener);
        unlink(where);
    }
    if (fgets(line, sizeof line, stdin) == NULL || strcmp(line, "check\n") != 0)
        die("stdin ended, or said something else than check");
    verify(size, seed + 1);
    say("answered");
}

static void consume(enum kind kind, const char *where, size_t size, unsigned long seed)
{
    region_attach(kind, where, size);
    answer(size, seed);
    say("verified");
}

static bool parse_role(const char *name)
{
    bool producing = strcmp(name, "produce") == 0;

    if (!producing && strcmp(name, "consume") != 0)
        usage();
    return producing;
}

static const char *why_not(bool producing, enum kind kind)
{
    return producing ? why_not_produce(kind) : why_not_consume(kind);
}

static int print_kinds(bool producing)
{
    for (int kind = 0; kind < KINDS; kind++) {
        const char *reason = why_not(producing, (enum kind)kind);

        printf("%s %s%s\n", kind_names[kind], reason ? "no: " : "yes", reason ? reason : "");
    }
    return EXIT_SUCCESS;
}

static int take_part(bool producing, enum kind kind, const char *where, size_t size, unsigned long seed)
{
    const char *reason = why_not(producing, kind);

    if (reason != NULL) {
        printf("%s no: %s\n", kind_names[kind], reason);
        return 3;
    }
    (producing ? produce : consume)(kind, where, size, seed);
    return EXIT_SUCCESS;
}

static int remove_name(enum kind kind, const char *where)
{
    if (kind != NAMED_FILE && kind != POSIX && kind != SYSV && kind != SYSV_AT)
        usage();
    region_remove(kind, where);
    say("removed");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "kinds") == 0)
        return print_kinds(parse_role(argv[2]));
    if (argc == 4 && strcmp(argv[1], "remove") == 0)
        return remove_name(parse_kind(argv[2]), argv[3]);
    if (argc == 6)
        return take_part(parse_role(argv[1]), parse_kind(argv[2]), argv[3], parse_number(argv[4]),
                         parse_number(argv[5]));
    usage();
}
