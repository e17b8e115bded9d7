/* What answers a question: memory (a proven password, a remembered wrong guess), else the same question if it is
 * pending already, else a job.
 *
 * Two digests: KEY of the account as queried, under which the proven account is remembered with the digest of its
 * password; and PROOF of both, under which wrong guesses are remembered and pending questions are shared. So a new
 * password replaces the old one as soon as it has been used, and a guess says nothing about other passwords.
 *
 * A password that was not tried lately takes the same time whether or not there is such an account: both go to the
 * directory. Records asked for without a password are shared, but not remembered: memory would have to hold stored
 * passwords, and a quick answer would tell which accounts were used lately. */
#include "authd/directory_lookup.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <uthash.h>
#include <utlist.h>

#include "authd/directory_health.h"
#include "lib/mem.h"
#include "settings/settings.h"

/* Seconds after which an account that was proven lately is let in without the directory's answer. */
static const double patience = 0.8;

/* Whose name a probe asks for. */
enum probe_name {
	PROBE_NONE,  /* it is no probe */
	PROBE_OWN,   /* nobody's */
	PROBE_KNOWN, /* one that had an answer */
	PROBE_ASKED  /* the last one that had none */
};

struct probe;

/* One job. It may outlive its waiters: its answer is cached. */
struct lookup_job {
	struct directory_lookups *qs;
	struct lookup_job *prev, *next; /* of all */
	UT_hash_handle hh;              /* by proof, of those that can be shared */
	struct cache_digest key;        /* the account as it is asked for */
	struct cache_digest proof;      /* of account and password; without a password: as key */
	struct cache_digest user;
	bool verify, shared;
	enum probe_name probe;
	struct probe *alone; /* a probe or a trial, and the only one of this driver; or NULL */
	/* Continues while the directory is down: of a probe or an operator, or to the pool alone. */
	bool lasting;
	bool answering;
	bool keep; /* nobody waits for it any more (answered from the cache, or gone); the job continues */
	unsigned pos;
	int64_t asked;
	uint64_t epoch;
	char *service, *name;
	struct directory_waiter *waiters;
	ev_timer patience;
};

/* The names that probes of a driver ask for. A directory may fail on a certain name, and anybody may ask for it. So a
 * suspected driver is down only if neither our own name nor a known one has an answer: a stranger chooses one of them
 * at most. Where no name ever had an answer (it hangs since we have started), our own is asked twice. Once down, known
 * and asked names take turns: no name keeps the driver down for all others. */
struct probe {
	struct {
		char *service, *name;
	} known, asked;
	bool turn;         /* the next probe asks for `asked` */
	bool own_tried;    /* while the driver is suspected: the last probe was of our own name */
	bool own_silent;   /* that one had no answer */
	int64_t own_asked; /* when the first one without an answer was asked */
	/* Of a driver with AUTH_DRIVER_CHECKS: */
	bool busy;      /* a probe or a trial is on its way: there is one at a time */
	int64_t try_at; /* while it is down: no trial before this time, ms */
};

/* No such account exists, which is an answer, too. */
static const char own_name[] = "waypost-probe";
/* With it a driver is probed whose lookups do not show whether it works (AUTH_DRIVER_CHECKS). No known name is tried
 * there, as wrong passwords may lock its account: it is down if our own name has no answer twice, and nobody else had
 * one meanwhile. Perhaps it has none for unknown names only: while it is down, one login at a time still asks it. */
static const char own_password[] = "waypost-probe";

struct directory_lookups {
	struct ev_loop *loop;
	struct jobs *jobs;
	struct cache *cache;
	int64_t (*clock)(void);
	struct directory_health *health;
	const struct auth_chain *chain;
	bool by_client, pool_shares;
	uint8_t settings[SETTINGS_DIGEST_LEN];
	int64_t ttl, negative_ttl, stale; /* ms */
	struct lookup_job *all, *shared;
	uint64_t epoch; /* answers to queries of an older one are not cached */
	struct probe probe[AUTH_CHAIN_MAX];
	uint64_t since; /* shared verdicts count only if they are newer, unix seconds */
	struct directory_lookup_counts counts;
};

static struct msgw out;

/* --- what is remembered --- */

struct memory {
	struct cache_digest key, proof, user;
	int64_t now;
};

