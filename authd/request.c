/* A login question on its way: one state, one function that changes it (request_enter()), and the steps in the order in
 * which a login comes to them. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "authd/authd_priv.h"
#include "authd/scram.h"
#include "authlib/drv_userdb.h"
#include "authlib/password.h"
#include "lib/clock.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "lib/rnd.h"
#include "lib/str.h"
#include "lib/text.h"

/* Where a login question is. A step is done at once and says which state is next; in a wait nothing happens until what it
 * waits for is there. Whatever the state, the worker may cancel the question, or go away. */
enum request_state {
	REQUEST_NEW,
	REQUEST_IDENTIFY,   /* step: for which client does it stand; is the challenge that it answers one of ours? */
	REQUEST_LOOKUP,     /* step: whose account is it? The drivers are asked, from number `pos` on */
	REQUEST_FIRST_LOAD, /* wait: for the userdb, which nobody has read yet */
	REQUEST_DIRECTORY,  /* wait: for the answer of a driver that may wait itself */
	REQUEST_VERIFY,     /* step: are the credentials right, by its mechanism? `result` says whether there is an account */
	REQUEST_HASH,       /* wait: for an auth worker, which computes a slow hash */
	REQUEST_CLIENT,     /* wait: for the client's next message */
	REQUEST_KEYS,       /* wait: for an auth worker, which computes SCRAM's keys */
	REQUEST_VERDICT,    /* step: `result` is whether the credentials are right */
	REQUEST_ADMIT,      /* step: may the account log in, so, from there, now? */
	REQUEST_ROUTE,      /* step: where is its mail? */
	REQUEST_TARGETS,    /* step: at which addresses is that, and is there room for one more? */
	REQUEST_ADDRESS,    /* wait: for the address of a host */
	REQUEST_ROOM,       /* wait: for logins under way at the peer to arrive there */
	REQUEST_GRANT,      /* step: the session is entered, the answer goes out */
	REQUEST_REFUSE,     /* step: the answer goes out */
	REQUEST_GRANTED,    /* wait: the worker may ask again, once, if none of the hosts can be reached */
	REQUEST_DONE        /* it is freed */
};

struct request {
	struct request *next, **prev; /* of its worker */
	enum request_state state;
	struct request *next_queued;  /* FIRST_LOAD, ADDRESS: of authd.waiting; ROOM: of authd.held */
	struct authd_worker *worker;
	struct auth_request q;
	char service_name[32];
	char name[ACCOUNT_NAME_MAX];  /* with DEFDOMAIN */
	char *challenge;              /* that the client has answered; NULL: there was none */
	struct scram *scram;          /* a login in steps; NULL: it is none */
	double kept_since;            /* lib/clock.h: it is among its worker's nsteps; 0: it is not */
	bool retried;                 /* the worker has asked again */
	struct account account;
	unsigned pos;                 /* in the chain */
	struct asker asker;           /* DIRECTORY */
	enum request_state answered;  /* the state that a driver's answer leads to which is there while it is asked */
	uint8_t passed[AUTH_CHAIN_MAX]; /* by position: directories that do not know the account said to go on there; 0: not asked */
	enum auth_result result;
	bool no_account;              /* the password is checked against a dummy, for the time it takes */
	bool believed;                /* the hop says the truth */
	enum hop_check signature;     /* what is thought of the hop's */
	char *signed_for;             /* our name, as which a node of the pool has signed the hop; NULL: none has */
	struct net_addr client;
	bool client_tls;
	struct route route;
	double held_since;            /* lib/clock.h: it waits for room at the peer; 0: it does not */
	double names_since;           /* lib/clock.h: the first wait for an address; 0: there was none */
	double names_until;           /* the wait for that of host number `names_host` ends then */
	unsigned names_host;
};

enum {
	STEPS_MAX = 4096,       /* conversations of one worker's clients */
	/* Logins that may be under way at one peer at a time, all and those of one account. No peer serves more in time;
	 * what goes in circles is all of one account. */
	PEER_CROWD_MAX = 1000,
	ACCOUNT_CROWD_MAX = 20,
	CROWD_PATIENCE = 2,     /* seconds that a login waits for room there */
	CROWD_SHUT = 50,        /* seconds, and PROXY_TIMEOUT: then none is left of those whose logins are refused so long */
	HELD_MAX = 1000,        /* that wait so */
	WAY_GRACE = 20          /* seconds, and PROXY_TIMEOUT: a login of whose end nobody has told is not under way any more */
};
#define LOOK_AT_HELD 0.05    /* seconds */
#define LOOK_AT_WAITING 0.1

static struct msgw out;
static struct auth_reply reply; /* the steps that make it follow each other without a wait */

/* --- the states --- */

static enum request_state step_identify(struct request *rq);
static enum request_state step_lookup(struct request *rq);
static enum request_state step_verify(struct request *rq);
static enum request_state step_verdict(struct request *rq);
static enum request_state step_admit(struct request *rq);
static enum request_state step_route(struct request *rq);
static enum request_state step_targets(struct request *rq);
static enum request_state step_grant(struct request *rq);
static enum request_state step_refuse(struct request *rq);

