/* Lookups in a database: connection, query, retry, verdict. */
#include "authlib/sqldir.h"

#include <string.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"

const char *sqldir_either(const char *a, const char *b)
{
	return a[0] != '\0' ? a : b;
}

bool sqldir_init(struct sqldir *d, const struct sql_kind *kind, void *conn, const char *driver,
    const struct sql_fields *fields, struct str *error)
{
	static const char
	    *const prefix[] = { [CLAUSE_MYSQL] = "MYSQL", [CLAUSE_PGSQL] = "PGSQL", [CLAUSE_SQLITE] = "SQLITE" };
	const char *select_mistake = clause_mistake(fields->select, fields->dialect);
	const char *list_mistake = clause_mistake(fields->enumerate, fields->dialect);

	d->kind = kind;
	d->conn = conn;
	d->fields = *fields;
	directory_init(&d->servers, driver);
	if (select_mistake != NULL)
		str_addf(error, "%s_SELECT_CLAUSE: %s", prefix[fields->dialect], select_mistake);
	else if (list_mistake != NULL)
		str_addf(error, "%s_ENUMERATE_CLAUSE: %s", prefix[fields->dialect], list_mistake);
	return select_mistake == NULL && list_mistake == NULL;
}

static void sqldir_close(struct sqldir *d)
{
	d->kind->close(d->conn);
	d->open = false;
}

/* Connects to the first usable server that is not among TRIED (a bit each). */
static bool open_one(struct sqldir *d, unsigned tried)
{
	int64_t start = clock_ms(), end;

	for (unsigned i; (i = directory_next(&d->servers, tried, start)) != d->servers.count; start = end) {
		struct str why = STR_INIT;

		tried |= 1U << i;
		d->open = d->kind->open(d->conn, i, &why);
		end = clock_ms();
		if (!d->open) {
			d->kind->close(d->conn);
			directory_failed(&d->servers, i, end, end - start, str_cstr(&why));
		}
		str_fini(&why);
		if (d->open) {
			d->server = i;
			return true;
		}
	}
	return false;
}

static bool has_8bit(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s >= 0x80)
			return true;
	return false;
}

static enum auth_result read_row(struct sqldir *d, const struct sql_cell *cell, unsigned n, const char *user,
    struct account *out)
{
	struct str why = STR_INIT;
	enum auth_result r = sqlquery_record(cell, n, user, out, &why);

	if (r == AUTH_BROKEN)
		log_error("%s: the record of %s cannot be used: %s", d->servers.driver, user, str_cstr(&why));
	str_fini(&why);
	return r;
}

/* Runs one query on the open connection; AGAIN: the connection is new. False: the connection is lost; *RESULT is the
 * result if there is no retry, and its server is added to *TRIED if that is an outage. */
static bool ask(struct sqldir *d, bool again, unsigned *tried, const struct auth_question *q, enum auth_result *result,
    struct account *out)
{
	struct str question = STR_INIT, why = STR_INIT;
	struct sql_cell cell[SQL_COLUMNS];
	int64_t start = clock_ms(), end;
	enum sql_status s;
	unsigned n = 0;

	if (!sqlquery_build(&question, &d->fields, q->service, q->user, d->kind->escape, d->conn)) {
		str_fini(&question);
		*result = AUTH_UNKNOWN;
		return true;
	}
	s = d->kind->ask(d->conn, str_cstr(&question), cell, &n, &why);
	end = clock_ms();
	switch (s) {
	case SQL_ROW:
		*result = read_row(d, cell, n, q->user, out);
		break;
	case SQL_NO_ROW:
		*result = AUTH_UNKNOWN;
		break;
	case SQL_BAD_TEXT:
		/* If the name is ASCII, it is the data that cannot be converted. */
		*result = has_8bit(q->user) ? AUTH_UNKNOWN : AUTH_BROKEN;
		break;
	case SQL_REFUSED:
	case SQL_LOST:
		*result = AUTH_TRY_LATER;
		break;
	}
	d->kind->release(d->conn);
	if (s == SQL_REFUSED) {
		directory_refused(&d->servers, str_cstr(&why));
	} else if (s == SQL_LOST) {
		sqldir_close(d);
		/* A connection that the server closed while idle is not an outage; a timeout is. */
		if (again || end - start >= DIRECTORY_SLOW_MS) {
			directory_silent(&d->servers, d->server, end, end - start, str_cstr(&why));
			*tried |= 1U << d->server;
		}
	} else {
		directory_answered(&d->servers, d->server);
		directory_served(&d->servers);
	}
	str_fini(&question);
	str_fini(&why);
	return s != SQL_LOST;
}

enum auth_result sqldir_lookup(void *ctx, const struct auth_question *q, struct account *out)
{
	struct sqldir *d = ctx;
	enum auth_result result = AUTH_TRY_LATER;
	unsigned tried = 0;

	for (int tries = 0; tries < 2; tries++) {
		if (!d->open && !open_one(d, tried))
			return AUTH_TRY_LATER;
		if (ask(d, tries != 0, &tried, q, &result, out))
			return result;
	}
	return result;
}

/* --- all accounts --- */

struct list {
	auth_account_fn *fn;
	void *arg;
};

static bool on_row(void *arg, const struct sql_cell *cell, unsigned n)
{
	const struct list *l = arg;
	struct str why = STR_INIT;
	struct account a;
	enum auth_result r;
	bool more = true;

	account_init(&a);
	r = sqlquery_list_record(cell, n, &a, &why);
	if (r != AUTH_UNKNOWN)
		more = l->fn(l->arg, &a, r == AUTH_OK ? NULL : str_cstr(&why));
	account_fini(&a);
	str_fini(&why);
	return more;
}

bool sqldir_enumerate(void *ctx, auth_account_fn *fn, void *arg, struct str *why)
{
	struct sqldir *d = ctx;
	struct list l = { fn, arg };
	struct str question = STR_INIT;
	bool all = false;

	sqldir_close(d);
	d->patient = true;
	if (!open_one(d, 0))
		str_adds(why, "no server answers");
	else if (!sqlquery_build_list(&question, &d->fields, d->kind->escape, d->conn))
		str_adds(why, "the SELECT_CLAUSE cannot list all accounts: set the ENUMERATE_CLAUSE, too");
	else
		all = d->kind->each(d->conn, str_cstr(&question), on_row, &l, why);
	sqldir_close(d);
	d->patient = false;
	str_fini(&question);
	return all;
}
