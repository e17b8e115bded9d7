/* authlib/userdb: lines, images, files that change. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "authlib/password.h"
#include "authlib/userdb_image.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

#define HASH "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="
#define OTHER_HASH "{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ=="
#define STATE "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f" /* digits of a state for md5 */
#define IDS "uid=1000|gid=1000|home=/srv/mail"

static char dir[64], file[128];

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_userdb.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/userdb", dir);
}

static void remove_dir(void)
{
	char *command = mem_printf("rm -rf %s", dir);
	int r UNUSED = system(command);

	mem_free(&command);
}

static void write_bytes(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);

	CU_ASSERT_NOT_EQUAL_FATAL(fd, -1);
	CU_ASSERT_EQUAL(write(fd, text, len), (ssize_t)len);
	close(fd);
}

static void write_file(const char *path, const char *text)
{
	write_bytes(path, text, strlen(text));
}

static struct userdb_report rep;

/* Builds PATH against *DB and, if it worked, puts the new image in its place. */
static enum userdb_status load(const char *path, struct userdb **db, unsigned shrink)
{
	int fd;
	const char *why = NULL;
	enum userdb_status s;
	struct userdb *new;

	userdb_report_fini(&rep);
	userdb_report_init(&rep);
	s = userdb_build(path, *db, shrink, &rep, &fd);
	CU_ASSERT_EQUAL(fd != -1, s == USERDB_BUILT);
	if (fd == -1)
		return s;
	new = userdb_open_fd(fd, &why);
	CU_ASSERT_PTR_NOT_NULL_FATAL(new);
	CU_ASSERT_EQUAL(userdb_count(new), rep.entries);
	CU_ASSERT_EQUAL(new->h->size, rep.bytes);
	userdb_close(db);
	*db = new;
	return s;
}

static enum userdb_status load_text(const char *text, struct userdb **db)
{
	write_file(file, text);
	return load(file, db, 50);
}

static bool reported(const char *text)
{
	return strstr(str_cstr(&rep.text), text) != NULL;
}

static enum auth_result result(const struct userdb *db, const char *name)
{
	struct account a;
	enum auth_result r;

	account_init(&a);
	r = userdb_lookup(db, "imap", name, &a);
	account_fini(&a);
	return r;
}

/* Account NAME is there and PASSWORD "secret" is right. */
static bool works(const struct userdb *db, const char *name)
{
	struct account a;
	bool good;

	account_init(&a);
	good = userdb_lookup(db, "imap", name, &a) == AUTH_OK && auth_check(&a, "secret") == AUTH_OK;
	account_fini(&a);
	return good;
}

static void test_fields(void)
{
	struct userdb *db = NULL;
	struct account a;
	char field[256];

	make_dir();
	CU_ASSERT_EQUAL(load_text("# comment\n\n   \n"
	                          "user@example.com\tuid=1001|gid=1002|home=/srv/mail/"
	                          "user|mail=Maildir|quota=1000000S|gecos=A User,Room 1|shell=/bin/sh|"
	                          "options=mailhost=servera.example.com,disablepop3=1|systempw=" HASH
	                          "|imappw=" OTHER_HASH "|hmac-md5pw=" STATE "|esmtppw=" HASH "\n"
	                          "1001=\tuser@example.com\n"
	                          "no\tpassword=|" IDS "|_=x/\n"
	                          "\xd0\xb8@\xd1\x8f\t" IDS "\r\n",
	                    &db),
	    USERDB_BUILT);
	CU_ASSERT_EQUAL(rep.entries, 3);
	CU_ASSERT_EQUAL(rep.broken, 0);
	CU_ASSERT_EQUAL(rep.text.len, 0);
	account_init(&a);
	CU_ASSERT_EQUAL(userdb_lookup(db, "imap", "user@example.com", &a), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.name, "user@example.com");
	CU_ASSERT_STRING_EQUAL(a.home, "/srv/mail/user");
	CU_ASSERT_STRING_EQUAL(a.maildir, "Maildir");
	CU_ASSERT_STRING_EQUAL(a.quota, "1000000S");
	CU_ASSERT_STRING_EQUAL(a.fullname, "A User,Room 1");
	CU_ASSERT_STRING_EQUAL(a.options, "mailhost=servera.example.com,disablepop3=1");
	CU_ASSERT_STRING_EQUAL(a.hash, OTHER_HASH);
	CU_ASSERT_STRING_EQUAL(a.hmac, "md5=" STATE);
	CU_ASSERT_STRING_EQUAL(a.clear, "");
	CU_ASSERT_EQUAL(a.uid, 1001);
	CU_ASSERT_EQUAL(a.gid, 1002);
	CU_ASSERT_EQUAL(userdb_lookup(db, "pop3", "user@example.com", &a), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.hash, HASH);
	CU_ASSERT_EQUAL(userdb_lookup(db, "imap", "no", &a), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.hash, "");
	CU_ASSERT_EQUAL(userdb_lookup(db, "imap", "\xd0\xb8@\xd1\x8f", &a), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.home, "/srv/mail");
	account_fini(&a);
	CU_ASSERT_EQUAL(result(db, "USER@example.com"), AUTH_UNKNOWN);
	CU_ASSERT_EQUAL(result(db, ""), AUTH_UNKNOWN);
	CU_ASSERT_EQUAL(result(db, "1001="), AUTH_UNKNOWN);
	CU_ASSERT_EQUAL(result(NULL, "no"), AUTH_TRY_LATER);
	userdb_origin(db, "user@example.com", field, sizeof(field));
	CU_ASSERT_PTR_NOT_NULL(strstr(field, "/userdb:4"));
	CU_ASSERT_STRING_EQUAL(userdb_origin(db, "nobody", field, sizeof(field)), "");
	userdb_close(&db);
	remove_dir();
}