#define TO(state) (1U << REQUEST_##state)
static const struct {
	enum request_state (*step)(struct request *rq); /* NULL: a wait */
	uint32_t to;                                    /* the states that may follow */
} states[] = {
	[REQUEST_NEW] = { NULL, TO(IDENTIFY) },
	[REQUEST_IDENTIFY] = { step_identify, TO(LOOKUP) | TO(REFUSE) },
	[REQUEST_LOOKUP] = { step_lookup, TO(LOOKUP) | TO(FIRST_LOAD) | TO(DIRECTORY) | TO(VERIFY) | TO(VERDICT) },
	[REQUEST_FIRST_LOAD] = { NULL, TO(LOOKUP) | TO(DONE) },
	[REQUEST_DIRECTORY] = { NULL, TO(LOOKUP) | TO(VERIFY) | TO(VERDICT) | TO(DONE) },
	[REQUEST_VERIFY] = { step_verify, TO(HASH) | TO(CLIENT) | TO(VERDICT) | TO(REFUSE) },
	[REQUEST_HASH] = { NULL, TO(VERDICT) | TO(REFUSE) | TO(DONE) },
	[REQUEST_CLIENT] = { NULL, TO(CLIENT) | TO(KEYS) | TO(VERDICT) | TO(REFUSE) | TO(DONE) },
	[REQUEST_KEYS] = { NULL, TO(CLIENT) | TO(VERDICT) | TO(REFUSE) | TO(DONE) },
	[REQUEST_VERDICT] = { step_verdict, TO(ADMIT) | TO(REFUSE) },
	[REQUEST_ADMIT] = { step_admit, TO(ROUTE) | TO(REFUSE) },
	[REQUEST_ROUTE] = { step_route, TO(TARGETS) | TO(GRANT) | TO(REFUSE) },
	[REQUEST_TARGETS] = { step_targets, TO(ADDRESS) | TO(ROOM) | TO(GRANT) | TO(REFUSE) },
	[REQUEST_ADDRESS] = { NULL, TO(TARGETS) | TO(DONE) },
	[REQUEST_ROOM] = { NULL, TO(TARGETS) | TO(DONE) },
	[REQUEST_GRANT] = { step_grant, TO(GRANTED) | TO(DONE) },
	[REQUEST_REFUSE] = { step_refuse, TO(DONE) },
	[REQUEST_GRANTED] = { NULL, TO(TARGETS) | TO(DONE) },
	[REQUEST_DONE] = { NULL, 0 },
};
#undef TO

static void request_free(struct request *rq);

/* The one place that changes a state. RQ goes from STATE on, step by step, until it waits or is done: the caller does not
 * touch it any more. */
static void request_enter(struct request *rq, enum request_state state)
{
	for (;;) {
		DIE_IF((states[rq->state].to >> state & 1) == 0);
		rq->state = state;
		if (states[state].step == NULL)
			break;
		state = states[state].step(rq);
	}
	if (state == REQUEST_DONE)
		request_free(rq);
}

static void request_free(struct request *rq)
{
	struct authd *a = rq->worker->a;

	jobs_forget(a->jobs, rq);
	question_cancel(&rq->asker);
	*rq->prev = rq->next;
	if (rq->next != NULL)
		rq->next->prev = rq->prev;
	account_fini(&rq->account);
	mem_free_secret(&rq->challenge);
	mem_free(&rq->signed_for);
	if (rq->kept_since != 0)
		rq->worker->nsteps--;
	scram_free(&rq->scram);
	mem_wipe(&rq->q, sizeof(rq->q));
	mem_free(&rq);
}

/* RQ is taken out of the list in which it waits. */
static void leave_queue(struct request *rq)
{
	struct authd *a = rq->worker->a;
	struct request **p = rq->state == REQUEST_ROOM ? &a->held : &a->waiting;

	if (rq->state != REQUEST_ROOM && rq->state != REQUEST_ADDRESS && rq->state != REQUEST_FIRST_LOAD)
		return;
	while (*p != rq)
		p = &(*p)->next_queued;
	*p = rq->next_queued;
	if (rq->state == REQUEST_ROOM) {
		a->nheld--;
		if (a->held_end == &rq->next_queued)
			a->held_end = p;
	}
}

/* Nobody wants RQ any more, which waits somewhere. */
static void request_end(struct request *rq)
{
	leave_queue(rq);
	request_enter(rq, REQUEST_DONE);
}

static const struct service *service(const struct request *rq)
{
	return &rq->worker->a->service[rq->q.protocol];
}

/* RQ is among those that look again when something has come that they may wait for. */
static void wait_in_list(struct request *rq)
{
	struct authd *a = rq->worker->a;

	rq->next_queued = a->waiting;
	a->waiting = rq;
}

/* RQ outlives an answer. False: its worker has too many of that kind. */
static bool keep(struct request *rq)
{
	if (rq->kept_since == 0 && rq->worker->nsteps >= STEPS_MAX)
		return false;
	if (rq->kept_since == 0) {
		rq->worker->nsteps++;
		rq->kept_since = clock_now();
	}
	return true;
}

/* --- the answer --- */

static void send_reply(struct request *rq)
{
	struct authd *a = rq->worker->a;

	reply.request = rq->q.request;
	a->logins[reply.verdict]++;
	auth_reply_write(&out, &reply);
	if (chan_post(rq->worker->chan, &out) != 0)
		log_error("worker %u does not read its messages", rq->worker->slot);
	mem_wipe(out.buf, out.len); /* a ticket opens a mailbox */
	mem_wipe(reply.password, sizeof(reply.password));
}

/* What the node before is told of its signature. */
static enum hop_check told_back(const struct request *rq)
{
	return rq->believed ? HOP_CHECK_NONE : rq->signature;
}

/* The answer is no. */
static enum request_state refuse(struct request *rq, enum auth_verdict v, const char *reason)
{
	memset(&reply, 0, sizeof(reply));
	reply.verdict = v;
	snprintf(reply.reason, sizeof(reply.reason), "%s", reason);
	text_make_plain(reply.reason, ' ');
	if (rq->believed)
		reply.client = rq->client; /* nobody shall blame the node that forwarded it */
	reply.signature = told_back(rq);
	reply.delay_ms = v == AUTH_VERDICT_WRONG ? (uint32_t)(rq->worker->a->ctx.set->node_LOGIN_FAIL_DELAY * 1000) : 0;
	return REQUEST_REFUSE;
}

static enum request_state step_refuse(struct request *rq)
{
	send_reply(rq);
	return REQUEST_DONE;
}

/* --- identify: whom does it stand for --- */

/* Made for one of our names? */
static void check_signature(struct request *rq)
{
	struct authd *a = rq->worker->a;
	const struct settings *set = a->ctx.set;

	for (int i = 0; i < 2 && rq->signed_for == NULL; i++) {
		enum hop_check check;

		if (set->self[i][0] == '\0')
			continue;
		check = hop_verify(&rq->q.hop, a->pool, set->self[i], rq->q.user, (uint64_t)time(NULL));
		if (rq->signature != HOP_CHECK_CLOCK)
			rq->signature = check;
		if (check == HOP_CHECK_GOOD)
			rq->signed_for = mem_strdup(set->self[i]); /* the settings may change before the answer is there */
	}
	a->signatures[rq->signature]++;
	if (rq->signature == HOP_CHECK_GOOD)
		signers_know(a->signers, &rq->q.client);
}

