/* Lookups in directories. The test plays the auth worker, and sets the clock. */
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "authd/directory_lookup.h"
#include "lib/mem.h"
#include "node/msg_channel.h"
#include "settings/settings.h"
#include "tests/unit/msg_test.h"
#include "tests/unit/unit.h"

enum { WORKERS = 1, ASKERS = 60 };

static struct ev_loop *loop;
static struct jobs *jobs;
static struct cache *cache;
static struct directory_lookups *qs;
static struct settings *set;
static struct auth_chain *chain;
static int worker[WORKERS];
static const char *driver;
static int64_t now;

/* A client of the lookups, and its results. */
static struct who {
	struct directory_waiter waiter;
	unsigned calls;
	enum auth_result result;
	bool answered;
	unsigned pos;
	char home[64], hash[64];
} who[ASKERS];

/* The last job that a worker got. */
static struct {
	int worker;
	uint32_t id;
	enum job_kind kind;
	char user[64], password[64];
} job;

/* Probes come when the test says so, however long the machine holds it up. The patience of logins passes by itself. */
static ev_timer *probe_timer;
void __real_ev_timer_start(struct ev_loop *l, ev_timer *t);
void __wrap_ev_timer_start(struct ev_loop *l, ev_timer *t);

void __wrap_ev_timer_start(struct ev_loop *l, ev_timer *t)
{
	static const double patience = 0.8;

	if (t->at > 0 && (t->at < patience || t->at > patience)) {
		probe_timer = t;
		t->at = 1e9;
	}
	__real_ev_timer_start(l, t);
}

static int64_t test_clock(void)
{
	return now;
}

static void use(const char *name, const char *value)
{
	if (strcmp(name, "ttl") == 0)
		set->authdaemonrc_AUTH_CACHE_TTL = value[0] - '0';
	else if (strcmp(name, "bind") == 0)
		unit_set(&set->authldaprc_LDAP_BINDDN, value);
	directory_lookups_use(qs, chain, set);
}

static void begin(void)
{
	static const char *const names[] = { "authldap", "authmysql", "authpgsql", "authsqlite", "authdaemon",
		"authpipe" };
	struct str errors = STR_INIT;

	for (size_t i = 0; driver == NULL && i < ARRAY_LEN(names); i++) {
		const struct auth_driver *d = auth_driver_find(names[i]);

		if (d != NULL && (d->flags & AUTH_DRIVER_CLIENT) == 0)
			driver = d->name;
	}
	CU_ASSERT_PTR_NOT_NULL_FATAL(driver);
	memset(who, 0, sizeof(who));
	probe_timer = NULL;
	now = 1000000;
	set = settings_defaults();
	unit_set(&set->authdaemonrc_authmodulelist, driver);
	chain = auth_chain_new(driver, AUTH_SIDE_LOOP, set, &errors);
	CU_ASSERT_PTR_NOT_NULL_FATAL(chain);
	loop = ev_loop_new(EVFLAG_AUTO);
	jobs = jobs_new(loop);
	for (unsigned i = 0; i < WORKERS; i++) {
		int fd[2];

		CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
		jobs_add_worker(jobs, i, 1, fd[0]);
		worker[i] = fd[1];
	}
	cache = cache_new(1 << 20);
	qs = directory_lookups_new(loop, jobs, cache, test_clock);
	directory_lookups_use(qs, chain, set);
}

static void end(void)
{
	directory_lookups_free(&qs);
	CU_ASSERT_PTR_NULL(qs);
	jobs_free(&jobs);
	cache_free(&cache);
	auth_chain_free(&chain);
	settings_free(&set);
	for (unsigned i = 0; i < WORKERS; i++)
		close(worker[i]);
	ev_loop_destroy(loop);
}

static void turn(void)
{
	for (int i = 0; i < 8; i++)
		ev_run(loop, EVRUN_NOWAIT);
}

static void on_answer(const struct directory_answer *a, void *arg)
{
	struct who *w = arg;

	w->calls++;
	w->result = a->result;
	w->answered = a->answered;
	w->pos = a->pos;
	str_copy(w->home, sizeof(w->home), a->account->home);
	str_copy(w->hash, sizeof(w->hash), a->account->hash);
}

static void ask_as(unsigned i, const char *service, const char *user, const char *password, bool fresh)
{
	memset(&who[i], 0, sizeof(who[i]));
	directory_lookup_start(qs, &who[i].waiter,
	    &(struct directory_query){ .question = { .service = service, .user = user, .password = password },
	        .fresh = fresh },
	    on_answer, &who[i]);
}

static void ask(unsigned i, const char *user, const char *password)
{
	ask_as(i, "imap", user, password, false);
}

/* A worker got a job: it is in JOB. */
static bool given(void)
{
	static uint8_t buf[MSG_SIZE_MAX];

	turn();
	for (int i = 0; i < WORKERS; i++) {
		struct msgr r;
		struct job j;
		int fd;

		if (!unit_next(worker[i], buf, &r, &fd))
			continue;
		CU_ASSERT_TRUE_FATAL(job_read(&r, &j));
		job.worker = worker[i];
		job.id = j.id;
		job.kind = j.kind;
		str_copy(job.user, sizeof(job.user), j.user);
		str_copy(job.password, sizeof(job.password), j.password);
		job_fini(&j);
		return true;
	}
	return false;
}

/* The next probe is due, and in JOB. */
static void wait_for_probe(void)
{
	CU_ASSERT_FATAL(probe_timer != NULL && ev_is_active(probe_timer));
	ev_timer_stop(loop, probe_timer);
	ev_invoke(loop, probe_timer, EV_TIMER);
	CU_ASSERT_TRUE_FATAL(given());
}

