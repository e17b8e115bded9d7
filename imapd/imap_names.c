/* Mailbox names on the wire and in the Maildir. */
#include "imapd/imap_names.h"

#include <string.h>
#include <strings.h>

#include "imapd/imap_utf7.h"
#include "maildir/md_tree.h"

/* True if the first level is "INBOX", ignoring case. */
static bool below_inbox(const char *name)
{
	return strncasecmp(name, "INBOX", 5) == 0 && (name[5] == '\0' || name[5] == IMAP_SEPARATOR);
}

/* NAME (UTF-8) without the prefix; NULL if it does not have it. */
static const char *strip_prefix(const struct settings *set, char *name)
{
	const char *prefix = set->imapd_IMAP_NAMESPACE_PREFIX;
	size_t len = strlen(prefix);

	if (below_inbox(name))
		memcpy(name, "INBOX", 5);
	return strncmp(name, prefix, len) == 0 ? name + len : NULL;
}

enum imap_name imap_name_in(const struct settings *set, const struct str *wire, struct str *folder)
{
	struct str name = STR_INIT;
	enum imap_name got = IMAP_NAME_OK;
	const char *rest;

	str_clear(folder);
	if (strcasecmp(str_cstr(wire), "INBOX") == 0)
		return IMAP_NAME_OK;
	if (!imap_utf7_to_utf8(&name, str_cstr(wire), wire->len) || name.len == 0)
		got = IMAP_NAME_SYNTAX;
	else if ((rest = strip_prefix(set, name.data)) == NULL)
		got = IMAP_NAME_OUTSIDE;
	else if (*rest == '\0' || !md_tree_valid(rest))
		got = IMAP_NAME_SYNTAX;
	else
		str_adds(folder, rest);
	str_fini(&name);
	return got;
}

void imap_name_out(const struct settings *set, const char *folder, struct str *out)
{
	if (*folder == '\0') {
		str_adds(out, "INBOX");
		return;
	}
	str_adds(out, set->imapd_IMAP_NAMESPACE_PREFIX);
	imap_utf7_from_utf8(out, folder, strlen(folder));
}

void imap_name_quote(struct str *out, const char *text)
{
	str_addc(out, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			str_addc(out, '\\');
		str_addc(out, *text);
	}
	str_addc(out, '"');
}

enum imap_status imap_take_folder(struct imap_session *s, struct imap_lex *l, struct str *folder, const char *missing)
{
	const char *prefix = s->set->imapd_IMAP_NAMESPACE_PREFIX;
	struct str wire = STR_INIT;
	enum imap_name got = IMAP_NAME_OK;
	bool making = strcmp(missing, "CANNOT") == 0;

	if (imap_lex_space(l) != 1 || imap_lex_astring(l, &wire) != 1) {
		str_fini(&wire);
		return imap_bad(s, "Expected a mailbox name.");
	}
	if (making && wire.len > 1 && wire.data[wire.len - 1] == IMAP_SEPARATOR)
		wire.data[--wire.len] = '\0'; /* "foo.": a folder for children; all can have them */
	got = imap_name_in(s->set, &wire, folder);
	str_fini(&wire);
	if (got == IMAP_NAME_OK)
		return IMAP_OK;
	if (got == IMAP_NAME_OUTSIDE && making)
		return imap_no(s, "[CANNOT] Mailbox names must begin with \"%s\" here: use \"%sName\".", prefix,
		    prefix);
	if (making)
		return imap_no(s, "[CANNOT] Not a valid mailbox name.");
	return imap_no(s, "[%s] There is no such mailbox.", missing);
}

enum imap_status imap_take_last_folder(struct imap_session *s, struct imap_lex *l, struct str *folder,
    const char *missing)
{
	enum imap_status status = imap_take_folder(s, l, folder, missing);

	/* Report bad syntax first, even if the folder does not exist. */
	return status != IMAP_BAD && imap_lex_end(l) != 1 ? imap_bad(s, "Unexpected text after the mailbox name.") :
	                                                    status;
}