static void identify(struct request *rq)
{
	const struct settings *set = rq->worker->a->ctx.set;
	const struct hop *hop = &rq->q.hop;

	rq->client = rq->q.client;
	rq->client_tls = rq->q.tls;
	if (!hop->present)
		return;
	for (const char *p = set->proxy_PROXY_TRUSTED; *p != '\0' && !rq->believed; p += strcspn(p, " "), p += *p == ' ') {
		char network[80];
		size_t len = MIN(strcspn(p, " "), sizeof(network) - 1);

		memcpy(network, p, len);
		network[len] = '\0';
		rq->believed = net_addr_in(&rq->q.client, network);
	}
	check_signature(rq);
	rq->believed = rq->believed || rq->signed_for != NULL;
	if (!rq->believed || hop->client.family == 0)
		return;
	rq->client = hop->client;
	rq->client_tls = hop->tls;
}

/* The challenge that the question answers, good for this once. False: it should have one. */
static bool take_challenge(struct request *rq)
{
	char text[AUTH_TEXT_MAX];

	if (!auth_mech_begins(rq->q.mech))
		return true;
	if (!talks_take(rq->worker->talks, rq->q.request, rq->q.mech, text))
		return false;
	rq->challenge = mem_strdup(text);
	return true;
}

static enum request_state step_identify(struct request *rq)
{
	service_at_port(service(rq), rq->q.local_port, rq->service_name, sizeof(rq->service_name));
	identify(rq);
	if (!take_challenge(rq))
		return refuse(rq, AUTH_VERDICT_UNAVAILABLE, "its challenge is not known any more");
	if (!service_name(service(rq), rq->q.user, rq->name))
		return refuse(rq, AUTH_VERDICT_WRONG, "the name is too long");
	return REQUEST_LOOKUP;
}

/* --- lookup: who is it --- */

/* What a driver at POS that may wait is asked. */
static struct ask ask_at(const struct request *rq, unsigned pos)
{
	return (struct ask){
		.pos = pos, .service = rq->service_name, .user = rq->name,
		.password = rq->q.mech == AUTH_MECH_PASSWORD ? rq->q.password : NULL, .client = &rq->client,
	};
}

/* The state that ANSWER of a directory leads to. */
static enum request_state take_answer(struct request *rq, const struct answer *answer)
{
	if (!answer->answered) {
		if (rq->pos < ARRAY_LEN(rq->passed))
			rq->passed[rq->pos] = (uint8_t)answer->pos;
		rq->pos = answer->pos;
		return REQUEST_LOOKUP;
	}
	rq->pos = answer->pos;
	account_fini(&rq->account);
	account_copy(&rq->account, answer->account);
	account_default_options(&rq->account.options, rq->worker->a->ctx.set->authdaemonrc_DEFAULTOPTIONS);
	rq->result = answer->result;
	/* With a password, the directory has checked it. */
	return rq->q.mech != AUTH_MECH_PASSWORD ? REQUEST_VERIFY : REQUEST_VERDICT;
}

static void on_answer(const struct answer *answer, void *arg)
{
	struct request *rq = arg;
	enum request_state next = take_answer(rq, answer);

	if (rq->state == REQUEST_DIRECTORY)
		request_enter(rq, next);
	else
		rq->answered = next;
}

static enum request_state step_lookup(struct request *rq)
{
	struct authd *a = rq->worker->a;

	if (!auth_chain_lookup(a->chain, &rq->pos, rq->service_name, rq->name, &rq->result, &rq->account)) {
		struct ask ask = ask_at(rq, rq->pos);

		rq->answered = REQUEST_DIRECTORY;
		question_ask(a->questions, &rq->asker, &ask, on_answer, rq);
		return rq->answered;
	}
	switch (rq->result) {
	case AUTH_OK:
		account_default_options(&rq->account.options, a->ctx.set->authdaemonrc_DEFAULTOPTIONS);
		return REQUEST_VERIFY;
	case AUTH_UNKNOWN:
		return REQUEST_VERIFY;
	case AUTH_TRY_LATER:
		if (!a->first_load)
			return REQUEST_VERDICT;
		wait_in_list(rq);
		return REQUEST_FIRST_LOAD;
	default:
		return REQUEST_VERDICT;
	}
}

/* --- verify: are the credentials right --- */

/* The login is that of ACCOUNT, by its password; NULL: it is one by a token. */
static void note_signature(struct request *rq, const char *account)
{
	const struct authd *a = rq->worker->a;

	if (hop_check_bad(told_back(rq)) && signers_bad(a->signers, &rq->q.client, rq->signature, account, clock_now()))
		signers_log_front(&rq->q.client, rq->signature, (int64_t)time(NULL) - (int64_t)rq->q.hop.time, a->ctx.set->self[0]);
}

static enum request_state verdict(struct request *rq, enum auth_result result)
{
	rq->result = result;
	return REQUEST_VERDICT;
}

static enum request_state no_worker(struct request *rq)
{
	return refuse(rq, AUTH_VERDICT_UNAVAILABLE, "no auth worker took it: too many logins wait, or the workers ended; see the log");
}

static void on_hash_done(const struct job_done *done, int fd UNUSED, void *arg)
{
	struct request *rq = arg;

	if (done != NULL) {
		cache_hash_put(rq->worker->a->cache, rq->name, rq->account.hash, rq->q.password, done->result);
		request_enter(rq, verdict(rq, done->result));
	} else {
		request_enter(rq, no_worker(rq));
	}
}

static enum request_state check_password(struct request *rq);

/* A quick refusal would tell that there is such an account: names that nobody has take a slow hash's time. */
static bool others_are_slow(void)
{
	return password_is_slow(userdb_dummy_hash(drv_userdb_current()));
}

/* As for an account: the time must not tell that there is none, or that it is locked. */
static enum request_state check_dummy(struct request *rq)
{
	rq->no_account = true;
	account_set(&rq->account.hash, userdb_dummy_hash(drv_userdb_current()));
	return check_password(rq);
}

/* Another node of the pool says that the client has proven itself there: as good as a password, for it is signed. */
static enum request_state check_token(struct request *rq)
{
	struct authd *a = rq->worker->a;
	uint64_t now = (uint64_t)time(NULL), made = rq->q.hop.time;
	char reason[AUTH_REASON_MAX];

