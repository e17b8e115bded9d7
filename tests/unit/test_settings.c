/* settings/: good and bad files, and the messages about them. */
#include "tests/unit/unit.h"

#include <libconfig.h>
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/net.h"
#include "settings/local_server.h"
#include "settings/peer_header.h"
#include "settings/peer_tls.h"
#include "settings/pool_secret.h"
#include "settings/settings_doc.h"
#include "settings/settings_load.h"

/* A folder of the test's own, with a userdb that AUTH_USER may read. */
static char dir[] = "/tmp/test_settings.XXXXXX";
static char userdb[64];

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fputs(text, f);
	fclose(f);
	CU_ASSERT_EQUAL(chmod(path, mode), 0);
}

static const char *in_dir(char buf[128], const char *name)
{
	snprintf(buf, 128, "%s/%s", dir, name);
	return buf;
}

static void set_up(void)
{
	const struct passwd *pw = getpwnam("bin");

	if (userdb[0] != '\0')
		return;
	unsetenv("PROXY_HOSTNAME");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	chmod(dir, 0755);
	snprintf(userdb, sizeof(userdb), "%s/userdb", dir);
	write_file(userdb, "alice\tsystempw=x\n", 0640);
	if (geteuid() == 0 && pw != NULL)
		CU_ASSERT_EQUAL(chown(userdb, pw->pw_uid, pw->pw_gid), 0);
}

/* What the first line leaves out; BARE: there is no such line. */
enum { POP3D = 1, USERDB = 2, BARE = 4 };

/* TEXT after a first line that makes it a complete file; WITHOUT says what that line leaves out. */
static char *whole(const char *text, int without)
{
	struct str s = STR_INIT;

	if ((without & BARE) == 0)
		str_adds(&s,
		    "LOGIN_USER = \"daemon\"; AUTH_USER = \"bin\"; proxy = { PROXY_TRUSTED = \"10.0.0.0/8\"; }; ");
	if ((without & (BARE | USERDB)) == 0)
		str_addf(&s, "authuserdb = { USERDB = \"%s\"; }; ", userdb);
	if ((without & (BARE | POP3D)) == 0)
		str_adds(&s, "pop3d = {}; ");
	str_adds(&s, (without & BARE) == 0 ? "\n" : "");
	str_adds(&s, text);
	return str_steal(&s);
}

/* The settings of TEXT, or NULL with the lines of mistakes in ERRORS. */
static struct settings *load(const char *text, int without, struct str *errors, struct str *warnings)
{
	struct settings_load l;
	struct settings *set = NULL;
	char *all;

	set_up();
	all = whole(text, without);
	if (settings_load_bytes(&l, "t.conf", all, strlen(all), errors, warnings)) {
		set = l.set;
		l.set = NULL;
	}
	settings_load_fini(&l);
	mem_free(&all);
	return set;
}

static struct settings *load_good(const char *text)
{
	struct str errors = STR_INIT, warnings = STR_INIT;
	struct settings *set = load(text, 0, &errors, &warnings);

	CU_ASSERT_STRING_EQUAL(str_cstr(&errors), "");
	if (set == NULL)
		fprintf(stderr, "\n%s\n", str_cstr(&errors));
	CU_ASSERT_PTR_NOT_NULL_FATAL(set);
	str_fini(&errors);
	str_fini(&warnings);
	return set;
}

static void expect(const char *text, const struct str *got, const char *want)
{
	if (strcmp(str_cstr(got), want) != 0)
		fprintf(stderr, "\n--- of:\n%s\n--- got:\n%s--- wanted:\n%s", text, str_cstr(got), want);
	CU_ASSERT_STRING_EQUAL(str_cstr(got), want);
}

struct bad {
	const char *text;
	int without;
	const char *errors;
};

static void run_bad(const struct bad *t, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct str errors = STR_INIT, warnings = STR_INIT;
		struct settings *set = load(t[i].text, t[i].without, &errors, &warnings);

		CU_ASSERT_PTR_NULL(set);
		settings_free(&set);
		expect(t[i].text, &errors, t[i].errors);
		str_fini(&errors);
		str_fini(&warnings);
	}
}

static void test_defaults(void)
{
	struct settings *s = settings_defaults();

	CU_ASSERT_STRING_EQUAL(s->node_RUNDIR, "/run/waypost");
	CU_ASSERT_STRING_EQUAL(s->imapd_PORT, "143");
	CU_ASSERT_STRING_EQUAL(s->pop3d_PORT, "110");
	CU_ASSERT_EQUAL(s->proxy_PROXY_IDLE_TIMEOUT, 1860);
	CU_ASSERT_EQUAL(s->imapd_IMAP_PROXY, false);
	CU_ASSERT_EQUAL(s->imapd_IMAP_MAILBOX_SANITY_CHECK, true);
	settings_free(&s);
	CU_ASSERT_PTR_NULL(s);
	settings_free(&s);
}

/* Each default is allowed by its own row, and each text suits the manual. */
static void test_table(void)
{
	for (const struct settings_row *row = settings_rows; row->name != NULL; row++) {
		size_t len = strlen(row->text);
		int64_t v;

		CU_ASSERT(len > 10 && row->text[len - 1] == '.');
		const struct settings_known *k = settings_known_find(row->group, row->name);

		/* A pattern is for names without a row. */
		CU_ASSERT_TRUE(k == NULL || strchr(k->name, '*') != NULL);
		if (settings_is_text(row->type))
			continue;
		CU_ASSERT_FATAL(settings_parse_number(row->type, row->def, &v));
		CU_ASSERT(row->type == SETTINGS_T_BOOL || (v >= row->least && v <= row->most));
	}
	for (const struct settings_known *k = settings_known; k->name != NULL; k++)
		CU_ASSERT(settings_is_group(k->group) && k->text[0] != '\0');
}

/* What each role reads back of settings that all differ from the defaults. */
static void test_write_read(void)
{
	static const unsigned roles[] = { SETTINGS_FOR_MASTER, SETTINGS_FOR_WORKER, SETTINGS_FOR_AUTHD,
		SETTINGS_FOR_SPAWN, SETTINGS_FOR_KEY };
	struct settings *s = settings_defaults();

	mem_free(&s->authuserdb_USERDB);
	s->authuserdb_USERDB = mem_strdup("/x/userdb");
	mem_free(&s->pool_secret);
	s->pool_secret = mem_strdup("the secret");
	mem_free(&s->self[0]);
	s->self[0] = mem_strdup("a.example.com");
	s->has[PROTOCOL_POP3] = true;
	s->node_LOGIN_TIMEOUT = 33;
	s->imapd_IMAP_PROXY = true;
	s->authdaemonrc_daemons = 77;
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		int fd = settings_write(s, roles[i]);
		struct settings *r = settings_read(fd);
		bool authd = roles[i] == SETTINGS_FOR_AUTHD, worker = roles[i] == SETTINGS_FOR_WORKER;

		CU_ASSERT_PTR_NOT_NULL_FATAL(r);
		CU_ASSERT_STRING_EQUAL(r->self[0], "a.example.com");
		CU_ASSERT_EQUAL(r->has[PROTOCOL_POP3], true);
		CU_ASSERT_EQUAL(r->has[PROTOCOL_IMAP], false);
		CU_ASSERT_EQUAL(r->node_LOGIN_TIMEOUT, worker || authd ? 33 : 60);
		CU_ASSERT_EQUAL(r->imapd_IMAP_PROXY, worker || authd);
		CU_ASSERT_STRING_EQUAL(r->pool_secret, authd ? "the secret" : "");
		settings_free(&r);
		/* The file can be read again. */
		r = settings_read(fd);
		CU_ASSERT_PTR_NOT_NULL(r);
		settings_free(&r);
		close(fd);
	}
	settings_free(&s);
}

/* The bytes that a worker gets contain neither the settings of directories nor the secret. */
static void test_worker_sees_no_accounts(void)
{
	struct settings *s = settings_defaults();
	char buf[65536];
	ssize_t n;
	int fd;

	for (const struct settings_row *row = settings_rows; row->name != NULL; row++)
		if (strncmp(row->group, "auth", 4) == 0) {
			CU_ASSERT_EQUAL(row->roles & (SETTINGS_FOR_WORKER | SETTINGS_FOR_SPAWN | SETTINGS_FOR_KEY), 0);
			if (settings_is_text(row->type)) {
				mem_free(settings_text_at(s, row));
				*settings_text_at(s, row) = mem_strdup("hidden");
			}
		}
	mem_free(&s->pool_secret);
	s->pool_secret = mem_strdup("hidden");
	fd = settings_write(s, SETTINGS_FOR_WORKER);
	n = pread(fd, buf, sizeof(buf), 0);
	CU_ASSERT_FATAL(n > 0 && n < (ssize_t)sizeof(buf));
	CU_ASSERT_PTR_NULL(memmem(buf, (size_t)n, "hidden", 6));
	close(fd);
	settings_free(&s);
}

/* There is no descriptor, or no space for the file: the caller gets an error, and continues. */
static void test_write_without_room(void)
{
	struct settings *s = settings_defaults();
	struct rlimit files, size, none;

	getrlimit(RLIMIT_NOFILE, &files);
	none = (struct rlimit){ 0, files.rlim_max };
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
	CU_ASSERT_EQUAL(settings_write(s, SETTINGS_FOR_AUTHD), -1);
	CU_ASSERT_EQUAL(errno, EMFILE);
	setrlimit(RLIMIT_NOFILE, &files);
	getrlimit(RLIMIT_FSIZE, &size);
	none = (struct rlimit){ 100, size.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &none), 0);
	CU_ASSERT_EQUAL(settings_write(s, SETTINGS_FOR_AUTHD), -1);
	CU_ASSERT_EQUAL(errno, EFBIG);
	setrlimit(RLIMIT_FSIZE, &size);
	signal(SIGXFSZ, SIG_DFL);
	settings_free(&s);
}

static void test_read_damaged(void)
{
	struct settings *s = settings_defaults(), *r;
	int fd = settings_write(s, SETTINGS_FOR_AUTHD);
	off_t size = lseek(fd, 0, SEEK_END);

	for (off_t n = size - 1; n >= 0; n--) {
		CU_ASSERT_EQUAL(ftruncate(fd, n), 0);
		r = settings_read(fd);
		CU_ASSERT_PTR_NULL(r);
	}
	close(fd);
	CU_ASSERT_PTR_NULL(settings_read(-1));
	settings_free(&s);
}

