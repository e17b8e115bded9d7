/* A string that grows. It always ends in a NUL that is not counted, so data can be used as a C string
 * (it may also hold NUL bytes of its own). An all-zero struct str is an empty string. */
#ifndef LIB_STR_H
#define LIB_STR_H

#include <stdarg.h>
#include <string.h>

#include "lib/base.h"

struct str {
	char *data; /* NULL until something is added */
	size_t len; /* bytes used, without the NUL */
	size_t cap; /* bytes there */
};

/* clang-format off */
#define STR_INIT { NULL, 0, 0 }
/* clang-format on */

/* The text as a C string; "" if nothing was added. */
const char *str_cstr(const struct str *s);
/* Makes room for MORE bytes at the end and returns where they go; the caller then adds to len. */
static inline char *str_room(struct str *s, size_t more);
/* The part of str_room() that allocates; do not call it. */
char *str_grow(struct str *s, size_t more);
/* Append LEN bytes at P, a text, a character. Inline: replies and log lines are made of dozens of such pieces. */
static inline void str_add(struct str *s, const void *p, size_t len);
static inline void str_adds(struct str *s, const char *text);
static inline void str_addc(struct str *s, char c);
void str_addf(struct str *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void str_addv(struct str *s, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* Removes N bytes at the front (all if there are fewer). */
void str_drop(struct str *s, size_t n);
/* Empty again, memory kept. */
void str_clear(struct str *s);
/* Frees the memory; the string can be used again. */
void str_fini(struct str *s);
/* As str_fini(), the bytes wiped first: for secrets. */
void str_fini_secret(struct str *s);
/* Hands the text (never NULL) to the caller, who frees it with mem_free(); the string is empty then. */
char *str_steal(struct str *s);

/* Copies SRC with its NUL into DST of DSTSIZE bytes. If it does not fit, that is a bug and ends the process. */
void str_copy(char *dst, size_t dstsize, const char *src);

static inline char *str_room(struct str *s, size_t more)
{
	return more < s->cap - s->len ? s->data + s->len : str_grow(s, more);
}

static inline void str_add(struct str *s, const void *p, size_t len)
{
	char *to = str_room(s, len);

	if (len != 0)
		memcpy(to, p, len);
	to[len] = '\0';
	s->len += len;
}

static inline void str_adds(struct str *s, const char *text)
{
	str_add(s, text, strlen(text));
}

static inline void str_addc(struct str *s, char c)
{
	char *to = str_room(s, 1);

	to[0] = c;
	to[1] = '\0';
	s->len++;
}

#endif