	if (hop_check_bad(rq->signature) && (rq->believed || rq->signature == HOP_CHECK_CLOCK || signers_known(a->signers, &rq->q.client))) {
		note_signature(rq, NULL);
		snprintf(reason, sizeof(reason), "the token of the node that forwarded it does not hold here (%s): do both have the same pool "
		    "secret, and do their clocks agree?", hop_check_word(rq->signature));
		return refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
	}
	if (rq->signed_for == NULL || !hop_token_verify(&rq->q.hop, a->pool, rq->signed_for, rq->q.user, rq->q.password))
		return refuse(rq, AUTH_VERDICT_WRONG, "");
	if (made > now + TOKEN_AGE_MAX || made + TOKEN_AGE_MAX < now) {
		snprintf(reason, sizeof(reason), "the token of the node that forwarded it was made %llu seconds %s; do the clocks of the nodes agree?",
		    (unsigned long long)(made > now ? made - now : now - made), made > now ? "from now" : "ago");
		return refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
	}
	if (!tokens_take(a->tokens, rq->q.password, clock_now())) {
		log_warn("a token that was used already has come again, from %s", net_addr_text(&rq->q.client, reason));
		return refuse(rq, AUTH_VERDICT_WRONG, "");
	}
	return verdict(rq, rq->result == AUTH_OK && account_locked(&rq->account) ? AUTH_DISABLED : rq->result);
}

/* For who wonders why somebody's password is said to be wrong. */
static void log_cannot(const struct request *rq, const char *why)
{
	char name[ACCOUNT_NAME_MAX];

	if (!rq->no_account && why[0] != '\0')
		log_info("account %s cannot log in by %s: %s", log_value(name, sizeof(name), rq->account.name), auth_mech_name(rq->q.mech), why);
}

static void on_computed(const struct job_done *done, int fd UNUSED, void *arg);

/* A login in steps goes on: SAY is for the client, if anything is. */
static enum request_state scram_go_on(struct request *rq, enum scram_next next, const struct str *say)
{
	struct authd *a = rq->worker->a;
	const char *password, *secret;
	uint32_t id;

	if (next == SCRAM_SAY && say->len < AUTH_TEXT_MAX) {
		auth_text_write(&out, AUTH_CONTINUE, rq->q.request, str_cstr(say));
		if (chan_send(rq->worker->chan, &out, -1) != 0)
			log_error("worker %u does not read its messages", rq->worker->slot);
		return REQUEST_CLIENT;
	}
	if (next == SCRAM_COMPUTE) {
		scram_question(rq->scram, &password, &secret);
		id = jobs_next_id(a->jobs);
		job_write_scram(&out, id, password, secret);
		jobs_submit(a->jobs, id, &out, -1, &rq->client, on_computed, rq);
		mem_wipe(out.buf, out.len);
		return REQUEST_KEYS;
	}
	return verdict(rq, next == SCRAM_RIGHT ? AUTH_OK : AUTH_MISMATCH);
}

static void on_computed(const struct job_done *done, int fd UNUSED, void *arg)
{
	struct request *rq = arg;
	struct str say = STR_INIT;

	if (done == NULL)
		request_enter(rq, no_worker(rq));
	else
		request_enter(rq, scram_go_on(rq, scram_computed(rq->scram, done->text, &say), &say));
	str_fini(&say);
}

/* The client's next message. */
static enum request_state scram_message(struct request *rq, const char *text)
{
	struct str say = STR_INIT;
	enum request_state next = scram_go_on(rq, scram_step(rq->scram, text, &say), &say);

	str_fini(&say);
	return next;
}

/* SCRAM's first message, of an account whose record is there (or certainly is not). */
static enum request_state start_scram(struct request *rq)
{
	struct authd *a = rq->worker->a;
	struct str text = STR_INIT;
	const struct scram_module *module;
	enum request_state next;
	const char *why = "";

	if (rq->result != AUTH_OK && rq->result != AUTH_UNKNOWN && rq->result != AUTH_DISABLED)
		return REQUEST_VERDICT;
	rq->no_account = rq->result == AUTH_UNKNOWN;
	if (!keep(rq))
		return refuse(rq, AUTH_VERDICT_UNAVAILABLE, "too many clients keep a login by SCRAM waiting");
	if ((module = scram_module_load(&text)) != NULL)
		rq->scram = scram_new(module, rq->q.mech == AUTH_MECH_SCRAM_SHA_1 ? SCRAM_SHA_1 : SCRAM_SHA_256, rq->q.user, rq->name,
		    rq->result == AUTH_OK ? &rq->account : NULL, a->pool != NULL ? a->pool : a->salts,
		    (unsigned)a->ctx.set->authdaemonrc_SCRAM_ITERATIONS, &why);
	if (rq->scram == NULL) {
		next = refuse(rq, AUTH_VERDICT_UNAVAILABLE, text.len != 0 ? text.data : "GNU SASL is out of order");
	} else {
		log_cannot(rq, why);
		next = scram_message(rq, rq->q.password);
	}
	str_fini(&text);
	return next;
}

/* The client did not tell its password but answered a challenge: is that right? */
static enum request_state check_challenge(struct request *rq)
{
	const char *why = "";

	rq->no_account = rq->result == AUTH_UNKNOWN;
	if (rq->result == AUTH_OK || rq->result == AUTH_UNKNOWN)
		rq->result = mech_check(rq->q.mech, &rq->account, rq->challenge, rq->q.password, &why);
	log_cannot(rq, why);
	return REQUEST_VERDICT;
}

/* Checks the password against the record: at once if that is cheap or was done before, else in an auth worker. */
static enum request_state check_password(struct request *rq)
{
	struct authd *a = rq->worker->a;
	const struct account *acct = &rq->account;
	enum auth_result result;
	uint32_t id;

	if (acct->hash[0] == '\0' || !password_is_slow(acct->hash)) {
		result = auth_check(acct, rq->q.password);
		if (!rq->no_account && (result == AUTH_DISABLED || (result == AUTH_MISMATCH && others_are_slow())))
			return check_dummy(rq);
		return verdict(rq, result);
	}
	/* Wrong guesses are remembered for names that nobody has, too: else a second try would tell them apart. */
	result = cache_hash_result(a->cache, rq->name, acct->hash, rq->q.password);
	if (result != AUTH_TRY_LATER)
		return verdict(rq, result);
	id = jobs_next_id(a->jobs);
	job_write_hash(&out, id, rq->q.password, acct->hash);
	jobs_submit(a->jobs, id, &out, -1, &rq->client, on_hash_done, rq);
	mem_wipe(out.buf, out.len);
	return REQUEST_HASH;
}

