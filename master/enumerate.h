/* `waypost auth --enumerate`: all accounts of all drivers, a line each; `waypost check --ask`: do the directories
 * answer? Needs no daemon: the tool asks the directories itself, with the daemon's settings and as the daemon's
 * AUTH_USER. */
#ifndef MASTER_ENUMERATE_H
#define MASTER_ENUMERATE_H

#include "lib/base.h"

struct enumerate_options {
	bool shared_only;  /* leave out accounts with the option disableshared */
	bool with_options; /* one more column: the account's options */
	bool with_driver;  /* and one more, the last: the driver that knows the account */
};

/* Reads FILE and writes the list to stdout:
 *
 *     name TAB uid TAB gid TAB home TAB maildir [TAB options] [TAB driver] LF
 *
 * A name that several drivers know is listed once, for the first of them in authmodulelist, whose answer counts at a
 * login. No field has a control character: accounts with one are left out. Returns the tool's exit status: 0 if the
 * list is complete, 1 if not, with every reason on stderr. If root called it, the process runs as AUTH_USER
 * afterwards. */
int enumerate_accounts(const char *file, const struct enumerate_options *options);

/* Queries each directory of FILE's authmodulelist except the userdb, in turn, for an account that does not exist: it
 * answers only if server, password, table and columns are right. No other server is contacted. Each has a minute, and
 * is queried by a process of its own, as AUTH_USER if this one is root. "authmysql answers" goes to stdout, errors to
 * stderr. Returns 0 if all answered, 1 otherwise. */
int enumerate_ask(const char *file);

#endif
