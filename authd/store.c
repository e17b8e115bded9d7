#include "authd/store.h"

#include "authlib/module.h"

const struct store_ops *store_load(struct str *why)
{
	return auth_module_symbol("memcached", "waypost_store", why);
}
