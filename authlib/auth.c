/* The table of drivers, the walk along the chain, and the check of a password. */
#include "authlib/auth.h"

#include <string.h>

#include "authlib/drv_authdaemon.h"
#include "authlib/drv_authpipe.h"
#include "authlib/drv_userdb.h"
#include "authlib/module.h"
#include "authlib/password.h"
#include "authlib/record.h"
#include "authlib/userdb.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"

/* Modules are listed by name only: their functions are known once they are loaded. */
static const struct auth_driver drv_ldap_module UNUSED = { .name = "authldap" };
static const struct auth_driver drv_mysql_module UNUSED = { .name = "authmysql" };
static const struct auth_driver drv_pgsql_module UNUSED = { .name = "authpgsql" };
static const struct auth_driver drv_sqlite_module UNUSED = { .name = "authsqlite" };
static const struct auth_driver drv_pam_module UNUSED = { .name = "authpam",
	.flags = AUTH_DRIVER_CLIENT | AUTH_DRIVER_CHECKS };

static const struct auth_driver *const drivers[] = { &drv_userdb, &drv_authdaemon, &drv_authpipe,
#ifdef WITH_LDAP
	&drv_ldap_module,
#endif
#ifdef WITH_MYSQL
	&drv_mysql_module,
#endif
#ifdef WITH_PGSQL
	&drv_pgsql_module,
#endif
#ifdef WITH_SQLITE
	&drv_sqlite_module,
#endif
#ifdef WITH_PAM
	&drv_pam_module,
#endif
	NULL };

struct link {
	const char *name;
	const struct auth_driver *driver;
	void *ctx;
	bool ready; /* init() succeeded here: the driver belongs to this side */
};

struct auth_chain {
	unsigned count;
	unsigned avoid; /* a bit for each position */
	struct link links[AUTH_CHAIN_MAX];
	const struct userdb *image;
	char dummy[ACCOUNT_HASH_MAX]; /* as slow as the last slow hash checked here, but of no account; "": none yet */
};

const struct auth_driver *auth_driver_find(const char *name)
{
	for (unsigned i = 0; drivers[i] != NULL; i++)
		if (strcmp(drivers[i]->name, name) == 0)
			return drivers[i];
	return NULL;
}

enum auth_result auth_check(const struct account *a, const char *password)
{
	if (a->hash[0] == '\0' && a->clear[0] != '\0')
		return mem_equal_secret(a->clear, strlen(a->clear), password, strlen(password)) ? AUTH_OK :
		                                                                                  AUTH_MISMATCH;
	return password_check(a->hash, password);
}

bool auth_clear_password(const struct account *a, char dst[ACCOUNT_PASSWORD_MAX])
{
	if (a->clear[0] == '\0')
		return password_clear(a->hash, dst);
	if (strlen(a->clear) >= ACCOUNT_PASSWORD_MAX)
		return false;
	str_copy(dst, ACCOUNT_PASSWORD_MAX, a->clear);
	return true;
}

static bool on_side(const struct auth_driver *d, enum auth_side side)
{
	bool is_inline = (d->flags & AUTH_DRIVER_INLINE) != 0;

	return side == AUTH_SIDE_TOOL || is_inline == (side == AUTH_SIDE_LOOP);
}

static void list_drivers(struct str *out)
{
	for (unsigned i = 0; drivers[i] != NULL; i++)
		str_addf(out, "%s%s", i != 0 ? " " : "", drivers[i]->name);
}

static bool add_link(struct auth_chain *c, const char *name, enum auth_side side, const struct settings *set,
    struct str *errors)
{
	const struct auth_driver *d = auth_driver_find(name);
	struct link *l = &c->links[c->count];
	struct str why = STR_INIT;

	if (d == NULL) {
		str_addf(errors, "authmodulelist: unknown module %.64s; use: ", name);
		list_drivers(errors);
		str_addc(errors, '\n');
		return false;
	}
	for (unsigned i = 0; i < c->count; i++) {
		if (strcmp(c->links[i].name, name) == 0) {
			str_addf(errors, "authmodulelist: %s is listed twice; remove one\n", name);
			return false;
		}
	}
	if (c->count == AUTH_CHAIN_MAX) {
		str_addf(errors, "authmodulelist: more than %d modules\n", AUTH_CHAIN_MAX);
		return false;
	}
	l->driver = d;
	l->name = d->name;
	if (on_side(d, side)) {
		if (d->lookup == NULL && (l->driver = d = auth_module_load(name, &why)) == NULL) {
			str_addf(errors, "%s: %s\n", name, str_cstr(&why));
			str_fini(&why);
			return false;
		}
		if (d->init != NULL && !d->init(set, &l->ctx, &why)) {
			str_addf(errors, "%s: %s\n", name, str_cstr(&why));
			str_fini(&why);
			return false;
		}
		l->ready = true;
	}
	c->count++;
	return true;
}

static const char blanks[] = " \t,";

bool auth_modules_have(const char *modules, const char *driver)
{
	for (const char *p = modules + strspn(modules, blanks); *p != '\0'; p += strspn(p, blanks)) {
		size_t len = strcspn(p, blanks);

		if (len == strlen(driver) && memcmp(p, driver, len) == 0)
			return true;
		p += len;
	}
	return false;
}

struct auth_chain *auth_chain_new(const char *modules, enum auth_side side, const struct settings *set,
    struct str *errors)
{
	struct auth_chain *c = mem_alloc(sizeof(*c));
	bool good = true;

