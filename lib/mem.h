/* Allocation that never returns NULL: without memory the process ends, and its parent restarts it. */
#ifndef LIB_MEM_H
#define LIB_MEM_H

#include "lib/base.h"

/* Zeroed memory of SIZE bytes; never NULL. Free with mem_free(). */
void *mem_alloc(size_t size);
/* Zeroed array of N members of SIZE bytes; an overflow of the product ends the process. */
void *mem_array(size_t n, size_t size);
/* P grown or shrunk to SIZE bytes (new bytes are not zeroed); P may be NULL. */
void *mem_grow(void *p, size_t size);
/* Copy of the NUL-terminated S, or NULL if S is NULL. */
char *mem_strdup(const char *s);
/* Copy of LEN bytes at P with a NUL behind them. */
char *mem_memdup(const void *p, size_t len);
/* printf() into new memory. */
char *mem_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Frees *P (which may be NULL) and empties the pointer. */
#define mem_free(p) \
	do { \
		mem_free_raw((void *)(uintptr_t)(*(p))); \
		*(p) = NULL; \
	} while (0)
void mem_free_raw(void *p);
/* Overwrites LEN bytes at P; the compiler cannot optimise it away. */
void mem_wipe(void *p, size_t len);
/* Wipes and frees the string *S (may be NULL) and empties the pointer: for secrets. */
void mem_free_secret(char **s);
/* True if the two byte strings are the same; the time taken depends only on the lengths. */
bool mem_equal_secret(const void *a, size_t alen, const void *b, size_t blen);

#endif
