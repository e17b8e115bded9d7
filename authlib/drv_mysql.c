/* authmysql: accounts in MySQL or MariaDB, with the settings of Courier's authmysqlrc. May block: for auth workers. */
#include "authlib/module.h"

#include <errmsg.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <string.h>

#include "authlib/sqldir.h"
#include "lib/mem.h"
#include "lib/text.h"
#include "settings/settings.h"

struct mysql {
	struct sqldir dir;
	const struct settings *set;
	MYSQL *my;
	MYSQL_RES *result;
	MYSQL_ROW row;
	unsigned long *lengths;
};

static const char *or_null(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

/* --- the connection --- */

static void close_connection(void *conn)
{
	struct mysql *m = conn;

	if (m->my != NULL)
		mysql_close(m->my);
	m->my = NULL;
}

/* Modes that turn backslashes or "..." into something else, alone or as a part of what they stand for. */
static bool is_bad_mode(const char *mode, size_t len)
{
	static const char *const bad[] = { "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ANSI", "DB2", "MAXDB", "MSSQL",
		"ORACLE", "POSTGRESQL" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (text_is_word(mode, len, bad[i]))
			return true;
	return false;
}

/* The clauses of the settings were parsed by the rules of settings/clause.h, and mysql_real_escape_string() escapes
 * with backslashes: the server must use the same rules. */
static bool set_modes(struct mysql *m, const char *modes, struct str *why)
{
	struct str text = STR_INIT;
	bool good;

	str_adds(&text, "SET SESSION sql_mode = '");
	for (const char *p = modes; *p != '\0';) {
		size_t len = strcspn(p, ",");

		if (!is_bad_mode(p, len))
			str_addf(&text, "%s%.*s", text.data[text.len - 1] != '\'' ? "," : "", (int)len, p);
		p += len + (p[len] == ',');
	}
	str_addc(&text, '\'');
	good = mysql_real_query(m->my, str_cstr(&text), (unsigned long)text.len) == 0;
	if (!good)
		str_adds(why, mysql_error(m->my));
	str_fini(&text);
	return good;
}

static bool tidy_modes(struct mysql *m, struct str *why)
{
	MYSQL_RES *res;
	MYSQL_ROW row;
	bool good = false;

	if (mysql_query(m->my, "SELECT @@SESSION.sql_mode") != 0 || (res = mysql_store_result(m->my)) == NULL) {
		str_adds(why, mysql_error(m->my));
		return false;
	}
	row = mysql_fetch_row(res);
	if (row != NULL && row[0] != NULL && row[0][strspn(row[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_,")] == '\0')
		good = set_modes(m, row[0], why);
	else
		str_adds(why, "the server does not report its sql_mode");
	mysql_free_result(res);
	return good;
}

static void set_options(struct mysql *m)
{
	const struct settings *set = m->set;
	unsigned seconds = (unsigned)set->authmysqlrc_MYSQL_TIMEOUT;
	unsigned patient = AUTH_LIST_SILENCE_MS / 1000;
	unsigned no = 0;
	my_bool on = 1;

	mysql_options(m->my, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	mysql_options(m->my, MYSQL_OPT_READ_TIMEOUT, m->dir.patient ? &patient : &seconds);
	mysql_options(m->my, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
	/* Otherwise the server could request our files. */
	mysql_options(m->my, MYSQL_OPT_LOCAL_INFILE, &no);
	/* Through the API, for mysql_real_escape_string() must know it. */
	mysql_options(m->my, MYSQL_SET_CHARSET_NAME, sqldir_either(set->authmysqlrc_MYSQL_CHARACTER_SET, "utf8mb4"));
	if (set->authmysqlrc_MYSQL_SSL_CACERT[0] == '\0' && set->authmysqlrc_MYSQL_SSL_CAPATH[0] == '\0')
		return;
	mysql_ssl_set(m->my, or_null(set->authmysqlrc_MYSQL_SSL_KEY), or_null(set->authmysqlrc_MYSQL_SSL_CERT),
	    or_null(set->authmysqlrc_MYSQL_SSL_CACERT), or_null(set->authmysqlrc_MYSQL_SSL_CAPATH),
	    or_null(sqldir_either(set->authmysqlrc_MYSQL_SSL_CIPHER, set->authmysqlrc_MYSQL_SSL_CIPHERS)));
	/* A server without TLS, or with a foreign certificate, gets no password. */
	mysql_options(m->my, MYSQL_OPT_SSL_ENFORCE, &on);
	mysql_options(m->my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &on);
}

static bool open_connection(void *conn, unsigned i, struct str *why)
{
	struct mysql *m = conn;
	const struct settings *set = m->set;
	bool by_socket = set->authmysqlrc_MYSQL_SERVER[0] == '\0';

	m->my = mysql_init(NULL);
	if (m->my == NULL) {
		str_adds(why, "out of memory");
		return false;
	}
	set_options(m);
	if (mysql_real_connect(m->my, by_socket ? NULL : m->dir.servers.server[i].name, set->authmysqlrc_MYSQL_USERNAME,
	        or_null(set->authmysqlrc_MYSQL_PASSWORD), set->authmysqlrc_MYSQL_DATABASE,
	        (unsigned)set->authmysqlrc_MYSQL_PORT, or_null(set->authmysqlrc_MYSQL_SOCKET),
	        (unsigned long)set->authmysqlrc_MYSQL_OPT & ~(unsigned long)CLIENT_MULTI_STATEMENTS) == NULL) {
		str_adds(why, mysql_error(m->my));
		return false;
	}
	return tidy_modes(m, why);
}

/* --- the question --- */

static bool escape(void *conn, struct str *out, const char *text, size_t len)
{
	struct mysql *m = conn;
	unsigned long n = mysql_real_escape_string(m->my, str_room(out, 2 * len + 1), text, (unsigned long)len);

	if (n == (unsigned long)-1) {
		out->data[out->len] = '\0';
		return false;
	}
	out->len += n;
	out->data[out->len] = '\0';
	return true;
}

static enum sql_status judge(struct mysql *m, struct str *why)
{
	unsigned number = mysql_errno(m->my);

	str_adds(why, mysql_error(m->my));
	if (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR)
		return SQL_LOST;
	switch (number) {
	case ER_SERVER_SHUTDOWN:
	case ER_CON_COUNT_ERROR:
	case ER_CONNECTION_KILLED:
		return SQL_LOST;
	case ER_INVALID_CHARACTER_STRING:
	case ER_CANT_AGGREGATE_2COLLATIONS: /* the name has letters that the column cannot have */
		return SQL_BAD_TEXT;
	default:
		return SQL_REFUSED;
	}
}

static enum sql_status ask(void *conn, const char *question, struct sql_cell cell[SQL_COLUMNS], unsigned *n,
    struct str *why)
{
	struct mysql *m = conn;

	if (mysql_real_query(m->my, question, (unsigned long)strlen(question)) != 0)
		return judge(m, why);
	m->result = mysql_store_result(m->my);
	if (m->result == NULL) {
		if (mysql_errno(m->my) != 0)
			return judge(m, why);
		str_adds(why, "the query returns no rows; MYSQL_SELECT_CLAUSE must be a SELECT");
		return SQL_REFUSED;
	}
	m->row = mysql_fetch_row(m->result);
	if (m->row == NULL)
		return SQL_NO_ROW;
	m->lengths = mysql_fetch_lengths(m->result);
	*n = mysql_num_fields(m->result);
	for (unsigned i = 0; i < *n && i < SQL_COLUMNS; i++) {
		cell[i].p = m->row[i];
		cell[i].len = m->lengths[i];
	}
	return SQL_ROW;
}

static void release(void *conn)
{
	struct mysql *m = conn;

	if (m->row != NULL)
		for (unsigned i = 0; i < mysql_num_fields(m->result); i++)
			if (m->row[i] != NULL)
				mem_wipe(m->row[i], m->lengths[i]);
	if (m->result != NULL)
		mysql_free_result(m->result);
	m->result = NULL;
	m->row = NULL;
	/* A called procedure returns further results. */
	while (m->my != NULL && mysql_more_results(m->my) && mysql_next_result(m->my) == 0)
		mysql_free_result(mysql_store_result(m->my));
}

static bool each(void *conn, const char *question, sql_row_fn *fn, void *arg, struct str *why)
{
	struct mysql *m = conn;
	struct sql_cell cell[SQL_LIST_COLUMNS];
	MYSQL_RES *res = NULL;
	MYSQL_ROW row = NULL;
	bool more = true;

	if (mysql_real_query(m->my, question, (unsigned long)strlen(question)) == 0 &&
	    (res = mysql_use_result(m->my)) == NULL && mysql_errno(m->my) == 0)
		str_adds(why, "the query returns no rows; MYSQL_ENUMERATE_CLAUSE must be a SELECT");
	while (more && res != NULL && (row = mysql_fetch_row(res)) != NULL) {
		unsigned n = mysql_num_fields(res);
		const unsigned long *lengths = mysql_fetch_lengths(res);

		for (unsigned i = 0; i < n && i < SQL_LIST_COLUMNS; i++)
			cell[i] = (struct sql_cell){ row[i], lengths[i] };
		more = fn(arg, cell, n);
	}
	if (more && mysql_errno(m->my) != 0)
		str_adds(why, mysql_error(m->my));
	if (res != NULL)
		mysql_free_result(res); /* reads what is left */
	return more && res != NULL && why->len == 0;
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
		.dialect = CLAUSE_MYSQL,
		.select = set->authmysqlrc_MYSQL_SELECT_CLAUSE,
		.enumerate = set->authmysqlrc_MYSQL_ENUMERATE_CLAUSE,
		.table = set->authmysqlrc_MYSQL_USER_TABLE,
		.login = set->authmysqlrc_MYSQL_LOGIN_FIELD,
		.crypt = set->authmysqlrc_MYSQL_CRYPT_PWFIELD,
		.clear = set->authmysqlrc_MYSQL_CLEAR_PWFIELD,
		.uid = set->authmysqlrc_MYSQL_UID_FIELD,
		.gid = set->authmysqlrc_MYSQL_GID_FIELD,
		.home = set->authmysqlrc_MYSQL_HOME_FIELD,
		.name = set->authmysqlrc_MYSQL_NAME_FIELD,
		.maildir = set->authmysqlrc_MYSQL_MAILDIR_FIELD,
		.quota = set->authmysqlrc_MYSQL_QUOTA_FIELD,
		.delivery =
		    sqldir_either(set->authmysqlrc_MYSQL_DEFAULTDELIVERY_FIELD, set->authmysqlrc_MYSQL_DEFAULTDELIVERY),
		.options = sqldir_either(set->authmysqlrc_MYSQL_AUXOPTIONS_FIELD, set->authmysqlrc_MYSQL_AUXOPTIONS),
		.where = set->authmysqlrc_MYSQL_WHERE_CLAUSE,
		.default_domain = set->authmysqlrc_DEFAULT_DOMAIN,
	};
}

static bool find_servers(struct mysql *m, struct str *error)
{
	const char *p = m->set->authmysqlrc_MYSQL_SERVER;

	if (p[0] == '\0')
		p = m->set->authmysqlrc_MYSQL_SOCKET;
	while (*p != '\0') {
		size_t len = strcspn(p, " ");

		if (len != 0 && !directory_add(&m->dir.servers, p, len)) {
			str_addf(error, "more than %d servers in MYSQL_SERVER", DIRECTORY_SERVERS_MAX);
			return false;
		}
		p += len + (p[len] == ' ');
	}
	if (m->dir.servers.count == 0)
		str_adds(error, "set MYSQL_SERVER or MYSQL_SOCKET");
	return m->dir.servers.count != 0;
}

static void fini(void *ctx)
{
	struct mysql *m = ((struct sqldir *)ctx)->conn;

	close_connection(m);
	directory_fini(&m->dir.servers);
	mem_free(&m);
}

static bool init(const struct settings *set, void **ctx, struct str *error)
{
	struct mysql *m = mem_alloc(sizeof(*m));
	struct sql_fields fields = read_fields(set);

	m->set = set;
	if (!sqldir_init(&m->dir, &kind, m, "authmysql", &fields, error) || !find_servers(m, error)) {
		fini(&m->dir);
		return false;
	}
	*ctx = &m->dir;
	return true;
}

static const struct auth_driver drv_mysql = {
	.name = "authmysql",
	.init = init,
	.fini = fini,
	.lookup = sqldir_lookup,
	.enumerate = sqldir_enumerate,
};
AUTH_MODULE(drv_mysql);
