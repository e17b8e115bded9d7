/* Parameters in sections (RFC 2231). */
#include "mime/param.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/mem.h"

/* A section: name*NUMBER or name*NUMBER*, of which `name` is the first `len` bytes. `at`: its place in the field. */
struct section {
	const char *name;
	size_t len, at;
	unsigned number;
	bool extended;
};

/* Is it the name of a section? Leading zeros are accepted. */
static bool is_section(struct section *s, const struct mime_param *p, size_t at)
{
	size_t end = p->name.len, digits;
	const char *n = str_cstr(&p->name);

	*s = (struct section){ .name = n, .at = at, .extended = end > 0 && n[end - 1] == '*' };
	end -= s->extended;
	for (digits = end; digits > 0 && n[digits - 1] >= '0' && n[digits - 1] <= '9'; digits--)
		;
	if (digits == end || digits < 2 || n[digits - 1] != '*')
		return false;
	s->len = digits - 1;
	for (; digits < end; digits++) {
		s->number = s->number * 10 + (unsigned)(n[digits] - '0');
		if (s->number >= MIME_PARAMS_MAX)
			return false;
	}
	return true;
}

static int compare_names(const struct section *a, const struct section *b)
{
	size_t len = a->len < b->len ? a->len : b->len;
	int order = strncasecmp(a->name, b->name, len);

	return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int compare_sections(const void *left, const void *right)
{
	const struct section *a = left, *b = right;
	int order = compare_names(a, b);

	if (order == 0)
		order = (a->number > b->number) - (a->number < b->number);
	return order != 0 ? order : (a->at > b->at) - (a->at < b->at);
}

/* May C stand for itself in an extended value (RFC 2231 section 7, attribute-char)? */
static bool is_attribute_char(char c)
{
	return (unsigned char)c > 32 && (unsigned char)c < 127 && strchr("*'%()<>@,;:\\\"/[]?=", c) == NULL;
}

static void add_value(struct str *out, const struct str *value, bool encode)
{
	for (size_t i = 0; i < value->len; i++) {
		if (encode && !is_attribute_char(value->data[i]))
			str_addf(out, "%%%02X", (unsigned char)value->data[i]);
		else
			str_addc(out, value->data[i]);
	}
}

/* How many of the N sections of one name, in order, belong together: up to the first gap. */
static size_t count_joined(const struct section *s, size_t n)
{
	size_t i = 0;

	if (s[0].number != 0)
		return 0;
	while (i + 1 < n && s[i + 1].number - s[i].number <= 1)
		i++;
	return i + 1;
}

/* Joins N sections of one name in the place of the first; the names of the others become empty. */
static void join(struct mime_params *p, const struct section *s, size_t n)
{
	struct str value = STR_INIT;
	bool extended = false;

	for (size_t i = 0; i < n; i++)
		extended |= s[i].extended;
	if (extended && !s[0].extended)
		str_adds(&value, "''"); /* no charset was given */
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || s[i].number != s[i - 1].number)
			add_value(&value, &p->v[s[i].at].value, extended && !s[i].extended);
		if (i > 0)
			str_clear(&p->v[s[i].at].name);
	}
	p->v[s[0].at].name.len = s[0].len;
	str_adds(&p->v[s[0].at].name, extended ? "*" : "");
	str_fini(&p->v[s[0].at].value);
	p->v[s[0].at].value = value;
}

static void fini_param(struct mime_param *p)
{
	str_fini(&p->name);
	str_fini(&p->value);
}

/* Removes the parameters without a name. */
static void drop_joined(struct mime_params *p)
{
	size_t kept = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i].name.len == 0)
			fini_param(&p->v[i]);
		else
			p->v[kept++] = p->v[i];
	}
	p->n = kept;
}

static void join_all(struct mime_params *p)
{
	struct section *s = mem_array(p->n + 1, sizeof(*s));
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		if (is_section(&s[n], &p->v[i], i))
			n++;
	qsort(s, n, sizeof(*s), compare_sections); /* a sender may send a thousand */
	for (size_t i = 0, end; i < n; i = end) {
		size_t joined;

		for (end = i + 1; end < n && compare_names(&s[i], &s[end]) == 0; end++)
			;
		if ((joined = count_joined(&s[i], end - i)) > 0)
			join(p, &s[i], joined);
	}
	mem_free(&s);
	if (n > 0)
		drop_joined(p);
}

void mime_params_read(struct mime_params *p, const struct mime_text *value)
{
	struct mime_param next = { STR_INIT, STR_INIT };
	struct mime_ctype c;
	size_t room = 0;

	p->v = NULL;
	p->n = 0;
	mime_ctype_begin(&c, value);
	while (p->n < MIME_PARAMS_MAX && mime_ctype_param(&c, &next.name, &next.value)) {
		if (p->n == room)
			p->v = mem_grow(p->v, (room = room * 2 + 4) * sizeof(*p->v));
		p->v[p->n++] = next;
		next = (struct mime_param){ STR_INIT, STR_INIT };
	}
	fini_param(&next);
	join_all(p);
}

void mime_params_fini(struct mime_params *p)
{
	for (size_t i = 0; i < p->n; i++)
		fini_param(&p->v[i]);
	mem_free(&p->v);
	p->n = 0;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 32);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes an extended value; one without charset and language is decoded whole. */
static void decode(struct str *out, const struct str *value)
{
	const char *p = str_cstr(value), *end = p + value->len, *quote = memchr(p, '\'', value->len);

	if (quote != NULL && (quote = memchr(quote + 1, '\'', (size_t)(end - quote - 1))) != NULL)
		p = quote + 1;
	for (; p < end; p++) {
		char c = *p;

		if (c == '%' && end - p > 2 && hex(p[1]) != -1 && hex(p[2]) != -1) {
			c = (char)(hex(p[1]) * 16 + hex(p[2]));
			p += 2;
		}
		if (c != '\r' && c != '\n' && c != '\0')
			str_addc(out, c);
	}
}

/* True if the parameter is called NAME, followed by the "*" of the extended form if EXTENDED. */
static bool is_called(const struct mime_param *p, const char *name, bool extended)
{
	size_t len = strlen(name);

	return p->name.len == len + extended && strncasecmp(p->name.data, name, len) == 0 &&
	    (!extended || p->name.data[len] == '*');
}

/* What mime_param_find() does for fields with the forms of RFC 2231. */
static bool find_joined(const struct mime_text *value, const char *name, struct str *out)
{
	const struct mime_param *plain = NULL, *extended = NULL;
	struct mime_params all;

	mime_params_read(&all, value);
	for (size_t i = 0; i < all.n; i++) {
		if (plain == NULL && is_called(&all.v[i], name, false))
			plain = &all.v[i];
		else if (extended == NULL && is_called(&all.v[i], name, true))
			extended = &all.v[i];
	}
	if (plain != NULL)
		str_add(out, str_cstr(&plain->value), plain->value.len);
	else if (extended != NULL)
		decode(out, &extended->value);
	mime_params_fini(&all);
	return plain != NULL || extended != NULL;
}

bool mime_param_find(const struct mime_text *value, const char *name, struct str *out)
{
	struct str n = STR_INIT;
	struct mime_ctype c;
	bool found = false, joined = false;

	mime_ctype_begin(&c, value);
	while (!found && mime_ctype_param(&c, &n, out)) {
		found = strcasecmp(str_cstr(&n), name) == 0;
		joined |= memchr(str_cstr(&n), '*', n.len) != NULL;
	}
	str_fini(&n);
	if (found)
		return true;
	str_clear(out);
	return joined && find_joined(value, name, out);
}