	for (const char *p = modules + strspn(modules, blanks); *p != '\0';) {
		size_t len = strcspn(p, blanks);
		char *name = mem_memdup(p, len);

		good = add_link(c, name, side, set, errors) && good;
		mem_free(&name);
		p += len;
		p += strspn(p, blanks);
	}
	if (good && c->count == 0) {
		str_adds(errors,
		    "authmodulelist is empty: set it to the modules that have the accounts, such as authuserdb\n");
		good = false;
	}
	if (!good)
		auth_chain_free(&c);
	return c;
}

void auth_chain_free(struct auth_chain **cp)
{
	struct auth_chain *c = *cp;

	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->count; i++)
		if (c->links[i].ready && c->links[i].driver->fini != NULL)
			c->links[i].driver->fini(c->links[i].ctx);
	mem_free(cp);
}

bool auth_chain_uses_client(const struct auth_chain *c)
{
	for (unsigned i = 0; i < c->count; i++)
		if ((auth_driver_find(c->links[i].name)->flags & AUTH_DRIVER_CLIENT) != 0)
			return true;
	return false;
}

const char *auth_chain_name(const struct auth_chain *c, unsigned pos)
{
	return pos < c->count ? c->links[pos].driver->name : "";
}

bool auth_chain_checks(const struct auth_chain *c, unsigned pos)
{
	return pos < c->count && (c->links[pos].driver->flags & AUTH_DRIVER_CHECKS) != 0;
}

bool auth_chain_uses_image(const struct auth_chain *c)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->links[i].ready && c->links[i].driver->use_image != NULL)
			return true;
	return false;
}

void auth_chain_use_image(struct auth_chain *c, const struct userdb *db)
{
	c->image = db;
	for (unsigned i = 0; i < c->count; i++)
		if (c->links[i].ready && c->links[i].driver->use_image != NULL)
			c->links[i].driver->use_image(c->links[i].ctx, db);
}

const char *auth_chain_origin(const struct auth_chain *c, unsigned pos, const char *name, char *dst, size_t size)
{
	const struct link *l = &c->links[pos];

	if (pos < c->count && l->ready && l->driver->origin != NULL)
		return l->driver->origin(l->ctx, name, dst, size);
	dst[0] = '\0';
	return dst;
}

const char *auth_chain_dummy_hash(const struct auth_chain *c)
{
	return userdb_dummy_hash(c->image);
}

/* Remembers what checking a password costs with the hashes of this directory. */
static void learn(struct auth_chain *c, const char *hash)
{
	if (!password_is_slow(hash) ||
	    (c->dummy[0] != '\0' && password_class(hash) == password_class(c->dummy) &&
	        strncmp(hash, c->dummy, password_class(hash)) == 0))
		return;
	password_dummy(c->dummy, hash);
}

static enum auth_result ask(struct auth_chain *c, const struct link *l, const struct auth_question *q,
    struct account *out)
{
	enum auth_result r;

	if (q->password != NULL && l->driver->verify != NULL) {
		r = l->driver->verify(l->ctx, q, out);
		learn(c, out->hash);
		return r;
	}
	r = l->driver->lookup(l->ctx, q, out);
	if (r == AUTH_OK && q->password != NULL) {
		learn(c, out->hash);
		r = auth_check(out, q->password);
	}
	return r;
}

void auth_chain_avoid(struct auth_chain *c, unsigned positions)
{
	c->avoid = positions;
}

/* A final check for all drivers: no text of an account may end a line to a peer or in a log. */
static enum auth_result judge(const struct link *l, const char *user, enum auth_result r, struct account *out)
{
	char name[ACCOUNT_NAME_MAX];
	struct str why = STR_INIT;

	if (!record_is_plain(out, &why)) {
		log_error("%s: the record of %s cannot be used: %s", l->name, log_clean(name, sizeof(name), user),
		    str_cstr(&why));
		account_fini(out);
		account_init(out);
		r = AUTH_BROKEN;
	}
	str_fini(&why);
	return r;
}

static bool walk(struct auth_chain *c, unsigned *pos, const struct auth_question *q, enum auth_result *result,
    struct account *out)
{
	*result = AUTH_UNKNOWN;
	for (; *pos < c->count; (*pos)++) {
		const struct link *l = &c->links[*pos];

		if (!l->ready)
			return false;
		*result = (c->avoid & 1U << *pos) != 0 ? AUTH_TRY_LATER : judge(l, q->user, ask(c, l, q, out), out);
		if (*result != AUTH_UNKNOWN)
			return true;
	}
	return true;
}

bool auth_chain_ask(struct auth_chain *c, unsigned *pos, const struct auth_question *q, enum auth_result *result,
    struct account *out)
{
	if (!walk(c, pos, q, result, out))
		return false;
	/* The time must not reveal that the account does not exist. */
	if (q->password != NULL && (*result == AUTH_UNKNOWN || *result == AUTH_DISABLED) && c->dummy[0] != '\0')
		password_check(c->dummy, q->password);
	return true;
}

bool auth_chain_enumerate(struct auth_chain *c, unsigned pos, auth_account_fn *fn, void *arg, struct str *why)
{
	const struct link *l = &c->links[pos];

	DIE_IF(pos >= c->count || !l->ready);
	if (l->driver->enumerate == NULL) {
		str_adds(why, "it cannot list its accounts");
		return false;
	}
	return l->driver->enumerate(l->ctx, fn, arg, why);
}
