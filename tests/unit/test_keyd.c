/* The key process against workers that were taken over, and against files of all kinds; and a worker's end of it. */
#include "tests/unit/msg_test.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keyd/keyd.c" /* to drive it turn by turn */
#include "lib/fd.h"
#include "lib/loop.h"
#include "lib/tls_key.h"
#include "login/key_client.h"
#include "node/msg_control.h"
#include "tests/unit/compared.h"
#include "tests/unit/tls_test.h"

static int control;     /* the master's end */
static unsigned logged; /* lines */
static bool no_time;    /* whatever is waited for does not come in time */

bool __real_fd_wait(int fd, short events, int64_t deadline);
bool __wrap_fd_wait(int fd, short events, int64_t deadline);
bool __wrap_fd_wait(int fd, short events, int64_t deadline)
{
	return !no_time && __real_fd_wait(fd, events, deadline);
}

void __wrap_log_warn(const char *fmt, ...);
void __wrap_log_warn(const char *fmt UNUSED, ...)
{
	logged++;
}

void __wrap_log_error(const char *fmt, ...);
void __wrap_log_error(const char *fmt UNUSED, ...)
{
	logged++;
}

static void turns(int n)
{
	for (int i = 0; i < n; i++)
		ev_run(keyd.ctx.loop, EVRUN_NOWAIT);
}

static void ignore(struct chan *c UNUSED, struct msgr *r UNUSED, int fd UNUSED, void *arg UNUSED) { }

static void gone(struct chan *c UNUSED, void *arg UNUSED) { }

static void begin(void)
{
	int fd[2];

	memset(&keyd, 0, sizeof(keyd));
	logged = 0;
	keyd.ctx.loop = loop_new();
	keyd.ring = keyring_new();
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	keyd.ctx.control = chan_new(keyd.ctx.loop, fd[0], ignore, gone, NULL);
	control = fd[1];
}

static void end(void)
{
	while (keyd.workers != NULL)
		on_worker_gone(keyd.workers->chan, keyd.workers);
	ev_timer_stop(keyd.ctx.loop, &keyd.expiry);
	keyring_free(&keyd.ring);
	chan_free(&keyd.ctx.control);
	close(control);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	CU_ASSERT_PTR_NULL(keyd.pem.data);
}

/* --- files --- */

/* A file with TEXT. */
static int file_of(const char *text, size_t len)
{
	int fd = memfd_create("pem", 0);

	CU_ASSERT_EQUAL_FATAL(write(fd, text, len), (ssize_t)len);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void add_pem(struct str *s, EVP_PKEY *key, X509 *cert, const char *passphrase)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long n;

	if (key != NULL)
		PEM_write_bio_PKCS8PrivateKey(b, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL, passphrase,
		    passphrase != NULL ? (int)strlen(passphrase) : 0, NULL, NULL);
	if (cert != NULL)
		PEM_write_bio_X509(b, cert);
	n = BIO_get_mem_data(b, &p);
	str_add(s, p, (size_t)n);
	BIO_free(b);
}

static void give(uint32_t number, const struct str *pem, bool more)
{
	struct control_key m = { .key = number, .more = more, .use = "imapd-ssl", .file = "/etc/x.pem" };

	on_key(&keyd.ctx, &m, file_of(pem->data, pem->len));
}

/* A new key NUMBER; its public half (to be freed). */
static EVP_PKEY *give_new(uint32_t number, const char *kind)
{
	EVP_PKEY *key = tls_test_key(kind), *half;
	X509 *cert = tls_test_cert(key, "mail.example");
	struct str pem = STR_INIT;

	add_pem(&pem, key, cert, NULL);
	give(number, &pem, false);
	half = X509_get_pubkey(cert);
	str_fini(&pem);
	X509_free(cert);
	EVP_PKEY_free(key);
	return half;
}

static bool has(uint32_t number)
{
	struct msgw *w = mem_alloc(sizeof(*w));
	bool is_there = keyring_chain(keyd.ring, number, w);

	mem_free(&w);
	return is_there;
}

/* What the master was told, of key NUMBER and of nothing else: once, that it was refused, or taken. */
static bool refused(uint32_t number)
{
	static uint8_t buf[MSG_SIZE_MAX];
	struct control_key_news m = { 0 };
	unsigned n = 0;
	struct msgr r;
	int fd;

	turns(2);
	while (unit_next(control, buf, &r, &fd)) {
		CU_ASSERT(r.type == CTL_KEY_NEWS && control_key_news_read(&r, &m));
		n++;
	}
	CU_ASSERT_EQUAL(n, 1);
	CU_ASSERT_EQUAL(m.key, number);
	CU_ASSERT_EQUAL(m.refused, m.why[0] != '\0');
	if (!m.refused)
		CU_ASSERT(m.until > time(NULL) && m.until < time(NULL) + 2 * 3600); /* as tls_test_cert() says */
	return m.refused;
}

static bool told_nothing(void)
{
	static uint8_t buf[MSG_SIZE_MAX];
	struct msgr r;
	int fd;

	turns(2);
	return !unit_next(control, buf, &r, &fd);
}