/* The worker of JOB answers. NEWS: of the first server, unless DIRNEWS_KINDS. */
static void reply(enum auth_result result, const char *home, enum dirnews_kind news)
{
	static struct msgw w;
	struct job_done d;

	job_done_init(&d, job.id, job.kind);
	d.answered = true;
	d.result = result;
	d.pos = result == AUTH_UNKNOWN ? 1 : 0;
	account_set(&d.account.name, job.user);
	account_set(&d.account.home, home);
	account_set(&d.account.hash, "{SHA}x");
	settings_directories_digest(set, d.settings);
	if (news != DIRNEWS_KINDS)
		dirnews_add(news, driver, news == DIRNEWS_REFUSED ? "" : "db.example.com",
		    news <= DIRNEWS_ERRED ? "no route to host" : "");
	dirnews_take(&d.news);
	job_done_write(&w, &d);
	CU_ASSERT_EQUAL(msg_send(job.worker, &w, -1), 0);
	job_done_fini(&d);
	turn();
}

/* The worker of JOB says that its drivers do not know the account: go on at position 1. */
static void reply_pass(void)
{
	static struct msgw w;
	struct job_done d;

	job_done_init(&d, job.id, job.kind);
	d.result = AUTH_UNKNOWN;
	d.pos = 1;
	settings_directories_digest(set, d.settings);
	job_done_write(&w, &d);
	CU_ASSERT_EQUAL(msg_send(job.worker, &w, -1), 0);
	job_done_fini(&d);
	turn();
}

static bool told(unsigned i, enum auth_result result)
{
	return who[i].calls == 1 && who[i].result == result;
}

/* JO's password "sesame" is verified. */
static void prove(const char *home)
{
	ask(0, "jo", "sesame");
	CU_ASSERT_TRUE_FATAL(given());
	reply(AUTH_OK, home, DIRNEWS_ANSWERED);
	CU_ASSERT_TRUE(told(0, AUTH_OK));
}

static void test_hit(void)
{
	begin();
	prove("/h");
	CU_ASSERT_STRING_EQUAL(who[0].home, "/h");
	now += 59000;
	ask(1, "jo", "sesame");
	CU_ASSERT_TRUE(told(1, AUTH_OK)); /* at once */
	CU_ASSERT_STRING_EQUAL(who[1].home, "/h");
	CU_ASSERT_STRING_EQUAL(who[1].hash, "");
	CU_ASSERT_FALSE(given());
	now += 1000;
	ask(1, "jo", "sesame"); /* AUTH_CACHE_TTL is over */
	CU_ASSERT_EQUAL(who[1].calls, 0);
	CU_ASSERT_TRUE(given());
	CU_ASSERT_STRING_EQUAL(job.password, "sesame");
	reply(AUTH_OK, "/h", DIRNEWS_ANSWERED);
	CU_ASSERT_TRUE(told(1, AUTH_OK));
	CU_ASSERT_EQUAL(directory_lookups_counts(qs)->hits, 1);
	CU_ASSERT_EQUAL(directory_lookups_counts(qs)->misses, 2);
	end();
}

static void test_all_inputs_count(void)
{
	begin();
	prove("/h");
	ask(1, "jo2", "sesame");
	CU_ASSERT_TRUE(given());
	reply(AUTH_TRY_LATER, "", DIRNEWS_KINDS);
	CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER));
	ask(2, "jo", "sesame2");
	CU_ASSERT_TRUE(given());
	reply(AUTH_MISMATCH, "", DIRNEWS_ANSWERED);
	CU_ASSERT_TRUE(told(2, AUTH_MISMATCH));
	CU_ASSERT_FALSE(given());
	ask_as(3, "pop3", "jo", "sesame", false);
	CU_ASSERT_FALSE(who[3].calls);
	ask_as(4, "imap", "jo", "sesame", true); /* the operator wants an answer of the directory itself */
	CU_ASSERT_FALSE(who[4].calls);
	ask(5, "jo", NULL); /* a record is cached separately */
	CU_ASSERT_FALSE(who[5].calls);
	ask(6, "JO", "sesame");
	CU_ASSERT_FALSE(who[6].calls);
	end();
}

static void test_changed_password(void)
{
	begin();
	prove("/h");
	ask(1, "jo", "new");
	CU_ASSERT_TRUE(given());
	reply(AUTH_OK, "/h2", DIRNEWS_ANSWERED);
	CU_ASSERT_TRUE(told(1, AUTH_OK));
	ask(1, "jo", "new");
	CU_ASSERT_TRUE(told(1, AUTH_OK));
	CU_ASSERT_STRING_EQUAL(who[1].home, "/h2");
	/* The old password is not cached any more. */
	ask(1, "jo", "sesame");
	CU_ASSERT_TRUE(given());
	reply(AUTH_MISMATCH, "", DIRNEWS_ANSWERED);
	CU_ASSERT_TRUE(told(1, AUTH_MISMATCH));
	ask(1, "jo", "new");
	CU_ASSERT_TRUE(told(1, AUTH_OK));
	end();
}

static void test_wrong_guesses(void)
{
	static const enum auth_result results[] = { AUTH_MISMATCH, AUTH_UNKNOWN, AUTH_DISABLED };

	begin();
	for (size_t i = 0; i < ARRAY_LEN(results); i++) {
		ask(1, "kim", "x");
		CU_ASSERT_TRUE(given());
		reply(results[i], "", DIRNEWS_ANSWERED);
		CU_ASSERT_TRUE(told(1, results[i]));
		ask(1, "kim", "x");
		CU_ASSERT_TRUE(told(1, results[i]));
		CU_ASSERT_TRUE(who[1].answered);
		/* Another wrong password goes to the directory, whether the account exists or not. */
		ask(1, "kim", "y");
		CU_ASSERT_TRUE(who[1].calls == 0 && given());
		reply(results[i], "", DIRNEWS_ANSWERED);
		now += 30000;
		ask(1, "kim", "x");
		CU_ASSERT_TRUE(who[1].calls == 0 && given());
		reply(AUTH_BROKEN, "", DIRNEWS_ANSWERED); /* not cached */
		directory_lookups_flush(qs, NULL);
	}
	CU_ASSERT_EQUAL(directory_lookups_counts(qs)->negative, 3);
	end();
}

