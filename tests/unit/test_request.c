/* Logins in authd: each state of a request, and each event in it. The test plays the login worker, the auth worker and
 * SCRAM's module. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "authd/hold.h"
#include "authd/peer_ports.h"
#include "authd/request.h"
#include "authd/sessions.h"
#include "authlib/module.h"
#include "lib/clock.h"
#include "lib/hex.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "node/msg_session.h"
#include "node/msg_ticket.h"
#include "tests/unit/msg_test.h"
#include "tests/unit/unit.h"

/* The service of PROTOCOL at ADDR, in clear. Valid until the next call. */
static const struct peer_service *service(enum protocol protocol, const struct net_addr *addr)
{
	static struct peer_service s;

	s = (struct peer_service){ protocol, PEER_TLS_NONE, *addr };
	return &s;
}

static struct authd a;
static struct authd_worker w;
static struct settings *set;
static struct chan *worker;
static struct auth_reply last;
static unsigned nanswers;
static int last_fd;              /* the number of the descriptor that came with it, which is closed again; -1: none */
static char said[AUTH_TEXT_MAX]; /* the last text for the client */
static unsigned nsaid, ncrowded, ntickets;
static int authworker;
static struct job job; /* the auth worker's last one */

static void ask_address(struct peers *p UNUSED, const char *host UNUSED, void *arg UNUSED) { }

static void gone(struct chan *c UNUSED, void *arg UNUSED) { }

static void on_answer(struct chan *c UNUSED, struct msgr *r, int fd, void *arg UNUSED)
{
	uint32_t id;

	if (fd != -1)
		close(fd);
	if (r->type == AUTH_REPLY && auth_reply_read(r, &last)) {
		nanswers++;
		last_fd = fd;
	}
	if (r->type == AUTH_CHALLENGE && auth_text_read(r, &id, said))
		nsaid++;
	else if (r->type == AUTH_CROWDED)
		ncrowded++;
}

/* --- SCRAM's module: whoever says "right" is --- */

static struct scram_session {
	int unused;
} session;

static struct scram_session *scram_begin(const struct scram_secret *offer UNUSED)
{
	return &session;
}

static bool scram_first(struct scram_session *s UNUSED, const char *text, const char *name UNUSED, struct str *out)
{
	str_adds(out, "first");
	return strcmp(text, "malformed") != 0;
}

static bool scram_final(struct scram_session *s UNUSED, const char *text, const struct scram_secret *keys UNUSED,
    struct str *out)
{
	str_adds(out, "final");
	return strcmp(text, "right") == 0;
}

static void scram_end(struct scram_session **s)
{
	*s = NULL;
}

static bool scram_prepare(const char *password, struct str *out)
{
	str_adds(out, password);
	return true;
}

const void *auth_module_symbol(const char *name, const char *symbol UNUSED, struct str *why UNUSED)
{
	static const struct scram_module module = { scram_begin, scram_first, scram_final, scram_end, scram_prepare };

	return strcmp(name, "scram") == 0 ? &module : NULL;
}

const struct auth_driver *auth_module_load(const char *name UNUSED, struct str *why)
{
	str_adds(why, "there is none");
	return NULL;
}

/* Seconds that this process was stopped. */
static double stopped;

double clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9 + stopped;
}

#include "tests/unit/fake_clock.h"

static void use_userdb(struct userdb *db)
{
	auth_chain_use_image(a.chain, db);
	userdb_close(&a.userdb);
	a.userdb = db;
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
	use_userdb(db);
}

/* Of "tanstaaftanstaaf". */
#define STATE "d06d4e1b26fccaa4b0b61801132340a354b21152711fb604ca3e035e7015116b"
#define SLOW "$6$salt$egUxKNxDs8kPfh8iPMNcosMhb2eWah6d3R44JDm5Rj/j/XWR5E33QPd0YmHXoDHOIDR6kL5D3JcQcz0O8FHE00"
static const char accounts[] =
    "jo\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=192.0.2.7 192.0.2.1,replicated=shared\n"
    "ann\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret\n"
    "bob\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret\n"
    "slow\tuid=1000|gid=1000|home=/h|systempw=" SLOW "\n"
    "name\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=node.example.com\n"
    "off\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=disableimap=1\n"
    "root\tuid=0|gid=0|home=/h|systempw={PLAIN}secret\n"
    "state\tuid=1000|gid=1000|home=/h|hmac-md5pw=" STATE "|options=mailhost=192.0.2.7\n"
    "tls\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=disableinsecureimap=1\n"
    "locked\tuid=1000|gid=1000|home=/h|systempw=!{PLAIN}secret\n"
    "two\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=192.0.2.7 node.example.com\n"
    "us\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=node.example.com "
    "192.0.2.1,replicated=single\n"
    "ports\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=192.0.2.7:2001 192.0.2.7:2002 "
    "192.0.2.7:2003\n"
    "copy\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=192.0.2.7 192.0.2.1\n"
    "lone\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=node.example.com 192.0.2.1\n"
    "first\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=192.0.2.1 192.0.2.7\n"
    "word\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=192.0.2.1 192.0.2.7,replicated=yes\n"
    "low\tuid=50|gid=50|home=/h|systempw={PLAIN}secret\n"
    /* Two names, and one with an address between them. */
    "some\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=node.example.com 192.0.2.7 "
    "other.example.com\n"
    "both\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=node.example.com other.example.com\n"
    "secure\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=192.0.2.7 192.0.2.8:994 "
    "192.0.2.9:110 192.0.2.10,proxytls=implicit\n"
    "typo\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=192.0.2.7,proxytls=yes\n"
    "bad\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret|options=mailhost=node:x\n";

static void no_up(const struct peer_order *o UNUSED, void *arg UNUSED) { }

static void begin_with(const char *modules)
{
	struct str errors = STR_INIT;
	int fd[2];

	memset(&a, 0, sizeof(a));
	memset(&w, 0, sizeof(w));
	a.started = clock_now();
	a.ctx.who.generation = 7;
	set = settings_defaults();
	unit_set(&set->authdaemonrc_authmodulelist, modules);
	unit_set(&set->self[0], "192.0.2.1");
	set->imapd_IMAP_PROXY = 1;
	set->node_LOGIN_START_RATE = 0; /* tests that are about it set it */
	a.ctx.set = set;
	peer_ports(set, a.ports);
	a.ctx.loop = ev_loop_new(EVFLAG_AUTO);
	a.chain = auth_chain_new(set->authdaemonrc_authmodulelist, AUTH_SIDE_LOOP, set, &errors);
	a.jobs = jobs_new(a.ctx.loop);
	a.cache = cache_new(1 << 20);
	a.directory_lookups = directory_lookups_new(a.ctx.loop, a.jobs, a.cache, clock_ms);
	directory_lookups_use(a.directory_lookups, a.chain, set);
	a.peers = peers_new(ask_address, &a);
	a.orders = orders_new(no_up, NULL);
	peers_set(a.peers, 60, 60, 8);
	a.reg = reg_new();
	a.troubles = troubles_new();
	a.same_nodes = same_nodes_new();
	a.signature_errors = signature_errors_new();
	a.guesses = guesses_new();
	request_init(&a);
	a.used_tokens = used_tokens_open(used_tokens_file(), (uint64_t)time(NULL));
	a.pool = pool_keys_new("secret");
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	nanswers = 0;
	worker = chan_new(a.ctx.loop, fd[1], on_answer, gone, NULL);
	w.a = &a;
	w.challenges = challenges_new();
	w.chan = chan_new(a.ctx.loop, fd[0], NULL, gone, NULL);
	load(accounts);
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	jobs_add_worker(a.jobs, 0, 1, fd[0]);
	authworker = fd[1];
	nsaid = ncrowded = ntickets = 0;
	job_init(&job, 0, JOB_HASH);
}

static void begin(void)
{
	begin_with("authuserdb authdaemon");
}

static void end(void)
{
	request_drop_all(&w);
	CU_ASSERT_EQUAL(w.nkept, 0);
	job_fini(&job);
	close(authworker);
	challenges_free(&w.challenges);
	chan_free(&w.chan);
	chan_free(&worker);
	use_userdb(NULL);
	directory_lookups_free(&a.directory_lookups);
	jobs_free(&a.jobs);
	cache_free(&a.cache);
	auth_chain_free(&a.chain);
	peers_free(&a.peers);
	orders_free(&a.orders);
	reg_free(&a.reg);
	troubles_free(&a.troubles);
	same_nodes_free(&a.same_nodes);
	signature_errors_free(&a.signature_errors);
	guesses_free(&a.guesses);
	used_tokens_free(&a.used_tokens);
	pool_keys_free(&a.pool);
	ev_loop_destroy(a.ctx.loop);
	settings_free(&set);
}

static void turn(void)
{
	for (int i = 0; i < 4; i++)
		ev_run(a.ctx.loop, EVRUN_NOWAIT);
}

/* There is a reply: it is in LAST. */
static bool answered(void)
{
	unsigned before = nanswers;

	turn();
	return nanswers == before + 1;
}

static bool refused(enum auth_verdict verdict)
{
	return answered() && last.verdict == verdict;
}

/* TEXT is for the client. */
static bool says(const char *text)
{
	unsigned before = nsaid;

	turn();
	return nsaid == before + 1 && strcmp(said, text) == 0;
}

/* The auth worker got a job of KIND: it is in JOB. */
static bool given(enum job_kind kind)
{
	static uint8_t buf[MSG_SIZE_MAX];
	struct msgr r;
	int fd;

	turn();
	if (!unit_next(authworker, buf, &r, &fd))
		return false;
	job_fini(&job);
	return job_read(&r, &job) && job.kind == kind;
}

/* The auth worker has done JOB. */
static void done(enum auth_result result, const char *text, bool goes_on)
{
	static struct msgw m;
	struct job_done d;

	job_done_init(&d, job.id, job.kind);
	d.result = result;
	mem_free(&d.text);
	d.text = mem_strdup(text);
	d.answered = !goes_on;
	d.pos = goes_on ? job.from + 1 : job.from;
	account_set(&d.account.name, "dora");
	account_set(&d.account.home, "/h");
	account_set(&d.account.clear, "secret");
	d.account.uid = d.account.gid = 1000;
	settings_directories_digest(set, d.settings);
	job_done_write(&m, &d);
	CU_ASSERT_EQUAL(msg_send(authworker, &m, -1), 0);
	job_done_fini(&d);
}

/* SCRAM's keys, as an auth worker computes them. */
static void done_keys(void)
{
	struct scram_secret s;
	struct str text = STR_INIT;
	const char *why;

	CU_ASSERT_TRUE_FATAL(scram_secret_read(&s, job.hash, &why));
	scram_secret_derive(&s, job.password);
	scram_secret_add(&text, &s);
	done(AUTH_OK, str_cstr(&text), false);
	str_fini(&text);
}

/* No request is left. */
static bool all_gone(void)
{
	turn();
	return w.requests == NULL && w.nkept == 0 && a.waiting == NULL && a.asking == NULL && a.turns.queue == NULL &&
	    a.turns.n == 0 && a.held == NULL && a.for_room == NULL && a.nfor_room == 0 && jobs_waiting(a.jobs) == 0;
}

static void put(const struct auth_request *q)
{
	static struct msgw m;
	struct msgr r;

	auth_request_write(&m, q);
	msgr_begin(&r, m.buf, m.len - 1);
	CU_ASSERT_FALSE(request_new(&w, &r));
	msgr_begin(&r, m.buf, m.len);
	CU_ASSERT_TRUE_FATAL(request_new(&w, &r));
}

static struct auth_request make(uint32_t id, enum auth_mech mech, const char *user, const char *password)
{
	struct auth_request q = { .request = id, .mech = mech };

	str_copy(q.user, sizeof(q.user), user);
	str_copy(q.credential, sizeof(q.credential), password);
	CU_ASSERT_TRUE_FATAL(net_addr_parse(&q.client, "192.0.2.99", 1));
	return q;
}

/* Question ID. */
static void ask(uint32_t id, enum auth_mech mech, const char *user, const char *password)
{
	struct auth_request q = make(id, mech, user, password);

	put(&q);
}

/* Request ID: USER's right response to a challenge. */
static void prove_as(uint32_t id, const char *user)
{
	const char *challenge = challenges_make(w.challenges, id, AUTH_MECH_CRAM_MD5, "n", clock_now());
	unsigned char md[EVP_MAX_MD_SIZE];
	char answer[2 * EVP_MAX_MD_SIZE + 1];
	unsigned n = 0;

	HMAC(EVP_md5(), "secret", 6, (const unsigned char *)challenge, strlen(challenge), md, &n);
	ask(id, AUTH_MECH_CRAM_MD5, user, hex_text(answer, md, n));
}

static void prove(uint32_t id)
{
	prove_as(id, "jo");
}

/* After a login by challenge the worker can ask for other targets once, not for ever, and gets a new token. */
static void test_again_once(void)
{
	struct net_addr other;

	begin();
	prove(7);
	CU_ASSERT_TRUE_FATAL(answered());
	CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_OK);
	CU_ASSERT_TRUE(last.other_hosts == AUTH_OTHER_HOSTS_SELF && !last.local);
	other = last.target[0].addr;
	request_step(&w, 7, ""); /* it was tried, whatever is known of it: the next one is this node */
	CU_ASSERT_TRUE_FATAL(answered());
	CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_OK);
	CU_ASSERT_TRUE(last.local);
	for (int i = 0; i < 2; i++) {
		request_step(&w, 7, "");
		CU_ASSERT_TRUE_FATAL(answered());
		CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_UNAVAILABLE);
	}
	/* The hosts before this one are down by then. */
	prove(8);
	CU_ASSERT_TRUE_FATAL(answered());
	peers_failed(a.peers, service(PROTOCOL_IMAP, &other), 1, clock_now(), clock_now());
	request_step(&w, 8, "");
	CU_ASSERT_TRUE_FATAL(answered());
	CU_ASSERT_TRUE(last.verdict == AUTH_VERDICT_OK && last.local);
	/* One request that its worker cancels, and one that it never mentions again. */
	peers_answered(a.peers, service(PROTOCOL_IMAP, &other), 1, clock_now());
	prove(9);
	CU_ASSERT_TRUE(answered() && last.other_hosts == AUTH_OTHER_HOSTS_SELF);
	request_cancel(&w, 9);
	request_step(&w, 9, "");
	CU_ASSERT_TRUE(answered() && last.verdict == AUTH_VERDICT_UNAVAILABLE);
	prove(10);
	CU_ASSERT_TRUE(answered() && last.other_hosts == AUTH_OTHER_HOSTS_SELF);
	end();
}

/* --- where a request waits --- */

