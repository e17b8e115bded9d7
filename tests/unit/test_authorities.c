/* Authorities on their way to login workers and authd. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/loop.h"
#include "lib/tls_trust.h"
#include "master/authorities.h"
#include "master/missing.h"
#include "node/msg_control.h"
#include "settings/settings.h"
#include "tests/unit/tls_test.h"

static struct master m;
static struct post posts[2] = { { .role = ROLE_WORKER, .m = &m }, { .role = ROLE_AUTHD, .m = &m } };
static struct child worker, authd;
static bool full;                                     /* no message can be sent */
static unsigned sent[2][CONTROL_TRUST_COUNT];         /* to worker and authd: how often */
static unsigned lacks[2][CONTROL_TRUST_COUNT], known; /* certificates in the last one */

bool children_send(struct child *c, const struct msgw *w, int fd)
{
	struct str why = STR_INIT;
	struct tls_trust *t;

	CU_ASSERT(fd != -1);
	if (full)
		return false;
	t = tls_trust_read(fd, &why);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	known = tls_trust_count(t);
	sent[c == &authd][w->buf[w->len - 1]]++;
	tls_trust_free(&t);
	return true;
}

void missing_add(struct child *to, uint16_t what, struct child *other, unsigned slot)
{
	CU_ASSERT(what == CTL_TRUST && other == NULL);
	lacks[to == &authd][slot]++;
}

static void clear(void)
{
	memset(sent, 0, sizeof(sent));
	memset(lacks, 0, sizeof(lacks));
}

static void put(const char *path, const struct str *pem)
{
	FILE *f = fopen(path, "w");

	CU_ASSERT_FATAL(f != NULL);
	fputs(str_cstr(pem), f);
	fclose(f);
}

/* Until others are believed: what was put has to be at rest. */
static void wait_for_change(void)
{
	for (int i = 0; i < 10 && sent[1][PROTOCOL_IMAP] + lacks[1][PROTOCOL_IMAP] == 0; i++)
		ev_run(m.loop, EVRUN_ONCE);
}

/* Who has not got them gets what is believed then, whatever has become of the file. */
static void test_passing(void)
{
	EVP_PKEY *key = tls_test_key("P-256");
	X509 *ca = tls_test_authority(key, "ca", NULL, key), *other = tls_test_authority(key, "other", NULL, key);
	char path[] = "/tmp/authorities-XXXXXX";
	struct str pem = STR_INIT;

	close(mkstemp(path));
	tls_test_add_pem(&pem, ca);
	put(path, &pem);
	m.loop = loop_new();
	m.set = settings_defaults();
	m.set->has_tls[PROTOCOL_IMAP] = m.set->has_tls[PROTOCOL_POP3] = true;
	unit_set(&m.set->imapd_ssl_TLS_VERIFYPEER, "PEER");
	unit_set(&m.set->imapd_ssl_TLS_TRUSTCERTS, path);
	unit_set(&m.set->pop3d_ssl_TLS_VERIFYPEER, "REQUIREPEER");
	unit_set(&m.set->pop3d_ssl_TLS_TRUSTCERTS, path);
	worker = (struct child){ .next = &authd, .post = &posts[0], .control = (void *)&worker, .begun = true };
	authd = (struct child){ .post = &posts[1], .control = (void *)&authd, .begun = true };
	m.children = &worker;
	/* Both protocols share the file. */
	authorities_update(&m);
	for (int who = 0; who < 2; who++)
		for (unsigned whose = 0; whose < CONTROL_TRUST_COUNT; whose++)
			CU_ASSERT_EQUAL(sent[who][whose], whose == PROTOCOL_IMAP || whose == PROTOCOL_POP3);
	CU_ASSERT_EQUAL(known, 1);
	clear();
	authorities_update(&m);
	CU_ASSERT_EQUAL(sent[0][PROTOCOL_IMAP] + sent[1][PROTOCOL_IMAP], 0);
	/* What a full channel does not take is not lost. */
	tls_test_add_pem(&pem, other);
	put(path, &pem);
	full = true;
	authorities_update(&m);
	CU_ASSERT_EQUAL(lacks[0][PROTOCOL_IMAP], 0); /* a reload is no reason to believe a file that may be half-way */
	wait_for_change();
	CU_ASSERT_EQUAL(lacks[0][PROTOCOL_IMAP] + lacks[1][PROTOCOL_IMAP], 2);
	CU_ASSERT_EQUAL(lacks[0][PROTOCOL_POP3] + lacks[1][PROTOCOL_POP3], 2);
	full = false;
	str_clear(&pem);
	str_adds(&pem, "broken");
	put(path, &pem);
	authorities_update(&m);
	CU_ASSERT_EQUAL(sent[1][PROTOCOL_IMAP], 0);
	authorities_repeat(&authd, PROTOCOL_IMAP);
	CU_ASSERT_EQUAL(sent[1][PROTOCOL_IMAP], 1);
	CU_ASSERT_EQUAL(known, 2);
	/* Nor is it for who begins now. */
	clear();
	authorities_begin(&authd);
	CU_ASSERT(sent[1][PROTOCOL_IMAP] == 1 && sent[1][PROTOCOL_POP3] == 1 && sent[1][CONTROL_TRUST_PEERS] == 0);
	CU_ASSERT_EQUAL(known, 2);
	/* It stays when the file gets broken, and the one that had named it first names it no more. */
	unit_set(&m.set->imapd_ssl_TLS_VERIFYPEER, "NONE");
	clear();
	authorities_update(&m);
	CU_ASSERT(sent[1][PROTOCOL_IMAP] == 1 && known == 0);
	CU_ASSERT_EQUAL(sent[1][PROTOCOL_POP3] + sent[0][PROTOCOL_POP3], 0);
	authorities_begin(&authd);
	CU_ASSERT(sent[1][PROTOCOL_IMAP] == 1 && sent[1][PROTOCOL_POP3] == 1 && known == 2);
	unit_set(&m.set->imapd_ssl_TLS_VERIFYPEER, "PEER");
	clear();
	authorities_update(&m);
	CU_ASSERT(sent[1][PROTOCOL_IMAP] == 1 && known == 2);
	/* Who is not asked any more is believed no more. */
	clear();
	unit_set(&m.set->imapd_ssl_TLS_VERIFYPEER, "NONE");
	unit_set(&m.set->pop3d_ssl_TLS_VERIFYPEER, "NONE");
	authorities_update(&m);
	CU_ASSERT(sent[1][PROTOCOL_IMAP] == 1 && sent[1][PROTOCOL_POP3] == 1);
	CU_ASSERT_EQUAL(known, 0);
	/* The workers of before still ask. */
	CU_ASSERT(sent[0][PROTOCOL_IMAP] == 0 && sent[0][PROTOCOL_POP3] == 0);
	unlink(path);
	str_fini(&pem);
	X509_free(ca);
	X509_free(other);
	EVP_PKEY_free(key);
	settings_free(&m.set);
	ev_loop_destroy(m.loop);
}

static const struct unit_case cases[] = {
	{ "passing", test_passing },
	{ NULL, NULL },
};
UNIT_MAIN("authorities", cases)