static void test_what_ends_a_proof(void)
{
	static const struct {
		enum auth_result result;
		const char *password;
		bool ends;
	} t[] = {
		{ AUTH_MISMATCH, "guess", false },
		{ AUTH_MISMATCH, "sesame", true },
		{ AUTH_UNKNOWN, "guess", true },
		{ AUTH_DISABLED, "guess", true },
		{ AUTH_BROKEN, "guess", true },
		{ AUTH_TRY_LATER, "guess", false },
		{ AUTH_TRY_LATER, "sesame", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		begin();
		prove("/h");
		now += 61000; /* it could be used while the directory is down */
		ask(1, "jo", t[i].password);
		CU_ASSERT_TRUE(given());
		reply(t[i].result, "", DIRNEWS_KINDS);
		/* A lookup without an answer falls back on what is cached for that same password. */
		CU_ASSERT_TRUE(told(1,
		    t[i].result == AUTH_TRY_LATER && strcmp(t[i].password, "sesame") == 0 ? AUTH_OK : t[i].result));
		ask(2, "jo", "sesame");
		if (given())
			reply(AUTH_TRY_LATER, "", DIRNEWS_KINDS);
		CU_ASSERT_EQUAL(who[2].calls, 1);
		CU_ASSERT_EQUAL(who[2].result == AUTH_OK, !t[i].ends);
		end();
	}
}

static void test_sharing(void)
{
	begin();
	for (unsigned i = 0; i < 50; i++)
		ask(i, "jo", "sesame");
	CU_ASSERT_TRUE(given());
	directory_lookup_cancel(&who[0].waiter); /* the one whose job it is */
	directory_lookup_cancel(&who[7].waiter);
	directory_lookup_cancel(&who[7].waiter);
	ask(50, "jo", "other");
	reply(AUTH_OK, "/h", DIRNEWS_ANSWERED);
	for (unsigned i = 0; i < 50; i++)
		CU_ASSERT_EQUAL(who[i].calls, i != 0 && i != 7);
	CU_ASSERT_EQUAL(who[50].calls, 0);
	CU_ASSERT_TRUE(given());
	CU_ASSERT_STRING_EQUAL(job.password, "other");
	CU_ASSERT_FALSE(given());
	CU_ASSERT_EQUAL(directory_lookups_counts(qs)->shared, 49);
	/* All have cancelled: no job is sent. */
	directory_lookup_cancel(&who[50].waiter);
	reply(AUTH_OK, "/h", DIRNEWS_ANSWERED);
	CU_ASSERT_EQUAL(who[50].calls, 0);
	/* Records, too. */
	ask(1, "kim", NULL);
	ask(2, "kim", NULL);
	CU_ASSERT_TRUE(given());
	CU_ASSERT_EQUAL(job.kind, JOB_LOOKUP);
	reply(AUTH_OK, "/k", DIRNEWS_ANSWERED);
	CU_ASSERT_TRUE(told(1, AUTH_OK) && told(2, AUTH_OK));
	CU_ASSERT_STRING_EQUAL(who[2].hash, "{SHA}x");
	ask(1, "kim", NULL); /* but stored passwords are not kept */
	CU_ASSERT_TRUE(who[1].calls == 0 && given());
	end();
}

static void test_flush(void)
{
	begin();
	prove("/h");
	ask(1, "kim", "x");
	CU_ASSERT_TRUE(given());
	CU_ASSERT_EQUAL(directory_lookups_flush(qs, "jo"), 1);
	reply(AUTH_OK, "/k", DIRNEWS_ANSWERED); /* it may have been read before the change that the flush is for */
	CU_ASSERT_TRUE(told(1, AUTH_OK));
	CU_ASSERT_EQUAL(cache_entries(cache), 0);
	ask(1, "jo", "sesame");
	CU_ASSERT_TRUE(given());
	directory_lookups_flush(qs, NULL);
	ask(2, "jo", "sesame"); /* does not join the earlier lookup */
	CU_ASSERT_EQUAL(who[2].calls, 0);
	reply(AUTH_OK, "/h", DIRNEWS_ANSWERED);
	CU_ASSERT_TRUE(told(1, AUTH_OK));
	CU_ASSERT_EQUAL(who[2].calls, 0);
	CU_ASSERT_TRUE(given());
	reply(AUTH_OK, "/h2", DIRNEWS_ANSWERED);
	CU_ASSERT_STRING_EQUAL(who[2].home, "/h2");
	end();
}

static void test_reload(void)
{
	begin();
	prove("/h");
	use("ttl", "9"); /* a setting that changes no answer */
	ask(1, "jo", "sesame");
	CU_ASSERT_TRUE(told(1, AUTH_OK));
	use("bind", "cn=other");
	CU_ASSERT_EQUAL(cache_entries(cache), 0);
	ask(1, "jo", "sesame");
	CU_ASSERT_EQUAL(who[1].calls, 0);
	CU_ASSERT_TRUE(given());
	/* A worker that still has the old settings: its answer is used, but not cached. */
	unit_set(&set->authldaprc_LDAP_BINDDN, "cn=old");
	reply(AUTH_OK, "/h", DIRNEWS_ANSWERED);
	unit_set(&set->authldaprc_LDAP_BINDDN, "cn=other");
	CU_ASSERT_TRUE(told(1, AUTH_OK));
	CU_ASSERT_EQUAL(cache_entries(cache), 0);
	end();
}

static void test_down(void)
{
	struct str names = STR_INIT;

	begin();
	prove("/h");
	now += 61000;
	ask(1, "kim", "x");
	ask(2, "lea", "x");
	ask(3, "jo", "sesame");
	ask(4, "jo", NULL);
	CU_ASSERT_TRUE(given());
	reply(AUTH_TRY_LATER, "", DIRNEWS_FAILED);
	/* All that waited got it. */
	CU_ASSERT_TRUE(
	    told(1, AUTH_TRY_LATER) && told(2, AUTH_TRY_LATER) && told(3, AUTH_OK) && told(4, AUTH_TRY_LATER));
	CU_ASSERT_STRING_EQUAL(who[3].home, "/h");
	CU_ASSERT_EQUAL(directory_lookups_trouble(qs, &names), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&names), "db.example.com"));
	str_fini(&names);
	/* Nobody waits now. */
	ask(1, "kim", "x");
	ask(2, "jo", "guess");
	ask(3, "jo", "sesame");
	CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER) && told(2, AUTH_TRY_LATER) && told(3, AUTH_OK));
	CU_ASSERT_EQUAL(directory_lookups_counts(qs)->stale, 2);
	now += 86400000;
	ask(3, "jo", "sesame"); /* AUTH_CACHE_STALE is over */
	CU_ASSERT_TRUE(told(3, AUTH_TRY_LATER));
	/* Probes come, one at a time. */
	for (int i = 0; i < 2; i++) {
		wait_for_probe();
		CU_ASSERT_EQUAL(job.kind, JOB_LOOKUP);
		CU_ASSERT_STRING_EQUAL(job.user, i == 0 ? "jo" : "kim");
		now += 10;
		reply(AUTH_TRY_LATER, "", DIRNEWS_FAILED);
		ask(1, "kim", "x");
		CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER));
	}
	wait_for_probe();
	reply(AUTH_OK, "", DIRNEWS_ANSWERED);
	CU_ASSERT_EQUAL(directory_lookups_trouble(qs, &names), 0);
	str_fini(&names);
	ask(1, "kim", "x");
	CU_ASSERT_TRUE(who[1].calls == 0 && given());
	end();
}

