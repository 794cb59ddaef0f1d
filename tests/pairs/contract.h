/* What contract.c, the command line of README.md, asks of a C program: pair.c has it over shmkit,
 * plain.c over libc alone. A program has one region. What fails ends it, by die(). */

#ifndef CONTRACT_H
#define CONTRACT_H

#include <stddef.h>

enum kind { MEMFD, MEMFD_STREAM, DESCRIPTOR, NAMED_FILE, POSIX, SYSV, SYSV_AT, ANONYMOUS, KINDS };

/* The project number of sysv-at, as ftok(3) takes it. */
enum { PROJECT = 1 };

/* The reason why this program cannot, or NULL. */
const char *why_not_produce(enum kind kind);
const char *why_not_consume(enum kind kind);

void region_create(enum kind kind, const char *where, size_t size);
/* Also receives it. It has to have `size` bytes. */
void region_attach(enum kind kind, const char *where, size_t size);
void region_read(unsigned char *bytes, size_t size);
void region_write(const unsigned char *bytes, size_t size);
void region_remove(enum kind kind, const char *where);

/* Of the kinds that are handed over. */
int hand_over_listen(enum kind kind, const char *where);
void hand_over(enum kind kind, int listener);

/* What contract.c has for both. */
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void die_of_errno(const char *call);
int parse_key(const char *where);
int open_listener(int type, const char *where);
int open_connection(int type, const char *where);
int accept_connection(int listener);

#endif
