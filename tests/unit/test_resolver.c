/* Lookups of names, with a resolver that is silent when the test says so. */
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "authd/resolver.h"
#include "lib/clock.h"
#include "tests/unit/unit.h"

/* How long a child takes is the machine's: what depends on turns moves the clock by hand. */
static double now = 1000;
static bool runs;

double clock_now(void)
{
	struct timespec t;

	if (!runs)
		return now;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return now + (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#include "tests/unit/fake_clock.h"

enum { NAMES_MAX = 200 };

static struct ev_loop *loop;
static struct told {
	char host[RESOLVER_HOST_MAX];
	enum name_answer answer;
	unsigned n;
	struct net_addr addr[RESOLVER_ADDRS_MAX];
} told[NAMES_MAX];
static unsigned ntold;

/* Replaces libc's. The name says what happens. */
int getaddrinfo(const char *node, const char *service UNUSED, const struct addrinfo *hints UNUSED,
    struct addrinfo **list)
{
	static struct sockaddr_in sin[20];
	static struct addrinfo ai[20];
	int n = atoi(node);

	while (strcmp(node, "silent") == 0)
		pause();
	if (strcmp(node, "crash") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(node, "again") == 0)
		return EAI_AGAIN;
	if (strcmp(node, "none") == 0)
		return EAI_NONAME;
	for (int i = 0; i < n; i++) { /* N addresses */
		sin[i].sin_family = AF_INET;
		sin[i].sin_addr.s_addr = htonl(0xc0000200 + (unsigned)i);
		ai[i] = (struct addrinfo){
			.ai_addr = (struct sockaddr *)&sin[i],
			.ai_addrlen = sizeof(sin[i]),
			.ai_next = i + 1 < n ? &ai[i + 1] : NULL,
		};
	}
	*list = n != 0 ? ai : NULL;
	return 0;
}

static void on_told(const char *host, enum name_answer answer, const struct net_addr *addr, unsigned n, void *arg)
{
	struct told *t = &told[ntold++];

	CU_ASSERT_PTR_EQUAL(arg, &ntold);
	strcpy(t->host, host);
	t->answer = answer;
	t->n = n;
	memcpy(t->addr, addr, n * sizeof(*addr));
}

static void on_late(struct ev_loop *l, ev_timer *t UNUSED, int revents UNUSED)
{
	ev_break(l, EVBREAK_ALL);
}

/* Waits for N answers. */
static void wait_for(unsigned n)
{
	ev_timer late;

	ev_timer_init(&late, on_late, 60, 0);
	ev_timer_start(loop, &late);
	while (ntold < n && ev_is_active(&late))
		ev_run(loop, EVRUN_ONCE);
	ev_timer_stop(loop, &late);
	CU_ASSERT_EQUAL_FATAL(ntold, n);
}

static struct resolver *begin(double seconds)
{
	loop = ev_loop_new(EVFLAG_AUTO);
	ntold = 0;
	return resolver_new(loop, seconds, on_told, &ntold);
}

static void end(struct resolver *r)
{
	resolver_free(&r);
	CU_ASSERT_PTR_NULL(r);
	CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
	ev_loop_destroy(loop);
}

static void expect(struct resolver *r, const char *host, enum name_answer answer, unsigned n)
{
	unsigned before = ntold;

	resolver_ask(r, host);
	CU_ASSERT_EQUAL(ntold, before);
	CU_ASSERT_EQUAL(resolver_waiting(r), 1);
	wait_for(before + 1);
	CU_ASSERT_STRING_EQUAL(told[before].host, host);
	CU_ASSERT_EQUAL(told[before].answer, answer);
	CU_ASSERT_EQUAL(told[before].n, n);
	CU_ASSERT_EQUAL(resolver_waiting(r), 0);
}

static void test_answers(void)
{
	struct resolver *r = begin(0.3);
	char text[NET_IP_TEXT_MAX];

	expect(r, "2", NAME_FOUND, 2);
	CU_ASSERT_STRING_EQUAL(net_addr_text(&told[0].addr[1], text), "192.0.2.1");
	CU_ASSERT_EQUAL(told[0].addr[1].port, 0);
	expect(r, "15", NAME_FOUND, RESOLVER_ADDRS_MAX);
	expect(r, "0", NAME_UNKNOWN, 0);
	expect(r, "none", NAME_UNKNOWN, 0);
	expect(r, "again", NAME_NO_ANSWER, 0);
	expect(r, "crash", NAME_NO_ANSWER, 0);
	runs = true;
	expect(r, "silent", NAME_NO_ANSWER, 0);
	now = clock_now();
	runs = false;
	end(r);
}

/* More names than the limit of children: silent ones delay only those that wait for a turn. */
static void test_many(void)
{
	struct resolver *r = begin(1);
	unsigned i = 0, found = 0;

	for (; i < RESOLVER_CHILDREN - 1; i++)
		resolver_ask(r, "silent");
	for (; i < NAMES_MAX; i++)
		resolver_ask(r, "1");
	wait_for(NAMES_MAX - (RESOLVER_CHILDREN - 1));
	now++;
	wait_for(NAMES_MAX);
	for (i = 0; i < NAMES_MAX; i++)
		found += told[i].answer == NAME_FOUND;
	CU_ASSERT_EQUAL(found, NAMES_MAX - (RESOLVER_CHILDREN - 1));
	for (i = 0; i < RESOLVER_CHILDREN; i++)
		resolver_ask(r, "silent");
	resolver_ask(r, "1"); /* waits for its turn */
	end(r);
}

static bool is_told(const char *host)
{
	for (unsigned i = 0; i < ntold; i++)
		if (strcmp(told[i].host, host) == 0)
			return true;
	return false;
}

/* Many names that nobody answers for: who asks for another one is not behind all of them, whether it was asked for
 * before they came or behind them; and each of them has its turn. */
static void test_flood(void)
{
	struct resolver *r = begin(1000);
	unsigned i = 0;

	for (; i < RESOLVER_CHILDREN; i++)
		resolver_ask(r, "silent");
	resolver_ask(r, "2");
	for (; i < NAMES_MAX - 3; i++)
		resolver_ask(r, "silent");
	resolver_ask(r, "1");
	now++;
	wait_for(RESOLVER_CHILDREN + 2); /* one turn */
	CU_ASSERT(is_told("1"));
	CU_ASSERT(is_told("2"));
	resolver_ask(r, "3");
	now++;
	wait_for(2 * RESOLVER_CHILDREN + 3);
	CU_ASSERT(is_told("3"));
	/* Nobody waits behind the last ones: these have their whole time. */
	now++;
	wait_for(NAMES_MAX - RESOLVER_CHILDREN);
	CU_ASSERT_EQUAL(resolver_waiting(r), RESOLVER_CHILDREN);
	end(r);
}

static const struct unit_case cases[] = {
	{ "answers", test_answers },
	{ "a flood of silent names", test_flood },
	{ "many names, most of them silent", test_many },
	{ NULL, NULL },
};
UNIT_MAIN("resolver", cases)
