/* authsqlite: accounts in an SQLite file, with the settings of Courier's authsqliterc. May block on locks and disks:
 * for auth workers. */
#include "authlib/module.h"

#include <sqlite3.h>
#include <string.h>

#include "authlib/sqldir.h"
#include "lib/clock.h"
#include "lib/mem.h"
#include "settings/settings.h"

enum {
	STEPS_BETWEEN_LOOKS = 10000
}; /* instructions of SQLite's machine between two checks of the clock: well below a ms */

struct sqlite {
	struct sqldir dir;
	const struct settings *set;
	sqlite3 *db;
	sqlite3_stmt *stmt;
	int64_t deadline;
};

/* --- the connection --- */

static void close_connection(void *conn)
{
	struct sqlite *s = conn;

	sqlite3_finalize(s->stmt);
	s->stmt = NULL;
	sqlite3_close(s->db);
	s->db = NULL;
}

/* Stops queries that take too long; locks have their own time limit. */
static int on_progress(void *arg)
{
	const struct sqlite *s = arg;

	return clock_ms() > s->deadline;
}

/* Ensures that "..." is never a string (settings/clause.h relies on it), that the file cannot execute anything, and
 * that nothing writes to it. */
static bool harden(sqlite3 *db)
{
	return sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL) == SQLITE_OK &&
	    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL) == SQLITE_OK &&
	    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) == SQLITE_OK;
}

