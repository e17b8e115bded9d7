/* Makes LDAP filters from a name, and reads entries as records. */
#include "authlib/ldapquery.h"

#include <string.h>

#include "authlib/record.h"
#include "lib/hex.h"
#include "lib/mem.h"
#include "lib/text.h"

/* Appends the LEN bytes at TEXT as a value in a filter (RFC 4515 section 3): only letters, digits and a few harmless
 * characters are not escaped. */
static void ldapquery_escape(struct str *out, const char *text, size_t len)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@._-+ ";

	for (size_t i = 0; i < len; i++) {
		if (text[i] != '\0' && strchr(plain, text[i]) != NULL) {
			str_addc(out, text[i]);
		} else {
			str_addc(out, '\\');
			hex_encode(out, text + i, 1);
		}
	}
}

static void add_filter(struct str *out, const char *filter)
{
	bool bare = filter[0] != '(';

	str_addf(out, "%s%s%s", bare ? "(" : "", filter, bare ? ")" : "");
}

/* (ATTR=VALUE+MORE), and what else must be true. */
static void add_equal(struct str *out, const struct ldap_fields *f, const char *attr, const char *value, size_t len,
    const char *more)
{
	if (f->filter[0] != '\0') {
		str_adds(out, "(&");
		add_filter(out, f->filter);
	}
	str_addf(out, "(%s=", attr);
	ldapquery_escape(out, value, len);
	if (more[0] != '\0') {
		str_addc(out, '@');
		ldapquery_escape(out, more, strlen(more));
	}
	str_adds(out, f->filter[0] != '\0' ? "))" : ")");
}

void ldapquery_filter(struct str *out, const struct ldap_fields *f, const char *user)
{
	add_equal(out, f, f->mail, user, strlen(user), strchr(user, '@') == NULL ? f->domain : "");
}

bool ldapquery_is_mapped(const struct ldap_fields *f, const char *user)
{
	return f->emailmap[0] != '\0' && strchr(user, '@') != NULL;
}

void ldapquery_map_filter(struct str *out, const struct ldap_fields *f, const char *user)
{
	const char *at = strchr(user, '@'), *p = f->emailmap;
	bool bare = *p != '(';

	if (bare)
		str_addc(out, '(');
	while (*p != '\0') {
		if (strncmp(p, "@user@", 6) == 0) {
			ldapquery_escape(out, user, (size_t)(at - user));
			p += 6;
		} else if (strncmp(p, "@realm@", 7) == 0) {
			ldapquery_escape(out, at + 1, strlen(at + 1));
			p += 7;
		} else {
			str_addc(out, *p++);
		}
	}
	if (bare)
		str_addc(out, ')');
}

void ldapquery_mapped_filter(struct str *out, const struct ldap_fields *f, const char *value, size_t len)
{
	add_equal(out, f, f->emailmap_mail[0] != '\0' ? f->emailmap_mail : f->mail, value, len, "");
}

void ldapquery_list_filter(struct str *out, const struct ldap_fields *f, const char *filter)
{
	if (filter[0] != '\0') {
		add_filter(out, filter);
		return;
	}
	if (f->filter[0] != '\0') {
		str_adds(out, "(&");
		add_filter(out, f->filter);
	}
	str_addf(out, "(%s=*)%s", f->mail, f->filter[0] != '\0' ? ")" : "");
}

/* --- attributes --- */

/* The next "attr=option" at *P; malformed ones are skipped. */
static bool next_option(const char **p, const char **attr, size_t *attr_len, const char **option, size_t *option_len)
{
	while (**p != '\0') {
		const char *start = *p, *end = start + strcspn(start, ","),
		           *eq = memchr(start, '=', (size_t)(end - start));

		*p = *end == ',' ? end + 1 : end;
		if (eq == NULL || eq == start || eq + 1 == end)
			continue;
		*attr = start;
		*attr_len = (size_t)(eq - start);
		*option = eq + 1;
		*option_len = (size_t)(end - eq - 1);
		return true;
	}
	return false;
}

static void add_attr(char **attr, unsigned *n, const char *name, size_t len)
{
	if (len == 0 || *n == LDAP_ATTRS_MAX)
		return;
	for (unsigned i = 0; i < *n; i++)
		if (text_is_word(name, len, attr[i]))
			return;
	attr[(*n)++] = mem_memdup(name, len);
	attr[*n] = NULL;
}

