/* Allocates memory, wipes it, compares secrets. */
#include "lib/mem.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/die.h"

enum { SMALL = 1024 };

void *mem_alloc(size_t size)
{
	void *p;

	/* glibc's calloc() bypasses the cache of small pieces; large ones it often knows to be zero already. */
	if (size > SMALL)
		p = calloc(1, size);
	else if ((p = malloc(size != 0 ? size : 1)) != NULL)
		memset(p, 0, size);
	if (p == NULL)
		die_fatal("out of memory (%zu bytes)", size);
	return p;
}

void *mem_array(size_t n, size_t size)
{
	void *p = calloc(n != 0 ? n : 1, size != 0 ? size : 1);

	if (p == NULL)
		die_fatal("out of memory (%zu x %zu bytes)", n, size);
	return p;
}

void *mem_grow(void *p, size_t size)
{
	p = realloc(p, size != 0 ? size : 1);
	if (p == NULL)
		die_fatal("out of memory (%zu bytes)", size);
	return p;
}

char *mem_strdup(const char *s)
{
	return s != NULL ? mem_memdup(s, strlen(s)) : NULL;
}

char *mem_memdup(const void *p, size_t len)
{
	char *copy = mem_grow(NULL, len + 1);

	if (len != 0)
		memcpy(copy, p, len);
	copy[len] = '\0';
	return copy;
}

char *mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		die_fatal("out of memory (formatting a text)");
	return s;
}

void mem_free_raw(void *p)
{
	free(p);
}

void mem_wipe(void *p, size_t len)
{
	if (len != 0)
		explicit_bzero(p, len);
}

void mem_free_secret(char **s)
{
	if (*s != NULL)
		mem_wipe(*s, strlen(*s));
	mem_free(s);
}

bool mem_equal_secret(const void *a, size_t alen, const void *b, size_t blen)
{
	return alen == blen && CRYPTO_memcmp(a, b, alen) == 0;
}