static void make_digests(struct directory_lookups *qs, struct memory *m, const struct directory_query *query)
{
	char pos[16], client[NET_IP_TEXT_MAX] = "";
	const char *const text[] = { query->question.password != NULL ? "account" : "record", pos,
		query->question.service, query->question.user, client, query->question.password };

	snprintf(pos, sizeof(pos), "%u", query->pos);
	if (qs->by_client && query->question.client.family != 0)
		net_addr_text(&query->question.client, client);
	cache_digest(qs->cache, &m->key, text, ARRAY_LEN(text) - 1);
	m->proof = m->key;
	if (query->question.password != NULL)
		cache_digest(qs->cache, &m->proof, text, ARRAY_LEN(text));
	m->now = qs->clock();
}

static bool same(const struct cache_digest *a, const struct cache_digest *b)
{
	return mem_equal_secret(a->byte, sizeof(a->byte), b->byte, sizeof(b->byte));
}

/* The account, if it was proven with the password of PROOF less than AGE ms ago; or what directory_lookup_passed()
 * said of it. */
static const struct cache_value *find_proven(struct directory_lookups *qs, const struct cache_digest *key,
    const struct cache_digest *proof, int64_t now, int64_t age)
{
	const struct cache_value *v = cache_find(qs->cache, key);

	return v != NULL && same(&v->proof, proof) && now - v->time < age ? v : NULL;
}

static void remember(struct lookup_job *q, const struct job_done *done)
{
	struct directory_lookups *qs = q->qs;
	const struct cache_value *v = cache_find(qs->cache, &q->key);
	struct cache_value value = {
		.proof = q->proof,
		.time = q->asked - (int64_t)done->age * 1000,
		.answered = done->answered,
		.result = (uint8_t)done->result,
		.pos = done->pos,
		.directory = true,
	};

	if (done->result == AUTH_TRY_LATER)
		return;
	if (done->result == AUTH_OK) {
		cache_drop(qs->cache, &q->proof);
		if (qs->ttl != 0 || qs->stale != 0)
			cache_put(qs->cache, CACHE_GOOD, &q->key, &q->user, &value, &done->account);
		return;
	}
	/* A wrong password must not affect the account's owner: the account stays cached as it is. */
	if (v != NULL &&
	    (same(&v->proof, &q->proof) || !(v->answered ? done->result == AUTH_MISMATCH : !done->answered)))
		cache_drop(qs->cache, &q->key);
	if (done->result != AUTH_BROKEN && qs->negative_ttl != 0)
		cache_put(qs->cache, CACHE_BAD, &q->proof, &q->user, &value, NULL);
}

/* --- those who wait --- */

static void give(struct directory_waiter *who, const struct directory_answer *answer)
{
	directory_answer_fn *fn = who->fn;
	void *arg = who->arg;

	memset(who, 0, sizeof(*who));
	fn(answer, arg);
}

static void give_all(struct lookup_job *q, const struct directory_answer *answer)
{
	q->answering = true;
	while (q->waiters != NULL) {
		struct directory_waiter *who = q->waiters;

		DL_DELETE(q->waiters, who);
		give(who, answer);
	}
	q->answering = false;
}

static void give_later(struct lookup_job *q, struct directory_waiter *who)
{
	struct account none;
	struct directory_answer answer = {
		.answered = true,
		.result = AUTH_TRY_LATER,
		.pos = q != NULL ? q->pos : 0,
		.account = &none,
	};

	account_init(&none);
	if (who != NULL)
		give(who, &answer);
	else
		give_all(q, &answer);
	account_fini(&none);
}

/* WHO alone, or all waiters of Q, get what V says. */
static void give_remembered(struct directory_lookups *qs, struct lookup_job *q, struct directory_waiter *who,
    const struct cache_value *v)
{
	struct account account;
	struct directory_answer answer = { .answered = v->answered,
		.result = (enum auth_result)v->result,
		.pos = v->pos,
		.account = &account,
		.age = (uint64_t)MAX(qs->clock() - v->time, 0) / 1000 };

	cache_account(v, &account);
	if (who != NULL)
		give(who, &answer);
	else
		give_all(q, &answer);
	account_fini(&account);
}

static unsigned count_waiters(const struct lookup_job *q)
{
	const struct directory_waiter *who;
	unsigned n;

	DL_COUNT(q->waiters, who, n);
	return n;
}