static void test_bad_lines(void)
{
	static const struct {
		const char *name, *line, *why;
	} bad[] = {
		{ "a", "a\tuid=1|gid=1", "home is missing" },
		{ "a", "a\thome=/x|gid=1", "uid is missing" },
		{ "a", "a\thome=/x|uid=1", "gid is missing" },
		{ "a", "a\t", "home is missing" },
		{ "a", "a\thome=|uid=1|gid=1", "home is missing" },
		{ "a", "a\thome=x|uid=1|gid=1", "absolute" },
		{ "a", "a\thome=/x|uid=0|gid=1", "uid 0" },
		{ "a", "a\thome=/x|uid=1|gid=0", "gid 0" },
		{ "a", "a\thome=/x|uid=one|gid=1", "uid is not a number" },
		{ "a", "a\thome=/x|uid=4294967295|gid=1", "uid is not a number" },
		{ "a", "a\thome=/x|uid=-1|gid=1", "uid is not a number" },
		{ "a", "a\thome=/x|uid=1|gid=1 ", "gid is not a number" },
		{ "a", "a\thome=/x|uid=1|gid=1|systempw=secret", "not a hash" },
		{ "a", "a\thome=/x|uid=1|gid=1|imappw={SHA}xx", "truncated or damaged" },
		{ "a", "a\thome=/x|uid=1|gid=1|systempw={NEW}xx", "unknown password scheme" },
		/* Cut, with a newline: two lines joined, a field that an editor broke. */
		{ "a", "a\t" IDS "|systempw={SHA}5en6G6MezRroT3XKqkdPOmY/Bf", "truncated or damaged" },
		{ "a", "a\t" IDS "|systempw={SSHA}5en6G6MezRroT3XKqkdP", "truncated or damaged" },
		{ "a", "a\t" IDS "|systempw={MD5}Xr4ilOzQ4PCOq3aQ0qbua", "truncated or damaged" },
		{ "a", "a\t" IDS "|systempw=$6$salt$shorth", "truncated or damaged" },
		{ "a", "a\t" IDS "|systempw=$6$salt", "truncated or damaged" },
		{ "a", "a\t" IDS "|systempw=$6$", "truncated or damaged" },
		{ "a", "a\t" IDS "|systempw=$1$salt$abc", "truncated or damaged" },
		{ "a", "a\t" IDS "|systempw=$2b$10$abc", "truncated or damaged" },
		{ "a", "a\t" IDS "|systempw=$y$j9T$salt$abc", "truncated or damaged" },
		{ "a", "a\t" IDS "|systempw={CRYPT}$5$salt$abc", "truncated or damaged" },
		{ "a", "a\t" IDS "|systempw={SCRAM-SHA-1}4096,AAAA,BB", "SCRAM" },
		{ "a", "a\t" IDS "|hmac-md5pw=00010203", "hmac-...pw" },
		{ "a", "a\t" IDS "|imap-hmac-sha1pw=" STATE, "hmac-...pw" },
		{ "a", "a\t" IDS "|hmac-md5pw=" STATE "0", "hmac-...pw" },
		{ "a", "a home=/x|uid=1|gid=1", "no TAB" },
		{ "a", "a", "no TAB" },
		{ "a", "a\thome=/x|uid=1|\tgid=1", "control character" },
		{ "a", "a\thome=/x\x01|uid=1|gid=1", "control character" },
		{ "", "\thome=/x|uid=1|gid=1", "no name" },
		{ "", "\x7f\thome=/x|uid=1|gid=1", "control character" },
	};

	make_dir();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct userdb *db = NULL;
		char *text = mem_printf("first\t" IDS "\n%s\nlast\t" IDS "|systempw=" HASH "\n", bad[i].line);
		bool named = bad[i].name[0] != '\0';

		CU_ASSERT_EQUAL(load_text(text, &db), USERDB_BUILT);
		CU_ASSERT_TRUE(reported(bad[i].why));
		CU_ASSERT_TRUE(reported("/userdb:2: "));
		CU_ASSERT_EQUAL(rep.broken, 1);
		CU_ASSERT_EQUAL(result(db, "a"), AUTH_TRY_LATER);
		/* A line without a name may be that account's. */
		CU_ASSERT_EQUAL(result(db, "nobody"), named ? AUTH_UNKNOWN : AUTH_TRY_LATER);
		CU_ASSERT_TRUE(works(db, "last"));
		userdb_close(&db);
		mem_free(&text);
	}
	remove_dir();
}

/* In half a line, or a line of a passwd file, the text before the first TAB or blank is not a name: no hash in it must
 * get into the log. */
