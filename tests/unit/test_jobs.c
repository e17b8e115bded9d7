/* Which job is next, and which are refused when there are too many. The test plays the auth workers. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "authd/jobs.h"
#include "lib/mem.h"
#include "node/msg_channel.h"
#include "tests/unit/msg_test.h"
#include "tests/unit/unit.h"

enum { WORKERS_MAX = 4, ASKED_MAX = 8000 };

static struct msgw w;
static struct ev_loop *loop;
static struct jobs *jobs;
static int worker[WORKERS_MAX];
static unsigned nworkers;

/* The result of job number I. */
enum fate { NOTHING, DONE, FAILED };
static struct asked {
	enum fate fate;
	unsigned calls;
	char ip[NET_IP_TEXT_MAX];
} asked[ASKED_MAX];
static uint32_t first_id; /* of asked[0] */

static void on_answer(const struct job_done *done, int fd UNUSED, void *arg)
{
	struct asked *a = arg;

	a->fate = done != NULL ? DONE : FAILED;
	a->calls++;
}

static void turn(void)
{
	for (int i = 0; i < 8; i++)
		ev_run(loop, EVRUN_NOWAIT);
}

static void add_worker(void)
{
	int fd[2];

	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	jobs_add_worker(jobs, nworkers, 1, fd[0]);
	worker[nworkers++] = fd[1];
}

static void begin(unsigned n)
{
	memset(asked, 0, sizeof(asked));
	loop = ev_loop_new(EVFLAG_AUTO);
	jobs = jobs_new(loop);
	first_id = 1;
	nworkers = 0;
	for (unsigned i = 0; i < n; i++)
		add_worker();
}

static void end(void)
{
	jobs_free(&jobs);
	CU_ASSERT_PTR_NULL(jobs);
	while (nworkers != 0)
		close(worker[--nworkers]);
	ev_loop_destroy(loop);
}

/* Submits job number I; for IP unless NULL. */
static void ask(unsigned i, enum job_kind kind, const char *ip)
{
	uint32_t id = jobs_next_id(jobs);
	struct net_addr client;

	CU_ASSERT_EQUAL_FATAL(id, first_id + i);
	str_copy(asked[i].ip, sizeof(asked[i].ip), ip != NULL ? ip : "");
	if (kind == JOB_HASH)
		job_write_hash(&w, id, "secret", "hash");
	else if (kind == JOB_USERDB_LOAD)
		job_write_userdb_load(&w, id, "/userdb", 50, false);
	else
		job_write_lookup(&w, id, &(struct auth_question){ .service = "imap", .user = "user" }, 0, 0);
	if (ip != NULL)
		CU_ASSERT_TRUE_FATAL(net_addr_parse(&client, ip, (uint16_t)(1000 + i)));
	jobs_submit(jobs, id, &w, -1, ip != NULL ? &client : NULL, on_answer, &asked[i]);
}

/* The number of the job that worker N got; -1: none (any more). */
static int given(unsigned n)
{
	static uint8_t buf[MSG_SIZE_MAX];
	struct msgr r;
	struct job job;
	int fd, i;

	turn();
	if (!unit_next(worker[n], buf, &r, &fd))
		return -1;
	CU_ASSERT_TRUE_FATAL(job_read(&r, &job));
	i = (int)(job.id - first_id);
	job_fini(&job);
	return i;
}

/* Worker N answers question I. */
static void answer(unsigned n, int i, enum job_kind kind)
{
	struct job_done done;

	job_done_init(&done, first_id + (uint32_t)i, kind);
	done.result = AUTH_OK;
	job_done_write(&w, &done);
	CU_ASSERT_EQUAL(msg_send(worker[n], &w, -1), 0);
	job_done_fini(&done);
	turn();
}

/* With one worker and all jobs of KIND, checks the order in which it gets them. */
static void expect_order(const int *order, unsigned n, enum job_kind kind)
{
	for (unsigned k = 0; k < n; k++) {
		int i = given(0);

		CU_ASSERT_EQUAL(i, order[k]);
		if (i < 0)
			return;
		answer(0, i, kind);
		CU_ASSERT_EQUAL(asked[i].fate, DONE);
		CU_ASSERT_EQUAL(asked[i].calls, 1);
	}
	CU_ASSERT_EQUAL(given(0), -1);
}