/* The next probe, of USER, had no answer. */
static void probe_fails(const char *user)
{
	wait_for_probe();
	CU_ASSERT_STRING_EQUAL(job.user, user);
	now += 10;
	reply(AUTH_TRY_LATER, "", DIRNEWS_FAILED);
}

/* If one name crashes the directory, that must not keep it down: probes do not always use that name. */
static void test_poison(void)
{
	begin();
	/* No name had an answer so far: it is probed with what others ask meanwhile. */
	ask(1, "poison", "x");
	CU_ASSERT_TRUE(given());
	reply(AUTH_TRY_LATER, "", DIRNEWS_FAILED);
	probe_fails("poison");
	ask(1, "kim", "x");
	CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER));
	wait_for_probe();
	CU_ASSERT_STRING_EQUAL(job.user, "kim");
	reply(AUTH_UNKNOWN, "", DIRNEWS_ANSWERED);
	/* It is probed in turn with a name that had an answer, which may be poison by now, and with what others ask. */
	now += 60000;
	ask(1, "poison", "x");
	CU_ASSERT_TRUE(given());
	reply(AUTH_TRY_LATER, "", DIRNEWS_FAILED);
	probe_fails("kim");
	probe_fails("poison");
	wait_for_probe();
	CU_ASSERT_STRING_EQUAL(job.user, "kim");
	reply(AUTH_UNKNOWN, "", DIRNEWS_ANSWERED);
	ask(1, "lea", "x");
	CU_ASSERT_TRUE(who[1].calls == 0 && given());
	end();
}

/* A name that the directory refuses is not an outage, nor is a single failure among others. */
static void test_not_down(void)
{
	begin();
	ask(1, "kim", "x");
	ask(2, "lea", "x");
	CU_ASSERT_TRUE(given());
	reply(AUTH_TRY_LATER, "", DIRNEWS_REFUSED);
	CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER));
	CU_ASSERT_EQUAL(who[2].calls, 0);
	CU_ASSERT_TRUE(given());
	reply(AUTH_MISMATCH, "", DIRNEWS_ANSWERED);
	ask(1, "kim", "y");
	ask(2, "lea", "y");
	now += 5;
	CU_ASSERT_TRUE(given());
	reply(AUTH_OK, "", DIRNEWS_ANSWERED);
	CU_ASSERT_TRUE(given());
	reply(AUTH_TRY_LATER, "", DIRNEWS_FAILED);
	CU_ASSERT_TRUE(told(2, AUTH_TRY_LATER));
	ask(1, "mia", "x");
	CU_ASSERT_TRUE(who[1].calls == 0 && given());
	end();
}

/* --- queries without an answer, although a server is there --- */

static unsigned troubles(void)
{
	struct str names = STR_INIT;
	unsigned n = directory_lookups_trouble(qs, &names);

	str_fini(&names);
	return n;
}

/* USER's login queries the directory, which does not answer. */
static void silent_login(const char *user)
{
	ask(1, user, "x");
	CU_ASSERT_TRUE_FATAL(who[1].calls == 0 && given());
	CU_ASSERT_STRING_EQUAL(job.user, user);
	now += 10;
	reply(AUTH_TRY_LATER, "", DIRNEWS_SILENT);
	CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER));
}

/* The next probe, which is for USER, gets RESULT. */
static void probe(const char *user, enum auth_result result)
{
	wait_for_probe();
	CU_ASSERT_EQUAL(job.kind, JOB_LOOKUP);
	CU_ASSERT_STRING_EQUAL(job.user, user);
	now += 10;
	reply(result, "", result == AUTH_TRY_LATER ? DIRNEWS_SILENT : DIRNEWS_ANSWERED);
}

/* JO's login queries the directory, so that is not considered down. */
static void expect_asked(void)
{
	static unsigned passwords;
	char password[16];

	snprintf(password, sizeof(password), "%u", ++passwords);
	ask(2, "jo", password);
	CU_ASSERT_TRUE_FATAL(who[2].calls == 0 && given());
	CU_ASSERT_STRING_EQUAL(job.user, "jo");
	CU_ASSERT_EQUAL(troubles(), 0);
}