enum { PEER_PORT = 143 };
enum place { FIRST_LOAD, TURN, DIRECTORY, HASH, CLIENT, KEYS, HELD, ADDRESS, ROOM, GRANTED, PLACES };

/* ACCOUNT_CROWD_MAX logins of jo are pending at the first mailhost. */
static void crowd(void)
{
	struct net_addr peer;

	CU_ASSERT_TRUE_FATAL(net_addr_parse(&peer, "192.0.2.7", PEER_PORT));
	for (uint64_t id = 1; id <= 20; id++)
		reg_add_pending(a.reg, reg_add(a.reg, id, PROTOCOL_IMAP, &peer, "jo", 0), "192.0.2.7",
		    service(PROTOCOL_IMAP, &peer), 1, clock_now() + 100);
}

static void all_arrive(void)
{
	for (uint64_t id = 1; id <= 20; id++)
		reg_arrived(a.reg, reg_find(a.reg, id));
}

/* Guess number N, wrong, at USER from IP; returns the delay of the refusal in ms. */
static uint32_t guess(const char *user, const char *ip, unsigned n)
{
	struct auth_request q = make(100 + n, AUTH_MECH_PASSWORD, user, "");

	snprintf(q.credential, sizeof(q.credential), "guess %u", n);
	CU_ASSERT_TRUE_FATAL(net_addr_parse(&q.client, ip, 1));
	put(&q);
	CU_ASSERT(refused(AUTH_VERDICT_WRONG));
	return last.delay_ms;
}

/* As many as make a right answer wait. */
static void guess_often(const char *user, const char *ip)
{
	for (unsigned n = 0; n <= GUESSES_FREE; n++)
		guess(user, ip, n);
	nanswers = 0;
}

/* Request 7 waits at PLACE. */
static void reach(enum place place)
{
	begin();
	switch (place) {
	case FIRST_LOAD:
		use_userdb(NULL);
		a.first_load = true;
		ask(7, AUTH_MECH_PASSWORD, "ann", "secret");
		CU_ASSERT_PTR_NOT_NULL(a.waiting);
		break;
	case TURN:
		set->node_LOGIN_START_RATE = 1;
		a.turns.at = loop_now();
		ask(7, AUTH_MECH_PASSWORD, "ann", "secret");
		CU_ASSERT_EQUAL(a.turns.n, 1);
		break;
	case DIRECTORY:
		ask(7, AUTH_MECH_PASSWORD, "dora", "secret");
		CU_ASSERT(given(JOB_VERIFY));
		break;
	case HASH:
		ask(7, AUTH_MECH_PASSWORD, "slow", "secret");
		CU_ASSERT(given(JOB_HASH));
		break;
	case CLIENT:
		ask(7, AUTH_MECH_SCRAM_SHA_256, "jo", "hello");
		CU_ASSERT(says("first"));
		break;
	case KEYS:
		ask(7, AUTH_MECH_SCRAM_SHA_256, "jo", "hello");
		CU_ASSERT(says("first"));
		request_step(&w, 7, "right");
		CU_ASSERT(given(JOB_SCRAM));
		break;
	case HELD:
		guess_often("ann", "192.0.2.99");
		ask(7, AUTH_MECH_PASSWORD, "ann", "secret");
		break;
	case ADDRESS:
		ask(7, AUTH_MECH_PASSWORD, "name", "secret");
		CU_ASSERT_PTR_NOT_NULL(a.waiting);
		break;
	case ROOM:
		crowd();
		ask(7, AUTH_MECH_PASSWORD, "jo", "secret");
		CU_ASSERT_EQUAL(a.nfor_room, 1);
		break;
	default:
		prove(7);
		CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.other_hosts == AUTH_OTHER_HOSTS_SELF);
	}
	turn();
	CU_ASSERT_EQUAL(nanswers, place == GRANTED);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w.requests);
	CU_ASSERT_EQUAL(w.nkept, place == CLIENT || place == KEYS || place == GRANTED);
}

/* What it waits for arrives. */
static void arrive(enum place place)
{
	struct net_addr peer;

	CU_ASSERT_TRUE_FATAL(net_addr_parse(&peer, "192.0.2.9", 0));
	switch (place) {
	case FIRST_LOAD:
		load(accounts);
		a.first_load = false;
		request_resume(&a);
		break;
	case TURN:
		a.turns.at -= 1;
		ev_invoke(a.ctx.loop, &a.turns.timer, EV_TIMER);
		break;
	case DIRECTORY:
	case HASH:
		done(AUTH_OK, "", false);
		break;
	case KEYS:
		done_keys();
		break;
	case HELD:
		hold_release(&a, clock_now() + HOLD_MOST);
		break;
	case ADDRESS:
		peers_resolved(a.peers, "node.example.com", NAME_FOUND, &peer, 1, clock_now());
		request_resume(&a);
		break;
	case ROOM:
		all_arrive();
		for (int i = 0; i < 1000 && a.nfor_room != 0; i++)
			ev_run(a.ctx.loop, EVRUN_ONCE);
		break;
	default:
		request_step(&w, 7, "right");
	}
}

/* The worker cancels the request, in any state: there is no reply, and later results for it are ignored. */
static void test_cancelled(void)
{
	for (enum place place = 0; place < PLACES; place++) {
		reach(place);
		request_cancel(&w, 8);
		CU_ASSERT_PTR_NOT_NULL(w.requests);
		request_cancel(&w, 7);
		CU_ASSERT(all_gone());
		if (place != CLIENT && place != GRANTED)
			arrive(place);
		turn();
		CU_ASSERT_EQUAL(nanswers, place == GRANTED);
		end();
	}
}

/* The worker is gone. */
static void test_dropped(void)
{
	for (enum place place = 0; place < PLACES; place++) {
		reach(place);
		request_drop_all(&w);
		CU_ASSERT(all_gone());
		end();
	}
}

/* A client's next message, where none is awaited: the worker is told so, and the question goes on. */
static void test_unasked_step(void)
{
	for (enum place place = 0; place < PLACES; place++) {
		if (place == CLIENT || place == GRANTED)
			continue;
		reach(place);
		request_step(&w, 7, "right");
		CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
		CU_ASSERT_PTR_NOT_NULL(w.requests);
		request_step(&w, 8, "right");
		CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
		arrive(place);
		if (place == KEYS)
			CU_ASSERT(says("final"))
		else
			CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
		end();
	}
}

/* Only requests that wait for their client expire. */
static void test_expired(void)
{
	for (enum place place = 0; place < PLACES; place++) {
		reach(place);
		request_expire(&w, clock_now() - 1000);
		CU_ASSERT_PTR_NOT_NULL(w.requests);
		request_expire(&w, clock_now() + 1000);
		turn();
		CU_ASSERT_EQUAL(nanswers, place == CLIENT || place == GRANTED);
		CU_ASSERT_EQUAL(all_gone(), place == CLIENT || place == GRANTED);
		if (place == CLIENT)
			CU_ASSERT_STRING_EQUAL(last.reason, "its client took too long");
		end();
	}
}

/* Request ID of USER from IP, whose password is right, is answered at once. */
static bool enters(uint32_t id, const char *user, const char *ip)
{
	struct auth_request q = make(id, AUTH_MECH_PASSWORD, user, "secret");

	CU_ASSERT_TRUE_FATAL(net_addr_parse(&q.client, ip, 1));
	put(&q);
	return answered() && last.verdict == AUTH_VERDICT_OK;
}

/* Request 7 is held, and then answered; SECONDS at most. */
static bool enters_later(double seconds)
{
	turn();
	if (nanswers != 0 || a.held == NULL)
		return false;
	hold_release(&a, clock_now() + seconds);
	return answered() && last.verdict == AUTH_VERDICT_OK;
}

/* Whoever guesses waits, longer and longer, for the right password as for wrong ones; others do not. */
static void test_guesser(void)
{
	static const struct {
		unsigned n;
		uint32_t ms;
	} t[] = { { 0, 2000 }, { 4, 2000 }, { 5, 4000 }, { 9, 4000 }, { 10, 6000 }, { 15, 10000 }, { 20, 17000 },
		{ 99, 17000 } };
	unsigned n = 0;

	begin_with("authuserdb");
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		for (; n < t[i].n; n++)
			guess("ann", "192.0.2.66", n);
		CU_ASSERT_EQUAL(guess("ann", "192.0.2.66", n++), t[i].ms);
	}
	nanswers = 0;
	CU_ASSERT_FALSE(enters(7, "jo", "192.0.2.66")); /* another account, from there */
	hold_release(&a, clock_now() + 14);
	CU_ASSERT(enters_later(HOLD_MOST + 0.1));
	nanswers = 0;
	CU_ASSERT_FALSE(enters(7, "ann", "192.0.2.67")); /* the account, from where it never was */
	CU_ASSERT(enters_later(HOLD_MOST + 0.1));
	CU_ASSERT(enters(8, "ann", "192.0.2.67")); /* and now it was */
	CU_ASSERT(enters(9, "jo", "192.0.2.68"));
	CU_ASSERT_EQUAL(guess("ann", "192.0.2.67", 1000), 17000); /* else others there learned of the account */
	nanswers = 0;
	CU_ASSERT(enters(10, "ann", "192.0.2.67"));
	end();
}

/* Everywhere somebody guesses at an account: its owner logs in from where it was before, without delay. */
static void test_owner(void)
{
	char ip[32];

	begin_with("authuserdb");
	CU_ASSERT(enters(7, "ann", "192.0.2.1"));
	for (unsigned n = 0; n < 200; n++) {
		snprintf(ip, sizeof(ip), "198.51.100.%u", n);
		guess("Ann", ip, n);
	}
	CU_ASSERT(enters(8, "ann", "192.0.2.1"));
	end();
}

/* Behind one address: others do not delay who was there before; who guesses at that account delays it alone. */
static void test_shared_address(void)
{
	begin_with("authuserdb");
	CU_ASSERT(enters(7, "ann", "2001:db8::1") && enters(8, "jo", "2001:db8::2"));
	guess_often("nobody", "2001:db8::3");
	CU_ASSERT(enters(9, "ann", "2001:db8::4") && enters(10, "jo", "2001:db8::5"));
	guess_often("jo", "2001:db8::6");
	CU_ASSERT(enters(11, "ann", "2001:db8::1"));
	CU_ASSERT(enters(12, "ann", "2001:db8:0:1::1")); /* elsewhere: nobody guessed at ann */
	nanswers = 0;
	CU_ASSERT_FALSE(enters(7, "jo", "2001:db8::1"));
	CU_ASSERT(enters_later(3));
	end();
}

/* The delays of wrong passwords do not tell which accounts have logged in from an address that others share: neither
 * where the account was guessed at from elsewhere, nor by what it adds to those of others there. */
static void test_no_enumeration_by_delay(void)
{
	static const char *const name[] = { "ann", "nobody" };
	uint32_t first[2], last_one[2], others[2];

	for (int i = 0; i < 2; i++) {
		begin_with("authuserdb");
		CU_ASSERT(enters(7, "ann", "192.0.2.1"));
		for (unsigned n = 0; n < 12; n++)
			guess(name[i], "198.51.100.9", n);
		first[i] = guess(name[i], "192.0.2.1", 100);
		for (unsigned n = 0; n < 20; n++)
			last_one[i] = guess(name[i], "192.0.2.1", 200 + n);
		others[i] = guess("jo", "192.0.2.1", 300);
		end();
	}
	CU_ASSERT_EQUAL(first[0], first[1]);
	CU_ASSERT_EQUAL(last_one[0], last_one[1]);
	CU_ASSERT_EQUAL(others[0], others[1]);
}

/* A proxy in front that says nothing of its clients is not taken for a guesser, and a login that it forwards for
 * somebody is that client's. */
static void test_guesser_behind_proxy(void)
{
	struct auth_request q;

	begin_with("authuserdb");
	unit_set(&set->proxy_PROXY_TRUSTED, "192.0.2.50");
	for (unsigned n = 0; n < 50; n++) {
		char user[16];

		snprintf(user, sizeof(user), "no%u", n);
		CU_ASSERT_EQUAL(guess(user, "192.0.2.50", n), 2000);
	}
	CU_ASSERT(enters(7, "ann", "192.0.2.50"));
	for (uint32_t n = 0; n <= 30; n++) {
		q = make(100 + n, AUTH_MECH_PASSWORD, "jo", "");
		snprintf(q.credential, sizeof(q.credential), "guess %u", n);
		CU_ASSERT_TRUE_FATAL(net_addr_parse(&q.client, "192.0.2.50", 1));
		q.forwarded.present = true;
		CU_ASSERT_TRUE_FATAL(net_addr_parse(&q.forwarded.client, "203.0.113.9", 1));
		put(&q);
		CU_ASSERT(refused(AUTH_VERDICT_WRONG));
	}
	CU_ASSERT_EQUAL(last.delay_ms, 7000); /* less than PROXY_TIMEOUT, which it may have, too */
	nanswers = 0;
	CU_ASSERT_FALSE(enters(7, "ann", "203.0.113.9"));
	CU_ASSERT(enters_later(HOLD_MOST + 0.1));
	end();
}

/* The owner of an account that is guessed at cannot fill the tables of a worker with logins that wait. */
static void test_held_of_one_account(void)
{
	char ip[32];

	begin_with("authuserdb");
	for (unsigned n = 0; n < 30; n++)
		guess("ann", "192.0.2.66", n);
	nanswers = 0;
	for (unsigned n = 0; n < HOLD_ACCOUNT_MAX; n++) {
		snprintf(ip, sizeof(ip), "198.51.100.%u", n);
		CU_ASSERT_FALSE(enters(1000 + n, "ann", ip));
	}
	CU_ASSERT_FALSE(enters(7, "ann", "192.0.2.67"));
	CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_ACCOUNT_LIMIT);
	CU_ASSERT(enters(8, "jo", "192.0.2.67"));
	CU_ASSERT_EQUAL(w.nrequests, HOLD_ACCOUNT_MAX);
	end();
}

/* Who forwards a login for somebody that it does not name, or whose signature is not good now, has no more patience
 * than others in front: its login must not fail because it is held. */
static void test_hold_for_a_front(void)
{
	struct auth_request q = make(7, AUTH_MECH_PASSWORD, "ann", "secret");

	for (int i = 0; i < 2; i++) {
		begin();
		for (unsigned n = 0; n < 30; n++)
			guess("ann", "192.0.2.66", n);
		CU_ASSERT_TRUE_FATAL(net_addr_parse(&q.client, "192.0.2.50", 1));
		if (i == 0) {
			unit_set(&set->proxy_PROXY_TRUSTED, "192.0.2.50");
		} else {
			signature_errors_know(a.signature_errors, &q.client);
			q.forwarded.present = true;
			q.forwarded.signature = FORWARDED_SIGNATURE_MADE;
			q.forwarded.time = (uint64_t)time(NULL) - 3600;
		}
		nanswers = 0;
		put(&q);
		CU_ASSERT(enters_later((double)set->proxy_PROXY_TIMEOUT / 2 + 0.1));
		end();
	}
}

