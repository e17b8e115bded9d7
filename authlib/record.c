/* Checks values of a directory and puts them into a record. */
#include "authlib/record.h"

#include <string.h>

#include "lib/num.h"
#include "lib/text.h"

bool record_set(char **member, const void *p, size_t len, size_t max, const char *what, struct str *why)
{
	if (p == NULL)
		len = 0;
	if (len >= max) {
		str_addf(why, "its %s is longer than %zu bytes", what, max - 1);
		return false;
	}
	if (len != 0 && text_plain(p, len) != len) {
		str_addf(why, "its %s contains a control character", what);
		return false;
	}
	account_set_bytes(member, p, len);
	return true;
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
		str_addf(why, "its %s is %s", what, len == 0 ? "missing" : "not a number");
		return false;
	}
	if (v == 0) {
		str_addf(why, "its %s is 0, which is never allowed", what);
		return false;
	}
	*out = (uint32_t)v;
	return true;
}

bool record_check(const struct account *a, struct str *why)
{
	if (a->uid == 0 || a->gid == 0)
		str_addf(why, "it has no uid or gid");
	else if (a->home[0] != '/')
		str_addf(why, "its home folder is not an absolute path");
	else
		return true;
	return false;
}

bool record_is_plain(const struct account *a, struct str *why)
{
	const struct {
		const char *text, *what;
	} member[] = {
		{ a->name, "name" },
		{ a->home, "home folder" },
		{ a->maildir, "maildir" },
		{ a->quota, "quota" },
		{ a->fullname, "full name" },
		{ a->options, "options" },
		{ a->hash, "hash" },
		{ a->clear, "clear password" },
		{ a->hmac, "secrets of CRAM logins" },
	};

	for (size_t i = 0; i < ARRAY_LEN(member); i++)
		if (!text_is_plain(member[i].text)) {
			str_addf(why, "its %s contains a control character", member[i].what);
			return false;
		}
	return true;
}