/* An attacker whose names, however many, get no answer makes nobody else fail. */
static void test_guesser(void)
{
	for (int known = 0; known < 2; known++) {
		begin();
		if (known)
			prove("/h");
		now += 61000;
		ask(3, "lea", "x");
		CU_ASSERT_TRUE_FATAL(given());
		ask(1, "poison", "x");
		ask(4, "kim", "x");
		reply(AUTH_TRY_LATER, "", DIRNEWS_SILENT);
		CU_ASSERT_TRUE(told(3, AUTH_TRY_LATER));
		CU_ASSERT_TRUE(who[1].calls == 0 && who[4].calls == 0); /* still waits for its own answer */
		for (int i = 0; i < 2; i++) {
			CU_ASSERT_TRUE_FATAL(given());
			reply(AUTH_TRY_LATER, "", DIRNEWS_SILENT);
		}
		for (int i = 0; i < 10; i++) {
			char name[32];

			snprintf(name, sizeof(name), "poison%d", i);
			silent_login(name);
		}
		expect_asked();
		reply(AUTH_MISMATCH, "", DIRNEWS_ANSWERED);
		CU_ASSERT_TRUE(told(2, AUTH_MISMATCH));
		end();
	}
}

/* The attacker's name was the first one answered after the start, but gets no answer now; a real one does. */
static void test_guesser_was_first(void)
{
	begin();
	ask(1, "poison", "x");
	CU_ASSERT_TRUE_FATAL(given());
	reply(AUTH_MISMATCH, "", DIRNEWS_ANSWERED);
	for (int i = 0; i < 3; i++) {
		silent_login("poison2");
		probe("waypost-probe", AUTH_UNKNOWN);
		expect_asked();
		reply(AUTH_TRY_LATER, "", DIRNEWS_SILENT);
		probe("waypost-probe", AUTH_UNKNOWN);
	}
	end();
}

/* The directory does not answer for unknown names, and an attacker tries such names: it is probed with a known one. */
static void test_no_answer_for_strangers(void)
{
	begin();
	prove("/h");
	now += 61000;
	for (int i = 0; i < 3; i++) {
		now += 10;
		silent_login("stranger2");
		probe("waypost-probe", AUTH_TRY_LATER);
		expect_asked();
		reply(AUTH_TRY_LATER, "", DIRNEWS_SILENT);
		probe("jo", AUTH_OK);
	}
	expect_asked();
	end();
}

/* It accepts connections but never answers: that is an outage, recognised after two probes. */
static void test_hanging(void)
{
	begin();
	prove("/h");
	now += 61000;
	silent_login("kim");
	probe("waypost-probe", AUTH_TRY_LATER);
	expect_asked();
	ask(3, "lea", "x");
	reply(AUTH_TRY_LATER, "", DIRNEWS_SILENT);
	CU_ASSERT_TRUE_FATAL(given());
	CU_ASSERT_STRING_EQUAL(job.user, "lea");
	/* The worker takes the next one only now. */
	reply(AUTH_TRY_LATER, "", DIRNEWS_SILENT);
	probe("jo", AUTH_TRY_LATER);
	CU_ASSERT_EQUAL(troubles(), 1);
	ask(1, "kim", "x");
	ask(3, "jo", "sesame");
	CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER) && told(3, AUTH_OK)); /* at once */
	probe("jo", AUTH_TRY_LATER);
	probe("kim", AUTH_UNKNOWN);
	CU_ASSERT_EQUAL(troubles(), 0);
	expect_asked();
	end();
}

/* It hangs since we have started: no name ever had an answer. It is down after two probes, and back with the next name
 * that has one, whatever becomes of ours. */
static void test_hanging_since_start(void)
{
	begin();
	silent_login("stranger");
	probe("waypost-probe", AUTH_TRY_LATER);
	expect_asked();
	reply(AUTH_TRY_LATER, "", DIRNEWS_SILENT);
	probe("waypost-probe", AUTH_TRY_LATER);
	CU_ASSERT_EQUAL(troubles(), 1);
	ask(1, "kim", "x");
	CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER));
	probe("kim", AUTH_TRY_LATER);
	ask(1, "jo", "sesame");
	CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER));
	probe("jo", AUTH_OK);
	expect_asked();
	reply(AUTH_OK, "/h", DIRNEWS_ANSWERED);
	/* One of the two was answered: it is not down. */
	silent_login("stranger");
	probe("waypost-probe", AUTH_TRY_LATER);
	probe("jo", AUTH_OK);
	expect_asked();
	end();
}

/* Nobody waits for an answer any more: what it tells of the directory counts nevertheless, if it was asked. */
static void test_nobody_waits(void)
{
	begin();
	ask(1, "kim", "x");
	CU_ASSERT_TRUE_FATAL(given());
	ask(2, "lea", "x"); /* the worker has not begun with it */
	directory_lookup_cancel(&who[1].waiter);
	directory_lookup_cancel(&who[2].waiter);
	CU_ASSERT_EQUAL(jobs_waiting(jobs), 0);
	reply(AUTH_TRY_LATER, "", DIRNEWS_FAILED);
	CU_ASSERT_EQUAL(who[1].calls + who[2].calls, 0);
	CU_ASSERT_EQUAL(troubles(), 1);
	ask(1, "kim", "x");
	CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER));
	CU_ASSERT_FALSE(given());
	end();
}

/* --- PAM, which a lookup without a password does not ask --- */

static bool begin_pam(void)
{
	if (auth_driver_find("authpam") == NULL)
		return false;
	driver = "authpam";
	begin();
	return true;
}

static void end_pam(void)
{
	end();
	driver = NULL;
}