static void test_no_hash_is_told(void)
{
	static const char *const lines[] = {
		"534|gid=1|home=/x|systempw={SHA}SECRET=",
		"a@exam/x|systempw={SHA}SECRET= more",
		"systempw={SHA}SECRET=",
		"{SHA}SECRET=",
		"root:$6$salt$SECRET:1:2::",
		"$6$salt$SECRET",
		"x|systempw={SHA}SECRET=b@example.com\tuid=1|gid=1",
		("a=b|SECRET\t" IDS),
	};

	make_dir();
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct userdb *db = NULL;
		char *text = mem_printf("first\t" IDS "\n%s\n%s\n", lines[i], lines[i]);

		CU_ASSERT_EQUAL(load_text(text, &db), USERDB_BUILT);
		CU_ASSERT_TRUE(reported("/userdb:2: ") || reported("/userdb:3: "));
		CU_ASSERT_FALSE(reported("SECRET"));
		userdb_close(&db);
		mem_free(&text);
	}
	remove_dir();
}

/* Editors of other systems put a mark in front of a file; files that are joined have it in the middle. */
static void test_byte_order_mark(void)
{
	static const char text[] = "\xef\xbb\277first\t" IDS "|systempw=" HASH
	                           "\n\xef\xbb\xbf# a comment\n\xef\xbb\277last\t" IDS "|systempw=" HASH "\n";
	struct userdb *db = NULL;

	make_dir();
	CU_ASSERT_EQUAL(load_text(text, &db), USERDB_BUILT);
	CU_ASSERT_EQUAL(rep.entries, 2);
	CU_ASSERT_EQUAL(rep.broken, 0);
	CU_ASSERT_TRUE(works(db, "first"));
	CU_ASSERT_TRUE(works(db, "last"));
	userdb_close(&db);
	remove_dir();
}

static void test_long_lines(void)
{
	struct userdb *db = NULL;
	struct str text = STR_INIT;

	make_dir();
	str_adds(&text, "first\t" IDS "\nlong\t" IDS "|x=");
	for (unsigned i = 0; i < 400000; i++)
		str_addc(&text, 'x');
	str_adds(&text, "\n# ");
	for (unsigned i = 0; i < 400000; i++)
		str_addc(&text, 'x');
	str_adds(&text, "\nlast\t" IDS "|systempw=" HASH "\n");
	for (unsigned i = 0; i < 400000; i++)
		str_addc(&text, 'y');
	str_addc(&text, '\n');
	write_bytes(file, text.data, text.len);
	CU_ASSERT_EQUAL(load(file, &db, 50), USERDB_BUILT);
	CU_ASSERT_EQUAL(result(db, "long"), AUTH_TRY_LATER);
	CU_ASSERT_TRUE(reported("userdb:2: account long: the line is longer"));
	CU_ASSERT_FALSE(reported("userdb:3:"));
	CU_ASSERT_TRUE(reported("userdb:5: the line is longer"));
	CU_ASSERT_TRUE(works(db, "last"));
	userdb_close(&db);
	str_clear(&text);
	for (unsigned i = 0; i < 1000; i++)
		str_addf(&text, "u%u\tuid=%u\n", i, i);
	write_bytes(file, text.data, text.len);
	CU_ASSERT_EQUAL(load(file, &db, 50), USERDB_BUILT);
	CU_ASSERT_EQUAL(rep.broken, 1000);
	CU_ASSERT_TRUE(rep.text.len < USERDB_REPORT_TEXT_MAX);
	CU_ASSERT_TRUE(reported("more lines of this kind\n"));
	userdb_close(&db);
	str_fini(&text);
	remove_dir();
}

static void test_duplicates(void)
{
	struct userdb *db = NULL;

	make_dir();
	CU_ASSERT_EQUAL(load_text("a\t" IDS "|systempw=" HASH "\na\t" IDS "|systempw=" OTHER_HASH "\na\tbad\n", &db),
	    USERDB_BUILT);
	CU_ASSERT_EQUAL(rep.entries, 1);
	CU_ASSERT_EQUAL(rep.duplicates, 2);
	CU_ASSERT_TRUE(reported("/userdb:2: duplicate account a; the first line is used"));
	CU_ASSERT_TRUE(works(db, "a"));
	userdb_close(&db);
	remove_dir();
}

static void test_keeps_last_good(void)
{
	struct userdb *db = NULL;
	char origin[256];

	make_dir();
	load_text("a\t" IDS "|options=x=1|systempw=" HASH "\nb\t" IDS "|systempw=" HASH "\n", &db);
	CU_ASSERT_EQUAL(load_text("# new\nb\t" IDS "|systempw=" OTHER_HASH "\na\tuid=1000|gid=10\n", &db),
	    USERDB_BUILT);
	CU_ASSERT_EQUAL(rep.kept, 1);
	CU_ASSERT_TRUE(reported("/userdb:3: account a: home is missing; its previous state stays in use"));
	CU_ASSERT_TRUE(works(db, "a"));
	CU_ASSERT_PTR_NOT_NULL(strstr(userdb_origin(db, "a", origin, sizeof(origin)), ":3 (kept from"));
	/* and again: what was kept is still kept */
	CU_ASSERT_EQUAL(load_text("b\t" IDS "\na\tuid=1000|gid=10\n", &db), USERDB_BUILT);
	CU_ASSERT_TRUE(works(db, "a"));
	/* repaired */
	CU_ASSERT_EQUAL(load_text("b\t" IDS "\na\t" IDS "|systempw=!\n", &db), USERDB_BUILT);
	CU_ASSERT_EQUAL(rep.kept, 0);
	CU_ASSERT_FALSE(works(db, "a"));
	CU_ASSERT_EQUAL(result(db, "a"), AUTH_OK);
	/* a bad line of an account that was broken before and is new */
	CU_ASSERT_EQUAL(load_text("b\t" IDS "\na\t" IDS "\nc\tx\n", &db), USERDB_BUILT);
	CU_ASSERT_EQUAL(load_text("b\t" IDS "\na\t" IDS "\nc\ty\n", &db), USERDB_BUILT);
	CU_ASSERT_EQUAL(result(db, "c"), AUTH_TRY_LATER);
	userdb_close(&db);
	remove_dir();
}