static void test_round_robin(void)
{
	static const char *const who[] = { "192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2",
		"2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1" };
	/* 0 starts at once; then each address in turn, two of one /64 counting as one */
	static const int order[] = { 0, 1, 4, 6, 8, 2, 5, 7, 3 };

	begin(1);
	for (unsigned i = 0; i < ARRAY_LEN(who); i++)
		ask(i, JOB_HASH, who[i]);
	CU_ASSERT_EQUAL(jobs_waiting(jobs), ARRAY_LEN(who) - 1);
	expect_order(order, ARRAY_LEN(order), JOB_HASH);
	CU_ASSERT_EQUAL(jobs_waiting(jobs), 0);
	end();
}

/* After an answer that cannot be parsed the job has failed, and the worker gets the next one. */
static void test_damaged_answer(void)
{
	begin(1);
	ask(0, JOB_HASH, "192.0.2.1");
	ask(1, JOB_HASH, "192.0.2.1");
	CU_ASSERT_EQUAL(given(0), 0);
	msgw_begin(&w, JOB_DONE);
	msgw_u32(&w, first_id);
	CU_ASSERT_EQUAL(msg_send(worker[0], &w, -1), 0);
	turn();
	CU_ASSERT_EQUAL(asked[0].fate, FAILED);
	CU_ASSERT_EQUAL(asked[0].calls, 1);
	CU_ASSERT_EQUAL(given(0), 1);
	msgw_begin(&w, JOB_DONE); /* for no job that it has */
	msgw_u32(&w, first_id);
	CU_ASSERT_EQUAL(msg_send(worker[0], &w, -1), 0);
	answer(0, 1, JOB_HASH);
	CU_ASSERT_EQUAL(asked[1].fate, DONE);
	end();
}

static void test_own_first(void)
{
	static const int order[] = { 0, 3, 4, 1, 2 };

	begin(1);
	for (unsigned i = 0; i < 3; i++)
		ask(i, JOB_LOOKUP, "192.0.2.1");
	ask(3, JOB_LOOKUP, NULL);
	ask(4, JOB_LOOKUP, NULL);
	expect_order(order, ARRAY_LEN(order), JOB_LOOKUP);
	end();
}

/* Two classes on one worker take turns; neither starves the other. */
static void test_one_worker(void)
{
	static const int order[] = { 0, 3, 1, 4, 2 };
	static const enum job_kind kind[] = { JOB_HASH, JOB_HASH, JOB_HASH, JOB_LOOKUP, JOB_LOOKUP };

	begin(1);
	for (unsigned i = 0; i < ARRAY_LEN(kind); i++)
		ask(i, kind[i], "192.0.2.1");
	for (unsigned k = 0; k < ARRAY_LEN(order); k++) {
		CU_ASSERT_EQUAL_FATAL(given(0), order[k]);
		answer(0, order[k], kind[order[k]]);
	}
	end();
}

/* Hashes may have all workers while nothing else waits, else all but one. */
static void test_a_worker_for_each(void)
{
	static const char *const who[] = { "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5",
		"192.0.2.6" };

	begin(3);
	for (unsigned i = 0; i < 6; i++)
		ask(i, JOB_HASH, who[i]);
	for (unsigned n = 0; n < 3; n++)
		CU_ASSERT_EQUAL(given(n), 2 - (int)n); /* the worker that came last stands first */
	ask(6, JOB_LOOKUP, "192.0.2.1");
	ask(7, JOB_LOOKUP, "192.0.2.9");
	CU_ASSERT_EQUAL(jobs_waiting(jobs), 5);
	answer(0, 2, JOB_HASH);
	CU_ASSERT_EQUAL(given(0), 6);
	answer(0, 6, JOB_LOOKUP);
	CU_ASSERT_EQUAL(given(0), 7); /* two hashes are running: not a third */
	answer(0, 7, JOB_LOOKUP);
	CU_ASSERT_EQUAL(given(0), 3); /* nothing else waits */
	answer(1, 1, JOB_HASH);
	CU_ASSERT_EQUAL(given(1), 4);
	/* the node's own work leaves one worker for logins, though it goes first */
	for (unsigned i = 8; i < 12; i++)
		ask(i, JOB_USERDB_LOAD, NULL);
	answer(0, 3, JOB_HASH);
	CU_ASSERT_EQUAL(given(0), 8);
	answer(1, 4, JOB_HASH);
	CU_ASSERT_EQUAL(given(1), 9);
	answer(2, 0, JOB_HASH);
	CU_ASSERT_EQUAL(given(2), 5);
	answer(2, 5, JOB_HASH);
	CU_ASSERT_EQUAL(given(2), 10); /* no login waits */
	ask(12, JOB_LOOKUP, "192.0.2.1");
	answer(1, 9, JOB_USERDB_LOAD);
	CU_ASSERT_EQUAL(given(1), 12);
	end();
}

