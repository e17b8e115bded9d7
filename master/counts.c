/* Adds up figures of several roles by their names. */
#include "master/counts.h"

#include <string.h>

#include "lib/mem.h"
#include "lib/num.h"
#include "lib/text.h"

enum { NAME_MAX_LEN = 64, VALUE_MAX_LEN = 512 };

struct count {
	struct count *next;
	char *name;
	char *note; /* NULL: a number */
	uint64_t sum;
};

static bool good_name(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '_' || p[i] == '.'))
			return false;
	return len > 0 && len <= NAME_MAX_LEN;
}

static bool is_name(const struct count *e, const char *name, size_t len)
{
	return strlen(e->name) == len && memcmp(e->name, name, len) == 0;
}

static void add_line(struct counts *c, const char *line, size_t len)
{
	const char *eq = memchr(line, '=', len), *value;
	size_t namelen, valuelen, n = 0;
	struct count **p = &c->first;
	uint64_t v = 0;
	bool number;

	if (eq == NULL || !good_name(line, namelen = (size_t)(eq - line)))
		return;
	value = eq + 1;
	valuelen = MIN(len - namelen - 1, (size_t)VALUE_MAX_LEN);
	number = num_parse(value, valuelen, UINT64_MAX, &v);
	for (; *p != NULL; p = &(*p)->next, n++)
		if (number && (*p)->note == NULL && is_name(*p, line, namelen)) {
			(*p)->sum += v;
			return;
		}
	if (n >= COUNTS_MAX)
		return;
	*p = mem_alloc(sizeof(**p));
	(*p)->name = mem_memdup(line, namelen);
	(*p)->sum = v;
	if (!number) {
		(*p)->note = mem_memdup(value, valuelen);
		text_make_plain((*p)->note, '.');
	}
}

void counts_add_lines(struct counts *c, const char *text, size_t len)
{
	const char *end;

	while ((end = memchr(text, '\n', len)) != NULL) {
		add_line(c, text, (size_t)(end - text));
		len -= (size_t)(end + 1 - text);
		text = end + 1;
	}
}

void counts_write(const struct counts *c, struct str *out)
{
	for (const struct count *e = c->first; e != NULL; e = e->next) {
		if (e->note != NULL)
			str_addf(out, "note\t%s\t%s\n", e->name, e->note);
		else
			str_addf(out, "count\t%s\t%llu\n", e->name, (unsigned long long)e->sum);
	}
}

uint64_t counts_sum(const struct counts *c, const char *name)
{
	for (const struct count *e = c->first; e != NULL; e = e->next)
		if (e->note == NULL && strcmp(e->name, name) == 0)
			return e->sum;
	return 0;
}

void counts_fini(struct counts *c)
{
	while (c->first != NULL) {
		struct count *e = c->first;

		c->first = e->next;
		mem_free(&e->name);
		mem_free(&e->note);
		mem_free(&e);
	}
}