/* The file cut at each byte: refused, unless a line ends there; accounts that could log in still can, and none is
 * unknown. */
static void test_cut_at_every_byte(void)
{
	static const char text[] =
	    "ann@example.com\tuid=1001|gid=1001|home=/srv/mail/ann|systempw=" HASH "|options=mailhost=a.example.com\n"
	    "# a comment\nbob@example.com\thome=/srv/mail/bob|uid=1002|gid=1002|mail=Maildir|systempw=" HASH "\r\n\n"
	    "bo@example.com\tsystempw=" HASH "|home=/srv/mail/bo|gid=1003|uid=1003\n   \n";
	static const char *const names[] = { "ann@example.com", "bob@example.com", "bo@example.com" };
	struct userdb *db = NULL;

	make_dir();
	CU_ASSERT_EQUAL(load_text(text, &db), USERDB_BUILT);
	for (size_t n = 0; n < sizeof(text) - 1; n++) {
		bool line = n != 0 && text[n - 1] == '\n';
		struct userdb *fresh = NULL;
		unsigned lines = 1;

		for (size_t i = 0; i < n; i++)
			lines += text[i] == '\n';
		write_bytes(file, text, n);
		CU_ASSERT_EQUAL(load(file, &fresh, 100), line ? USERDB_BUILT : n == 0 ? USERDB_EMPTY : USERDB_CUT);
		userdb_close(&fresh);
		if (line)
			continue; /* it cannot be detected: the percentage guards against that */
		CU_ASSERT_EQUAL(load(file, &db, 100), n == 0 ? USERDB_EMPTY : USERDB_CUT);
		CU_ASSERT_TRUE(
		    reported(n == 0 ? "/userdb: it is empty" : "the last line has no newline and may be truncated"));
		CU_ASSERT_TRUE(reported("rename it into place"));
		if (n != 0) {
			char at[32];

			snprintf(at, sizeof(at), "/userdb:%u: the last line", lines);
			CU_ASSERT_TRUE(reported(at));
		}
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			CU_ASSERT_TRUE(works(db, names[i]));
	}
	userdb_close(&db);
	remove_dir();
}

/* What a power cut or a broken disk leaves: zeros at the end, in the middle, everywhere; and a line that never ends. */
static void test_damaged_file(void)
{
	struct str text = STR_INIT;
	struct userdb *db = NULL;

	make_dir();
	str_adds(&text, "ann\t" IDS "|systempw=" HASH "\nbob\t" IDS "|systempw=" HASH "\n");
	CU_ASSERT_EQUAL(load_text(text.data, &db), USERDB_BUILT);
	for (size_t at = 0; at <= text.len; at++) {
		struct str bad = STR_INIT;

		str_add(&bad, text.data, at);
		str_add(&bad, "\0\0\0", 3);
		str_adds(&bad, text.data + MIN(at + 3, text.len));
		str_addc(&bad, '\n');
		write_bytes(file, bad.data, bad.len);
		CU_ASSERT_EQUAL(load(file, &db, 100), USERDB_CUT);
		CU_ASSERT_TRUE(reported("NUL bytes"));
		CU_ASSERT_TRUE(works(db, "ann") && works(db, "bob"));
		str_fini(&bad);
	}
	memset(text.data, 0, text.len);
	write_bytes(file, text.data, text.len);
	CU_ASSERT_EQUAL(load(file, &db, 100), USERDB_CUT);
	str_clear(&text);
	memset(str_room(&text, 1 << 20), 'x', 1 << 20);
	memcpy(text.data, "bob\t", 4);
	write_bytes(file, text.data, 1 << 20);
	CU_ASSERT_EQUAL(load(file, &db, 100), USERDB_CUT);
	CU_ASSERT_TRUE(reported("/userdb:1: the last line has no newline"));
	text.data[(1 << 20) - 1] = '\n';
	write_bytes(file, text.data, 1 << 20);
	CU_ASSERT_EQUAL(load(file, &db, 100), USERDB_BUILT);
	CU_ASSERT_TRUE(works(db, "bob"));
	str_fini(&text);
	userdb_close(&db);
	remove_dir();
}