/* SCRAM tells the client that its password is right before it asks for the verdict: that waits, too. */
static void test_guesser_by_scram(void)
{
	begin();
	guess_often("ann", "192.0.2.99");
	ask(7, AUTH_MECH_SCRAM_SHA_256, "ann", "hello");
	CU_ASSERT(says("first"));
	request_step(&w, 7, "right");
	CU_ASSERT(given(JOB_SCRAM));
	done_keys();
	CU_ASSERT_FALSE(says("final"));
	CU_ASSERT_PTR_NOT_NULL_FATAL(a.held);
	hold_release(&a, clock_now() + 3);
	CU_ASSERT(says("final"));
	request_step(&w, 7, "");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	end();
}

/* What other requests wait for arrives: this one checks again, and goes on waiting. */
static void test_resumed(void)
{
	for (enum place place = 0; place < PLACES; place++) {
		reach(place);
		request_resume(&a);
		turn();
		CU_ASSERT_EQUAL(nanswers, place == GRANTED);
		CU_ASSERT_PTR_NOT_NULL(w.requests);
		CU_ASSERT_EQUAL(a.waiting != NULL, place == FIRST_LOAD || place == ADDRESS);
		CU_ASSERT_EQUAL(a.nfor_room, place == ROOM);
		end();
	}
}

/* It gets what it waits for, and is answered; requests that may retry are kept. */
static void test_awaited(void)
{
	for (enum place place = 0; place < PLACES; place++) {
		reach(place);
		arrive(place);
		if (place == CLIENT) {
			CU_ASSERT(given(JOB_SCRAM));
			done_keys();
		}
		if (place == CLIENT || place == KEYS) {
			CU_ASSERT(says("final"));
			request_step(&w, 7, "");
		}
		turn();
		CU_ASSERT_EQUAL(nanswers, place == GRANTED ? 2 : 1);
		CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_OK);
		CU_ASSERT_EQUAL(last.local,
		    place == FIRST_LOAD || place == TURN || place == DIRECTORY || place == HASH || place == HELD ||
		        place == GRANTED);
		CU_ASSERT_EQUAL(all_gone(), place != CLIENT && place != KEYS);
		end();
	}
}

/* The auth workers die twice: its job fails. */
static void test_no_worker(void)
{
	static const enum place places[] = { DIRECTORY, HASH, KEYS };

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		reach(places[i]);
		for (int k = 0; k < 2; k++) {
			int fd[2];

			close(authworker);
			turn();
			CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
			authworker = fd[1];
			jobs_add_worker(a.jobs, 0, (uint64_t)k + 2, fd[0]);
			turn();
		}
		CU_ASSERT_EQUAL(nanswers, 1);
		CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_UNAVAILABLE);
		CU_ASSERT(all_gone());
		end();
	}
}

/* A directory does not answer within AUTH_TIMEOUT: the login fails then, not after the driver's own time. The answer
 * that comes later is for the next login. */
static void test_directory_limit(void)
{
	reach(DIRECTORY);
	a.asking->asked_since -= (double)set->authdaemonrc_AUTH_TIMEOUT - 60;
	ev_invoke(a.ctx.loop, &a.asking_timer, EV_TIMER);
	turn();
	CU_ASSERT_EQUAL(nanswers, 0);
	a.asking->asked_since -= 60;
	ev_invoke(a.ctx.loop, &a.asking_timer, EV_TIMER);
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, "AUTH_TIMEOUT (5 seconds)"));
	CU_ASSERT(all_gone() && a.gave_up == 1 && !ev_is_active(&a.asking_timer));
	done(AUTH_OK, "", false);
	turn();
	ask(8, AUTH_MECH_PASSWORD, "dora", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	CU_ASSERT_EQUAL(nanswers, 2);
	end();
}

/* The auth worker's verdict is no. */
static void test_wrong(void)
{
	static const struct {
		enum place place;
		enum auth_result result;
		enum auth_verdict verdict;
	} t[] = {
		{ HASH, AUTH_MISMATCH, AUTH_VERDICT_WRONG },
		{ HASH, AUTH_BROKEN, AUTH_VERDICT_UNAVAILABLE },
		{ HASH, AUTH_TRY_LATER, AUTH_VERDICT_UNAVAILABLE },
		{ DIRECTORY, AUTH_MISMATCH, AUTH_VERDICT_WRONG },
		{ DIRECTORY, AUTH_DISABLED, AUTH_VERDICT_WRONG },
		{ DIRECTORY, AUTH_TRY_LATER, AUTH_VERDICT_UNAVAILABLE },
		{ DIRECTORY, AUTH_BROKEN, AUTH_VERDICT_UNAVAILABLE },
		{ KEYS, AUTH_BROKEN, AUTH_VERDICT_WRONG },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		reach(t[i].place);
		done(t[i].result, "", false);
		CU_ASSERT(answered());
		CU_ASSERT_EQUAL(last.verdict, t[i].verdict);
		CU_ASSERT(all_gone());
		end();
	}
}

/* If hashes are slow, no reply is quicker: neither for unknown names nor for an account whose own hash is quick. */
static void test_nobody(void)
{
	static const char *const user[] = { "dora", "ann" };

	for (int i = 0; i < 2; i++) {
		begin();
		load("a\tuid=1000|gid=1000|home=/h|systempw=" SLOW "\nb\tuid=1000|gid=1000|home=/h|systempw=" SLOW "\n"
		     "ann\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret\n");
		ask(7, AUTH_MECH_PASSWORD, user[i], "wrong");
		if (i == 0) { /* no driver follows the last directory */
			CU_ASSERT(given(JOB_VERIFY));
			done(AUTH_UNKNOWN, "", true);
		}
		CU_ASSERT_TRUE_FATAL(given(JOB_HASH));
		CU_ASSERT_EQUAL(strncmp(job.hash, "$6$", 3), 0);
		done(AUTH_OK, "", false);
		CU_ASSERT(refused(AUTH_VERDICT_WRONG));
		CU_ASSERT(all_gone());
		end();
	}
}

/* What the auth worker is asked for USER's wrong password, a letter for each kind of job, until there is a reply. Of
 * directories it says FOUND. */
static const char *work(enum auth_mech mech, const char *user, enum auth_result found)
{
	static char jobs[16];
	unsigned n = 0, before = nanswers;

	if (auth_mech_exchange(mech) == AUTH_EXCHANGE_CHALLENGE)
		CU_ASSERT_PTR_NOT_NULL(challenges_make(w.challenges, 7, mech, "n", clock_now()));
	ask(7, mech, user, "a wrong one");
	turn();
	if (auth_mech_exchange(mech) == AUTH_EXCHANGE_STEPS && nanswers == before)
		request_step(&w, 7, "wrong");
	while (n < sizeof(jobs) - 1 && nanswers == before) {
		static uint8_t buf[MSG_SIZE_MAX];
		struct msgr r;
		int fd;

		turn();
		if (nanswers != before || !unit_next(authworker, buf, &r, &fd))
			break;
		job_fini(&job);
		CU_ASSERT_TRUE_FATAL(job_read(&r, &job));
		jobs[n++] = job.kind == JOB_HASH ? 'H' :
		    job.kind == JOB_SCRAM        ? 'S' :
		    job.kind == JOB_VERIFY       ? 'V' :
		                                   'L';
		if (job.kind == JOB_SCRAM)
			done_keys();
		else if (job.kind == JOB_HASH)
			done(strcmp(job.hash, SLOW) == 0 ? AUTH_MISMATCH : AUTH_OK, "", false);
		else
			done(found, "", found == AUTH_UNKNOWN);
	}
	jobs[n] = '\0';
	turn();
	CU_ASSERT_EQUAL(nanswers, before + 1);
	CU_ASSERT(all_gone());
	return jobs;
}

/* No account is told from one that does not exist, neither by words, nor by the delay, nor by the work that is done:
 * however its password is stored, and whether it may log in. (Except a broken record: its password may be right.) */
static void test_no_enumeration(void)
{
	static const char all[] = "slow\tuid=1000|gid=1000|home=/h|systempw=" SLOW "\n"
	                          "other\tuid=1000|gid=1000|home=/h|systempw=" SLOW "\n"
	                          "quick\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret\n"
	                          "nothing\tuid=1000|gid=1000|home=/h\n"
	                          "locked\tuid=1000|gid=1000|home=/h|systempw=!" SLOW "\n"
	                          "lockedq\tuid=1000|gid=1000|home=/h|systempw=!{PLAIN}secret\n"
	                          "off\tuid=1000|gid=1000|home=/h|systempw=" SLOW "|options=disableimap=1\n"
	                          "away\tuid=1000|gid=1000|home=/h|systempw=" SLOW "|options=mailhost=192.0.2.7\n"
	                          "state\tuid=1000|gid=1000|home=/h|hmac-md5pw=" STATE "\n";
	static const char *const name[] = { "nobody", "slow", "quick", "nothing", "locked", "lockedq", "off", "away",
		"state" };
	static const enum auth_mech mech[] = { AUTH_MECH_PASSWORD, AUTH_MECH_APOP, AUTH_MECH_CRAM_MD5,
		AUTH_MECH_CRAM_SHA256, AUTH_MECH_SCRAM_SHA_1, AUTH_MECH_SCRAM_SHA_256 };
	struct auth_reply first;
	char jobs[16], usual[16];

	for (size_t m = 0; m < ARRAY_LEN(mech); m++)
		for (int again = 0; again < 2; again++)
			for (size_t i = 0; i < ARRAY_LEN(name); i++) {
				begin_with("authuserdb");
				load(all);
				for (int k = 0; k <= again; k++)
					str_copy(jobs, sizeof(jobs), work(mech[m], name[i], AUTH_UNKNOWN));
				if (i == 0) {
					first = last;
					CU_ASSERT_EQUAL(first.verdict, AUTH_VERDICT_WRONG);
					str_copy(usual, sizeof(usual), jobs);
				}
				if (strcmp(jobs, usual) != 0 || last.verdict != first.verdict)
					printf("\n%s by %s: %s, not %s: %d %s\n", name[i], auth_mech_name(mech[m]),
					    jobs, usual, last.verdict, last.reason);
				CU_ASSERT_STRING_EQUAL(jobs, usual);
				CU_ASSERT(last.verdict == first.verdict && last.delay_ms == first.delay_ms &&
				    last.session == 0 && strcmp(last.reason, first.reason) == 0);
				end();
			}
}

/* Of a directory behind the userdb: a wrong password there takes what an unknown name takes. */
static void test_no_enumeration_of_directory(void)
{
	static const enum auth_result found[] = { AUTH_UNKNOWN, AUTH_MISMATCH, AUTH_DISABLED };

	for (int slow = 0; slow < 2; slow++)
		for (size_t i = 0; i < ARRAY_LEN(found); i++) {
			begin();
			load(slow ? "a\tuid=1000|gid=1000|home=/h|systempw=" SLOW "\n" :
			            "a\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret\n");
			CU_ASSERT_STRING_EQUAL(work(AUTH_MECH_PASSWORD, "dora", found[i]), slow ? "VH" : "V");
			CU_ASSERT(last.verdict == AUTH_VERDICT_WRONG && last.reason[0] == '\0');
			end();
		}
}

/* While the userdb on disk is refused, unknown names fail temporarily; a wrong password of an account that is known, in
 * the userdb in use or in a directory, is wrong all the same, and counted. */
static void test_wrong_while_userdb_is_refused(void)
{
	static const struct {
		const char *user;
		enum auth_result found;
		enum auth_verdict verdict;
	} t[] = { { "dora", AUTH_UNKNOWN, AUTH_VERDICT_UNAVAILABLE }, { "dora", AUTH_MISMATCH, AUTH_VERDICT_WRONG },
		{ "quick", AUTH_UNKNOWN, AUTH_VERDICT_WRONG }, { "slow", AUTH_UNKNOWN, AUTH_VERDICT_WRONG } };

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		begin();
		load("slow\tuid=1000|gid=1000|home=/h|systempw=" SLOW "\n"
		     "quick\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret\n");
		a.report.status = USERDB_CUT;
		work(AUTH_MECH_PASSWORD, t[i].user, t[i].found);
		CU_ASSERT_EQUAL(last.verdict, t[i].verdict);
		end();
	}
}

/* What a directory said a moment ago is there while it is asked: right, wrong, and that it does not know the name. */
static void test_remembered(void)
{
	static const struct {
		enum auth_result result;
		bool goes_on;
		enum auth_verdict verdict;
	} t[] = {
		{ AUTH_OK, false, AUTH_VERDICT_OK },
		{ AUTH_MISMATCH, false, AUTH_VERDICT_WRONG },
		{ AUTH_UNKNOWN, true, AUTH_VERDICT_WRONG },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		begin();
		for (int k = 0; k < 2; k++) {
			ask(7, AUTH_MECH_PASSWORD, "dora", "secret");
			CU_ASSERT_EQUAL(given(JOB_VERIFY), k == 0);
			if (k == 0)
				done(t[i].result, "", t[i].goes_on);
			CU_ASSERT(all_gone());
			CU_ASSERT_EQUAL(nanswers, (unsigned)k + 1);
			CU_ASSERT_EQUAL(last.verdict, t[i].verdict);
		}
		end();
	}
}

/* A directory that does not know the account is not asked again once a later driver has verified it. */
static void test_passed(void)
{
	begin_with("authdaemon authuserdb");
	for (int i = 0; i < 2; i++) {
		ask(7, AUTH_MECH_PASSWORD, "ann", "secret");
		CU_ASSERT_EQUAL(given(JOB_VERIFY), i == 0);
		if (i == 0)
			done(AUTH_UNKNOWN, "", true);
		CU_ASSERT(all_gone());
		CU_ASSERT(nanswers == (unsigned)i + 1 && last.verdict == AUTH_VERDICT_OK && last.local);
	}
	end();
}

/* The record of a directory, for a mechanism that does not tell the password. */
static void test_record_of_directory(void)
{
	begin();
	ask(7, AUTH_MECH_SCRAM_SHA_1, "dora", "hello");
	CU_ASSERT(given(JOB_LOOKUP));
	done(AUTH_OK, "", false);
	CU_ASSERT(says("first"));
	request_step(&w, 7, "wrong");
	CU_ASSERT(given(JOB_SCRAM));
	done_keys();
	CU_ASSERT(refused(AUTH_VERDICT_WRONG));
	CU_ASSERT(all_gone());
	ask(8, AUTH_MECH_SCRAM_SHA_1, "dora", "hello");
	CU_ASSERT(given(JOB_LOOKUP));
	done(AUTH_TRY_LATER, "", false);
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT(all_gone());
	end();
}

