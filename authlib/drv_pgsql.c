/* authpgsql: accounts in PostgreSQL, with the settings of Courier's authpgsqlrc. May block: for auth workers. */
#include "authlib/module.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "authlib/sqldir.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "settings/settings.h"

enum { OPTIONS_MAX = 64 };

struct pgsql {
	struct sqldir dir;
	const struct settings *set;
	PQconninfoOption *options; /* of PGSQL_CONNECTION, or NULL */
	/* NULL: not set. */
	char *host[DIRECTORY_SERVERS_MAX], *hostaddr[DIRECTORY_SERVERS_MAX], *port[DIRECTORY_SERVERS_MAX];
	PGconn *pg;
	PGresult *result;
};

static int64_t deadline_of(const struct pgsql *p)
{
	return clock_ms() + p->set->authpgsqlrc_PGSQL_TIMEOUT * 1000;
}

/* Messages of the server are only for debugging. */
static void on_notice(void *arg UNUSED, const PGresult *res)
{
	log_debug("authpgsql: %.*s", (int)strcspn(PQresultErrorMessage(res), "\n"), PQresultErrorMessage(res));
}

/* --- the connection --- */

static void close_connection(void *conn)
{
	struct pgsql *p = conn;

	PQclear(p->result);
	p->result = NULL;
	PQfinish(p->pg);
	p->pg = NULL;
}

/* Reads until the next result is whole. */
static bool fetch(struct pgsql *p, int64_t deadline, struct str *why)
{
	while (PQisBusy(p->pg)) {
		if (!fd_wait(PQsocket(p->pg), POLLIN, deadline)) {
			str_adds(why, "no answer in time");
			return false;
		}
		if (PQconsumeInput(p->pg) != 1) {
			str_adds(why, PQerrorMessage(p->pg));
			return false;
		}
	}
	return true;
}

/* Sends TEXT, one statement (the extended protocol allows no more), and returns its result; NULL if the connection is
 * lost or too slow. */
static PGresult *run(struct pgsql *p, const char *text, struct str *why)
{
	int64_t deadline = deadline_of(p);
	PGresult *first = NULL, *more;

	if (PQsendQueryParams(p->pg, text, 0, NULL, NULL, NULL, NULL, 0) != 1) {
		str_adds(why, PQerrorMessage(p->pg));
		return NULL;
	}
	/* One result and the end; a COPY would return results for ever. */
	for (int i = 0; i < 3; i++) {
		if (!fetch(p, deadline, why))
			break;
		if ((more = PQgetResult(p->pg)) == NULL) {
			if (first == NULL)
				str_adds(why, PQerrorMessage(p->pg));
			return first;
		}
		if (first == NULL)
			first = more;
		else
			PQclear(more);
	}
	if (why->len == 0)
		str_adds(why, "the query is not a SELECT");
	PQclear(first);
	return NULL;
}

/* Drives the connection until it is established. */
static bool finish_connecting(struct pgsql *p, struct str *why)
{
	int64_t deadline = deadline_of(p);
	PostgresPollingStatusType s = PGRES_POLLING_WRITING;

	if (PQstatus(p->pg) == CONNECTION_BAD)
		s = PGRES_POLLING_FAILED;
	while (s != PGRES_POLLING_OK && s != PGRES_POLLING_FAILED) {
		if (!fd_wait(PQsocket(p->pg), s == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline)) {
			str_adds(why, "no connection in time");
			return false;
		}
		s = PQconnectPoll(p->pg);
	}
	if (s == PGRES_POLLING_FAILED)
		str_adds(why, PQerrorMessage(p->pg));
	return s == PGRES_POLLING_OK;
}

static const char * override(const struct pgsql *p, const char *keyword, const char *value, unsigned i)
{
	if (strcmp(keyword, "host") == 0)
		return p->host[i];
	if (strcmp(keyword, "hostaddr") == 0)
		return p->hostaddr[i];
	if (strcmp(keyword, "port") == 0)
		return p->port[i];
	/* Set at the start, so that PQescapeStringConn() knows it. */
	if (strcmp(keyword, "client_encoding") == 0 && p->set->authpgsqlrc_PGSQL_CHARACTER_SET[0] != '\0')
		return p->set->authpgsqlrc_PGSQL_CHARACTER_SET;
	return value;
}