static enum request_state step_verify(struct request *rq)
{
	if (rq->q.mech == AUTH_MECH_TOKEN)
		return check_token(rq);
	if (auth_mech_steps(rq->q.mech))
		return start_scram(rq);
	if (rq->q.mech != AUTH_MECH_PASSWORD)
		return check_challenge(rq);
	return rq->result == AUTH_UNKNOWN ? check_dummy(rq) : check_password(rq);
}

/* --- verdict --- */

/* The password is right: those who did not know the account need not be asked about it again soon. */
static void tell_passed(struct request *rq)
{
	for (unsigned pos = 0; pos < ARRAY_LEN(rq->passed) && rq->q.mech == AUTH_MECH_PASSWORD; pos++)
		if (rq->passed[pos] != 0) {
			struct ask ask = ask_at(rq, pos);

			question_passed(rq->worker->a->questions, &ask, rq->passed[pos]);
		}
}

static enum request_state step_verdict(struct request *rq)
{
	const char *why;

	if (rq->no_account && rq->result != AUTH_TRY_LATER)
		return refuse(rq, AUTH_VERDICT_WRONG, "");
	switch (rq->result) {
	case AUTH_OK:
		tell_passed(rq);
		note_signature(rq, rq->account.name);
		return REQUEST_ADMIT;
	case AUTH_MISMATCH:
	case AUTH_UNKNOWN:
	case AUTH_DISABLED:
		return refuse(rq, AUTH_VERDICT_WRONG, "");
	case AUTH_BROKEN:
		if (password_is_sound(rq->account.hash, &why))
			why = "the account's record is damaged; see `waypost auth USER`";
		return refuse(rq, AUTH_VERDICT_UNAVAILABLE, why);
	default:
		return refuse(rq, AUTH_VERDICT_UNAVAILABLE, "the directory of accounts cannot answer now");
	}
}

/* --- admit: may it be --- */

static enum request_state step_admit(struct request *rq)
{
	struct authd *a = rq->worker->a;
	const struct service *s = service(rq);
	enum protocol p = rq->q.protocol;
	const char *why;

	if (account_option_on(rq->account.options, s->option_off))
		return refuse(rq, AUTH_VERDICT_DISABLED, s->option_off);
	if (!rq->client_tls && account_option_on(rq->account.options, s->option_insecure))
		return refuse(rq, AUTH_VERDICT_DISABLED, s->option_insecure);
	if (!account_allowed(a->ctx.set, &rq->account, &why))
		return refuse(rq, AUTH_VERDICT_UNAVAILABLE, why);
	if (s->max_sessions != 0 && reg_count(a->reg, p) >= s->max_sessions)
		return refuse(rq, AUTH_VERDICT_LIMIT, "MAXDAEMONS");
	if (s->max_per_ip != 0 && reg_count_ip(a->reg, p, &rq->client) >= s->max_per_ip)
		return refuse(rq, AUTH_VERDICT_LIMIT, "MAXPERIP");
	return REQUEST_ROUTE;
}

/* --- route: where is its mail --- */

/* The session id that came with the hop is one of ours: the login has been here before. */
static bool seen_before(struct request *rq)
{
	unsigned long long id;
	char end;

	return sscanf(rq->q.hop.session_id, "%16llx%c", &id, &end) == 1 && reg_find(rq->worker->a->reg, id) != NULL;
}

/* The mail is here. */
static enum request_state stay_here(void)
{
	memset(&reply, 0, sizeof(reply));
	reply.local = true;
	return REQUEST_GRANT;
}

/* A node of the pool has chosen us among the hosts of the account: it knows that those before us are down, which we
 * need not have met yet. */
static bool chosen_by_peer(const struct request *rq)
{
	bool named = false;

	for (unsigned i = 0; i < rq->route.n; i++)
		named = named || rq->route.host[i].self;
	return named && rq->signed_for != NULL;
}

/* Anybody can send hop data that end a login: for `waypost status` it is a loop only if a node has, as far as that can be known. */
static void note_loop(struct request *rq)
{
	struct authd *a = rq->worker->a;
	const struct route_host *h = &rq->route.host[0];

	if (rq->believed || signers_known(a->signers, &rq->q.client))
		loops_seen(a->loops, LOOP_BACK, rq->q.protocol, h->name, h->port, clock_now());
}

static enum request_state refuse_loop(struct request *rq, const char *why)
{
	char reason[AUTH_REASON_MAX];

	snprintf(reason, sizeof(reason), "mailhost %s is not this node (%s), but the login %s; set mailhost or PROXY_HOSTNAME so"
	    " that one node calls itself by that name", rq->route.host[0].name, rq->worker->a->ctx.set->self[0], why);
	note_loop(rq); /* the worker says it */
	return refuse(rq, AUTH_VERDICT_LOOP, reason);
}

static enum request_state step_route(struct request *rq)
{
	const struct hop *hop = &rq->q.hop;

	if (!route_of(rq->worker->a, rq->q.protocol, &rq->account, &rq->route))
		return refuse(rq, AUTH_VERDICT_UNAVAILABLE, rq->route.why);
	if (rq->route.n == 0 || chosen_by_peer(rq))
		return stay_here();
	/* The last hop may still serve here what is here; it may not send further. */
	if (hop->present && hop->ttl == 1)
		return refuse_loop(rq, "was forwarded too often");
	if (hop->present && seen_before(rq))
		return refuse_loop(rq, "has been here before");
	return REQUEST_TARGETS;
}

/* --- targets: at which addresses --- */

_Static_assert((int)ROUTE_NAME_MAX <= (int)HOP_HOST_MAX, "each host of a route fits");

static void add_targets(struct auth_reply *r, const char *host, const struct net_addr *addr, unsigned n)
{
	for (unsigned i = 0; i < n && r->ntargets < AUTH_ADDRS_MAX; i++) {
		struct auth_target *t = &r->target[r->ntargets++];

		t->addr = addr[i];
		str_copy(t->host, sizeof(t->host), host);
	}
}

