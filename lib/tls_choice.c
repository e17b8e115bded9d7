/* Names of hosts and protocols in a ClientHello. */
#include "lib/tls_choice.h"

#include <string.h>

enum { LABEL_MAX = 63 };

/* C in small letters if a host name may have it (and "_", which some have); else 0. */
static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ? c : '\0';
}

/* The label of LEN bytes at P, to OUT. */
static bool take_label(const char *p, size_t len, char *out)
{
	if (len == 0 || len > LABEL_MAX || p[0] == '-' || p[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if ((out[i] = fold(p[i])) == '\0')
			return false;
	return true;
}

static size_t label_len(const char *p, size_t len)
{
	const char *dot = memchr(p, '.', len);

	return dot != NULL ? (size_t)(dot - p) : len;
}

/* A name that ends in a number would be an address (RFC 1123 section 2.1). */
static bool is_number(const char *label)
{
	return label[strspn(label, "0123456789")] == '\0';
}

/* Of a name that has room in OUT. Returns where its last label begins; NULL: it is no name. */
static const char *take_labels(const char *p, size_t len, char *out)
{
	const char *last = NULL;

	for (size_t at = 0; at <= len; at++) {
		size_t n = label_len(p + at, len - at);

		if (!take_label(p + at, n, out + at))
			return NULL;
		last = out + at;
		at += n;
		out[at] = at < len ? '.' : '\0';
	}
	return last;
}

bool tls_choice_name(const char *p, size_t len, char name[TLS_NAME_MAX])
{
	const char *last = NULL;

	if (len > 1 && p[len - 1] == '.')
		len--;
	if (len != 0 && len < TLS_NAME_MAX)
		last = take_labels(p, len, name);
	if (last != NULL && !is_number(last))
		return true;
	name[0] = '\0';
	return false;
}

bool tls_choice_pattern(const char *p, size_t len, char name[TLS_NAME_MAX])
{
	char rest[TLS_NAME_MAX];

	if (len < 3 || p[0] != '*' || p[1] != '.')
		return tls_choice_name(p, len, name);
	name[0] = '\0';
	if (len >= TLS_NAME_MAX || !tls_choice_name(p + 2, len - 2, rest))
		return false;
	memcpy(name, "*.", 2);
	memcpy(name + 2, rest, strlen(rest) + 1);
	return true;
}

bool tls_choice_wildcard(const char *name, char pattern[TLS_NAME_MAX])
{
	const char *dot = strchr(name, '.');

	if (dot == NULL)
		return false;
	pattern[0] = '*';
	memcpy(pattern + 1, dot, strlen(dot) + 1);
	return true;
}

const uint8_t *tls_choice_alpn(const uint8_t *list, size_t len, const char *want)
{
	size_t n = strlen(want);

	for (size_t i = 0; i < len && list[i] < len - i; i += 1U + list[i])
		if (list[i] == n && memcmp(list + i + 1, want, n) == 0)
			return list + i + 1;
	return NULL;
}
