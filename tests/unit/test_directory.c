/* What the drivers of directories share; needs no directory. */
#include <string.h>

#include "authlib/directory.h"
#include "authlib/dirnews.h"
#include "authlib/ldapquery.h"
#include "authlib/record.h"
#include "authlib/sqlquery.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

/* --- clauses --- */

static void test_clause_places(void)
{
	static const struct {
		const char *text;
		enum clause_dialect dialect;
		enum clause_place place;
	} t[] = {
		{ "a = $(local_part)", CLAUSE_MYSQL, CLAUSE_BARE },
		{ "a = '$(local_part)'", CLAUSE_MYSQL, CLAUSE_STRING },
		{ "a = 'x''$(local_part)'", CLAUSE_MYSQL, CLAUSE_STRING },
		{ "a = 'x' $(local_part)'", CLAUSE_MYSQL, CLAUSE_BARE },
		{ "a = 'it\\'s $(local_part)'", CLAUSE_MYSQL, CLAUSE_STRING },
		{ "a = 'it\\'s $(local_part)'", CLAUSE_PGSQL, CLAUSE_BARE },
		{ "a = \"$(local_part)\"", CLAUSE_MYSQL, CLAUSE_STRING },
		{ "a = \"it's $(local_part)\"", CLAUSE_MYSQL, CLAUSE_STRING },
		{ "a = \"$(local_part)\"", CLAUSE_PGSQL, CLAUSE_IDENTIFIER },
		{ "FROM `$(local_part)`", CLAUSE_MYSQL, CLAUSE_IDENTIFIER },
		{ "FROM `\\`$(local_part)", CLAUSE_MYSQL, CLAUSE_BARE },
		{ "FROM '`$(local_part)`", CLAUSE_PGSQL, CLAUSE_STRING },
		{ "a = '\\$(local_part)'", CLAUSE_MYSQL, CLAUSE_UNSAFE },
		{ "a = '\\\\$(local_part)'", CLAUSE_MYSQL, CLAUSE_STRING },
		{ "a = '\\\\\\$(local_part)'", CLAUSE_MYSQL, CLAUSE_UNSAFE },
		{ "a = '\\$(local_part)'", CLAUSE_PGSQL, CLAUSE_STRING },
		{ "a = E'$(local_part)'", CLAUSE_PGSQL, CLAUSE_UNSAFE },
		{ "a = e'x''$(local_part)'", CLAUSE_PGSQL, CLAUSE_UNSAFE },
		{ "a = namE'$(local_part)'", CLAUSE_PGSQL, CLAUSE_STRING },
		{ "a = E'x' AND b = '$(local_part)'", CLAUSE_PGSQL, CLAUSE_STRING },
		{ "/* don't */ a = '$(local_part)'", CLAUSE_PGSQL, CLAUSE_STRING },
		{ "/* don't $(local_part) */", CLAUSE_PGSQL, CLAUSE_UNSAFE },
		{ "a -- $(local_part)", CLAUSE_PGSQL, CLAUSE_UNSAFE },
		{ "5--3 = '$(local_part)'", CLAUSE_MYSQL, CLAUSE_STRING },
		{ "a # $(local_part)", CLAUSE_MYSQL, CLAUSE_UNSAFE },
		{ "a # '$(local_part)'", CLAUSE_PGSQL, CLAUSE_STRING },
		{ "a = '$(local_part)'", CLAUSE_SQLITE, CLAUSE_STRING },
		{ "a = 'x''$(local_part)'", CLAUSE_SQLITE, CLAUSE_STRING },
		{ "a = '\\$(local_part)'", CLAUSE_SQLITE, CLAUSE_STRING },
		{ "a = '\\' || '$(local_part)'", CLAUSE_SQLITE, CLAUSE_STRING },
		{ "a = E'\\' || '$(local_part)'", CLAUSE_SQLITE, CLAUSE_STRING },
		{ "a = \"$(local_part)\"", CLAUSE_SQLITE, CLAUSE_IDENTIFIER },
		{ "a = `$(local_part)`", CLAUSE_SQLITE, CLAUSE_IDENTIFIER },
		{ "a = [$(local_part)]", CLAUSE_SQLITE, CLAUSE_IDENTIFIER },
		{ "[a'] = '$(local_part)'", CLAUSE_SQLITE, CLAUSE_STRING },
		{ "[a]] = '$(local_part)'", CLAUSE_SQLITE, CLAUSE_STRING },
		{ "a = '[' || $(local_part)", CLAUSE_SQLITE, CLAUSE_BARE },
		{ "a[1] = '$(local_part)'", CLAUSE_PGSQL, CLAUSE_STRING },
		{ "a--$(local_part)", CLAUSE_SQLITE, CLAUSE_UNSAFE },
		{ "/* don't */ a = '$(local_part)'", CLAUSE_SQLITE, CLAUSE_STRING },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct clause c;
		struct clause_piece piece = { .variable = false };

		clause_begin(&c, t[i].text, t[i].dialect);
		while (!piece.variable && clause_next(&c, &piece))
			;
		CU_ASSERT_TRUE(piece.variable);
		CU_ASSERT_EQUAL(piece.place, t[i].place);
		if (t[i].place == CLAUSE_BARE || t[i].place == CLAUSE_UNSAFE ||
		    (t[i].place == CLAUSE_IDENTIFIER && t[i].dialect == CLAUSE_SQLITE))
			CU_ASSERT_PTR_NOT_NULL(clause_mistake(t[i].text, t[i].dialect));
	}
}