static void test_files(void)
{
	EVP_PKEY *rsa = tls_test_key("RSA"), *ec = tls_test_key("P-256"), *ed = tls_test_key("ED25519");
	X509 *cert = tls_test_cert(rsa, "a.example"), *edc = tls_test_cert(ed, "c");
	X509 *other = tls_test_signed(ec, "DNS:b.example", cert, rsa, -60, 3600, false);
	struct str pem = STR_INIT, half = STR_INIT;
	char err[256];

	begin();
#define TRY(number, good) \
	do { \
		logged = 0; \
		give(number, &pem, false); \
		CU_ASSERT_EQUAL(has(number), good); \
		CU_ASSERT_EQUAL(refused(number), !(good)); \
		CU_ASSERT_EQUAL(logged, 0); \
		str_clear(&pem); \
	} while (0)
	add_pem(&pem, rsa, cert, NULL);
	TRY(1, true);
	add_pem(&pem, NULL, cert, NULL);
	add_pem(&pem, rsa, NULL, NULL); /* the order does not matter */
	TRY(2, true);
	add_pem(&pem, ec, other, NULL);
	add_pem(&pem, NULL, cert, NULL); /* a chain */
	TRY(3, true);
	add_pem(&pem, ec, other, NULL);
	give(3, &pem, false); /* passed again, because another key process had refused it */
	CU_ASSERT(told_nothing() && has(3));
	str_clear(&pem);
	str_adds(&pem, "");
	TRY(10, false);
	str_adds(&pem, "no PEM at all\n");
	TRY(10, false);
	add_pem(&pem, rsa, NULL, NULL);
	TRY(10, false);
	add_pem(&pem, NULL, cert, NULL);
	TRY(10, false);
	add_pem(&pem, rsa, other, NULL);
	TRY(10, false);
	add_pem(&pem, ec, other, NULL);
	add_pem(&pem, rsa, cert, NULL);
	TRY(10, false); /* two keys */
	add_pem(&pem, ec, other, NULL);
	str_adds(&pem, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
	TRY(10, false); /* which of them it is meant to be nobody knows */
	add_pem(&pem, rsa, cert, "secret");
	TRY(10, false);
	add_pem(&pem, ed, edc, NULL);
	TRY(10, false);
	add_pem(&pem, rsa, cert, NULL);
	str_adds(&pem, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	TRY(10, false);
	add_pem(&pem, rsa, cert, NULL);
	for (int i = 0; i < KEY_CHAIN_CERTS; i++)
		add_pem(&pem, NULL, cert, NULL);
	TRY(10, false);
	add_pem(&pem, rsa, cert, NULL);
	while (pem.len <= KEYRING_PEM_MAX)
		str_adds(&pem, "# much to read\n");
	TRY(10, false);
	/* In two files; one of which a third key cuts off. */
	add_pem(&half, NULL, cert, NULL);
	add_pem(&pem, rsa, NULL, NULL);
	give(4, &half, true);
	TRY(4, true);
	half.len--; /* no line end at the end of the first file: its last line is not one with the first of the next */
	add_pem(&pem, rsa, NULL, NULL);
	give(7, &half, true);
	TRY(7, true);
	give(5, &half, true);
	add_pem(&pem, rsa, cert, NULL);
	TRY(6, true);
	add_pem(&pem, rsa, NULL, NULL);
	TRY(5, false);
	CU_ASSERT_FALSE(keyring_add(keyd.ring, 77, "", "x", 1, err, sizeof(err)));
	CU_ASSERT_STRING_EQUAL(err, "there is no private key");
	end();
	str_fini(&pem);
	str_fini(&half);
	X509_free(cert);
	X509_free(other);
	X509_free(edc);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(ed);
}

/* Each of many costs what the first one has cost, and is found. */
static void test_many_keys(void)
{
	enum { MANY = 300 };
	EVP_PKEY *key = tls_test_key("P-256");
	X509 *cert = tls_test_cert(key, "a.example");
	struct str pem = STR_INIT;
	char use[64], err[256];
	uint32_t other;

	begin();
	add_pem(&pem, key, cert, NULL);
	for (uint32_t n = 1; n <= 2 * MANY; n++) {
		compared = 0;
		snprintf(use, sizeof(use), "imapd_ssl its-own h%u.pem", (unsigned)(n % MANY));
		CU_ASSERT(keyring_add(keyd.ring, n, use, pem.data, pem.len, err, sizeof(err)));
		CU_ASSERT_EQUAL(keyring_predecessor(keyd.ring, n, &other), n > MANY);
		CU_ASSERT(n <= MANY || other == n - MANY);
		CU_ASSERT(compared < 100);
	}
	compared = 0;
	for (uint32_t n = 1; n <= MANY; n++) {
		CU_ASSERT_EQUAL(keyring_retire(keyd.ring, n, 1), true);
		CU_ASSERT_FALSE(keyring_predecessor(keyd.ring, n + MANY, &other));
		CU_ASSERT_FALSE(has(n));
		if (n % 2 == 0)
			keyring_drop(keyd.ring, n);
		CU_ASSERT(has(n + MANY));
	}
	CU_ASSERT(compared < MANY * 100);
	end();
	str_fini(&pem);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* What libssl does not take, login workers could not show: it replaces nothing, whether it stands first or behind. */
static void test_weak_chain(void)
{
	EVP_PKEY *rsa = tls_test_key("RSA"), *ec = tls_test_key("P-256");
	X509 *good = tls_test_cert(ec, "a.example"), *ca = tls_test_cert(rsa, "authority.example");
	X509 *weak = tls_test_signed(ec, "DNS:a.example", ca, rsa, -60, 3600, false);
	struct str pem = STR_INIT;

	begin();
	CU_ASSERT_FATAL(X509_sign(weak, rsa, EVP_md5()) > 0);
	add_pem(&pem, ec, good, NULL);
	TRY(1, true);
	add_pem(&pem, ec, weak, NULL);
	TRY(2, false);
	CU_ASSERT(has(1));
	add_pem(&pem, ec, good, NULL);
	add_pem(&pem, NULL, weak, NULL);
	TRY(3, false);
	CU_ASSERT(has(1));
	end();
	str_fini(&pem);
	X509_free(good);
	X509_free(ca);
	X509_free(weak);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
}

/* The master could not open the key's file and passes all parts again: what came before is not in the chain twice. */
static void test_passed_again(void)
{
	EVP_PKEY *key = tls_test_key("P-256");
	X509 *cert = tls_test_cert(key, "a.example");
	struct str half = STR_INIT, rest = STR_INIT;
	struct key_chain m;

	begin();
	add_pem(&half, NULL, cert, NULL);
	add_pem(&rest, key, NULL, NULL);
	give(4, &half, true);
	give(4, &half, true);
	give(4, &rest, false);
	CU_ASSERT_FATAL(keyring_certificates(keyd.ring, 4, &m));
	CU_ASSERT_EQUAL(m.n, 1);
	end();
	str_fini(&half);
	str_fini(&rest);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* A file cut anywhere is refused, and the process goes on. */
static void test_files_cut(void)
{
	EVP_PKEY *key = tls_test_key("P-256");
	X509 *cert = tls_test_cert(key, "mail.example");
	struct str pem = STR_INIT;

	begin();
	add_pem(&pem, key, cert, NULL);
	for (size_t len = 0; len < pem.len - 1; len++) {
		struct str cut = { pem.data, len, 0 };

		give(1, &cut, false);
		CU_ASSERT_FALSE(has(1));
	}
	give(1, &pem, false);
	CU_ASSERT(has(1));
	end();
	str_fini(&pem);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* --- workers --- */

static uint8_t in[MSG_SIZE_MAX];
static struct msgw w;

/* A worker's end of its channel. */
static int new_worker(unsigned slot)
{
	struct msgr r;
	int fd[2], got;

	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	on_channel(&keyd.ctx, ROLE_WORKER, slot, 1, fd[0]);
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	turns(1);
	CU_ASSERT(unit_next(fd[1], in, &r, &got) && r.type == KEY_BEGINS);
	return fd[1];
}

/* The master was told that a worker is not one of ours. */
static bool told_unfit(void)
{
	struct msgr r;
	bool told = false;
	int fd;

	turns(2);
	while (unit_next(control, in, &r, &fd))
		told = told || r.type == CTL_UNFIT;
	return told;
}

/* What is signed with the key of HALF: the answer's signature is checked. */
static size_t ask(int sock, uint32_t key, enum tls_scheme scheme, EVP_PKEY *half)
{
	uint8_t digest[TLS_DIGEST_MAX];
	struct key_signed m = { .len = 0 };
	struct msgr r;
	int fd;

	memset(digest, 0x42, sizeof(digest));
	key_sign_write(&w, &(struct key_sign){ 7, key, scheme, digest });
	CU_ASSERT_EQUAL(msg_send(sock, &w, -1), 0);
	turns(2);
	while (unit_next(sock, in, &r, &fd))
		if (r.type == KEY_SIGNED) {
			CU_ASSERT(key_signed_read(&r, &m) && m.request == 7);
			break;
		}
	if (m.len != 0) {
		EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(half, NULL);

		CU_ASSERT_EQUAL(EVP_PKEY_verify_init(ctx), 1);
		EVP_PKEY_CTX_set_signature_md(ctx, EVP_get_digestbyname(tls_scheme_digest(scheme)));
		CU_ASSERT_EQUAL(EVP_PKEY_verify(ctx, m.sig, m.len, digest, tls_scheme_digest_len(scheme)), 1);
		EVP_PKEY_CTX_free(ctx);
	}
	return m.len;
}

/* It is told of the keys there are, and has things signed. */
static void test_signs(void)
{
	EVP_PKEY *half;
	struct key_chain chain;
	struct msgr r;
	int sock, fd;

	begin();
	half = give_new(5, "P-256");
	sock = new_worker(0);
	turns(2);
	CU_ASSERT_FATAL(unit_next(sock, in, &r, &fd));
	CU_ASSERT(r.type == KEY_CHAIN && key_chain_read(&r, &chain));
	CU_ASSERT(chain.key == 5 && chain.n == 1);
	CU_ASSERT_STRING_EQUAL(chain.use, "imapd-ssl");
	CU_ASSERT(ask(sock, 5, TLS_ECDSA_SHA256, half) > 0);
	CU_ASSERT(ask(sock, 5, TLS_ECDSA_SHA384, half) > 0);
	CU_ASSERT_EQUAL(logged, 0);
	CU_ASSERT_FALSE(told_unfit());
	close(sock);
	end();
	EVP_PKEY_free(half);
}

/* Not an attack: a key that has left, was never there, or is of another kind. No signature, one line in the log. */
static void test_refuses(void)
{
	EVP_PKEY *half;
	int sock;

	begin();
	half = give_new(5, "P-256");
	sock = new_worker(0);
	for (int i = 0; i < 10; i++) {
		CU_ASSERT_EQUAL(ask(sock, 0, TLS_ECDSA_SHA256, half), 0);
		CU_ASSERT_EQUAL(ask(sock, 6, TLS_ECDSA_SHA256, half), 0);
		CU_ASSERT_EQUAL(ask(sock, UINT32_MAX, TLS_RSA_PKCS1_SHA256, half), 0);
		CU_ASSERT_EQUAL(ask(sock, 5, TLS_RSA_PSS_SHA256, half), 0);
	}
	CU_ASSERT_EQUAL(logged, 1);
	CU_ASSERT_FALSE(told_unfit());
	CU_ASSERT(ask(sock, 5, TLS_ECDSA_SHA256, half) > 0);
	close(sock);
	end();
	EVP_PKEY_free(half);
}

/* Sends what W holds, with descriptor FD. The worker is ended without an answer; the others go on. */
static void expect_unfit(EVP_PKEY *half, int fd)
{
	int bad = new_worker(1), good = new_worker(2), got;
	struct msgr r;

	turns(2);
	while (unit_next(bad, in, &r, &got))
		CU_ASSERT(r.type == KEY_CHAIN || r.type == KEY_COMPLETE);
	CU_ASSERT_EQUAL(msg_send(bad, &w, fd), 0);
	turns(3);
	CU_ASSERT(told_unfit());
	CU_ASSERT_EQUAL(msg_recv(bad, in, &r, &got), 0);
	CU_ASSERT(ask(good, 5, TLS_ECDSA_SHA256, half) > 0);
	close(bad);
	close(good);
	turns(2);
}

static void raw_sign(unsigned scheme, size_t len)
{
	static const uint8_t bytes[TLS_SIGNATURE_MAX];

	msgw_begin(&w, KEY_SIGN);
	msgw_u32(&w, 1);
	msgw_u32(&w, 5);
	msgw_u8(&w, (uint8_t)scheme);
	msgw_bytes(&w, bytes, len);
}

/* What a worker that was taken over would like: a raw operation, a decryption, another scheme, another length, ... */
static void test_compromised_worker(void)
{
	EVP_PKEY *half;

	begin();
	half = give_new(5, "P-256");
	for (unsigned scheme = TLS_SCHEME_COUNT; scheme < 256; scheme += 41) {
		raw_sign(scheme, 32);
		expect_unfit(half, -1);
	}
	for (unsigned scheme = 0; scheme < TLS_SCHEME_COUNT; scheme++) {
		static const size_t lens[] = { 0, 1, 20, 31, 33, 36, 47, 49, 63, 65, 128, 256, TLS_SIGNATURE_MAX };

		for (size_t i = 0; i < ARRAY_LEN(lens); i += scheme == TLS_ECDSA_SHA256 ? 1 : 5) {
			raw_sign(scheme, lens[i]);
			expect_unfit(half, -1);
		}
	}
	key_sign_write(&w, &(struct key_sign){ 1, 5, TLS_ECDSA_SHA256, in });
	for (size_t len = w.len; len > 2; len--) { /* cut anywhere */
		w.len = len - 1;
		expect_unfit(half, -1);
	}
	key_sign_write(&w, &(struct key_sign){ 1, 5, TLS_ECDSA_SHA256, in });
	msgw_u8(&w, 0);
	expect_unfit(half, -1);
	key_sign_write(&w, &(struct key_sign){ 1, 5, TLS_ECDSA_SHA256, in });
	expect_unfit(half, STDERR_FILENO); /* with a descriptor */
	for (unsigned type = 0; type < MSG_OPTIONAL_FIRST; type += 97) {
		msgw_begin(&w, (uint16_t)type);
		if (type != KEY_SIGN)
			expect_unfit(half, -1);
	}
	control_key_write(&w, &(struct control_key){ .key = 9, .use = "x", .file = "/etc/shadow" });
	expect_unfit(half, STDERR_FILENO); /* what only the master may say */
	control_key_gone_write(&w, &(struct control_key_gone){ 5, "imapd-ssl" });
	expect_unfit(half, -1);
	CU_ASSERT(has(5));
	end();
	EVP_PKEY_free(half);
}

/* It asks and takes no answers: it is ended before they are many. One that asks much holds nobody up. */
static void test_floods(void)
{
	EVP_PKEY *half;
	int bad, good;
	unsigned asked = 0;

	begin();
	half = give_new(5, "P-256");
	bad = new_worker(1);
	good = new_worker(2);
	key_sign_write(&w, &(struct key_sign){ 1, 5, TLS_ECDSA_SHA256, in });
	while (keyd.workers != NULL && keyd.workers->next != NULL && asked < 20000) {
		while (msg_send(bad, &w, -1) == 0)
			asked++;
		turns(100);
		CU_ASSERT(ask(good, 5, TLS_ECDSA_SHA256, half) > 0);
		key_sign_write(&w, &(struct key_sign){ 1, 5, TLS_ECDSA_SHA256, in });
	}
	CU_ASSERT(told_unfit());
	CU_ASSERT(asked < 20000);
	close(bad);
	close(good);
	end();
	EVP_PKEY_free(half);
}

/* A certificate is replaced: new handshakes get the new one, those that have begun the old one's signature. */
static void test_renewal(void)
{
	static char text[] = "no PEM";
	const struct str broken = { text, 6, 0 };
	EVP_PKEY *old, *new;
	struct msgr r;
	uint32_t key = 0;
	bool told = false;
	int sock, late, fd;

	begin();
	old = give_new(5, "P-256");
	sock = new_worker(0);
	new = give_new(6, "P-256");
	on_key_gone(&keyd.ctx, &(struct control_key_gone){ 5, "another use" }); /* again: nothing */
	on_key_gone(&keyd.ctx, &(struct control_key_gone){ 99, "" });
	turns(10);
	while (unit_next(sock, in, &r, &fd))
		told = told || (r.type == KEY_GONE && key_gone_read(&r, &key) && key == 5);
	CU_ASSERT(told);
	late = new_worker(1);
	turns(5);
	while (unit_next(late, in, &r, &fd)) {
		struct key_chain chain;

		CU_ASSERT(
		    r.type == KEY_COMPLETE || (r.type == KEY_CHAIN && key_chain_read(&r, &chain) && chain.key == 6));
	}
	CU_ASSERT(ask(sock, 5, TLS_ECDSA_SHA256, old) > 0);
	CU_ASSERT(ask(sock, 6, TLS_ECDSA_SHA256, new) > 0);
	on_expiry(keyd.ctx.loop, &keyd.expiry, EV_TIMER);
	CU_ASSERT(keyring_expire(keyd.ring, clock_seconds() + RETIRED_SECONDS - 5));
	CU_ASSERT(ask(sock, 5, TLS_ECDSA_SHA256, old) > 0);
	CU_ASSERT_FALSE(keyring_expire(keyd.ring, clock_seconds() + RETIRED_SECONDS));
	CU_ASSERT_EQUAL(ask(sock, 5, TLS_ECDSA_SHA256, old), 0);
	CU_ASSERT(ask(sock, 6, TLS_ECDSA_SHA256, new) > 0);
	give(7, &broken, false); /* replaces nothing */
	CU_ASSERT(has(6) && !has(7));
	on_key_gone(&keyd.ctx, &(struct control_key_gone){ 7, "imapd-ssl" }); /* the settings name none any more */
	CU_ASSERT_FALSE(has(6));
	close(sock);
	close(late);
	end();
	EVP_PKEY_free(old);
	EVP_PKEY_free(new);
}

/* A certificate for imapd of the kind NUMBER % 10: what clients take, or one of those that they refuse. */
static void give_kind(uint32_t number, EVP_PKEY *key, const char *use)
{
	static const long from[] = { -60, -7200, 3600, -60 }, until[] = { 3600, -3600, 7200, 3600 };
	unsigned kind = number % 10;
	X509 *cert = tls_test_signed(key, "DNS:a.example", NULL, key, from[kind], until[kind], false);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, "clientAuth");
	struct control_key m = { .key = number, .file = "/etc/x.pem" };
	struct str pem = STR_INIT;

	if (kind == 3) {
		X509_add_ext(cert, e, -1);
		X509_sign(cert, key, EVP_sha256());
	}
	add_pem(&pem, key, cert, NULL);
	str_copy(m.use, sizeof(m.use), use);
	on_key(&keyd.ctx, &m, file_of(pem.data, pem.len));
	str_fini(&pem);
	X509_EXTENSION_free(e);
	X509_free(cert);
}

/* Expired, not valid yet, for another purpose: it is used if there is none that clients take. */
static void test_what_clients_refuse(void)
{
	EVP_PKEY *key = tls_test_key("P-256");

	begin();
	for (uint32_t bad = 1; bad <= 3; bad++) {
		give_kind(10 * bad + bad, key, "imapd_ssl");
		CU_ASSERT(has(10 * bad + bad));
	}
	give_kind(100, key, "imapd_ssl");
	CU_ASSERT(has(100) && !has(33));
	for (uint32_t bad = 101; bad <= 103; bad++) {
		give_kind(bad, key, "imapd_ssl");
		CU_ASSERT(has(100) && !has(bad));
		give_kind(bad, key, "pop3d_ssl"); /* another use, which has none */
		CU_ASSERT(has(100) && has(bad));
	}
	give_kind(110, key, "imapd_ssl");
	CU_ASSERT(has(110) && !has(100));
	give_kind(120, key, "proxy"); /* there the purpose is right */
	give_kind(123, key, "proxy");
	CU_ASSERT(has(123) && !has(120));
	end();
	EVP_PKEY_free(key);
}

/* What a new key process tells of, and then that this is all: once to each worker, whenever that comes. */
static void test_tells_all(void)
{
	EVP_PKEY *half;
	struct msgr r;
	struct key_chain chain;
	int sock[2], fd;

	begin();
	on_keys(&keyd.ctx, CONTROL_KEYS_MORE);
	sock[0] = new_worker(0);
	half = give_new(5, "P-256");
	on_keys(&keyd.ctx, CONTROL_KEYS_ALL);
	sock[1] = new_worker(1);
	turns(2);
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_FATAL(unit_next(sock[i], in, &r, &fd) && r.type == KEY_CHAIN);
		CU_ASSERT(key_chain_read(&r, &chain) && chain.key == 5);
		CU_ASSERT_FATAL(unit_next(sock[i], in, &r, &fd) && r.type == KEY_COMPLETE);
		CU_ASSERT(key_complete_read(&r));
		CU_ASSERT_FALSE(unit_next(sock[i], in, &r, &fd));
		close(sock[i]);
	}
	end();
	EVP_PKEY_free(half);
}

/* Of the worker at SOCK: it is told of WANT keys, and that these are all, or not. */
static void told_of(int sock, unsigned want, bool all)
{
	unsigned chains = 0, complete = 0;
	struct msgr r;
	int fd;

	turns(6);
	while (unit_next(sock, in, &r, &fd)) {
		chains += r.type == KEY_CHAIN;
		complete += r.type == KEY_COMPLETE;
	}
	CU_ASSERT_EQUAL(chains, want);
	CU_ASSERT_EQUAL(complete, all);
}

/* Keys that come long after the start: a worker that begins meanwhile waits for them, and also for what came without
 * its descriptor and comes again. */
static void test_more_keys_come(void)
{
	struct control_key lost = { .key = 7, .use = "imapd-ssl name b.example ", .file = "/etc/y.pem" };
	int sock[2];

	begin();
	EVP_PKEY_free(give_new(5, "P-256"));
	sock[0] = new_worker(0);
	told_of(sock[0], 1, true);
	on_keys(&keyd.ctx, CONTROL_KEYS_MORE);
	sock[1] = new_worker(1);
	told_of(sock[1], 1, false);
	EVP_PKEY_free(give_new(6, "P-256"));
	told_of(sock[1], 1, false);
	on_keys(&keyd.ctx, CONTROL_KEYS_ALL);
	told_of(sock[0], 1, true);
	told_of(sock[1], 0, true);
	on_keys(&keyd.ctx, CONTROL_KEYS_MORE);
	on_key(&keyd.ctx, &lost, -1);
	on_keys(&keyd.ctx, CONTROL_KEYS_ALL);
	told_of(sock[1], 0, false);
	/* Others, before the master knows of the loss. */
	on_keys(&keyd.ctx, CONTROL_KEYS_MORE);
	EVP_PKEY_free(give_new(8, "P-256"));
	on_keys(&keyd.ctx, CONTROL_KEYS_ALL);
	told_of(sock[1], 1, false);
	on_keys(&keyd.ctx, CONTROL_KEYS_AFRESH);
	on_keys(&keyd.ctx, CONTROL_KEYS_ALL);
	told_of(sock[1], 0, true);
	close(sock[0]);
	close(sock[1]);
	end();
}

/* A worker that lost its end of the channel has one again, and no other. */
static void test_another_channel(void)
{
	int sock[2];

	begin();
	sock[0] = new_worker(0);
	sock[1] = new_worker(0);
	CU_ASSERT_PTR_NULL(keyd.workers->next);
	close(sock[0]);
	close(sock[1]);
	end();
}

/* Chains that together are more than a channel holds reach a worker that takes them late; meanwhile it gets signatures,
 * and a certificate that is replaced on its way is not told. */
static void test_many_certificates_to_read(void)
{
	enum { MANY = 400 };
	EVP_PKEY *key = tls_test_key("P-256");
	struct str names = STR_INIT, pem = STR_INIT;
	static bool told[MANY + 2];
	unsigned signatures = 0, complete = 0, chains = 0;
	struct key_chain chain;
	struct msgr r;
	X509 *cert;
	size_t sum = 0;
	int sock, fd;

	begin();
	on_keys(&keyd.ctx, CONTROL_KEYS_MORE);
	for (int i = 0; i < 1500; i++)
		str_addf(&names, "%sDNS:n%d.example", i != 0 ? "," : "", i);
	cert = tls_test_signed(key, str_cstr(&names), NULL, key, -60, 3600, false);
	add_pem(&pem, key, cert, NULL);
	for (uint32_t n = 1; n <= MANY + 1; n++) {
		struct control_key m = { .key = n, .file = "/etc/x.pem" };

		if (n == MANY + 1) { /* renews the last one */
			sock = new_worker(0);
			on_keys(&keyd.ctx, CONTROL_KEYS_ALL);
			turns(50);
		}
		snprintf(m.use, sizeof(m.use), "imapd_ssl name n%u.example ", (unsigned)MIN(n, (uint32_t)MANY));
		on_key(&keyd.ctx, &m, file_of(pem.data, pem.len));
	}
	CU_ASSERT(chan_queued(keyd.workers->chan) < 2 * MSG_SIZE_MAX);
	for (unsigned idle = 0; idle < 10;) {
		if (chains % 100 == 50 && signatures * 100 < chains) {
			key_sign_write(&w,
			    &(struct key_sign){ 1, 1, TLS_ECDSA_SHA256, "01234567890123456789012345678901" });
			CU_ASSERT_EQUAL(msg_send(sock, &w, -1), 0);
			signatures++;
		}
		turns(2);
		if (!unit_next(sock, in, &r, &fd)) {
			idle++;
			continue;
		}
		idle = 0;
		if (r.type == KEY_CHAIN && key_chain_read(&r, &chain) && chain.key < ARRAY_LEN(told)) {
			CU_ASSERT_FALSE(told[chain.key]);
			told[chain.key] = true;
			chains++;
			sum += chain.cert[0].len;
		}
		complete += r.type == KEY_COMPLETE;
	}
	CU_ASSERT(sum > CHAN_QUEUE_MAX);
	CU_ASSERT_EQUAL(chains, MANY);
	CU_ASSERT(told[MANY + 1] && !told[MANY]);
	CU_ASSERT_EQUAL(complete, 1);
	CU_ASSERT_EQUAL(signatures, 4);
	CU_ASSERT_FALSE(told_unfit());
	CU_ASSERT_EQUAL(logged, 0);
	close(sock);
	end();
	str_fini(&names);
	str_fini(&pem);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* One that begins signs with what it has, and with the rest as it comes; what never comes is refused in the end. */
static void test_asked_before_it_has_all(void)
{
	uint8_t digest[TLS_DIGEST_MAX] = { 0 };
	struct key_signed m;
	EVP_PKEY *half, *other;
	struct msgr r;
	int sock[2], fd;

	begin();
	on_keys(&keyd.ctx, CONTROL_KEYS_MORE);
	half = give_new(5, "P-256");
	sock[0] = new_worker(0);
	sock[1] = new_worker(1);
	CU_ASSERT(ask(sock[0], 5, TLS_ECDSA_SHA256, half) > 0);
	CU_ASSERT_EQUAL(ask(sock[0], 6, TLS_ECDSA_SHA256, half), 0); /* not yet */
	CU_ASSERT_EQUAL(ask(sock[1], 7, TLS_ECDSA_SHA256, half), 0);
	CU_ASSERT_EQUAL(logged, 0);
	/* A worker waits with one request, which it may send twice; with another one it is refused at once. */
	key_sign_write(&w, &(struct key_sign){ 7, 7, TLS_ECDSA_SHA256, digest });
	CU_ASSERT_EQUAL(msg_send(sock[1], &w, -1), 0);
	turns(2);
	while (unit_next(sock[1], in, &r, &fd))
		CU_ASSERT(r.type != KEY_SIGNED);
	key_sign_write(&w, &(struct key_sign){ 9, 8, TLS_ECDSA_SHA256, digest });
	CU_ASSERT_EQUAL(msg_send(sock[1], &w, -1), 0);
	turns(2);
	m = (struct key_signed){ .len = 1 };
	while (unit_next(sock[1], in, &r, &fd))
		if (r.type == KEY_SIGNED)
			CU_ASSERT(key_signed_read(&r, &m));
	CU_ASSERT(m.request == 9 && m.len == 0);
	other = give_new(6, "P-256");
	turns(2);
	m.len = 0;
	while (unit_next(sock[0], in, &r, &fd))
		if (r.type == KEY_SIGNED)
			CU_ASSERT(key_signed_read(&r, &m) && m.request == 7 && m.len > 0);
	CU_ASSERT(m.len > 0);
	CU_ASSERT_EQUAL(logged, 1);
	on_keys(&keyd.ctx, CONTROL_KEYS_ALL);
	turns(10);
	m.len = 1;
	while (unit_next(sock[1], in, &r, &fd))
		if (r.type == KEY_SIGNED)
			CU_ASSERT(key_signed_read(&r, &m) && m.request == 7);
	CU_ASSERT_EQUAL(m.len, 0);
	CU_ASSERT_EQUAL(logged, 1);
	key_sign_write(&w, &(struct key_sign){ 1, 0, TLS_ECDSA_SHA256, digest });
	close(sock[0]);
	close(sock[1]);
	end();
	EVP_PKEY_free(half);
	EVP_PKEY_free(other);
}

/* Nobody but login workers is listened to. */
static void test_other_roles(void)
{
	struct msgr r;
	int fd[2], got;

	begin();
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	on_channel(&keyd.ctx, ROLE_AUTHD, 0, 1, fd[0]);
	CU_ASSERT_EQUAL(msg_recv(fd[1], in, &r, &got), 0);
	CU_ASSERT_PTR_NULL(keyd.workers);
	close(fd[1]);
	end();
}

/* --- the worker's end --- */

struct told {
	unsigned chains, gone, begun;
	uint32_t key;
	X509 *cert;
};

static void on_told_chain(const struct key_chain *chain, void *arg)
{
	struct told *t = arg;
	const unsigned char *p = chain->cert[0].der;

	t->chains++;
	t->key = chain->key;
	X509_free(t->cert);
	t->cert = d2i_X509(NULL, &p, (long)chain->cert[0].len);
}

static void on_told_gone(uint32_t key UNUSED, void *arg)
{
	((struct told *)arg)->gone++;
}

static void on_told_begins(void *arg)
{
	((struct told *)arg)->begun++;
}

static void on_told_complete(void *arg UNUSED) { }

static const struct key_client_fns fns = { on_told_chain, on_told_gone, on_told_begins, on_told_complete };

/* A key process in a child. It has key 5 of KIND, and renews it with each byte at POKE. */
static void on_poke(struct ev_loop *loop UNUSED, ev_io *io, int revents UNUSED)
{
	static uint32_t number = 5;
	char c;

	if (read(io->fd, &c, 1) != 1)
		_exit(0);
	EVP_PKEY_free(give_new(++number, io->data));
}

static pid_t start_keyd(const int sock[2], const int poke[2], char *kind)
{
	pid_t pid = fork();
	ev_io io;

	close(pid != 0 ? sock[0] : sock[1]);
	close(pid != 0 ? poke[0] : poke[1]);
	if (pid != 0)
		return pid;
	begin();
	EVP_PKEY_free(give_new(5, kind));
	on_channel(&keyd.ctx, ROLE_WORKER, 0, 1, sock[0]);
	ev_io_init(&io, on_poke, poke[0], EV_READ);
	io.data = kind;
	ev_io_start(keyd.ctx.loop, &io);
	ev_run(keyd.ctx.loop, 0);
	_exit(0);
}

/* One that dies with a request that it has read, and one after it on the same channel, with the same key. */
static pid_t start_two(const int sock[2], char *kind)
{
	struct msgr r;
	pid_t pid = fork();
	int got;

	close(pid != 0 ? sock[0] : sock[1]);
	if (pid != 0)
		return pid;
	begin();
	EVP_PKEY_free(give_new(5, kind));
	on_channel(&keyd.ctx, ROLE_WORKER, 0, 1, dup(sock[0]));
	turns(5);
	on_worker_gone(keyd.workers->chan, keyd.workers);
	if (!fd_wait(sock[0], POLLIN, clock_ms() + 10000) || msg_recv(sock[0], in, &r, &got) != 1 || r.type != KEY_SIGN)
		_exit(1);
	on_channel(&keyd.ctx, ROLE_WORKER, 0, 1, sock[0]);
	ev_run(keyd.ctx.loop, 0);
	_exit(0);
}

static struct key_client *client;

static size_t sign_far(enum tls_scheme scheme, const void *digest, size_t len UNUSED, uint8_t *sig, void *arg)
{
	return key_client_sign(client, ((struct told *)arg)->key, scheme, digest, sig);
}

/* A whole handshake whose server has only the certificate. */
static bool shake(struct told *t)
{
	SSL_CTX *sctx = SSL_CTX_new(TLS_server_method()), *cctx = SSL_CTX_new(TLS_client_method());
	EVP_PKEY *key = tls_key_new(X509_get0_pubkey(t->cert), sign_far, t);
	SSL *c, *s;
	bool good;

	CU_ASSERT_EQUAL(SSL_CTX_use_certificate(sctx, t->cert), 1);
	CU_ASSERT_EQUAL(SSL_CTX_use_PrivateKey(sctx, key), 1);
	tls_test_pair(cctx, sctx, &c, &s);
	good = tls_test_shake(c, s);
	SSL_free(c);
	SSL_free(s);
	SSL_CTX_free(sctx);
	SSL_CTX_free(cctx);
	EVP_PKEY_free(key);
	return good;
}

/* At most ten seconds. */
static void until(struct ev_loop *loop, const unsigned *count, unsigned n)
{
	for (int i = 0; i < 10000 && *count < n; i++) {
		ev_run(loop, EVRUN_NOWAIT);
		usleep(1000);
	}
	CU_ASSERT_FATAL(*count >= n);
}

static void with_client(char *kind)
{
	struct ev_loop *loop = loop_new();
	struct told told = { 0 };
	int fd[2], poke[2];
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	CU_ASSERT_EQUAL_FATAL(pipe(poke), 0);
	pid = start_keyd(fd, poke, kind);
	client = key_client_new(loop, fd[1], &fns, &told);
	until(loop, &told.chains, 1);
	CU_ASSERT(shake(&told) && shake(&told));
	/* It has renewed its key just before it signs: told in the next turn, and not within the call. */
	CU_ASSERT_EQUAL(write(poke[1], "", 1), 1);
	CU_ASSERT(fd_wait(fd[1], POLLIN, clock_ms() + 10000));
	CU_ASSERT(shake(&told));
	CU_ASSERT(told.chains == 1 && told.gone == 0);
	until(loop, &told.chains, 2);
	until(loop, &told.gone, 1);
	CU_ASSERT(told.key == 6 && shake(&told));
	/* It does not answer in time. The late answer is no answer to what is asked next. */
	kill(pid, SIGSTOP);
	CU_ASSERT_EQUAL(waitpid(pid, NULL, WUNTRACED), pid);
	no_time = true;
	logged = 0;
	CU_ASSERT_FALSE(shake(&told));
	CU_ASSERT_FALSE(shake(&told));
	CU_ASSERT_EQUAL(logged, 1);
	no_time = false;
	kill(pid, SIGCONT);
	for (int i = 0; i < 5000 && !shake(&told); i++) /* until the late answer is there */
		usleep(1000);
	CU_ASSERT(shake(&told));
	/* It dies. */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CU_ASSERT_FALSE(shake(&told));
	ev_run(loop, EVRUN_NOWAIT);
	CU_ASSERT_FALSE(shake(&told));
	key_client_free(&client);
	key_client_free(&client);
	X509_free(told.cert);
	close(poke[1]);
}

/* The handshake waits for the successor, which cannot know what its predecessor was asked. */
static void test_successor(void)
{
	static char ec[] = "P-256";
	struct ev_loop *loop = loop_new();
	struct told told = { 0 };
	int fd[2];
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	pid = start_two(fd, ec);
	client = key_client_new(loop, fd[1], &fns, &told);
	until(loop, &told.chains, 1);
	CU_ASSERT(shake(&told) && shake(&told));
	until(loop, &told.chains, 2);
	CU_ASSERT(told.key == 5 && shake(&told));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	key_client_free(&client);
	X509_free(told.cert);
}

/* A part of a key that was lost comes again with the others: what came without it is not judged. */
static void test_lost_part(void)
{
	struct control_key m = { .key = 7, .more = true, .use = "imapd-ssl", .file = "/etc/x.pem" };
	struct str cert = STR_INIT, key = STR_INIT;
	EVP_PKEY *pair = tls_test_key("P-256");
	X509 *self = tls_test_cert(pair, "x");
	struct key_chain there;
	struct msgr r;
	int got;

	add_pem(&cert, NULL, self, NULL);
	add_pem(&key, pair, NULL, NULL);
	begin();
	on_key(&keyd.ctx, &m, -1);
	give(7, &key, false);
	give(7, &cert, true);
	m.more = false;
	on_key(&keyd.ctx, &m, -1);
	CU_ASSERT_FALSE(fd_wait(control, POLLIN, clock_ms()));
	CU_ASSERT_FALSE(keyring_certificates(keyd.ring, 7, &there));
	give(7, &cert, true);
	give(7, &key, false);
	CU_ASSERT(keyring_certificates(keyd.ring, 7, &there));
	CU_ASSERT(fd_wait(control, POLLIN, clock_ms() + 10000));
	CU_ASSERT_EQUAL_FATAL(msg_recv(control, in, &r, &got), 1);
	CU_ASSERT_EQUAL(r.type, CTL_KEY_NEWS);
	end();
	str_fini(&cert);
	str_fini(&key);
	X509_free(self);
	EVP_PKEY_free(pair);
}

static void test_client(void)
{
	static char ec[] = "P-256", rsa[] = "RSA";

	with_client(ec);
	with_client(rsa);
}

static const struct unit_case cases[] = {
	{ "what clients refuse replaces nothing better", test_what_clients_refuse },
	{ "files", test_files },
	{ "many keys", test_many_keys },
	{ "a chain that libssl does not take", test_weak_chain },
	{ "many certificates to read", test_many_certificates_to_read },
	{ "asked before it has all", test_asked_before_it_has_all },
	{ "files passed again", test_passed_again },
	{ "files cut anywhere", test_files_cut },
	{ "signs", test_signs },
	{ "refuses", test_refuses },
	{ "a compromised worker", test_compromised_worker },
	{ "floods", test_floods },
	{ "a renewed certificate", test_renewal },
	{ "what there is", test_tells_all },
	{ "more keys come", test_more_keys_come },
	{ "another channel to a worker", test_another_channel },
	{ "other roles", test_other_roles },
	{ "a worker's end", test_client },
	{ "a request that a dead process has read", test_successor },
	{ "a lost part of a key", test_lost_part },
	{ NULL, NULL },
};
UNIT_MAIN("keyd", cases)
