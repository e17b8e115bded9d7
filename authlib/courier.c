/* The text of queries to Courier's authdaemond and authpipe, and of their answers. */
#include "authlib/courier.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>

#include "authlib/record.h"

/* --- questions --- */

/* PRE splits its words at blanks, without quotes: a leading blank would be lost. */
static bool is_askable(const char *user)
{
	return user[0] != '\0' && user[0] != ' ' && strpbrk(user, "\r\n") == NULL;
}

bool courier_pre(struct str *out, const char *service, const char *user)
{
	if (!is_askable(user))
		return false;
	str_addf(out, "PRE . %s %s\n", service, user);
	return true;
}

bool courier_auth(struct str *out, const char *service, const char *user, const char *password)
{
	if (!is_askable(user) || strpbrk(password, "\r\n") != NULL)
		return false;
	str_addf(out, "AUTH %zu\n%s\nlogin\n%s\n%s\n",
	    strlen(service) + strlen("\nlogin\n") + strlen(user) + 1 + strlen(password) + 1, service, user, password);
	return true;
}

/* --- answers --- */

enum courier_state courier_scan(const char *p, size_t len, size_t *used)
{
	static const char fail[] = "FAIL\n";
	const char *end;

	if (len == 0)
		return COURIER_MORE;
	if (memcmp(p, fail, MIN(len, strlen(fail))) == 0) {
		*used = strlen(fail);
		return len >= *used ? COURIER_REFUSED : COURIER_MORE;
	}
	for (const char *line = p; (end = memchr(line, '\n', len - (size_t)(line - p))) != NULL; line = end + 1) {
		if (end == line + 1 && *line == '.') {
			*used = (size_t)(end + 1 - p);
			return COURIER_ACCOUNT;
		}
		if (memchr(line, '=', (size_t)(end - line)) == NULL)
			return COURIER_NONSENSE;
	}
	return len < COURIER_ANSWER_MAX ? COURIER_MORE : COURIER_NONSENSE;
}

struct value {
	const char *p;
	size_t len;
};

enum key { USERNAME, UID, GID, HOME, ADDRESS, NAME, MAILDIR, QUOTA, PASSWD, PASSWD2, OPTIONS, KEY_COUNT };

static void take_line(struct value v[KEY_COUNT], const char *line, size_t len)
{
	static const char *const names[] = { "USERNAME", "UID", "GID", "HOME", "ADDRESS", "NAME", "MAILDIR", "QUOTA",
		"PASSWD", "PASSWD2", "OPTIONS" };
	const char *eq = memchr(line, '=', len);
	size_t n;

	_Static_assert(ARRAY_LEN(names) == KEY_COUNT, "a name for each key");
	if (eq == NULL)
		return;
	n = (size_t)(eq - line);
	for (unsigned i = 0; i < KEY_COUNT; i++)
		if (strlen(names[i]) == n && memcmp(names[i], line, n) == 0)
			v[i] = (struct value){ eq + 1, len - n - 1 };
}

/* Takes the ids, and if the answer has none the home folder, from the system user. */
static enum auth_result take_user(const struct value *name, struct value *home, struct account *out, struct str *why)
{
	char user[64];
	const struct passwd *pw;

	if (name->len >= sizeof(user) || memchr(name->p, '\0', name->len) != NULL) {
		str_adds(why, "its system user has no valid name");
		return AUTH_BROKEN;
	}
	memcpy(user, name->p, name->len);
	user[name->len] = '\0';
	errno = 0;
	if ((pw = getpwnam(user)) == NULL) {
		bool later = errno != 0 && errno != ENOENT && errno != ESRCH;

		str_addf(why, later ? "cannot look up its system user now: %s" : "its system user does not exist here",
		    strerror(errno));
		return later ? AUTH_TRY_LATER : AUTH_BROKEN;
	}
	out->uid = pw->pw_uid;
	out->gid = pw->pw_gid;
	if (home->len == 0)
		*home = (struct value){ pw->pw_dir, strlen(pw->pw_dir) };
	return AUTH_OK;
}

