/* Tickets taken at one node and shown at another. */
#include "tests/unit/unit.h"

#include <openssl/err.h>
#include <string.h>

#include "lib/tls_ctx.h"
#include "lib/tls_tickets.h"
#include "tests/unit/clock_ahead.h"
#include "tests/unit/tls_test.h"

struct node {
	struct tls_tickets *tickets;
	SSL_CTX *ctx;
};

static EVP_PKEY *key;
static X509 *cert;
static SSL_SESSION *taken; /* by the client, last */
static unsigned taken_count;

static int on_session(SSL *ssl UNUSED, SSL_SESSION *s)
{
	SSL_SESSION_free(taken);
	taken = s;
	taken_count++;
	return 1;
}

/* SECRETS: words; the first one makes tickets. */
static void set_keys(struct node *n, const char *secrets, uint32_t period)
{
	struct tls_ticket_keys keys = { 0 };

	for (const char *at = secrets; *at != '\0'; at += strspn(at, " ")) {
		size_t len = strcspn(at, " ");
		struct mac *m = mac_new(at, len);

		tls_ticket_keys_add(&keys, m, period);
		mac_free(&m);
		at += len;
	}
	tls_tickets_set(n->tickets, &keys);
}

static void begin(struct node *n, const char *use)
{
	n->tickets = tls_tickets_new();
	n->ctx = tls_ctx_new(true);
	SSL_CTX_use_certificate(n->ctx, cert);
	SSL_CTX_use_PrivateKey(n->ctx, key);
	tls_tickets_use(n->tickets, n->ctx, use);
}

static void end(struct node *n)
{
	SSL_CTX_free(n->ctx);
	tls_tickets_free(&n->tickets);
	tls_tickets_free(&n->tickets);
}

/* A client that has tickets, as a peer or a mail program has. */
static SSL_CTX *client(int version)
{
	SSL_CTX *ctx = tls_ctx_new(false);

	SSL_CTX_set_max_proto_version(ctx, version);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	return ctx;
}

/* A connection to N, by NAME unless NULL, that shows TICKET (may be NULL): true if it was taken. The tickets it gets
 * are in `taken`. */
static bool visit_as(struct node *n, SSL_SESSION *ticket, int version, const char *name)
{
	SSL_CTX *ctx = client(version);
	SSL *c, *s;
	char byte;
	bool resumed;

	SSL_SESSION_free(taken);
	taken = NULL;
	taken_count = 0;
	tls_test_pair(ctx, n->ctx, &c, &s);
	if (name != NULL)
		SSL_set_tlsext_host_name(c, (char *)(uintptr_t)name);
	if (ticket != NULL) {
		SSL_SESSION *copy = SSL_SESSION_dup(ticket); /* libssl's clients show one once */

		CU_ASSERT_EQUAL(SSL_set_session(c, copy), 1);
		SSL_SESSION_free(copy);
	}
	CU_ASSERT(tls_test_shake(c, s));
	CU_ASSERT_EQUAL(SSL_write(s, "x", 1), 1);
	CU_ASSERT_EQUAL(SSL_read(c, &byte, 1), 1);
	resumed = SSL_session_reused(s) == 1;
	CU_ASSERT_EQUAL(SSL_session_reused(c) == 1, resumed);
	SSL_shutdown(c);
	SSL_shutdown(s);
	SSL_free(c);
	SSL_free(s);
	SSL_CTX_free(ctx);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	return resumed;
}

static bool visit(struct node *n, SSL_SESSION *ticket, int version)
{
	return visit_as(n, ticket, version, NULL);
}

static SSL_SESSION *keep(void)
{
	SSL_SESSION *s = taken;

	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	taken = NULL;
	return s;
}

static void setup(void)
{
	key = tls_test_key("P-256");
	cert = tls_test_cert(key, "pool.example");
}

