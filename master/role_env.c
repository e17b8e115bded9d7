/* The list of what a role's environment keeps. */
#include "master/role_env.h"

#include <string.h>
#include <unistd.h>

#include "lib/mem.h"

static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* A name that ends in '*' stands for all that begin with the rest. None of them is meant to hold a secret. */
static const char *const for_all[] = { "LANG", "LANGUAGE", "LC_*", "TZ", "TZDIR", "LD_LIBRARY_PATH", "LD_PRELOAD",
	"GLIBC_TUNABLES", "MALLOC_*", "OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES",
#ifdef WITH_SANITIZERS
	"ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "ASAN_SYMBOLIZER_PATH", "LLVM_PROFILE_FILE",
#endif
#ifdef WITH_RACE_POINTS
	"WAYPOST_RACE",
#endif
	NULL };

/* For the libraries of directories, PAM's modules and the resolver. */
static const char *const for_auth[] = { "RES_OPTIONS", "LOCALDOMAIN", "HOSTALIASES", "LDAPCONF", "LDAPRC", "LDAPNOINIT",
	"LDAPTLS_*", "SSL_CERT_FILE", "SSL_CERT_DIR", "PGSYSCONFDIR", "PGSERVICEFILE", "PGSSLROOTCERT", "PGSSLCERT",
	"PGSSLKEY", "PGSSLMODE", "KRB5_CONFIG", "KRB5CCNAME", "KRB5_KTNAME", "KRB5_CLIENT_KTNAME", NULL };

/* HOME (where libpq looks for certificates) is kept only if the auth roles run as the user who started the daemon; else
 * the libraries find the home of AUTH_USER by themselves. */
static const char *const for_auth_as_same_user[] = { "HOME", NULL };

/* VARIABLE is "NAME=VALUE". */
static bool is_named(const char *variable, const char *const *names)
{
	size_t len = strcspn(variable, "=");

	for (; *names != NULL; names++) {
		size_t n = strcspn(*names, "*");

		if (strncmp(variable, *names, n) == 0 && ((*names)[n] == '*' ? len > n : len == n))
			return true;
	}
	return false;
}

char **role_env(enum role role)
{
	bool auth = role == ROLE_AUTHD || role == ROLE_AUTHWORKER;
	bool same_user = geteuid() != 0;
	size_t most = 0, n = 0;
	char **env;

	while (environ != NULL && environ[most] != NULL)
		most++;
	env = mem_alloc((most + 2) * sizeof(*env));
	env[n++] = path;
	for (size_t i = 0; i < most; i++)
		if (is_named(environ[i], for_all) || (auth && is_named(environ[i], for_auth)) ||
		    (auth && same_user && is_named(environ[i], for_auth_as_same_user)))
			env[n++] = environ[i];
	return env;
}
