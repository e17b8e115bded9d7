/* Commands that concern no mailbox: CAPABILITY, NOOP, LOGOUT, ID, ENABLE, NAMESPACE; and those allowed only before
 * login. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "imapd/cmd.h"
#include "imapd/imap_body.h"
#include "imapd/imap_id_list.h"
#include "imapd/imap_names.h"
#include "lib/log.h"

enum { ID_LOG_MAX = 400, ID_LOG_VALUE_MAX = 100 }; /* bytes */

enum imap_status imap_cmd_capability(struct imap_session *s, struct imap_lex *args)
{
	struct str words = STR_INIT;

	(void)args;
	imap_add_capabilities(s, &words);
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

/* What an ID says. */
struct told {
	struct imap_session *s;
	struct str text; /* for the log */
};

/* Adds what the client's first ID says about its program, for the log. Other keys are left out because they may be
 * private ("command", "arguments"); no value may look like another field of the line. */
static void add_id_pair(void *arg, const char *key, const char *value, size_t len UNUSED)
{
	static const char *const keys[] = { "name", "version", "os", "os-version", "vendor" };
	struct told *t = arg;

	if (strcasecmp(key, "name") == 0)
		log_clean(t->s->client, sizeof(t->s->client), value);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (strcasecmp(key, keys[i]) == 0 && t->text.len < ID_LOG_MAX) {
			char clean[ID_LOG_VALUE_MAX + 1];

			str_addf(&t->text, ", %s=%s", keys[i], log_value(clean, sizeof(clean), value));
		}
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
	struct told t = { s, STR_INIT };
	char who[512];
	bool ok;

	s->client[0] = '\0';
	ok = imap_id_list(args, add_id_pair, &t);
	if (ok && t.text.len > 0 && !s->id_said) {
		log_as("imapd", LOG_LEVEL_INFO, "ID, %s%s", session_log_who(s->start, who, sizeof(who)), t.text.data);
		s->id_said = true;
	}
	str_fini(&t.text);
	if (!ok)
		return imap_bad(s, IMAP_ID_BAD);
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
	bio_puts(&s->io, "* ENABLED\r\n"); /* none of our extensions needs to be enabled */
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
