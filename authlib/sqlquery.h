/* Builds queries to a database of accounts and reads its answers, according to Courier's authmysqlrc, authpgsqlrc and
 * authsqliterc; without the connection, which provides a function for escaping. */
#ifndef AUTHLIB_SQLQUERY_H
#define AUTHLIB_SQLQUERY_H

#include "authlib/auth.h"
#include "lib/str.h"
#include "settings/clause.h"

/* Settings without their prefix; none is NULL. Fields are SQL expressions; an empty one is the empty text. */
struct sql_fields {
	enum clause_dialect dialect;
	const char *select;    /* SELECT_CLAUSE: if set, the whole query; then only default_domain is used, too */
	const char *enumerate; /* ENUMERATE_CLAUSE: if set, the whole query that lists all accounts */
	const char *table, *login, *crypt, *clear, *uid, *gid, *home, *name, *maildir, *quota, *delivery, *options,
	    *where;
	const char *default_domain;
};

/* Appends the LEN bytes at TEXT to OUT, escaped for '...' (and "..." with MySQL). False if the text is not valid in the
 * connection's character set. */
typedef bool sql_escape_fn(void *arg, struct str *out, const char *text, size_t len);

/* Appends the query for USER to OUT. False: no account can have this name (it is not valid in the connection's
 * character set, or cannot be part of a table's name). */
bool sqlquery_build(struct str *out, const struct sql_fields *f, const char *service, const char *user,
    sql_escape_fn *escape, void *arg);

/* Appends the query for all accounts, with service "enumerate". False: the settings do not allow it. */
bool sqlquery_build_list(struct str *out, const struct sql_fields *f, sql_escape_fn *escape, void *arg);

/* A value of a row; P is NULL for SQL's NULL. */
struct sql_cell {
	const char *p;
	size_t len;
};

enum { SQL_COLUMNS_LEAST = 6, SQL_COLUMNS = 10 };

/* The row of N cells (login, hash, clear password, uid, gid, home, maildir, quota, full name, options; the last four
 * may be missing) as a record. AUTH_OK; AUTH_UNKNOWN: it has no home, which means that there is no such account;
 * AUTH_BROKEN, with the reason in WHY: it cannot be used. */
enum auth_result sqlquery_record(const struct sql_cell *cell, unsigned n, const char *user, struct account *out,
    struct str *why);

/* A row of the list, of N cells (login, uid, gid, home, maildir, options; the last two may be missing), as a record
 * without passwords. Results as above; with AUTH_BROKEN the name is set unless it is the name that cannot be used. */
enum { SQL_LIST_COLUMNS_LEAST = 4, SQL_LIST_COLUMNS = 6 };
enum auth_result sqlquery_list_record(const struct sql_cell *cell, unsigned n, struct account *out, struct str *why);

#endif
