/* Builds the text of queries, and reads rows as records. */
#include "authlib/sqlquery.h"

#include <string.h>

#include "authlib/record.h"
#include "lib/mem.h"

/* A value in the quotes of a name: only characters that table names have. */
static bool add_identifier(struct str *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-+@", text[i]) == NULL ||
		    text[i] == '\0')
			return false;
	str_add(out, text, len);
	return true;
}

static bool is_name(const struct clause_piece *piece, const char *name)
{
	return piece->len == strlen(name) && memcmp(piece->text, name, piece->len) == 0;
}

/* The value of the variable; "" if it is unknown. */
static const char *value_of(const struct clause_piece *piece, const struct sql_fields *f, const char *service,
    const char *user, size_t *len)
{
	const char *at = strchr(user, '@'), *value = "";

	if (is_name(piece, "local_part")) {
		*len = at != NULL ? (size_t)(at - user) : strlen(user);
		return user;
	}
	if (is_name(piece, "domain"))
		value = at != NULL ? at + 1 : f->default_domain;
	else if (is_name(piece, "service"))
		value = service;
	*len = strlen(value);
	return value;
}

static bool add_clause(struct str *out, const struct sql_fields *f, const char *clause, const char *service,
    const char *user, sql_escape_fn *escape, void *arg)
{
	struct clause c;
	struct clause_piece piece;

	clause_begin(&c, clause, f->dialect);
	while (clause_next(&c, &piece)) {
		const char *value;
		size_t len;

		if (!piece.variable) {
			str_add(out, piece.text, piece.len);
			continue;
		}
		value = value_of(&piece, f, service, user, &len);
		if (len == 0)
			continue;
		if (piece.place == CLAUSE_STRING ? !escape(arg, out, value, len) : !add_identifier(out, value, len))
			return false;
	}
	return true;
}

/* The N expressions as columns from the table; '' for an empty one. */
static void add_select(struct str *out, const struct sql_fields *f, const char *const *column, size_t n)
{
	for (size_t i = 0; i < n; i++)
		str_addf(out, "%s%s", i == 0 ? "SELECT " : ", ", column[i][0] != '\0' ? column[i] : "''");
	str_addf(out, " FROM %s", f->table);
}

static bool add_default(struct str *out, const struct sql_fields *f, const char *service, const char *user,
    sql_escape_fn *escape, void *arg)
{
	bool delivery = strcmp(service, "courier") == 0 && f->delivery[0] != '\0', good;
	bool add_domain = f->default_domain[0] != '\0' && strchr(user, '@') == NULL;
	const char *const column[] = { f->login, f->crypt, f->clear, f->uid, f->gid, f->home,
		delivery ? f->delivery : f->maildir, f->quota, f->name, f->options };
	char *name = mem_printf("%s%s%s", user, add_domain ? "@" : "", add_domain ? f->default_domain : "");

	add_select(out, f, column, ARRAY_LEN(column));
	str_addf(out, " WHERE %s = '", f->login);
	good = escape(arg, out, name, strlen(name));
	str_adds(out, "'");
	if (f->where[0] != '\0')
		str_addf(out, " AND (%s)", f->where);
	mem_free(&name);
	return good;
}

bool sqlquery_build(struct str *out, const struct sql_fields *f, const char *service, const char *user,
    sql_escape_fn *escape, void *arg)
{
	return f->select[0] != '\0' ? add_clause(out, f, f->select, service, user, escape, arg) :
	                              add_default(out, f, service, user, escape, arg);
}

bool sqlquery_build_list(struct str *out, const struct sql_fields *f, sql_escape_fn *escape, void *arg)
{
	const char *const column[] = { f->login, f->uid, f->gid, f->home, f->maildir, f->options };

	if (f->enumerate[0] != '\0')
		return add_clause(out, f, f->enumerate, "enumerate", "", escape, arg);
	if (f->table[0] == '\0' || f->login[0] == '\0' || f->home[0] == '\0')
		return false;
	add_select(out, f, column, ARRAY_LEN(column));
	if (f->where[0] != '\0')
		str_addf(out, " WHERE (%s)", f->where);
	return true;
}