unsigned ldapquery_attrs(const struct ldap_fields *f, char *attr[LDAP_ATTRS_MAX + 1])
{
	const char *names[] = { f->homedir, f->maildir, f->delivery, f->quota, f->fullname, f->clearpw, f->cryptpw,
		f->uid, f->gid };
	const char *p = f->auxoptions, *name, *option;
	size_t len, option_len;
	unsigned n = 0;

	attr[0] = NULL;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		add_attr(attr, &n, names[i], strlen(names[i]));
	while (next_option(&p, &name, &len, &option, &option_len))
		add_attr(attr, &n, name, len);
	return n;
}

/* --- the record --- */

struct entry {
	const struct ldap_fields *f;
	ldap_value_fn *value;
	void *arg;
	struct str *why;
};

/* The value of ATTR ("": none), which may be missing. */
static bool get(const struct entry *e, const char *attr, const char **p, size_t *len)
{
	*p = NULL;
	*len = 0;
	return attr[0] != '\0' && e->value(e->arg, attr, p, len) && *len != 0;
}

static bool set(const struct entry *e, char **member, const char *attr, size_t max)
{
	const char *p;
	size_t len;

	get(e, attr, &p, &len);
	return record_set(member, p, len, max, attr, e->why);
}

static bool set_home(const struct entry *e, struct account *out)
{
	struct str home = STR_INIT;
	const char *p;
	size_t len;
	bool good;

	get(e, e->f->homedir, &p, &len);
	if (e->f->mailroot[0] != '\0')
		str_addf(&home, "%s/", e->f->mailroot);
	str_add(&home, len != 0 ? p : "", len);
	good = record_set(&out->home, home.data, home.len, ACCOUNT_PATH_MAX, e->f->homedir, e->why);
	str_fini(&home);
	return good;
}

static bool set_id(const struct entry *e, const char *attr, uint32_t glob, uint32_t *out)
{
	const char *p;
	size_t len;

	*out = glob;
	return !get(e, attr, &p, &len) ? true : record_id(p, len, attr, out, e->why);
}

/* If there is a clear password, only that counts. */
static bool set_passwords(const struct entry *e, struct account *out)
{
	const char *p;
	size_t len;

	if (get(e, e->f->clearpw, &p, &len))
		return record_set(&out->clear, p, len, ACCOUNT_PASSWORD_MAX, e->f->clearpw, e->why);
	get(e, e->f->cryptpw, &p, &len);
	return record_set(&out->hash, p, len, ACCOUNT_HASH_MAX, e->f->cryptpw, e->why);
}

static bool set_options(const struct entry *e, struct account *out)
{
	const char *list = e->f->auxoptions, *attr, *option, *p;
	size_t attr_len, option_len, len;
	struct str all = STR_INIT;
	bool good = true;

	while (good && next_option(&list, &attr, &attr_len, &option, &option_len)) {
		char *name = mem_memdup(attr, attr_len);

		if (get(e, name, &p, &len)) {
			if (memchr(p, ',', len) != NULL) {
				str_addf(e->why, "its %s contains a comma, which would end the option", name);
				good = false;
			}
			str_addf(&all, "%s%.*s=", all.len != 0 ? "," : "", (int)option_len, option);
			str_add(&all, p, len);
		}
		mem_free(&name);
	}
	good = good && record_set(&out->options, all.data, all.len, ACCOUNT_OPTIONS_MAX, "options", e->why);
	str_fini(&all);
	return good;
}

enum auth_result ldapquery_record(const struct ldap_fields *f, ldap_value_fn *value, void *arg, const char *service,
    const char *user, struct account *out, struct str *why)
{
	struct entry e = { f, value, arg, why };
	const char *delivery = strcmp(service, "courier") == 0 && f->delivery[0] != '\0' ? f->delivery : f->maildir, *p;
	size_t len;

	if (!get(&e, f->homedir, &p, &len))
		return AUTH_UNKNOWN;
	account_set(&out->name, user);
	if (set_home(&e, out) && set_id(&e, f->uid, f->glob_uid, &out->uid) &&
	    set_id(&e, f->gid, f->glob_gid, &out->gid) && set(&e, &out->maildir, delivery, ACCOUNT_PATH_MAX) &&
	    set(&e, &out->quota, f->quota, ACCOUNT_NAME_MAX) &&
	    set(&e, &out->fullname, f->fullname, ACCOUNT_PATH_MAX) && set_passwords(&e, out) && set_options(&e, out) &&
	    record_check(out, why))
		return AUTH_OK;
	return AUTH_BROKEN;
}