/* An exchange that its client breaks, at each of its messages. */
static void test_scram_broken(void)
{
	begin();
	ask(7, AUTH_MECH_SCRAM_SHA_256, "jo", "malformed");
	CU_ASSERT(refused(AUTH_VERDICT_WRONG));
	CU_ASSERT(all_gone());
	for (int known = 0; known < 2; known++) {
		ask(8, AUTH_MECH_SCRAM_SHA_256, known ? "jo" : "nobody", "hello");
		if (!known) {
			CU_ASSERT(given(JOB_LOOKUP));
			done(AUTH_UNKNOWN, "", true);
		}
		CU_ASSERT(says("first"));
		request_step(&w, 8, known ? "wrong" : "right");
		CU_ASSERT(given(JOB_SCRAM));
		done_keys();
		CU_ASSERT(refused(AUTH_VERDICT_WRONG));
		CU_ASSERT(all_gone());
	}
	ask(9, AUTH_MECH_SCRAM_SHA_256, "jo", "hello");
	CU_ASSERT(says("first"));
	request_step(&w, 9, "right");
	CU_ASSERT(given(JOB_SCRAM));
	done_keys();
	CU_ASSERT(says("final"));
	request_step(&w, 9, "too much");
	CU_ASSERT(refused(AUTH_VERDICT_WRONG));
	CU_ASSERT(all_gone());
	end();
}

/* Refusals that need nothing to wait for. */
static void test_refused(void)
{
	static char long_name[ACCOUNT_NAME_MAX];
	static const struct {
		const char *user, *password;
		enum auth_mech mech;
		enum auth_verdict verdict;
		const char *reason;
	} t[] = {
		{ "ann", "wrong", AUTH_MECH_PASSWORD, AUTH_VERDICT_WRONG, "" },
		{ "off", "secret", AUTH_MECH_PASSWORD, AUTH_VERDICT_DISABLED, "disableimap" },
		{ "bad", "secret", AUTH_MECH_PASSWORD, AUTH_VERDICT_UNAVAILABLE, NULL },
		{ "root", "secret", AUTH_MECH_PASSWORD, AUTH_VERDICT_UNAVAILABLE, NULL },
		{ "low", "secret", AUTH_MECH_PASSWORD, AUTH_VERDICT_UNAVAILABLE, "its uid or gid is below MIN_UID" },
		{ "ann", "00", AUTH_MECH_CRAM_MD5, AUTH_VERDICT_UNAVAILABLE, "its challenge has expired" },
		{ "ann", "00", AUTH_MECH_TOKEN, AUTH_VERDICT_WRONG, "" },
		{ long_name, "secret", AUTH_MECH_PASSWORD, AUTH_VERDICT_WRONG, "the name is too long" },
		{ "ann", "", AUTH_MECH_PASSWORD, AUTH_VERDICT_WRONG, "" },
		{ "dora", "", AUTH_MECH_PASSWORD, AUTH_VERDICT_WRONG, "" }, /* no directory is asked */
		{ "dora", "", AUTH_MECH_SCRAM_SHA_1, AUTH_VERDICT_WRONG, "" },
		{ "", "secret", AUTH_MECH_PASSWORD, AUTH_VERDICT_WRONG, "" },
	};

	memset(long_name, 'x', sizeof(long_name) - 1);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		begin();
		unit_set(&set->imapd_DEFDOMAIN, t[i].user == long_name ? "@example.com" : "");
		ask(7, t[i].mech, t[i].user, t[i].password);
		CU_ASSERT(all_gone());
		CU_ASSERT_EQUAL(nanswers, 1);
		CU_ASSERT_EQUAL(last.verdict, t[i].verdict);
		if (t[i].reason != NULL)
			CU_ASSERT_STRING_EQUAL(last.reason, t[i].reason);
		end();
	}
}

/* None of the crowd arrives: the account is blocked, and requests that wait for room are refused. */
static void test_no_room(void)
{
	reach(ROOM);
	reg_block(a.reg, PROTOCOL_IMAP, "192.0.2.7", PEER_PORT, "jo", clock_now() + 100);
	for (int i = 0; i < 1000 && nanswers == 0; i++)
		ev_run(a.ctx.loop, EVRUN_ONCE);
	CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_UNAVAILABLE);
	CU_ASSERT(all_gone());
	end();
}

/* While those of the crowd arrive, and others take their places, a login waits: it is slow there, but no circle. */
static void test_room_at_a_slow_peer(void)
{
	struct net_addr peer;

	CU_ASSERT_TRUE_FATAL(net_addr_parse(&peer, "192.0.2.7", PEER_PORT));
	reach(ROOM);
	for (uint64_t id = 1; id <= 20; id++) {
		reg_arrived(a.reg, reg_find(a.reg, id));
		reg_add_pending(a.reg, reg_add(a.reg, 100 + id, PROTOCOL_IMAP, &peer, "jo", 0), "192.0.2.7",
		    service(PROTOCOL_IMAP, &peer), 1, clock_now() + 100);
		a.for_room->room_since -= 10;
		ev_run(a.ctx.loop, EVRUN_ONCE);
		ev_run(a.ctx.loop, EVRUN_ONCE);
		CU_ASSERT_FATAL(nanswers == 0 && a.nfor_room == 1);
	}
	a.for_room->room_since -= 10;
	for (int i = 0; i < 1000 && nanswers == 0; i++)
		ev_run(a.ctx.loop, EVRUN_ONCE);
	CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_UNAVAILABLE);
	CU_ASSERT(all_gone());
	end();
}

/* A peer that was down is not run over by all who waited for it: few go there at first, more with each answer. Those
 * that find no room are refused, but nobody is blocked, as it is no circle. */
static void test_room_at_a_peer_that_came_back(void)
{
	struct net_addr peer;
	char user[16];

	begin();
	CU_ASSERT_TRUE_FATAL(net_addr_parse(&peer, "192.0.2.7", PEER_PORT));
	peers_failed(a.peers, service(PROTOCOL_IMAP, &peer), 1, clock_now(), clock_now());
	CU_ASSERT_EQUAL(peers_room(a.peers, service(PROTOCOL_IMAP, &peer)), PEERS_MOST);
	peers_answered(a.peers, service(PROTOCOL_IMAP, &peer), 1, clock_now());
	CU_ASSERT_EQUAL(peers_room(a.peers, service(PROTOCOL_IMAP, &peer)), PEERS_WELCOME + 1);
	for (uint64_t id = 1; id <= PEERS_WELCOME + 1; id++) {
		snprintf(user, sizeof(user), "u%u", (unsigned)id);
		reg_add_pending(a.reg, reg_add(a.reg, id, PROTOCOL_IMAP, &peer, user, 0), "192.0.2.7",
		    service(PROTOCOL_IMAP, &peer), 1, clock_now() + 100);
	}
	ask(7, AUTH_MECH_PASSWORD, "jo", "secret");
	turn();
	CU_ASSERT(nanswers == 0 && a.nfor_room == 1);
	a.for_room->room_since -= 10;
	for (int i = 0; i < 1000 && nanswers == 0; i++)
		ev_run(a.ctx.loop, EVRUN_ONCE);
	CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_UNAVAILABLE);
	CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, "has just come back"));
	CU_ASSERT_FALSE(reg_is_blocked(a.reg, PROTOCOL_IMAP, "192.0.2.7", PEER_PORT, "jo", clock_now()));
	/* One answer makes room for one more; it is asked to tell of its success, as there is still a limit. */
	peers_answered(a.peers, service(PROTOCOL_IMAP, &peer), 1, clock_now());
	ask(8, AUTH_MECH_PASSWORD, "jo", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.report_success);
	for (int i = 0; i < PEERS_MOST; i++)
		peers_answered(a.peers, service(PROTOCOL_IMAP, &peer), 1, clock_now());
	CU_ASSERT_EQUAL(peers_room(a.peers, service(PROTOCOL_IMAP, &peer)), PEERS_MOST);
	end();
}

/* One account, whose logins there get no answer, does not keep others from a peer that has come back. */
static void test_room_of_others_at_a_peer_that_came_back(void)
{
	struct net_addr peer;

	begin();
	CU_ASSERT_TRUE_FATAL(net_addr_parse(&peer, "192.0.2.7", PEER_PORT));
	peers_failed(a.peers, service(PROTOCOL_IMAP, &peer), 1, clock_now(), clock_now());
	peers_answered(a.peers, service(PROTOCOL_IMAP, &peer), 1, clock_now());
	for (uint64_t id = 1; id <= PEERS_WELCOME / 4; id++)
		reg_add_pending(a.reg, reg_add(a.reg, id, PROTOCOL_IMAP, &peer, "jo", 0), "192.0.2.7",
		    service(PROTOCOL_IMAP, &peer), 1, clock_now() + 100);
	ask(7, AUTH_MECH_PASSWORD, "jo", "secret");
	turn();
	CU_ASSERT(nanswers == 0 && a.nfor_room == 1);
	ask(8, AUTH_MECH_PASSWORD, "two", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	for (uint64_t id = 1; id <= PEERS_WELCOME / 4; id++)
		reg_remove(a.reg, reg_find(a.reg, id));
	for (int i = 0; i < 1000 && nanswers == 1; i++)
		ev_run(a.ctx.loop, EVRUN_ONCE);
	CU_ASSERT_EQUAL(last.verdict, AUTH_VERDICT_OK);
	end();
}

/* We were stopped while a login waited for room: what has arrived at the peer meanwhile is not read yet. */
static void test_room_after_stop(void)
{
	reach(ROOM);
	loop_keep_time(a.ctx.loop);
	stopped += 12;
	ev_run(a.ctx.loop, EVRUN_ONCE);
	ev_run(a.ctx.loop, EVRUN_ONCE);
	CU_ASSERT(nanswers == 0 && a.nfor_room == 1);
	CU_ASSERT(!reg_is_blocked(a.reg, PROTOCOL_IMAP, "192.0.2.7", PEER_PORT, "jo", clock_now()));
	arrive(ROOM);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	end();
}

/* All hosts without an address are named: in the refusal, and for the log of a login that goes to another one. */
static void test_several_without_address(void)
{
	static const char none[] =
	    "mailhost node.example.com has no address; the name server does not answer for mailhost "
	    "other.example.com";

	begin();
	for (int i = 0; i < 2; i++) {
		ask(7, AUTH_MECH_PASSWORD, i == 0 ? "both" : "some", "secret");
		peers_resolved(a.peers, "node.example.com", NAME_UNKNOWN, NULL, 0, clock_now());
		peers_resolved(a.peers, "other.example.com", NAME_NO_ANSWER, NULL, 0, clock_now());
		request_resume(&a);
		CU_ASSERT(answered());
		CU_ASSERT_EQUAL(last.verdict, i == 0 ? AUTH_VERDICT_UNAVAILABLE : AUTH_VERDICT_OK);
		CU_ASSERT_STRING_EQUAL(last.reason, none);
	}
	end();
}

/* How each host is spoken to, and at which port; hosts that are down keep it. */
static const struct peer_service *by_tls(const struct net_addr *addr)
{
	static struct peer_service s;

	s = (struct peer_service){ PROTOCOL_IMAP, PEER_TLS_IMPLICIT, *addr };
	return &s;
}

static void test_tls(void)
{
	static const uint16_t ports[] = { 993, 994, 993 };
	struct net_addr first;

	begin();
	unit_set(&set->proxy_PROXY_TLS_PEERS, "192.0.2.10=none");
	for (int i = 0; i < 2; i++) {
		ask(7, AUTH_MECH_PASSWORD, "secure", "secret");
		CU_ASSERT_FATAL(answered() && last.verdict == AUTH_VERDICT_OK && last.ntargets == 4);
		for (unsigned k = 0; k < 4; k++) /* the option goes before the settings */
			CU_ASSERT_EQUAL(last.target[k].tls, PEER_TLS_IMPLICIT);
		CU_ASSERT_EQUAL(last.target[i == 0 ? 0 : 3].addr.port, ports[0]);
		CU_ASSERT_EQUAL(last.target[i == 0 ? 1 : 0].addr.port, ports[1]);
		CU_ASSERT_EQUAL(last.target[i == 0 ? 2 : 1].addr.port, ports[2]); /* 110 is POP3's */
		net_addr_parse(&first, "192.0.2.7", 993);
		/* That it does not answer without TLS is of no account. */
		peers_failed(a.peers, service(PROTOCOL_IMAP, &first), 1, clock_now(), clock_now());
		if (i == 0) {
			ask(7, AUTH_MECH_PASSWORD, "secure", "secret");
			CU_ASSERT(answered() && last.target[0].addr.port == ports[0]);
		}
		peers_failed(a.peers, by_tls(&first), 1, clock_now(), clock_now());
	}
	ask(8, AUTH_MECH_PASSWORD, "typo", "secret"); /* never without TLS by mistake */
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT_STRING_EQUAL(last.reason,
	    "the option proxytls is \"yes\", which is none of the words none, starttls and implicit");
	ask(9, AUTH_MECH_PASSWORD, "jo", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.target[0].tls == PEER_TLS_NONE);
	CU_ASSERT_EQUAL(last.target[0].addr.port, 143);
	unit_set(&set->proxy_PROXY_TLS, "implicit");
	peers_answered(a.peers, by_tls(&first), 1, clock_now());
	ask(10, AUTH_MECH_PASSWORD, "jo", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.target[0].tls == PEER_TLS_IMPLICIT);
	CU_ASSERT_EQUAL(last.target[0].addr.port, 993);
	end();
}

/* The address cannot be found in time: the request is refused without any event. */
static void test_no_address(void)
{
	reach(ADDRESS);
	peers_resolved(a.peers, "node.example.com", NAME_UNKNOWN, NULL, 0, clock_now());
	request_resume(&a);
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT_STRING_EQUAL(last.reason, "mailhost node.example.com has no address");
	CU_ASSERT(all_gone());
	end();
	reach(ADDRESS);
	request_cancel(&w, 7);
	set->proxy_PROXY_TIMEOUT = 0;
	ask(8, AUTH_MECH_PASSWORD, "name", "secret");
	for (int i = 0; i < 1000 && nanswers == 0; i++)
		ev_run(a.ctx.loop, EVRUN_ONCE);
	CU_ASSERT_STRING_EQUAL(last.reason, "the name server does not answer for mailhost node.example.com");
	CU_ASSERT(all_gone());
	end();
}

/* Several wait in each place, one in the middle is cancelled: the others continue in order. */
static void test_queues(void)
{
	reach(ROOM);
	ask(8, AUTH_MECH_PASSWORD, "jo", "secret");
	ask(9, AUTH_MECH_PASSWORD, "jo", "secret");
	CU_ASSERT_EQUAL(a.nfor_room, 3);
	request_cancel(&w, 9); /* the last: the next one goes behind 8 */
	ask(10, AUTH_MECH_PASSWORD, "jo", "secret");
	request_cancel(&w, 8);
	CU_ASSERT_EQUAL(a.nfor_room, 2);
	arrive(ROOM);
	turn();
	CU_ASSERT_EQUAL(nanswers, 2);
	CU_ASSERT_EQUAL(last.request, 10);
	CU_ASSERT(all_gone());
	end();
	reach(ADDRESS);
	ask(8, AUTH_MECH_PASSWORD, "name", "secret");
	ask(9, AUTH_MECH_PASSWORD, "name", "secret");
	request_cancel(&w, 8);
	arrive(ADDRESS);
	turn();
	CU_ASSERT_EQUAL(nanswers, 2);
	CU_ASSERT(all_gone());
	end();
}

/* The number of exchanges is limited: one too many is refused, and a granted request that could not be kept cannot be
 * retried. */
static void test_too_many(void)
{
	begin();
	w.nkept = 4096;
	ask(7, AUTH_MECH_SCRAM_SHA_256, "jo", "hello");
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	prove(8);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.other_hosts == AUTH_OTHER_HOSTS_SELF);
	CU_ASSERT_PTR_NULL(w.requests);
	CU_ASSERT_EQUAL(w.nkept, 4096);
	w.nkept = 0;
	end();
}