/* Directory jobs, the node's probes included, leave one worker for other jobs, even while none wait: a silent name
 * server would hold the workers for longer than logins can wait. */
static void test_directories_leave_a_worker(void)
{
	begin(2);
	for (unsigned i = 0; i < 3; i++)
		ask(i, JOB_LOOKUP, "192.0.2.1");
	ask(3, JOB_LOOKUP, NULL);
	CU_ASSERT_EQUAL(given(1), 0);
	CU_ASSERT_EQUAL(given(0), -1);
	ask(4, JOB_HASH, "192.0.2.2");
	CU_ASSERT_EQUAL(given(0), 4);
	answer(0, 4, JOB_HASH);
	ask(5, JOB_USERDB_LOAD, NULL); /* and the probe is not in its way */
	CU_ASSERT_EQUAL(given(0), 5);
	answer(0, 5, JOB_USERDB_LOAD);
	CU_ASSERT_EQUAL(given(0), -1);
	answer(1, 0, JOB_LOOKUP);
	CU_ASSERT_EQUAL(given(1), 3);
	CU_ASSERT_EQUAL(given(0), -1);
	close(worker[1]);
	worker[1] = -1;
	CU_ASSERT_EQUAL(given(0), 3); /* it is the only one now */
	end();
}

/* An address that guesses passwords, its client gone or not, leaves auth workers to others, though nobody waits. */
static void test_share(void)
{
	begin(4);
	for (unsigned i = 0; i < 6; i++)
		ask(i, JOB_HASH, "2001:db8::1");
	CU_ASSERT(given(3) == 0 && given(2) == 1);
	CU_ASSERT(given(1) == -1 && given(0) == -1);
	ask(6, JOB_LOOKUP, "2001:db8::2"); /* the same customer */
	CU_ASSERT_EQUAL(given(1), -1);
	ask(7, JOB_HASH, "2001:db8:0:1::1");
	CU_ASSERT_EQUAL(given(1), 7);
	answer(1, 7, JOB_HASH);
	jobs_forget(jobs, &asked[0]); /* nobody wants to know any more: the worker is at it nevertheless */
	CU_ASSERT_EQUAL(given(1), -1);
	answer(3, 0, JOB_HASH);
	CU_ASSERT_EQUAL(asked[0].fate, NOTHING);
	CU_ASSERT_EQUAL(given(3), 6);
	jobs_forget(jobs, &asked[2]); /* this one waits: no worker gets it */
	jobs_forget(jobs, &asked[3]);
	answer(3, 6, JOB_LOOKUP);
	answer(2, 1, JOB_HASH);
	CU_ASSERT(given(3) == 4 && given(2) == 5);
	CU_ASSERT_EQUAL(jobs_waiting(jobs), 0);
	end();
}

static void test_address_bound(void)
{
	unsigned i = 0;

	begin(0);
	for (; i < JOBS_CLIENT_MAX + 5; i++)
		ask(i, JOB_HASH, "192.0.2.1");
	CU_ASSERT_EQUAL(jobs_waiting(jobs), JOBS_CLIENT_MAX);
	CU_ASSERT_EQUAL(jobs_refused(jobs), 5);
	CU_ASSERT_EQUAL(asked[JOBS_CLIENT_MAX].fate, NOTHING); /* not from within jobs_submit() */
	turn();
	for (unsigned k = 0; k < i; k++)
		CU_ASSERT_EQUAL(asked[k].fate, k < JOBS_CLIENT_MAX ? NOTHING : FAILED);
	ask(i, JOB_HASH, "192.0.2.2");
	turn();
	CU_ASSERT_EQUAL(asked[i].fate, NOTHING);
	CU_ASSERT_EQUAL(jobs_waiting(jobs), JOBS_CLIENT_MAX + 1);
	end();
}

/* Submits N jobs of KIND from IP, beginning with number I; returns the next number. */
static unsigned ask_many(unsigned i, unsigned n, enum job_kind kind, const char *ip)
{
	for (unsigned stop = i + n; i < stop; i++)
		ask(i, kind, ip);
	return i;
}

/* Unfinished jobs of IP. */
static unsigned waiting_for(const char *ip)
{
	unsigned n = 0;

	turn();
	for (size_t i = 0; i < ASKED_MAX; i++)
		n += strcmp(asked[i].ip, ip) == 0 && asked[i].fate == NOTHING;
	return n;
}

