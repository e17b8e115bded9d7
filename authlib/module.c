#include "authlib/module.h"

#include <dlfcn.h>
#include <string.h>

#include "lib/mem.h"

const struct auth_driver *auth_module_load(const char *name, struct str *why)
{
	char *path = mem_printf("%s/%s.so", WP_LIBEXECDIR, name);
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct auth_driver *const *driver = module != NULL ? dlsym(module, "waypost_auth_driver") : NULL;
	const char *version = module != NULL ? dlsym(module, "waypost_auth_version") : NULL;

	if (module == NULL)
		str_addf(why, "the module cannot be loaded: %s", dlerror());
	else if (driver == NULL || version == NULL || strcmp((*driver)->name, name) != 0)
		str_addf(why, "%s is no module of Waypost's; install it again", path);
	else if (strcmp(version, PACKAGE_VERSION) != 0)
		str_addf(why, "%s is of version %.32s, the daemon of %s; restart the daemon after an upgrade", path, version, PACKAGE_VERSION);
	mem_free(&path);
	if (why->len != 0)
		return NULL;
	return *driver;
}