/* --- the client of a forwarded login --- */

/* A forwarded for USER, signed for this node with the pool's secret. */
static struct forwarded signed_forwarded(const char *user)
{
	struct forwarded h = {
		.present = true,
		.session_id = "abc",
		.tls = true,
		.ttl = 5,
		.signature = FORWARDED_SIGNATURE_MADE,
		.time = (uint64_t)time(NULL),
	};

	CU_ASSERT_TRUE_FATAL(net_addr_parse(&h.client, "198.51.100.3", 4711));
	forwarded_sign(&h, a.pool, set->self[0], user);
	return h;
}

/* Request 7 of USER, forwarded with H. */
static void forward(const char *user, const struct forwarded *h)
{
	struct auth_request q = make(7, AUTH_MECH_PASSWORD, user, "secret");

	q.forwarded = *h;
	put(&q);
}

static bool is_client(const char *ip)
{
	char text[NET_IP_TEXT_MAX];

	return strcmp(net_addr_text(&last.client, text), ip) == 0;
}

static void test_hop(void)
{
	struct forwarded h;

	begin();
	h = signed_forwarded("ann");
	forward("ann", &h);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	CU_ASSERT(last.proxied && last.client_tls && is_client("198.51.100.3"));
	CU_ASSERT_STRING_EQUAL(last.session_id, "abc");
	CU_ASSERT_EQUAL(a.signatures[SIGNATURE_GOOD], 1);
	h = signed_forwarded("tls"); /* the client uses TLS, whatever the forwarding node uses */
	forward("tls", &h);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	h.mac[0] ^= 1;
	forward("ann", &h);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	CU_ASSERT(!last.proxied && !last.client_tls && is_client("192.0.2.99"));
	CU_ASSERT_EQUAL(last.signature, SIGNATURE_WRONG);
	CU_ASSERT_STRING_NOT_EQUAL(last.session_id, "abc");
	unit_set(&set->proxy_PROXY_TRUSTED, "10.0.0.0/8 192.0.2.0/24");
	forward("ann", &h);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.proxied && is_client("198.51.100.3"));
	CU_ASSERT_EQUAL(last.signature, SIGNATURE_NONE);
	CU_ASSERT(all_gone());
	end();
}

/* What a node says of its release and settings counts if it has signed it for us, and only then. */
static void test_configs(void)
{
	struct forwarded h;
	struct str out = STR_INIT;
	unsigned lasting;

	begin();
	same_nodes_use(a.same_nodes, a.pool, "same");
	h = signed_forwarded("ann");
	strcpy(h.config, "0.0.1/0123456789abcdef0123456789abcdef");
	forward("ann", &h); /* not signed */
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.proxied);
	CU_ASSERT_EQUAL(same_nodes_list(a.same_nodes, loop_now(), &out, &lasting), 0);
	forwarded_sign(&h, a.pool, set->self[0], "ann");
	h.mac[0] ^= 1;
	forward("ann", &h);
	CU_ASSERT(answered() && !last.proxied);
	CU_ASSERT_EQUAL(same_nodes_list(a.same_nodes, loop_now(), &out, &lasting), 0);
	h.mac[0] ^= 1;
	forward("ann", &h);
	CU_ASSERT(answered() && last.proxied);
	CU_ASSERT_EQUAL(same_nodes_list(a.same_nodes, loop_now(), &out, &lasting), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&out), "(version 0.0.1, settings)"));
	/* We tell, signed, and once only. */
	ask(8, AUTH_MECH_PASSWORD, "jo", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && !last.local);
	CU_ASSERT_STRING_EQUAL(last.config, same_nodes_config(a.same_nodes));
	memset(&h, 0, sizeof(h));
	str_copy(h.session_id, sizeof(h.session_id), last.session_id);
	h.client = last.client;
	h.ttl = last.ttl;
	h.time = last.time;
	str_copy(h.config, sizeof(h.config), last.config);
	memcpy(h.config_mac, last.target[0].config_mac, sizeof(h.config_mac));
	CU_ASSERT(forwarded_verify_config(&h, a.pool, last.target[0].host, "jo"));
	ask(9, AUTH_MECH_PASSWORD, "jo", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	CU_ASSERT_STRING_EQUAL(last.config, "");
	str_fini(&out);
	end();
}

/* Words about a client's TLS are believed as the identity beside which they stand is. */
static void test_tls_words(void)
{
	struct auth_request q;
	struct forwarded h;

	begin();
#define WORDS_ARE(words) \
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK); \
	CU_ASSERT_STRING_EQUAL(last.client_tls_words, words)
	q = make(7, AUTH_MECH_PASSWORD, "ann", "secret");
	q.tls = true;
	strcpy(q.tls_words, "TLSv1.2:MINE");
	put(&q);
	WORDS_ARE("TLSv1.2:MINE");
	q.tls = false; /* none of whom has none */
	put(&q);
	WORDS_ARE("");
	h = signed_forwarded("ann");
	forward("ann", &h); /* by a node that knows nothing of them */
	WORDS_ARE("");
	CU_ASSERT(last.client_tls);
	strcpy(h.tls_words, "TLSv1.3:X:resumed");
	forward("ann", &h); /* not signed */
	WORDS_ARE("");
	CU_ASSERT(last.client_tls && last.proxied);
	forwarded_sign(&h, a.pool, set->self[0], "ann");
	forward("ann", &h);
	WORDS_ARE("TLSv1.3:X:resumed");
	h.tls_words[6]--;
	forward("ann", &h);
	WORDS_ARE("");
	CU_ASSERT(last.client_tls && last.proxied);
	h.mac[0] ^= 1; /* the front is not believed: its own connection counts */
	q.tls = true;
	q.forwarded = h;
	put(&q);
	WORDS_ARE("TLSv1.2:MINE");
	unit_set(&set->proxy_PROXY_TRUSTED, "192.0.2.0/24");
	put(&q); /* believed by its address */
	WORDS_ARE("TLSv1.2:X:resumed");
	h.tls = false;
	forward("ann", &h);
	WORDS_ARE(SESSION_TLS_FRONT);
	CU_ASSERT_FALSE(last.client_tls);
	CU_ASSERT(all_gone());
	end();
}

static bool is_insecure(const struct forwarded *h)
{
	forward("ann", h);
	CU_ASSERT(answered());
	CU_ASSERT(last.verdict == AUTH_VERDICT_OK || last.verdict == AUTH_VERDICT_INSECURE);
	return last.verdict == AUTH_VERDICT_INSECURE;
}

/* A client of a node whose clock is off has to use TLS as if that were right. */
static void test_late_and_insecure(void)
{
	struct auth_request q = make(7, AUTH_MECH_PASSWORD, "ann", "secret");
	struct forwarded h = signed_forwarded("ann");

	h.time -= 3600;
	h.tls = false;
	forwarded_sign(&h, a.pool, set->self[0], "ann");
	CU_ASSERT(is_insecure(&h));
	CU_ASSERT_STRING_EQUAL(last.reason, "the client does not use TLS");
	h.insecure = true;
	CU_ASSERT(is_insecure(&h));
	q.tls = true; /* that is between the nodes */
	q.forwarded = h;
	put(&q);
	CU_ASSERT(refused(AUTH_VERDICT_INSECURE));
	unit_set(&set->proxy_PROXY_TRUSTED, "192.0.2.0/24"); /* its own address is a front's, and can say it */
	CU_ASSERT(is_insecure(&h));
	unit_set(&set->proxy_PROXY_TRUSTED, "");
	str_copy(h.tls_words, sizeof(h.tls_words), SESSION_TLS_FRONT);
	forwarded_sign(&h, a.pool, set->self[0], "ann");
	CU_ASSERT_FALSE(is_insecure(&h));
	h.tls_mac[0] ^= 1;
	CU_ASSERT(is_insecure(&h));
	h.tls_words[0] = '\0';
	CU_ASSERT_TRUE_FATAL(net_addr_parse(&h.client, "127.0.0.1", 4711)); /* local there */
	forwarded_sign(&h, a.pool, set->self[0], "ann");
	CU_ASSERT_FALSE(is_insecure(&h));
	CU_ASSERT(is_client("192.0.2.99"));
}

/* The client that the login is for has to use TLS, or to be local; who forwards it in clear has to be believed. The
 * worker has let pass who sends a signature. */
static void test_tls_required(void)
{
	const struct forwarded nothing = { .present = false };
	struct forwarded h;

	begin();
	set->has_tls[PROTOCOL_IMAP] = true;
	CU_ASSERT_FALSE(is_insecure(&nothing)); /* there is no certificate */
	unit_set(&set->imapd_ssl_TLS_CERTFILE, "/cert");
	CU_ASSERT(is_insecure(&nothing));
	h = signed_forwarded("ann");
	CU_ASSERT_FALSE(is_insecure(&h));
	h.time -= 3600; /* a node of ours with another clock: nothing else of it is believed */
	forwarded_sign(&h, a.pool, set->self[0], "ann");
	CU_ASSERT_FALSE(is_insecure(&h));
	CU_ASSERT(last.client_tls && !last.proxied && is_client("192.0.2.99"));
	h = signed_forwarded("tls");
	h.time += 3600;
	forwarded_sign(&h, a.pool, set->self[0], "tls");
	forward("tls", &h);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	test_late_and_insecure();
	h = signed_forwarded("ann");
	h.mac[0] ^= 1;
	CU_ASSERT(is_insecure(&h));
	CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, "signature is not valid here"));
	h.tls = false;
	forwarded_sign(&h, a.pool, set->self[0], "ann");
	CU_ASSERT(is_insecure(&h));
	CU_ASSERT_STRING_EQUAL(last.reason, "the client does not use TLS");
	CU_ASSERT_TRUE_FATAL(net_addr_parse(&h.client, "127.0.0.1", 4711)); /* local there, by the same settings */
	forwarded_sign(&h, a.pool, set->self[0], "ann");
	CU_ASSERT_FALSE(is_insecure(&h));
	h = signed_forwarded("ann");
	h.tls = false;
	h.signature = FORWARDED_SIGNATURE_NONE;
	unit_set(&set->proxy_PROXY_TRUSTED, "192.0.2.0/24"); /* a front that cannot say it */
	CU_ASSERT_FALSE(is_insecure(&h));
	unit_set(&set->proxy_PROXY_TRUSTED, "");
	CU_ASSERT(is_insecure(&h));
	set->imapd_ssl_IMAP_TLS_REQUIRED = 0;
	CU_ASSERT_FALSE(is_insecure(&h));
	CU_ASSERT(all_gone());
	end();
}

/* A front that cannot say whether its client uses TLS is let in by its address. Its account may live on the next node,
 * which does not see that address: the node in between says it, by its signature. */
static void test_tls_behind_front(void)
{
	struct forwarded h;

	begin();
	set->has_tls[PROTOCOL_IMAP] = true;
	unit_set(&set->imapd_ssl_TLS_CERTFILE, "/cert");
	h = signed_forwarded("two");
	h.tls = false;
	h.signature = FORWARDED_SIGNATURE_NONE;
	unit_set(&set->proxy_PROXY_TRUSTED, "192.0.2.0/24");
	h.insecure = true; /* one that can say it is believed */
	CU_ASSERT(is_insecure(&h));
	h.insecure = false;
	forward("two", &h);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && !last.local && !last.client_tls);
	unit_set(&set->proxy_PROXY_TRUSTED, "");
	h = signed_forwarded("ann");
	h.tls = false;
	str_copy(h.tls_words, sizeof(h.tls_words), last.client_tls_words);
	forwarded_sign(&h, a.pool, set->self[0], "ann");
	CU_ASSERT_FALSE(is_insecure(&h));
	CU_ASSERT(last.proxied && !last.client_tls && is_client("198.51.100.3"));
	h.tls_mac[0] ^= 1; /* nobody else can say so, */
	CU_ASSERT(is_insecure(&h));
	h.tls_mac[0] ^= 1;
	h.mac[0] ^= 1;
	CU_ASSERT(is_insecure(&h));
	h = signed_forwarded("ann");
	h.tls = false;
	str_copy(h.tls_words, sizeof(h.tls_words), "TLSv1.3:X"); /* or in other words */
	forwarded_sign(&h, a.pool, set->self[0], "ann");
	CU_ASSERT(is_insecure(&h));
	h = signed_forwarded("tls"); /* options of an account that ask for TLS still do */
	h.tls = false;
	str_copy(h.tls_words, sizeof(h.tls_words), SESSION_TLS_FRONT);
	forwarded_sign(&h, a.pool, set->self[0], "tls");
	forward("tls", &h);
	CU_ASSERT(refused(AUTH_VERDICT_DISABLED));
	CU_ASSERT(all_gone());
	end();
}

/* A refusal names the client that the login is for. */
static void test_hop_refused(void)
{
	struct forwarded h;

	begin();
	h = signed_forwarded("off");
	forward("off", &h);
	CU_ASSERT(refused(AUTH_VERDICT_DISABLED) && is_client("198.51.100.3"));
	end();
}