static void test_numbers(void)
{
	static const struct {
		enum settings_type type;
		const char *text;
		bool ok;
		int64_t v;
	} t[] = {
		{ SETTINGS_T_SIZE, "5G", true, 5368709120 },
		{ SETTINGS_T_SIZE, "64k", true, 65536 },
		{ SETTINGS_T_SIZE, "0", true, 0 },
		{ SETTINGS_T_SIZE, "1 MB", true, 1048576 },
		{ SETTINGS_T_SIZE, "5X", false, 0 },
		{ SETTINGS_T_SIZE, "", false, 0 },
		{ SETTINGS_T_SIZE, "9223372036854775807G", false, 0 },
		{ SETTINGS_T_SIZE, "-1", false, 0 },
		{ SETTINGS_T_TIME, "10", true, 10 },
		{ SETTINGS_T_TIME, "10s", true, 10 },
		{ SETTINGS_T_TIME, "5m", true, 300 },
		{ SETTINGS_T_TIME, "1h", true, 3600 },
		{ SETTINGS_T_TIME, "1D", true, 86400 },
		{ SETTINGS_T_TIME, "1h5m", false, 0 },
		{ SETTINGS_T_TIME, "s", false, 0 },
		{ SETTINGS_T_TIME, "1.5h", false, 0 },
		{ SETTINGS_T_BOOL, "1", true, 1 },
		{ SETTINGS_T_BOOL, "0", true, 0 },
		{ SETTINGS_T_BOOL, "7", true, 1 },
		{ SETTINGS_T_BOOL, "Yes", true, 1 },
		{ SETTINGS_T_BOOL, "off", true, 0 },
		{ SETTINGS_T_BOOL, "TRUE", true, 1 },
		{ SETTINGS_T_BOOL, "maybe", false, 0 },
		{ SETTINGS_T_BOOL, "", false, 0 },
		{ SETTINGS_T_INT, "12", true, 12 },
		{ SETTINGS_T_INT, "12k", false, 0 },
		{ SETTINGS_T_INT, " 1", false, 0 },
		{ SETTINGS_T_INT, "9223372036854775808", false, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		int64_t v = 0;

		CU_ASSERT_EQUAL(settings_parse_number(t[i].type, t[i].text, &v), t[i].ok);
		if (t[i].ok)
			CU_ASSERT_EQUAL(v, t[i].v);
	}
}

/* The same value in every natural notation. */
static void test_values(void)
{
	struct settings *s = load_good(
	    "imapd = { PORT = 1143; ADDRESS = 0; IMAP_PROXY = true; MAXDAEMONS = \"12\"; DEBUG_LOGIN = true;\n"
	    "  IMAP_CAPABILITY = [ \"IMAP4rev1\", \"IDLE\" ]; IMAP_APPENDLIMIT = \"64k\"; IMAP_UMASK = \"077\";\n"
	    "  IMAP_INACTIVITY_TIMEOUT = \"1h\"; IMAP_IDLE_TIMEOUT = 90, IMAP_NAMESPACE_PREFIX = \"\"\n"
	    "  IMAP_MAILBOX_SANITY_CHECK = \"no\"; AUTHSERVICE1143 = \"imaps\"; AUTHSERVICE143 = \"imap\" };\n"
	    "authdaemonrc: { daemons: 7, DEFAULTOPTIONS = \"a=1,\" \"b=2\"; };\n"
	    "RUNDIR = \"/run/x/\"; LOG_LEVEL = \"WARN\"; // all of it\n"
	    "/* nothing */ LOG = \"/var/log/waypost.log\" # good\n"
	    "MIN_UID = 2000000000L;\r\n");

	CU_ASSERT_STRING_EQUAL(s->imapd_PORT, "1143");
	CU_ASSERT_STRING_EQUAL(s->imapd_ADDRESS, "0");
	CU_ASSERT_EQUAL(s->imapd_IMAP_PROXY, true);
	CU_ASSERT_EQUAL(s->imapd_MAXDAEMONS, 12);
	CU_ASSERT_EQUAL(s->imapd_DEBUG_LOGIN, 1);
	CU_ASSERT_STRING_EQUAL(s->imapd_IMAP_CAPABILITY, "IMAP4rev1 IDLE");
	CU_ASSERT_EQUAL(s->imapd_IMAP_APPENDLIMIT, 65536);
	CU_ASSERT_STRING_EQUAL(s->imapd_IMAP_UMASK, "077");
	CU_ASSERT_EQUAL(s->imapd_IMAP_INACTIVITY_TIMEOUT, 3600);
	CU_ASSERT_EQUAL(s->imapd_IMAP_IDLE_TIMEOUT, 90);
	CU_ASSERT_STRING_EQUAL(s->imapd_IMAP_NAMESPACE_PREFIX, "");
	CU_ASSERT_EQUAL(s->imapd_IMAP_MAILBOX_SANITY_CHECK, false);
	CU_ASSERT_STRING_EQUAL(s->imapd_AUTHSERVICE, "1143=imaps 143=imap");
	CU_ASSERT_EQUAL(s->authdaemonrc_daemons, 7);
	CU_ASSERT_STRING_EQUAL(s->authdaemonrc_DEFAULTOPTIONS, "a=1,b=2");
	CU_ASSERT_STRING_EQUAL(s->node_RUNDIR, "/run/x");
	CU_ASSERT_STRING_EQUAL(s->node_LOG_LEVEL, "debug");
	CU_ASSERT_STRING_EQUAL(s->node_LOG, "/var/log/waypost.log");
	CU_ASSERT_EQUAL(s->node_MIN_UID, 2000000000);
	CU_ASSERT(
	    s->has[PROTOCOL_IMAP] && s->has[PROTOCOL_POP3] && !s->has_tls[PROTOCOL_IMAP] && !s->has_tls[PROTOCOL_POP3]);
	settings_free(&s);
}

static void test_ports(void)
{
	static const struct {
		const char *list;
		unsigned n;
		const char *address[3];
		uint16_t port[3];
	} t[] = {
		{ "143", 1, { "" }, { 143 } },
		{ "", 0, { NULL }, { 0 } },
		{ " , ", 0, { NULL }, { 0 } },
		{ "1143,127.0.0.9.2143", 2, { "", "127.0.0.9" }, { 1143, 2143 } },
		{ "1143 2143, ::1.3143", 3, { "", "", "::1" }, { 1143, 2143, 3143 } },
		{ "65536", 1, { "" }, { 0 } },
		{ "0", 1, { "" }, { 0 } },
		{ "x", 1, { "" }, { 0 } },
		{ ".5", 1, { "" }, { 0 } },
	};
	char address[SETTINGS_ADDRESS_MAX], buf[32];
	uint16_t port;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		const char *list = t[i].list;
		unsigned n = 0;

		for (; settings_port_next(&list, address, &port) && n < t[i].n; n++) {
			CU_ASSERT_STRING_EQUAL(address, t[i].address[n]);
			CU_ASSERT_EQUAL(port, t[i].port[n]);
		}
		CU_ASSERT_EQUAL(n, t[i].n);
	}
	CU_ASSERT_EQUAL(settings_first_port("127.0.0.9.2143,1143"), 2143);
	CU_ASSERT_EQUAL(settings_first_port(""), 0);
	CU_ASSERT_STRING_EQUAL(settings_authservice("993=imaps 143=x", 143, "imap", buf, sizeof(buf)), "x");
	CU_ASSERT_STRING_EQUAL(settings_authservice("993=imaps 143=x", 993, "imap", buf, sizeof(buf)), "imaps");
	CU_ASSERT_STRING_EQUAL(settings_authservice("993=imaps", 99, "imap", buf, sizeof(buf)), "imap");
	CU_ASSERT_STRING_EQUAL(settings_authservice("", 99, "imap", buf, sizeof(buf)), "imap");
}

static void test_syntax(void)
{
	static const struct bad t[] = {
		{ "imapd = { IMAP_UMASK = 022; };", 0,
		    "t.conf:2: IMAP_UMASK = 022: a number with a leading 0 is read as decimal; remove the 0, or write "
		    "an octal number in quotes\n" },
		{ "MIN_UID = 4294967296;", 0,
		    "t.conf:2: MIN_UID = 4294967296: the number is too large; put it in quotes\n" },
		{ "MIN_UID = 0x1ffffffff;", 0,
		    "t.conf:2: MIN_UID = 0x1ffffffff: the number is too large; write it in decimal, in quotes\n" },
		{ "MIN_UID = 99999999999999999999L;", 0,
		    "t.conf:2: MIN_UID = 99999999999999999999L: the number is too large; put it in quotes\n" },
		{ "LOG = \"stderr;\nMIN_UID = 5;", 0,
		    "t.conf:2: the string does not end on its line; add the closing \"\n"
		    "t.conf:2: LOG = \"stderr;\": expected \"syslog\", \"stderr\" or an absolute path\n" },
		{ "LOG = \"stderr\\\nMIN_UID = 5;", 0,
		    "t.conf:2: the string does not end on its line; add the closing \"\n" },
		{ "/* a\nb\nMIN_UID = 5;", 0, "t.conf:2: the comment has no end; add the closing */\n" },
		{ "MIN_UID = 5;\nMIN_UID = 6;", 0, "t.conf:3: MIN_UID is set twice, first at t.conf:2; remove one\n" },
		{ "imapd = { PORT = 1; };\nimapd = { PORT = 2; };", 0,
		    "t.conf:3: imapd is set twice, first at t.conf:2; remove one\n" },
		{ "imapd { PORT = 0; };", 0,
		    "t.conf:2: imapd: expected = before {\n"
		    "t.conf:2: imapd.PORT = 0: 0 is neither a port from 1 to 65535 nor ADDRESS.PORT with a numeric "
		    "address\n" },
		{ "imapd{ PORT = 0; };", 0, "t.conf:2: imapd: expected = before {\n" },
		{ "MIN_UID 5\nLOGIN_WORKERS = 2;", 0, "t.conf:2: MIN_UID: expected = after the name\n" },
		{ "MIN_UID = ;\nLOGIN_WORKERS = 999;", 0,
		    "t.conf:2: MIN_UID: no value before ;\n"
		    "t.conf:3: LOGIN_WORKERS = 999: expected a whole number from 0 to 256\n" },
		{ "MIN_UID =", 0, "t.conf:2: MIN_UID: no value before the end of the file\n" },
		{ "imapd = { PORT = 1143, 2143; };", 0,
		    "t.conf:2: PORT: unexpected comma before 2143; write several values in one string: \"..., "
		    "...\"\n" },
		{ "imapd = { PORT = 1143 2143; };", 0, "t.conf:2: expected the name of a setting, found 2143\n" },
		{ "imapd = { IMAP_PROXY = yes; };", 0,
		    "t.conf:2: IMAP_PROXY = yes: write true, or \"yes\" in quotes\n" },
		{ "imapd = { IMAP_PROXY = off };", 0,
		    "t.conf:2: IMAP_PROXY = off: write false, or \"off\" in quotes\n" },
		{ "LOG = stderr;", 0, "t.conf:2: LOG = stderr: put text in quotes: \"stderr\"\n" },
		{ "LOG = 'stderr';", 0, "t.conf:2: LOG = 'stderr': use double quotes for text\n" },
		{ "LOGIN_TIMEOUT = 10s;", 0, "t.conf:2: LOGIN_TIMEOUT = 10s: put text in quotes: \"10s\"\n" },
		{ "RUNDIR = /run/waypost;", 0,
		    "t.conf:2: RUNDIR = /run/waypost: put text in quotes: \"/run/waypost\"\n" },
		{ "imapd = { ADDRESS = 127.0.0.1; };", 0,
		    "t.conf:2: ADDRESS = 127.0.0.1: put text in quotes: \"127.0.0.1\"\n" },
		{ "imapd = { IMAP_CAPABILITY = [ \"IMAP4rev1\" \"IDLE\" ]; };", 0,
		    "t.conf:2: IMAP_CAPABILITY: a comma is missing before \"IDLE\"\n" },
		{ "imapd = { IMAP_CAPABILITY = [ \"IMAP4rev1\", 1 ]; };", 0,
		    "t.conf:2: IMAP_CAPABILITY: the values of an array must have one type; put all of them in "
		    "quotes\n" },
		{ "imapd = { IMAP_CAPABILITY = [ \"IMAP4rev1\", ]; };", 0,
		    "t.conf:2: IMAP_CAPABILITY: expected a value of the list, found ]\n" },
		{ "imapd = { IMAP_CAPABILITY = ( \"IMAP4rev1\"; PORT = 5; };", 0,
		    "t.conf:2: IMAP_CAPABILITY: the list has no end; add the closing )\n" },
		{ "imapd = {\n PORT = 1;\n", 0, "t.conf:2: the group has no end; add the closing };\n" },
		{ "imapd = { PORT = 1; };;", 0, "t.conf:2: unexpected ;; remove it\n" },
		{ "imapd = { PORT = 1; } };", 0, "t.conf:2: a } without a {; remove it\n" },
		{ "MIN_UID = 5; @include \"x\"", 0, "t.conf:2: @include must start a line: @include \"FILE\"\n" },
		{ "_x = 1;", 0, "t.conf:2: expected the name of a setting, found _x\n" },
		{ "a=((((((((((((((((((1))))))))))))))))))", 0, "t.conf:2: a: groups are nested too deeply\n" },
		/* All mistakes of a file are reported at once, each with its own line. */
		{ "LOG = x\nMIN_UID = 07;\nPORT = 5;\nimapd = {\n  PORT = 1,2;\n  IMAP_PROXXY = 1;\n};\nLOGIN_WORKERS "
		  "= -1;",
		    0,
		    "t.conf:2: LOG = x: put text in quotes: \"x\"\n"
		    "t.conf:3: MIN_UID = 07: a number with a leading 0 is read as decimal; remove the 0, or write an "
		    "octal number in quotes\n"
		    "t.conf:6: PORT: unexpected comma before 2; write several values in one string: \"..., ...\"\n"
		    "t.conf:4: PORT is not a setting here; move it to imapd or pop3d\n"
		    "t.conf:7: imapd.IMAP_PROXXY is not a setting; did you mean IMAP_PROXY?\n"
		    "t.conf:9: LOGIN_WORKERS = -1: expected a whole number from 0 to 256\n" },
	};

	run_bad(t, ARRAY_LEN(t));
}

static void test_names(void)
{
	static const struct bad t[] = {
		{ "FOO_BAR = 1;", 0, "t.conf:2: FOO_BAR is not a setting; see waypost.conf(5)\n" },
		{ "RUN_DIR = \"/x\";", 0, "t.conf:2: RUN_DIR is not a setting; did you mean RUNDIR?\n" },
		{ "rundir = \"/x\";", 0, "t.conf:2: rundir is not a setting; did you mean RUNDIR?\n" },
		{ "imapd = { port = 1; };", 0, "t.conf:2: imapd.port is not a setting; did you mean PORT?\n" },
		{ "imapd = { POP3_PROXY = 1; };", 0,
		    "t.conf:2: imapd.POP3_PROXY is not a setting here; move it to pop3d\n" },
		{ "imapd = { LOGIN_USER = \"x\"; };", 0,
		    "t.conf:2: imapd.LOGIN_USER is not a setting here; move it to the top level of the file, outside "
		    "of any group\n" },
		{ "imapd = { IMAP_TLS_REQUIRD = 0; };", 0,
		    "t.conf:2: imapd.IMAP_TLS_REQUIRD is not a setting; see waypost.conf(5)\n" },
		{ "imapd-ssl = { IMAP_TLS_REQUIRD = 0; };", 0,
		    "t.conf:2: imapd-ssl.IMAP_TLS_REQUIRD is not a setting; did you mean IMAP_TLS_REQUIRED?\n" },
		{ "imap = { };", 0, "t.conf:2: imap is not a group; did you mean imapd?\n" },
		{ "imapd_ssl = { };", 0, "t.conf:2: imapd_ssl is not a group; did you mean imapd-ssl?\n" },
		{ "node = { };", 0, "t.conf:2: node is not a group; see waypost.conf(5)\n" },
		{ "imapd = 1;", 0, "t.conf:2: imapd is a group: imapd = { ... };\n" },
		{ "imapd = { PORT = { }; };", 0, "t.conf:2: imapd.PORT: expected a value, found a group\n" },
		{ "LOG = [ \"stderr\" ];", 0, "t.conf:2: LOG: expected one value, found a list\n" },
		{ "imapd = { AUTHSERVICE = \"imap\"; };", 0,
		    "t.conf:2: imapd.AUTHSERVICE needs a port: AUTHSERVICE143 = \"...\"\n" },
	};

	run_bad(t, ARRAY_LEN(t));
}