static void test_no_newline(void)
{
	struct userdb *db = NULL;

	make_dir();
	/* Only the newline proves that the writer finished: a last line that looks complete may be part of a longer
	 * one. */
	CU_ASSERT_EQUAL(load_text("a\t" IDS "|systempw=" HASH, &db), USERDB_CUT);
	CU_ASSERT_TRUE(reported("if it is complete, add the newline"));
	CU_ASSERT_PTR_NULL(db);
	CU_ASSERT_EQUAL(load_text("a\t" IDS "|systempw=" HASH "\n", &db), USERDB_BUILT);
	CU_ASSERT_EQUAL(load_text("a\t" IDS "|systempw=" HASH "\nb\t" IDS "|systempw={PLAIN}secr", &db), USERDB_CUT);
	CU_ASSERT_EQUAL(load_text("a\t" IDS "|systempw=" HASH "\n# en", &db), USERDB_CUT);
	CU_ASSERT_EQUAL(load_text("a\t" IDS "|systempw=" HASH "\r", &db), USERDB_CUT);
	CU_ASSERT_TRUE(works(db, "a"));
	/* An empty file is accepted if the settings say so. */
	userdb_close(&db);
	CU_ASSERT_EQUAL(load_text("", &db), USERDB_EMPTY);
	CU_ASSERT_EQUAL(load_text("# none yet\n", &db), USERDB_BUILT);
	CU_ASSERT_EQUAL(result(db, "a"), AUTH_UNKNOWN);
	userdb_close(&db);
	remove_dir();
}

/* A line without a name: while it is there, no account counts as gone. */
static void test_nameless_line(void)
{
	struct userdb *db = NULL;

	make_dir();
	load_text("a\t" IDS "|systempw=" HASH "\nb\t" IDS "|systempw=" HASH "\n", &db);
	CU_ASSERT_EQUAL(load_text("a\t" IDS "|systempw=" HASH "\n\t" IDS "|systempw=" HASH "\n", &db), USERDB_BUILT);
	CU_ASSERT_TRUE(works(db, "a"));
	CU_ASSERT_TRUE(works(db, "b"));
	CU_ASSERT_EQUAL(result(db, "c"), AUTH_TRY_LATER);
	CU_ASSERT_TRUE(reported("/userdb:2: no name before the TAB; the account name of this line is unknown"));
	CU_ASSERT_EQUAL(load_text("a\t" IDS "|systempw=" HASH "\n", &db), USERDB_BUILT);
	CU_ASSERT_EQUAL(result(db, "b"), AUTH_UNKNOWN);
	userdb_close(&db);
	remove_dir();
}

static void make_accounts(struct str *text, unsigned from, unsigned end)
{
	str_clear(text);
	for (unsigned i = from; i < end; i++)
		str_addf(text, "u%u@example.com\t" IDS "/%u|options=mailhost=n%u|systempw=" HASH "\n", i, i, i % 3);
}

static void test_shrink(void)
{
	struct userdb *db = NULL;
	struct str text = STR_INIT;

	make_dir();
	make_accounts(&text, 0, 100);
	load_text(text.data, &db);
	CU_ASSERT_EQUAL(rep.entries, 100);
	make_accounts(&text, 0, 49);
	CU_ASSERT_EQUAL(load_text(text.data, &db), USERDB_SHRUNK);
	CU_ASSERT_EQUAL(rep.lost, 51);
	CU_ASSERT_TRUE(reported("51 of 100 accounts are gone, more than USERDB_SHRINK = 50 %"));
	CU_ASSERT_TRUE(works(db, "u99@example.com"));
	/* equally many, but different */
	make_accounts(&text, 60, 160);
	CU_ASSERT_EQUAL(load_text(text.data, &db), USERDB_SHRUNK);
	make_accounts(&text, 0, 50);
	CU_ASSERT_EQUAL(load_text(text.data, &db), USERDB_BUILT);
	CU_ASSERT_EQUAL(result(db, "u99@example.com"), AUTH_UNKNOWN);
	CU_ASSERT_EQUAL(load_text("#\n", &db), USERDB_SHRUNK);
	CU_ASSERT_EQUAL(load(file, &db, 100), USERDB_BUILT);
	CU_ASSERT_EQUAL(userdb_count(db), 0);
	CU_ASSERT_EQUAL(result(db, "u0@example.com"), AUTH_UNKNOWN);
	/* a small one may lose most, but not all */
	make_accounts(&text, 0, 5);
	load_text(text.data, &db);
	make_accounts(&text, 0, 1);
	CU_ASSERT_EQUAL(load_text(text.data, &db), USERDB_BUILT);
	CU_ASSERT_EQUAL(load_text("# nothing\n", &db), USERDB_SHRUNK);
	CU_ASSERT_TRUE(reported("1 of 1 accounts are gone"));
	CU_ASSERT_TRUE(works(db, "u0@example.com"));
	/* all accounts, but hardly a password */
	make_accounts(&text, 0, 40);
	CU_ASSERT_EQUAL(load(file, &db, 100), USERDB_BUILT);
	load_text(text.data, &db);
	for (unsigned left = 20; left != 0; left--) {
		char *pw = strstr(text.data, "systempw=");

		CU_ASSERT_EQUAL(load_text(text.data, &db), USERDB_BUILT);
		CU_ASSERT_PTR_NOT_NULL_FATAL(pw);
		memcpy(pw, "somethin", 8);
	}
	memcpy(strstr(text.data, "systempw="), "somethin", 8);
	/* 20 of 40 are left; of the state before, all but one. */
	CU_ASSERT_EQUAL(load_text(text.data, &db), USERDB_BUILT);
	for (char *pw; (pw = strstr(text.data, "systempw=")) != NULL;)
		memcpy(pw, "somethin", 8);
	CU_ASSERT_EQUAL(load_text(text.data, &db), USERDB_SHRUNK);
	CU_ASSERT_TRUE(reported("passwords are gone, more than USERDB_SHRINK"));
	CU_ASSERT_TRUE(works(db, "u39@example.com"));
	str_fini(&text);
	userdb_close(&db);
	remove_dir();
}