enum auth_result sqlquery_record(const struct sql_cell *cell, unsigned n, const char *user, struct account *out,
    struct str *why)
{
	struct sql_cell none[SQL_COLUMNS] = { { NULL, 0 } };

	if (n < SQL_COLUMNS_LEAST) {
		str_addf(why, "the answer has %u columns; %d are needed at least", n, SQL_COLUMNS_LEAST);
		return AUTH_BROKEN;
	}
	memcpy(none, cell, MIN(n, (unsigned)SQL_COLUMNS) * sizeof(*cell));
	cell = none;
	if (cell[5].p == NULL || cell[5].len == 0)
		return AUTH_UNKNOWN;
	if (cell[0].p == NULL || cell[0].len == 0)
		account_set(&out->name, user);
	else if (!record_set(&out->name, cell[0].p, cell[0].len, ACCOUNT_NAME_MAX, "name", why))
		return AUTH_BROKEN;
	if (record_set(&out->hash, cell[1].p, cell[1].len, ACCOUNT_HASH_MAX, "hash", why) &&
	    record_set(&out->clear, cell[2].p, cell[2].len, ACCOUNT_PASSWORD_MAX, "clear password", why) &&
	    record_id(cell[3].p, cell[3].len, "uid", &out->uid, why) &&
	    record_id(cell[4].p, cell[4].len, "gid", &out->gid, why) &&
	    record_set(&out->home, cell[5].p, cell[5].len, ACCOUNT_PATH_MAX, "home folder", why) &&
	    record_set(&out->maildir, cell[6].p, cell[6].len, ACCOUNT_PATH_MAX, "maildir", why) &&
	    record_set(&out->quota, cell[7].p, cell[7].len, ACCOUNT_NAME_MAX, "quota", why) &&
	    record_set(&out->fullname, cell[8].p, cell[8].len, ACCOUNT_PATH_MAX, "full name", why) &&
	    record_set(&out->options, cell[9].p, cell[9].len, ACCOUNT_OPTIONS_MAX, "options", why) &&
	    record_check(out, why))
		return AUTH_OK;
	return AUTH_BROKEN;
}

enum auth_result sqlquery_list_record(const struct sql_cell *cell, unsigned n, struct account *out, struct str *why)
{
	struct sql_cell all[SQL_LIST_COLUMNS] = { { NULL, 0 } };

	if (n < SQL_LIST_COLUMNS_LEAST) {
		str_addf(why, "the answer has %u columns; %d are needed at least", n, SQL_LIST_COLUMNS_LEAST);
		return AUTH_BROKEN;
	}
	memcpy(all, cell, MIN(n, (unsigned)SQL_LIST_COLUMNS) * sizeof(*cell));
	if (all[3].p == NULL || all[3].len == 0)
		return AUTH_UNKNOWN;
	if (all[0].p == NULL || all[0].len == 0) {
		str_adds(why, "its name is empty");
		return AUTH_BROKEN;
	}
	if (record_set(&out->name, all[0].p, all[0].len, ACCOUNT_NAME_MAX, "name", why) &&
	    record_id(all[1].p, all[1].len, "uid", &out->uid, why) &&
	    record_id(all[2].p, all[2].len, "gid", &out->gid, why) &&
	    record_set(&out->home, all[3].p, all[3].len, ACCOUNT_PATH_MAX, "home folder", why) &&
	    record_set(&out->maildir, all[4].p, all[4].len, ACCOUNT_PATH_MAX, "maildir", why) &&
	    record_set(&out->options, all[5].p, all[5].len, ACCOUNT_OPTIONS_MAX, "options", why) &&
	    record_check(out, why))
		return AUTH_OK;
	return AUTH_BROKEN;
}