static void teardown(void)
{
	SSL_SESSION_free(taken);
	taken = NULL;
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* Two nodes of a pool, with the same keys for the same service. */
static void begin_pool(struct node *a, struct node *b)
{
	setup();
	begin(a, "imapd-ssl");
	begin(b, "imapd-ssl");
	set_keys(a, "secret", 5);
	set_keys(b, "secret", 5);
}

static void end_pool(struct node *a, struct node *b)
{
	end(a);
	end(b);
	teardown();
}

static void test_other_node(void)
{
	struct node a, b, stranger;
	SSL_SESSION *ticket;

	setup();
	begin(&a, "imapd-ssl");
	begin(&b, "imapd-ssl");
	begin(&stranger, "imapd-ssl");
	set_keys(&a, "the-pool's-secret", 1000);
	set_keys(&b, "the-pool's-secret", 1000);
	set_keys(&stranger, "another-secret", 1000);
	CU_ASSERT_FALSE(visit(&a, NULL, TLS1_3_VERSION));
	ticket = keep();
	CU_ASSERT(visit(&b, ticket, TLS1_3_VERSION));
	CU_ASSERT_PTR_NOT_NULL(taken); /* each visit brings new ones: none has to be used twice */
	CU_ASSERT(visit(&a, ticket, TLS1_3_VERSION));
	CU_ASSERT_FALSE(visit(&stranger, ticket, TLS1_3_VERSION));
	SSL_SESSION_free(ticket);
	end(&a);
	end(&b);
	end(&stranger);
	teardown();
}

/* The clock: neighbouring periods are understood in both directions, others are not. */
static void test_periods(void)
{
	struct node a, b;
	SSL_SESSION *ticket;

	CU_ASSERT_EQUAL(tls_tickets_period(0), 0);
	CU_ASSERT_EQUAL(tls_tickets_period(TLS_TICKETS_PERIOD - 1), 0);
	CU_ASSERT_EQUAL(tls_tickets_period(TLS_TICKETS_PERIOD), 1);
	setup();
	begin(&a, "imapd-ssl");
	begin(&b, "imapd-ssl");
	set_keys(&a, "secret", 1000);
	visit(&a, NULL, TLS1_3_VERSION);
	ticket = keep();
	for (uint32_t period = 997; period <= 1003; period++) {
		set_keys(&b, "secret", period);
		CU_ASSERT_EQUAL(visit(&b, ticket, TLS1_3_VERSION), period >= 999 && period <= 1001);
	}
	SSL_SESSION_free(ticket);
	end_pool(&a, &b);
}

/* Before the keys have come there are no tickets; handshakes go on. */
static void test_no_keys(void)
{
	struct node a, b;
	SSL_SESSION *ticket;

	setup();
	begin(&a, "imapd-ssl");
	begin(&b, "imapd-ssl");
	CU_ASSERT_FALSE(visit(&a, NULL, TLS1_3_VERSION));
	CU_ASSERT_PTR_NULL(taken);
	set_keys(&b, "secret", 5);
	visit(&b, NULL, TLS1_3_VERSION);
	ticket = keep();
	CU_ASSERT_FALSE(visit(&a, ticket, TLS1_3_VERSION));
	SSL_SESSION_free(ticket);
	end_pool(&a, &b);
}

/* A ticket for one service is none for another, whose rules may be stricter. */
static void test_other_use(void)
{
	struct node a, b;
	SSL_SESSION *ticket;

	setup();
	begin(&a, "imapd-ssl");
	begin(&b, "pop3d-ssl");
	set_keys(&a, "secret", 5);
	set_keys(&b, "secret", 5);
	visit(&a, NULL, TLS1_3_VERSION);
	ticket = keep();
	CU_ASSERT_FALSE(visit(&b, ticket, TLS1_3_VERSION));
	CU_ASSERT(visit(&a, ticket, TLS1_3_VERSION));
	SSL_SESSION_free(ticket);
	end_pool(&a, &b);
}

/* TLS 1.2 gets none. */
static void test_tls_1_2(void)
{
	struct node a;

	setup();
	begin(&a, "imapd-ssl");
	set_keys(&a, "secret", 5);
	CU_ASSERT_FALSE(visit(&a, NULL, TLS1_2_VERSION));
	if (taken != NULL) {
		SSL_SESSION *s = keep();

		CU_ASSERT_FALSE(SSL_SESSION_has_ticket(s));
		CU_ASSERT_FALSE(visit(&a, s, TLS1_2_VERSION));
		SSL_SESSION_free(s);
	}
	end(&a);
	teardown();
}

/* One for each connection, whether it began with one or not. */
static void test_one_each(void)
{
	struct node a;
	SSL_SESSION *ticket;

	setup();
	begin(&a, "imapd-ssl");
	set_keys(&a, "secret", 5);
	CU_ASSERT_FALSE(visit(&a, NULL, TLS1_3_VERSION));
	CU_ASSERT_EQUAL(taken_count, 1);
	ticket = keep();
	CU_ASSERT(visit(&a, ticket, TLS1_3_VERSION));
	CU_ASSERT_EQUAL(taken_count, 1);
	SSL_SESSION_free(ticket);
	end(&a);
	teardown();
}

/* Tickets that renew each other do so for a day: what the first handshake has shown is shown again then. */
static void test_life(void)
{
	enum { HOURS = 3600 };
	struct node a, b;
	SSL_SESSION *ticket;

	begin_pool(&a, &b);
	CU_ASSERT_FALSE(visit(&a, NULL, TLS1_3_VERSION));
	for (ahead = 5 * HOURS; ahead < TLS_TICKETS_LIFE; ahead += 5 * HOURS) {
		ticket = keep();
		CU_ASSERT(visit(&b, ticket, TLS1_3_VERSION));
		SSL_SESSION_free(ticket);
	}
	ticket = keep();
	ahead = TLS_TICKETS_LIFE - 10; /* the test itself takes some time */
	CU_ASSERT(visit(&a, ticket, TLS1_3_VERSION));
	ahead = TLS_TICKETS_LIFE + 1;
	CU_ASSERT_FALSE(visit(&a, ticket, TLS1_3_VERSION));
	CU_ASSERT_FALSE(visit(&b, ticket, TLS1_3_VERSION));
	SSL_SESSION_free(ticket);
	ticket = keep(); /* of a new handshake */
	ahead += 5 * HOURS;
	CU_ASSERT(visit(&b, ticket, TLS1_3_VERSION));
	SSL_SESSION_free(ticket);
	ahead = 0;
	end_pool(&a, &b);
}

/* One made by who has the key, but does not say when it was born, as nodes did before: none for ever. */
static void test_without_birth(void)
{
	struct node a, b;
	SSL_SESSION *ticket;

	begin_pool(&a, &b);
	SSL_CTX_set_session_ticket_cb(a.ctx, NULL, NULL, NULL);
	CU_ASSERT_FALSE(visit(&a, NULL, TLS1_3_VERSION));
	ticket = keep();
	CU_ASSERT(visit(&a, ticket, TLS1_3_VERSION));
	CU_ASSERT_FALSE(visit(&b, ticket, TLS1_3_VERSION));
	SSL_SESSION_free(ticket);
	end_pool(&a, &b);
}

/* Any byte of a ticket changed: a full handshake, and no error. */
static void test_changed(void)
{
	struct node a;
	SSL_SESSION *ticket;
	unsigned char der[4096], *p = der;
	const unsigned char *ticket_at, *start;
	size_t ticket_len, len;

	setup();
	begin(&a, "imapd-ssl");
	set_keys(&a, "secret", 5);
	visit(&a, NULL, TLS1_3_VERSION);
	ticket = keep();
	len = (size_t)i2d_SSL_SESSION(ticket, &p);
	SSL_SESSION_get0_ticket(ticket, &ticket_at, &ticket_len);
	start = memmem(der, len, ticket_at, ticket_len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(start);
	for (size_t i = 0; i < ticket_len; i++) {
		unsigned char *at = der + (start - der) + i;
		const unsigned char *q = der;
		SSL_SESSION *changed;

		*at ^= 4;
		changed = d2i_SSL_SESSION(NULL, &q, (long)len);
		CU_ASSERT_FALSE(visit(&a, changed, TLS1_3_VERSION));
		SSL_SESSION_free(changed);
		*at ^= 4;
	}
	CU_ASSERT(visit(&a, ticket, TLS1_3_VERSION));
	SSL_SESSION_free(ticket);
	end(&a);
	teardown();
}

/* The keys of periods and secrets say nothing of each other; the first is the present one's, and room is bounded. */
static void test_keys(void)
{
	struct mac *m = mac_new("secret", 6), *other = mac_new("secret2", 7);
	struct tls_ticket_keys k = { 0 }, next = { 0 };

	tls_ticket_keys_add(&k, m, 256);
	CU_ASSERT_EQUAL(k.n, 3);
	tls_ticket_keys_add(&k, other, 256);
	tls_ticket_keys_add(&next, m, 257);
	CU_ASSERT(memcmp(next.key[0], k.key[2], MAC_LEN) == 0 && memcmp(next.key[1], k.key[0], MAC_LEN) == 0);
	for (unsigned i = 0; i < k.n; i++)
		for (unsigned j = 0; j < i; j++)
			CU_ASSERT(memcmp(k.key[i], k.key[j], MAC_LEN) != 0);
	for (int i = 0; i < 20; i++)
		tls_ticket_keys_add(&k, m, 1);
	CU_ASSERT_EQUAL(k.n, TLS_TICKETS_KEYS);
	mac_free(&m);
	mac_free(&other);
}

/* A secret is replaced node by node, as README.proxy says: each ticket is taken by each node at any time. */
static void test_rotation(void)
{
	static const char *const steps[] = { "old", "old new", "new old", "new" };
	struct node a, b;

	setup();
	begin(&a, "imapd-ssl");
	begin(&b, "imapd-ssl");
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		for (size_t k = i == 0 ? 0 : i - 1; k <= i; k++)
			for (int turned = 0; turned < 2; turned++) {
				SSL_SESSION *ticket;

				set_keys(turned ? &b : &a, steps[i], 7);
				set_keys(turned ? &a : &b, steps[k], 7);
				visit(&a, NULL, TLS1_3_VERSION);
				ticket = keep();
				CU_ASSERT(visit(&b, ticket, TLS1_3_VERSION));
				SSL_SESSION_free(ticket);
			}
	/* What has not been told to it is unknown: a full handshake. */
	set_keys(&a, "old", 7);
	set_keys(&b, "new", 7);
	visit(&a, NULL, TLS1_3_VERSION);
	CU_ASSERT_FALSE(visit(&b, taken, TLS1_3_VERSION));
	end_pool(&a, &b);
}

/* Keys that are not there any more open nothing. */
static void test_keys_taken_away(void)
{
	struct node a;
	SSL_SESSION *ticket;

	setup();
	begin(&a, "imapd-ssl");
	set_keys(&a, "one two", 7);
	visit(&a, NULL, TLS1_3_VERSION);
	ticket = keep();
	set_keys(&a, "", 7);
	CU_ASSERT_FALSE(visit(&a, ticket, TLS1_3_VERSION));
	CU_ASSERT_PTR_NULL(taken);
	set_keys(&a, "two", 7);
	CU_ASSERT_FALSE(visit(&a, ticket, TLS1_3_VERSION));
	SSL_SESSION_free(ticket);
	end(&a);
	teardown();
}

/* A ticket is valid for the name that was asked for then. */
static void test_other_name(void)
{
	static const char *const names[] = { NULL, "a.example", "b.example" };
	struct node a;

	setup();
	begin(&a, "imapd-ssl");
	set_keys(&a, "secret", 5);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		SSL_SESSION *ticket;

		visit_as(&a, NULL, TLS1_3_VERSION, names[i]);
		ticket = keep();
		for (size_t k = 0; k < ARRAY_LEN(names); k++)
			CU_ASSERT_EQUAL(visit_as(&a, ticket, TLS1_3_VERSION, names[k]), i == k);
		SSL_SESSION_free(ticket);
	}
	end(&a);
	teardown();
}

/* 0-RTT, which could be replayed, is not offered; who sends it all the same is heard once, after the handshake. */
static void test_early_data(void)
{
	struct node a;
	SSL_SESSION *ticket, *bold;
	SSL_CTX *ctx;
	SSL *c, *s;
	size_t n;
	char text[16];

	setup();
	begin(&a, "imapd-ssl");
	set_keys(&a, "secret", 5);
	visit(&a, NULL, TLS1_3_VERSION);
	ticket = keep();
	CU_ASSERT_EQUAL(SSL_SESSION_get_max_early_data(ticket), 0);
	bold = SSL_SESSION_dup(ticket);
	CU_ASSERT_EQUAL(SSL_SESSION_set_max_early_data(bold, 1000), 1);
	ctx = client(TLS1_3_VERSION);
	tls_test_pair(ctx, a.ctx, &c, &s);
	CU_ASSERT_EQUAL(SSL_set_session(c, bold), 1);
	CU_ASSERT_EQUAL(SSL_write_early_data(c, "a LOGIN", 7, &n), 1);
	CU_ASSERT(tls_test_shake(c, s));
	CU_ASSERT_EQUAL(SSL_get_early_data_status(c), SSL_EARLY_DATA_REJECTED);
	CU_ASSERT_EQUAL(SSL_get_early_data_status(s), SSL_EARLY_DATA_REJECTED);
	CU_ASSERT_EQUAL(SSL_write(c, "late", 4), 4);
	CU_ASSERT_EQUAL(SSL_read(s, text, sizeof(text)), 4);
	CU_ASSERT(memcmp(text, "late", 4) == 0);
	SSL_free(c);
	SSL_free(s);
	SSL_CTX_free(ctx);
	SSL_SESSION_free(bold);
	SSL_SESSION_free(ticket);
	ERR_clear_error();
	end(&a);
	teardown();
}

static const struct unit_case cases[] = {
	{ "another node", test_other_node },
	{ "periods", test_periods },
	{ "no keys yet", test_no_keys },
	{ "another use", test_other_use },
	{ "TLS 1.2", test_tls_1_2 },
	{ "one ticket for each connection", test_one_each },
	{ "a life of a day", test_life },
	{ "without a time of birth", test_without_birth },
	{ "changed tickets", test_changed },
	{ "keys", test_keys },
	{ "rotation of secrets", test_rotation },
	{ "keys taken away", test_keys_taken_away },
	{ "another name", test_other_name },
	{ "early data", test_early_data },
	{ NULL, NULL },
};
UNIT_MAIN("tls_tickets", cases)