static void put(const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", dir, name);

	write_file(path, text);
	mem_free(&path);
}

static void test_directory(void)
{
	struct userdb *db = NULL;
	struct str text = STR_INIT;
	char origin[256], path[128];

	make_dir();
	snprintf(path, sizeof(path), "%s/b", dir);
	mkdir(path, 0750);
	make_accounts(&text, 0, 40);
	put("a", text.data);
	make_accounts(&text, 40, 80);
	put("b/c", text.data);
	put("z", "one\t" IDS "|systempw=" HASH "\nu0@example.com\t" IDS "\n");
	put("z~", "old\t" IDS "\n");
	put(".lock.z", "hidden\t" IDS "\n");
	put("#z#", "hidden\t" IDS "\n");
	snprintf(path, sizeof(path), "%s/link", dir);
	CU_ASSERT_EQUAL(symlink("/dev/null", path), 0);
	CU_ASSERT_EQUAL(load(dir, &db, 50), USERDB_BUILT);
	CU_ASSERT_EQUAL(rep.files, 3);
	CU_ASSERT_EQUAL(rep.entries, 81);
	CU_ASSERT_EQUAL(rep.duplicates, 1);
	CU_ASSERT_TRUE(works(db, "u0@example.com"));
	CU_ASSERT_TRUE(works(db, "u79@example.com"));
	CU_ASSERT_PTR_NOT_NULL(strstr(userdb_origin(db, "u40@example.com", origin, sizeof(origin)), "/b/c:1"));
	CU_ASSERT_EQUAL(result(db, "old"), AUTH_UNKNOWN);
	CU_ASSERT_EQUAL(result(db, "hidden"), AUTH_UNKNOWN);
	/* one file of it shrinks: little in all, much for that file */
	make_accounts(&text, 40, 50);
	put("b/c", text.data);
	CU_ASSERT_EQUAL(load(dir, &db, 50), USERDB_SHRUNK);
	CU_ASSERT_TRUE(reported("/b/c: 30 of 40 accounts are gone"));
	/* moved from one file to another: nothing is lost */
	make_accounts(&text, 40, 80);
	put("b/d", text.data);
	put("b/c", "# all are in d\n");
	CU_ASSERT_EQUAL(load(dir, &db, 50), USERDB_BUILT);
	CU_ASSERT_EQUAL(rep.lost, 0);
	/* one file that is cut, empty or gone, however small, refuses the whole */
	put("z", "one\t" IDS "|systempw=" HASH);
	CU_ASSERT_EQUAL(load(dir, &db, 50), USERDB_CUT);
	CU_ASSERT_TRUE(reported("/z:1: the last line has no newline"));
	put("z", "");
	CU_ASSERT_EQUAL(load(dir, &db, 50), USERDB_EMPTY);
	CU_ASSERT_TRUE(reported("/z: it is empty"));
	snprintf(path, sizeof(path), "%s/z", dir);
	CU_ASSERT_EQUAL(unlink(path), 0);
	CU_ASSERT_EQUAL(load(dir, &db, 50), USERDB_SHRUNK);
	CU_ASSERT_TRUE(reported("/z: 1 of 1 accounts are gone"));
	CU_ASSERT_TRUE(works(db, "one"));
	CU_ASSERT_EQUAL(load(dir, &db, 100), USERDB_BUILT);
	CU_ASSERT_EQUAL(result(db, "one"), AUTH_UNKNOWN);
	str_fini(&text);
	userdb_close(&db);
	remove_dir();
}

static void test_missing(void)
{
	struct userdb *db = NULL;

	make_dir();
	CU_ASSERT_EQUAL(load(file, &db, 50), USERDB_MISSING);
	CU_ASSERT_TRUE(reported("No such file"));
	load_text("a\t" IDS "|systempw=" HASH "\n", &db);
	unlink(file);
	CU_ASSERT_EQUAL(load(file, &db, 50), USERDB_MISSING);
	CU_ASSERT_TRUE(works(db, "a"));
	userdb_close(&db);
	remove_dir();
}

static void test_permissions(void)
{
	struct userdb *db = NULL;

	make_dir();
	load_text("a\t" IDS "\n", &db);
	CU_ASSERT_FALSE(reported("chmod"));
	chmod(file, 0644);
	CU_ASSERT_EQUAL(load(file, &db, 50), USERDB_BUILT);
	CU_ASSERT_TRUE(reported("is readable by everyone"));
	chmod(file, 0660);
	CU_ASSERT_EQUAL(load(file, &db, 50), USERDB_BUILT);
	CU_ASSERT_TRUE(reported("is writable by others"));
	userdb_close(&db);
	remove_dir();
}

static void test_dummy(void)
{
	struct userdb *db = NULL;
	char scheme[16];

	make_dir();
	CU_ASSERT_TRUE(password_is_slow(userdb_dummy_hash(NULL)));
	load_text("a\t" IDS "|systempw=" HASH "\nb\t" IDS "|systempw=" OTHER_HASH "\nc\t" IDS "|imappw=" OTHER_HASH
	          "\nd\t" IDS "|systempw=!\n",
	    &db);
	CU_ASSERT_STRING_EQUAL(password_scheme(userdb_dummy_hash(db), scheme), "{MD5}");
	CU_ASSERT_EQUAL(password_check(userdb_dummy_hash(db), "secret"), AUTH_MISMATCH);
	userdb_close(&db);
	remove_dir();
}

