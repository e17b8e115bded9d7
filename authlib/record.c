#include "authlib/record.h"

#include <string.h>

#include "lib/num.h"

static bool set(char **member, const void *p, size_t len, size_t max, const char *what, bool secret, struct str *why)
{
	const unsigned char *b = p;

	if (p == NULL)
		len = 0;
	if (len >= max) {
		str_addf(why, "its %s is longer than %zu bytes", what, max - 1);
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if (b[i] == '\0' || (!secret && (b[i] < 0x20 || b[i] == 0x7f))) {
			str_addf(why, "its %s holds a control character", what);
			return false;
		}
	}
	account_set_bytes(member, p, len);
	return true;
}

bool record_set(char **member, const void *p, size_t len, size_t max, const char *what, struct str *why)
{
	return set(member, p, len, max, what, false, why);
}

bool record_set_secret(char **member, const void *p, size_t len, size_t max, const char *what, struct str *why)
{
	return set(member, p, len, max, what, true, why);
}

bool record_id(const void *p, size_t len, const char *what, uint32_t *out, struct str *why)
{
	const char *t = p;
	uint64_t v;

	if (p == NULL)
		len = 0;
	for (; len != 0 && *t == ' '; len--)
		t++;
	while (len != 0 && t[len - 1] == ' ')
		len--;
	if (!num_parse(t, len, UINT32_MAX - 1, &v)) {
		str_addf(why, "its %s is %s", what, len == 0 ? "missing" : "no number");
		return false;
	}
	if (v == 0) {
		str_addf(why, "its %s is 0, which no mailbox may have", what);
		return false;
	}
	*out = (uint32_t)v;
	return true;
}

bool record_check(const struct account *a, struct str *why)
{
	if (a->uid == 0 || a->gid == 0)
		str_addf(why, "it has no uid and gid");
	else if (a->home[0] != '/')
		str_addf(why, "its home folder does not begin with /");
	else
		return true;
	return false;
}