static bool open_connection(void *conn, unsigned i, struct str *why)
{
	struct pgsql *p = conn;
	const char *keyword[OPTIONS_MAX + 2], *value[OPTIONS_MAX + 2];
	PGresult *res;
	size_t n = 0;
	bool good;

	for (const PQconninfoOption *o = p->options; o->keyword != NULL && n < OPTIONS_MAX; o++) {
		const char *v = override(p, o->keyword, o->val, i);

		if (v == NULL || v[0] == '\0')
			continue;
		keyword[n] = o->keyword;
		value[n++] = v;
	}
	keyword[n] = value[n] = NULL;
	p->pg = PQconnectStartParams(keyword, value, 0);
	if (p->pg == NULL) {
		str_adds(why, "out of memory");
		return false;
	}
	if (!finish_connecting(p, why))
		return false;
	PQsetNoticeReceiver(p->pg, on_notice, NULL);
	/* The clauses of the settings were parsed by this rule (settings/clause.h). */
	if ((res = run(p, "SET standard_conforming_strings = on", why)) == NULL)
		return false;
	good = PQresultStatus(res) == PGRES_COMMAND_OK;
	if (!good)
		str_adds(why, PQresultErrorMessage(res));
	PQclear(res);
	return good;
}

/* --- the question --- */

static bool escape(void *conn, struct str *out, const char *text, size_t len)
{
	struct pgsql *p = conn;
	int error = 0;

	out->len += PQescapeStringConn(p->pg, str_room(out, 2 * len + 1), text, len, &error);
	out->data[out->len] = '\0';
	return error == 0;
}

static enum sql_status judge(struct pgsql *p, struct str *why)
{
	const char *state = PQresultErrorField(p->result, PG_DIAG_SQLSTATE);

	if (PQresultStatus(p->result) == PGRES_TUPLES_OK)
		return PQntuples(p->result) > 0 ? SQL_ROW : SQL_NO_ROW;
	if (PQresultStatus(p->result) == PGRES_COMMAND_OK) {
		str_adds(why, "the query returns no rows; PGSQL_SELECT_CLAUSE must be a SELECT");
		return SQL_REFUSED;
	}
	str_adds(why, PQresultErrorMessage(p->result));
	/* character_not_in_repertoire, untranslatable_character */
	if (state != NULL && (strcmp(state, "22021") == 0 || strcmp(state, "22P05") == 0))
		return SQL_BAD_TEXT;
	/* admin_shutdown, crash_shutdown, cannot_connect_now, connection_exception */
	if (state == NULL || strncmp(state, "57P", 3) == 0 || strncmp(state, "08", 2) == 0 ||
	    PQstatus(p->pg) != CONNECTION_OK)
		return SQL_LOST;
	return SQL_REFUSED;
}

static enum sql_status ask(void *conn, const char *question, struct sql_cell cell[SQL_COLUMNS], unsigned *n,
    struct str *why)
{
	struct pgsql *p = conn;
	enum sql_status s;

	if ((p->result = run(p, question, why)) == NULL)
		return SQL_LOST;
	s = judge(p, why);
	if (s != SQL_ROW)
		return s;
	*n = (unsigned)PQnfields(p->result);
	for (unsigned i = 0; i < *n && i < SQL_COLUMNS; i++) {
		cell[i].p = PQgetisnull(p->result, 0, (int)i) ? NULL : PQgetvalue(p->result, 0, (int)i);
		cell[i].len = (size_t)PQgetlength(p->result, 0, (int)i);
	}
	return s;
}

static void release(void *conn)
{
	struct pgsql *p = conn;

	for (int row = 0; row < PQntuples(p->result); row++)
		for (int i = 0; i < PQnfields(p->result); i++)
			if (!PQgetisnull(p->result, row, i))
				mem_wipe(PQgetvalue(p->result, row, i), (size_t)PQgetlength(p->result, row, i));
	PQclear(p->result);
	p->result = NULL;
}

static bool tell_rows(PGresult *res, sql_row_fn *fn, void *arg)
{
	struct sql_cell cell[SQL_LIST_COLUMNS];
	unsigned n = (unsigned)PQnfields(res);

	for (int row = 0; row < PQntuples(res); row++) {
		for (unsigned i = 0; i < n && i < SQL_LIST_COLUMNS; i++) {
			cell[i].p = PQgetisnull(res, row, (int)i) ? NULL : PQgetvalue(res, row, (int)i);
			cell[i].len = (size_t)PQgetlength(res, row, (int)i);
		}
		if (!fn(arg, cell, n))
			return false;
	}
	return true;
}