/* Without an answer, or one soon: lets in an account that was verified recently. False: it was not. */
static bool give_stale(struct lookup_job *q)
{
	struct directory_lookups *qs = q->qs;
	const struct cache_value *v = q->verify ? find_proven(qs, &q->key, &q->proof, qs->clock(), qs->stale) : NULL;

	if (v == NULL)
		return false;
	qs->counts.stale += count_waiters(q);
	give_remembered(qs, q, NULL, v);
	return true;
}

static void unshare(struct lookup_job *q)
{
	if (q->shared)
		HASH_DEL(q->qs->shared, q);
	q->shared = false;
}

static void lookup_job_free(struct lookup_job *q)
{
	struct directory_lookups *qs = q->qs;

	if (q->alone != NULL)
		q->alone->busy = false;
	unshare(q);
	ev_timer_stop(qs->loop, &q->patience);
	DL_DELETE(qs->all, q);
	mem_free(&q->service);
	mem_free(&q->name);
	mem_free(&q);
}

static void on_patience(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct lookup_job *q = t->data;

	if (give_stale(q))
		q->keep = true;
}

/* --- the job --- */

static struct lookup_job *find_at(struct directory_lookups *qs, unsigned pos, const struct lookup_job *but)
{
	struct lookup_job *q;

	DL_FOREACH(qs->all, q)
	{
		if (q != but && q->pos == pos && !q->lasting)
			return q;
	}
	return NULL;
}

/* POS is down: stop waiting for it. */
static void release_all(struct directory_lookups *qs, unsigned pos, const struct lookup_job *but)
{
	struct lookup_job *q;

	while ((q = find_at(qs, pos, but)) != NULL) {
		jobs_forget(qs->jobs, q);
		unshare(q);
		if (!give_stale(q))
			give_later(q, NULL);
		lookup_job_free(q);
	}
}

/* NEWS says that DRIVER failed: is a server up, but silent on this question? */
static enum directory_outcome failure_of(const struct dirnews *news, const char *driver)
{
	for (unsigned i = 0; i < news->n; i++) {
		const struct dirnews_item *item = &news->item[i], *last = item;

		for (unsigned k = i + 1; k < news->n; k++)
			if (strcmp(news->item[k].driver, item->driver) == 0 &&
			    strcmp(news->item[k].server, item->server) == 0)
				last = &news->item[k];
		if (strcmp(item->driver, driver) == 0 && last->kind == DIRNEWS_SILENT)
			return DIRECTORY_SILENT;
	}
	return DIRECTORY_FAILED;
}

/* What the answer says about the driver that should have given it. */
static enum directory_outcome outcome_of(const struct directory_lookups *qs, const struct job_done *done)
{
	const char *driver = auth_chain_name(qs->chain, done->pos);
	const struct dirnews_item *last = NULL;

	if (done->age == 0 && (!done->answered || done->result != AUTH_TRY_LATER))
		return DIRECTORY_ANSWERED;
	for (unsigned i = 0; i < done->news.n; i++)
		if (strcmp(done->news.item[i].driver, driver) == 0)
			last = &done->news.item[i];
	/* With an age the answer is another node's, from a while ago; the driver may still have failed us. */
	if (last == NULL)
		return DIRECTORY_NOT_ASKED;
	if (last->kind == DIRNEWS_REFUSED)
		return DIRECTORY_REFUSED;
	if (last->kind == DIRNEWS_ERRED)
		return DIRECTORY_ERRED;
	if (last->kind != DIRNEWS_FAILED && last->kind != DIRNEWS_SILENT)
		return DIRECTORY_ANSWERED;
	return failure_of(&done->news, driver);
}

static void keep_answered(struct directory_lookups *qs, unsigned pos, const struct lookup_job *q)
{
	struct probe *p = pos < AUTH_CHAIN_MAX ? &qs->probe[pos] : NULL;

	if (p == NULL || p->known.name != NULL || q->probe == PROBE_OWN)
		return;
	p->known.service = mem_strdup(q->service);
	p->known.name = mem_strdup(q->name);
}

/* POS is suspected or down: keeps NAME for its probes. */
static void keep_asked(struct directory_lookups *qs, unsigned pos, const char *service, const char *name)
{
	struct probe *p = &qs->probe[pos];

	mem_free(&p->asked.service);
	mem_free(&p->asked.name);
	p->asked.service = mem_strdup(service);
	p->asked.name = mem_strdup(name);
}

