/* node/work: when a command stops. */
#include "tests/unit/unit.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "node/session.h"
#include "node/work.h"

static int sock[2]; /* 0: the client, 1: ours */
static struct session_counters counters;
static struct bio io;
static int64_t cpu; /* what the process has used */

static int64_t fake_cpu(void)
{
	return cpu;
}

static void begin(struct work *w, const char *probe)
{
	static const struct session_start start = { .counters = &counters, .leftover = "" };

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	session_bio(&io, sock[1], &start);
	work_init(w, &io, probe);
	w->cpu_ms = fake_cpu;
	cpu = 1000000;
}

static void end(void)
{
	bio_fini(&io);
	close(sock[0]);
	close(sock[1]);
}

/* Work until a check was made (or until it stops): what work_do() says. */
static bool until_checked(struct work *w)
{
	int64_t checked = w->check_at;

	for (int64_t until = clock_ms() + 10000; w->check_at == checked && clock_ms() < until;)
		if (!work_do(w, WORK_LOOK))
			return false;
	CU_ASSERT(w->check_at != checked);
	return true;
}

static void test_goes_on(void)
{
	struct work w;

	begin(&w, "* OK\r\n");
	for (int i = 0; i < 3; i++)
		CU_ASSERT(until_checked(&w));
	CU_ASSERT_EQUAL(w.stop, WORK_GOES_ON);
	CU_ASSERT_EQUAL(counters.sent, 0);
	end();
}

/* A client that is gone ends the command; not one that changes mail. */
static void test_client_gone(void)
{
	struct work w;

	begin(&w, NULL);
	CU_ASSERT(until_checked(&w));
	close(sock[0]);
	sock[0] = -1;
	w.finish = true;
	CU_ASSERT(until_checked(&w));
	work_begin(&w);
	CU_ASSERT_FALSE(until_checked(&w));
	CU_ASSERT_EQUAL(w.stop, WORK_NO_CLIENT);
	CU_ASSERT_FALSE(work_do(&w, 0));
	work_begin(&w);
	CU_ASSERT(work_do(&w, 1));
	end();
}

/* A client that only closed its sending side gets a probe now and then, and its reply. */
static void test_client_silent(void)
{
	struct work w;
	char buf[100];

	begin(&w, "* OK Still there.\r\n");
	shutdown(sock[0], SHUT_WR);
	for (int i = 0; i < 3; i++)
		CU_ASSERT(until_checked(&w));
	CU_ASSERT_EQUAL(recv(sock[0], buf, sizeof(buf), MSG_DONTWAIT), 19);
	w.probe_at = 0; /* later */
	CU_ASSERT(until_checked(&w));
	CU_ASSERT_EQUAL(recv(sock[0], buf, sizeof(buf), MSG_DONTWAIT), 19);
	shutdown(sock[0], SHUT_RD);
	w.probe_at = 0;
	CU_ASSERT_FALSE(until_checked(&w));
	CU_ASSERT_EQUAL(w.stop, WORK_NO_CLIENT);
	end();
}

/* CPU use that the amount of data explains is no reason to stop, however much it is; unexplained use is. */
static void test_cpu(void)
{
	struct work w;

	begin(&w, NULL);
	CU_ASSERT(until_checked(&w));
	cpu += WORK_CPU_BASE;
	CU_ASSERT(until_checked(&w));
	for (int i = 0; i < 50; i++) {
		w.check_at = 0;
		cpu += 1000;
		CU_ASSERT(work_do(&w, 1000 * WORK_PER_MS));
	}
	w.check_at = 0;
	cpu += (int64_t)(w.units / WORK_PER_MS) + 1;
	CU_ASSERT_FALSE(work_do(&w, WORK_LOOK));
	CU_ASSERT_EQUAL(w.stop, WORK_TOO_MUCH);
	CU_ASSERT(work_cpu(&w) > WORK_CPU_BASE + 50000);
	work_begin(&w); /* each command has its own */
	CU_ASSERT(until_checked(&w));
	CU_ASSERT_EQUAL(work_cpu(&w), 0);
	end();
}

/* Must be the last test: the signal stays pending. */
static void test_signal(void)
{
	struct work w;

	begin(&w, NULL);
	CU_ASSERT(until_checked(&w));
	raise(SIGUSR1); /* blocked except during waits */
	w.finish = true;
	CU_ASSERT_FALSE(until_checked(&w));
	CU_ASSERT_EQUAL(w.stop, WORK_SIGNAL);
	CU_ASSERT_EQUAL(session_stop(), SESSION_END_KICKED);
	end();
}

static const struct unit_case cases[] = {
	{ "goes on", test_goes_on },
	{ "client gone", test_client_gone },
	{ "client silent", test_client_silent },
	{ "CPU", test_cpu },
	{ "signal", test_signal },
	{ NULL, NULL },
};
UNIT_MAIN("work", cases)