/* Passes on the next result of a list, usually a row. False: it was the last one, or the list is incomplete (*ALL). */
static bool next_result(struct pgsql *p, sql_row_fn *fn, void *arg, bool *all, struct str *why)
{
	PGresult *res;
	bool more = false;

	*all = false;
	if (!fetch(p, clock_ms() + AUTH_LIST_SILENCE_MS, why))
		return false;
	if ((res = PQgetResult(p->pg)) == NULL) {
		str_adds(why, PQstatus(p->pg) == CONNECTION_OK ? "the answer is incomplete" : PQerrorMessage(p->pg));
		return false;
	}
	switch (PQresultStatus(res)) {
	case PGRES_SINGLE_TUPLE:
		more = tell_rows(res, fn, arg);
		break;
	case PGRES_TUPLES_OK:
		*all = tell_rows(res, fn, arg);
		break;
	case PGRES_FATAL_ERROR:
		str_adds(why, PQresultErrorMessage(res));
		break;
	default:
		str_adds(why, "the query returns no rows; PGSQL_ENUMERATE_CLAUSE must be a SELECT");
	}
	PQclear(res);
	return more;
}

static bool each(void *conn, const char *question, sql_row_fn *fn, void *arg, struct str *why)
{
	struct pgsql *p = conn;
	bool all = false;

	if (PQsendQueryParams(p->pg, question, 0, NULL, NULL, NULL, NULL, 0) != 1 || PQsetSingleRowMode(p->pg) != 1) {
		str_adds(why, PQerrorMessage(p->pg));
		return false;
	}
	while (next_result(p, fn, arg, &all, why))
		;
	return all;
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

/* The option of PGSQL_CONNECTION, "" if it is not set. */
static const char *option(const struct pgsql *p, const char *keyword)
{
	for (const PQconninfoOption *o = p->options; o->keyword != NULL; o++)
		if (strcmp(o->keyword, keyword) == 0)
			return o->val != NULL ? o->val : "";
	return "";
}

/* Member I of a comma-separated list (one value is for all, as in libpq), NULL if there is none. */
static char *member(const char *list, unsigned i)
{
	const char *only = strchr(list, ',') == NULL ? list : NULL;

	for (unsigned k = 0; only == NULL && k < i; k++) {
		list += strcspn(list, ",");
		if (*list == '\0')
			return NULL;
		list++;
	}
	return mem_memdup(list, strcspn(list, ","));
}

static unsigned count_members(const char *list)
{
	unsigned n = 1;

	for (; *list != '\0'; list++)
		n += *list == ',';
	return n;
}

/* Splits the connection string into servers, so that each has its own time limit. */
static bool find_servers(struct pgsql *p, struct str *error)
{
	const char *host = option(p, "host"), *hostaddr = option(p, "hostaddr"), *port = option(p, "port");
	unsigned n = MAX(count_members(host), count_members(hostaddr));

	for (unsigned i = 0; i < n; i++) {
		char *name;

		if (i == DIRECTORY_SERVERS_MAX) {
			str_addf(error, "more than %d servers in PGSQL_CONNECTION", DIRECTORY_SERVERS_MAX);
			return false;
		}
		p->host[i] = host[0] != '\0' ? member(host, i) : NULL;
		p->hostaddr[i] = hostaddr[0] != '\0' ? member(hostaddr, i) : NULL;
		p->port[i] = port[0] != '\0' ? member(port, i) : NULL;
		name = mem_printf("%s%s%s",
		    p->host[i] != NULL         ? p->host[i] :
		        p->hostaddr[i] != NULL ? p->hostaddr[i] :
		                                 "the local server",
		    p->port[i] != NULL ? " port " : "", p->port[i] != NULL ? p->port[i] : "");
		directory_add(&p->dir.servers, name, strlen(name));
		mem_free(&name);
	}
	return true;
}

static void add_option(struct str *out, const char *keyword, const char *value)
{
	if (value[0] == '\0')
		return;
	str_addf(out, "%s%s='", out->len != 0 ? " " : "", keyword);
	for (; *value != '\0'; value++) {
		if (*value == '\'' || *value == '\\')
			str_addc(out, '\\');
		/* Our list separates servers by blanks, libpq's by commas. */
		str_addc(out, *value == ' ' && strcmp(keyword, "host") == 0 ? ',' : *value);
	}
	str_addc(out, '\'');
}

/* PGSQL_CONNECTION, or the older settings. */
static void connection_text(const struct settings *set, struct str *out)
{
	char port[16];

	if (set->authpgsqlrc_PGSQL_CONNECTION[0] != '\0') {
		str_adds(out, set->authpgsqlrc_PGSQL_CONNECTION);
		return;
	}
	snprintf(port, sizeof(port), "%d", (int)set->authpgsqlrc_PGSQL_PORT);
	add_option(out, "host", set->authpgsqlrc_PGSQL_HOST);
	add_option(out, "port", set->authpgsqlrc_PGSQL_PORT != 0 ? port : "");
	add_option(out, "user", set->authpgsqlrc_PGSQL_USERNAME);
	add_option(out, "password", set->authpgsqlrc_PGSQL_PASSWORD);
	add_option(out, "dbname", set->authpgsqlrc_PGSQL_DATABASE);
	add_option(out, "options", set->authpgsqlrc_PGSQL_OPT);
}

static bool read_connection(struct pgsql *p, struct str *error)
{
	struct str text = STR_INIT;
	char *why = NULL;

	connection_text(p->set, &text);
	p->options = PQconninfoParse(str_cstr(&text), &why);
	str_fini_secret(&text);
	if (p->options == NULL) /* libpq's message may contain the value, with the password */
		str_adds(error,
		    "PGSQL_CONNECTION is not valid; example: \"host=db.example.com dbname=mail user=waypost\"");
	PQfreemem(why);
	return p->options != NULL && find_servers(p, error);
}

static struct sql_fields read_fields(const struct settings *set)
{
	return (struct sql_fields){
		.dialect = CLAUSE_PGSQL,
		.select = set->authpgsqlrc_PGSQL_SELECT_CLAUSE,
		.enumerate = set->authpgsqlrc_PGSQL_ENUMERATE_CLAUSE,
		.table = set->authpgsqlrc_PGSQL_USER_TABLE,
		.login = set->authpgsqlrc_PGSQL_LOGIN_FIELD,
		.crypt = set->authpgsqlrc_PGSQL_CRYPT_PWFIELD,
		.clear = set->authpgsqlrc_PGSQL_CLEAR_PWFIELD,
		.uid = set->authpgsqlrc_PGSQL_UID_FIELD,
		.gid = set->authpgsqlrc_PGSQL_GID_FIELD,
		.home = set->authpgsqlrc_PGSQL_HOME_FIELD,
		.name = set->authpgsqlrc_PGSQL_NAME_FIELD,
		.maildir = set->authpgsqlrc_PGSQL_MAILDIR_FIELD,
		.quota = set->authpgsqlrc_PGSQL_QUOTA_FIELD,
		.delivery =
		    sqldir_either(set->authpgsqlrc_PGSQL_DEFAULTDELIVERY_FIELD, set->authpgsqlrc_PGSQL_DEFAULTDELIVERY),
		.options = sqldir_either(set->authpgsqlrc_PGSQL_AUXOPTIONS_FIELD, set->authpgsqlrc_PGSQL_AUXOPTIONS),
		.where = set->authpgsqlrc_PGSQL_WHERE_CLAUSE,
		.default_domain = set->authpgsqlrc_DEFAULT_DOMAIN,
	};
}

static void fini(void *ctx)
{
	struct pgsql *p = ((struct sqldir *)ctx)->conn;

	close_connection(p);
	for (unsigned i = 0; i < DIRECTORY_SERVERS_MAX; i++) {
		mem_free(&p->host[i]);
		mem_free(&p->hostaddr[i]);
		mem_free(&p->port[i]);
	}
	directory_fini(&p->dir.servers);
	PQconninfoFree(p->options);
	mem_free(&p);
}

static bool init(const struct settings *set, void **ctx, struct str *error)
{
	struct pgsql *p = mem_alloc(sizeof(*p));
	struct sql_fields fields = read_fields(set);

	p->set = set;
	if (!sqldir_init(&p->dir, &kind, p, "authpgsql", &fields, error) || !read_connection(p, error)) {
		fini(&p->dir);
		return false;
	}
	*ctx = &p->dir;
	return true;
}

static const struct auth_driver drv_pgsql = {
	.name = "authpgsql",
	.init = init,
	.fini = fini,
	.lookup = sqldir_lookup,
	.enumerate = sqldir_enumerate,
};
AUTH_MODULE(drv_pgsql);