static void test_many(void)
{
	struct userdb *db = NULL;
	struct str text = STR_INIT;
	unsigned found = 0;

	make_dir();
	make_accounts(&text, 0, 20000);
	CU_ASSERT_EQUAL(load_text(text.data, &db), USERDB_BUILT);
	for (unsigned i = 0; i < 20000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "u%u@example.com", i);
		found += works(db, name);
		snprintf(name, sizeof(name), "v%u@example.com", i);
		found += result(db, name) != AUTH_UNKNOWN;
	}
	CU_ASSERT_EQUAL(found, 20000);
	CU_ASSERT_TRUE(rep.bytes < text.len + 20000 * 8 + 65536);
	str_fini(&text);
	userdb_close(&db);
	remove_dir();
}

/* A copy of the image with byte AT changed, sealed or not. */
static int forge(const struct userdb *db, size_t len, size_t at, uint8_t flip, bool seal)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t *copy = mem_alloc(len + 1);

	memcpy(copy, db->base, MIN(len, db->mapped));
	copy[at] ^= flip;
	CU_ASSERT_EQUAL(write(fd, copy, len), (ssize_t)len);
	if (seal)
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	mem_free(&copy);
	return fd;
}

static void test_damaged_image(void)
{
	struct userdb *db = NULL, *bad;
	const char *why = NULL;
	size_t len;

	make_dir();
	load_text("a\t" IDS "|options=x|systempw=" HASH "|esmtppw=" HASH "\nb\tx\n\tnameless\n", &db);
	len = db->h->size;
	CU_ASSERT_PTR_NULL(userdb_open_fd(forge(db, len, 0, 0, false), &why));
	CU_ASSERT_PTR_NOT_NULL(why);
	CU_ASSERT_PTR_NULL(userdb_open_fd(forge(db, len - 1, 0, 0, true), &why));
	CU_ASSERT_PTR_NULL(userdb_open_fd(forge(db, 100, 0, 0, true), &why));
	CU_ASSERT_PTR_NULL(userdb_open_fd(forge(db, 0, 0, 0, true), &why));
	CU_ASSERT_PTR_NULL(userdb_open_fd(dup(0), &why));
	/* Any byte changed, in several ways: refused, or read within bounds. */
	for (size_t at = 0; at < len; at++) {
		static const uint8_t flips[] = { 0x01, 0x7f, 0x80, 0xff };

		if (at > offsetof(struct userdb_header, dummy) && at < sizeof(struct userdb_header))
			continue;
		if (at > db->h->slots + 512)
			break;
		for (size_t i = 0; i < ARRAY_LEN(flips); i++) {
			struct userdb *unused = NULL;
			char buf[64];

			if ((bad = userdb_open_fd(forge(db, len, at, flips[i], true), &why)) == NULL)
				continue;
			result(bad, "a");
			result(bad, "b");
			result(bad, "cut short");
			userdb_origin(bad, "a", buf, sizeof(buf));
			if (i == 0 && at % 8 == 0) {
				/* as the old image of a new one */
				userdb_report_fini(&rep);
				userdb_report_init(&rep);
				int fd;
				if (userdb_build(file, bad, 50, &rep, &fd) == USERDB_BUILT)
					unused = userdb_open_fd(fd, &why);
				userdb_close(&unused);
			}
			userdb_close(&bad);
		}
	}
	userdb_close(&db);
	remove_dir();
}

static void set_times(const char *path, time_t mtime)
{
	struct timespec t[2] = { { mtime, 0 }, { mtime, 0 } };

	CU_ASSERT_EQUAL(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void test_watch(void)
{
	struct userdb_watch w;
	char tmp[160];

	make_dir();
	snprintf(tmp, sizeof(tmp), "%s/tmp", dir);
	userdb_watch_init(&w);
	/* missing at first: read at once, to say so, then not again until it is there and at rest */
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 10), 1);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 11), 0);
	write_file(file, "1");
	chmod(file, 0600);
	write_file(file, "12");
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 12), 0);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 13), 1);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 14), 0);
	/* written in place, twice */
	write_file(file, "123");
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 15), 0);
	write_file(file, "1234");
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 16), 0);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 16.5), 0);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 17), 1);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 18), 0);
	/* renamed into place: at once */
	write_file(tmp, "12345");
	set_times(tmp, 1000);
	CU_ASSERT_EQUAL(rename(tmp, file), 0);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 19), 1);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 20), 0);
	/* a reading that failed because of a change: again, at rest */
	userdb_watch_again(&w);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 21), 1);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 22), 0);
	/* gone: reported once */
	unlink(file);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 23), 0);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 24), 1);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 25), 0);
	remove_dir();
}

/* While this is set, time stands still, so that a pause of the machine does not affect the test. */
static time_t fixed_time;
time_t __real_time(time_t *t);
time_t __wrap_time(time_t *t);

time_t __wrap_time(time_t *t)
{
	return fixed_time != 0 ? fixed_time : __real_time(t);
}