/* Has the probe Q, whose OUTCOME is known now, confirmed that its driver is down? */
static bool confirmed(struct lookup_job *q, enum directory_outcome outcome)
{
	struct directory_lookups *qs = q->qs;
	struct probe *p = &qs->probe[q->pos];

	if (outcome != DIRECTORY_SILENT || !p->own_silent)
		return false;
	if (!auth_chain_checks(qs->chain, q->pos) && p->known.name != NULL)
		return q->probe == PROBE_KNOWN && directory_health_confirm(qs->health, q->pos, q->asked);
	if (!directory_health_confirm(qs->health, q->pos, p->own_asked))
		return false;
	p->try_at = qs->clock() + HEALTH_PAUSE_SLOW_MS; /* of a driver with AUTH_DRIVER_CHECKS */
	return true;
}

/* OUTCOME of the probe Q. */
static enum directory_change take_probe(struct lookup_job *q, enum directory_outcome outcome)
{
	struct directory_lookups *qs = q->qs;
	struct probe *p = &qs->probe[q->pos];
	enum directory_change change = directory_health_probed(qs->health, q->pos, outcome, q->asked, qs->clock());

	if (change == DIRECTORY_SUSPECTED) /* the driver was down until now */
		p->own_tried = p->own_silent = false;
	if (outcome != DIRECTORY_SILENT && outcome != DIRECTORY_REFUSED)
		return change;
	if (confirmed(q, outcome))
		return DIRECTORY_DOWN;
	p->own_tried = q->probe == PROBE_OWN;
	if (q->probe == PROBE_OWN && !p->own_silent)
		p->own_asked = q->asked;
	if (q->probe == PROBE_OWN)
		p->own_silent = outcome == DIRECTORY_SILENT;
	return change;
}

/* OUTCOME at POS of Q, which somebody asked. */
static enum directory_change take_result(struct lookup_job *q, unsigned pos, enum directory_outcome outcome)
{
	struct directory_lookups *qs = q->qs;
	enum directory_change change = directory_health_result(qs->health, pos, outcome, q->asked, qs->clock());

	if (change == DIRECTORY_SAME)
		return change;
	keep_asked(qs, pos, q->service, q->name);
	qs->probe[pos].turn = qs->probe[pos].own_tried = qs->probe[pos].own_silent = false;
	return change;
}

/* An answer to Q shows that the driver at POS works. */
static bool shows(const struct lookup_job *q, unsigned pos)
{
	return q->verify || !auth_chain_checks(q->qs->chain, pos);
}

static void learn(struct lookup_job *q, const struct job_done *done)
{
	struct directory_lookups *qs = q->qs;
	enum directory_outcome o = outcome_of(qs, done);
	enum directory_change change = DIRECTORY_SAME;
	int64_t now = qs->clock();

	for (unsigned pos = q->pos; pos < done->pos && o != DIRECTORY_NOT_ASKED; pos++) {
		if (!shows(q, pos))
			continue;
		directory_health_result(qs->health, pos, DIRECTORY_ANSWERED, q->asked, now);
		keep_answered(qs, pos, q);
	}
	if ((o == DIRECTORY_ANSWERED || o == DIRECTORY_ERRED) && !shows(q, done->pos))
		o = DIRECTORY_NOT_ASKED;
	if (done->answered && o == DIRECTORY_ANSWERED)
		keep_answered(qs, done->pos, q);
	if (q->probe != PROBE_NONE)
		change = take_probe(q, done->pos == q->pos ? o : DIRECTORY_ANSWERED);
	else if (done->answered)
		change = take_result(q, done->pos, o);
	directory_health_news(qs->health, done->pos, &done->news, o,
	    qs->stale == 0 ? "logins fail temporarily" :
	                     "accounts that logged in within AUTH_CACHE_STALE still can, other logins fail temporarily",
	    now);
	if (q->alone != NULL && q->probe == PROBE_NONE)
		q->alone->try_at = now + HEALTH_PAUSE_SLOW_MS;
	if (change == DIRECTORY_DOWN)
		release_all(qs, done->pos, q);
}

