/* The CAPABILITY list. */
#include "imapd/imap_capability.h"

#include <string.h>

#include "lib/text.h"
#include "settings/capability.h"
#include "settings/withheld.h"

static bool is_told(const char *word, size_t len, enum imap_capability_when when)
{
	if (when == IMAP_CAPABILITY_AFTER)
		return capability_is_ours(word, len);
	if (text_is_word(word, len, "STARTTLS") || text_is_word(word, len, "LOGINDISABLED"))
		return false;
	return when != IMAP_CAPABILITY_LOGINDISABLED || len < 5 || !text_is_word(word, 5, "AUTH=");
}

void imap_capability(struct str *out, const char *list, const char *withheld, enum imap_capability_when when)
{
	struct str words = STR_INIT;
	size_t len;

	if (when == IMAP_CAPABILITY_AFTER && capability_is_auto(list))
		list = capability_ours(PROTOCOL_IMAP);
	for (const char *p = list; *p != '\0'; p += len) {
		len = strcspn(p, " \t");
		if (len == 0) {
			p++;
		} else if (is_told(p, len, when)) {
			if (words.len != 0)
				str_addc(&words, ' ');
			str_add(&words, p, len);
		}
	}
	if (withheld[0] != '\0')
		capability_drop(&words, withheld);
	str_adds(out, words.len != 0 ? words.data : "IMAP4rev1");
	str_fini(&words);
}

void imap_capability_add_auto(struct str *out, const char *common, const char *list)
{
	size_t len;

	str_adds(out, common[0] != '\0' ? common : "IMAP4rev1");
	str_adds(out, " SASL-IR"); /* we take it, whatever servers do */
	for (const char *p = list; *p != '\0'; p += len + (p[len] != '\0')) {
		len = strcspn(p, " \t");
		if (len > 5 && text_is_word(p, 5, "AUTH=")) {
			str_addc(out, ' ');
			str_add(out, p, len);
		}
	}
}

const char *imap_capability_list(const struct settings *set, bool tls)
{
	return tls && set->imapd_IMAP_CAPABILITY_TLS[0] != '\0' ? set->imapd_IMAP_CAPABILITY_TLS :
	                                                          set->imapd_IMAP_CAPABILITY;
}

void imap_capability_withheld(const struct settings *set, const char *client, struct str *out)
{
	withheld_from(set->imapd_IMAP_CAPABILITY_WITHHELD, client, out);
	if (set->imapd_IMAP_DISABLETHREADSORT)
		str_addf(out, "%sSORT SORT=DISPLAY ESORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES",
		    out->len != 0 ? " " : "");
}