static void test_clause_mistakes(void)
{
	static const struct {
		const char *text;
		bool mysql, pgsql, sqlite;
	} t[] = {
		{ "", true, true, true },
		{ "SELECT 1", true, true, true },
		{ "SELECT '$(local_part)@$(domain)'", true, true, true },
		{ "SELECT $(service)", true, true, true },
		{ "SELECT $(nothing)", false, false, false },
		{ "SELECT '$(nothing)'", true, true, true },
		{ "SELECT '$(local_part'", false, false, false },
		{ "SELECT 'x", false, false, false },
		{ "SELECT \"x", false, false, false },
		{ "SELECT /* x", false, false, false },
		{ "SELECT 1 -- x", true, true, true },
		{ "SELECT $$x$$", true, false, true },
		{ "SELECT $a$x$a$", true, false, true },
		{ "SELECT a$b", true, true, true },
		{ "SELECT '$', '$$'", true, true, true },
		{ "SELECT 'cost $5'", true, true, true },
		{ "SELECT [x", true, true, false },
		{ "SELECT [x']", false, false, true },
		{ "SELECT \"$(domain)\"", true, true, false },
		{ "SELECT \"$(service)\"", true, true, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		CU_ASSERT_EQUAL(clause_mistake(t[i].text, CLAUSE_MYSQL) == NULL, t[i].mysql);
		CU_ASSERT_EQUAL(clause_mistake(t[i].text, CLAUSE_PGSQL) == NULL, t[i].pgsql);
		CU_ASSERT_EQUAL(clause_mistake(t[i].text, CLAUSE_SQLITE) == NULL, t[i].sqlite);
	}
}

/* --- questions --- */

/* Doubles quotes and backslashes; refuses the byte 0xff. */
static bool escape(void *arg, struct str *out, const char *text, size_t len)
{
	(*(int *)arg)++;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\'' || text[i] == '\\' || text[i] == '"')
			str_addc(out, '\\');
		if (text[i] == '\xff')
			return false;
		str_addc(out, text[i]);
	}
	return true;
}

static struct sql_fields fields(const char *select)
{
	return (struct sql_fields){ .dialect = CLAUSE_MYSQL,
		.select = select,
		.enumerate = "",
		.table = "t",
		.login = "id",
		.crypt = "crypt",
		.clear = "",
		.uid = "uid",
		.gid = "gid",
		.home = "home",
		.name = "",
		.maildir = "maildir",
		.quota = "",
		.delivery = "deliver",
		.options = "CONCAT('mailhost=',h)",
		.where = "",
		.default_domain = "" };
}

static void expect(const struct sql_fields *f, const char *service, const char *user, const char *want)
{
	struct str out = STR_INIT;
	int calls = 0;

	CU_ASSERT_EQUAL(sqlquery_build(&out, f, service, user, escape, &calls), want != NULL);
	if (want != NULL)
		CU_ASSERT_STRING_EQUAL(str_cstr(&out), want);
	str_fini(&out);
}

#define COLUMNS(maildir) \
	"SELECT id, crypt, '', uid, gid, home, " maildir ", '', '', CONCAT('mailhost=',h) FROM t WHERE id = "