/* What is known of the hosts so far, while step_targets() goes through them. */
struct choice {
	struct auth_reply *up, *down; /* targets that may answer, and those that did not when they were tried last */
	const char *silent;           /* a name that nobody can tell the address of now */
	bool here;                    /* this node takes the login */
};

/* The wait for the address of host I is over, or has to be: each host that is left has its share of the time. */
static bool is_patient(struct request *rq, unsigned i)
{
	double now = clock_now();

	if (rq->names_since == 0)
		rq->names_since = now;
	if (rq->names_until == 0 || rq->names_host != i) {
		double left = rq->names_since + names_patience(rq->worker->a->ctx.set) - now;

		rq->names_host = i;
		rq->names_until = now + MAX(left, 0) / (rq->route.n - i);
	}
	return now < rq->names_until;
}

/* Looks-ups of the names behind host I begin, too: while that one is waited for, or tried. */
static void look_ahead(struct request *rq, unsigned i)
{
	struct net_addr addr[RESOLVER_ADDRS_MAX];
	unsigned n;

	while (++i < rq->route.n && !rq->route.host[i].self)
		peers_lookup(rq->worker->a->peers, rq->route.host[i].name, rq->route.host[i].port, clock_now(), addr, &n);
}

/* Adds what is known of host I, which is not this node. False: it is the next one to be tried, and its address has to be
 * waited for. */
static bool add_host(struct request *rq, unsigned i, struct choice *c)
{
	struct peers *peers = rq->worker->a->peers;
	const struct route_host *h = &rq->route.host[i];
	struct net_addr addr[RESOLVER_ADDRS_MAX];
	double now = clock_now();
	unsigned n;

	switch (peers_lookup(peers, h->name, h->port, now, addr, &n)) {
	case PEERS_WAIT:
		if (c->up->ntargets != 0) {
			c->up->more = AUTH_MORE_NAMES;
			return true;
		}
		if (is_patient(rq, i)) {
			look_ahead(rq, i);
			return false;
		}
		c->silent = h->name;
		return true;
	case PEERS_SILENT:
		c->silent = h->name;
		return true;
	case PEERS_NONE:
	case PEERS_KNOWN:
		break;
	}
	for (unsigned k = 0; k < n; k++) {
		bool bad = peers_down(peers, rq->q.protocol, &addr[k], now);

		c->up->report_success = c->up->report_success || peers_suspect(peers, rq->q.protocol, &addr[k]);
		add_targets(bad ? c->down : c->up, h->name, &addr[k], 1);
	}
	return true;
}

/* Collects the addresses of the hosts as far as they are known: those that are up in the order of mailhost, then those that
 * are not. Only the one that is to be tried next is waited for: false. A host that is this node takes the login if no live
 * one stands before it; what stands behind it does not matter then. */
static bool collect(struct request *rq, struct choice *c)
{
	for (unsigned i = 0; i < rq->route.n && !c->here; i++) {
		if (rq->route.host[i].self) {
			c->here = c->up->ntargets == 0;
			c->up->more = MAX(c->up->more, AUTH_MORE_HERE);
		} else if (!add_host(rq, i, c)) {
			return false;
		}
	}
	for (unsigned i = 0; i < c->down->ntargets && !c->here; i++)
		add_targets(c->up, c->down->target[i].host, &c->down->target[i].addr, 1);
	return true;
}

/* What is left of PROXY_TIMEOUT, in ms. */
static uint32_t time_for_peers(const struct request *rq)
{
	double waited = rq->names_since != 0 ? clock_now() - rq->names_since : 0;
	double left = (double)rq->worker->a->ctx.set->proxy_PROXY_TIMEOUT - waited;

	return (uint32_t)(MAX(left, 0.1) * 1000);
}

static enum request_state wait_for_address(struct request *rq)
{
	struct authd *a = rq->worker->a;

	wait_in_list(rq);
	ev_timer_start(a->ctx.loop, &a->look_at_waiting); /* unless it runs */
	return REQUEST_ADDRESS;
}

static enum request_state no_target(struct request *rq, const struct choice *c)
{
	char reason[AUTH_REASON_MAX];

	if (c->silent != NULL)
		snprintf(reason, sizeof(reason), "the name server does not answer for mailhost %s", c->silent);
	else
		snprintf(reason, sizeof(reason), "mailhost %s has no address", rq->route.host[0].name);
	return refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
}

/* --- room at a peer --- */

static void say_crowded(struct authd *a)
{
	msgw_begin(&out, AUTH_CROWDED);
	for (struct authd_worker *w = a->workers; w != NULL; w = w->next)
		if (chan_send(w->chan, &out, -1) != 0)
			log_error("worker %u does not read its messages", w->slot);
}

/* RQ waits for room. The workers are asked who has arrived: they tell it in passing else. */
static enum request_state hold(struct request *rq)
{
	struct authd *a = rq->worker->a;

	rq->next_queued = NULL;
	*a->held_end = rq;
	a->held_end = &rq->next_queued;
	a->nheld++;
	if (a->nheld == 1)
		say_crowded(a);
	ev_timer_start(a->ctx.loop, &a->look_at_held); /* unless it runs */
	return REQUEST_ROOM;
}

/* No login goes to T any more. Servers that try again, at another address of ours, would keep a circle turning at the bound for
 * ever: for a while none of the account goes there at all, unless one arrives. In a circle none does. */
static enum request_state refuse_crowded(struct request *rq, const struct auth_target *t, unsigned mine, unsigned all, double now)
{
	struct authd *a = rq->worker->a;
	char reason[AUTH_REASON_MAX], ip[NET_IP_TEXT_MAX], name[ACCOUNT_NAME_MAX];

	if (loops_seen(a->loops, LOOP_CROWD, rq->q.protocol, t->host, t->addr.port, now))
		log_warn("%u logins are under way at mailhost %s ([%s]:%u), %u of them of account %s: more are refused. Is it slow, or "
		    "does it (or something before it) send them back to this node? There, mailhost of these accounts has to be its "
		    "own name", all, t->host, net_addr_text(&t->addr, ip), t->addr.port, mine,
		    log_value(name, sizeof(name), rq->account.name));
	if (mine != 0)
		reg_shut(a->reg, rq->q.protocol, t->host, t->addr.port, rq->account.name,
		    now + CROWD_SHUT + (double)a->ctx.set->proxy_PROXY_TIMEOUT);
	snprintf(reason, sizeof(reason), "%u logins%s are under way at mailhost %s; is it slow, or does it send them back here?",
	    mine >= ACCOUNT_CROWD_MAX ? mine : all, mine >= ACCOUNT_CROWD_MAX ? " of this account" : "", t->host);
	return refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
}

