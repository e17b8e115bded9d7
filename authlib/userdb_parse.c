/* One line of the userdb. */
#include <string.h>

#include "authlib/hmac_state.h"
#include "authlib/password.h"
#include "authlib/userdb_image.h"
#include "lib/num.h"
#include "lib/text.h"

static bool is(struct userdb_text t, const char *word)
{
	return t.len == strlen(word) && memcmp(t.p, word, t.len) == 0;
}

static bool is_blank(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != ' ' && p[i] != '\t')
			return false;
	return true;
}

/* "1001=" TAB "name": Courier's records from uid to name. */
static bool is_reverse_record(struct userdb_text name)
{
	if (name.len < 2 || name.p[name.len - 1] != '=')
		return false;
	for (size_t i = 0; i + 1 < name.len; i++)
		if (name.p[i] < '0' || name.p[i] > '9')
			return false;
	return true;
}

/* Sets *MEMBER only the first time: as with names, the first of two equal fields counts. */
static const char *set_text(struct userdb_text *member, struct userdb_text value, size_t max, const char *too_long)
{
	if (value.len >= max)
		return too_long;
	if (member->p == NULL)
		*member = value;
	return NULL;
}

static const char *set_id(uint32_t *id, struct userdb_text value, const char *no_number, const char *zero)
{
	uint64_t v;

	/* The largest one means "none" to the system calls. */
	if (!num_parse(value.p, value.len, UINT32_MAX - 1, &v))
		return no_number;
	if (v == 0)
		return zero;
	if (*id == 0)
		*id = (uint32_t)v;
	return NULL;
}

/* The field is a CRAM secret: of how many digits, if its hash is known here. */
static bool is_hmac(struct userdb_text key, size_t *digits)
{
	static const char *const hashes[] = { "md5", "sha1", "sha256" };
	const char *p = memmem(key.p, key.len, "hmac-", 5);

	*digits = 0;
	for (size_t i = 0; p != NULL && i < ARRAY_LEN(hashes); i++) {
		struct userdb_text hash = { p + 5, (size_t)(key.p + key.len - p) - 5 - 2 };

		if (is(hash, hashes[i]))
			*digits = hmac_state_len(hashes[i]);
	}
	return p != NULL;
}

/* With a truncated hash or secret, the right password would count as wrong. */
static const char *check_password(struct userdb_text key, struct userdb_text value)
{
	char hash[ACCOUNT_HASH_MAX];
	const char *why;
	size_t digits;

	if (value.len >= sizeof(hash))
		return "a password hash is too long";
	memcpy(hash, value.p, value.len);
	hash[value.len] = '\0';
	if (is_hmac(key, &digits))
		return digits == 0 || (value.len == digits && strspn(hash, "0123456789abcdefABCDEF") == digits) ?
		    NULL :
		    "a CRAM secret (hmac-...pw) is truncated or damaged";
	return password_is_sound(hash, &why) ? NULL : why;
}

static const char *set_password(struct userdb_entry *e, struct userdb_text key, struct userdb_text value)
{
	static const char too_long[] = "a password hash is too long";
	const char *why = check_password(key, value);

	if (why != NULL)
		return why;
	if (is(key, "systempw"))
		return set_text(&e->systempw, value, ACCOUNT_HASH_MAX, too_long);
	if (is(key, "imappw"))
		return set_text(&e->imappw, value, ACCOUNT_HASH_MAX, too_long);
	if (is(key, "pop3pw"))
		return set_text(&e->pop3pw, value, ACCOUNT_HASH_MAX, too_long);
	if (e->npw == USERDB_PW_MAX)
		return "there are more than 16 password fields";
	e->pw[e->npw].p = key.p;
	e->pw[e->npw++].len = (size_t)(value.p + value.len - key.p);
	return NULL;
}

