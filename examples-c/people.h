/* The record that the examples share: 8 bytes, record i with the letter 'b' + i and the age 20 + i.
 * A name that fills all 4 bytes has no NUL: print it with %.4s. */

#ifndef PEOPLE_H
#define PEOPLE_H

#include <stddef.h>

typedef struct people {
    char name[4];
    int age;
} people;

_Static_assert(sizeof(people) == 8, "the record has 8 bytes");

static inline void people_fill(people *records, size_t count)
{
    for (size_t i = 0; i < count; i++)
        records[i] = (people){.name = {(char)('b' + i)}, .age = 20 + (int)i};
}

#endif