/* The last node serves local mail, but forwards nothing; and no node forwards a login that it has seen before. */
static void test_circle(void)
{
	struct forwarded h;

	begin();
	h = signed_forwarded("two");
	h.ttl = 1;
	forward("two", &h);
	CU_ASSERT(refused(AUTH_VERDICT_LOOP));
	CU_ASSERT_FALSE(troubles_has(a.troubles, TROUBLE_LOOP, PROTOCOL_IMAP, "192.0.2.7", PEER_PORT,
	    clock_now())); /* anybody can claim that */
	forwarded_sign(&h, a.pool, set->self[0], "two");
	forward("two", &h);
	CU_ASSERT(refused(AUTH_VERDICT_LOOP));
	CU_ASSERT(troubles_has(a.troubles, TROUBLE_LOOP, PROTOCOL_IMAP, "192.0.2.7", PEER_PORT, clock_now()));
	CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, "was forwarded too often"));
	forward("ann", &h);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.local);
	str_copy(h.session_id, sizeof(h.session_id), last.session_id);
	h.ttl = 4;
	forward("two", &h);
	CU_ASSERT(refused(AUTH_VERDICT_LOOP));
	CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, "has been here before"));
	str_copy(h.session_id, sizeof(h.session_id), "abc");
	forward("two", &h);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.ttl == 3);
	CU_ASSERT(all_gone());
	end();
}

/* A node that has chosen us among the hosts knows that the earlier ones are down. */
static void test_chosen(void)
{
	struct forwarded h;

	begin();
	h = signed_forwarded("us");
	forward("us", &h);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.local);
	h.mac[0] ^= 1;
	forward("us", &h);
	CU_ASSERT_PTR_NOT_NULL(a.waiting); /* for the address of the first */
	end();
}

static void send_token(const char *user, const struct forwarded *h, bool right)
{
	uint8_t key[FORWARDED_MAC_LEN];
	char text[TOKEN_TEXT_MAX];
	struct auth_request q;

	forwarded_token_key(h, a.pool, set->self[0], user, key);
	key[0] ^= !right;
	q = make(7, AUTH_MECH_TOKEN, user, forwarded_token(key, set->node_id, text));
	q.forwarded = *h;
	put(&q);
}

static void test_token(void)
{
	struct forwarded h;

	begin();
	h = signed_forwarded("ann");
	send_token("ann", &h, false);
	CU_ASSERT(refused(AUTH_VERDICT_WRONG));
	send_token("ann", &h, true);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.local);
	send_token("ann", &h, true); /* once */
	CU_ASSERT(refused(AUTH_VERDICT_WRONG));
	h = signed_forwarded("locked");
	send_token("locked", &h, true);
	CU_ASSERT(refused(AUTH_VERDICT_WRONG));
	h = signed_forwarded("ann");
	h.time -= TOKEN_AGE_MAX + 10;
	forwarded_sign(&h, a.pool, set->self[0], "ann");
	send_token("ann", &h, true);
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, "do the clocks of the nodes agree?"));
	h.mac[0] ^= 1; /* from a known node: not a guessed password */
	send_token("ann", &h, true);
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, "is not valid here"));
	CU_ASSERT(all_gone());
	end();
}

/* An unknown name is no refusal then, whoever has authenticated its owner. */
static void test_token_while_userdb_is_refused(void)
{
	struct forwarded h;

	begin();
	load("ann\tuid=1000|gid=1000|home=/h|systempw={PLAIN}secret\n");
	a.report.status = USERDB_CUT;
	h = signed_forwarded("dora");
	send_token("dora", &h, true);
	if (given(JOB_LOOKUP))
		done(AUTH_UNKNOWN, "", true);
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, "userdb on disk"));
	end();
}

/* --- turns after the start --- */

/* Request ID of "ann", from IP. */
static void ask_from(uint32_t id, const char *ip)
{
	struct auth_request q = make(id, AUTH_MECH_PASSWORD, "ann", "secret");

	CU_ASSERT_TRUE_FATAL(net_addr_parse(&q.client, ip, 1));
	put(&q);
}

/* SECONDS later. */
static void turns_pass(double seconds)
{
	a.turns.at -= seconds;
	ev_invoke(a.ctx.loop, &a.turns.timer, EV_TIMER);
	turn();
}

/* Eight a second: one begins at once, the others wait in their order, as many as there are places; one address has a
 * quarter of them. */
static void test_turns(void)
{
	char ip[32];

	begin();
	set->node_LOGIN_START_RATE = 8;
	set->proxy_PROXY_TIMEOUT = 4;
	ask_from(100, "192.0.2.1");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	a.turns.at = loop_now() + 1000; /* the budget does not grow by itself */
	for (uint32_t i = 1; i <= 16; i++) {
		snprintf(ip, sizeof(ip), "192.0.2.%u", i <= 5 ? 1 : i);
		ask_from(100 + i, ip);
		turn();
		if (i == 5) { /* the address has its share of the 16 places */
			CU_ASSERT_EQUAL(nanswers, 2);
			CU_ASSERT(last.verdict == AUTH_VERDICT_UNAVAILABLE && last.request == 105);
			CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, "LOGIN_START_RATE"));
		}
	}
	CU_ASSERT_EQUAL(a.turns.n, 15);
	ask_from(117, "192.0.2.117");
	CU_ASSERT_EQUAL(a.turns.n, 16);
	ask_from(118, "192.0.2.118");
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT_EQUAL(a.turns.refused, 2);
	request_cancel(&w, 101); /* its client has gone */
	a.turns.at = loop_now();
	nanswers = 0;
	turns_pass(0);
	CU_ASSERT_EQUAL(nanswers, 0);
	turns_pass(0.125);
	CU_ASSERT(nanswers == 1 && last.verdict == AUTH_VERDICT_OK && last.request == 102);
	turns_pass(0.125);
	CU_ASSERT(nanswers == 2 && last.request == 103);
	/* Who comes now waits behind the others; a minute after the start nobody new does. */
	ask_from(119, "192.0.2.119");
	CU_ASSERT_EQUAL(a.turns.n, 14);
	a.started -= 60;
	ask_from(120, "192.0.2.120");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.request == 120);
	for (int i = 0; i < 14; i++)
		turns_pass(0.125);
	CU_ASSERT(nanswers == 17 && last.request == 119 && all_gone());
	CU_ASSERT_FALSE(ev_is_active(&a.turns.timer));
	end();
}

/* Those that wait go on at once if the limit is taken away. */
static void test_turns_without_limit(void)
{
	reach(TURN);
	set->node_LOGIN_START_RATE = 0;
	ask_from(8, "192.0.2.8");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.request == 8);
	turns_pass(0);
	CU_ASSERT(nanswers == 2 && last.request == 7 && all_gone());
	end();
}

/* --- limits --- */

/* MAXPERACCOUNTIP: one account may come from several addresses, and several accounts from one. */
static void test_limit_per_account_and_address(void)
{
	static const struct {
		const char *user, *ip;
		enum auth_verdict verdict;
	} t[] = {
		{ "ann", "192.0.2.99", AUTH_VERDICT_OK },
		{ "ann", "192.0.2.99", AUTH_VERDICT_LIMIT },
		{ "ann", "192.0.2.98", AUTH_VERDICT_OK },
		{ "ann", "2001:db8::1", AUTH_VERDICT_OK },
		{ "ann", "2001:db8::1", AUTH_VERDICT_LIMIT },
		{ "bob", "192.0.2.99", AUTH_VERDICT_OK },
	};
	uint64_t granted[ARRAY_LEN(t)] = { 0 };

	set->imapd_MAXPERACCOUNTIP = 1;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct auth_request q = make(30 + (uint32_t)i, AUTH_MECH_PASSWORD, t[i].user, "secret");

		CU_ASSERT_TRUE_FATAL(net_addr_parse(&q.client, t[i].ip, 1));
		put(&q);
		CU_ASSERT(answered() && last.verdict == t[i].verdict);
		if (last.verdict == AUTH_VERDICT_LIMIT)
			CU_ASSERT_STRING_EQUAL(last.reason, "MAXPERACCOUNTIP");
		granted[i] = last.session;
	}
	CU_ASSERT_EQUAL(reg_count_account(a.reg, PROTOCOL_IMAP, NULL, "ann"), 3);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		sessions_ended(&a, granted[i]);
	set->imapd_MAXPERACCOUNTIP = 0;
}

static void test_limits(void)
{
	uint64_t granted;

	begin();
	ask(7, AUTH_MECH_PASSWORD, "tls", "secret");
	CU_ASSERT(refused(AUTH_VERDICT_DISABLED));
	CU_ASSERT_STRING_EQUAL(last.reason, "disableinsecureimap");
	set->imapd_MAXPERACCOUNT = 1;
	ask(20, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	granted = last.session;
	ask(21, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(refused(AUTH_VERDICT_ACCOUNT_LIMIT));
	CU_ASSERT_STRING_EQUAL(last.reason, "MAXPERACCOUNT");
	CU_ASSERT_EQUAL(last.delay_ms, 0); /* it is not a wrong password */
	CU_ASSERT_EQUAL(reg_count_account(a.reg, PROTOCOL_IMAP, NULL, "ann"), 1);
	CU_ASSERT_EQUAL(reg_count_account(a.reg, PROTOCOL_POP3, NULL, "ann"), 0);
	sessions_ended(&a, granted);
	CU_ASSERT_EQUAL(reg_count_account(a.reg, PROTOCOL_IMAP, NULL, "ann"), 0);
	set->imapd_MAXPERACCOUNT = 0;
	test_limit_per_account_and_address();
	set->imapd_MAXPERIP = 1;
	ask(8, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	ask(9, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(refused(AUTH_VERDICT_LIMIT));
	CU_ASSERT_STRING_EQUAL(last.reason, "MAXPERIP");
	set->imapd_MAXDAEMONS = 1;
	ask(10, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(refused(AUTH_VERDICT_LIMIT));
	CU_ASSERT_STRING_EQUAL(last.reason, "MAXDAEMONS");
	CU_ASSERT(all_gone());
	end();
}

static struct ticket_grant ticket;

static void on_ticket(struct chan *c UNUSED, struct msgr *r, int fd UNUSED, void *arg UNUSED)
{
	ntickets += r->type == TICKET && ticket_read(r, &ticket);
}

/* Spawn gets the account's record before the worker gets the ticket. */
static void test_ticket(void)
{
	struct chan *spawn;
	struct forwarded h;
	int fd[2];

	begin();
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	spawn = chan_new(a.ctx.loop, fd[1], on_ticket, gone, NULL);
	a.spawn = chan_new(a.ctx.loop, fd[0], NULL, gone, NULL);
	account_init(&ticket.account);
	ask(7, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.local);
	CU_ASSERT_EQUAL(ntickets, 1);
	CU_ASSERT_EQUAL(memcmp(ticket.id, last.ticket, TICKET_LEN), 0);
	CU_ASSERT_EQUAL(ticket.session, last.session);
	CU_ASSERT_STRING_EQUAL(ticket.account.home, "/h");
	CU_ASSERT_STRING_EQUAL(ticket.account.hash, "");
	CU_ASSERT_FALSE(ticket.later);
	h = signed_forwarded("us"); /* it learns that this is not the first node of the account */
	forward("us", &h);
	CU_ASSERT(answered() && last.local && ntickets == 2 && ticket.later);
	account_fini(&ticket.account);
	chan_free(&a.spawn);
	chan_free(&spawn);
	end();
}

/* --- routing --- */

/* The right response of a user whose directory has no clear password. */
static void prove_by_state(uint32_t id)
{
	const char *challenge = challenges_make(w.challenges, id, AUTH_MECH_CRAM_MD5, "n", clock_now());
	unsigned char md[EVP_MAX_MD_SIZE];
	char answer[2 * EVP_MAX_MD_SIZE + 1];
	unsigned n = 0;

	HMAC(EVP_md5(), "tanstaaftanstaaf", 16, (const unsigned char *)challenge, strlen(challenge), md, &n);
	ask(id, AUTH_MECH_CRAM_MD5, "state", hex_text(answer, md, n));
}

/* A new authd grants nothing before spawn has told of the sessions that limits are to count. */
static void test_spawn_awaited(void)
{
	begin();
	a.spawn_awaited = true;
	ask(7, AUTH_MECH_PASSWORD, "ann", "secret");
	turn();
	CU_ASSERT(nanswers == 0 && a.waiting != NULL);
	a.spawn_awaited = false;
	request_resume(&a);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK);
	end();
}

/* What the peer gets instead of an unknown password. */
static void test_lent(void)
{
	begin();
	prove(7);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.peer_credentials == AUTH_PEER_STORED_PASSWORD);
	CU_ASSERT_STRING_EQUAL(last.peer_password, "secret");
	prove_by_state(8);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.peer_credentials == AUTH_PEER_TOKEN_OR_MASTER &&
	    last.time != 0);
	CU_ASSERT_STRING_EQUAL(last.peer_password, "");
	pool_keys_free(&a.pool);
	unit_set(&set->proxy_PROXY_MASTER_USER, "master");
	unit_set(&set->proxy_PROXY_MASTER_PASSWORD, "key");
	prove_by_state(9);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.peer_credentials == AUTH_PEER_TOKEN_OR_MASTER &&
	    last.time == 0);
	CU_ASSERT_STRING_EQUAL(last.master_user, "master");
	CU_ASSERT_STRING_EQUAL(last.peer_password, "key");
	unit_set(&set->proxy_PROXY_MASTER_USER, "");
	prove_by_state(10);
	CU_ASSERT(refused(AUTH_VERDICT_CANNOT));
	CU_ASSERT_STRING_EQUAL(last.peer_password, "");
	end();
}

/* Hosts that are down are tried last, and an unresolved name does not delay a login at a host that is up. */
static void test_hosts(void)
{
	struct net_addr first, second;

	begin();
	CU_ASSERT_TRUE_FATAL(net_addr_parse(&first, "192.0.2.7", PEER_PORT));
	CU_ASSERT_TRUE_FATAL(net_addr_parse(&second, "192.0.2.9", 0));
	ask(7, AUTH_MECH_PASSWORD, "two", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.ntargets == 1 &&
	    last.other_hosts == AUTH_OTHER_HOSTS_UNRESOLVED);
	peers_failed(a.peers, service(PROTOCOL_IMAP, &first), 1, clock_now(), clock_now());
	ask(8, AUTH_MECH_PASSWORD, "two", "secret");
	CU_ASSERT_PTR_NOT_NULL(a.waiting); /* now the second one is tried next */
	peers_resolved(a.peers, "node.example.com", NAME_FOUND, &second, 1, clock_now());
	request_resume(&a);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.ntargets == 2 &&
	    last.other_hosts == AUTH_OTHER_HOSTS_NONE);
	CU_ASSERT_STRING_EQUAL(last.target[0].host, "node.example.com");
	CU_ASSERT_STRING_EQUAL(last.target[1].host, "192.0.2.7");
	CU_ASSERT(all_gone());
	end();
}

