/* The driver authuserdb: lookups in the mapped image. */
#include "authlib/drv_userdb.h"

#include <string.h>

#include "authlib/userdb.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "settings/settings.h"

struct drv {
	const struct settings *set;
	const struct userdb *image; /* NULL: there is none yet */
};

static bool init(const struct settings *set, void **ctx, struct str *error UNUSED)
{
	struct drv *d = mem_alloc(sizeof(*d));

	d->set = set;
	*ctx = d;
	return true;
}

static void fini(void *ctx)
{
	struct drv *d = ctx;

	mem_free(&d);
}

static void use_image(void *ctx, const struct userdb *db)
{
	struct drv *d = ctx;

	d->image = db;
}

static enum auth_result lookup(void *ctx, const struct auth_question *q, struct account *out)
{
	const struct drv *d = ctx;

	return userdb_lookup(d->image, q->service, q->user, out);
}

static const char *origin(void *ctx, const char *name, char *dst, size_t size)
{
	const struct drv *d = ctx;

	return userdb_origin(d->image, name, dst, size);
}

/* Skipped lines are logged as warnings; those of accounts are reported to the reader of the list, too. */
static struct userdb *read_file(const char *path, struct str *why)
{
	struct userdb_report rep;
	struct userdb *db = NULL;
	const char *reason = NULL;
	int fd, tries = 0;

	userdb_report_init(&rep);
	while (userdb_build(path, NULL, 100, &rep, &fd) == USERDB_CHANGED && ++tries < 10) {
		userdb_report_fini(&rep);
		userdb_report_init(&rep);
	}
	if (rep.status == USERDB_BUILT)
		db = userdb_open_fd(fd, &reason);
	for (const char *p = str_cstr(&rep.text); *p != '\0'; p += strcspn(p, "\n"), p += *p == '\n')
		log_warn("userdb: %.*s", (int)strcspn(p, "\n"), p);
	if (db == NULL)
		str_addf(why, "cannot read %s: %s", path, reason != NULL ? reason : userdb_status_name(rep.status));
	userdb_report_fini(&rep);
	return db;
}

/* Of the file as it is now. */
static bool enumerate(void *ctx, auth_account_fn *fn, void *arg, struct str *why)
{
	const struct drv *d = ctx;
	struct userdb *db = read_file(d->set->authuserdb_USERDB, why);
	bool all = db != NULL && userdb_each(db, fn, arg, why);

	userdb_close(&db);
	return all;
}

const struct auth_driver drv_userdb = {
	.name = "authuserdb",
	.flags = AUTH_DRIVER_INLINE,
	.init = init,
	.fini = fini,
	.lookup = lookup,
	.enumerate = enumerate,
	.use_image = use_image,
	.origin = origin,
};
