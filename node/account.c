/* Account records: memory, copies, message fields, option lists. */
#include "node/account.h"

#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "settings/settings.h"

_Static_assert((int)SETTINGS_MASTER_USER_MAX <= (int)ACCOUNT_NAME_MAX &&
        (int)SETTINGS_MASTER_PASSWORD_MAX <= (int)ACCOUNT_PASSWORD_MAX,
    "the pool's master user travels as an account does");

/* All empty members of all records point here: most records have only a few texts. It is never written to or freed. */
static char empty[1];

static void release(char **member)
{
	if (*member != empty)
		mem_free_secret(member);
	*member = NULL;
}

void account_init(struct account *a)
{
	*a = (struct account){
		.name = empty,
		.home = empty,
		.maildir = empty,
		.quota = empty,
		.fullname = empty,
		.options = empty,
		.hash = empty,
		.clear = empty,
		.hmac = empty,
	};
}

void account_fini(struct account *a)
{
	release(&a->name);
	release(&a->home);
	release(&a->maildir);
	release(&a->quota);
	release(&a->fullname);
	release(&a->options);
	release(&a->hash);
	release(&a->clear);
	release(&a->hmac);
}

void account_copy(struct account *to, const struct account *from)
{
	account_init(to);
	account_set(&to->name, from->name);
	account_set(&to->home, from->home);
	account_set(&to->maildir, from->maildir);
	account_set(&to->quota, from->quota);
	account_set(&to->fullname, from->fullname);
	account_set(&to->options, from->options);
	account_set(&to->hash, from->hash);
	account_set(&to->clear, from->clear);
	account_set(&to->hmac, from->hmac);
	to->uid = from->uid;
	to->gid = from->gid;
}

void account_set(char **member, const char *value)
{
	account_set_bytes(member, value, value != NULL ? strlen(value) : 0);
}

void account_set_bytes(char **member, const void *p, size_t len)
{
	char *copy = len != 0 ? mem_memdup(p, len) : empty;

	release(member);
	*member = copy;
}

void account_write(struct msgw *w, const struct account *a, bool secrets)
{
	msgw_str(w, a->name);
	msgw_str(w, a->home);
	msgw_str(w, a->maildir);
	msgw_str(w, a->quota);
	msgw_str(w, a->fullname);
	msgw_str(w, a->options);
	msgw_str(w, secrets ? a->hash : "");
	msgw_str(w, secrets ? a->clear : "");
	msgw_str(w, secrets ? a->hmac : "");
	msgw_u32(w, a->uid);
	msgw_u32(w, a->gid);
}

void account_read(struct msgr *r, struct account *a)
{
	a->name = msgr_strdup(r, ACCOUNT_NAME_MAX - 1);
	a->home = msgr_strdup(r, ACCOUNT_PATH_MAX - 1);
	a->maildir = msgr_strdup(r, ACCOUNT_PATH_MAX - 1);
	a->quota = msgr_strdup(r, ACCOUNT_NAME_MAX);
	a->fullname = msgr_strdup(r, ACCOUNT_PATH_MAX);
	a->options = msgr_strdup(r, ACCOUNT_OPTIONS_MAX - 1);
	a->hash = msgr_strdup(r, ACCOUNT_HASH_MAX - 1);
	a->clear = msgr_strdup(r, ACCOUNT_PASSWORD_MAX - 1);
	a->hmac = msgr_strdup(r, ACCOUNT_HMAC_MAX - 1);
	a->uid = msgr_u32(r);
	a->gid = msgr_u32(r);
}

/* The next option at *P: its name and value, as pointers into the list. */
static bool next_option(const char **p, const char **name, size_t *name_len, const char **value, size_t *value_len)
{
	const char *end, *eq;

	while (**p == ',')
		(*p)++;
	if (**p == '\0')
		return false;
	end = *p + strcspn(*p, ",");
	eq = memchr(*p, '=', (size_t)(end - *p));
	*name = *p;
	*name_len = (size_t)((eq != NULL ? eq : end) - *p);
	*value = eq != NULL ? eq + 1 : end;
	*value_len = (size_t)(end - *value);
	*p = end;
	return true;
}

void account_default_options(char **options, const char *defaults)
{
	struct str merged = STR_INIT;
	const char *n, *v, *all = defaults;
	size_t nlen, vlen;
	char name[128];

	if (defaults[0] == '\0')
		return;
	str_adds(&merged, *options);
	while (next_option(&all, &n, &nlen, &v, &vlen)) {
		if (nlen == 0 || nlen >= sizeof(name))
			continue;
		memcpy(name, n, nlen);
		name[nlen] = '\0';
		if (options_get(merged.data, name, NULL, 0))
			continue;
		if (merged.len != 0)
			str_addc(&merged, ',');
		str_add(&merged, n, (size_t)(v + vlen - n));
	}
	release(options);
	*options = str_steal(&merged);
}