static const char *set_field(struct userdb_entry *e, struct userdb_text key, struct userdb_text value)
{
	if (is(key, "home"))
		return value.len != 0 && value.p[0] != '/' ?
		    "home is not an absolute path" :
		    set_text(&e->home, value, ACCOUNT_PATH_MAX, "home is too long");
	if (is(key, "uid"))
		return set_id(&e->uid, value, "uid is not a number", "uid 0 is refused: mail is never served as root");
	if (is(key, "gid"))
		return set_id(&e->gid, value, "gid is not a number",
		    "gid 0 is refused: mail is never served in root's group");
	if (is(key, "mail"))
		return set_text(&e->mail, value, ACCOUNT_PATH_MAX, "mail is too long");
	if (is(key, "quota"))
		return set_text(&e->quota, value, ACCOUNT_NAME_MAX, "quota is too long");
	if (is(key, "gecos"))
		return set_text(&e->gecos, value, ACCOUNT_PATH_MAX, "gecos is too long");
	if (is(key, "options"))
		return set_text(&e->options, value, ACCOUNT_OPTIONS_MAX, "options is too long");
	if (key.len >= 2 && memcmp(key.p + key.len - 2, "pw", 2) == 0)
		return set_password(e, key, value);
	return NULL; /* other programs' fields */
}

static const char *parse_fields(struct userdb_entry *e, const char *p, const char *end)
{
	while (p < end) {
		const char *bar = memchr(p, '|', (size_t)(end - p)), *stop = bar != NULL ? bar : end;
		const char *eq = memchr(p, '=', (size_t)(stop - p));
		struct userdb_text key = { p, (size_t)((eq != NULL ? eq : stop) - p) };
		struct userdb_text value = { eq != NULL ? eq + 1 : stop, eq != NULL ? (size_t)(stop - eq - 1) : 0 };
		const char *why = set_field(e, key, value);

		if (why != NULL)
			return why;
		p = stop + 1;
	}
	if (e->home.len == 0)
		return "home is missing";
	if (e->uid == 0)
		return "uid is missing";
	if (e->gid == 0)
		return "gid is missing";
	return NULL;
}

static enum userdb_line bad(struct userdb_entry *e, struct userdb_text name, const char **why, const char *text)
{
	memset(e, 0, sizeof(*e));
	e->kind = USERDB_BROKEN;
	if (text_plain(name.p, name.len) == name.len && name.len < ACCOUNT_NAME_MAX)
		e->name = name;
	*why = text;
	return USERDB_LINE_BAD;
}

enum userdb_line userdb_parse(const char *line, size_t len, struct userdb_entry *e, const char **why)
{
	struct userdb_text name;
	const char *tab, *text;

	memset(e, 0, sizeof(*e));
	*why = "";
	if (len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
		line += 3; /* a byte order mark, from an editor of another system */
		len -= 3;
	}
	name = (struct userdb_text){ line, len };
	if (len != 0 && line[len - 1] == '\r')
		name.len = --len; /* from such an editor, too */
	if (is_blank(line, len) || line[0] == '#')
		return USERDB_LINE_SKIP;
	if ((tab = memchr(line, '\t', len)) != NULL) {
		name.len = (size_t)(tab - line);
	} else {
		const char *blank = memchr(line, ' ', len);

		if (blank != NULL)
			name.len = (size_t)(blank - line);
		return bad(e, name, why, "no TAB after the name");
	}
	if (is_reverse_record(name))
		return USERDB_LINE_SKIP;
	if (name.len == 0)
		return bad(e, name, why, "no name before the TAB");
	if (name.len >= ACCOUNT_NAME_MAX)
		return bad(e, name, why, "the name is too long");
	if (text_plain(line, name.len) != name.len ||
	    text_plain(tab + 1, (size_t)(line + len - tab - 1)) != (size_t)(line + len - tab - 1))
		return bad(e, name, why, "it contains a control character");
	if ((text = parse_fields(e, tab + 1, line + len)) != NULL)
		return bad(e, name, why, text);
	e->kind = USERDB_GOOD;
	e->name = name;
	return USERDB_LINE_GOOD;
}
