#include "authlib/drv_userdb.h"

#include "authlib/userdb.h"

/* One per process, whatever number of chains there is: during a reload the old and the new chain share it. */
static struct userdb *current;

static enum auth_result lookup(void *ctx UNUSED, const char *service, const char *user, struct account *out)
{
	return userdb_lookup(current, service, user, out);
}

const struct auth_driver drv_userdb = {
	.name = "authuserdb",
	.flags = AUTH_DRIVER_INLINE,
	.lookup = lookup,
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
