/* Lookups in a database of any kind: a connection to the first server that answers, the query, a retry on a new
 * connection if the old one is lost, the verdict. The kind of database provides the functions that differ. */
#ifndef AUTHLIB_SQLDIR_H
#define AUTHLIB_SQLDIR_H

#include "authlib/directory.h"
#include "authlib/sqlquery.h"

enum sql_status {
	SQL_ROW, /* CELL[0..N) hold the first row, until release() */
	SQL_NO_ROW,
	SQL_BAD_TEXT, /* the server cannot read the name in its character set */
	SQL_REFUSED,  /* the server is up but refuses the query: WHY */
	SQL_LOST      /* no answer, or none in time: WHY */
};

/* A row of N cells; return false to stop. */
typedef bool sql_row_fn(void *arg, const struct sql_cell *cell, unsigned n);

struct sql_kind {
	/* Opens a connection to server number I; false, with the reason in WHY. Has a time limit. */
	bool (*open)(void *conn, unsigned i, struct str *why);
	void (*close)(void *conn); /* also if there is none */
	sql_escape_fn *escape;     /* ARG is CONN */
	enum sql_status (
	    *ask)(void *conn, const char *question, struct sql_cell cell[SQL_COLUMNS], unsigned *n, struct str *why);
	void (*release)(void *conn); /* frees what ask() holds, wiped if possible */
	/* Runs the query, and calls FN for each row as it arrives, until that returns false. True: all rows have
	 * arrived. False, with the reason in WHY unless FN stopped it: they have not, and the connection cannot be used
	 * any more. The time limit is AUTH_LIST_SILENCE_MS, if the connection was made with d->patient. */
	bool (*each)(void *conn, const char *question, sql_row_fn *fn, void *arg, struct str *why);
};

struct sqldir {
	const struct sql_kind *kind;
	void *conn;
	struct sql_fields fields;
	struct directory servers;
	bool open;
	bool patient;    /* a connection for a list: the server may take long to answer */
	unsigned server; /* that we are connected to */
};

/* Sets up the zeroed D: of KIND, whose calls get CONN, with FIELDS; no servers yet. False, and why in ERROR, if one of
 * the clauses cannot be used. Free D->servers with directory_fini(), in any case. */
bool sqldir_init(struct sqldir *d, const struct sql_kind *kind, void *conn, const char *driver,
    const struct sql_fields *fields, struct str *error);

/* For struct auth_driver, of a driver whose CTX is the struct sqldir. */
enum auth_result sqldir_lookup(void *ctx, const struct auth_question *q, struct account *out);
bool sqldir_enumerate(void *ctx, auth_account_fn *fn, void *arg, struct str *why);

/* The setting A, or if that is empty B: another setting, or a default. */
const char *sqldir_either(const char *a, const char *b);

#endif
