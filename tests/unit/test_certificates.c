/* Which certificate a client is shown, for each kind of client; certificates that change under handshakes. */
#include "tests/unit/unit.h"

#include <openssl/err.h>
#include <string.h>

#include "lib/tls_cert.h"
#include "login/certificates.c" /* to tell it what a key process would */
#include "tests/unit/compared.h"
#include "tests/unit/tls_test.h"

enum { KEYS = 512 };

static struct certificates *all;
static struct settings *set;
static struct tls_signer *signer[KEYS]; /* by number, as the key process has them */
static EVP_PKEY *ec, *rsa;

/* --- the key process --- */

struct key_client {
	int nothing;
};

struct key_client *key_client_new(struct ev_loop *loop UNUSED, int sock UNUSED, const struct key_client_fns *fns UNUSED,
    void *arg UNUSED)
{
	return mem_alloc(sizeof(struct key_client));
}

void key_client_free(struct key_client **k)
{
	mem_free(k);
}

size_t key_client_sign(struct key_client *k UNUSED, uint32_t key, enum tls_scheme scheme, const void *digest,
    uint8_t sig[TLS_SIGNATURE_MAX])
{
	return signer[key] == NULL ? 0 :
	                             tls_signer_sign(signer[key], scheme, digest, tls_scheme_digest_len(scheme), sig);
}

/* Certificate NUMBER for KEY and the names ALT, to be shown for USE; OCSP_UNTIL: with a response, unless 0. */
static void tell(uint32_t number, const char *use, EVP_PKEY *key, const char *alt, int64_t ocsp_until)
{
	X509 *cert = tls_test_signed(key, alt, NULL, key, -60, 3600, true);
	struct key_chain m = { .key = number,
		.n = 1,
		.ocsp = "response",
		.ocsp_len = ocsp_until != 0 ? 8 : 0,
		.ocsp_until = ocsp_until };
	unsigned char *der = NULL;

	str_copy(m.use, sizeof(m.use), use);
	m.cert[0].len = (size_t)i2d_X509(cert, &der);
	m.cert[0].der = der;
	tls_signer_free(&signer[number]);
	signer[number] = tls_signer_new(key);
	on_chain(&m, all);
	OPENSSL_free(der);
	X509_free(cert);
}

static void begin(void)
{
	set = settings_defaults();
	all = certificates_new(NULL, set);
	certificates_channel(all, -1);
	ec = tls_test_key("P-256");
	rsa = tls_test_key("RSA");
}

static void end(void)
{
	certificates_free(&all);
	settings_free(&set);
	for (int i = 0; i < KEYS; i++)
		tls_signer_free(&signer[i]);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(rsa);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
}

/* --- clients --- */

struct want {
	const char *sni, *sigalgs, *address;
	int version;
	bool starttls, status;
	const char *alpn; /* as on the wire */
};

static SSL_CTX *client_context(const struct want *w)
{
	SSL_CTX *ctx = tls_ctx_new(false);

	if (w->version != 0) {
		SSL_CTX_set_min_proto_version(ctx, w->version);
		SSL_CTX_set_max_proto_version(ctx, w->version);
	}
	if (w->sigalgs != NULL)
		CU_ASSERT_EQUAL(SSL_CTX_set1_sigalgs_list(ctx, (char *)(uintptr_t)w->sigalgs), 1);
	if (w->alpn != NULL)
		CU_ASSERT_EQUAL(SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)w->alpn, (unsigned)strlen(w->alpn)),
		    0);
	return ctx;
}

static void connect_pair(const struct want *w, SSL **client, SSL **server)
{
	SSL_CTX *ctx = client_context(w), *mine;
	struct net_addr a = { 0 };

	if (w->address != NULL)
		CU_ASSERT_FATAL(net_addr_parse(&a, w->address, 0));
	mine = certificates_context(all, PROTOCOL_IMAP, w->starttls, w->address != NULL ? &a : NULL);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mine);
	tls_test_pair(ctx, mine, client, server);
	if (w->sni != NULL)
		CU_ASSERT_EQUAL(SSL_set_tlsext_host_name(*client, (char *)(uintptr_t)w->sni), 1);
	if (w->status)
		SSL_set_tlsext_status_type(*client, TLSEXT_STATUSTYPE_ocsp);
	SSL_CTX_free(ctx);
}

/* The first name in the certificate that such a client is shown, behind it "/rsa" or "/ec", and "+" if a response came;
 * "": the handshake failed. */
static const char *shown(const struct want *w)
{
	static char text[300];
	struct str names = STR_INIT;
	unsigned char *response;
	SSL *client, *server;
	X509 *cert;

	text[0] = '\0';
	connect_pair(w, &client, &server);
	if (tls_test_shake(client, server)) {
		cert = SSL_get1_peer_certificate(client);
		tls_cert_names(cert, &names);
		snprintf(text, sizeof(text), "%.*s/%s%s", (int)strcspn(str_cstr(&names), ","), str_cstr(&names),
		    EVP_PKEY_is_a(X509_get0_pubkey(cert), "RSA") ? "rsa" : "ec",
		    SSL_get_tlsext_status_ocsp_resp(client, &response) == 8 ? "+" : "");
		X509_free(cert);
	}
	SSL_free(client);
	SSL_free(server);
	str_fini(&names);
	ERR_clear_error();
	return text;
}