#define MECHS "PLAIN, LOGIN, CRAM-MD5, CRAM-SHA1, CRAM-SHA256, SCRAM-SHA-1 or SCRAM-SHA-256"

static void test_bad_values(void)
{
	static const struct bad t[] = {
		{ "RUNDIR = \"run\";", 0, "t.conf:2: RUNDIR = \"run\": expected an absolute path\n" },
		{ "RUNDIR = \"/\";", 0, "t.conf:2: RUNDIR must be a folder of its own, such as \"/run/waypost\"\n" },
		{ "RUNDIR = "
		  "\"/"
		  "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
		  "\";",
		    0, "t.conf:2: RUNDIR is too long for a socket path; use at most 99 bytes\n" },
		{ "LOG = true;", 0, "t.conf:2: LOG = true: expected text in quotes\n" },
		{ "LOG = \"/tmp/\";", 0, "t.conf:2: LOG = \"/tmp/\": expected a file, found a folder\n" },
		{ "LOG = \"/nonexistent/log\";", 0,
		    "t.conf:2: LOG = \"/nonexistent/log\": there is no folder /nonexistent; create it\n" },
		{ "LOG_LEVEL = \"loud\";", 0,
		    "t.conf:2: LOG_LEVEL = \"loud\": expected \"error\" or \"warn\" or \"info\" or \"debug\"\n" },
		{ "LOGIN_TIMEOUT = \"10 parsecs\";", 0,
		    "t.conf:2: LOGIN_TIMEOUT = \"10 parsecs\": expected a time from 1 to 3600 seconds, such as \"90\", "
		    "\"90s\", \"5m\" or \"1h\"\n" },
		{ "LOGIN_TIMEOUT = 0;", 0,
		    "t.conf:2: LOGIN_TIMEOUT = 0: expected a time from 1 to 3600 seconds, such as \"90\", \"90s\", "
		    "\"5m\" or \"1h\"\n" },
		{ "MIN_UID = 0;", 0, "t.conf:2: MIN_UID = 0: expected a whole number from 1 to 4294967294\n" },
		{ "MIN_UID = 1.5;", 0, "t.conf:2: MIN_UID: expected a whole number\n" },
		{ "MIN_UID = true;", 0, "t.conf:2: MIN_UID = true: expected a whole number from 1 to 4294967294\n" },
		{ "imapd = { IMAP_PROXY = \"maybe\"; };", 0,
		    "t.conf:2: imapd.IMAP_PROXY = \"maybe\": expected 1, 0, true or false\n" },
		{ "imapd = { IMAP_APPENDLIMIT = \"5 miles\"; };", 0,
		    "t.conf:2: imapd.IMAP_APPENDLIMIT = \"5 miles\": expected a size from 0 to 1099511627776 bytes, "
		    "such as \"500\", \"64k\", \"20M\" or \"5G\"\n" },
		{ "imapd = { IMAP_UMASK = 63; };", 0,
		    "t.conf:2: imapd.IMAP_UMASK = 63: expected octal digits in quotes: \"022\"\n" },
		{ "imapd = { IMAP_UMASK = \"099\"; };", 0,
		    "t.conf:2: imapd.IMAP_UMASK = \"099\": expected octal digits in quotes: \"022\"\n" },
		{ "imapd = { IMAP_NAMESPACE_PREFIX = \"Mail.\"; };", 0,
		    "t.conf:2: imapd.IMAP_NAMESPACE_PREFIX = \"Mail.\": expected \"INBOX.\" or \"\"\n" },
		{ "imapd = { PORT = 70000; };", 0,
		    "t.conf:2: imapd.PORT = 70000: 70000 is neither a port from 1 to 65535 nor ADDRESS.PORT with a "
		    "numeric address\n" },
		{ "imapd = { PORT = \"143,host.143\"; };", 0,
		    "t.conf:2: imapd.PORT = \"143,host.143\": host.143 is neither a port from 1 to 65535 nor "
		    "ADDRESS.PORT with a numeric address\n" },
		{ "imapd = { PORT = \"\"; };", 0,
		    "t.conf:2: imapd.PORT = \"\": expected a port; omit the group to disable the service\n" },
		{ "imapd = { ADDRESS = \"a b\"; };", 0,
		    "t.conf:2: imapd.ADDRESS = \"a b\": expected an address or host name, or 0 for every address\n" },
		{ "imapd = { AUTHSERVICE99999 = \"imap\"; };", 0,
		    "t.conf:2: imapd.AUTHSERVICE99999 = \"imap\": 99999 is not a port from 1 to 65535\n" },
		{ "imapd = { AUTHSERVICE143 = \"i map\"; };", 0,
		    "t.conf:2: imapd.AUTHSERVICE143 = \"i map\": expected the name of a service: lower-case letters, "
		    "digits, - and _\n" },
		{ "imapd = { DEFDOMAIN = \"a\\nb\"; };", 0,
		    "t.conf:2: imapd.DEFDOMAIN = \"a.b\": control characters are not allowed\n" },
		{ "imapd = { DEFDOMAIN = \"${NO_SUCH_VARIABLE}\"; };", 0,
		    "t.conf:2: imapd.DEFDOMAIN = \"${NO_SUCH_VARIABLE}\": environment variable NO_SUCH_VARIABLE is not "
		    "set; set it in the environment of the daemon\n" },
		{ "imapd = { DEFDOMAIN = \"x${\"; };", 0,
		    "t.conf:2: imapd.DEFDOMAIN = \"x${\": expected ${NAME}; write $${ for a literal ${\n" },
		{ "imapd = { PROXY_HOSTNAME = \"a\"; };\nPROXY_HOSTNAME = \"b\";", 0,
		    "t.conf:2: PROXY_HOSTNAME is \"a\" here and \"b\" elsewhere; keep only the one at the top level of "
		    "the file\n" },
		{ "PROXY_HOSTNAME = \"a b\";", 0,
		    "t.conf: PROXY_HOSTNAME is \"a b\", which is neither a host name nor an address\n" },
		{ "PROXY_HOSTNAME = \"300.1.1.1\";", 0,
		    "t.conf: PROXY_HOSTNAME is \"300.1.1.1\", which is neither a host name nor an address\n" },
		{ "PROXY_HOSTNAME = \"1:2\";", 0,
		    "t.conf: PROXY_HOSTNAME is \"1:2\", which is neither a host name nor an address\n" },
		{ "imapd = { ADDRESS = \"300.1.1.1\"; };", 0,
		    "t.conf:2: imapd.ADDRESS = \"300.1.1.1\": expected an address or host name, or 0 for every "
		    "address\n" },
		{ "imapd = { ADDRESS = \"10.0.1\"; };", 0,
		    "t.conf:2: imapd.ADDRESS = \"10.0.1\": expected an address or host name, or 0 for every "
		    "address\n" },
		{ "imapd = { ADDRESS = \"2001:db8::1::2\"; };", 0,
		    "t.conf:2: imapd.ADDRESS = \"2001:db8::1::2\": expected an address or host name, or 0 for every "
		    "address\n" },
		{ "", POP3D, "t.conf: no service is enabled; add a group imapd or pop3d: imapd = { };\n" },
		{ "imapd = { PORT = 110; };", 0,
		    "t.conf: pop3d: port 110 of address 0 is also used by imapd; choose another port\n" },
		{ "imapd = { PORT = \"143,143\"; };", 0,
		    "t.conf:2: imapd: port 143 of address 0 is listed twice; remove one\n" },
		{ "imapd = { MAILDIRPATH = \"../x\"; };", 0,
		    "t.conf:2: imapd.MAILDIRPATH = \"../x\": expected a path inside the home folder, such as "
		    "\"Maildir\"\n" },
		{ "imapd = { MAILDIRPATH = \"/var/mail\"; };", 0,
		    "t.conf:2: imapd.MAILDIRPATH = \"/var/mail\": expected a path inside the home folder, such as "
		    "\"Maildir\"\n" },
		{ "imapd = { IMAP_CAPABILITY = \"IDLE\"; };", 0,
		    "t.conf:2: imapd.IMAP_CAPABILITY lacks IMAP4rev1, which clients require; add it\n" },
		{ "imapd = { IMAP_CAPABILITY = \"IMAP4rev1 AUTH=EXTERNAL AUTH=APOP\"; };", 0,
		    "t.conf:2: imapd.IMAP_CAPABILITY: EXTERNAL is announced to clients that have shown a certificate, "
		    "if "
		    "TLS_EXTERNAL is set; leave it out here"
		    "\nt.conf:2: imapd.IMAP_CAPABILITY: the mechanism APOP is unknown; use " MECHS "\n" },
		{ "pop3d = { POP3AUTH = \"PLAIN APOP CRAM-SHA1 FOO\"; };", POP3D,
		    "t.conf:2: pop3d.POP3AUTH: the mechanism FOO is unknown; use " MECHS "\n" },
		{ "pop3d = { POP3AUTH_TLS = \"PLAIN FOO\"; };", POP3D,
		    "t.conf:2: pop3d.POP3AUTH_TLS: the mechanism FOO is unknown; use " MECHS "\n" },
		{ "authdaemonrc = { authmodulelist = \"authcustom authfoo\"; };", 0,
		    "t.conf:2: authdaemonrc.authmodulelist: authcustom is not supported; use authuserdb, authldap, "
		    "authmysql, authpgsql, authsqlite, authdaemon, authpipe or authpam\nt.conf:2: "
		    "authdaemonrc.authmodulelist: authfoo is unknown; use authuserdb, authldap, authmysql, authpgsql, "
		    "authsqlite, authdaemon, authpipe or authpam\n" },
		{ "authdaemonrc = { authmodulelist = \"\"; };", 0,
		    "t.conf:2: authdaemonrc.authmodulelist is empty, so nobody could log in; set it to "
		    "\"authuserdb\"\n" },
		{ "authuserdb = { USERDB = \"/dev/null/userdb\"; };", USERDB,
		    "t.conf:2: authuserdb.USERDB: /dev/null/userdb: Not a directory\n" },
		{ "authuserdb = { USERDB = \"/dev/null\"; };", USERDB,
		    "t.conf:2: authuserdb.USERDB: /dev/null is neither a file nor a folder\n" },
		{ "POOL_SECRETFILE = \"/nonexistent/secret\";", 0,
		    "t.conf:2: POOL_SECRETFILE: cannot read /nonexistent/secret: No such file or directory\n" },
	};

	run_bad(t, ARRAY_LEN(t));
}

static void test_trusted(void)
{
	static const char what[] =
	    "is not an address or network; write \"192.0.2.7\", \"10.0.0.0/8\" or \"2001:db8::/32\"";
	static const char text[] = "proxy = { PROXY_TRUSTED = \"10.0.0.0/8, ::1 10.0.0.0/33 x\"; };\n"
	                           "PROXY_PROTOCOL_FROM = \"0.0.0.0/1 128.0.0.0/0 ::/0\";";
	struct str errors = STR_INIT, warnings = STR_INIT, want = STR_INIT;

	/* Users and accounts are missing, too; only these two lines matter here. */
	CU_ASSERT_PTR_NULL(load(text, BARE, &errors, &warnings));
	str_addf(&want, "t.conf:1: proxy.PROXY_TRUSTED: 10.0.0.0/33 %s\nt.conf:1: proxy.PROXY_TRUSTED: x %s\n", what,
	    what);
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&errors), str_cstr(&want)));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&warnings), "t.conf:2: PROXY_PROTOCOL_FROM: 128.0.0.0/0 is everybody"));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&warnings), "t.conf:2: PROXY_PROTOCOL_FROM: ::/0 is everybody"));
	CU_ASSERT_PTR_NULL(strstr(str_cstr(&warnings), "0.0.0.0/1"));
	str_fini(&errors);
	str_fini(&warnings);
	str_fini(&want);
}

