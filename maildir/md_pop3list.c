/* The text of courierpop3dsizelist, read and written. */
#include "maildir/md_pop3list.h"

#include <string.h>

#include "lib/mem.h"
#include "lib/num.h"
#include "maildir/md_name.h"
#include "maildir/md_pop3_private.h"

void md_pop3list_fini(struct md_pop3list *l)
{
	for (size_t i = 0; i < l->n; i++)
		mem_free(&l->line[i].name);
	mem_free(&l->line);
	memset(l, 0, sizeof(*l));
}

/* "/3 <next> <uidv>" */
static bool parse_header(struct md_pop3list *l, const char *p, size_t len)
{
	const char *end = p + len, *sp;
	uint64_t next, uidv;

	if (len < 6 || p[0] != '/' || (p[1] != '2' && p[1] != '3') || p[2] != ' ')
		return false;
	l->upgrade = p[1] == '2';
	p += 3;
	sp = memchr(p, ' ', (size_t)(end - p));
	if (sp == NULL || !num_parse(p, (size_t)(sp - p), UINT32_MAX, &next) ||
	    !num_parse(sp + 1, (size_t)(end - sp - 1), UINT32_MAX, &uidv))
		return false;
	l->next = next != 0 ? (uint32_t)next : 1;
	l->uidv = (uint32_t)uidv;
	return true;
}

/* "<n>:<uidv>:<utf8>"; version 2 has no utf8. */
static bool parse_id(struct md_pop3line *line, const char *p, size_t len)
{
	const char *end = p + len, *c1 = memchr(p, ':', len), *c2;
	uint64_t n, uidv, utf8 = 0;

	if (c1 == NULL || !num_parse(p, (size_t)(c1 - p), UINT32_MAX, &n))
		return false;
	c2 = memchr(c1 + 1, ':', (size_t)(end - c1 - 1));
	if (c2 != NULL && !num_parse(c2 + 1, (size_t)(end - c2 - 1), 1, &utf8))
		return false;
	if (!num_parse(c1 + 1, (size_t)((c2 != NULL ? c2 : end) - c1 - 1), UINT32_MAX, &uidv))
		return false;
	line->n = (uint32_t)n;
	line->uidv = (uint32_t)uidv;
	line->utf8 = utf8 != 0;
	return true;
}

void md_pop3list_move(struct md_pop3list *l, struct md_pop3line *line)
{
	if ((l->n & (l->n - 1)) == 0)
		l->line = mem_grow(l->line, (l->n != 0 ? l->n * 2 : 1) * sizeof(*l->line));
	l->line[l->n++] = *line;
	line->name = NULL;
}

static void parse_line(struct md_pop3list *l, const char *p, size_t len)
{
	const char *id = memrchr(p, ' ', len), *size;
	struct md_pop3line line = { 0 };

	if (id == NULL || memchr(p, '\0', len) != NULL)
		return;
	size = memrchr(p, ' ', (size_t)(id - p));
	if (size == NULL || size == p || size - p > MD_NAME_MAX ||
	    !num_parse(size + 1, (size_t)(id - size - 1), INT64_MAX, &line.octets) ||
	    !parse_id(&line, id + 1, (size_t)(p + len - id - 1)))
		return;
	line.name = mem_memdup(p, (size_t)(size - p));
	if (!md_name_valid(line.name)) {
		mem_free(&line.name);
		return;
	}
	if (line.uidv == l->uidv && line.n >= l->next)
		l->next = line.n != UINT32_MAX ? line.n + 1 : UINT32_MAX;
	md_pop3list_move(l, &line);
}

bool md_pop3list_parse(struct md_pop3list *l, const char *p, size_t len)
{
	const char *end = p + len;
	bool header = true;

	memset(l, 0, sizeof(*l));
	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));

		if (nl == NULL) /* cut off: may end within a number */
			break;
		if (header && !parse_header(l, p, (size_t)(nl - p)))
			return false;
		if (!header)
			parse_line(l, p, (size_t)(nl - p));
		header = false;
		p = nl + 1;
	}
	return !header;
}

static void add_line(struct str *out, const char *name, uint64_t octets, uint32_t n, uint32_t uidv, bool utf8)
{
	str_addf(out, "%s %llu %u:%u:%d\n", name, (unsigned long long)octets, n, uidv, utf8);
}

void md_pop3list_format(const struct md_pop3 *p, const struct md_pop3list *others, struct str *out)
{
	str_addf(out, "/3 %u %u\n", p->next, p->uidv);
	for (size_t i = 0; i < p->n; i++)
		add_line(out, md_pop3_file_name(p, i), p->msgs[i].octets, p->msgs[i].n, p->msgs[i].uidv,
		    p->msgs[i].utf8);
	for (size_t i = 0; i < others->n; i++)
		add_line(out, others->line[i].name, others->line[i].octets, others->line[i].n, others->line[i].uidv,
		    others->line[i].utf8);
}