#define EXPECT(name, ...) CU_ASSERT_STRING_EQUAL(shown(&(struct want){ __VA_ARGS__ }), name)
#define ECDSA "ECDSA+SHA256"
#define RSA_ONLY "RSA-PSS+SHA256:RSA+SHA256"

static void test_choice(void)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	begin();
	CU_ASSERT_PTR_NULL(certificates_context(all, PROTOCOL_IMAP, false, NULL));
	tell(1, "imapd_ssl", ec, "DNS:all.example", 0);
	tell(2, "imapd_ssl all rsa", rsa, "DNS:all.example", 0);
	tell(3, "imapd_ssl name a.example ", rsa, "DNS:a.example", 0);
	tell(4, "imapd_ssl name a.example ecdsa", ec, "DNS:a.example", 0);
	tell(5, "imapd_ssl name *.wild.example ", ec, "DNS:wild.example", 0);
	tell(6, "imapd_ssl its-own x.pem", ec, "DNS:x.example,DNS:*.x.example,DNS:a.example,IP:192.0.2.9", 0);
	tell(7, "imapd_ssl address 192.0.2.1 ", ec, "DNS:addr.example", 0);
	tell(8, "pop3d_ssl name pop.example ", ec, "DNS:pop.example", 0);
	CU_ASSERT(certificates_by_address(all, PROTOCOL_IMAP) && !certificates_by_address(all, PROTOCOL_POP3));
	CU_ASSERT_PTR_NULL(certificates_context(all, PROTOCOL_POP3, false, NULL));
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		int v = versions[i];

		EXPECT("all.example/ec", .version = v, .sigalgs = ECDSA);
		EXPECT("all.example/rsa", .version = v, .sigalgs = RSA_ONLY);
		EXPECT("all.example/ec", .version = v, .sigalgs = ECDSA, .sni = "unknown.example");
		EXPECT("a.example/ec", .version = v, .sigalgs = ECDSA, .sni = "A.example");
		EXPECT("a.example/rsa", .version = v, .sigalgs = RSA_ONLY, .sni = "a.EXAMPLE");
		EXPECT("wild.example/ec", .version = v, .sni = "b.wild.example");
		EXPECT("x.example/ec", .version = v, .sni = "x.example");
		EXPECT("x.example/ec", .version = v, .sni = "b.x.example");
		EXPECT("all.example/ec", .version = v, .sigalgs = ECDSA, .sni = "c.b.x.example");
		EXPECT("all.example/ec", .version = v, .sigalgs = ECDSA, .sni = "pop.example");
		EXPECT("addr.example/ec", .version = v, .address = "192.0.2.1");
		EXPECT("addr.example/ec", .version = v, .address = "192.0.2.1", .sni = "unknown.example");
		EXPECT("x.example/ec", .version = v, .address = "192.0.2.1", .sni = "x.example");
		EXPECT("all.example/ec", .version = v, .sigalgs = ECDSA, .address = "192.0.2.2");
		/* rather no handshake than one with a certificate for something else */
		EXPECT("", .version = v, .sigalgs = RSA_ONLY, .sni = "x.example");
	}
	end();
}

/* A name's certificate is replaced, taken away, and its key forgotten, between the client's hello and the answer to it:
 * what a connection has begun with it ends with. */
static void test_change(void)
{
	SSL *client[3], *server[3];

	begin();
	tell(1, "imapd_ssl", ec, "DNS:all.example", 0);
	tell(2, "imapd_ssl name a.example ", rsa, "DNS:a.example", 0);
	for (int i = 0; i < 3; i++)
		connect_pair(&(struct want){ .sni = i != 0 ? "a.example" : NULL }, &client[i], &server[i]);
	SSL_do_handshake(client[2]);
	SSL_do_handshake(server[2]); /* has answered */
	tell(3, "imapd_ssl", rsa, "DNS:new.example", 0);
	tell(4, "imapd_ssl name a.example ", ec, "DNS:b.example", 0);
	for (int i = 0; i < 3; i++)
		CU_ASSERT(tls_test_shake(client[i], server[i]));
	EXPECT("new.example/rsa", .sni = NULL);
	EXPECT("b.example/ec", .sni = "a.example");
	on_gone(4, all);
	EXPECT("new.example/rsa", .sni = "a.example");
	on_gone(4, all);
	on_gone(3, all);
	CU_ASSERT_PTR_NULL(certificates_context(all, PROTOCOL_IMAP, false, NULL));
	for (int i = 0; i < 3; i++) {
		SSL_free(client[i]);
		SSL_free(server[i]);
	}
	ERR_clear_error();
	end();
}