/* May RQ go to the peer to which R goes first? GRANT; or so many logins are under way there that it waits, or is refused. Where
 * hops are counted nothing goes in circles for long; but a server that is not ours may send logins back as if they were new. */
static enum request_state find_room(struct request *rq, const struct auth_reply *r)
{
	struct authd *a = rq->worker->a;
	const struct auth_target *t = &r->target[0];
	unsigned mine = reg_under_way(a->reg, rq->q.protocol, t->host, t->addr.port, rq->account.name);
	unsigned all = reg_under_way(a->reg, rq->q.protocol, t->host, t->addr.port, NULL);
	char reason[AUTH_REASON_MAX];
	double now = clock_now();

	if (reg_is_shut(a->reg, rq->q.protocol, t->host, t->addr.port, rq->account.name, now)) {
		snprintf(reason, sizeof(reason), "too many logins of this account were under way at mailhost %s, and none has arrived; "
		    "does it send them back here?", t->host);
		return refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
	}
	if (mine < ACCOUNT_CROWD_MAX && all < PEER_CROWD_MAX) {
		rq->held_since = 0;
		return REQUEST_GRANT;
	}
	if (rq->held_since == 0)
		rq->held_since = now;
	if (now - rq->held_since < CROWD_PATIENCE && a->nheld < HELD_MAX)
		return hold(rq);
	return refuse_crowded(rq, t, mine, all, now);
}

/* Each of them looks again whether there is room. */
static void on_look_at_held(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	struct authd *a = t->data;
	struct request *list = a->held;

	a->held = NULL;
	a->held_end = &a->held;
	a->nheld = 0;
	for (struct request *next; list != NULL; list = next) {
		next = list->next_queued;
		request_enter(list, REQUEST_TARGETS);
	}
	if (a->nheld == 0)
		ev_timer_stop(loop, t);
}

/* --- what the peer is told --- */

/* What the peer may be told where the client has not told its password. False: there is nothing. */
static bool lend_credentials(struct request *rq, struct auth_reply *r)
{
	const struct authd *a = rq->worker->a;

	if (rq->q.mech == AUTH_MECH_PASSWORD)
		return true;
	if (account_password(&rq->account, r->password)) {
		r->forward = AUTH_FORWARD_CLEAR;
		return true;
	}
	r->forward = AUTH_FORWARD_OTHER;
	str_copy(r->master, sizeof(r->master), a->ctx.set->proxy_PROXY_MASTER_USER);
	str_copy(r->password, sizeof(r->password), a->ctx.set->proxy_PROXY_MASTER_PASSWORD);
	return a->pool != NULL || r->master[0] != '\0';
}

static enum request_state no_credentials(struct request *rq)
{
	char reason[AUTH_REASON_MAX];

	snprintf(reason, sizeof(reason), "by %s nobody tells the password that mailhost %s would ask for, the directory has no clear password, "
	    "and there is neither a pool secret nor PROXY_MASTER_USER", auth_mech_name(rq->q.mech), rq->route.host[0].name);
	return refuse(rq, AUTH_VERDICT_CANNOT, reason);
}

/* How far the login may go from the next node on. */
static uint8_t hops_left(const struct request *rq)
{
	uint8_t ttl = (uint8_t)rq->worker->a->ctx.set->proxy_PROXY_HOPS;

	if (rq->q.hop.present && rq->q.hop.ttl != 0)
		ttl = MIN(ttl, rq->q.hop.ttl);
	return (uint8_t)MAX(ttl - 1, 1); /* it is signed, and the last hop reads 0 as 1 */
}

static enum request_state step_targets(struct request *rq)
{
	static struct auth_reply down;
	struct choice c = { .up = &reply, .down = &down };
	enum request_state next;

	memset(&reply, 0, sizeof(reply));
	down.ntargets = 0;
	if (!collect(rq, &c))
		return wait_for_address(rq);
	if (c.here)
		return stay_here();
	if (reply.ntargets == 0)
		return no_target(rq, &c);
	next = find_room(rq, &reply);
	if (next != REQUEST_GRANT)
		return next;
	if (!lend_credentials(rq, &reply))
		return no_credentials(rq);
	reply.peer_ms = time_for_peers(rq);
	reply.ttl = hops_left(rq);
	return REQUEST_GRANT;
}

/* Those that have waited for an address for long enough go on without it. */
static void on_look_at_waiting(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	struct authd *a = t->data;

	ev_timer_stop(loop, t); /* who goes on waiting starts it again */
	request_resume(a);
}

void request_init(struct authd *a)
{
	a->held_end = &a->held;
	ev_timer_init(&a->look_at_held, on_look_at_held, LOOK_AT_HELD, LOOK_AT_HELD);
	a->look_at_held.data = a;
	ev_timer_init(&a->look_at_waiting, on_look_at_waiting, LOOK_AT_WAITING, LOOK_AT_WAITING);
	a->look_at_waiting.data = a;
}

/* --- grant: the session is entered, the answer goes out --- */

static uint64_t random_id(struct authd *a)
{
	uint64_t id;

	do
		rnd_bytes(&id, sizeof(id));
	while (id == 0 || reg_find(a->reg, id) != NULL);
	return id;
}

static void send_ticket(struct request *rq, struct auth_reply *r)
{
	struct authd *a = rq->worker->a;

	rnd_bytes(r->ticket, sizeof(r->ticket));
	if (a->spawn == NULL)
		return; /* the worker finds out, and asks again when there is a new spawn */
	msgw_begin(&out, TICKET);
	msgw_bytes(&out, r->ticket, sizeof(r->ticket));
	msgw_u64(&out, r->session);
	msgw_u32(&out, rq->worker->slot);
	msgw_u64(&out, rq->worker->generation);
	msgw_u8(&out, (uint8_t)rq->q.protocol);
	account_write(&out, &rq->account, false);
	msgw_str(&out, r->session_id);
	net_addr_write(&out, &rq->client);
	msgw_u8(&out, r->proxied);
	msgw_u8(&out, rq->client_tls);
	msgw_u8(&out, (uint8_t)r->signature);
	if (chan_send(a->spawn, &out, -1) != 0)
		log_error("spawn does not read its messages");
}