static void test_header_ports(void)
{
	static const struct {
		const char *text, *error; /* NULL: it is good */
	} t[] = {
		{ "PROXY_PROTOCOL_FROM = \"192.0.2.8\"; imapd = { PORT = \"143,1143\"; PROXY_PROTOCOL_PORT = \"1143\"; "
		  "};",
		    NULL },
		{ "PROXY_PROTOCOL_FROM = \"::1, 10.0.0.0/8\"; imapd = { PORT = \"1143\"; PROXY_PROTOCOL_PORT = "
		  "\"1143\"; };",
		    NULL },
		{ "PROXY_PROTOCOL_FROM = \"192.0.2.8\"; imapd = { };", NULL },
		{ "PROXY_PROTOCOL_FROM = \"192.0.2.8/33\"; imapd = { };",
		    "PROXY_PROTOCOL_FROM: 192.0.2.8/33 is not an address or network" },
		{ "imapd = { PORT = \"143,1143\"; PROXY_PROTOCOL_PORT = \"1143\"; };",
		    "imapd.PROXY_PROTOCOL_PORT has no effect while" },
		{ "PROXY_PROTOCOL_FROM = \"::1\"; imapd = { PROXY_PROTOCOL_PORT = \"1143\"; };",
		    "imapd.PROXY_PROTOCOL_PORT: 1143 is not one of the ports in imapd.PORT (143) or "
		    "imapd-ssl.SSLPORT" },
		{ "PROXY_PROTOCOL_FROM = \"::1\"; imapd = { PROXY_PROTOCOL_PORT = \"993\"; };",
		    "imapd.PROXY_PROTOCOL_PORT: 993 is not one of the ports in imapd.PORT (143) or imapd-ssl.SSLPORT" },
		{ "PROXY_PROTOCOL_FROM = \"::1\"; imapd-ssl = { SSLPORT = \"993\"; }; imapd = { PROXY_PROTOCOL_PORT = "
		  "\"993\"; };",
		    NULL },
		{ "PROXY_PROTOCOL_FROM = \"::1\"; imapd = { PORT = \"143,127.0.0.1.1143\"; PROXY_PROTOCOL_PORT = "
		  "\"127.0.0.1.1143\"; };",
		    "write just the number" },
		{ "POOL_SECRETFILE = \"/nonexistent\"; PROXY_PROTOCOL_FROM = \"::1\"; imapd = { PORT = \"1143,143\"; "
		  "IMAP_PROXY = 1; "
		  "PROXY_PROTOCOL_PORT = \"1143\"; };",
		    "imapd.PROXY_PROTOCOL_PORT: other nodes connect to the first port of imapd.PORT" },
		{ "POOL_SECRETFILE = \"/nonexistent\"; PROXY_PROTOCOL_FROM = \"::1\"; imapd = { PORT = \"143,1143\"; "
		  "IMAP_PROXY = 1; "
		  "PROXY_PORT = 1143; PROXY_PROTOCOL_PORT = \"1143\"; };",
		    "imapd.PROXY_PROTOCOL_PORT: other nodes connect to PROXY_PORT, 1143" },
	};

	set_up();
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct str errors = STR_INIT, warnings = STR_INIT;
		struct settings *s = load(t[i].text, 0, &errors, &warnings);

		CU_ASSERT_EQUAL(s != NULL, t[i].error == NULL);
		CU_ASSERT(t[i].error == NULL || strstr(str_cstr(&errors), t[i].error) != NULL);
		if (s != NULL) {
			CU_ASSERT_EQUAL(settings_has_header(s, PROTOCOL_IMAP, 1143), i < 2);
			CU_ASSERT_FALSE(settings_has_header(s, PROTOCOL_IMAP, 143));
			CU_ASSERT_FALSE(settings_has_header(s, PROTOCOL_POP3, 1143));
		}
		settings_free(&s);
		str_fini(&errors);
		str_fini(&warnings);
	}
}

/* Each row of PROXY_TLS_PEERS, an account's option, PROXY_TLS: the first that says something. */
static void test_peer_tls(void)
{
	static const struct {
		const char *options, *host;
		bool good;
		enum peer_tls tls;
	} t[] = {
		{ "", "x.example.org", true, PEER_TLS_IMPLICIT },
		{ "", "old.example.com", true, PEER_TLS_NONE },
		{ "", "OLD.example.com.", true, PEER_TLS_NONE },
		{ "", "a.example.com", true, PEER_TLS_IMPLICIT },
		{ "", "a.b.test", true, PEER_TLS_NONE },
		{ "", "b.test", true, PEER_TLS_IMPLICIT },
		{ "", "ab.test", true, PEER_TLS_IMPLICIT },
		{ "", "2001:db8::7", true, PEER_TLS_NONE },
		{ "", "192.0.2.7", true, PEER_TLS_NONE },
		{ "mailhost=a,proxytls=none", "a.example.com", true, PEER_TLS_NONE },
		{ "proxytls=IMPLICIT,mailhost=old.example.com", "old.example.com", true, PEER_TLS_IMPLICIT },
		{ "proxytls=implict", "a", false, PEER_TLS_NONE },
		{ "proxytls", "a", false, PEER_TLS_NONE },
		{ "proxytls=", "a", false, PEER_TLS_NONE },
		{ "proxytls=implicit and much more behind it", "a", false, PEER_TLS_NONE },
	};
	static const char *const bad[] = { "old.example.com", "=none", "a=", "a=tls", "a =none", "none", "a=none b" };
	struct settings *s = settings_defaults();
	struct str errors = STR_INIT, warnings = STR_INIT;
	char text[200], why[PEER_TLS_WHY_MAX];

	unit_set(&s->proxy_PROXY_TLS, "implicit");
	unit_set(&s->proxy_PROXY_TLS_PEERS,
	    "old.example.com=none .example.com.=implicit .b.test=none 2001:db8::7=none 192.0.2.7=none "
	    "a.example.com=none");
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		enum peer_tls tls = PEER_TLS_NONE;

		CU_ASSERT_EQUAL(peer_tls_of(s, t[i].options, t[i].host, &tls), t[i].good);
		CU_ASSERT(!t[i].good || tls == t[i].tls);
		CU_ASSERT_EQUAL(peer_tls_is_mistake(t[i].options, why), !t[i].good);
	}
	settings_free(&s);
	CU_ASSERT(peer_tls_is_mistake("mailhost=a,proxytls=im\nplict", why));
	CU_ASSERT_STRING_EQUAL(why,
	    "the option proxytls is \"im.plict\", which is none of the words none, starttls and implicit");
	/* Users and accounts are missing, too. */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(text, sizeof(text), "proxy = { PROXY_TLS_PEERS = \"b=none %s\"; }; imapd = { };", bad[i]);
		CU_ASSERT_PTR_NULL(load(text, BARE, &errors, &warnings));
		CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&errors), "is not HOST=WORD"));
		str_clear(&errors);
	}
	CU_ASSERT_PTR_NULL(
	    load("proxy = { PROXY_TLS_PEERS = [\"b=implicit\", \".a=none\"]; PROXY_TLS_VERIFY = 0; }; imapd = { };",
	        BARE, &errors, &warnings));
	CU_ASSERT_PTR_NULL(strstr(str_cstr(&errors), "PROXY_TLS"));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&warnings), "PROXY_TLS_VERIFY is off"));
	str_fini(&errors);
	str_fini(&warnings);
}

/* With one configuration for all nodes, PROXY_TLS has to fit what they accept. */
static void test_send_id(void)
{
	static const char *const bad[] = { "192.0.2", "192.0.2.7.", "192.0.2.0/33", "2001:db8::/129", "a=b",
		"*.example.org", "a.test:143", ".", "*", "all()" };
	struct str errors = STR_INIT, warnings = STR_INIT;
	char text[200];

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(text, sizeof(text), "proxy = { PROXY_SEND_ID = \"a.test %s\"; }; imapd = { };", bad[i]);
		CU_ASSERT_PTR_NULL(load(text, BARE, &errors, &warnings));
		snprintf(text, sizeof(text), "PROXY_SEND_ID: %s is not a host", bad[i]);
		CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&errors), text));
		str_clear(&errors);
	}
	/* Users and accounts are missing, too. */
	CU_ASSERT_PTR_NULL(load("proxy = { PROXY_SEND_ID = [\"a.test\", \".b.test\", \"7.test\", \"192.0.2.0/24\", "
	                        "\"2001:db8::7\", \"a_b-c.test.\"]; }; imapd = { };",
	    BARE, &errors, &warnings));
	CU_ASSERT_PTR_NULL(strstr(str_cstr(&errors), "PROXY_SEND_ID"));
	str_fini(&errors);
	str_fini(&warnings);
}

static void test_peer_header(void)
{
	static const char *const bad[] = { "a.test", "a.test=", "a.test=v3", "=v1", "192.0.2.0/33=v1",
		"a.test=v1=", "*=v2" };
	static const char list[] = "a.test=v1 .a.test=v2 192.0.2.9=none 192.0.2.0/24=V2 2001:db8::/32=v1";
	static const struct {
		const char *host, *addr;
		unsigned version;
	} t[] = { { "a.test", "192.0.2.9", 1 }, { "x.A.test.", "10.0.0.1", 2 }, { "b", "192.0.2.9", 0 },
		{ "b", "192.0.2.8", 2 }, { "b", "2001:db8::7", 1 }, { "b", "10.0.0.1", 0 }, { "test", "10.0.0.1", 0 } };
	struct str errors = STR_INIT, warnings = STR_INIT;
	char text[200];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct net_addr a;

		net_addr_parse(&a, t[i].addr, 143);
		CU_ASSERT_EQUAL(peer_header_of(list, t[i].host, &a), t[i].version);
		CU_ASSERT_EQUAL(peer_header_of("", t[i].host, &a), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(text, sizeof(text), "proxy = { PROXY_PROTOCOL_SEND = \"b.test=v2 %s\"; }; imapd = { };",
		    bad[i]);
		CU_ASSERT_PTR_NULL(load(text, BARE, &errors, &warnings));
		CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&errors), "is not a host or network with =v1"));
		str_clear(&errors);
	}
	/* Users and accounts are missing, too. */
	snprintf(text, sizeof(text), "proxy = { PROXY_PROTOCOL_SEND = \"%s\"; }; imapd = { };", list);
	CU_ASSERT_PTR_NULL(load(text, BARE, &errors, &warnings));
	CU_ASSERT_PTR_NULL(strstr(str_cstr(&errors), "PROXY_PROTOCOL_SEND"));
	str_fini(&errors);
	str_fini(&warnings);
}

static void test_local_server(void)
{
	static const struct {
		const char *text;
		int kind; /* -1: refused */
		const char *ip;
		unsigned port;
	} rows[] = {
		{ "", LOCAL_SERVER_BUILTIN, "", 0 },
		{ "builtin", LOCAL_SERVER_BUILTIN, "", 0 },
		{ "inet:127.0.0.1:10143", LOCAL_SERVER_INET, "127.0.0.1", 10143 },
		{ "inet:[::1]:65535", LOCAL_SERVER_INET, "::1", 65535 },
		{ "unix:/run/x y", LOCAL_SERVER_UNIX, "", 0 },
		{ "Builtin", -1, "", 0 },
		{ "inet:", -1, "", 0 },
		{ "inet:127.0.0.1", -1, "", 0 },
		{ "inet:127.0.0.1:", -1, "", 0 },
		{ "inet:127.0.0.1:0", -1, "", 0 },
		{ "inet:127.0.0.1:65536", -1, "", 0 },
		{ "inet:::1:143", -1, "", 0 },
		{ "inet:[::1:143", -1, "", 0 },
		{ "inet:localhost:143", -1, "", 0 },
		{ "inet:[fe80::1%lo]:143", -1, "", 0 },
		{ "inet:127.0.0.1:143 ", -1, "", 0 },
		{ "unix:", -1, "", 0 },
		{ "unix:run/x", -1, "", 0 },
		{ "exec:/bin/true", LOCAL_SERVER_EXEC, "", 0 },
		{ "exec:true", -1, "", 0 },
		{ "exec:", -1, "", 0 },
		{ "exec:/a\nb", -1, "", 0 },
		{ "exec:/1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16", LOCAL_SERVER_EXEC, "", 0 },
		{ "exec:/1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", -1, "", 0 },
	};
	static struct local_server_command command;
	struct local_server s;
	char ip[NET_IP_TEXT_MAX], path[256];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool good = local_server_parse(&s, rows[i].text) == NULL;

		CU_ASSERT_EQUAL(good, rows[i].kind != -1);
		if (!good || rows[i].kind == -1)
			continue;
		CU_ASSERT_EQUAL((int)s.kind, rows[i].kind);
		if (s.kind == LOCAL_SERVER_INET) {
			CU_ASSERT_STRING_EQUAL(net_addr_text(&s.addr, ip), rows[i].ip);
			CU_ASSERT_EQUAL(s.addr.port, rows[i].port);
		}
	}
	CU_ASSERT_PTR_NULL(local_server_parse(&s, "exec:/a  b c "));
	local_server_words(&s, &command);
	CU_ASSERT_STRING_EQUAL(command.argv[0], "/a");
	CU_ASSERT_STRING_EQUAL(command.argv[1], "b");
	CU_ASSERT_STRING_EQUAL(command.argv[2], "c");
	CU_ASSERT_PTR_NULL(command.argv[3]);
	for (size_t len = 100; len < 120; len++) { /* of the path */
		snprintf(path, sizeof(path), "unix:/%0*d", (int)len - 1, 0);
		CU_ASSERT_EQUAL(local_server_parse(&s, path) == NULL, len < sizeof(s.sun.sun_path));
	}
	for (size_t len = 0; len <= strlen("inet:[::1]:14"); len++) { /* cut at every byte */
		snprintf(path, sizeof(path), "%.*s", (int)len, "inet:[::1]:14");
		CU_ASSERT_EQUAL(local_server_parse(&s, path) == NULL, len == 0 || len >= strlen("inet:[::1]:1"));
	}
}

