/* Counts comparisons, for tests of what must not grow with the number of what is there. The program is linked with
 * --wrap=strcmp,--wrap=memcmp. */
#ifndef TESTS_UNIT_COMPARED_H
#define TESTS_UNIT_COMPARED_H

#include <stddef.h>

static unsigned compared; /* names, numbers, keys and the like */

int __real_strcmp(const char *a, const char *b);
int __real_memcmp(const void *a, const void *b, size_t n);
int __wrap_strcmp(const char *a, const char *b);
int __wrap_memcmp(const void *a, const void *b, size_t n);

int __wrap_strcmp(const char *a, const char *b)
{
	compared++;
	return __real_strcmp(a, b);
}

int __wrap_memcmp(const void *a, const void *b, size_t n)
{
	compared++;
	return __real_memcmp(a, b, n);
}

#endif
