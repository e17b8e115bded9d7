/* The CAPABILITY list. */
#include "imapd/imap_capability.h"

#include "settings/capability.h"

void imap_capability(struct str *out, const struct settings *set, bool before_login)
{
	const char *p = set->imapd_IMAP_CAPABILITY;
	size_t before = out->len, len;

	for (; *p != '\0'; p += len) {
		for (len = 0; p[len] != '\0' && p[len] != ' ' && p[len] != '\t'; len++)
			continue;
		if (len == 0) {
			p++;
		} else if (before_login || capability_is_ours(p, len)) {
			if (out->len != before)
				str_addc(out, ' ');
			str_add(out, p, len);
		}
	}
	if (out->len == before)
		str_adds(out, "IMAP4rev1");
}
