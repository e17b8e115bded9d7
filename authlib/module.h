/* Drivers that need a library of their own (LDAP, MySQL, PostgreSQL) are modules, files "authldap.so", ... in the
 * program's libexec folder: only auth workers load them, so that no other process of a node carries these libraries,
 * and an operator can omit what a site does not need. */
#ifndef AUTHLIB_MODULE_H
#define AUTHLIB_MODULE_H

#include "authlib/auth.h"

/* At the end of a driver's file: makes it a module. */
#define AUTH_MODULE(driver) \
	const struct auth_driver *const waypost_auth_driver = &(driver); \
	AUTH_MODULE_VERSION
/* For modules that are not drivers. */
#define AUTH_MODULE_VERSION \
	extern const char waypost_auth_version[]; \
	const char waypost_auth_version[] = PACKAGE_VERSION

/* Loads the module of driver NAME, for as long as the process lives. NULL, and what is wrong and what to do in WHY, if
 * the file is not there, cannot be loaded, or belongs to another version. */
const struct auth_driver *auth_module_load(const char *name, struct str *why);
/* The same for any module: returns what its pointer SYMBOL points to. */
const void *auth_module_symbol(const char *name, const char *symbol, struct str *why);

#endif
