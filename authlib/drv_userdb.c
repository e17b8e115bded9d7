/* The driver authuserdb: a look-up in the image that is mapped here. */
#include "authlib/drv_userdb.h"

#include <string.h>

#include "authlib/userdb.h"
#include "lib/log.h"
#include "settings/settings.h"

/* One per process, whatever number of chains there is: during a reload the old and the new chain share it. */
static struct userdb *current;

static bool init(const struct settings *set, void **ctx, struct str *error UNUSED)
{
	*ctx = (void *)(uintptr_t)set;
	return true;
}

static enum auth_result lookup(void *ctx UNUSED, const char *service, const char *user, struct account *out)
{
	return userdb_lookup(current, service, user, out);
}

/* Lines that were left out are said as warnings; those of accounts are told to the reader of the list, too. */
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
		str_addf(why, "%s cannot be read: %s", path, reason != NULL ? reason : userdb_status_name(rep.status));
	userdb_report_fini(&rep);
	return db;
}

/* Of the file as it is now. */
static bool enumerate(void *ctx, auth_account_fn *fn, void *arg, struct str *why)
{
	const struct settings *set = ctx;
	struct userdb *db = read_file(set->authuserdb_USERDB, why);
	bool all = db != NULL && userdb_each(db, fn, arg, why);

	userdb_close(&db);
	return all;
}

const struct auth_driver drv_userdb = {
	.name = "authuserdb",
	.flags = AUTH_DRIVER_INLINE,
	.init = init,
	.lookup = lookup,
	.enumerate = enumerate,
};

void drv_userdb_use(struct userdb *db)
{
	userdb_close(&current);
	current = db;
}

const struct userdb *drv_userdb_current(void)
{
	return current;
}
