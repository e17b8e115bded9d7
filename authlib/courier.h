/* The protocol of queries to Courier's authdaemond and to programs of its authpipe module, and of their answers;
 * without the connection. As observed with courier-authlib 0.71 (Debian 12).
 *
 *   PRE . imap jo@example.com        the record of an account            NAME=value lines and a line "."; or FAIL
 *   AUTH 35, then so many bytes:     the same if the password is right   the same
 *     imap, login, name, password, a line each
 *   ENUMERATE                        all accounts                        name, uid, gid, home, Maildir, options with
 *                                                                        tabs between them, "#" comments, and a
 *                                                                        line "."
 * Closing the connection without an answer means a temporary failure. */
#ifndef AUTHLIB_COURIER_H
#define AUTHLIB_COURIER_H

#include "authlib/auth.h"
#include "lib/str.h"

enum { COURIER_ANSWER_MAX = 16 * 1024 }; /* Courier's own programs read 8191 bytes */

/* Append the query to OUT. False: no account can have this name, because the query would be for another one. */
bool courier_pre(struct str *out, const char *service, const char *user);
bool courier_auth(struct str *out, const char *service, const char *user, const char *password);

enum courier_state {
	COURIER_MORE,    /* incomplete so far */
	COURIER_ACCOUNT, /* a record: courier_record() */
	COURIER_REFUSED, /* FAIL */
	COURIER_NONSENSE /* invalid, whatever follows */
};

/* Parses the first LEN bytes of an answer to PRE or AUTH; once it is complete, *USED is its length. */
enum courier_state courier_scan(const char *p, size_t len, size_t *used);
/* The record of a whole answer. AUTH_OK; AUTH_BROKEN: it cannot be used; AUTH_TRY_LATER: the system cannot tell now who
 * its user is; the reason in WHY. May wait for the system's own directory of users. */
enum auth_result courier_record(const char *p, size_t len, const char *user, struct account *out, struct str *why);

/* A line of a list, LEN bytes without its end. True: it is an account; *RESULT says as for courier_record() whether it
 * can be used. False: it is not. */
bool courier_list_line(const char *p, size_t len, enum auth_result *result, struct account *out, struct str *why);

#endif
