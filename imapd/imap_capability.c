/* The CAPABILITY list. */
#include "imapd/imap_capability.h"

#include <string.h>

#include "lib/text.h"

/* What this session server does, in the order of the RFCs' birth. */
static const char *const known[] = { "IMAP4rev1", "LITERAL+", "SASL-IR", "ID", "ENABLE", "UIDPLUS", "CHILDREN",
	"NAMESPACE", "IDLE", "UNSELECT", "MOVE" };

static bool is_known(const char *word, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (text_is_word(word, len, known[i]))
			return true;
	return false;
}

void imap_capability(struct str *out, const struct settings *set, bool before_login)
{
	const char *p = set->imapd_IMAP_CAPABILITY;
	size_t before = out->len, len;

	for (; *p != '\0'; p += len) {
		for (len = 0; p[len] != '\0' && p[len] != ' ' && p[len] != '\t'; len++)
			continue;
		if (len == 0) {
			p++;
		} else if (before_login || is_known(p, len)) {
			if (out->len != before)
				str_addc(out, ' ');
			str_add(out, p, len);
		}
	}
	if (out->len == before)
		str_adds(out, "IMAP4rev1");
}