/* Full: the address with the most jobs loses its newest; the newcomer and the node itself are served. */
static void test_full(void)
{
	static const char *const few[] = { "192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14" };
	unsigned i = 0, latest;

	begin(0);
	for (unsigned k = 0; k < ARRAY_LEN(few); k++)
		i = ask_many(i, 900, JOB_HASH, few[k]);
	latest = i = ask_many(i, 200, JOB_HASH, "192.0.2.1");
	i = ask_many(i, 1, JOB_LOOKUP, "192.0.2.11");
	i = ask_many(i, JOBS_QUEUE_MAX - i, JOB_HASH, "192.0.2.1");
	CU_ASSERT_EQUAL(jobs_waiting(jobs), JOBS_QUEUE_MAX);
	CU_ASSERT_EQUAL(waiting_for("192.0.2.11"), 901);
	CU_ASSERT_EQUAL(jobs_refused(jobs), 0);
	/* the largest has 901: the lookup was its newest */
	ask(i++, JOB_HASH, "203.0.113.1");
	turn();
	CU_ASSERT_EQUAL(asked[latest].fate, FAILED);
	CU_ASSERT_EQUAL(waiting_for("192.0.2.11"), 900);
	CU_ASSERT_EQUAL(asked[i - 1].fate, NOTHING);
	/* then all four have equally many: one of them loses a job, whoever comes */
	ask(i++, JOB_HASH, "192.0.2.1");
	ask(i++, JOB_LOOKUP, NULL);
	CU_ASSERT_EQUAL(waiting_for("192.0.2.11") + waiting_for("192.0.2.12") + waiting_for("192.0.2.13") +
	        waiting_for("192.0.2.14"),
	    4 * 900 - 2);
	/* an address with the most jobs is itself refused */
	ask(i, JOB_HASH, waiting_for("192.0.2.11") == 900 ? "192.0.2.11" : "192.0.2.12");
	turn();
	CU_ASSERT_EQUAL(asked[i].fate, FAILED);
	CU_ASSERT_EQUAL(jobs_waiting(jobs), JOBS_QUEUE_MAX);
	CU_ASSERT_EQUAL(jobs_refused(jobs), 4);
	end();
}

/* Filled by the node alone: its own jobs are limited, too. */
static void test_full_of_own(void)
{
	begin(0);
	ask_many(0, JOBS_QUEUE_MAX + 1, JOB_LOOKUP, NULL);
	turn();
	CU_ASSERT_EQUAL(jobs_waiting(jobs), JOBS_QUEUE_MAX);
	CU_ASSERT_EQUAL(asked[JOBS_QUEUE_MAX].fate, FAILED);
	ask(JOBS_QUEUE_MAX + 1, JOB_HASH, "192.0.2.1");
	turn();
	CU_ASSERT_EQUAL(asked[JOBS_QUEUE_MAX + 1].fate, FAILED);
	end();
}

/* Many addresses with one job each. */
static void test_many_addresses(void)
{
	char ip[64];

	begin(0);
	for (unsigned i = 0; i <= JOBS_QUEUE_MAX; i++) {
		snprintf(ip, sizeof(ip), "2001:db8:%x::1", i);
		ask(i, JOB_HASH, ip);
	}
	turn();
	CU_ASSERT_EQUAL(jobs_waiting(jobs), JOBS_QUEUE_MAX);
	CU_ASSERT_EQUAL(jobs_refused(jobs), 1);
	for (unsigned i = 0; i <= JOBS_QUEUE_MAX; i++)
		jobs_forget(jobs, &asked[i]);
	CU_ASSERT_EQUAL(jobs_waiting(jobs), 0);
	/* all cancelled: there is room again */
	ask(JOBS_QUEUE_MAX + 1, JOB_HASH, "2001:db8::1");
	CU_ASSERT_EQUAL(jobs_waiting(jobs), 1);
	end();
}