static void on_done(const struct job_done *done, int fd UNUSED, void *arg)
{
	struct lookup_job *q = arg;
	struct directory_lookups *qs = q->qs;
	/* During a reload the two sides may have different chains: a question must not bounce between them. */
	bool valid = done != NULL && (done->answered || done->pos > q->pos);
	bool current = valid && memcmp(done->settings, qs->settings, sizeof(qs->settings)) == 0;

	unshare(q);
	ev_timer_stop(qs->loop, &q->patience);
	if (current)
		learn(q, done);
	else if (q->probe != PROBE_NONE)
		take_probe(q, DIRECTORY_NOT_ASKED);
	if (current && q->verify && q->probe == PROBE_NONE && q->epoch == qs->epoch)
		remember(q, done);
	if (valid && done->result != AUTH_TRY_LATER)
		give_all(q,
		    &(struct directory_answer){
		        .answered = done->answered,
		        .result = done->result,
		        .pos = done->pos,
		        .age = done->age,
		        .account = &done->account,
		    });
	else if (!give_stale(q))
		give_later(q, NULL);
	lookup_job_free(q);
}

/* CLIENT: for whom the work is done; NULL: the node itself. ONLY_SHARED: ask only the pool's shared verdicts. TRIAL: of
 * the driver at this position, or AUTH_CHAIN_MAX. */
static struct lookup_job *submit(struct directory_lookups *qs, const struct memory *m,
    const struct directory_query *query, const struct net_addr *client, bool only_shared, unsigned trial)
{
	struct lookup_job *q = mem_alloc(sizeof(*q));
	uint32_t id = jobs_next_id(qs->jobs);
	/* Operators and probes query the directory itself. */
	unsigned avoid = query->fresh ? 0 : directory_health_all_down(qs->health) & ~(1U << query->pos | 1U << trial);

	q->qs = qs;
	q->key = m->key;
	q->proof = m->proof;
	q->user = m->user;
	q->verify = query->question.password != NULL;
	q->pos = query->pos;
	q->asked = m->now;
	q->epoch = qs->epoch;
	q->service = mem_strdup(query->question.service);
	q->name = mem_strdup(query->question.user);
	ev_timer_init(&q->patience, on_patience, patience, 0);
	q->patience.data = q;
	DL_APPEND(qs->all, q);
	if (q->verify)
		job_write_verify(&out, id, &query->question, query->pos, avoid,
		    client == NULL ? JOB_SINCE_NOW : qs->since, only_shared);
	else
		job_write_lookup(&out, id, &query->question, query->pos, avoid);
	jobs_submit(qs->jobs, id, &out, -1, client, on_done, q);
	mem_wipe(out.buf, out.len);
	return q;
}

/* Q is the only probe or trial of the driver at POS. */
static void begin_alone(struct lookup_job *q, unsigned pos)
{
	q->alone = &q->qs->probe[pos];
	q->alone->busy = true;
	if (q->probe == PROBE_NONE)
		q->alone->try_at = q->asked + HEALTH_PAUSE_SLOW_MS;
}

static enum probe_name next_probe(const struct directory_lookups *qs, unsigned pos)
{
	const struct probe *p = &qs->probe[pos];

	if (auth_chain_checks(qs->chain, pos))
		return PROBE_OWN;
	if (!directory_health_down(qs->health, pos))
		return p->own_tried && p->known.name != NULL ? PROBE_KNOWN : PROBE_OWN;
	return p->known.name != NULL && !p->turn ? PROBE_KNOWN : PROBE_ASKED;
}

static void on_probe(unsigned pos, void *arg)
{
	struct directory_lookups *qs = arg;
	struct probe *p = &qs->probe[pos];
	enum probe_name name = next_probe(qs, pos);
	bool alone = auth_chain_checks(qs->chain, pos);
	struct directory_query query = { .pos = pos,
		.question = { .service = name == PROBE_KNOWN ? p->known.service : p->asked.service,
		    .user = name == PROBE_KNOWN ? p->known.name :
		        name == PROBE_OWN       ? own_name :
		                                  p->asked.name,
		    .password = alone ? own_password : NULL } };
	struct memory m = { .now = qs->clock() };
	struct lookup_job *q;

	if (alone && p->busy) {
		directory_health_probed(qs->health, pos, DIRECTORY_NOT_ASKED, m.now, m.now);
		return;
	}
	q = submit(qs, &m, &query, NULL, false, AUTH_CHAIN_MAX);
	if (directory_health_down(qs->health, pos))
		p->turn = !p->turn;
	q->probe = name;
	q->lasting = true;
	if (alone)
		begin_alone(q, pos);
}