/* The ports of the targets, in their order. */
static bool go_to(unsigned one, unsigned two, unsigned three)
{
	return answered() && last.verdict == AUTH_VERDICT_OK && last.ntargets == 3 && last.target[0].addr.port == one &&
	    last.target[1].addr.port == two && last.target[2].addr.port == three;
}

/* What is down comes behind what is busy, and that behind what is neither, each in the order of mailhost. What this
 * login has tried comes last: that is a port of a host, in one mode of TLS. */
static void test_order(void)
{
	struct auth_request q;
	struct net_addr at[3];

	begin();
	for (uint16_t i = 0; i < 3; i++)
		CU_ASSERT_TRUE_FATAL(net_addr_parse(&at[i], "192.0.2.7", (uint16_t)(2001 + i)));
	ask(7, AUTH_MECH_PASSWORD, "ports", "secret");
	CU_ASSERT(go_to(2001, 2002, 2003) && !last.report_success);
	peers_refused(a.peers, service(PROTOCOL_IMAP, &at[0]), NULL, 1, clock_now(), clock_now());
	ask(7, AUTH_MECH_PASSWORD, "ports", "secret");
	CU_ASSERT(go_to(2002, 2003, 2001) && last.report_success);
	peers_failed(a.peers, service(PROTOCOL_IMAP, &at[1]), 1, clock_now(), clock_now());
	ask(7, AUTH_MECH_PASSWORD, "ports", "secret");
	CU_ASSERT(go_to(2003, 2001, 2002));
	q = make(7, AUTH_MECH_PASSWORD, "ports", "secret");
	q.ntried = 1;
	q.tried[0] = (struct auth_tried){ at[2], PEER_TLS_IMPLICIT };
	put(&q);
	CU_ASSERT(go_to(2003, 2001, 2002));
	q.tried[0].tls = PEER_TLS_NONE;
	put(&q);
	CU_ASSERT(go_to(2001, 2002, 2003));
	/* This node is not busy. */
	net_addr_parse(&at[0], "192.0.2.7", PEER_PORT);
	ask(8, AUTH_MECH_PASSWORD, "jo", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && !last.local);
	peers_refused(a.peers, service(PROTOCOL_IMAP, &at[0]), NULL, 1, clock_now(), clock_now());
	ask(8, AUTH_MECH_PASSWORD, "jo", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.local);
	ask(9, AUTH_MECH_PASSWORD, "copy", "secret"); /* but may not serve that one: the busy peer is asked */
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && !last.local && last.ntargets == 1);
	CU_ASSERT(all_gone());
	end();
}

/* There is no answer at all: the login continues when its share of the time is over. */
static void test_address_timer(void)
{
	begin();
	set->proxy_PROXY_TIMEOUT = 1;
	ask(7, AUTH_MECH_PASSWORD, "us", "secret");
	CU_ASSERT_PTR_NOT_NULL(a.waiting);
	for (int i = 0; i < 1000 && nanswers == 0; i++)
		ev_run(a.ctx.loop, EVRUN_ONCE);
	CU_ASSERT(nanswers == 1 && last.verdict == AUTH_VERDICT_OK && last.local);
	CU_ASSERT(all_gone());
	end();
}

/* A node that is not the first serves the account only if an option says that it may: not if the first one is down, not
 * if it has no address, and not if a node of the pool has sent the login. */
static void test_not_first(void)
{
	static const char not_ours[] = "this node (192.0.2.1) is not the first mailhost";
	struct net_addr first;
	struct forwarded h;

	begin();
	CU_ASSERT_TRUE_FATAL(net_addr_parse(&first, "192.0.2.7", PEER_PORT));
	peers_failed(a.peers, service(PROTOCOL_IMAP, &first), 1, clock_now(), clock_now());
	ask(7, AUTH_MECH_PASSWORD, "jo", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.local);
	ask(8, AUTH_MECH_PASSWORD, "copy", "secret"); /* the first one alone, though it is down */
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && !last.local && last.ntargets == 1);
	CU_ASSERT_EQUAL(last.other_hosts, AUTH_OTHER_HOSTS_NONE);
	CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, not_ours));
	h = signed_forwarded("copy");
	forward("copy", &h);
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, not_ours));
	h = signed_forwarded("first");
	forward("first", &h);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.local);
	ask(9, AUTH_MECH_PASSWORD, "lone", "secret");
	peers_resolved(a.peers, "node.example.com", NAME_UNKNOWN, NULL, 0, clock_now());
	request_resume(&a);
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, "node.example.com has no address; this node (192.0.2.1) is not"));
	ask(10, AUTH_MECH_PASSWORD, "word", "secret");
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT_STRING_EQUAL(last.reason, "the option replicated is none of the words shared and single");
	CU_ASSERT(all_gone());
	end();
}

/* A node that forwards nothing serves what it is asked for; but its session servers know that another one is first. */
static void test_not_first_without_proxy(void)
{
	struct chan *spawn;
	int fd[2];

	begin();
	set->imapd_IMAP_PROXY = 0;
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	a.spawn = chan_new(a.ctx.loop, fd[0], NULL, gone, NULL);
	spawn = chan_new(a.ctx.loop, fd[1], on_ticket, gone, NULL);
	account_init(&ticket.account);
	ask(7, AUTH_MECH_PASSWORD, "copy", "secret");
	CU_ASSERT(answered() && last.local && ntickets == 1 && ticket.later);
	ask(8, AUTH_MECH_PASSWORD, "first", "secret");
	CU_ASSERT(answered() && last.local && ntickets == 2 && !ticket.later);
	ask(9, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(answered() && last.local && ntickets == 3 && !ticket.later);
	ask(10, AUTH_MECH_PASSWORD, "word", "secret"); /* this one is first */
	CU_ASSERT(answered() && last.local && ntickets == 4);
	account_fini(&ticket.account);
	chan_free(&a.spawn);
	chan_free(&spawn);
	CU_ASSERT(all_gone());
	end();
}

/* Another server of this node does not read the file that says which node may serve an account. */
static void test_local_server_of_replicated(void)
{
	static const char *const servers[] = { "exec:/bin/true", "inet:127.0.0.1:10143" };
	struct forwarded h;

	begin();
	for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
		unit_set(&set->imapd_LOCAL_IMAP, servers[i]);
		h = signed_forwarded("us"); /* replicated=single */
		forward("us", &h);
		CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
		CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, "LOCAL_IMAP"));
	}
	h = signed_forwarded("jo"); /* replicated=shared */
	forward("jo", &h);
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.local_server);
	CU_ASSERT(all_gone());
	end();
}

/* Too many wait for room: the account is refused, and blocked for a while. */
static void test_held_full(void)
{
	begin();
	crowd();
	a.nfor_room = 1000;
	ask(7, AUTH_MECH_PASSWORD, "jo", "secret");
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT_PTR_NOT_NULL(strstr(last.reason, "20 logins of this account are pending at mailhost 192.0.2.7"));
	a.nfor_room = 0;
	CU_ASSERT(reg_is_blocked(a.reg, PROTOCOL_IMAP, "192.0.2.7", PEER_PORT, "jo", clock_now()));
	CU_ASSERT(all_gone());
	end();
}

/* A worker sends requests without end, and then cancels all: what is kept for it is limited, each is found by its
 * number, and those that wait with others are removed without a search. */
static void test_too_many_requests(void)
{
	begin();
	use_userdb(NULL);
	a.first_load = true;
	for (uint32_t id = 1; id <= REQUESTS_MAX; id++) {
		struct auth_request q = make(id, AUTH_MECH_PASSWORD, "ann", "secret");

		put(&q);
	}
	turn();
	CU_ASSERT_EQUAL(nanswers, 0);
	CU_ASSERT_EQUAL(w.nrequests, REQUESTS_MAX);
	ask(REQUESTS_MAX + 1, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE));
	CU_ASSERT_STRING_EQUAL(last.reason, "too many pending logins of one login worker");
	CU_ASSERT_EQUAL(w.nrequests, REQUESTS_MAX);
	ask(5, AUTH_MECH_PASSWORD, "ann", "secret"); /* a number that is reused */
	CU_ASSERT_EQUAL(w.nrequests, REQUESTS_MAX);
	for (uint32_t id = 1; id <= REQUESTS_MAX; id += 2)
		request_cancel(&w, id);
	for (uint32_t id = REQUESTS_MAX; id >= 2; id -= 2)
		request_cancel(&w, id);
	CU_ASSERT(all_gone());
	CU_ASSERT_EQUAL(nanswers, 1);
	end();
}

static bool has(struct authd_worker *from, uint64_t id, const char *user, const char *ip)
{
	static struct msgw m;
	struct net_addr client;
	struct msgr r;

	CU_ASSERT_TRUE_FATAL(net_addr_parse(&client, ip, 1));
	session_have_write(&m, id, PROTOCOL_IMAP, &client, user, from == NULL ? 77 : 0);
	msgr_begin(&r, m.buf, m.len - 1);
	CU_ASSERT_FALSE(sessions_have(&a, &r, from));
	msgr_begin(&r, m.buf, m.len);
	return sessions_have(&a, &r, from);
}

/* A worker reports sessions without end: what authd keeps of them is limited, and only the count suffers. */
static void test_too_many_sessions(void)
{
	char user[ACCOUNT_NAME_MAX], ip[32];
	unsigned n = SESSIONS_WORKER_BYTES / (sizeof(user) + 100);
	struct authd_worker other = { .a = &a };

	begin();
	memset(user, 'u', sizeof(user));
	user[sizeof(user) - 1] = '\0';
	for (unsigned i = 1; i <= n; i++) {
		snprintf(ip, sizeof(ip), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		CU_ASSERT_TRUE_FATAL(has(&w, i, user, ip));
	}
	CU_ASSERT(reg_count(a.reg, PROTOCOL_IMAP) < n);
	CU_ASSERT(reg_count(a.reg, PROTOCOL_IMAP) > n / 4);
	CU_ASSERT(w.session_bytes <= SESSIONS_WORKER_BYTES);
	CU_ASSERT_PTR_NOT_NULL(reg_find(a.reg, 1));
	CU_ASSERT_PTR_NULL(reg_find(a.reg, n));
	for (uint64_t i = n + 10; sessions_room(&w, "ann"); i++)
		has(&w, i, "ann", "192.0.2.1");
	ask(2, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(refused(AUTH_VERDICT_LIMIT));
	CU_ASSERT(has(&other, 3 * n, "jo", "192.0.2.1")); /* the limit is per worker */
	CU_ASSERT_PTR_NOT_NULL(reg_find(a.reg, 3 * n));
	CU_ASSERT_FALSE(has(&other, 1, "jo", "192.0.2.1")); /* and its sessions are the other's */
	sessions_drop(&w);
	CU_ASSERT_EQUAL(w.session_bytes, 0);
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 1);
	sessions_end(&w, 3 * n);
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 1);
	sessions_end(&other, 3 * n);
	CU_ASSERT_EQUAL(other.session_bytes, 0);
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 0);
	end();
}

/* A worker that was taken over claims sessions of others: only those of before this authd can be, at its start. */
static void test_claimed_sessions(void)
{
	begin();
	w.generation = a.ctx.who.generation + 1;
	for (uint64_t id = 100; id < 200; id++)
		CU_ASSERT(has(&w, id, "ann", "192.0.2.1"));
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 0);
	CU_ASSERT_EQUAL(w.session_bytes, 0);
	w.generation = a.ctx.who.generation - 1;
	CU_ASSERT(has(&w, 100, "ann", "192.0.2.1"));
	CU_ASSERT_EQUAL(reg_count_account(a.reg, PROTOCOL_IMAP, NULL, "ann"), 1);
	a.started -= SESSIONS_TOLD_SECONDS + 1;
	CU_ASSERT(has(&w, 101, "ann", "192.0.2.1"));
	CU_ASSERT(has(&w, 100, "ann", "192.0.2.1")); /* it is there already */
	CU_ASSERT_EQUAL(reg_count_account(a.reg, PROTOCOL_IMAP, NULL, "ann"), 1);
	CU_ASSERT(has(NULL, 102, "ann", "192.0.2.1")); /* spawn tells whenever one begins */
	CU_ASSERT_EQUAL(reg_count_account(a.reg, PROTOCOL_IMAP, NULL, "ann"), 2);
	end();
}

/* Spawn has told of the program of session ID. */
static bool has_program(uint64_t id, const char *user)
{
	static struct msgw m;
	struct net_addr client;
	struct msgr r;

	CU_ASSERT_TRUE_FATAL(net_addr_parse(&client, "192.0.2.1", 1));
	session_program_write(&m, id, PROTOCOL_IMAP, &client, user, 77);
	msgr_begin(&r, m.buf, m.len - 1);
	CU_ASSERT_FALSE(sessions_program(&a, &r));
	msgr_begin(&r, m.buf, m.len);
	return sessions_program(&a, &r);
}

/* A session that a program serves is its worker's, and counts until both have ended, whatever comes first; a new authd
 * hears of it twice, in any order. */
static void test_sessions_of_programs(void)
{
	struct authd_worker other = { .a = &a };

	begin();
	for (int spawn_first = 0; spawn_first < 2; spawn_first++)
		for (int program_ends_first = 0; program_ends_first < 2; program_ends_first++) {
			CU_ASSERT(spawn_first ? has_program(1, "ann") : has(&w, 1, "ann", "192.0.2.1"));
			CU_ASSERT(spawn_first ? has(&w, 1, "ann", "192.0.2.1") : has_program(1, "ann"));
			CU_ASSERT(has(&w, 1, "ann", "192.0.2.1") && has_program(1, "ann"));
			CU_ASSERT_FALSE(has(&other, 1, "ann", "192.0.2.1"));
			CU_ASSERT_EQUAL(w.session_bytes, reg_session_bytes("ann"));
			if (program_ends_first)
				sessions_ended(&a, 1);
			else
				sessions_end(&w, 1);
			CU_ASSERT_EQUAL(reg_count_account(a.reg, PROTOCOL_IMAP, NULL, "ann"), 1);
			CU_ASSERT_EQUAL(w.session_bytes, program_ends_first ? reg_session_bytes("ann") : 0);
			if (program_ends_first)
				sessions_end(&w, 1);
			else
				sessions_ended(&a, 1);
			CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 0);
			CU_ASSERT_EQUAL(w.session_bytes, 0);
		}
	/* The worker's end of a session whose program is told later; one of another account is not the worker's. */
	CU_ASSERT(has_program(2, "ann"));
	CU_ASSERT_FALSE(has(&w, 2, "jo", "192.0.2.1"));
	CU_ASSERT_FALSE(has(&w, 2, "ann", "192.0.2.2"));
	sessions_end(&w, 2);
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 1);
	sessions_ended(&a, 2);
	/* A worker dies, then the program; spawn dies, and all its programs with it. */
	CU_ASSERT(has(&w, 3, "ann", "192.0.2.1") && has_program(3, "ann"));
	sessions_drop(&w);
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 1);
	CU_ASSERT(has(&w, 4, "ann", "192.0.2.1") && has_program(4, "ann"));
	sessions_programs_lost(&a);
	CU_ASSERT_PTR_NULL(reg_find(a.reg, 3));
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 1);
	sessions_end(&w, 4);
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 0);
	end();
}