static void test_forget(void)
{
	static const int order[] = { 0, 2, 4 };

	begin(1);
	for (unsigned i = 0; i < 5; i++)
		ask(i, JOB_HASH, i % 2 == 0 ? "192.0.2.1" : "192.0.2.2");
	jobs_forget(jobs, &asked[1]);
	jobs_forget(jobs, &asked[3]);
	jobs_forget(jobs, &asked[3]);
	jobs_forget(jobs, &first_id); /* never submitted */
	CU_ASSERT_EQUAL(jobs_waiting(jobs), 2);
	expect_order(order, ARRAY_LEN(order), JOB_HASH);
	CU_ASSERT_EQUAL(asked[1].calls + asked[3].calls, 0);
	/* running: it ends, and nobody gets the result */
	ask(5, JOB_HASH, "192.0.2.1");
	CU_ASSERT_EQUAL(given(0), 5);
	jobs_forget(jobs, &asked[5]);
	answer(0, 5, JOB_HASH);
	CU_ASSERT_EQUAL(asked[5].calls, 0);
	end();
	/* refused, and cancelled before it was notified */
	begin(0);
	ask_many(0, JOBS_CLIENT_MAX + 1, JOB_HASH, "192.0.2.1");
	jobs_forget(jobs, &asked[JOBS_CLIENT_MAX]);
	turn();
	CU_ASSERT_EQUAL(asked[JOBS_CLIENT_MAX].calls, 0);
	end();
}

/* One client with several jobs. */
static void test_one_asker(void)
{
	struct net_addr a;

	begin(1);
	CU_ASSERT_TRUE(net_addr_parse(&a, "192.0.2.1", 0));
	for (unsigned i = 0; i < 4; i++) {
		job_write_hash(&w, jobs_next_id(jobs), "secret", "hash");
		jobs_submit(jobs, first_id + i, &w, -1, &a, on_answer, &asked[0]);
	}
	CU_ASSERT_EQUAL(given(0), 0);
	answer(0, 0, JOB_HASH);
	CU_ASSERT_EQUAL(asked[0].calls, 1);
	CU_ASSERT_EQUAL(given(0), 1);
	jobs_forget(jobs, &asked[0]);
	CU_ASSERT_EQUAL(jobs_waiting(jobs), 0);
	answer(0, 1, JOB_HASH);
	CU_ASSERT_EQUAL(given(0), -1);
	CU_ASSERT_EQUAL(asked[0].calls, 1);
	end();
}

/* A worker dies: its job goes to the next one, before all others; if that one dies too, the job fails. */
static void test_worker_dies(void)
{
	begin(1);
	for (unsigned i = 0; i < 3; i++)
		ask(i, JOB_HASH, "192.0.2.1");
	CU_ASSERT_EQUAL(given(0), 0);
	close(worker[0]);
	turn();
	CU_ASSERT_EQUAL(jobs_workers(jobs), 0);
	CU_ASSERT_EQUAL(asked[0].fate, NOTHING);
	CU_ASSERT_EQUAL(jobs_waiting(jobs), 3);
	nworkers = 0;
	add_worker();
	CU_ASSERT_EQUAL(given(0), 0);
	close(worker[0]);
	turn();
	CU_ASSERT_EQUAL(asked[0].fate, FAILED);
	nworkers = 0;
	add_worker();
	CU_ASSERT_EQUAL(given(0), 1);
	/* a cancelled job is not repeated */
	jobs_forget(jobs, &asked[1]);
	close(worker[0]);
	turn();
	nworkers = 0;
	add_worker();
	CU_ASSERT_EQUAL(given(0), 2);
	end();
}

/* Unexpected answers of a worker change nothing. */
static void test_bad_answers(void)
{
	begin(1);
	answer(0, 0, JOB_HASH); /* it has nothing */
	ask(0, JOB_HASH, "192.0.2.1");
	ask(1, JOB_HASH, "192.0.2.1");
	CU_ASSERT_EQUAL(given(0), 0);
	answer(0, 1, JOB_HASH); /* another one's */
	CU_ASSERT_EQUAL(asked[0].calls + asked[1].calls, 0);
	answer(0, 0, JOB_HASH);
	CU_ASSERT_EQUAL(asked[0].fate, DONE);
	CU_ASSERT_EQUAL(given(0), 1);
	end();
}

static const struct unit_case cases[] = {
	{ "round robin between addresses", test_round_robin },
	{ "the node's own work goes first", test_own_first },
	{ "damaged answer", test_damaged_answer },
	{ "two classes on one worker", test_one_worker },
	{ "a worker is kept for each class", test_a_worker_for_each },
	{ "directories leave a worker", test_directories_leave_a_worker },
	{ "share of an address", test_share },
	{ "bound of an address", test_address_bound },
	{ "full", test_full },
	{ "full of the node's own", test_full_of_own },
	{ "many addresses", test_many_addresses },
	{ "forgotten", test_forget },
	{ "one asker, many questions", test_one_asker },
	{ "a worker dies", test_worker_dies },
	{ "bad answers", test_bad_answers },
	{ NULL, NULL },
};
UNIT_MAIN("jobs", cases)