/* --- asking --- */

/* True: WHO has been answered. */
static bool from_memory(struct directory_lookups *qs, struct directory_waiter *who, const struct memory *m)
{
	const struct cache_value *v = find_proven(qs, &m->key, &m->proof, m->now, qs->ttl);

	if (v != NULL)
		qs->counts.hits++;
	else if ((v = cache_find(qs->cache, &m->proof)) != NULL && m->now - v->time < qs->negative_ttl)
		qs->counts.negative++;
	else
		return false;
	give_remembered(qs, NULL, who, v);
	return true;
}

/* As from_memory(), for when the directory gives no answer now. */
static bool from_old_memory(struct directory_lookups *qs, struct directory_waiter *who, const struct memory *m)
{
	const struct cache_value *v = find_proven(qs, &m->key, &m->proof, m->now, qs->stale);

	if (v == NULL)
		return false;
	qs->counts.stale++;
	give_remembered(qs, NULL, who, v);
	return true;
}

/* The driver that is down, but may be asked by the login QUERY; AUTH_CHAIN_MAX: none. */
static unsigned may_try(const struct directory_lookups *qs, const struct directory_query *query, int64_t now)
{
	unsigned pos = query->pos;

	if (query->question.password == NULL || query->fresh)
		return AUTH_CHAIN_MAX;
	while (pos < AUTH_CHAIN_MAX &&
	    !(directory_health_down(qs->health, pos) && auth_chain_checks(qs->chain, pos) && !qs->probe[pos].busy &&
	        now >= qs->probe[pos].try_at))
		pos++;
	return pos;
}

void directory_lookup_start(struct directory_lookups *qs, struct directory_waiter *who,
    const struct directory_query *query, directory_answer_fn *fn, void *arg)
{
	struct lookup_job *q = NULL;
	struct memory m;
	bool verify = query->question.password != NULL, only_shared = false;
	unsigned trial = may_try(qs, query, qs->clock());

	*who = (struct directory_waiter){ .fn = fn, .arg = arg };
	make_digests(qs, &m, query);
	if (!query->fresh) {
		if (verify && from_memory(qs, who, &m))
			return;
		HASH_FIND(hh, qs->shared, &m.proof, sizeof(m.proof), q);
		/* If the directory is down, or slow with this very question, recently proven accounts do not wait. */
		if ((directory_health_down(qs->health, query->pos) || (q != NULL && q->keep)) && verify &&
		    from_old_memory(qs, who, &m))
			return;
		only_shared = directory_health_down(qs->health, query->pos);
		if (only_shared)
			keep_asked(qs, query->pos, query->question.service, query->question.user);
		only_shared = only_shared && (trial != query->pos || q != NULL);
		if (only_shared && !(qs->pool_shares && verify)) {
			qs->counts.misses++;
			give_later(NULL, who);
			return;
		}
	}
	if (q != NULL) {
		qs->counts.shared++;
	} else {
		qs->counts.misses++;
		cache_user(qs->cache, &m.user, query->question.user);
		q = submit(qs, &m, query, query->fresh ? NULL : &query->question.client, only_shared,
		    only_shared ? AUTH_CHAIN_MAX : trial);
		if (!query->fresh) {
			HASH_ADD(hh, qs->shared, proof, sizeof(q->proof), q);
			q->shared = true;
		}
		if (!only_shared && trial != AUTH_CHAIN_MAX)
			begin_alone(q, trial);
		q->lasting = query->fresh || only_shared || (q->alone != NULL && trial == q->pos);
		if (verify && !query->fresh && find_proven(qs, &m.key, &m.proof, m.now, qs->stale) != NULL)
			ev_timer_start(qs->loop, &q->patience);
	}
	who->job = q;
	DL_APPEND(q->waiters, who);
}

