/* The growing string. */
#include "lib/str.h"

#include <stdio.h>
#include <string.h>

#include "lib/die.h"
#include "lib/mem.h"

const char *str_cstr(const struct str *s)
{
	return s->data != NULL ? s->data : "";
}

char *str_grow(struct str *s, size_t more)
{
	size_t cap = s->cap != 0 ? s->cap : 64;

	DIE_IF(more > SIZE_MAX / 4 || s->len > SIZE_MAX / 4);
	while (more >= cap - s->len)
		cap *= 2;
	s->data = mem_grow(s->data, cap);
	s->cap = cap;
	s->data[s->len] = '\0';
	return s->data + s->len;
}

void str_addv(struct str *s, const char *fmt, va_list ap)
{
	size_t room = s->cap - s->len;
	va_list again;
	int n;

	/* Try the room that is there first: most texts fit. */
	va_copy(again, ap);
	n = vsnprintf(room != 0 ? s->data + s->len : NULL, room, fmt, again);
	va_end(again);
	DIE_IF(n < 0);
	if ((size_t)n >= room)
		vsnprintf(str_room(s, (size_t)n), (size_t)n + 1, fmt, ap);
	s->len += (size_t)n;
}

void str_addf(struct str *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	str_addv(s, fmt, ap);
	va_end(ap);
}

void str_drop(struct str *s, size_t n)
{
	if (n == 0 || s->data == NULL)
		return;
	n = MIN(n, s->len);
	memmove(s->data, s->data + n, s->len - n + 1);
	s->len -= n;
}

void str_clear(struct str *s)
{
	s->len = 0;
	if (s->data != NULL)
		s->data[0] = '\0';
}

void str_fini(struct str *s)
{
	mem_free(&s->data);
	s->len = s->cap = 0;
}

void str_fini_secret(struct str *s)
{
	if (s->data != NULL)
		mem_wipe(s->data, s->cap);
	str_fini(s);
}

char *str_steal(struct str *s)
{
	char *text = s->data != NULL ? s->data : mem_alloc(1);

	s->data = NULL;
	s->len = s->cap = 0;
	return text;
}

void str_copy(char *dst, size_t dstsize, const char *src)
{
	size_t len = strlen(src);

	DIE_IF(len >= dstsize);
	memcpy(dst, src, len + 1);
}