/* A new key process does not know what an older one had, and which was taken away in between. */
static void test_new_key_process(void)
{
	begin();
	tell(1, "imapd_ssl", ec, "DNS:all.example", 0);
	tell(2, "imapd_ssl name a.example ", ec, "DNS:a.example", 0);
	tell(3, "imapd_ssl name b.example ", ec, "DNS:b.example", 0);
	on_begins(all);
	tls_signer_free(&signer[2]);
	EXPECT("b.example/ec", .sni = "b.example"); /* until it has told everything */
	tell(1, "imapd_ssl", ec, "DNS:all.example", 0);
	tell(3, "imapd_ssl name b.example ", ec, "DNS:b.example", 0);
	on_complete(all);
	EXPECT("all.example/ec", .sni = "a.example");
	EXPECT("b.example/ec", .sni = "b.example");
	on_complete(all); /* again: nothing */
	EXPECT("b.example/ec", .sni = "b.example");
	end();
}

/* Two for the same use and kind of key: always the same one, whichever came first. */
static void test_order(void)
{
	begin();
	tell(1, "imapd_ssl all rsa", ec, "DNS:second.example", 0);
	tell(2, "imapd_ssl", ec, "DNS:first.example", 0);
	EXPECT("first.example/ec", .sni = NULL);
	tell(3, "imapd_ssl all rsa", ec, "DNS:second.example", 0);
	EXPECT("first.example/ec", .sni = NULL);
	tell(4, "imapd_ssl else", ec, "DNS:third.example", 0); /* for nothing that is known */
	tell(5, "proxy", ec, "DNS:third.example", 0);
	EXPECT("first.example/ec", .sni = NULL);
	end();
}

static void test_ocsp(void)
{
	int64_t now = (int64_t)time(NULL);

	begin();
	tell(1, "imapd_ssl", ec, "DNS:all.example", now + 60);
	tell(2, "imapd_ssl name a.example ", ec, "DNS:a.example", now - 1);
	tell(3, "imapd_ssl name b.example ", ec, "DNS:b.example", 0);
	EXPECT("all.example/ec+", .status = true);
	EXPECT("all.example/ec+", .status = true, .version = TLS1_2_VERSION);
	EXPECT("all.example/ec", .status = false);
	EXPECT("a.example/ec", .status = true, .sni = "a.example");
	EXPECT("b.example/ec", .status = true, .sni = "b.example");
	end();
}

static void test_settings(void)
{
	begin();
	unit_set(&set->imapd_ssl_TLS_PROTOCOL, "TLSv1.3++");
	unit_set(&set->imapd_ssl_TLS_STARTTLS_PROTOCOL, "TLSv1");
	unit_set(&set->imapd_ssl_TLS_GROUPS, "nonsense:P-384:X25519");
	tell(1, "imapd_ssl", ec, "DNS:all.example", 0);
	EXPECT("", .version = TLS1_2_VERSION);
	EXPECT("all.example/ec", .version = TLS1_2_VERSION, .starttls = true);
	EXPECT("", .version = TLS1_1_VERSION, .starttls = true);
	EXPECT("all.example/ec", .alpn = "\2h2\4imap");
	EXPECT("", .alpn = "\2h2\4pop3");
	end();
}

/* A certificate that is told, and one that is looked up, cost what they cost if there is no other. Those that nobody
 * has asked for are kept as bytes. */
static void test_many(void)
{
	static const char *const asked[] = { "h7.example", "imap.h7.example", "any.h7.example", "x.unknown.example" };
	unsigned alone[ARRAY_LEN(asked)], first = 0;
	char use[64], alt[128];

	begin();
	tell(1, "imapd_ssl", ec, "DNS:all.example", 0);
	for (unsigned n = 7; n < KEYS; n++) {
		compared = 0;
		snprintf(use, sizeof(use), "imapd_ssl its-own h%u.pem", n);
		snprintf(alt, sizeof(alt), "DNS:h%u.example,DNS:imap.h%u.example,DNS:*.h%u.example,DNS:h%u.example", n,
		    n, n, n);
		tell(n, use, ec, alt, 0);
		if (n == 7) {
			first = compared;
			for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
				compared = 0;
				CU_ASSERT_STRING_NOT_EQUAL(shown(&(struct want){ .sni = asked[i] }), "");
				alone[i] = compared;
			}
		}
		CU_ASSERT(compared < first + 100);
	}
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		compared = 0;
		CU_ASSERT_STRING_EQUAL(shown(&(struct want){ .sni = asked[i] }),
		    i < 3 ? "h7.example/ec" : "all.example/ec");
		CU_ASSERT(compared < alone[i] + 100);
	}
	CU_ASSERT_EQUAL(HASH_CNT(hh_cert, all->by_cert), 2);
	compared = 0;
	for (uint32_t n = KEYS - 1; n >= 7; n--)
		on_gone(n, all);
	CU_ASSERT(compared < KEYS * 100);
	EXPECT("all.example/ec", .sni = "h7.example");
	CU_ASSERT_EQUAL(HASH_COUNT(all->places), 1);
	end();
}

static const struct unit_case cases[] = {
	{ "choice", test_choice },
	{ "change", test_change },
	{ "a new key process", test_new_key_process },
	{ "order", test_order },
	{ "OCSP", test_ocsp },
	{ "settings", test_settings },
	{ "many", test_many },
	{ NULL, NULL },
};
UNIT_MAIN("certificates", cases)
