/* Keys of session tickets on their way from authd to login workers. */
#include "tests/unit/msg_test.h"
#include "tests/unit/unit.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "authd/ticket_keys.h"
#include "lib/mem.h"

static time_t now;

time_t __wrap_time(time_t *t);
time_t __wrap_time(time_t *t)
{
	if (t != NULL)
		*t = now;
	return now;
}

static struct authd a;
static struct authd_worker w[2];
static int far[2];

static void gone(struct chan *c UNUSED, void *arg UNUSED) { }

static void begin(const char *secrets)
{
	int fd[2];

	memset(&a, 0, sizeof(a));
	now = 1000 * TLS_TICKETS_PERIOD;
	a.ctx.loop = ev_loop_new(EVFLAG_AUTO);
	a.pool = pool_keys_new(secrets);
	a.own_secret = mac_new("own", 3);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
		memset(&w[i], 0, sizeof(w[i]));
		w[i].a = &a;
		w[i].chan = chan_new(a.ctx.loop, fd[0], NULL, gone, NULL);
		w[i].next = a.workers;
		a.workers = &w[i];
		far[i] = fd[1];
	}
	ticket_keys_tick(&a);
}

static void end(void)
{
	for (int i = 0; i < 2; i++) {
		chan_free(&w[i].chan);
		close(far[i]);
	}
	pool_keys_free(&a.pool);
	mac_free(&a.own_secret);
	ev_loop_destroy(a.ctx.loop);
}

/* What worker I was told; false: nothing. */
static bool told(int i, struct tls_ticket_keys *k)
{
	static uint8_t buf[MSG_SIZE_MAX];
	struct msgr r;
	int fd;

	if (recv(far[i], buf, 1, MSG_PEEK | MSG_DONTWAIT) <= 0)
		return false;
	CU_ASSERT_EQUAL(unit_recv(far[i], buf, &r, &fd), 1);
	CU_ASSERT_EQUAL(r.type, AUTH_TICKET_KEYS);
	CU_ASSERT(auth_ticket_keys_read(&r, k));
	return true;
}

/* Those that SECRET has around PERIOD, from the key AT on. */
static bool has(const struct tls_ticket_keys *k, unsigned at, const char *secret, uint32_t period)
{
	struct tls_ticket_keys want = { 0 };
	struct mac *m = mac_new(secret, strlen(secret));

	tls_ticket_keys_add(&want, m, period);
	mac_free(&m);
	return k->n >= at + want.n && memcmp(k->key[at], want.key, want.n * MAC_LEN) == 0;
}

/* The first secret's come first: it makes tickets. */
static void test_secrets(void)
{
	struct tls_ticket_keys k;

	begin("the first secret\nthe second one");
	for (int i = 0; i < 2; i++)
		CU_ASSERT(told(i, &k) && k.n == 6 && has(&k, 0, "the first secret", 1000) &&
		    has(&k, 3, "the second one", 1000));
	pool_keys_free(&a.pool);
	a.pool = pool_keys_new("the second one");
	ticket_keys_changed(&a);
	CU_ASSERT(told(1, &k) && k.n == 3 && has(&k, 0, "the second one", 1000));
	CU_ASSERT(told(0, &k) && !told(0, &k));
	ticket_keys_send(&w[0]);
	CU_ASSERT(told(0, &k) && !told(1, &k));
	end();
}

/* All that a file can hold fits. */
static void test_most_secrets(void)
{
	struct str lines = STR_INIT;
	struct tls_ticket_keys k;

	for (int i = 0; i < POOL_SECRETS_MAX; i++)
		str_addf(&lines, "%ssecret %d", i == 0 ? "" : "\n", i);
	begin(str_cstr(&lines));
	CU_ASSERT(told(0, &k) && k.n == 3 * POOL_SECRETS_MAX);
	CU_ASSERT(has(&k, k.n - 3, "secret 7", 1000));
	end();
	str_fini(&lines);
}

static void test_no_secret(void)
{
	struct tls_ticket_keys k;

	begin("");
	CU_ASSERT(told(0, &k) && k.n == 3 && has(&k, 0, "own", 1000));
	end();
}

/* Wherever the clock goes, and whenever: nothing depends on how much time has passed. */
static void test_clock(void)
{
	static const int64_t seconds[] = { 1001 * TLS_TICKETS_PERIOD, 1001 * TLS_TICKETS_PERIOD + 1,
		5000 * TLS_TICKETS_PERIOD, 999 * TLS_TICKETS_PERIOD, 1000 * TLS_TICKETS_PERIOD - 1, 0 };
	uint32_t before = 1000;
	struct tls_ticket_keys k;

	begin("the secret of all");
	told(0, &k);
	for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
		uint32_t period = tls_tickets_period(seconds[i]);
		bool new;

		now = (time_t)seconds[i];
		ticket_keys_tick(&a);
		new = told(0, &k);
		CU_ASSERT_EQUAL(new, period != before);
		CU_ASSERT(has(&k, 0, "the secret of all", period));
		before = period;
	}
	end();
}

static void test_message(void)
{
	static struct msgw out;
	struct tls_ticket_keys k = { .n = 2 }, back;
	struct msgr r;

	memset(k.key, 7, sizeof(k.key));
	auth_ticket_keys_write(&out, &k);
	for (size_t cut = 0; cut <= out.len; cut++) {
		memset(&back, 1, sizeof(back));
		msgr_begin(&r, out.buf, cut);
		CU_ASSERT_EQUAL(auth_ticket_keys_read(&r, &back), cut == out.len);
		CU_ASSERT_EQUAL(back.n, cut == out.len ? 2 : 0);
		CU_ASSERT(cut == out.len || memmem(&back, sizeof(back), "\7", 1) == NULL);
	}
	CU_ASSERT(memcmp(back.key, k.key, 2 * MAC_LEN) == 0);
	for (unsigned n = 0; n < 256; n++) {
		out.buf[2] = (uint8_t)n;
		out.len = 3;
		for (unsigned i = 0; i < n; i++)
			msgw_bytes(&out, k.key[0], MAC_LEN);
		msgr_begin(&r, out.buf, out.len);
		CU_ASSERT_EQUAL(auth_ticket_keys_read(&r, &back), n <= TLS_TICKETS_KEYS);
	}
}

static const struct unit_case cases[] = {
	{ "secrets", test_secrets },
	{ "as many secrets as there can be", test_most_secrets },
	{ "no secret", test_no_secret },
	{ "the clock", test_clock },
	{ "the message", test_message },
	{ NULL, NULL },
};
UNIT_MAIN("ticket_keys", cases)