/* The next probe checks a password, of no account; it gets RESULT, with NEWS. */
static void pam_probe(enum auth_result result, enum dirnews_kind news)
{
	wait_for_probe();
	CU_ASSERT_EQUAL(job.kind, JOB_VERIFY);
	CU_ASSERT_STRING_EQUAL(job.user, "waypost-probe");
	CU_ASSERT_STRING_NOT_EQUAL(job.password, "");
	now += 1000;
	reply(result, "", news);
}

static void refused_at_once(const char *user)
{
	ask(3, user, "x");
	CU_ASSERT_TRUE(told(3, AUTH_TRY_LATER));
	CU_ASSERT_FALSE(given());
}

/* With or without accounts that it let in before. */
static void test_pam_that_hangs(void)
{
	for (int known = 0; known < 2 && begin_pam(); known++) {
		if (known)
			prove("/h");
		now += 61000;
		silent_login("kim");
		pam_probe(AUTH_TRY_LATER, DIRNEWS_SILENT);
		expect_asked();
		ask(3, "lea", "x");
		ask(4, "jo", NULL);
		reply(AUTH_TRY_LATER, "", DIRNEWS_SILENT);
		while (given() && job.kind != JOB_LOOKUP)
			reply(AUTH_TRY_LATER, "", DIRNEWS_SILENT);
		CU_ASSERT_EQUAL(job.kind, JOB_LOOKUP);
		reply(AUTH_OK, "/h", DIRNEWS_KINDS); /* a record says nothing about PAM */
		wait_for_probe();
		CU_ASSERT_STRING_EQUAL(job.user, "waypost-probe");
		ask(5, "mia", "x");
		now += 1000;
		reply(AUTH_TRY_LATER, "", DIRNEWS_SILENT);
		CU_ASSERT_EQUAL(troubles(), 1);
		CU_ASSERT_TRUE(told(5, AUTH_TRY_LATER));
		refused_at_once("kim");
		ask_as(4, "imap", "jo", NULL, true);
		CU_ASSERT_TRUE_FATAL(given());
		reply(AUTH_OK, "/h", DIRNEWS_KINDS);
		CU_ASSERT_EQUAL(troubles(), 1);
		refused_at_once("kim");
		pam_probe(AUTH_TRY_LATER, DIRNEWS_SILENT);
		refused_at_once("kim");
		pam_probe(AUTH_UNKNOWN, DIRNEWS_ANSWERED);
		CU_ASSERT_EQUAL(troubles(), 0);
		expect_asked();
		end_pam();
	}
}

/* It hangs for names or passwords that an attacker chose, but for nobody else. */
static void test_pam_that_hangs_for_a_guesser(void)
{
	if (!begin_pam())
		return;
	for (int i = 0; i < 3; i++) {
		silent_login("kim");
		pam_probe(AUTH_UNKNOWN, DIRNEWS_ANSWERED);
		expect_asked();
		reply(AUTH_OK, "/h", DIRNEWS_ANSWERED);
		now += 10;
		/* Even if it hangs for our own name, too. */
		silent_login("kim");
		pam_probe(AUTH_TRY_LATER, DIRNEWS_SILENT);
		expect_asked();
		now += 10;
		reply(AUTH_MISMATCH, "", DIRNEWS_ANSWERED);
		CU_ASSERT_FALSE(ev_is_active(probe_timer));
		now += 10;
	}
	CU_ASSERT_EQUAL(troubles(), 0);
	end_pam();
}

/* It hangs for strangers only: a login now and then finds that it does not for others. */
static void test_pam_that_is_down_for_strangers_only(void)
{
	if (!begin_pam())
		return;
	silent_login("kim");
	pam_probe(AUTH_TRY_LATER, DIRNEWS_SILENT);
	pam_probe(AUTH_TRY_LATER, DIRNEWS_SILENT);
	refused_at_once("jo");
	now += 10000;
	ask(1, "kim", "z");
	CU_ASSERT_TRUE_FATAL(who[1].calls == 0 && given());
	CU_ASSERT_STRING_EQUAL(job.user, "kim");
	refused_at_once("jo"); /* one at a time, */
	now += 1000;
	reply(AUTH_TRY_LATER, "", DIRNEWS_SILENT);
	refused_at_once("jo"); /* and not soon again */
	pam_probe(AUTH_TRY_LATER, DIRNEWS_SILENT);
	now += 9000;
	ask(1, "jo", "sesame");
	CU_ASSERT_TRUE_FATAL(who[1].calls == 0 && given());
	now += 10;
	reply(AUTH_OK, "/h", DIRNEWS_ANSWERED);
	CU_ASSERT_TRUE(told(1, AUTH_OK));
	expect_asked();
	end_pam();
}

/* Errors that come as answers are no hang: a module may have one for every wrong password. */
static void test_pam_with_errors(void)
{
	if (!begin_pam())
		return;
	for (int i = 0; i < 3; i++) {
		ask(1, "kim", "x");
		CU_ASSERT_TRUE_FATAL(who[1].calls == 0 && given());
		now += 10;
		reply(AUTH_TRY_LATER, "", DIRNEWS_ERRED);
		CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER));
		CU_ASSERT_TRUE(probe_timer == NULL || !ev_is_active(probe_timer));
		silent_login("kim");
		pam_probe(AUTH_TRY_LATER, DIRNEWS_ERRED);
		CU_ASSERT_FALSE(ev_is_active(probe_timer));
		now += 10;
	}
	expect_asked();
	end_pam();
}

/* What a probe's answer says is not remembered as somebody's, even if PAM lets everybody in. */
static void test_pam_probe_is_no_login(void)
{
	if (!begin_pam())
		return;
	silent_login("kim");
	pam_probe(AUTH_OK, DIRNEWS_ANSWERED);
	CU_ASSERT_EQUAL(cache_entries(cache), 0);
	silent_login("kim");
	pam_probe(AUTH_MISMATCH, DIRNEWS_ANSWERED);
	CU_ASSERT_EQUAL(cache_entries(cache), 0);
	end_pam();
}