static void send_away(struct reg *reg, struct reg_session *s, const struct auth_reply *r, double until)
{
	struct net_addr addr[AUTH_ADDRS_MAX];

	for (unsigned i = 0; i < r->ntargets; i++)
		addr[i] = r->target[i].addr;
	reg_send_away(reg, s, r->target[0].host, addr, r->ntargets, until);
}

/* What makes a forwarded login ours at each of its targets. */
static void sign(struct request *rq, struct auth_reply *r)
{
	struct authd *a = rq->worker->a;
	struct hop hop = { .present = true, .client = r->client, .tls = r->client_tls, .ttl = r->ttl };

	str_copy(hop.session_id, sizeof(hop.session_id), r->session_id);
	hop.time = r->time = a->pool != NULL ? (uint64_t)time(NULL) : 0;
	for (unsigned i = 0; r->time != 0 && i < r->ntargets; i++) {
		hop_sign(&hop, a->pool, r->target[i].host, r->name);
		memcpy(r->target[i].mac, hop.mac, sizeof(hop.mac));
		if (r->forward == AUTH_FORWARD_OTHER)
			hop_token(&hop, a->pool, r->target[i].host, r->name, r->target[i].token);
	}
}

/* A password can be asked about again; the answer to a challenge is good once. */
static bool may_be_retried(struct request *rq)
{
	return reply.more != AUTH_MORE_NONE && rq->q.mech != AUTH_MECH_PASSWORD && !rq->retried && keep(rq);
}

/* The reply has the route. */
static enum request_state step_grant(struct request *rq)
{
	struct authd *a = rq->worker->a;
	struct auth_reply *r = &reply;
	struct reg_session *s;

	r->verdict = AUTH_VERDICT_OK;
	r->session = random_id(a);
	if (rq->believed && rq->q.hop.session_id[0] != '\0')
		str_copy(r->session_id, sizeof(r->session_id), rq->q.hop.session_id);
	else
		num_hex(r->session, r->session_id);
	str_copy(r->name, sizeof(r->name), rq->account.name); /* drivers keep to ACCOUNT_NAME_MAX */
	r->client = rq->client;
	r->client_tls = rq->client_tls;
	r->proxied = rq->believed;
	r->signature = told_back(rq);
	s = reg_add(a->reg, r->session, rq->q.protocol, &rq->client, r->name, (uint32_t)time(NULL));
	DIE_IF(s == NULL);
	s->worker = rq->worker;
	if (r->local) {
		send_ticket(rq, r);
		reg_set_ticket(s, r->ticket);
	} else {
		send_away(a->reg, s, r, clock_now() + WAY_GRACE + (double)a->ctx.set->proxy_PROXY_TIMEOUT);
		for (unsigned i = 0; i < r->ntargets; i++) {
			signers_know(a->signers, &r->target[i].addr);
			r->report_signature = r->report_signature || signers_suspect(a->signers, r->target[i].host);
		}
		sign(rq, r);
	}
	send_reply(rq);
	return may_be_retried(rq) ? REQUEST_GRANTED : REQUEST_DONE;
}

/* --- what happens to it from outside --- */

bool request_new(struct authd_worker *w, struct msgr *r)
{
	struct request *rq = mem_alloc(sizeof(*rq));

	if (!auth_request_read(r, &rq->q)) {
		mem_free(&rq);
		return false;
	}
	rq->worker = w;
	rq->next = w->requests;
	rq->prev = &w->requests;
	if (rq->next != NULL)
		rq->next->prev = &rq->next;
	w->requests = rq;
	account_init(&rq->account);
	request_enter(rq, REQUEST_IDENTIFY);
	return true;
}

void request_cancel(struct authd_worker *w, uint32_t id)
{
	talks_end(w->talks, id);
	for (struct request *rq = w->requests; rq != NULL; rq = rq->next)
		if (rq->q.request == id) {
			request_end(rq);
			return;
		}
}

void request_unknown(struct authd_worker *w, uint32_t id, const char *reason)
{
	static struct auth_reply no;

	memset(&no, 0, sizeof(no));
	no.request = id;
	no.verdict = AUTH_VERDICT_UNAVAILABLE;
	snprintf(no.reason, sizeof(no.reason), "%s", reason);
	auth_reply_write(&out, &no);
	if (chan_send(w->chan, &out, -1) != 0)
		log_error("worker %u does not read its messages", w->slot);
}

void request_step(struct authd_worker *w, uint32_t id, const char *text)
{
	struct request *rq = w->requests;

	while (rq != NULL && !((rq->state == REQUEST_CLIENT || rq->state == REQUEST_GRANTED) && rq->q.request == id))
		rq = rq->next;
	if (rq == NULL) {
		request_unknown(w, id, "its conversation is not known any more");
	} else if (rq->state == REQUEST_GRANTED) {
		rq->retried = true;
		rq->names_since = rq->names_until = 0;
		request_enter(rq, REQUEST_TARGETS); /* the hosts that could not be reached are known to be down by now */
	} else {
		request_enter(rq, scram_message(rq, text));
	}
}

void request_expire(struct authd_worker *w, double then)
{
	for (struct request *rq = w->requests, *next; rq != NULL && w->nsteps != 0; rq = next) {
		next = rq->next;
		if (rq->kept_since >= then)
			continue;
		if (rq->state == REQUEST_GRANTED)
			request_end(rq);
		else if (rq->state == REQUEST_CLIENT)
			request_enter(rq, refuse(rq, AUTH_VERDICT_UNAVAILABLE, "its client took too long"));
	}
}

void request_drop_all(struct authd_worker *w)
{
	while (w->requests != NULL)
		request_end(w->requests);
}

void request_resume(struct authd *a)
{
	struct request *list = a->waiting;

	a->waiting = NULL;
	for (struct request *next; list != NULL; list = next) {
		next = list->next_queued;
		request_enter(list, list->state == REQUEST_FIRST_LOAD ? REQUEST_LOOKUP : REQUEST_TARGETS);
	}
}
