/* Tickets taken at one node and shown at another. */
#include "tests/unit/unit.h"

#include <openssl/err.h>
#include <string.h>

#include "lib/tls_ctx.h"
#include "lib/tls_tickets.h"
#include "tests/unit/tls_test.h"

struct node {
	struct tls_tickets *tickets;
	SSL_CTX *ctx;
};

static EVP_PKEY *key;
static X509 *cert;
static SSL_SESSION *taken; /* by the client, last */

static int on_session(SSL *ssl UNUSED, SSL_SESSION *s)
{
	SSL_SESSION_free(taken);
	taken = s;
	return 1;
}

static void set_keys(struct node *n, const char *secret, uint32_t period)
{
	struct mac *m = mac_new(secret, strlen(secret));
	uint8_t keys[TLS_TICKETS_KEYS][MAC_LEN];

	for (uint32_t i = 0; i < TLS_TICKETS_KEYS; i++)
		tls_tickets_key(m, period - 1 + i, keys[i]);
	tls_tickets_set(n->tickets, keys);
	mac_free(&m);
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

/* A connection to N that shows TICKET (may be NULL): true if it was taken. The tickets it gets are in `taken`. */
static bool visit(struct node *n, SSL_SESSION *ticket, int version)
{
	SSL_CTX *ctx = client(version);
	SSL *c, *s;
	char byte;
	bool resumed;

	SSL_SESSION_free(taken);
	taken = NULL;
	tls_test_pair(ctx, n->ctx, &c, &s);
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

static void test_other_node(void)
{
	struct node a, b, stranger;
	SSL_SESSION *ticket;

	setup();
	begin(&a, "imapd-ssl");
	begin(&b, "imapd-ssl");
	begin(&stranger, "imapd-ssl");
	set_keys(&a, "the pool's secret", 1000);
	set_keys(&b, "the pool's secret", 1000);
	set_keys(&stranger, "another secret", 1000);
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
	end(&a);
	end(&b);
	teardown();
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
	end(&a);
	end(&b);
	teardown();
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
	end(&a);
	end(&b);
	teardown();
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

/* The keys of periods say nothing of each other, nor of the secret. */
static void test_keys_differ(void)
{
	struct mac *m = mac_new("secret", 6);
	uint8_t a[MAC_LEN], b[MAC_LEN], again[MAC_LEN];

	tls_tickets_key(m, 1, a);
	tls_tickets_key(m, 256, b);
	tls_tickets_key(m, 1, again);
	CU_ASSERT(memcmp(a, again, MAC_LEN) == 0 && memcmp(a, b, MAC_LEN) != 0);
	mac_free(&m);
}

static const struct unit_case cases[] = {
	{ "another node", test_other_node },
	{ "periods", test_periods },
	{ "no keys yet", test_no_keys },
	{ "another use", test_other_use },
	{ "TLS 1.2", test_tls_1_2 },
	{ "changed tickets", test_changed },
	{ "keys differ", test_keys_differ },
	{ NULL, NULL },
};
UNIT_MAIN("tls_tickets", cases)
