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
 * A name that several drivers know is listed once, for the driver that comes first in authmodulelist: that one's answer
 * counts at a login. No field holds a control character: an account of which that cannot be said is left out.
 * Returns the tool's exit status: 0, the list is complete; 1, it is not, with every reason on stderr. Started as
 * root the process is AUTH_USER afterwards. */
int enumerate_accounts(const char *file, const struct enumerate_options *options);

/* Asks each directory of FILE's authmodulelist but the userdb, in turn, for an account that nobody has: the server,
 * the password for it, the table and its columns must be right for an answer. Nothing is sent to anybody else. Each
 * has a minute, and is asked by a process of its own, which is AUTH_USER if this one is root. "authmysql answers"
 * goes to stdout; what is wrong to stderr. Returns 0 if all answered, 1 otherwise. */
int enumerate_ask(const char *file);

#endif