/* A start while the file is being written: waits for it, but not for ever. */
static void test_watch_young(void)
{
	struct userdb_watch w;
	char text[] = "123456789";

	make_dir();
	fixed_time = time(NULL) + 3600; /* the files' own clock does not get there */
	userdb_watch_init(&w);
	write_file(file, "1");
	set_times(file, time(NULL) + 1);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 10), 0);
	CU_ASSERT_TRUE(userdb_watch_waits(&w));
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 11), 1);
	CU_ASSERT_FALSE(userdb_watch_waits(&w));
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 12), 0);
	/* written on and on */
	userdb_watch_init(&w);
	for (unsigned i = 1; i <= 6; i++) {
		write_bytes(file, text, i);
		set_times(file, time(NULL) + 1);
		CU_ASSERT_EQUAL(userdb_watch_poll(&w, file, 9 + i), i == 6);
	}
	fixed_time = 0;
	remove_dir();
}

static void test_watch_directory(void)
{
	struct userdb_watch w;

	make_dir();
	snprintf(file, sizeof(file), "%s/a", dir);
	put("a", "1");
	set_times(file, 1000);
	userdb_watch_init(&w);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, dir, 10), 1);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, dir, 11), 0);
	put("a", "12");
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, dir, 12), 0);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, dir, 13), 1);
	put("b", "1");
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, dir, 14), 0);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, dir, 15), 1);
	put(".tmp.b", "1");
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, dir, 16), 0);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, dir, 17), 0);
	remove_dir();
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, dir, 18), 0);
	CU_ASSERT_EQUAL(userdb_watch_poll(&w, dir, 19), 1);
}

static void test_another_path(void)
{
	struct userdb *db = NULL;
	struct str text = STR_INIT;

	make_dir();
	make_accounts(&text, 0, 100);
	load_text(text.data, &db);
	put("other", "a\t" IDS "|systempw=" HASH "\nu1@example.com\tbad\n");
	snprintf(file, sizeof(file), "%s/other", dir);
	CU_ASSERT_EQUAL(load(file, &db, 50), USERDB_BUILT);
	CU_ASSERT_EQUAL(rep.lost, 0);
	CU_ASSERT_EQUAL(result(db, "u1@example.com"), AUTH_TRY_LATER);
	CU_ASSERT_TRUE(works(db, "a"));
	str_fini(&text);
	userdb_close(&db);
	remove_dir();
}

struct told {
	struct str text;
	unsigned most;
};

static bool tell(void *arg, const struct account *a, const char *why)
{
	struct told *t = arg;

	CU_ASSERT_STRING_EQUAL(a->hash, "");
	str_addf(&t->text, "%s %u %u %s %s %s;", a->name, a->uid, a->gid, a->home, a->options,
	    why != NULL ? "bad" : "good");
	return --t->most != 0;
}

static bool each(const struct userdb *db, unsigned most, const char *want)
{
	struct told t = { STR_INIT, most };
	struct str why = STR_INIT;
	bool all = userdb_each(db, tell, &t, &why);

	CU_ASSERT_STRING_EQUAL(str_cstr(&t.text), want);
	str_fini(&t.text);
	str_fini(&why);
	return all;
}

static void test_each(void)
{
	struct userdb *db = NULL;

	make_dir();
	load_text("#\n", &db);
	CU_ASSERT_TRUE(each(db, 9, ""));
	load_text("z\tuid=7|gid=8|home=/z|options=a=1|systempw=" HASH
	          "\nb\tbad\na\tuid=5|gid=6|home=/a|options=a=1\nz\tuid=1|gid=1|home=/\n",
	    &db);
	CU_ASSERT_TRUE(each(db, 9, "z 7 8 /z a=1 good;b 0 0   bad;a 5 6 /a a=1 good;"));
	CU_ASSERT_FALSE(each(db, 1, "z 7 8 /z a=1 good;"));
	/* There may be one more account, whose name is unknown. */
	userdb_close(&db);
	load_text("z\tuid=7|gid=8|home=/z\n\t" IDS "\n", &db);
	CU_ASSERT_FALSE(each(db, 9, "z 7 8 /z  good;"));
	userdb_close(&db);
	remove_dir();
}

static const struct unit_case cases[] = {
	{ "fields", test_fields },
	{ "bad lines", test_bad_lines },
	{ "no hash is told", test_no_hash_is_told },
	{ "byte order mark", test_byte_order_mark },
	{ "long lines, many bad lines", test_long_lines },
	{ "duplicates", test_duplicates },
	{ "the last good record is kept", test_keeps_last_good },
	{ "cut at every byte", test_cut_at_every_byte },
	{ "no newline at the end", test_no_newline },
	{ "damaged file", test_damaged_file },
	{ "a line without a name", test_nameless_line },
	{ "a file that is being written at the start", test_watch_young },
	{ "shrinking", test_shrink },
	{ "directory", test_directory },
	{ "missing", test_missing },
	{ "another path", test_another_path },
	{ "permissions", test_permissions },
	{ "dummy hash", test_dummy },
	{ "20000 accounts", test_many },
	{ "damaged image", test_damaged_image },
	{ "all accounts", test_each },
	{ "watching a file", test_watch },
	{ "watching a directory", test_watch_directory },
	{ NULL, NULL },
};

UNIT_MAIN("userdb", cases)