/* A session that spawn reports no longer belongs to a worker. */
static void test_sessions_of_spawn(void)
{
	begin();
	CU_ASSERT(has(&w, 1, "ann", "192.0.2.1"));
	CU_ASSERT(w.session_bytes != 0);
	CU_ASSERT(has(&w, 1, "ann", "192.0.2.1")); /* reported twice, counted once */
	CU_ASSERT_EQUAL(w.session_bytes, reg_session_bytes("ann"));
	CU_ASSERT(has(NULL, 1, "ann", "192.0.2.1"));
	CU_ASSERT_EQUAL(w.session_bytes, 0);
	CU_ASSERT_FALSE(has(&w, 1, "ann", "192.0.2.1"));
	sessions_end(&w, 1);
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 1);
	sessions_ended(&a, 1);
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 0);
	CU_ASSERT(has(NULL, 2, "ann", "192.0.2.1"));
	sessions_ended(&a, 2);
	sessions_ended(&a, 2);
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 0);
	end();
}

/* A slow hash is computed once, for a right password and for a wrong one. */
static void test_hash_once(void)
{
	begin();
	for (int i = 0; i < 4; i++) {
		ask(7, AUTH_MECH_PASSWORD, "slow", i < 2 ? "secret" : "wrong");
		CU_ASSERT_EQUAL(given(JOB_HASH), i % 2 == 0);
		if (i % 2 == 0)
			done(i < 2 ? AUTH_OK : AUTH_MISMATCH, "", false);
		CU_ASSERT(all_gone());
		CU_ASSERT_EQUAL(nanswers, (unsigned)i + 1);
		CU_ASSERT_EQUAL(last.verdict, i < 2 ? AUTH_VERDICT_OK : AUTH_VERDICT_WRONG);
	}
	end();
}

/* --- the socket of LOCAL_IMAP --- */

static char local_path[64];

/* The local server listens there, and accepts nothing; its queue holds one connection. */
static int local_server(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char value[80];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(local_path, sizeof(local_path), "/tmp/test_request.%d", (int)getpid());
	str_copy(sun.sun_path, sizeof(sun.sun_path), local_path);
	unlink(local_path);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 0), 0);
	snprintf(value, sizeof(value), "unix:%s", local_path);
	unit_set(&set->imapd_LOCAL_IMAP, value);
	return fd;
}

static void end_local(int server)
{
	unlink(local_path);
	close(server);
	CU_ASSERT(all_gone());
	end();
}

static bool local_is_down(void)
{
	struct str list = STR_INIT;
	unsigned n = peers_list_down(a.peers, clock_now(), &list);

	str_fini(&list);
	return n != 0;
}

/* A queue that is full is no outage: the login waits for a while. */
static void test_local_queue(void)
{
	int server;

	begin();
	server = local_server();
	ask(7, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last.local_server && last_fd != -1);
	ask(8, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(!answered() && a.nfor_room == 1);
	close(accept(server, NULL, NULL));
	for (int i = 0; i < 1000 && nanswers == 1; i++)
		ev_run(a.ctx.loop, EVRUN_ONCE);
	CU_ASSERT(nanswers == 2 && last.verdict == AUTH_VERDICT_OK && last_fd != -1);
	ask(9, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(!answered());
	CU_ASSERT_EQUAL_FATAL(a.nfor_room, 1);
	a.for_room->line_since -= 10;
	for (int i = 0; i < 1000 && nanswers == 2; i++)
		ev_run(a.ctx.loop, EVRUN_ONCE);
	CU_ASSERT(nanswers == 3 && last.verdict == AUTH_VERDICT_UNAVAILABLE);
	CU_ASSERT(strstr(last.reason, "it does not accept the connections") != NULL);
	CU_ASSERT(!local_is_down());
	close(server);
	ask(10, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE) && strstr(last.reason, "Connection refused") != NULL);
	CU_ASSERT(local_is_down());
	end_local(-1);
}

/* The password of the account, lent to the server, does not stay in the answer while the login waits for that. */
static void test_nothing_lent_in_line(void)
{
	int server;

	begin();
	server = local_server();
	ask(7, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last_fd != -1);
	prove_as(8, "ann");
	CU_ASSERT(!answered() && a.nfor_room == 1);
	CU_ASSERT_STRING_EQUAL(request_reply()->peer_password, "");
	close(accept(server, NULL, NULL));
	for (int i = 0; i < 1000 && nanswers == 1; i++)
		ev_run(a.ctx.loop, EVRUN_ONCE);
	CU_ASSERT(nanswers == 2 && last.verdict == AUTH_VERDICT_OK);
	CU_ASSERT_STRING_EQUAL(last.peer_password, "secret");
	close(accept(server, NULL, NULL));
	end_local(server);
}

/* This process may open MORE descriptors; -1: as many as before. */
static void allow_descriptors(int more)
{
	static struct rlimit before;
	struct rlimit now;
	int next;

	if (more == -1) {
		CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &before), 0);
		return;
	}
	getrlimit(RLIMIT_NOFILE, &before);
	now = before;
	next = dup(0);
	close(next);
	now.rlim_cur = (rlim_t)(next + more);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &now), 0);
}

/* That authd has no descriptor left says nothing about the server. */
static void test_local_shortage(void)
{
	int server;

	begin();
	server = local_server();
	allow_descriptors(0);
	ask(7, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(refused(AUTH_VERDICT_UNAVAILABLE) && strstr(last.reason, "raise LimitNOFILE") != NULL);
	CU_ASSERT(!local_is_down());
	allow_descriptors(-1);
	ask(8, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT(answered() && last.verdict == AUTH_VERDICT_OK && last_fd != -1);
	end_local(server);
}

/* The worker does not read: messages of LEN bytes, until one has to wait, or all would be too many. Their number. */
static unsigned fill(size_t len, bool all)
{
	static struct msgw m;
	static const char filler[8192];
	unsigned n = 0;

	do {
		msgw_begin(&m, AUTH_CROWDED);
		msgw_bytes(&m, filler, len);
		n++;
	} while (chan_send(w.chan, &m, -1) == 0 && (all || chan_queued(w.chan) == 0));
	return n;
}

/* A reply whose descriptor cannot wait with it goes without, and one that cannot go at all leaves no session. */
static void test_reply_not_sent(void)
{
	int server;

	begin();
	server = local_server();
	CU_ASSERT(fill(8192, false) > 1);
	allow_descriptors(1); /* for the connection, not for its copy in the queue */
	ask(7, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 1);
	allow_descriptors(-1);
	for (int i = 0; i < 1000 && nanswers == 0; i++)
		ev_run(a.ctx.loop, EVRUN_NOWAIT);
	CU_ASSERT(nanswers == 1 && last.verdict == AUTH_VERDICT_OK && last.local_server && last_fd == -1);
	close(accept(server, NULL, NULL));
	CU_ASSERT(fill(8192, true) > 1 && fill(16, true) > 1);
	ask(8, AUTH_MECH_PASSWORD, "ann", "secret");
	CU_ASSERT_EQUAL(reg_count(a.reg, PROTOCOL_IMAP), 1);
	CU_ASSERT_EQUAL(nanswers, 1);
	end_local(server);
}

/* When the first login waits for room, the worker is also asked which logins have arrived. */
static void test_crowded_said(void)
{
	begin();
	crowd();
	a.workers = &w;
	ask(7, AUTH_MECH_PASSWORD, "jo", "secret");
	turn();
	CU_ASSERT_EQUAL(ncrowded, 1);
	ask(8, AUTH_MECH_PASSWORD, "jo", "secret");
	turn();
	CU_ASSERT_EQUAL(ncrowded, 1);
	end();
}

/* --- anything in any order --- */

static uint32_t seed;

static unsigned pick(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 16) % n;
}

/* A request that a worker could send, even a compromised one: any mechanism for any name, numbers that are in use. */
static void put_any(void)
{
	static const char *const users[] = { "jo", "ann", "slow", "name", "off", "root", "low", "bad", "state", "tls",
		"locked", "two", "us", "dora", "nobody" };
	struct auth_request q = make(pick(8), (enum auth_mech)pick(AUTH_MECH_COUNT), users[pick(ARRAY_LEN(users))],
	    pick(3) != 0 ? "secret" : "wrong");

	q.forwarded.present = pick(4) == 0;
	q.forwarded.ttl = (uint8_t)pick(3);
	if (pick(3) == 0)
		challenges_make(w.challenges, q.request, AUTH_MECH_CRAM_MD5, "n", clock_now());
	put(&q);
}

static void answer_job(void)
{
	static const enum auth_result results[] = { AUTH_OK, AUTH_OK, AUTH_MISMATCH, AUTH_UNKNOWN, AUTH_DISABLED,
		AUTH_TRY_LATER, AUTH_BROKEN };
	enum auth_result result = results[pick(ARRAY_LEN(results))];

	given(JOB_HASH); /* or another kind */
	if (job.id == 0)
		return;
	if (job.kind == JOB_SCRAM)
		done_keys();
	else
		done(result, "", result == AUTH_UNKNOWN && job.kind != JOB_HASH);
	job.id = 0;
}

static void anything(void)
{
	static const char *const texts[] = { "", "right", "wrong" };
	struct net_addr peer;

	CU_ASSERT_TRUE_FATAL(net_addr_parse(&peer, "192.0.2.9", 0));
	switch (pick(12)) {
	case 0:
		request_cancel(&w, pick(8));
		break;
	case 1:
	case 2:
	case 3:
		request_step(&w, pick(8), texts[pick(ARRAY_LEN(texts))]);
		break;
	case 4:
		request_expire(&w, clock_now() + (pick(8) == 0 ? 1000 : -1000));
		break;
	case 5:
		request_resume(&a);
		break;
	case 6:
		peers_resolved(a.peers, "node.example.com", (enum name_answer)pick(3), &peer, 1, clock_now());
		request_resume(&a);
		break;
	case 7:
		a.first_load = pick(2) == 0;
		use_userdb(NULL);
		if (pick(4) != 0)
			load(accounts);
		break;
	case 8:
	case 9:
		answer_job();
		break;
	default:
		put_any();
	}
	turn();
}

/* Whatever the order of events, the table of states has a transition for it, and no request is left in the end. */
static void test_random(void)
{
	for (unsigned i = 0; i < 100; i++) {
		seed = i;
		begin();
		if (i % 2 == 0)
			crowd();
		for (int k = 0; k < 300; k++)
			anything();
		request_drop_all(&w);
		CU_ASSERT(all_gone());
		end();
	}
}

static const struct unit_case cases[] = {
	{ "once more", test_again_once },
	{ "cancelled in each state", test_cancelled },
	{ "dropped in each state", test_dropped },
	{ "a step that nobody awaits", test_unasked_step },
	{ "expired in each state", test_expired },
	{ "a guesser waits", test_guesser },
	{ "the owner of an account that others guess at", test_owner },
	{ "several behind one address", test_shared_address },
	{ "no enumeration by delay", test_no_enumeration_by_delay },
	{ "a guesser behind a proxy in front", test_guesser_behind_proxy },
	{ "held logins of one account", test_held_of_one_account },
	{ "held for a front", test_hold_for_a_front },
	{ "a guesser by SCRAM", test_guesser_by_scram },
	{ "resumed in each state", test_resumed },
	{ "what is awaited comes", test_awaited },
	{ "no auth worker", test_no_worker },
	{ "turns after the start", test_turns },
	{ "turns without a limit", test_turns_without_limit },
	{ "a directory that takes too long", test_directory_limit },
	{ "what the auth worker finds is no", test_wrong },
	{ "nobody's password", test_nobody },
	{ "no enumeration of accounts", test_no_enumeration },
	{ "no enumeration of accounts of a directory", test_no_enumeration_of_directory },
	{ "wrong while the userdb is refused", test_wrong_while_userdb_is_refused },
	{ "a token while the userdb is refused", test_token_while_userdb_is_refused },
	{ "remembered answers", test_remembered },
	{ "passed on by a directory", test_passed },
	{ "a directory's record", test_record_of_directory },
	{ "broken conversations", test_scram_broken },
	{ "refused at once", test_refused },
	{ "no room at the peer", test_no_room },
	{ "no address", test_no_address },
	{ "several mailhosts without address", test_several_without_address },
	{ "TLS towards peers", test_tls },
	{ "several in a queue", test_queues },
	{ "too many conversations", test_too_many },
	{ "a forwarded identity that is believed, or not", test_hop },
	{ "words about TLS", test_tls_words },
	{ "what nodes have", test_configs },
	{ "whom a refusal blames", test_hop_refused },
	{ "TLS is required", test_tls_required },
	{ "TLS behind a front", test_tls_behind_front },
	{ "circles", test_circle },
	{ "chosen by a node", test_chosen },
	{ "tokens", test_token },
	{ "limits", test_limits },
	{ "a ticket for spawn", test_ticket },
	{ "spawn is awaited", test_spawn_awaited },
	{ "credentials for the peer", test_lent },
	{ "hosts that are down, or unknown", test_hosts },
	{ "what is busy, down or was tried comes later", test_order },
	{ "not the first mailhost", test_not_first },
	{ "not the first mailhost, and nothing is forwarded", test_not_first_without_proxy },
	{ "a local server, and the option replicated", test_local_server_of_replicated },
	{ "an address that never comes", test_address_timer },
	{ "room at a slow peer", test_room_at_a_slow_peer },
	{ "room at a peer that came back", test_room_at_a_peer_that_came_back },
	{ "a stop while one waits for room", test_room_after_stop },
	{ "too many wait for room", test_held_full },
	{ "a hash is computed once", test_hash_once },
	{ "one account at a peer that came back", test_room_of_others_at_a_peer_that_came_back },
	{ "workers are asked who has arrived", test_crowded_said },
	{ "the queue of the local server", test_local_queue },
	{ "nothing lent is left in that queue", test_nothing_lent_in_line },
	{ "no descriptor for the local server", test_local_shortage },
	{ "a reply that is not sent", test_reply_not_sent },
	{ "a worker that asks without end", test_too_many_requests },
	{ "a worker with sessions without end", test_too_many_sessions },
	{ "claimed sessions", test_claimed_sessions },
	{ "sessions of programs", test_sessions_of_programs },
	{ "sessions of spawn", test_sessions_of_spawn },
	{ "any events in any order", test_random },
	{ NULL, NULL },
};
UNIT_MAIN("request", cases)