static void test_peer_tls_of_ours(void)
{
	static const struct {
		const char *proxy, *imapd, *ssl, *why; /* NULL: it fits */
	} row[] = {
		{ "starttls", "", "TLS_CERTFILE = \"/c.pem\";", NULL },
		{ "implicit", "", "TLS_CERTFILE = \"/c.pem\";", NULL },
		{ "none", "", "", NULL },
		{ "starttls", "", "", "there is no TLS_CERTFILE" },
		{ "starttls", "", "TLS_CERTFILE = \"/c.pem\"; IMAPDSTARTTLS = 0;", "STARTTLS is off" },
		{ "implicit", "", "TLS_CERTFILE = \"/c.pem\"; IMAPDSTARTTLS = 0;", NULL },
		{ "implicit", "", "TLS_CERTFILE = \"/c.pem\"; SSLPORT = \"\";", "SSLPORT is closed" },
		{ "implicit", "PROXY_PORT = 143;", "TLS_CERTFILE = \"/c.pem\";", "PROXY_PORT is a port without TLS" },
		{ "implicit", "PROXY_PROTOCOL_PORT = \"993\";", "TLS_CERTFILE = \"/c.pem\";",
		    "that port wants a header" },
		{ "implicit", "PROXY_PROTOCOL_PORT = \"993\"; PROXY_PORT = 1993;",
		    "SSLPORT = \"993,1993\"; TLS_CERTFILE = \"/c.pem\";", NULL },
		{ "starttls", "",
		    "TLS_CERTFILE = \"/c.pem\"; TLS_VERIFYPEER = \"REQUIREPEER\"; TLS_TRUSTCERTS = \"/t.pem\";",
		    "REQUIREPEER demands a certificate" },
	};
	struct str errors = STR_INIT, warnings = STR_INIT;
	char text[512];

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct settings *s;

		snprintf(text, sizeof(text),
		    "PROXY_PROTOCOL_FROM = \"192.0.2.1\"; proxy = { PROXY_TLS = \"%s\"; }; imapd = { IMAP_PROXY = 1; "
		    "%s }; "
		    "imapd-ssl = { %s };",
		    row[i].proxy, row[i].imapd, row[i].ssl);
		s = load(text, BARE, &errors, &warnings);
		settings_free(&s);
		CU_ASSERT_EQUAL(strstr(str_cstr(&warnings), "refuse such logins of IMAP") != NULL, row[i].why != NULL);
		CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&warnings), row[i].why != NULL ? row[i].why : ""));
		str_clear(&errors);
		str_clear(&warnings);
	}
	str_fini(&errors);
	str_fini(&warnings);
}

/* Courier's names that have no effect: a warning with the reason, or an error if ignoring them would do harm. */
static void test_known(void)
{
	static const struct {
		const char *text, *errors, *warnings;
	} t[] = {
		{ "imapd = { PIDFILE = \"/x\"; };", "",
		    "t.conf:2: imapd.PIDFILE has no effect; use RUNDIR; the service manager knows the process\n" },
		{ "imapd = { IMAP_ENHANCEDIDLE = 1; };", "",
		    "t.conf:2: imapd.IMAP_ENHANCEDIDLE has no effect: IDLE always uses the system's change "
		    "notification\n" },
		{ "imapd = { IMAP_ACL = 1; };", "",
		    "t.conf:2: imapd.IMAP_ACL has no effect; not in this version: access rights on folders\n" },
		{ "imapd = { IMAP_ACL = 0; };", "", "" },
		{ "PROXY_HOSTNAME = \"[2001:db8::1]\"; imapd = { ADDRESS = \"node.7a\"; };", "", "" },
		{ "PROXY_HOSTNAME = \"300a.1.1.b1\"; imapd = { ADDRESS = \"0\"; };", "", "" },
		{ "authdaemonrc = { DEFAULTOPTIONS = "
		  "\"mailhost=a,disablewebmail=1,disableinsecurepop3=0,disableimap=no\"; };",
		    "", "" },
		{ "authdaemonrc = { DEFAULTOPTIONS = \"disableinsecurepop3=1\"; };", "",
		    "t.conf:2: authdaemonrc.DEFAULTOPTIONS contains disableinsecurepop3: POP3 logins of all accounts "
		    "are refused, because there is no TLS_CERTFILE, unless they come through a node or proxy that says "
		    "the client uses TLS (PROXY_TRUSTED); set TLS_CERTFILE, remove it, or set "
		    "disableinsecurepop3=0\n" },
		{ "authdaemonrc = { DEFAULTOPTIONS = \"disableinsecurepop3=1\"; }; pop3d-ssl = { TLS_CERTFILE = "
		  "\"/nonexistent/pool.pem\"; };",
		    "", "" },
		{ "authdaemonrc = { DEFAULTOPTIONS = \"disableinsecureimap=1,sharedgroup=x\"; };", "",
		    "t.conf:2: authdaemonrc.DEFAULTOPTIONS: sharedgroup has no effect; not in this version: shared "
		    "folders\n" }, /* no imapd here: nothing about IMAP */
		{ "authdaemonrc = { DEFAULTOPTIONS = \"disablepop3=yes,disableinsecurepop3=1\"; };", "",
		    "t.conf:2: authdaemonrc.DEFAULTOPTIONS contains disablepop3: POP3 logins of all accounts are "
		    "refused, except where an account sets disablepop3=0\n" },
		{ "imapd = {}; authdaemonrc = { DEFAULTOPTIONS = \"disableimap=1\"; };", "",
		    "t.conf:2: authdaemonrc.DEFAULTOPTIONS contains disableimap: IMAP logins of all accounts are "
		    "refused, except where an account sets disableimap=0\n" },
		{ "imapd = { MAILDIR_SKIP_SYMLINK_CHECKS = 1; };", "",
		    "t.conf:2: imapd.MAILDIR_SKIP_SYMLINK_CHECKS has no effect; not in this version: messages that are "
		    "symbolic links; they are not shown\n" },
		{ "authmysqlrc = { MYSQL_QUOTA_FIELD = \"q\"; };", "", "" }, /* this directory is not used */
		{ "authsqliterc = { SQLITE_CHPASS_CLAUSE = \"x\"; };", "",
		    "t.conf:2: authsqliterc.SQLITE_CHPASS_CLAUSE has no effect: Waypost does not change passwords\n" },
		{ "authdaemonrc = { LDAPTLS_CRLCHECK = \"none\"; };", "",
		    "t.conf:2: authdaemonrc.LDAPTLS_CRLCHECK has no effect; use the system's ldap.conf for other TLS "
		    "settings of LDAP\n" },
		{ "authdaemonrc = { DEFAULTOPTIONS = \"proxytls=tls\"; };",
		    "t.conf:2: authdaemonrc.DEFAULTOPTIONS: the option proxytls is \"tls\", which is none of the words "
		    "none, starttls and implicit\n",
		    "" },
		{ "imapd-ssl = { SSLPORT = 1993; };", "",
		    "t.conf:2: there is no TLS_CERTFILE: port 1993 stays closed\n" },
		{ "imapd-ssl = { IMAP_TLS_REQUIRED = 0; TLS_VERIFYPEER = \"none\"; };", "",
		    "t.conf:2: there is no TLS_CERTFILE: port 993 stays closed\n" },
		{ "imapd-ssl = { TLS_PRIORITY = \"NORMAL:-CTYPE-OPENPGP\"; };", "",
		    "t.conf:2: imapd-ssl.TLS_PRIORITY has no effect; use TLS_PROTOCOL, TLS_CIPHER_LIST and TLS_GROUPS "
		    "(OpenSSL's words, not GnuTLS's), and remove this line\n"
		    "t.conf:2: there is no TLS_CERTFILE: port 993 stays closed\n" },
		{ "pop3d-ssl = { TLS_PRIORITY = \"SECURE256:-VERS-TLS1.2\"; };",
		    "t.conf:2: pop3d-ssl.TLS_PRIORITY has no effect; use TLS_PROTOCOL, TLS_CIPHER_LIST and TLS_GROUPS "
		    "(OpenSSL's words, not GnuTLS's), and remove this line\n",
		    "t.conf:2: there is no TLS_CERTFILE: port 995 stays closed\n" },
		{ "imapd-ssl = { IMAP_TLS_REQUIRED = 1; };", "",
		    "t.conf:2: there is no TLS_CERTFILE: port 993 stays closed\n" }, /* there is no imapd either */
		{ "imapd = { }; imapd-ssl = { IMAP_TLS_REQUIRED = 1; SSLPORT = \"\"; };",
		    "t.conf:2: imapd-ssl.IMAP_TLS_REQUIRED has no effect without TLS_CERTFILE: passwords would cross "
		    "the network in clear; set TLS_CERTFILE, or this to 0\n",
		    "" },
		{ "pop3d-ssl = { POP3_TLS_REQUIRED = 1; SSLPORT = \"\"; };",
		    "t.conf:2: pop3d-ssl.POP3_TLS_REQUIRED has no effect without TLS_CERTFILE: passwords would cross "
		    "the network in clear; set TLS_CERTFILE, or this to 0\n",
		    "" },
		{ "imapd = { }; imapd-ssl = { IMAP_TLS_REQUIRED = 1; TLS_CERTFILE = \"/nonexistent/pool.pem\"; };", "",
		    "" },
		{ "imapd = { IMAP_CAPABILITY_TLS = \"IMAP4rev1 AUTH=PLAIN QUOTA {\"; };",
		    "t.conf:2: imapd.IMAP_CAPABILITY_TLS: { is not a valid IMAP capability\n",
		    "t.conf:2: imapd.IMAP_CAPABILITY_TLS announces QUOTA, which sessions on this node do not "
		    "support\n" },
		{ "imapd = { IMAP_CAPABILITY_TLS = \"IDLE\"; };",
		    "t.conf:2: imapd.IMAP_CAPABILITY_TLS lacks IMAP4rev1, which clients require; add it\n", "" },
		{ "pop3d-ssl = { TLS_VERIFYPEER = \"REQUIREPEER\"; };",
		    "t.conf:2: pop3d-ssl.TLS_VERIFYPEER needs TLS_TRUSTCERTS, a file or folder with the authorities "
		    "that issue certificates to clients\n",
		    "t.conf:2: there is no TLS_CERTFILE: port 995 stays closed\n" },
		{ "pop3d-ssl = { TLS_CERTFILE = \"/x.pem\"; TLS_VERIFYPEER = \"REQUIREPEER\"; TLS_TRUSTCERTS = "
		  "\"/t.pem\"; POP3_TLS_REQUIRED = 0; };",
		    "",
		    "t.conf:2: pop3d-ssl.POP3_TLS_REQUIRED = 0: who logs in without TLS shows no certificate, "
		    "whatever TLS_VERIFYPEER = \"REQUIREPEER\" demands of others; set it to 1\n" },
		{ "imapd = { IMAP_MOVE_EXPUNGE_TO_TRASH = 1; };",
		    "t.conf:2: imapd.IMAP_MOVE_EXPUNGE_TO_TRASH = 1: not in this version: moving expunged messages to "
		    "the trash folder; they would be deleted; remove this line to run without it\n",
		    "" },
		{ "imapd = { }; imapd-ssl = { TLS_CERTFILE = \"/nonexistent/pool.pem\"; };", "", "" },
		{ "imapd-ssl = { TLS_CERTFILE = \"/nonexistent/pool.pem\"; };", "",
		    "t.conf:2: imapd-ssl without a group imapd: port 993 is served, with the defaults of all settings "
		    "that are not about TLS; add imapd = { }; (with ADDRESS = \"127.0.0.1\" if nobody is to come "
		    "without TLS)\n" },
		{ "imapd-ssl = { TLS_CERTFILE = \"/nonexistent/pool.pem\"; SSLPORT = \"\"; };", "", "" },
		{ "imapd-ssl = { TLS_VERIFYPEER = \"PEER\"; };",
		    "t.conf:2: imapd-ssl.TLS_VERIFYPEER needs TLS_TRUSTCERTS, a file or folder with the authorities "
		    "that issue certificates to clients\n",
		    "t.conf:2: there is no TLS_CERTFILE: port 993 stays closed\n" },
		{ "imapd = { }; imapd-ssl = { TLS_CERTFILE = \"/x.pem\"; SSLPORT = \"127.0.0.2.143,127.0.0.1.995\"; };",
		    "",
		    "t.conf:2: imapd-ssl.SSLPORT: clients take port 143 for IMAP, not for IMAP with TLS from the "
		    "start; if "
		    "it should be that, set it in imapd.PORT\n"
		    "t.conf:2: imapd-ssl.SSLPORT: clients take port 995 for POP3 with TLS from the start, not for IMAP "
		    "with TLS from the start; if it should be that, set it in pop3d-ssl.SSLPORT\n" },
		{ "imapd = { PORT = \"127.0.0.3.110,993\"; };", "",
		    "t.conf:2: imapd.PORT: clients take port 110 for POP3, not for IMAP; if it should be that, set it "
		    "in "
		    "pop3d.PORT\n"
		    "t.conf:2: imapd.PORT: clients take port 993 for IMAP with TLS from the start, not for IMAP "
		    "without; if "
		    "it should be that, set it in imapd-ssl.SSLPORT\n" },
		{ "imapd = { }; imapd-ssl = { TLS_CERTFILE = \"/x\"; TLS_PROTOCOL = \"TLSv1.3++\"; "
		  "TLS_STARTTLS_PROTOCOL = "
		  "\"TLS1_3:TLS1_2\"; TLS_CIPHER_LIST = \"ECDHE+AESGCM\"; TLS_GROUPS = \"X25519:P-256\"; };",
		    "", "" },
		{ "pop3d-ssl = { TLS_CERTFILE = \"/x\"; TLS_PROTOCOL = \"TLSv1\"; };", "",
		    "t.conf:2: pop3d-ssl.TLS_PROTOCOL = \"TLSv1\": versions before TLS 1.2 are not safe and never "
		    "used; "
		    "write TLSv1.2+\n" },
		{ "pop3d-ssl = { TLS_CERTFILE = \"/x\"; TLS_STARTTLS_PROTOCOL = \"TLSv1.2+:SSL3\"; };", "",
		    "t.conf:2: pop3d-ssl.TLS_STARTTLS_PROTOCOL = \"TLSv1.2+:SSL3\": versions before TLS 1.2 are not "
		    "safe "
		    "and never used; write TLSv1.2+\n" },
		{ "imapd = { }; imapd-ssl = { TLS_CERTFILE = \"/x\"; TLS_PROTOCOL = \"TLSv1.4\"; };",
		    "t.conf:2: imapd-ssl.TLS_PROTOCOL = \"TLSv1.4\": expected TLSv1.2+ or TLSv1.3+\n", "" },
		{ "imapd = { }; imapd-ssl = { TLS_CERTFILE = \"/x\"; TLS_PROTOCOL = \"\"; };",
		    "t.conf:2: imapd-ssl.TLS_PROTOCOL = \"\": expected TLSv1.2+ or TLSv1.3+\n", "" },
		{ "imapd = { }; imapd-ssl = { TLS_CERTFILE = \"/x\"; TLS_CIPHER_LIST = \"AES128-SHA\"; };",
		    "t.conf:2: imapd-ssl.TLS_CIPHER_LIST: OpenSSL knows no cipher in it that has forward secrecy; see "
		    "openssl ciphers -v 'AES128-SHA', or remove the line\n",
		    "" },
		{ "imapd = { }; imapd-ssl = { TLS_CERTFILE = \"/x\"; TLS_CIPHER_LIST = \"ALL:@SECLEVEL=0\"; };", "",
		    "t.conf:2: imapd-ssl.TLS_CIPHER_LIST: @SECLEVEL=0 lets weak keys and signatures count (RSA with "
		    "512 bits, MD5), those of clients' certificates, too; remove it\n" },
		{ "imapd = { }; imapd-ssl = { TLS_CERTFILE = \"/x\"; IMAPDSTARTTLS = 0; SSLPORT = \"\"; };", "",
		    "t.conf: imapd-ssl.IMAP_TLS_REQUIRED = 1, and clients have no way to TLS (STARTTLS is off, SSLPORT "
		    "is closed): all but those of this machine and of PROXY_TRUSTED are refused; switch one of them "
		    "on, or set this to 0\n" },
		{ "imapd = { }; imapd-ssl = { TLS_CERTFILE = \"/x\"; IMAPDSTARTTLS = 0; };", "", "" },
		{ "imapd = { }; imapd-ssl = { TLS_CERTFILE = \"/x\"; IMAPDSTARTTLS = 0; SSLPORT = \"\"; "
		  "IMAP_TLS_REQUIRED = 0; };",
		    "", "" },
		{ "imapd = { IMAP_CAPABILITY = \"IMAP4rev1 QUOTA\"; };", "",
		    "t.conf:2: imapd.IMAP_CAPABILITY announces QUOTA, which sessions on this node do not support\n" },
		{ "imapd = { IMAP_CAPABILITY = \"imap4REV1 idle UTF8=ACCEPT\"; };", "",
		    "t.conf:2: imapd.IMAP_CAPABILITY announces UTF8=ACCEPT, which sessions on this node do not "
		    "support\n" },
		{ "imapd = { IMAP_INACTIVITY_TIMEOUT = 600; IMAP_PROXY_FOREIGN = 1; };", "",
		    "t.conf:2: imapd.IMAP_PROXY_FOREIGN has no effect while IMAP_PROXY is off\n"
		    "t.conf:2: imapd.IMAP_INACTIVITY_TIMEOUT is shorter than the 30 minutes that RFC 3501 requires, so "
		    "idle clients will lose their sessions\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct str errors = STR_INIT, warnings = STR_INIT;
		struct settings *set = load(t[i].text, 0, &errors, &warnings);

		CU_ASSERT_EQUAL(set != NULL, t[i].errors[0] == '\0');
		expect(t[i].text, &errors, t[i].errors);
		expect(t[i].text, &warnings, t[i].warnings);
		settings_free(&set);
		str_fini(&errors);
		str_fini(&warnings);
	}
}

/* Groups that one OpenSSL knows and another does not. */
static void test_tls_groups(void)
{
	static const struct {
		const char *list, *mistake, *odd; /* parts of the line; "": there is none */
	} t[] = {
		{ "X25519:P-256", "", "" },
		{ "nonsense:P-256", "", "does not know nonsense; the others are used" },
		{ "nonsense:?P-256:more:", "", "does not know nonsense, more; the others are used" },
		{ "nonsense", "knows no group of \"nonsense\"; X25519:P-256 is known everywhere", "" },
		{ "::", "knows no group of \"::\"", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct str errors = STR_INIT, warnings = STR_INIT;
		char *text =
		    mem_printf("imapd = { }; imapd-ssl = { TLS_CERTFILE = \"/x\"; TLS_GROUPS = \"%s\"; };", t[i].list);
		struct settings *set = load(text, 0, &errors, &warnings);

		CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&errors), t[i].mistake));
		CU_ASSERT_EQUAL(errors.len == 0, t[i].mistake[0] == '\0');
		CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&warnings), t[i].odd));
		CU_ASSERT_EQUAL(warnings.len == 0, t[i].odd[0] == '\0');
		settings_free(&set);
		mem_free(&text);
		str_fini(&errors);
		str_fini(&warnings);
	}
}