static bool open_connection(void *conn, unsigned i, struct str *why)
{
	struct sqlite *s = conn;
	int64_t ms = s->set->authsqliterc_SQLITE_TIMEOUT * 1000;

	if (sqlite3_open_v2(s->dir.servers.server[i].name, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK) {
		str_adds(why, s->db != NULL ? sqlite3_errmsg(s->db) : "out of memory");
		return false;
	}
	if (!harden(s->db)) {
		str_adds(why, "this libsqlite3 lacks the options that make queries safe");
		return false;
	}
	sqlite3_extended_result_codes(s->db, 0);
	sqlite3_busy_timeout(s->db, (int)ms);
	sqlite3_progress_handler(s->db, STEPS_BETWEEN_LOOKS, on_progress, s);
	return true;
}

/* --- the question --- */

static bool escape(void *conn UNUSED, struct str *out, const char *text, size_t len)
{
	char *escaped = sqlite3_mprintf("%.*q", (int)len, text);

	if (escaped == NULL)
		return false;
	str_adds(out, escaped);
	sqlite3_free(escaped);
	return true;
}

static enum sql_status judge(struct sqlite *s, int code, struct str *why)
{
	str_adds(why, code == SQLITE_INTERRUPT ? "no answer in time" : sqlite3_errmsg(s->db));
	switch (code) {
	case SQLITE_ERROR: /* no such table, no such column, ... */
	case SQLITE_READONLY:
	case SQLITE_AUTH:
	case SQLITE_TOOBIG:
	case SQLITE_MISMATCH:
	case SQLITE_RANGE:
		return SQL_REFUSED;
	default: /* locked, gone, damaged: a new connection may work */
		return SQL_LOST;
	}
}

/* The file was replaced or removed. */
static bool has_moved(struct sqlite *s)
{
	int moved = 0;

	return sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0;
}

/* Nothing but blanks and comments. */
static bool is_empty(struct sqlite *s, const char *text)
{
	sqlite3_stmt *more = NULL;
	bool empty = sqlite3_prepare_v2(s->db, text, -1, &more, NULL) == SQLITE_OK && more == NULL;

	sqlite3_finalize(more);
	return empty;
}

static void set_deadline(struct sqlite *s)
{
	s->deadline = clock_ms() + (s->dir.patient ? AUTH_LIST_SILENCE_MS : s->set->authsqliterc_SQLITE_TIMEOUT * 1000);
}

/* Prepares the query; SQL_ROW: rows can be read. */
static enum sql_status prepare(struct sqlite *s, const char *question, struct str *why)
{
	const char *rest = NULL;
	int code;

	set_deadline(s);
	code = sqlite3_prepare_v2(s->db, question, -1, &s->stmt, &rest);
	if (code != SQLITE_OK)
		return judge(s, code, why);
	if (s->stmt == NULL || sqlite3_column_count(s->stmt) == 0 || !is_empty(s, rest)) {
		str_adds(why, "the query must be one SELECT; see the clauses of authsqliterc");
		return SQL_REFUSED;
	}
	return SQL_ROW;
}

static enum sql_status next_row(struct sqlite *s, struct sql_cell cell[SQL_COLUMNS], unsigned *n, struct str *why)
{
	int code = sqlite3_step(s->stmt);

	if (code == SQLITE_DONE)
		return SQL_NO_ROW;
	if (code != SQLITE_ROW)
		return judge(s, code, why);
	*n = (unsigned)sqlite3_column_count(s->stmt);
	for (unsigned i = 0; i < *n && i < SQL_COLUMNS; i++) {
		cell[i].p = (const char *)sqlite3_column_text(s->stmt, (int)i);
		cell[i].len = (size_t)sqlite3_column_bytes(s->stmt, (int)i);
	}
	return SQL_ROW;
}

static enum sql_status ask(void *conn, const char *question, struct sql_cell cell[SQL_COLUMNS], unsigned *n,
    struct str *why)
{
	struct sqlite *s = conn;
	enum sql_status status;

	if (has_moved(s)) {
		str_adds(why, "the file is gone");
		return SQL_LOST;
	}
	status = prepare(s, question, why);
	return status == SQL_ROW ? next_row(s, cell, n, why) : status;
}

/* Also releases the read lock. What was read stays in SQLite's cache, like the rest of the file. */
static void release(void *conn)
{
	struct sqlite *s = conn;

	sqlite3_finalize(s->stmt);
	s->stmt = NULL;
}

static bool each(void *conn, const char *question, sql_row_fn *fn, void *arg, struct str *why)
{
	struct sqlite *s = conn;
	struct sql_cell cell[SQL_COLUMNS];
	unsigned n;
	enum sql_status status = prepare(s, question, why);

	while (status == SQL_ROW) {
		set_deadline(s);
		status = next_row(s, cell, &n, why);
		if (status == SQL_ROW && !fn(arg, cell, n))
			break;
	}
	release(s);
	return status == SQL_NO_ROW;
}

static const struct sql_kind kind = {
	.open = open_connection,
	.close = close_connection,
	.escape = escape,
	.ask = ask,
	.release = release,
	.each = each,
};

/* --- settings --- */

static struct sql_fields read_fields(const struct settings *set)
{
	return (struct sql_fields){
		.dialect = CLAUSE_SQLITE,
		.select = set->authsqliterc_SQLITE_SELECT_CLAUSE,
		.enumerate = set->authsqliterc_SQLITE_ENUMERATE_CLAUSE,
		.table = set->authsqliterc_SQLITE_USER_TABLE,
		.login = set->authsqliterc_SQLITE_LOGIN_FIELD,
		.crypt = set->authsqliterc_SQLITE_CRYPT_PWFIELD,
		.clear = set->authsqliterc_SQLITE_CLEAR_PWFIELD,
		.uid = set->authsqliterc_SQLITE_UID_FIELD,
		.gid = set->authsqliterc_SQLITE_GID_FIELD,
		.home = set->authsqliterc_SQLITE_HOME_FIELD,
		.name = set->authsqliterc_SQLITE_NAME_FIELD,
		.maildir = set->authsqliterc_SQLITE_MAILDIR_FIELD,
		.quota = set->authsqliterc_SQLITE_QUOTA_FIELD,
		.delivery = sqldir_either(set->authsqliterc_SQLITE_DEFAULTDELIVERY_FIELD,
		    set->authsqliterc_SQLITE_DEFAULTDELIVERY),
		.options =
		    sqldir_either(set->authsqliterc_SQLITE_AUXOPTIONS_FIELD, set->authsqliterc_SQLITE_AUXOPTIONS),
		.where = set->authsqliterc_SQLITE_WHERE_CLAUSE,
		.default_domain = set->authsqliterc_DEFAULT_DOMAIN,
	};
}

static bool find_file(struct sqlite *s, struct str *error)
{
	const char *path = s->set->authsqliterc_SQLITE_DATABASE;

	if (path[0] == '\0')
		str_adds(error, "set SQLITE_DATABASE");
	else
		directory_add(&s->dir.servers, path, strlen(path));
	return path[0] != '\0';
}

static void fini(void *ctx)
{
	struct sqlite *s = ((struct sqldir *)ctx)->conn;

	close_connection(s);
	directory_fini(&s->dir.servers);
	mem_free(&s);
}

static bool init(const struct settings *set, void **ctx, struct str *error)
{
	struct sqlite *s = mem_alloc(sizeof(*s));
	struct sql_fields fields = read_fields(set);

	s->set = set;
	if (!sqldir_init(&s->dir, &kind, s, "authsqlite", &fields, error) || !find_file(s, error)) {
		fini(&s->dir);
		return false;
	}
	*ctx = &s->dir;
	return true;
}

static const struct auth_driver drv_sqlite = {
	.name = "authsqlite",
	.init = init,
	.fini = fini,
	.lookup = sqldir_lookup,
	.enumerate = sqldir_enumerate,
};
AUTH_MODULE(drv_sqlite);