enum auth_result courier_record(const char *p, size_t len, const char *user, struct account *out, struct str *why)
{
	struct value v[KEY_COUNT] = { { NULL, 0 } };
	enum auth_result r = AUTH_OK;
	const char *end, *comma;

	for (; (end = memchr(p, '\n', len)) != NULL; len -= (size_t)(end + 1 - p), p = end + 1)
		take_line(v, p, (size_t)(end - p));
	if (v[NAME].p != NULL && (comma = memchr(v[NAME].p, ',', v[NAME].len)) != NULL)
		v[NAME].len = (size_t)(comma - v[NAME].p);
	if (v[ADDRESS].len == 0)
		v[ADDRESS] = (struct value){ user, strlen(user) };
	if (v[USERNAME].len != 0)
		r = take_user(&v[USERNAME], &v[HOME], out, why);
	else if (!record_id(v[UID].p, v[UID].len, "uid", &out->uid, why))
		r = AUTH_BROKEN;
	if (r != AUTH_OK)
		return r;
	/* That of the user is there already. */
	if ((v[USERNAME].len == 0 || v[GID].len != 0) && !record_id(v[GID].p, v[GID].len, "gid", &out->gid, why))
		return AUTH_BROKEN;
	if (record_set(&out->name, v[ADDRESS].p, v[ADDRESS].len, ACCOUNT_NAME_MAX, "name", why) &&
	    record_set(&out->home, v[HOME].p, v[HOME].len, ACCOUNT_PATH_MAX, "home folder", why) &&
	    record_set(&out->fullname, v[NAME].p, v[NAME].len, ACCOUNT_PATH_MAX, "full name", why) &&
	    record_set(&out->maildir, v[MAILDIR].p, v[MAILDIR].len, ACCOUNT_PATH_MAX, "maildir", why) &&
	    record_set(&out->quota, v[QUOTA].p, v[QUOTA].len, ACCOUNT_NAME_MAX, "quota", why) &&
	    record_set(&out->hash, v[PASSWD].p, v[PASSWD].len, ACCOUNT_HASH_MAX, "hash", why) &&
	    record_set(&out->clear, v[PASSWD2].p, v[PASSWD2].len, ACCOUNT_PASSWORD_MAX, "clear password", why) &&
	    record_set(&out->options, v[OPTIONS].p, v[OPTIONS].len, ACCOUNT_OPTIONS_MAX, "options", why) &&
	    record_check(out, why))
		return AUTH_OK;
	return AUTH_BROKEN;
}

/* --- lists --- */

bool courier_list_line(const char *p, size_t len, enum auth_result *result, struct account *out, struct str *why)
{
	struct value v[6] = { { NULL, 0 } };

	if (len == 0 || *p == '#')
		return false;
	*result = AUTH_BROKEN;
	for (unsigned i = 0; i < ARRAY_LEN(v); i++) {
		const char *tab = memchr(p, '\t', len);

		v[i] = (struct value){ p, tab != NULL ? (size_t)(tab - p) : len };
		if (tab == NULL)
			break;
		len -= v[i].len + 1;
		p = tab + 1;
	}
	if (v[0].len == 0)
		str_adds(why, "its name is empty");
	else if (record_set(&out->name, v[0].p, v[0].len, ACCOUNT_NAME_MAX, "name", why) &&
	    record_id(v[1].p, v[1].len, "uid", &out->uid, why) && record_id(v[2].p, v[2].len, "gid", &out->gid, why) &&
	    record_set(&out->home, v[3].p, v[3].len, ACCOUNT_PATH_MAX, "home folder", why) &&
	    record_set(&out->maildir, v[4].p, v[4].len, ACCOUNT_PATH_MAX, "maildir", why) &&
	    record_set(&out->options, v[5].p, v[5].len, ACCOUNT_OPTIONS_MAX, "options", why) && record_check(out, why))
		*result = AUTH_OK;
	return true;
}