/* Each directory's quota setting has no effect, which is reported unless it means that there is no quota. */
static void test_quotas(void)
{
	static const struct {
		const char *module, *group, *needed, *name;
	} t[] = {
#ifdef WITH_LDAP
		{ "authldap", "authldaprc",
		    "LDAP_URI = \"ldap://x\"; LDAP_BASEDN = \"o=x\"; LDAP_UID = \"u\"; LDAP_GID = \"g\"; LDAP_CRYPTPW "
		    "= \"p\"; LDAP_MAIL = \"mail\"; LDAP_HOMEDIR = \"h\";",
		    "LDAP_MAILDIRQUOTA" },
#endif
#ifdef WITH_MYSQL
		{ "authmysql", "authmysqlrc",
		    "MYSQL_SERVER = \"x\"; MYSQL_USERNAME = \"x\"; MYSQL_DATABASE = \"x\"; MYSQL_USER_TABLE = \"t\"; "
		    "MYSQL_CRYPT_PWFIELD = \"p\";",
		    "MYSQL_QUOTA_FIELD" },
#endif
#ifdef WITH_PGSQL
		{ "authpgsql", "authpgsqlrc",
		    "PGSQL_CONNECTION = \"host=x\"; PGSQL_USER_TABLE = \"t\"; PGSQL_CRYPT_PWFIELD = \"p\";",
		    "PGSQL_QUOTA_FIELD" },
#endif
#ifdef WITH_SQLITE
		{ "authsqlite", "authsqliterc",
		    "SQLITE_DATABASE = \"/etc/passwd\"; SQLITE_USER_TABLE = \"t\"; SQLITE_CRYPT_PWFIELD = \"p\";",
		    "SQLITE_QUOTA_FIELD" },
#endif
		{ NULL, NULL, NULL, NULL }
	};
	static const struct {
		const char *value;
		bool said;
	} values[] = { { "quota", true }, { "", false }, { "''", false }, { "null", false } };

	for (size_t i = 0; t[i].module != NULL; i++)
		for (size_t j = 0; j < ARRAY_LEN(values); j++) {
			struct str errors = STR_INIT, warnings = STR_INIT;
			char *text =
			    mem_printf("authdaemonrc = { authmodulelist = \"%s\"; }; %s = { %s %s = \"%s\"; };",
			        t[i].module, t[i].group, t[i].needed, t[i].name, values[j].value);
			char *want = values[j].said ?
			    mem_printf("t.conf:2: %s.%s has no effect; not in this version: quotas\n", t[i].group,
			        t[i].name) :
			    mem_strdup("");
			struct settings *set = load(text, 0, &errors, &warnings);

			expect(text, &errors, "");
			expect(text, &warnings, want);
			settings_free(&set);
			mem_free(&text);
			mem_free(&want);
			str_fini(&errors);
			str_fini(&warnings);
		}
}

/* Login mechanisms are recognised where they are allowed, and a warning says for which accounts they cannot work. */
static void test_mechanisms(void)
{
	static const struct {
		const char *text, *warning;
	} t[] = {
		{ "imapd = { IMAP_CAPABILITY = \"IMAP4rev1 AUTH=PLAIN AUTH=LOGIN\"; };", NULL },
		{ "imapd = { IMAP_CAPABILITY = \"IMAP4rev1 AUTH=cram-md5\"; };", NULL }, /* the userdb tells */
		{ "authdaemonrc = { authmodulelist = \"authldap\"; }; authldaprc = { LDAP_URI = \"ldap://x\"; "
		  "LDAP_BASEDN = \"o=x\"; LDAP_MAIL = \"mail\"; LDAP_HOMEDIR = \"h\"; LDAP_AUTHBIND = 1; LDAP_CLEARPW "
		  "= \"p\"; LDAP_UID = \"u\"; LDAP_GID = \"g\"; }; imapd = { IMAP_CAPABILITY = \"IMAP4rev1 "
		  "AUTH=CRAM-SHA1\"; };",
		    "a clear password, which LDAP_AUTHBIND never reveals" },
		{ "authdaemonrc = { authmodulelist = \"authpgsql\"; }; authpgsqlrc = { PGSQL_CONNECTION = \"host=x\"; "
		  "PGSQL_USER_TABLE = \"t\"; PGSQL_LOGIN_FIELD = \"n\"; PGSQL_HOME_FIELD = \"h\"; PGSQL_CRYPT_PWFIELD "
		  "= \"p\"; }; imapd = { IMAP_CAPABILITY = \"IMAP4rev1 AUTH=CRAM-SHA256\"; };",
		    "accounts of authpgsql need a clear password; set PGSQL_CLEAR_PWFIELD to its column" },
		{ "authdaemonrc = { authmodulelist = \"authpgsql\"; }; authpgsqlrc = { PGSQL_CONNECTION = \"host=x\"; "
		  "PGSQL_USER_TABLE = \"t\"; PGSQL_LOGIN_FIELD = \"n\"; PGSQL_HOME_FIELD = \"h\"; PGSQL_CLEAR_PWFIELD "
		  "= \"p\"; }; imapd = { IMAP_CAPABILITY = \"IMAP4rev1 AUTH=CRAM-SHA256\"; };",
		    NULL },
#ifdef WITH_GSASL
		{ "imapd = { IMAP_CAPABILITY = \"IMAP4rev1 AUTH=scram-sha-256\"; };", "SCRAM without a pool secret: " },
		{ "imapd = { IMAP_CAPABILITY_TLS = \"IMAP4rev1 AUTH=SCRAM-SHA-1\"; };",
		    "SCRAM without a pool secret: " },
#endif
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct str errors = STR_INIT, warnings = STR_INIT;
		struct settings *set = load(t[i].text, 0, &errors, &warnings);

		expect(t[i].text, &errors, "");
		CU_ASSERT(t[i].warning != NULL ? strstr(str_cstr(&warnings), t[i].warning) != NULL :
		                                 strstr(str_cstr(&warnings), "for logins with") == NULL);
		if (t[i].warning != NULL && strstr(str_cstr(&warnings), t[i].warning) == NULL)
			printf("\nin:   %s\ngot:  %s\n", t[i].text, str_cstr(&warnings));
		settings_free(&set);
		str_fini(&errors);
		str_fini(&warnings);
	}
}

