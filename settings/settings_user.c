/* LOGIN_USER and AUTH_USER: the system users that roles become. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "settings/settings.h"

bool settings_user_fit(const char *setting, const char *name, char *err, size_t errsize)
{
	const struct passwd *pw;

	errno = 0;
	if ((pw = getpwnam(name)) == NULL) {
		snprintf(err, errsize,
		    "%s: there is no user \"%s\"%s%s; create it (systemd-sysusers, or: useradd --system %s)", setting,
		    name, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "", name);
		return false;
	}
	if (pw->pw_uid == 0 || pw->pw_gid == 0) {
		snprintf(err, errsize, "%s: \"%s\" is root or has root's group; use an ordinary system user", setting,
		    name);
		return false;
	}
	return true;
}