/* Any answer ends the suspicion; the next one starts from the beginning. */
static void test_answer_ends_suspicion(void)
{
	begin();
	prove("/h");
	now += 10;
	silent_login("kim");
	probe("waypost-probe", AUTH_TRY_LATER);
	expect_asked();
	now += 10;
	reply(AUTH_MISMATCH, "", DIRNEWS_ANSWERED);
	now += 10;
	silent_login("kim");
	probe("waypost-probe", AUTH_UNKNOWN);
	expect_asked();
	end();
}

/* A login of KIM is refused by the directory, which is there. */
static void refused_login(void)
{
	ask(1, "kim", NULL);
	CU_ASSERT_TRUE_FATAL(who[1].calls == 0 && given());
	now += 10;
	reply(AUTH_TRY_LATER, "", DIRNEWS_REFUSED);
	CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER));
	CU_ASSERT_EQUAL(troubles(), 1);
}

static void refused_probe(const char *user)
{
	wait_for_probe();
	CU_ASSERT_STRING_EQUAL(job.user, user);
	now += 10;
	reply(AUTH_TRY_LATER, "", DIRNEWS_REFUSED);
	CU_ASSERT_EQUAL(troubles(), 1);
}

static void served_probe(const char *user)
{
	wait_for_probe();
	CU_ASSERT_STRING_EQUAL(job.user, user);
	now += 10;
	dirnews_add(DIRNEWS_SERVED, driver, "", "");
	reply(AUTH_UNKNOWN, "", DIRNEWS_KINDS);
}

/* A question that is refused, though nobody logs in after it: it was that name, or the trouble goes on. */
static void test_refused(void)
{
	begin();
	prove("/h");
	now += 61000;
	refused_login();
	served_probe("waypost-probe");
	CU_ASSERT_EQUAL(troubles(), 0);
	now += 10;
	refused_login();
	refused_probe("waypost-probe");
	served_probe("jo");
	CU_ASSERT_EQUAL(troubles(), 0);
	now += 10;
	refused_login();
	for (int i = 0; i < 2; i++) {
		refused_probe("waypost-probe");
		refused_probe("jo");
		ask(2, "lea", i == 0 ? "x" : "y"); /* it is not down */
		CU_ASSERT_TRUE_FATAL(who[2].calls == 0 && given());
		reply(AUTH_TRY_LATER, "", DIRNEWS_REFUSED);
	}
	served_probe("waypost-probe");
	CU_ASSERT_EQUAL(troubles(), 0);
	end();
}

/* Lines that are logged while FN runs. */
static unsigned logged_by(void (*fn)(void))
{
	FILE *f = tmpfile();
	int old = dup(STDERR_FILENO), c;
	unsigned lines = 0;

	CU_ASSERT_FATAL(f != NULL && old != -1 && dup2(fileno(f), STDERR_FILENO) != -1);
	fn();
	dup2(old, STDERR_FILENO);
	close(old);
	rewind(f);
	while ((c = getc(f)) != EOF)
		lines += c == '\n';
	fclose(f);
	return lines;
}

/* Questions of NEWS, each followed by one that is answered: with another password, and another reason. */
static void flap(enum dirnews_kind news)
{
	for (int i = 0; i < 500; i++) {
		char text[32];

		snprintf(text, sizeof(text), "%d", i);
		ask(1, "kim", text);
		CU_ASSERT_TRUE_FATAL(given());
		dirnews_add(news, driver, news == DIRNEWS_REFUSED ? "" : "a", text);
		reply(AUTH_TRY_LATER, "", DIRNEWS_KINDS);
		now += 5;
		ask(1, "lea", text);
		CU_ASSERT_TRUE_FATAL(given());
		dirnews_add(DIRNEWS_ANSWERED, driver, "a", "");
		dirnews_add(DIRNEWS_SERVED, driver, "", "");
		reply(AUTH_MISMATCH, "", DIRNEWS_KINDS);
		now += 5;
	}
}

static void flap_silent(void)
{
	flap(DIRNEWS_SILENT);
}

static void flap_refused(void)
{
	flap(DIRNEWS_REFUSED);
}

static void fail_once(void)
{
	ask(1, "kim", "x");
	CU_ASSERT_TRUE_FATAL(given());
	reply(AUTH_TRY_LATER, "", DIRNEWS_FAILED);
	wait_for_probe();
	reply(AUTH_OK, "", DIRNEWS_ANSWERED);
}

/* A server is silent for a name, and another one answers; then it cannot be used at all; then it can again. */
static void fail_behind_silence(void)
{
	ask(1, "kim", "silent");
	CU_ASSERT_TRUE_FATAL(given());
	dirnews_add(DIRNEWS_SILENT, driver, "db.example.com", "no answer");
	dirnews_add(DIRNEWS_ANSWERED, driver, "b", "");
	reply(AUTH_MISMATCH, "", DIRNEWS_KINDS);
	fail_once();
}

/* A guesser whose questions have no answer, or are refused, does not fill the log, and nothing else is kept from it. */
static void test_log_of_a_guesser(void)
{
	begin();
	CU_ASSERT_EQUAL(logged_by(flap_silent), 20);
	CU_ASSERT_EQUAL(logged_by(fail_once), 2);
	end();
	begin();
	CU_ASSERT_EQUAL(logged_by(flap_refused), 2 * 20);
	CU_ASSERT_EQUAL(logged_by(fail_once), 2);
	CU_ASSERT_EQUAL(logged_by(fail_behind_silence), 2);
	CU_ASSERT_EQUAL(troubles(), 0);
	now += 60000;
	CU_ASSERT_EQUAL(logged_by(flap_refused), 2 * 20);
	end();
}