/* The master user of foreign servers: both settings or none, and not too long. */
static void test_master(void)
{
	struct str errors = STR_INIT, warnings = STR_INIT, text = STR_INIT;

	CU_ASSERT_PTR_NULL(load("proxy = { PROXY_MASTER_USER = \"m\"; };\n", BARE, &errors, &warnings));
	CU_ASSERT_PTR_NOT_NULL(
	    strstr(str_cstr(&errors), "set both PROXY_MASTER_USER and PROXY_MASTER_PASSWORD, or neither"));
	str_clear(&errors);
	str_adds(&text, "proxy = { PROXY_MASTER_USER = \"");
	while (text.len < 1000)
		str_addc(&text, 'x');
	str_adds(&text, "\"; PROXY_MASTER_PASSWORD = \"p\"; };\n");
	CU_ASSERT_PTR_NULL(load(text.data, BARE, &errors, &warnings));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&errors), "PROXY_MASTER_USER or PROXY_MASTER_PASSWORD is too long"));
	str_clear(&errors);
	settings_free(
	    &(struct settings *){ load("proxy = { PROXY_MASTER_USER = \"m\"; PROXY_MASTER_PASSWORD = \"p\"; };\n", BARE,
	        &errors, &warnings) });
	CU_ASSERT_PTR_NULL(strstr(str_cstr(&errors), "PROXY_MASTER"));
	str_fini(&errors);
	str_fini(&warnings);
	str_fini(&text);
}

/* A node without its accounts starts, with a warning. */
static void test_no_userdb(void)
{
	static const char text[] = "authuserdb = { USERDB = \"/nonexistent/userdb\"; };";
	struct str errors = STR_INIT, warnings = STR_INIT;
	struct settings *set = load(text, USERDB, &errors, &warnings);

	CU_ASSERT_PTR_NOT_NULL(set);
	expect(text, &errors, "");
	expect(text, &warnings,
	    "t.conf:2: authuserdb.USERDB: /nonexistent/userdb does not exist: nobody can log in until it does; create "
	    "it with waypost's userdb command\n");
	settings_free(&set);
	str_fini(&errors);
	str_fini(&warnings);
}

/* Every name of the list is accepted in its group, and only there. */
static void test_every_known_name(void)
{
	for (const struct settings_known *k = settings_known; k->name != NULL; k++) {
		bool base = strcmp(k->group, "pop3d") == 0 || strcmp(k->group, "proxy") == 0;
		struct str errors = STR_INIT, warnings = STR_INIT, text = STR_INIT;
		char group[SETTINGS_GROUP_MAX];
		struct settings *set;

		if (strcmp(k->group, "proxy") == 0)
			continue; /* is in the first line already */
		str_addf(&text, "%s = { %.*s%s = \"\"; };", settings_group_name(k->group, group),
		    (int)strcspn(k->name, "*"), k->name, strchr(k->name, '*') != NULL ? "X" : "");
		set = load(str_cstr(&text), base ? POP3D : 0, &errors, &warnings);
		expect(str_cstr(&text), &errors, "");
		CU_ASSERT_PTR_NOT_NULL(set);
		settings_free(&set);
		str_fini(&errors);
		str_fini(&warnings);
		str_fini(&text);
	}
}

static void test_environment(void)
{
	char host[256] = "";
	struct settings *s;

	set_up();
	gethostname(host, sizeof(host) - 1);
	s = load_good("imapd = { DEFDOMAIN = \"@${HOSTNAME}$${x}$y$\"; };");
	CU_ASSERT_PTR_NOT_NULL(strstr(s->imapd_DEFDOMAIN, "${x}$y$"));
	CU_ASSERT_STRING_EQUAL(s->self[0], host);
	CU_ASSERT_STRING_EQUAL(s->self[1], "");
	settings_free(&s);
	/* The setting, in one of its three places. */
	s = load_good("imapd = { PROXY_HOSTNAME = \"A.example.com.\"; ADDRESS = \"${PROXY_HOSTNAME}\"; "
	              "};\nPROXY_HOSTNAME = \"a.example.com\";");
	CU_ASSERT_STRING_EQUAL(s->self[0], "a.example.com");
	CU_ASSERT_STRING_EQUAL(s->self[1], host);
	CU_ASSERT_STRING_EQUAL(s->imapd_ADDRESS, "a.example.com");
	settings_free(&s);
	/* The environment takes precedence. */
	setenv("PROXY_HOSTNAME", "127.0.0.2", 1);
	s = load_good("imapd = { ADDRESS = \"${PROXY_HOSTNAME}\"; };\nPROXY_HOSTNAME = \"b.example.com\"; RUNDIR = "
	              "\"/run/waypost/${PROXY_HOSTNAME}\"; ");
	unsetenv("PROXY_HOSTNAME");
	CU_ASSERT_STRING_EQUAL(s->self[0], "127.0.0.2");
	CU_ASSERT_STRING_EQUAL(s->imapd_ADDRESS, "127.0.0.2");
	CU_ASSERT_STRING_EQUAL(s->node_RUNDIR, "/run/waypost/127.0.0.2");
	CU_ASSERT_STRING_EQUAL(s->node_PROXY_HOSTNAME, "127.0.0.2");
	settings_free(&s);
}

static void test_same_host(void)
{
	CU_ASSERT(net_same_host("A.example.com.", "a.EXAMPLE.com"));
	CU_ASSERT(!net_same_host("a.example.com", "a.example.co"));
	CU_ASSERT(net_same_host("", "."));
}

/* Included files: relative to the one that includes, messages with their own names and lines. */
static void test_include(void)
{
	struct str errors = STR_INIT, warnings = STR_INIT, want = STR_INIT;
	char main_file[128], sub[128], path[128], *text;
	struct settings *s;

	set_up();
	in_dir(main_file, "main.conf");
	mkdir(in_dir(sub, "sub"), 0755);
	text = whole("@include \"sub/imapd.conf\"\nLOG = \"stderr\";\n", 0);
	write_file(main_file, text, 0644);
	mem_free(&text);
	write_file(in_dir(path, "sub/imapd.conf"), "imapd = {\n@include \"port.conf\"\n};\n", 0644);
	write_file(in_dir(path, "sub/port.conf"), "PORT = 1143", 0644);
	s = settings_load(main_file, &errors, &warnings);
	expect(main_file, &errors, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT_STRING_EQUAL(s->imapd_PORT, "1143");
	CU_ASSERT_STRING_EQUAL(s->node_LOG, "stderr");
	settings_free(&s);

	write_file(in_dir(path, "sub/port.conf"), "\nPORT = 0;\nLOG = \"x", 0644);
	CU_ASSERT_PTR_NULL(settings_load(main_file, &errors, &warnings));
	str_addf(&want,
	    "%s/sub/port.conf:3: the string does not end on its line; add the closing \"\n"
	    "%s/sub/port.conf:2: imapd.PORT = 0: 0 is neither a port from 1 to 65535 nor ADDRESS.PORT with a numeric "
	    "address\n"
	    "%s/sub/port.conf:3: imapd.LOG is not a setting here; move it to the top level of the file, outside of any "
	    "group\n",
	    dir, dir, dir);
	expect("sub/port.conf", &errors, str_cstr(&want));

	str_clear(&errors);
	str_clear(&want);
	write_file(in_dir(path, "sub/port.conf"), "@include \"imapd.conf\"\n@include \"none.conf\"\n@include \"..\"\n",
	    0644);
	CU_ASSERT_PTR_NULL(settings_load(main_file, &errors, &warnings));
	str_addf(&want,
	    "%s/sub/port.conf:1: @include \"imapd.conf\": the file includes itself; remove this line\n"
	    "%s/sub/port.conf:2: @include \"none.conf\": cannot read %s/sub/none.conf: No such file or directory\n"
	    "%s/sub/port.conf:3: @include \"..\": cannot read %s/sub/..: not a regular file\n",
	    dir, dir, dir, dir, dir);
	expect("sub/port.conf", &errors, str_cstr(&want));

	str_clear(&errors);
	str_clear(&want);
	CU_ASSERT_PTR_NULL(settings_load(in_dir(path, "nothing.conf"), &errors, &warnings));
	str_addf(&want, "%s/nothing.conf: cannot be read: No such file or directory\n", dir);
	expect("nothing.conf", &errors, str_cstr(&want));
	str_fini(&errors);
	str_fini(&warnings);
	str_fini(&want);
}

/* The file at PATH with the LEN bytes of TEXT is refused: "t.conf:2: POOL_SECRETFILE: " and WHY, where "%s" is PATH. */
static void refused_secret(const char *path, const char *text, size_t len, const char *why)
{
	struct str errors = STR_INIT, warnings = STR_INIT, want = STR_INIT;
	const char *at = strstr(why, "%s");
	char conf[256];
	FILE *f = fopen(path, "w");

	CU_ASSERT_FATAL(f != NULL && at != NULL);
	CU_ASSERT(fwrite(text, 1, len, f) == len && fclose(f) == 0);
	snprintf(conf, sizeof(conf), "POOL_SECRETFILE = \"%s\";", path);
	CU_ASSERT_PTR_NULL(load(conf, 0, &errors, &warnings));
	str_addf(&want, "t.conf:2: POOL_SECRETFILE: %.*s%s%s\n", (int)(at - why), why, path, at + 2);
	expect(text, &errors, str_cstr(&want));
	str_fini(&errors);
	str_fini(&warnings);
	str_fini(&want);
}

#define ONE "0123456789abcdef"
#define TWO "another secret, long enough"

static void test_secret(void)
{
	char path[128], text[512];
	struct str errors = STR_INIT, warnings = STR_INIT, want = STR_INIT;
	struct settings *s;

	set_up();
	write_file(in_dir(path, "secret"), "0123456789abcdef\n", 0600);
	snprintf(text, sizeof(text), "POOL_SECRETFILE = \"%s\";", path);
	s = load_good(text);
	CU_ASSERT_STRING_EQUAL(s->pool_secret, "0123456789abcdef");
	settings_free(&s);

	write_file(path, "0123456789abcdef\n", 0604);
	CU_ASSERT_PTR_NULL(load(text, 0, &errors, &warnings));
	str_addf(&want,
	    "t.conf:2: POOL_SECRETFILE: %s is readable by everybody on this machine; run: chmod 600 %s, and replace "
	    "the secret\n",
	    path, path);
	expect(text, &errors, str_cstr(&want));
	str_clear(&errors);
	str_clear(&want);
	refused_secret(path, "", 0,
	    "line 1 of %s holds less than 16 bytes; create it with: head -c 32 /dev/urandom | base64");
	refused_secret(path, "short\n", 6,
	    "line 1 of %s holds less than 16 bytes; create it with: head -c 32 /dev/urandom | base64");
	refused_secret(path, ONE "\n\n" TWO, 45,
	    "line 2 of %s holds less than 16 bytes; create it with: head -c 32 /dev/urandom | base64");
	refused_secret(path, "\n" ONE, 17,
	    "line 1 of %s holds less than 16 bytes; create it with: head -c 32 /dev/urandom | base64");
	refused_secret(path, ONE "\n" TWO "\nend", 48,
	    "line 3 of %s holds less than 16 bytes; create it with: head -c 32 /dev/urandom | base64");
	refused_secret(path, "# the old one follows\n" ONE, 38,
	    "line 1 of %s begins with '#': each line is a secret, and there are no comments");
	refused_secret(path, ONE "\0" ONE, 33, "%s holds NUL bytes; create it with: head -c 32 /dev/urandom | base64");
	for (size_t i = 0; i < POOL_SECRETS_MAX + 1; i++)
		str_addf(&want, "%s %zu\n", ONE, i);
	refused_secret(path, want.data, want.len,
	    "%s holds 9 lines, and 8 are enough: remove secrets that no node signs with any more");
	str_fini(&errors);
	str_fini(&warnings);
	str_fini(&want);
}

/* Several lines, however they end. */
static void test_secrets(void)
{
	static const char *const files[] = { ONE "\n" TWO "\n", ONE "\n" TWO, ONE "\r\n" TWO "\r\n",
		ONE "\n" TWO "\n\n\n", ONE "\r\n" TWO "\r" };
	char path[128], text[256];
	const char *list, *line;
	struct settings *s;
	size_t len;

	set_up();
	in_dir(path, "secret");
	snprintf(text, sizeof(text), "POOL_SECRETFILE = \"%s\";", path);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		write_file(path, files[i], 0600);
		s = load_good(text);
		CU_ASSERT_STRING_EQUAL(s->pool_secret, ONE "\n" TWO);
		list = s->pool_secret;
		line = pool_secret_next(&list, &len);
		CU_ASSERT(line != NULL && len == strlen(ONE) && strncmp(line, ONE, len) == 0);
		line = pool_secret_next(&list, &len);
		CU_ASSERT(line != NULL && len == strlen(TWO) && strcmp(line, TWO) == 0);
		CU_ASSERT_PTR_NULL(pool_secret_next(&list, &len));
		settings_free(&s);
	}
}

