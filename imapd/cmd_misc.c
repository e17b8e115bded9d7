/* Commands that have to do with no mailbox: CAPABILITY, NOOP, LOGOUT, ID, ENABLE, NAMESPACE; and those that come too late. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "imapd/cmd.h"
#include "imapd/imap_body.h"
#include "imapd/imap_capability.h"
#include "imapd/imap_names.h"
#include "lib/log.h"

enum { ID_PAIRS_MAX = 30, ID_VALUE_MAX = 1024 };

enum imap_status imap_cmd_capability(struct imap_session *s, struct imap_lex *args)
{
	struct str words = STR_INIT;

	(void)args;
	imap_capability(&words, s->set, false);
	bio_printf(&s->io, "* CAPABILITY %s\r\n", words.data);
	str_fini(&words);
	return imap_ok(s, "CAPABILITY completed.");
}

enum imap_status imap_cmd_noop(struct imap_session *s, struct imap_lex *args)
{
	(void)args;
	return imap_ok(s, "NOOP completed.");
}

enum imap_status imap_cmd_logout(struct imap_session *s, struct imap_lex *args)
{
	(void)args;
	imap_end(s, SESSION_END_LOGOUT, "Waypost says goodbye.");
	return imap_ok(s, "LOGOUT completed.");
}

enum imap_status imap_cmd_again(struct imap_session *s, struct imap_lex *args)
{
	(void)args;
	return imap_bad(s, "You are logged in already.");
}

/* One "field" "value" pair, added to the log line as ", field=value". False: bad syntax. */
static bool take_id_pair(struct imap_lex *l, struct str *text)
{
	struct str field = STR_INIT, value = STR_INIT;
	bool nil, ok;

	ok = imap_lex_string(l, &field) == 1 && imap_lex_space(l) == 1 && imap_lex_nstring(l, &value, &nil) == 1 &&
	    value.len <= ID_VALUE_MAX;
	if (ok)
		str_addf(text, ", %s=%s", str_cstr(&field), str_cstr(&value));
	str_fini(&field);
	str_fini(&value);
	return ok;
}

/* NIL or a list of pairs, to the end of the command. */
static bool take_id(struct imap_lex *l, struct str *text)
{
	struct str word = STR_INIT;
	bool ok = false;

	if (imap_lex_space(l) != 1)
		return false;
	if (imap_lex_char(l, '(') != 1) {
		ok = imap_lex_atom(l, &word) == 1 && imap_word_is(&word, "NIL");
		str_fini(&word);
		return ok && imap_lex_end(l) == 1;
	}
	if (imap_lex_char(l, ')') == 1)
		return imap_lex_end(l) == 1;
	for (int i = 0; i < ID_PAIRS_MAX; i++) {
		if (!take_id_pair(l, text))
			return false;
		if (imap_lex_char(l, ')') == 1)
			return imap_lex_end(l) == 1;
		if (imap_lex_space(l) != 1)
			return false;
	}
	return false;
}

static void put_id(struct imap_session *s)
{
	int64_t fields = s->set->imapd_IMAP_ID_FIELDS;
	struct str out = STR_INIT;
	struct utsname un;

	str_adds(&out, "* ID (\"name\" \"Waypost\"");
	if ((fields & 1) != 0)
		str_addf(&out, " \"version\" \"%s\"", PACKAGE_VERSION);
	if ((fields & 6) != 0 && uname(&un) == 0) {
		if ((fields & 2) != 0) {
			str_adds(&out, " \"os\" ");
			imap_string_add(&out, un.sysname, strlen(un.sysname));
		}
		if ((fields & 4) != 0) {
			str_adds(&out, " \"os-version\" ");
			imap_string_add(&out, un.release, strlen(un.release));
		}
	}
	str_adds(&out, ")\r\n");
	imap_put(s, &out);
	str_fini(&out);
}

enum imap_status imap_cmd_id(struct imap_session *s, struct imap_lex *args)
{
	struct str text = STR_INIT;
	char who[512], clean[800];
	bool ok = take_id(args, &text);

	if (ok && text.len > 0)
		log_as("imapd", LOG_LEVEL_INFO, "ID, %s%s", session_log_who(s->start, who, sizeof(who)), log_clean(clean, sizeof(clean), text.data));
	str_fini(&text);
	if (!ok)
		return imap_bad(s, "ID needs NIL or a list of up to %d pairs of strings.", ID_PAIRS_MAX);
	put_id(s);
	return imap_ok(s, "ID completed.");
}

enum imap_status imap_cmd_enable(struct imap_session *s, struct imap_lex *args)
{
	struct str word = STR_INIT;
	size_t n = 0;

	while (imap_lex_space(args) == 1 && imap_lex_atom(args, &word) == 1)
		n++;
	str_fini(&word);
	if (n == 0 || imap_lex_end(args) != 1)
		return imap_bad(s, "ENABLE needs names of capabilities.");
	bio_puts(&s->io, "* ENABLED\r\n"); /* none of ours needs to be enabled */
	return imap_ok(s, "ENABLE completed.");
}

enum imap_status imap_cmd_namespace(struct imap_session *s, struct imap_lex *args)
{
	struct str out = STR_INIT;

	(void)args;
	str_adds(&out, "* NAMESPACE ((");
	imap_name_quote(&out, s->set->imapd_IMAP_NAMESPACE_PREFIX);
	str_addf(&out, " \"%c\")) NIL NIL\r\n", IMAP_SEPARATOR);
	imap_put(s, &out);
	str_fini(&out);
	return imap_ok(s, "NAMESPACE completed.");
}
