/* Lists of capabilities. */
#include "settings/capability.h"

#include <string.h>
#include <strings.h>

#include "lib/text.h"
#include "settings/settings.h"

/* In the order of their RFCs. */
#define OURS_IMAP \
	"IMAP4rev1 LITERAL+ SASL-IR ID ENABLE UIDPLUS CHILDREN NAMESPACE IDLE UNSELECT MOVE SORT SORT=DISPLAY " \
	"THREAD=ORDEREDSUBJECT THREAD=REFERENCES ESEARCH ESORT SEARCHRES WITHIN PARTIAL"
#define OURS_POP3 "TOP UIDL RESP-CODES AUTH-RESP-CODE PIPELINING UTF8 EXPIRE LOGIN-DELAY"

static const struct {
	const char *name, *line;
} pop3[] = {
	{ "TOP", "TOP" },
	{ "UIDL", "UIDL" },
	{ "RESP-CODES", "RESP-CODES" },
	{ "AUTH-RESP-CODE", "AUTH-RESP-CODE" },
	{ "PIPELINING", "PIPELINING" },
	{ "UTF8", "UTF8 USER" },
	{ "EXPIRE", "EXPIRE NEVER" },
	{ "LOGIN-DELAY", "LOGIN-DELAY 0" },
};

/* The next word of *LIST, which is moved behind it: its length; 0: there is none. */
static size_t next_word(const char **list, const char **word)
{
	size_t len;

	*list += strspn(*list, " \t");
	*word = *list;
	len = strcspn(*list, " \t");
	*list += len;
	return len;
}

bool capability_is_ours(const char *word, size_t len)
{
	return capability_has(OURS_IMAP, word, len) && !text_is_word(word, len, "LITERAL-");
}

const char *capability_ours(enum protocol p)
{
	return p == PROTOCOL_IMAP ? OURS_IMAP : p == PROTOCOL_POP3 ? OURS_POP3 : "";
}

bool capability_is_auto(const char *list)
{
	return capability_has(list, "auto", 4);
}

bool capability_asks_pool(const struct settings *set, enum protocol p)
{
	return p == PROTOCOL_IMAP ?
	    capability_is_auto(set->imapd_IMAP_CAPABILITY) || capability_is_auto(set->imapd_IMAP_CAPABILITY_TLS) :
	    p == PROTOCOL_POP3 && capability_is_auto(set->pop3d_POP3_CAPABILITY);
}

static bool has_exactly(const char *list, const char *word, size_t len)
{
	const char *p;
	size_t n;

	while ((n = next_word(&list, &p)) != 0)
		if (n == len && strncasecmp(p, word, len) == 0)
			return true;
	return false;
}

bool capability_has(const char *list, const char *word, size_t len)
{
	return has_exactly(list, word, len) ||
	    (text_is_word(word, len, "LITERAL-") && has_exactly(list, "LITERAL+", 8));
}

/* What only concerns logins is a server's own matter: clients log in here. */
static bool is_about_logins(const char *word, size_t len)
{
	return (len >= 5 && strncasecmp(word, "AUTH=", 5) == 0) || text_is_word(word, len, "STARTTLS") ||
	    text_is_word(word, len, "LOGINDISABLED") || text_is_word(word, len, "SASL-IR") ||
	    text_is_word(word, len, "X-WAYPOST-TOKEN");
}

/* An atom (RFC 3501 section 9). */
static bool is_capability(const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!text_is_printable(word[i]) || strchr("(){%*\"\\]", word[i]) != NULL)
			return false;
	return len != 0;
}

static void add(struct str *out, const char *word, size_t len)
{
	if (out->len != 0)
		str_addc(out, ' ');
	str_add(out, word, len);
}

void capability_take(struct str *out, const char *list)
{
	const char *word;
	size_t len;

	while ((len = next_word(&list, &word)) != 0)
		if (is_capability(word, len) && !is_about_logins(word, len) &&
		    out->len + (out->len != 0) + len <= CAPABILITY_LIST_MAX)
			add(out, word, len);
}

bool capability_list_ok(const char *list)
{
	struct str out = STR_INIT;
	bool ok;

	capability_take(&out, list);
	ok = strcmp(str_cstr(&out), list) == 0;
	str_fini(&out);
	return ok;
}

void capability_keep_common(struct str *list, const char *other)
{
	struct str out = STR_INIT;
	const char *p = str_cstr(list), *word;
	size_t len;

	while ((len = next_word(&p, &word)) != 0)
		if (capability_has(other, word, len))
			add(&out, word, len);
		else if (text_is_word(word, len, "LITERAL+") && capability_has(other, "LITERAL-", 8))
			add(&out, "LITERAL-", 8);
	str_fini(list);
	*list = out;
}

void capability_drop(struct str *list, const char *other)
{
	struct str out = STR_INIT;
	const char *p = str_cstr(list), *word;
	size_t len;

	while ((len = next_word(&p, &word)) != 0)
		if (!has_exactly(other, word, len))
			add(&out, word, len);
	str_fini(list);
	*list = out;
}

uint32_t capability_hash(const char *list)
{
	uint32_t h = 2166136261; /* FNV-1a */

	for (; *list != '\0'; list++)
		h = (h ^ (unsigned char)*list) * 16777619;
	return h < 2 ? h + 2 : h;
}

const char *capability_pop3_line(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(pop3); i++)
		if (text_is_word(name, len, pop3[i].name))
			return pop3[i].line;
	return NULL;
}

const char *capability_pop3_name(const char *line)
{
	for (size_t i = 0; i < ARRAY_LEN(pop3); i++)
		if (strcasecmp(line, pop3[i].line) == 0)
			return pop3[i].name;
	return NULL;
}