/* A file that ends too early only causes a message. */
static void test_cut(void)
{
	static const char text[] = "/* x */ LOG = \"st\\\"derr\"; # y\nimapd = { PORT = [ \"1\", \"2\" ], DEBUG_LOGIN "
	                           ": 0x1; X = (1, {a=1}) };\n"
	                           "@include \"/nonexistent/x\" LOGIN_WORKERS = -5L\n";

	set_up();
	for (size_t n = 0; n <= sizeof(text) - 1; n++) {
		struct str errors = STR_INIT, warnings = STR_INIT;
		struct settings_load l;
		char *part = mem_memdup(text, n);

		CU_ASSERT_FALSE(settings_load_bytes(&l, "t.conf", part, n, &errors, &warnings));
		CU_ASSERT_PTR_NULL(strstr(str_cstr(&errors), "syntax error"));
		settings_load_fini(&l);
		mem_free(&part);
		str_fini(&errors);
		str_fini(&warnings);
	}
}

/* Any words in any order: libconfig accepts what the scan accepts. */
static void test_any_order(void)
{
	static const char *const words[] = {
		"a",
		"b",
		"c-d",
		"=",
		"=",
		"=",
		":",
		";",
		";",
		",",
		"{",
		"}",
		"[",
		"]",
		"(",
		")",
		"\"x\"",
		"\"\\\"\"",
		"\"",
		"1",
		"-7",
		"0x1F",
		"0x",
		"true",
		"FALSE",
		".5",
		"1.",
		"1e5",
		"1L",
		"1LL",
		"yes",
		"022",
		"99999999999",
		"_",
		"+",
		"\n",
		"\n",
		"# x\n",
		"// \"\n",
		"/* { */",
		"/*",
		"@include",
		"@include \"x\"",
		"\\",
		"*",
		"'",
		"\t",
		"\v",
		"\f",
		"\r",
		"\1",
		"$",
		"\xc3\xa9",
		"a = 1;",
		"b = { c = 2 };",
		"a = [ 1, 2 ]",
		"()",
	};
	uint32_t seed = 20240607;

	for (int i = 0; i < 20000; i++) {
		struct str text = STR_INIT, errors = STR_INIT;
		struct settings_text t;
		config_t config;

		for (int n = 1 + i % 17; n > 0; n--) {
			seed = seed * 1664525 + 1013904223;
			str_adds(&text, words[(seed >> 8) % ARRAY_LEN(words)]);
			if ((seed >> 29) != 0)
				str_addc(&text, ' ');
		}
		settings_text_from(&t, "t.conf", str_cstr(&text), text.len, &errors);
		settings_scan(&t, &errors);
		config_init(&config);
		if (config_read_string(&config, str_cstr(&t.text)) != CONFIG_TRUE) {
			fprintf(stderr, "\n--- of:\n%s\n--- left:\n%s\n--- %d: %s\n", str_cstr(&text),
			    str_cstr(&t.text), config_error_line(&config), config_error_text(&config));
			CU_FAIL("libconfig refused what the scan left");
		}
		config_destroy(&config);
		settings_text_fini(&t);
		str_fini(&text);
		str_fini(&errors);
	}
}

static void test_nul(void)
{
	struct str errors = STR_INIT, warnings = STR_INIT;
	struct settings_load l;

	CU_ASSERT_FALSE(settings_load_bytes(&l, "t.conf", "imapd = {};\nLOG\0 = 1;", 21, &errors, &warnings));
	CU_ASSERT_EQUAL(strncmp(str_cstr(&errors), "t.conf:2: a NUL byte: not a text file\n", 38), 0);
	settings_load_fini(&l);
	str_fini(&errors);
	str_fini(&warnings);
}

/* TEXT with every FROM replaced by TO. */
static char *replaced(const char *text, const char *from, const char *to)
{
	struct str out = STR_INIT;
	const char *at;

	while ((at = strstr(text, from)) != NULL) {
		str_add(&out, text, (size_t)(at - text));
		str_adds(&out, to);
		text = at + strlen(from);
	}
	str_adds(&out, text);
	return str_steal(&out);
}

/* The sample is a valid file, and with every setting uncommented it has the defaults. */
static void test_sample(void)
{
	struct str sample = STR_INIT, on = STR_INIT, errors = STR_INIT, warnings = STR_INIT;
	struct settings *s, *d = settings_defaults();
	char *text;

	set_up();
	settings_doc_sample(&sample);
	text = replaced(str_cstr(&sample), "/etc/waypost/userdb", userdb);
	str_clear(&sample);
	str_adds(&sample, text);
	mem_free(&text);
	text = replaced(str_cstr(&sample), "#LOGIN_USER = \"waypost\"", "LOGIN_USER = \"daemon\"");
	str_clear(&sample);
	str_adds(&sample, text);
	mem_free(&text);
	text = replaced(str_cstr(&sample), "#TLS_CERTFILE = \"\"", "#TLS_CERTFILE = \"/cert\"");
	str_clear(&sample);
	str_adds(&sample, text);
	mem_free(&text);
	text = replaced(str_cstr(&sample), "#AUTH_USER = \"waypostauth\"", "AUTH_USER = \"bin\"");
	s = load(text, BARE, &errors, &warnings);
	expect("the sample", &errors, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT(s->imapd_IMAP_PROXY && s->pop3d_POP3_PROXY && !s->has_tls[PROTOCOL_IMAP]);
	settings_free(&s);

	for (const char *p = text; *p != '\0'; p++)
		if (*p != '#' || p[1] == ' ' || p[1] == '\n' || p[1] == '#')
			str_addc(&on, *p);
	s = load(str_cstr(&on), BARE, &errors, &warnings);
	expect("the sample, all switched on", &errors, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	CU_ASSERT(s->has_tls[PROTOCOL_IMAP] && s->has_tls[PROTOCOL_POP3]);
	for (const struct settings_row *row = settings_rows; row->name != NULL; row++)
		if (!settings_is_text(row->type))
			CU_ASSERT(
			    settings_number(s, row) == settings_number(d, row) || strstr(row->name, "_PROXY") != NULL);
	CU_ASSERT_STRING_EQUAL(s->imapd_IMAP_CAPABILITY, d->imapd_IMAP_CAPABILITY);
	CU_ASSERT_STRING_EQUAL(s->imapd_AUTHSERVICE, "143=imap");
	settings_free(&s);
	settings_free(&d);
	mem_free(&text);
	str_fini(&sample);
	str_fini(&on);
	str_fini(&errors);
	str_fini(&warnings);
}

/* What is shown of a secret is the same for the same secret, and does not reveal it. */
static void check_shows_the_secret(const char *conf, const char *secret, const char *word)
{
	char path[128], line[256], want[64], *text;
	struct str out = STR_INIT;

	write_file(in_dir(path, "check.secret"), secret, 0600);
	snprintf(line, sizeof(line), "POOL_SECRETFILE = \"%s\"; imapd = { ADDRESS = \"127.0.0.1\"; };\n", path);
	text = whole(line, 0);
	write_file(conf, text, 0644);
	CU_ASSERT_EQUAL(settings_check(conf, &out, NULL), 0);
	snprintf(want, sizeof(want), "\nfingerprint of the pool secret: %s; it must be the same", word);
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&out), want));
	CU_ASSERT_PTR_NULL(strstr(str_cstr(&out), secret));
	unlink(path);
	str_fini(&out);
	mem_free(&text);
}

static void test_check(void)
{
	struct str out = STR_INIT;
	char path[128], last[256], *text;

	set_up();
	in_dir(path, "check.conf");
	text = whole("imapd = { ADDRESS = \"127.0.0.1\"; MAXDAEMONS = 100; };\n", 0);
	write_file(path, text, 0644);
	mem_free(&text);
	CU_ASSERT_EQUAL(settings_check(path, &out, NULL), 0);
	snprintf(last, sizeof(last), "\n%s: no mistakes found\n", path);
	CU_ASSERT(out.len > strlen(last) && strcmp(out.data + out.len - strlen(last), last) == 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(out.data, "this node is "));
	CU_ASSERT_PTR_NOT_NULL(strstr(out.data, "\nfs.file-max = "));
	CU_ASSERT_PTR_NULL(strstr(out.data, "secret"));
	str_clear(&out);
	check_shows_the_secret(path, "a secret of one node", "acc30d10");
	check_shows_the_secret(path, "a secret of another", "f096e2d7");
	text = whole("IMAPD = 1; LOG = \"x\";\n", 0);
	write_file(path, text, 0644);
	mem_free(&text);
	CU_ASSERT_EQUAL(settings_check(path, &out, NULL), 1);
	snprintf(last, sizeof(last), "\n%s: 2 mistakes\n", path);
	CU_ASSERT(out.len > strlen(last) && strcmp(out.data + out.len - strlen(last), last) == 0);
	str_fini(&out);
}

/* What is the same for all nodes of a pool, whatever their names are: the file as it was written, not what it means. */
static void test_same(void)
{
	static const char file[] = "imapd = { ADDRESS = \"${PROXY_HOSTNAME}\"; PORT = 1143; };\nMIN_UID = 200;\n";
	static const struct {
		const char *text;
		bool same;
	} t[] = {
		{ file, true },
		{ "# a comment\nMIN_UID : 200\n\timapd :\n{ /* here */ PORT = 1143 ADDRESS = \"${PROXY_\" "
		  "\"HOSTNAME}\" }\n",
		    true },
		{ "imapd = { ADDRESS = \"${HOSTNAME}\"; PORT = 1143; };\nMIN_UID = 200;\n", false },
		{ "imapd = { ADDRESS = \"127.0.0.1\"; PORT = 1143; };\nMIN_UID = 200;\n", false },
		{ "imapd = { ADDRESS = \"${PROXY_HOSTNAME}\"; PORT = 1144; };\nMIN_UID = 200;\n", false },
		{ "imapd = { ADDRESS = \"${PROXY_HOSTNAME}\"; PORT = \"1143\"; };\nMIN_UID = 200;\n", false },
		{ "imapd = { ADDRESS = \"${PROXY_HOSTNAME}\"; PORT = 1143; };\n", false },
		{ "imapd = { ADDRESS = \"${PROXY_HOSTNAME}\"; PORT = 1143; };\nMIN_UID = 200; proxy = {};\n", false },
		{ "imapd = { ADDRESS = \"${PROXY_HOSTNAME}\"; PORT = 1143; MIN_UID = 200; };\n", false },
	};
	struct settings_load l;
	char *want = NULL;

	setenv("PROXY_HOSTNAME", "127.0.0.2", 1);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct str errors = STR_INIT, warnings = STR_INIT;

		if (i == 1)
			setenv("PROXY_HOSTNAME", "127.0.0.3", 1);
		settings_load_bytes(&l, "t.conf", t[i].text, strlen(t[i].text), &errors, &warnings);
		if (want == NULL)
			want = mem_strdup(l.set->same);
		CU_ASSERT_EQUAL(strlen(l.set->same), 64);
		CU_ASSERT_EQUAL(strcmp(l.set->same, want) == 0, t[i].same);
		settings_load_fini(&l);
		str_fini(&errors);
		str_fini(&warnings);
	}
	unsetenv("PROXY_HOSTNAME");
	mem_free(&want);
}

static void tear_down(void)
{
	static const char *const names[] = { "userdb", "main.conf", "sub/imapd.conf", "sub/port.conf", "secret",
		"pool.pem", "check.conf", NULL };
	char path[128];

	for (size_t i = 0; names[i] != NULL; i++)
		unlink(in_dir(path, names[i]));
	rmdir(in_dir(path, "sub"));
	CU_ASSERT_EQUAL(rmdir(dir), 0);
}

static const struct unit_case cases[] = { { "defaults", test_defaults }, { "table", test_table },
	{ "write and read", test_write_read }, { "a worker sees no accounts", test_worker_sees_no_accounts },
	{ "written without room", test_write_without_room }, { "read damaged", test_read_damaged },
	{ "numbers", test_numbers }, { "values", test_values }, { "ports", test_ports }, { "syntax", test_syntax },
	{ "names", test_names }, { "bad values", test_bad_values }, { "trusted networks", test_trusted },
	{ "ports with headers", test_header_ports }, { "known names", test_known }, { "TLS groups", test_tls_groups },
	{ "TLS towards peers", test_peer_tls }, { "TLS between our nodes", test_peer_tls_of_ours },
	{ "who may know the client", test_send_id }, { "who is sent headers", test_peer_header },
	{ "the local server", test_local_server }, { "quotas of directories", test_quotas },
	{ "login mechanisms", test_mechanisms }, { "master user", test_master }, { "no userdb yet", test_no_userdb },
	{ "every known name", test_every_known_name }, { "environment", test_environment },
	{ "same host", test_same_host }, { "include", test_include }, { "pool secret", test_secret },
	{ "several pool secrets", test_secrets }, { "cut at every byte", test_cut }, { "any order", test_any_order },
	{ "NUL byte", test_nul }, { "sample", test_sample }, { "check", test_check }, { "the same file", test_same },
	{ "tear down", tear_down }, { NULL, NULL } };
UNIT_MAIN("settings", cases)