/* Several servers: the directory is down if none can be used. */
static void test_several_servers(void)
{
	static const struct {
		enum dirnews_kind kind[3];
		const char *server[3];
		bool down;
	} t[] = {
		{ { DIRNEWS_SILENT, DIRNEWS_FAILED }, { "a", "b" }, false },
		{ { DIRNEWS_FAILED, DIRNEWS_SILENT }, { "a", "b" }, false },
		{ { DIRNEWS_FAILED, DIRNEWS_FAILED }, { "a", "b" }, true },
		{ { DIRNEWS_SILENT, DIRNEWS_FAILED }, { "a", "a" }, true },
		{ { DIRNEWS_FAILED, DIRNEWS_SILENT }, { "a", "a" }, false },
		{ { DIRNEWS_SILENT, DIRNEWS_FAILED, DIRNEWS_FAILED }, { "a", "b", "a" }, true },
		{ { DIRNEWS_FAILED, DIRNEWS_ANSWERED, DIRNEWS_REFUSED }, { "a", "b", "" }, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		begin();
		ask(1, "kim", "x");
		CU_ASSERT_TRUE_FATAL(given());
		for (int k = 0; k < 3 && t[i].server[k] != NULL; k++)
			dirnews_add(t[i].kind[k], driver, t[i].server[k], "why");
		reply(AUTH_TRY_LATER, "", DIRNEWS_KINDS);
		CU_ASSERT_TRUE(told(1, AUTH_TRY_LATER));
		ask(1, "lea", "x");
		CU_ASSERT_EQUAL(who[1].calls == 1, t[i].down);
		end();
	}
}

/* An account that a later driver knows, but not the directory. */
static void test_passed(void)
{
	const struct directory_query ask_of = {
		.question = { .service = "imap", .user = "pat", .password = "pw" },
	};

	begin();
	for (int outage = 0; outage < 2; outage++) {
		ask(1, "pat", "pw");
		CU_ASSERT_TRUE(given());
		reply_pass();
		CU_ASSERT_TRUE(told(1, AUTH_UNKNOWN) && !who[1].answered);
		CU_ASSERT_EQUAL(who[1].pos, 1);
		directory_lookup_passed(qs, &ask_of, 1);
		now += 59000;
		ask(1, "pat", "pw");
		CU_ASSERT_TRUE(told(1, AUTH_UNKNOWN) && !who[1].answered);
		CU_ASSERT_EQUAL(who[1].pos, 1);
		directory_lookup_passed(qs, &ask_of, 1); /* which does not extend its time */
		now += 1000;
		ask(2, "pat", "guess");
		CU_ASSERT_TRUE(given());
		reply_pass(); /* which changes nothing */
	}
	now += 30000;
	ask(1, "pat", "pw");
	ask(2, "pat", "guess");
	CU_ASSERT_TRUE(given());
	reply(AUTH_TRY_LATER, "", DIRNEWS_FAILED);
	CU_ASSERT_TRUE(told(1, AUTH_UNKNOWN) && !who[1].answered);
	CU_ASSERT_TRUE(told(2, AUTH_TRY_LATER) && who[2].answered);
	end();
	/* The directory has the name now. */
	begin();
	directory_lookup_passed(qs, &ask_of, 1);
	ask(1, "pat", "guess");
	CU_ASSERT_TRUE(given());
	reply(AUTH_MISMATCH, "", DIRNEWS_ANSWERED);
	ask(1, "pat", "pw");
	CU_ASSERT_TRUE(who[1].calls == 0 && given());
	end();
}

static void test_patience(void)
{
	begin();
	prove("/h");
	now += 61000;
	ask(1, "jo", "sesame");
	ask(2, "jo", "sesame");
	ask(3, "jo", "guess");
	CU_ASSERT_TRUE(given());
	while (who[1].calls == 0)
		ev_run(loop, EVRUN_ONCE);
	turn();
	CU_ASSERT_TRUE(told(1, AUTH_OK) && told(2, AUTH_OK));
	CU_ASSERT_EQUAL(who[3].calls, 0);
	ask(1, "jo", "sesame"); /* this one does not wait */
	CU_ASSERT_TRUE(told(1, AUTH_OK));
	reply(AUTH_MISMATCH, "", DIRNEWS_ANSWERED); /* late, but it counts */
	ask(1, "jo", "sesame");
	CU_ASSERT_TRUE(told(1, AUTH_MISMATCH));
	end();
}

static const struct unit_case cases[] = {
	{ "a proven password", test_hit },
	{ "all inputs count", test_all_inputs_count },
	{ "a changed password", test_changed_password },
	{ "wrong guesses", test_wrong_guesses },
	{ "what ends a proof", test_what_ends_a_proof },
	{ "sharing", test_sharing },
	{ "flush", test_flush },
	{ "reload", test_reload },
	{ "down", test_down },
	{ "poison", test_poison },
	{ "not down", test_not_down },
	{ "a guesser whose names have no answer", test_guesser },
	{ "a guesser whose name was the first", test_guesser_was_first },
	{ "no answer for strangers", test_no_answer_for_strangers },
	{ "a directory that hangs", test_hanging },
	{ "a directory that hangs since the start", test_hanging_since_start },
	{ "an answer for which nobody waits", test_nobody_waits },
	{ "a PAM that hangs", test_pam_that_hangs },
	{ "a PAM that hangs for a guesser", test_pam_that_hangs_for_a_guesser },
	{ "a PAM that is down for strangers only", test_pam_that_is_down_for_strangers_only },
	{ "a PAM with errors", test_pam_with_errors },
	{ "a probe of PAM is no login", test_pam_probe_is_no_login },
	{ "an answer ends suspicion", test_answer_ends_suspicion },
	{ "a question that is refused", test_refused },
	{ "the log of a guesser", test_log_of_a_guesser },
	{ "several servers", test_several_servers },
	{ "not known here", test_passed },
	{ "patience", test_patience },
	{ NULL, NULL },
};
UNIT_MAIN("question", cases)