static void test_default_question(void)
{
	struct sql_fields f = fields("");

	expect(&f, "imap", "jo@x", COLUMNS("maildir") "'jo@x'");
	expect(&f, "imap", "jo", COLUMNS("maildir") "'jo'");
	expect(&f, "courier", "jo", COLUMNS("deliver") "'jo'");
	expect(&f, "imap", "o'h\\", COLUMNS("maildir") "'o\\'h\\\\'");
	expect(&f, "imap", "\xff", NULL);
	f.default_domain = "example.com";
	f.where = "a OR b";
	expect(&f, "imap", "jo", COLUMNS("maildir") "'jo@example.com' AND (a OR b)");
	expect(&f, "imap", "jo@x", COLUMNS("maildir") "'jo@x' AND (a OR b)");
	f.delivery = "";
	expect(&f, "courier", "jo@x", COLUMNS("maildir") "'jo@x' AND (a OR b)");
}

static void test_clause_question(void)
{
	struct sql_fields f = fields("$ '$(local_part)' \"$(domain)\" $(service) '$(what)' `$(domain)_t` $1");

	expect(&f, "imap", "jo@x.org", "$ 'jo' \"x.org\" imap '' `x.org_t` $1");
	expect(&f, "pop3", "jo", "$ 'jo' \"\" pop3 '' `_t` $1");
	f.default_domain = "example.com";
	expect(&f, "pop3", "jo", "$ 'jo' \"example.com\" pop3 '' `example.com_t` $1");
	expect(&f, "pop3", "a@b@c", "$ 'a' \"b@c\" pop3 '' `b@c_t` $1");
	expect(&f, "pop3", "'\"\\@x", "$ '\\'\\\"\\\\' \"x\" pop3 '' `x_t` $1");
	/* No table can have such a name. */
	expect(&f, "pop3", "jo@x`", NULL);
	expect(&f, "pop3", "jo@x y", NULL);
	expect(&f, "pop3", "jo@\xc3\xbc", NULL);
	expect(&f, "pop3", "\xff@x", NULL);
}

static void test_long_names(void)
{
	struct sql_fields f = fields("'$(local_part)'");
	struct str name = STR_INIT, out = STR_INIT;
	int calls = 0;

	for (int i = 0; i < 2000; i++)
		str_addc(&name, '\'');
	CU_ASSERT_TRUE(sqlquery_build(&out, &f, "imap", str_cstr(&name), escape, &calls));
	CU_ASSERT_EQUAL(out.len, 4002);
	CU_ASSERT_EQUAL(calls, 1);
	str_fini(&name);
	str_fini(&out);
}

/* --- rows --- */

/* clang-format off */
#define CELL(s) { s, sizeof(s) - 1 }
/* clang-format on */

static enum auth_result row(const struct sql_cell *cell, unsigned n, struct account *a, struct str *why)
{
	account_fini(a);
	account_init(a);
	str_clear(why);
	return sqlquery_record(cell, n, "typed", a, why);
}

