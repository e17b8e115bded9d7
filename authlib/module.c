/* Loading the driver modules. */
#include "authlib/module.h"

#include <dlfcn.h>
#include <string.h>

#include "lib/install_dirs.h"
#include "lib/mem.h"

const void *auth_module_symbol(const char *name, const char *symbol, struct str *why)
{
	char *path = mem_printf("%s/%s.so", WP_LIBEXECDIR, name);
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const void *const *what = module != NULL ? dlsym(module, symbol) : NULL;
	const char *version = module != NULL ? dlsym(module, "waypost_auth_version") : NULL;

	if (module == NULL)
		str_addf(why, "cannot load the module: %s", dlerror());
	else if (what == NULL || version == NULL)
		str_addf(why, "%s is not a module of Waypost; reinstall it", path);
	else if (strcmp(version, PACKAGE_VERSION) != 0)
		str_addf(why, "%s is of version %.32s, the daemon of %s; restart the daemon after an upgrade", path,
		    version, PACKAGE_VERSION);
	mem_free(&path);
	return why->len == 0 ? *what : NULL;
}

const struct auth_driver *auth_module_load(const char *name, struct str *why)
{
	const struct auth_driver *driver = auth_module_symbol(name, "waypost_auth_driver", why);

	if (driver != NULL && strcmp(driver->name, name) != 0) {
		str_addf(why, "%s.so has another driver; reinstall it", name);
		driver = NULL;
	}
	return driver;
}