void directory_lookup_passed(struct directory_lookups *qs, const struct directory_query *query, unsigned to)
{
	struct cache_value value = { .result = AUTH_UNKNOWN, .pos = (uint8_t)to, .directory = true };
	const struct cache_value *v;
	struct memory m;

	if (qs->ttl == 0 && qs->stale == 0)
		return;
	make_digests(qs, &m, query);
	if (find_proven(qs, &m.key, &m.proof, m.now, INT64_MAX) != NULL)
		return; /* no driver was queried since */
	v = cache_find(qs->cache, &m.proof);
	value.proof = m.proof;
	value.time = v != NULL ? v->time : m.now;
	cache_user(qs->cache, &m.user, query->question.user);
	cache_drop(qs->cache, &m.proof);
	cache_put(qs->cache, CACHE_GOOD, &m.key, &m.user, &value, NULL);
}

void directory_lookup_cancel(struct directory_waiter *who)
{
	struct lookup_job *q = who->job;

	if (q == NULL)
		return;
	DL_DELETE(q->waiters, who);
	memset(who, 0, sizeof(*who));
	if (q->waiters != NULL || q->answering || q->keep)
		return;
	/* What comes of a question that was asked tells whether the directory works, though nobody waits for it. */
	q->keep = jobs_begun(q->qs->jobs, q);
	if (q->keep)
		return;
	jobs_forget(q->qs->jobs, q);
	lookup_job_free(q);
}

/* --- all of them --- */

struct directory_lookups *directory_lookups_new(struct ev_loop *loop, struct jobs *jobs, struct cache *cache,
    int64_t (*now_ms)(void))
{
	struct directory_lookups *qs = mem_alloc(sizeof(*qs));

	qs->loop = loop;
	qs->jobs = jobs;
	qs->cache = cache;
	qs->clock = now_ms;
	qs->health = directory_health_new(loop, on_probe, qs);
	return qs;
}

static void forget_probes(struct directory_lookups *qs)
{
	for (unsigned i = 0; i < AUTH_CHAIN_MAX; i++) {
		struct probe *p = &qs->probe[i];

		mem_free(&p->known.service);
		mem_free(&p->known.name);
		mem_free(&p->asked.service);
		mem_free(&p->asked.name);
	}
}

/* Pending queries answer only those who wait for them. */
static void begin_anew(struct directory_lookups *qs)
{
	struct lookup_job *q;

	qs->epoch++;
	DL_FOREACH(qs->all, q)
	unshare(q);
}

void directory_lookups_use(struct directory_lookups *qs, const struct auth_chain *chain, const struct settings *set)
{
	uint8_t settings[SETTINGS_DIGEST_LEN];

	qs->chain = chain;
	qs->by_client = auth_chain_uses_client(chain);
	qs->pool_shares = set->authdaemonrc_AUTH_CACHE_MEMCACHED[0] != '\0';
	qs->ttl = set->authdaemonrc_AUTH_CACHE_TTL * 1000;
	qs->negative_ttl = set->authdaemonrc_AUTH_CACHE_NEGATIVE_TTL * 1000;
	qs->stale = set->authdaemonrc_AUTH_CACHE_STALE * 1000;
	cache_resize(qs->cache, (size_t)set->authdaemonrc_AUTH_CACHE_SIZE);
	settings_directories_digest(set, settings);
	if (memcmp(settings, qs->settings, sizeof(settings)) == 0)
		return;
	memcpy(qs->settings, settings, sizeof(settings));
	cache_drop_directories(qs->cache);
	begin_anew(qs);
	directory_health_reset(qs->health);
	forget_probes(qs);
}

unsigned directory_lookups_flush(struct directory_lookups *qs, const char *user)
{
	begin_anew(qs);
	qs->since = (uint64_t)time(NULL);
	return cache_flush(qs->cache, user);
}

const struct directory_lookup_counts *directory_lookups_counts(const struct directory_lookups *qs)
{
	return &qs->counts;
}

unsigned directory_lookups_trouble(const struct directory_lookups *qs, struct str *names)
{
	return directory_health_list(qs->health, names);
}

void directory_lookups_free(struct directory_lookups **qsp)
{
	struct directory_lookups *qs = *qsp;

	if (qs == NULL)
		return;
	while (qs->all != NULL) {
		struct lookup_job *q = qs->all;

		while (q->waiters != NULL) {
			struct directory_waiter *who = q->waiters;

			DL_DELETE(q->waiters, who);
			memset(who, 0, sizeof(*who));
		}
		jobs_forget(qs->jobs, q);
		lookup_job_free(q);
	}
	forget_probes(qs);
	directory_health_free(&qs->health);
	mem_free(qsp);
}