static void test_rows(void)
{
	struct sql_cell good[] = { CELL("jo"), CELL("$1$x"), CELL("clear"), CELL("1000"), CELL(" 1001 "),
		CELL("/home/jo"), CELL("mail"), CELL("5S"), CELL("Jo, x"), CELL("mailhost=a") };
	struct sql_cell c[SQL_COLUMNS];
	struct account a;
	struct str why = STR_INIT;

	account_init(&a);
	CU_ASSERT_EQUAL(row(good, 10, &a, &why), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.name, "jo");
	CU_ASSERT_STRING_EQUAL(a.hash, "$1$x");
	CU_ASSERT_STRING_EQUAL(a.clear, "clear");
	CU_ASSERT_EQUAL(a.uid, 1000);
	CU_ASSERT_EQUAL(a.gid, 1001);
	CU_ASSERT_STRING_EQUAL(a.home, "/home/jo");
	CU_ASSERT_STRING_EQUAL(a.maildir, "mail");
	CU_ASSERT_STRING_EQUAL(a.quota, "5S");
	CU_ASSERT_STRING_EQUAL(a.fullname, "Jo, x");
	CU_ASSERT_STRING_EQUAL(a.options, "mailhost=a");
	CU_ASSERT_EQUAL(row(good, 6, &a, &why), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.maildir, "");
	CU_ASSERT_STRING_EQUAL(a.options, "");
	CU_ASSERT_EQUAL(row(good, 5, &a, &why), AUTH_BROKEN);
#define CHANGED(i, ...) (memcpy(c, good, sizeof(good)), c[i] = (struct sql_cell)__VA_ARGS__, row(c, 10, &a, &why))
	CU_ASSERT_EQUAL(CHANGED(0, { NULL, 0 }), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.name, "typed");
	CU_ASSERT_EQUAL(CHANGED(0, CELL("a\nb")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(CHANGED(1, { NULL, 0 }), AUTH_OK);
	CU_ASSERT_EQUAL(CHANGED(2, CELL("a\0b")), AUTH_BROKEN);
	/* It would become a line of its own in PASS or LOGIN to a peer. */
	CU_ASSERT_EQUAL(CHANGED(1, CELL("{PLAIN}a\r\nb")), AUTH_BROKEN);
	CU_ASSERT_STRING_EQUAL(str_cstr(&why), "its hash contains a control character");
	CU_ASSERT_EQUAL(CHANGED(2, CELL("a\r\nX LOGOUT")), AUTH_BROKEN);
	CU_ASSERT_STRING_EQUAL(str_cstr(&why), "its clear password contains a control character");
	CU_ASSERT_EQUAL(CHANGED(2, CELL("a\tb")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(CHANGED(2, CELL("a\177")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(CHANGED(2, CELL("p\303\244ss \202\377")), AUTH_OK);
	CU_ASSERT_EQUAL(CHANGED(3, CELL("0")), AUTH_BROKEN);
	CU_ASSERT_STRING_EQUAL(str_cstr(&why), "its uid is 0, which is never allowed");
	CU_ASSERT_EQUAL(CHANGED(3, { NULL, 0 }), AUTH_BROKEN);
	CU_ASSERT_EQUAL(CHANGED(3, CELL("")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(CHANGED(3, CELL("-1")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(CHANGED(3, CELL("4294967296")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(CHANGED(3, CELL("4294967295")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(CHANGED(3, CELL("12x")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(CHANGED(4, CELL("00")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(CHANGED(5, CELL("")), AUTH_UNKNOWN);
	CU_ASSERT_EQUAL(CHANGED(5, { NULL, 0 }), AUTH_UNKNOWN);
	CU_ASSERT_EQUAL(CHANGED(5, CELL("home")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(CHANGED(9, { NULL, 0 }), AUTH_OK);
	CU_ASSERT_EQUAL(CHANGED(9, CELL("mailhost=a\r\n")), AUTH_BROKEN);
	account_fini(&a);
	str_fini(&why);
}

static void expect_list(const struct sql_fields *f, const char *want)
{
	struct str out = STR_INIT;
	int calls = 0;

	CU_ASSERT_EQUAL(sqlquery_build_list(&out, f, escape, &calls), want != NULL);
	if (want != NULL)
		CU_ASSERT_STRING_EQUAL(str_cstr(&out), want);
	str_fini(&out);
}

static void test_list_question(void)
{
	struct sql_fields f = fields("SELECT 1");

	expect_list(&f, "SELECT id, uid, gid, home, maildir, CONCAT('mailhost=',h) FROM t");
	f.where = "a OR b";
	f.maildir = f.options = "";
	expect_list(&f, "SELECT id, uid, gid, home, '', '' FROM t WHERE (a OR b)");
	f.table = "";
	expect_list(&f, NULL);
	f.enumerate = "SELECT '$(local_part)|$(domain)|$(service)'";
	expect_list(&f, "SELECT '||enumerate'");
	f.default_domain = "o'x";
	expect_list(&f, "SELECT '|o\\'x|enumerate'");
}

static enum auth_result list_row(const struct sql_cell *cell, unsigned n, struct account *a, struct str *why)
{
	account_fini(a);
	account_init(a);
	str_clear(why);
	return sqlquery_list_record(cell, n, a, why);
}

static void test_list_rows(void)
{
	struct sql_cell good[] = { CELL("jo"), CELL("1000"), CELL(" 1001 "), CELL("/home/jo"), CELL("mail"),
		CELL("mailhost=a") };
	struct sql_cell c[SQL_LIST_COLUMNS];
	struct account a;
	struct str why = STR_INIT;

	account_init(&a);
	CU_ASSERT_EQUAL(list_row(good, 6, &a, &why), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.name, "jo");
	CU_ASSERT_EQUAL(a.uid, 1000);
	CU_ASSERT_EQUAL(a.gid, 1001);
	CU_ASSERT_STRING_EQUAL(a.home, "/home/jo");
	CU_ASSERT_STRING_EQUAL(a.maildir, "mail");
	CU_ASSERT_STRING_EQUAL(a.options, "mailhost=a");
	CU_ASSERT_EQUAL(list_row(good, 20, &a, &why), AUTH_OK); /* further ones are ignored */
	CU_ASSERT_EQUAL(list_row(good, 4, &a, &why), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.maildir, "");
	CU_ASSERT_STRING_EQUAL(a.options, "");
	CU_ASSERT_EQUAL(list_row(good, 3, &a, &why), AUTH_BROKEN);
#define LIST_CHANGED(i, ...) \
	(memcpy(c, good, sizeof(good)), c[i] = (struct sql_cell)__VA_ARGS__, list_row(c, 6, &a, &why))
	CU_ASSERT_EQUAL(LIST_CHANGED(0, { NULL, 0 }), AUTH_BROKEN);
	CU_ASSERT_EQUAL(LIST_CHANGED(0, CELL("")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(LIST_CHANGED(0, CELL("a\tb")), AUTH_BROKEN);
	CU_ASSERT_STRING_EQUAL(a.name, "");
	CU_ASSERT_EQUAL(LIST_CHANGED(1, CELL("0")), AUTH_BROKEN);
	CU_ASSERT_STRING_EQUAL(a.name, "jo");
	CU_ASSERT_EQUAL(LIST_CHANGED(1, { NULL, 0 }), AUTH_BROKEN);
	CU_ASSERT_EQUAL(LIST_CHANGED(2, CELL("x")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(LIST_CHANGED(3, CELL("")), AUTH_UNKNOWN);
	CU_ASSERT_EQUAL(LIST_CHANGED(3, { NULL, 0 }), AUTH_UNKNOWN);
	CU_ASSERT_EQUAL(LIST_CHANGED(3, CELL("home")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(LIST_CHANGED(4, CELL("a\nb")), AUTH_BROKEN);
	CU_ASSERT_EQUAL(LIST_CHANGED(5, { NULL, 0 }), AUTH_OK);
	CU_ASSERT_EQUAL(LIST_CHANGED(5, CELL("a\0b")), AUTH_BROKEN);
	account_fini(&a);
	str_fini(&why);
}

static void test_limits(void)
{
	struct str why = STR_INIT;
	struct account a;
	char *big = mem_array(1, 9000);

	memset(big, 'x', 8999);
	account_init(&a);
	CU_ASSERT_TRUE(record_set(&a.name, big, 511, 512, "name", &why));
	CU_ASSERT_EQUAL(strlen(a.name), 511);
	CU_ASSERT_FALSE(record_set(&a.name, big, 512, 512, "name", &why));
	CU_ASSERT_STRING_EQUAL(str_cstr(&why), "its name is longer than 511 bytes");
	CU_ASSERT_TRUE(record_set(&a.name, NULL, 7, 512, "name", &why));
	CU_ASSERT_STRING_EQUAL(a.name, "");
	account_fini(&a);
	mem_free(&big);
	str_fini(&why);
}

/* --- LDAP --- */

static struct ldap_fields ldap_fields(void)
{
	return (struct ldap_fields){ .mail = "mail",
		.filter = "",
		.domain = "",
		.emailmap = "",
		.emailmap_mail = "",
		.homedir = "home",
		.mailroot = "",
		.maildir = "dir",
		.delivery = "deliver",
		.quota = "",
		.fullname = "cn",
		.clearpw = "clear",
		.cryptpw = "crypt",
		.uid = "uidN",
		.gid = "gidN",
		.auxoptions = "host=mailhost,bad,=x,y=,HOME=h,off=disableimap" };
}

static void expect_filter(const struct ldap_fields *f, const char *user, const char *want)
{
	struct str out = STR_INIT;

	ldapquery_filter(&out, f, user);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), want);
	str_fini(&out);
}

static void test_filters(void)
{
	struct ldap_fields f = ldap_fields();

	expect_filter(&f, "jo@x", "(mail=jo@x)");
	expect_filter(&f, "jo", "(mail=jo)");
	expect_filter(&f, "*)(mail=*", "(mail=\\2a\\29\\28mail\\3d\\2a)");
	expect_filter(&f, "a\\b'\"%\xc3\xbc\xff", "(mail=a\\5cb\\27\\22\\25\\c3\\bc\\ff)");
	f.filter = "(objectClass=x)";
	f.domain = "e*.org";
	expect_filter(&f, "jo@x", "(&(objectClass=x)(mail=jo@x))");
	expect_filter(&f, "jo", "(&(objectClass=x)(mail=jo@e\\2a.org))");
	f.filter = "objectClass=x";
	expect_filter(&f, "jo@x", "(&(objectClass=x)(mail=jo@x))");
}

static void expect_list_filter(const struct ldap_fields *f, const char *filter, const char *want)
{
	struct str out = STR_INIT;

	ldapquery_list_filter(&out, f, filter);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), want);
	str_fini(&out);
}

static void test_list_filter(void)
{
	struct ldap_fields f = ldap_fields();

	expect_list_filter(&f, "", "(mail=*)");
	f.filter = "objectClass=x";
	expect_list_filter(&f, "", "(&(objectClass=x)(mail=*))");
	f.filter = "(objectClass=x)";
	expect_list_filter(&f, "", "(&(objectClass=x)(mail=*))");
	expect_list_filter(&f, "(a=b)", "(a=b)");
	expect_list_filter(&f, "&(a=b)(c=d)", "(&(a=b)(c=d))");
}

static void test_emailmap(void)
{
	struct ldap_fields f = ldap_fields();
	struct str out = STR_INIT;

	CU_ASSERT_FALSE(ldapquery_is_mapped(&f, "jo@x"));
	f.emailmap = "(&(u=@user@)(r=@realm@)(x=@us@))";
	CU_ASSERT_TRUE(ldapquery_is_mapped(&f, "jo@x"));
	CU_ASSERT_FALSE(ldapquery_is_mapped(&f, "jo"));
	ldapquery_map_filter(&out, &f, "j(o@x@realm@*");
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "(&(u=j\\28o)(r=x@realm@\\2a)(x=@us@))");
	str_clear(&out);
	f.emailmap = "u=@user@";
	ldapquery_map_filter(&out, &f, "@x");
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "(u=)");
	str_clear(&out);
	ldapquery_mapped_filter(&out, &f, "h)*", 3);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "(mail=h\\29\\2a)");
	str_clear(&out);
	f.emailmap_mail = "handle";
	f.filter = "(a=b)";
	ldapquery_mapped_filter(&out, &f, "h\0x", 3);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "(&(a=b)(handle=h\\00x))");
	str_fini(&out);
}

static void test_attrs(void)
{
	struct ldap_fields f = ldap_fields();
	char *attr[LDAP_ATTRS_MAX + 1];
	static const char *const want[] = { "home", "dir", "deliver", "cn", "clear", "crypt", "uidN", "gidN", "host",
		"off" };
	unsigned n = ldapquery_attrs(&f, attr);

	CU_ASSERT_EQUAL_FATAL(n, ARRAY_LEN(want));
	CU_ASSERT_PTR_NULL(attr[n]);
	for (unsigned i = 0; i < n; i++) {
		CU_ASSERT_STRING_EQUAL(attr[i], want[i]);
		mem_free(&attr[i]);
	}
}

struct fake_entry {
	const char *attr, *value;
};

static bool fake_value(void *arg, const char *attr, const char **p, size_t *len)
{
	for (const struct fake_entry *e = arg; e->attr != NULL; e++)
		if (strcmp(e->attr, attr) == 0) {
			*p = e->value;
			*len = strlen(e->value);
			return true;
		}
	return false;
}

static void test_entries(void)
{
	struct ldap_fields f = ldap_fields();
	struct fake_entry e[] = { { "home", "/h" }, { "dir", "m" }, { "deliver", "d" }, { "cn", "Jo" },
		{ "clear", "pw" }, { "crypt", "$1$x" }, { "uidN", "1000" }, { "gidN", "1001" }, { "host", "a b" },
		{ "off", "" }, { NULL, NULL } };
	struct account a;
	struct str why = STR_INIT;

#define READ(service) \
	(account_fini(&a), account_init(&a), str_clear(&why), \
	    ldapquery_record(&f, fake_value, e, service, "jo", &a, &why))
	account_init(&a);
	f.auxoptions = "host=mailhost,off=disableimap,none=x";
	CU_ASSERT_EQUAL(READ("imap"), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.name, "jo");
	CU_ASSERT_STRING_EQUAL(a.home, "/h");
	CU_ASSERT_STRING_EQUAL(a.maildir, "m");
	CU_ASSERT_STRING_EQUAL(a.fullname, "Jo");
	CU_ASSERT_EQUAL(a.uid, 1000);
	CU_ASSERT_EQUAL(a.gid, 1001);
	CU_ASSERT_STRING_EQUAL(a.options, "mailhost=a b");
	/* The clear password alone. */
	CU_ASSERT_STRING_EQUAL(a.clear, "pw");
	CU_ASSERT_STRING_EQUAL(a.hash, "");
	e[4].value = "";
	CU_ASSERT_EQUAL(READ("courier"), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.hash, "$1$x");
	CU_ASSERT_STRING_EQUAL(a.maildir, "d");
	f.mailroot = "/srv";
	e[0].value = "jo";
	e[9].value = "1";
	CU_ASSERT_EQUAL(READ("imap"), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.home, "/srv/jo");
	CU_ASSERT_STRING_EQUAL(a.options, "mailhost=a b,disableimap=1");
	f.mailroot = "";
	CU_ASSERT_EQUAL(READ("imap"), AUTH_BROKEN);
	e[0].value = "/h";
	e[8].value = "a,disableimap=0";
	CU_ASSERT_EQUAL(READ("imap"), AUTH_BROKEN);
	e[8].value = "a";
	e[6].value = "0";
	f.glob_uid = 7;
	CU_ASSERT_EQUAL(READ("imap"), AUTH_BROKEN);
	e[6].value = "";
	CU_ASSERT_EQUAL(READ("imap"), AUTH_OK);
	CU_ASSERT_EQUAL(a.uid, 7);
	f.glob_uid = 0;
	CU_ASSERT_EQUAL(READ("imap"), AUTH_BROKEN);
	e[0].value = "";
	CU_ASSERT_EQUAL(READ("imap"), AUTH_UNKNOWN);
	account_fini(&a);
	str_fini(&why);
}

/* --- servers --- */

static void test_servers(void)
{
	struct directory d;

	directory_init(&d, "authtest");
	for (int i = 0; i < DIRECTORY_SERVERS_MAX; i++)
		CU_ASSERT_TRUE(directory_add(&d, "abc", 3));
	CU_ASSERT_FALSE(directory_add(&d, "abc", 3));
	/* At once: no pause. */
	directory_failed(&d, 0, 10000, 3, "refused");
	CU_ASSERT_EQUAL(directory_next(&d, 0, 10000), 0);
	/* After a wait: longer and longer pauses, up to a limit. */
	for (int i = 0; i < 20; i++)
		directory_failed(&d, 0, 10000, 3000, "slow");
	CU_ASSERT_EQUAL(directory_next(&d, 0, 10000 + DIRECTORY_PAUSE_MAX_MS * 3 / 4 - 1), 1);
	CU_ASSERT_EQUAL(directory_next(&d, ~1U, 10000 + DIRECTORY_PAUSE_MAX_MS * 3 / 4 - 1), d.count);
	CU_ASSERT_EQUAL(directory_next(&d, 0, 10000 + DIRECTORY_PAUSE_MAX_MS), 0);
	directory_answered(&d, 0);
	CU_ASSERT_EQUAL(directory_next(&d, 0, 10000), 0);
	directory_failed(&d, 0, 10000, 3000, "slow");
	CU_ASSERT_EQUAL(directory_next(&d, 0, 10000 + DIRECTORY_PAUSE_MS), 0);
	directory_fini(&d);
}

/* A server that kept a query waiting is tried after the others, but never skipped. */
static void test_silent_server(void)
{
	struct directory d;

	directory_init(&d, "authtest");
	for (int i = 0; i < 3; i++)
		CU_ASSERT_TRUE(directory_add(&d, "abc", 3));
	directory_silent(&d, 0, 10000, 3, "went away");
	CU_ASSERT_EQUAL(directory_next(&d, 0, 10000), 0);
	directory_silent(&d, 0, 10000, 3000, "slow");
	CU_ASSERT_EQUAL(directory_next(&d, 0, 10000), 1);
	CU_ASSERT_EQUAL(directory_next(&d, 1U << 1, 10000), 2);
	CU_ASSERT_EQUAL(directory_next(&d, 1U << 1 | 1U << 2, 10000), 0);
	CU_ASSERT_EQUAL(directory_next(&d, 7, 10000), d.count);
	CU_ASSERT_EQUAL(directory_next(&d, 0, 10000 + DIRECTORY_PAUSE_MS), 0);
	/* The others are down: one refuses, one hangs. */
	directory_failed(&d, 1, 10000, 3, "refused");
	directory_failed(&d, 2, 10000, 3000, "no route");
	CU_ASSERT_EQUAL(directory_next(&d, 0, 10000), 1);
	CU_ASSERT_EQUAL(directory_next(&d, 1U << 1, 10000), 0);
	CU_ASSERT_EQUAL(directory_next(&d, 1U << 1 | 1U, 10000), d.count);
	/* Now even connecting fails. */
	directory_failed(&d, 0, 10000, 3000, "no route");
	CU_ASSERT_EQUAL(directory_next(&d, 1U << 1, 10000), d.count);
	directory_fini(&d);
}

static void test_news(void)
{
	static struct msgw w;
	struct directory d;
	struct dirnews news, back;
	struct msgr r;

	dirnews_take(&news); /* what the tests before left */
	dirnews_fini(&news);
	directory_init(&d, "authtest");
	CU_ASSERT_TRUE(directory_add(&d, "db.example.com", 14));
	directory_failed(&d, 0, 0, 0, "no route\nto host");
	directory_silent(&d, 0, 0, 0, "slow");
	directory_erred(&d, 0, "error");
	directory_answered(&d, 0);
	directory_refused(&d, "no table");
	directory_served(&d);
	directory_fini(&d);
	dirnews_take(&news);
	CU_ASSERT_EQUAL_FATAL(news.n, DIRNEWS_KINDS);
	msgw_begin(&w, 1);
	dirnews_write(&w, &news);
	msgr_begin(&r, w.buf, w.len);
	dirnews_read(&r, &back);
	CU_ASSERT_TRUE(msgr_end(&r));
	CU_ASSERT_EQUAL_FATAL(back.n, DIRNEWS_KINDS);
	for (unsigned i = 0; i < DIRNEWS_KINDS; i++) {
		CU_ASSERT_EQUAL(back.item[i].kind, (enum dirnews_kind)i);
		CU_ASSERT_STRING_EQUAL(back.item[i].driver, "authtest");
		CU_ASSERT_STRING_EQUAL(back.item[i].server, i < DIRNEWS_REFUSED ? "db.example.com" : "");
		CU_ASSERT_STRING_EQUAL(back.item[i].why,
		    i == DIRNEWS_FAILED      ? "no route" :
		        i == DIRNEWS_SILENT  ? "slow" :
		        i == DIRNEWS_ERRED   ? "error" :
		        i == DIRNEWS_REFUSED ? "no table" :
		                               "");
	}
	dirnews_fini(&back);
	for (size_t cut = 2; cut < w.len; cut++) {
		msgr_begin(&r, w.buf, cut);
		dirnews_read(&r, &back);
		CU_ASSERT_FALSE(msgr_end(&r));
		dirnews_fini(&back);
	}
	dirnews_fini(&news);
	/* Bounded, whatever happens. */
	for (int i = 0; i < 3 * DIRNEWS_MAX; i++)
		dirnews_add(DIRNEWS_FAILED, "authtest", "s", "w");
	dirnews_take(&news);
	CU_ASSERT_EQUAL(news.n, DIRNEWS_MAX);
	dirnews_fini(&news);
	msgw_begin(&w, 1);
	msgw_u8(&w, DIRNEWS_MAX + 1);
	msgr_begin(&r, w.buf, w.len);
	dirnews_read(&r, &back);
	CU_ASSERT_TRUE(r.bad && back.n == 0);
	dirnews_fini(&back);
}

static const struct unit_case cases[] = { { "places of variables", test_clause_places },
	{ "mistakes in clauses", test_clause_mistakes }, { "question of fields", test_default_question },
	{ "question of a clause", test_clause_question }, { "long names", test_long_names }, { "rows", test_rows },
	{ "question for a list", test_list_question }, { "rows of a list", test_list_rows }, { "limits", test_limits },
	{ "filters", test_filters }, { "filter of a list", test_list_filter }, { "mapped names", test_emailmap },
	{ "attributes", test_attrs }, { "entries", test_entries }, { "servers", test_servers },
	{ "a server that kept a question waiting", test_silent_server }, { "news of servers", test_news },
	{ NULL, NULL } };

UNIT_MAIN("directory", cases)
