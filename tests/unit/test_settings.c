#include "tests/unit/unit.h"

#include <string.h>
#include <unistd.h>

#include "lib/mem.h"
#include "node/settings.h"

static void test_defaults(void)
{
	struct settings *s = settings_defaults();

	CU_ASSERT_STRING_EQUAL(s->node_RUNDIR, "/run/waypost");
	CU_ASSERT_STRING_EQUAL(s->imapd_PORT, "143");
	CU_ASSERT_STRING_EQUAL(s->pop3d_PORT, "110");
	CU_ASSERT_EQUAL(s->proxy_PROXY_IDLE_TIMEOUT, 1860);
	CU_ASSERT_EQUAL(s->imapd_IMAP_PROXY, false);
	CU_ASSERT_EQUAL(s->imapd_IMAP_USELOCKS, true);
	settings_free(&s);
	CU_ASSERT_PTR_NULL(s);
	settings_free(&s);
}

/* What each role gets back of settings that differ from the defaults everywhere. */
static void test_write_read(void)
{
	static const unsigned roles[] = { SETTINGS_FOR_MASTER, SETTINGS_FOR_WORKER, SETTINGS_FOR_AUTHD, SETTINGS_FOR_SPAWN };
	struct settings *s = settings_defaults();

	mem_free(&s->authuserdb_USERDB);
	s->authuserdb_USERDB = mem_strdup("/x/userdb");
	mem_free(&s->pool_secret);
	s->pool_secret = mem_strdup("the secret");
	mem_free(&s->self[0]);
	s->self[0] = mem_strdup("a.example.com");
	s->has_pop3d = true;
	s->node_LOGIN_TIMEOUT = 33;
	s->imapd_IMAP_PROXY = true;
	s->authdaemonrc_daemons = 77;
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		int fd = settings_write(s, roles[i]);
		struct settings *r = settings_read(fd);
		bool authd = roles[i] == SETTINGS_FOR_AUTHD, worker = roles[i] == SETTINGS_FOR_WORKER;

		CU_ASSERT_PTR_NOT_NULL_FATAL(r);
		CU_ASSERT_STRING_EQUAL(r->self[0], "a.example.com");
		CU_ASSERT_EQUAL(r->has_pop3d, true);
		CU_ASSERT_EQUAL(r->has_imapd, false);
		CU_ASSERT_EQUAL(r->node_LOGIN_TIMEOUT, worker || authd ? 33 : 60);
		CU_ASSERT_EQUAL(r->imapd_IMAP_PROXY, worker || authd);
		CU_ASSERT_STRING_EQUAL(r->pool_secret, authd ? "the secret" : "");
		if (worker) {
			CU_ASSERT_STRING_EQUAL(r->authuserdb_USERDB, "/etc/waypost/userdb");
			CU_ASSERT_EQUAL(r->authdaemonrc_daemons, 5);
		}
		settings_free(&r);
		/* The file can be read again. */
		r = settings_read(fd);
		CU_ASSERT_PTR_NOT_NULL(r);
		settings_free(&r);
		close(fd);
	}
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

static const struct unit_case cases[] = {
	{ "defaults", test_defaults }, { "write and read", test_write_read }, { "read damaged", test_read_damaged },
	{ NULL, NULL }
};
UNIT_MAIN("settings", cases)
