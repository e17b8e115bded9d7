/* Logins in authd, as a login worker that was taken over would ask about them. The worker is the end of a channel that the test holds. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authd/authd_priv.h"
#include "authlib/drv_userdb.h"
#include "lib/clock.h"
#include "lib/hex.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

static struct authd a;
static struct authd_worker w;
static struct settings *set;
static struct chan *worker;
static struct auth_reply last;
static unsigned nanswers;

static void ask_address(struct peers *p UNUSED, const char *host UNUSED, void *arg UNUSED)
{
}

static void gone(struct chan *c UNUSED, void *arg UNUSED)
{
}

static void on_answer(struct chan *c UNUSED, struct msgr *r, int fd UNUSED, void *arg UNUSED)
{
	if (r->type == AUTH_REPLY && auth_reply_read(r, &last))
		nanswers++;
}

static void load(const char *text)
{
	char path[] = "/tmp/test_request.XXXXXX";
	struct userdb_report report;
	const char *why = "";
	struct userdb *db;
	int fd = mkstemp(path), image = -1;

	CU_ASSERT_EQUAL_FATAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	userdb_report_init(&report);
	CU_ASSERT_EQUAL_FATAL(userdb_build(path, NULL, 100, &report, &image), USERDB_BUILT);
	userdb_report_fini(&report);
	unlink(path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(db = userdb_open_fd(image, &why));
	drv_userdb_use(db);
}

static void begin(void)
{
	struct str errors = STR_INIT;
	int fd[2];

	memset(&a, 0, sizeof(a));
	memset(&w, 0, sizeof(w));
	set = settings_defaults();
	unit_set(&set->authdaemonrc_authmodulelist, "authuserdb");
	unit_set(&set->self[0], "192.0.2.1");
	set->imapd_IMAP_PROXY = 1;
	a.ctx.set = set;
	services_use(&a);
	a.ctx.loop = ev_loop_new(EVFLAG_AUTO);
	a.chain = auth_chain_new("authuserdb", AUTH_SIDE_LOOP, set, &errors);
	a.jobs = jobs_new(a.ctx.loop);
	a.cache = cache_new(1 << 20);
	a.questions = questions_new(a.ctx.loop, a.jobs, a.cache, clock_ms);
	questions_use(a.questions, a.chain, set);
	a.peers = peers_new(ask_address, &a);
	peers_set(a.peers, 60, 60, 8);
	a.reg = reg_new();
	a.loops = loops_new();
	a.signers = signers_new();
	request_init(&a);
	a.tokens = tokens_new();
	a.pool = mac_new("secret", 6);
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	nanswers = 0;
	worker = chan_new(a.ctx.loop, fd[1], on_answer, gone, NULL);
	w.a = &a;
	w.talks = talks_new();
	w.chan = chan_new(a.ctx.loop, fd[0], NULL, gone, NULL);
	load("jo\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=192.0.2.7 192.0.2.1\n");
}

static void end(void)
{
	request_drop_all(&w);
	CU_ASSERT_EQUAL(w.nsteps, 0);
	talks_free(&w.talks);
	chan_free(&w.chan);
	chan_free(&worker);
	drv_userdb_use(NULL);
	questions_free(&a.questions);
	jobs_free(&a.jobs);
	cache_free(&a.cache);
	auth_chain_free(&a.chain);
	peers_free(&a.peers);
	reg_free(&a.reg);
	loops_free(&a.loops);
	signers_free(&a.signers);
	tokens_free(&a.tokens);
	mac_free(&a.pool);
	ev_loop_destroy(a.ctx.loop);
	settings_free(&set);
}

/* There is an answer: it is in LAST. */
static bool answered(void)
{
	unsigned before = nanswers;

	ev_run(a.ctx.loop, EVRUN_NOWAIT);
	ev_run(a.ctx.loop, EVRUN_NOWAIT);
	return nanswers == before + 1;
}

/* Question ID: the right answer to a challenge. */
static void prove(uint32_t id)
{
	struct auth_request q = { .request = id, .mech = AUTH_MECH_CRAM_MD5, .user = "jo" };
	const char *challenge = talks_begin(w.talks, id, q.mech, "n", clock_now());
	unsigned char md[EVP_MAX_MD_SIZE];
	static struct msgw m;
	unsigned n = 0;
	struct msgr r;

	CU_ASSERT_TRUE_FATAL(net_addr_parse(&q.client, "192.0.2.99", 1));
	HMAC(EVP_md5(), "secret", 6, (const unsigned char *)challenge, strlen(challenge), md, &n);
	hex_text(q.password, md, n);
	auth_request_write(&m, &q);
	msgr_begin(&r, m.buf, m.len - 1);
	CU_ASSERT_FALSE(request_new(&w, &r));
	msgr_begin(&r, m.buf, m.len);
	CU_ASSERT_TRUE_FATAL(request_new(&w, &r));
}

/* What was granted for an answer to a challenge can be asked about once more, not for ever: each time there is a new token. */
static void test_again_once(void)
{
	struct net_addr other;

	begin();
	prove(7);
	CU_ASSERT_TRUE_FATAL(answered());
	CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_OK);
	CU_ASSERT_TRUE(last.more == AUTH_MORE_HERE && !last.local);
	other = last.target[0].addr;
	request_step(&w, 7, "");
	CU_ASSERT_TRUE_FATAL(answered());
	CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_OK);
	for (int i = 0; i < 2; i++) {
		request_step(&w, 7, "");
		CU_ASSERT_TRUE_FATAL(answered());
		CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_UNAVAILABLE);
	}
	/* The hosts before this one are down by then. */
	prove(8);
	CU_ASSERT_TRUE_FATAL(answered());
	peers_result(a.peers, PROTOCOL_IMAP, &other, false, clock_now());
	request_step(&w, 8, "");
	CU_ASSERT_TRUE_FATAL(answered());
	CU_ASSERT_TRUE(last.verdict == AUTH_VERDICT_OK && last.local);
	/* One that its worker does not want any more, and one that it never speaks of again. */
	peers_result(a.peers, PROTOCOL_IMAP, &other, true, clock_now());
	prove(9);
	CU_ASSERT_TRUE(answered() && last.more == AUTH_MORE_HERE);
	request_cancel(&w, 9);
	request_step(&w, 9, "");
	CU_ASSERT_TRUE(answered() && last.verdict == AUTH_VERDICT_UNAVAILABLE);
	prove(10);
	CU_ASSERT_TRUE(answered() && last.more == AUTH_MORE_HERE);
	end();
}

static const struct unit_case cases[] = {
	{ "once more", test_again_once }, { NULL, NULL },
};
UNIT_MAIN("request", cases)
