/* Queries to directories with names from outside. Input: a byte that picks the dialect, a clause up to a newline, a
 * name. Whatever the name, it stays within the quotes that the author of the clause put it in, and within its
 * parentheses in an LDAP filter. */
#include <stdlib.h>
#include <string.h>

#include "authlib/ldapquery.h"
#include "authlib/sqlquery.h"
#include "lib/mem.h"

/* Escapes like the connections, with a mark after every character of the name. */
static bool escape(void *arg, struct str *out, const char *text, size_t len)
{
	bool mysql = *(enum clause_dialect *)arg == CLAUSE_MYSQL;

	for (size_t i = 0; i < len; i++) {
		if (mysql && strchr("'\"\\", text[i]) != NULL)
			str_addc(out, '\\');
		else if (!mysql && text[i] == '\'')
			str_addc(out, '\'');
		str_addc(out, text[i]);
		str_adds(out, "$(mark)");
	}
	return true;
}

/* No mark is outside of a string, and the text ends outside of quotes. */
static void check_marks(const char *text, enum clause_dialect dialect)
{
	struct clause c;
	struct clause_piece piece;

	clause_begin(&c, text, dialect);
	while (clause_next(&c, &piece))
		if (piece.variable && piece.len == 4 && memcmp(piece.text, "mark", 4) == 0 &&
		    piece.place != CLAUSE_STRING)
			abort();
	if (c.in != 0 && c.in != '-')
		abort();
}

static void check_sql(const char *clause, const char *name, enum clause_dialect dialect)
{
	struct sql_fields f = { .dialect = dialect, .select = clause, .default_domain = "" };
	struct str out = STR_INIT;

	/* A $ right before a variable would look like the start of another one, but only to this test. */
	if (clause[0] != '\0' && strstr(clause, "$$(") == NULL && clause_mistake(clause, dialect) == NULL &&
	    sqlquery_build(&out, &f, "imap", name, escape, &dialect))
		check_marks(str_cstr(&out), dialect);
	str_fini(&out);
}

static unsigned count(const char *text, char c)
{
	unsigned n = 0;

	for (; *text != '\0'; text++)
		n += *text == c;
	return n;
}

static void check_ldap(const char *name)
{
	struct ldap_fields f = { .mail = "mail",
		.filter = "(a=b)",
		.domain = "d",
		.emailmap = "(&(u=@user@)(r=@realm@))",
		.emailmap_mail = "" };
	struct str out = STR_INIT;

	ldapquery_filter(&out, &f, name);
	if (count(str_cstr(&out), '(') != 3 || count(str_cstr(&out), ')') != 3 || count(str_cstr(&out), '*') != 0)
		abort();
	str_clear(&out);
	if (ldapquery_is_mapped(&f, name)) {
		ldapquery_map_filter(&out, &f, name);
		if (count(str_cstr(&out), '(') != 3 || count(str_cstr(&out), ')') != 3 ||
		    count(str_cstr(&out), '*') != 0)
			abort();
	}
	str_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum clause_dialect dialects[] = { CLAUSE_PGSQL, CLAUSE_MYSQL, CLAUSE_SQLITE };
	char *text = mem_memdup(data, size), *name;

	if (size != 0 && (name = strchr(text + 1, '\n')) != NULL) {
		*name++ = '\0';
		check_sql(text + 1, name, dialects[data[0] % ARRAY_LEN(dialects)]);
		check_ldap(name);
	}
	mem_free(&text);
	return 0;
}
