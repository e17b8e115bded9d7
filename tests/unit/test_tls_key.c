/* Keys whose private half is in another process: handshakes with them, and what they refuse. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/tls_key.h"
#include "tests/unit/tls_test.h"

/* A key in a child, which signs what it is asked to. */
struct far {
	pid_t pid;
	int sock;
	X509 *cert;
	EVP_PKEY *key; /* ours, with the public half */
	unsigned signed_now, asked[TLS_SCHEME_COUNT];
	bool dead; /* asks for nothing any more */
};

struct ask {
	enum tls_scheme scheme;
	size_t len;
	uint8_t digest[TLS_DIGEST_MAX];
};

/* What the parent looks for in its own memory is told to it changed. */
enum { SECRET_MASK = 0x5a };

static int secret_of(EVP_PKEY *key, uint8_t *secret, size_t size)
{
	BIGNUM *n = NULL;
	int len;

	EVP_PKEY_get_bn_param(key, EVP_PKEY_is_a(key, "RSA") ? "rsa-factor1" : "priv", &n);
	CU_ASSERT_FATAL(n != NULL && (size_t)BN_num_bytes(n) <= size);
	len = BN_bn2bin(n, secret);
	BN_clear_free(n);
	return len;
}

/* The child: first its certificate, then signatures; for an ask of no length the secret itself, changed. */
static void NORETURN be_far(int sock, const char *kind)
{
	EVP_PKEY *key = tls_test_key(kind);
	X509 *cert = tls_test_cert(key, "far.example");
	struct tls_signer *s = tls_signer_new(key);
	uint8_t out[4096], *p = out;
	struct ask ask;
	ssize_t n = i2d_X509(cert, &p);

	send(sock, out, (size_t)n, 0);
	while (recv(sock, &ask, sizeof(ask), 0) == sizeof(ask)) {
		if (ask.len == 0) {
			n = secret_of(key, out, sizeof(out));
			for (ssize_t i = 0; i < n; i++)
				out[i] ^= SECRET_MASK;
		} else {
			n = (ssize_t)tls_signer_sign(s, ask.scheme, ask.digest, ask.len, out);
		}
		send(sock, out, (size_t)n, MSG_NOSIGNAL);
	}
	_exit(0);
}

static size_t ask_far(enum tls_scheme scheme, const void *digest, size_t len, uint8_t *sig, void *arg)
{
	struct far *f = arg;
	struct ask ask = { .scheme = scheme, .len = len };
	ssize_t n;

	CU_ASSERT_FATAL(scheme < TLS_SCHEME_COUNT && len == tls_scheme_digest_len(scheme));
	f->signed_now++;
	f->asked[scheme]++;
	if (f->dead)
		return 0;
	memcpy(ask.digest, digest, len);
	CU_ASSERT_EQUAL_FATAL(send(f->sock, &ask, sizeof(ask), MSG_NOSIGNAL), sizeof(ask));
	n = recv(f->sock, sig, TLS_SIGNATURE_MAX, 0);
	return n > 0 ? (size_t)n : 0;
}

static void begin(struct far *f, const char *kind)
{
	uint8_t der[4096];
	const uint8_t *p = der;
	int sock[2];
	ssize_t n;

	memset(f, 0, sizeof(*f));
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock), 0);
	f->pid = fork();
	if (f->pid == 0) {
		close(sock[0]);
		be_far(sock[1], kind);
	}
	close(sock[1]);
	f->sock = sock[0];
	n = recv(f->sock, der, sizeof(der), 0);
	f->cert = n > 0 ? d2i_X509(NULL, &p, n) : NULL;
	CU_ASSERT_PTR_NOT_NULL_FATAL(f->cert);
	f->key = tls_key_new(X509_get0_pubkey(f->cert), ask_far, f);
	CU_ASSERT_PTR_NOT_NULL_FATAL(f->key);
}

static void end(struct far *f)
{
	int status;

	close(f->sock);
	EVP_PKEY_free(f->key);
	X509_free(f->cert);
	CU_ASSERT_EQUAL(waitpid(f->pid, &status, 0), f->pid);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A context that shows F, or nothing. */
static SSL_CTX *side(const SSL_METHOD *method, int version, const struct far *f)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
	SSL_CTX_set_min_proto_version(ctx, version);
	SSL_CTX_set_max_proto_version(ctx, version);
	if (f != NULL) {
		CU_ASSERT_EQUAL(SSL_CTX_use_certificate(ctx, f->cert), 1);
		CU_ASSERT_EQUAL(SSL_CTX_use_PrivateKey(ctx, f->key), 1);
		CU_ASSERT_EQUAL(SSL_CTX_check_private_key(ctx), 1);
	}
	return ctx;
}

static int take_any(int good UNUSED, X509_STORE_CTX *store UNUSED)
{
	return 1;
}

/* A handshake whose server shows SERVER, and whose client, if it has one, CLIENT; SIGALGS (NULL: OpenSSL's) are
 * what the client offers. */
static bool shake(int version, struct far *server, struct far *client, const char *sigalgs)
{
	SSL_CTX *sctx = side(TLS_server_method(), version, server), *cctx = side(TLS_client_method(), version, client);
	SSL *s, *c;
	bool good;

	if (client != NULL)
		SSL_CTX_set_verify(sctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, take_any);
	if (sigalgs != NULL) {
		CU_ASSERT_EQUAL(SSL_CTX_set1_sigalgs_list(cctx, (char *)(uintptr_t)sigalgs), 1);
	}
	tls_test_pair(cctx, sctx, &c, &s);
	good = tls_test_shake(c, s);
	SSL_free(s);
	SSL_free(c);
	SSL_CTX_free(sctx);
	SSL_CTX_free(cctx);
	return good;
}

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static void with_kind(const char *kind)
{
	struct far f, client;

	begin(&f, kind);
	begin(&client, kind);
	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		f.signed_now = client.signed_now = 0;
		CU_ASSERT(shake(versions[i], &f, NULL, NULL));
		CU_ASSERT_EQUAL(f.signed_now, 1);
		CU_ASSERT(shake(versions[i], &f, &client, NULL));
		CU_ASSERT(f.signed_now == 2 && client.signed_now == 1);
	}
	end(&client);
	end(&f);
}

static void test_rsa(void)
{
	with_kind("RSA");
}

static void test_ecdsa(void)
{
	with_kind("P-256");
	with_kind("P-384");
	with_kind("P-521");
}

/* Every scheme of the list is used by the version that knows it, and the other side believes the signature. */
static void test_schemes(void)
{
	static const struct {
		const char *sigalgs;
		int version;
		enum tls_scheme scheme;
	} cases[] = {
		{ "rsa_pkcs1_sha256", TLS1_2_VERSION, TLS_RSA_PKCS1_SHA256 },
		{ "rsa_pkcs1_sha384", TLS1_2_VERSION, TLS_RSA_PKCS1_SHA384 },
		{ "rsa_pkcs1_sha512", TLS1_2_VERSION, TLS_RSA_PKCS1_SHA512 },
		{ "rsa_pss_rsae_sha256", TLS1_2_VERSION, TLS_RSA_PSS_SHA256 },
		{ "rsa_pss_rsae_sha384", TLS1_3_VERSION, TLS_RSA_PSS_SHA384 },
		{ "rsa_pss_rsae_sha512", TLS1_3_VERSION, TLS_RSA_PSS_SHA512 },
		{ "ECDSA+SHA256", TLS1_3_VERSION, TLS_ECDSA_SHA256 },
		{ "ECDSA+SHA384", TLS1_2_VERSION, TLS_ECDSA_SHA384 },
		{ "ECDSA+SHA512", TLS1_2_VERSION, TLS_ECDSA_SHA512 },
	};
	struct far rsa, ec;

	begin(&rsa, "RSA");
	begin(&ec, "P-256");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct far *f = cases[i].scheme < TLS_ECDSA_SHA256 ? &rsa : &ec;
		unsigned before = f->asked[cases[i].scheme];

		CU_ASSERT(shake(cases[i].version, f, NULL, cases[i].sigalgs));
		CU_ASSERT_EQUAL(f->asked[cases[i].scheme], before + 1);
	}
	/* None of ours: SHA-1, and what signs the message itself. */
	CU_ASSERT_FALSE(shake(TLS1_2_VERSION, &rsa, NULL, "rsa_pkcs1_sha1"));
	CU_ASSERT_FALSE(shake(TLS1_2_VERSION, &rsa, NULL, "ed25519"));
	end(&ec);
	end(&rsa);
}

/* Nobody signs: the handshake fails, and nothing else. */
static void test_no_signature(void)
{
	struct far f;

	begin(&f, "P-256");
	f.dead = true;
	CU_ASSERT_FALSE(shake(TLS1_2_VERSION, &f, NULL, NULL));
	CU_ASSERT_FALSE(shake(TLS1_3_VERSION, &f, NULL, NULL));
	f.dead = false;
	CU_ASSERT(shake(TLS1_3_VERSION, &f, NULL, NULL));
	end(&f);
}

static bool decrypts(EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool can = ctx != NULL && EVP_PKEY_decrypt_init(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	return can;
}

static bool signs_raw(EVP_PKEY *key)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	bool can = ctx != NULL && EVP_PKEY_sign_init(ctx) == 1;

	EVP_PKEY_CTX_free(ctx);
	return can;
}

static bool signs_padded(EVP_PKEY *key, const char *digest, int padding)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx;
	uint8_t sig[TLS_SIGNATURE_MAX];
	size_t len = sizeof(sig);
	bool can = EVP_DigestSignInit_ex(md, &ctx, digest, NULL, NULL, key, NULL) == 1 &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1 &&
	    EVP_DigestSign(md, sig, &len, (const uint8_t *)"text", 4) == 1;

	EVP_MD_CTX_free(md);
	return can;
}

/* Static RSA key exchange would be a decryption; a raw signature is one. */
static void test_signs_and_nothing_else(void)
{
	struct far f;
	SSL_CTX *cctx, *sctx;
	SSL *c, *s;

	begin(&f, "RSA");
	CU_ASSERT(signs_padded(f.key, "SHA256", RSA_PKCS1_PADDING));
	CU_ASSERT(signs_padded(f.key, "SHA2-384", RSA_PKCS1_PSS_PADDING));
	CU_ASSERT_FALSE(signs_padded(f.key, "SHA256", RSA_NO_PADDING));
	CU_ASSERT_FALSE(signs_padded(f.key, "SHA256", RSA_X931_PADDING));
	CU_ASSERT_FALSE(signs_padded(f.key, "SHA1", RSA_PKCS1_PADDING));
	CU_ASSERT_FALSE(signs_padded(f.key, "MD5", RSA_PKCS1_PADDING));
	CU_ASSERT_FALSE(signs_raw(f.key));
	CU_ASSERT_FALSE(decrypts(f.key));
	sctx = side(TLS_server_method(), TLS1_2_VERSION, &f);
	cctx = side(TLS_client_method(), TLS1_2_VERSION, NULL);
	CU_ASSERT_EQUAL(SSL_CTX_set_cipher_list(cctx, "kRSA"), 1);
	CU_ASSERT_EQUAL(SSL_CTX_set_cipher_list(sctx, "ALL"), 1);
	tls_test_pair(cctx, sctx, &c, &s);
	CU_ASSERT_FALSE(tls_test_shake(c, s));
	SSL_free(c);
	SSL_free(s);
	SSL_CTX_free(cctx);
	SSL_CTX_free(sctx);
	ERR_clear_error();
	end(&f);
}

/* It shows its public half, and no other. */
static void test_shows_public_half(void)
{
	struct far f;
	OSSL_PARAM *params = NULL;
	EVP_PKEY *other = tls_test_key("P-256");

	begin(&f, "P-256");
	CU_ASSERT_EQUAL(EVP_PKEY_eq(f.key, X509_get0_pubkey(f.cert)), 1);
	CU_ASSERT_EQUAL(EVP_PKEY_eq(X509_get0_pubkey(f.cert), f.key), 1);
	CU_ASSERT_NOT_EQUAL(EVP_PKEY_eq(f.key, other), 1);
	CU_ASSERT_NOT_EQUAL(X509_check_private_key(f.cert, other), 1);
	CU_ASSERT_EQUAL(EVP_PKEY_get_bits(f.key), 256);
	CU_ASSERT_EQUAL(EVP_PKEY_todata(f.key, EVP_PKEY_PUBLIC_KEY, &params), 1);
	OSSL_PARAM_free(params);
	params = NULL;
	CU_ASSERT_NOT_EQUAL(EVP_PKEY_todata(f.key, EVP_PKEY_KEYPAIR, &params), 1);
	OSSL_PARAM_free(params);
	ERR_clear_error();
	EVP_PKEY_free(other);
	end(&f);
}

static const char *provider_of(const EVP_KEYMGMT *k)
{
	return k != NULL ? OSSL_PROVIDER_get0_name(EVP_KEYMGMT_get0_provider(k)) : "none";
}

/* What others get from OpenSSL is what it was before there were keys of our own. */
static void test_others_get_openssls(void)
{
	static const char *const names[] = { "RSA", "EC", "rsaEncryption", "id-ecPublicKey" };
	struct far f;
	EVP_PKEY *key;

	begin(&f, "RSA");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		EVP_KEYMGMT *k = EVP_KEYMGMT_fetch(NULL, names[i], NULL);

		CU_ASSERT_STRING_EQUAL(provider_of(k), "default");
		EVP_KEYMGMT_free(k);
	}
	key = tls_test_key("RSA");
	CU_ASSERT(decrypts(key));
	EVP_PKEY_free(key);
	end(&f);
}

static void test_refused_kinds(void)
{
	static const char *const kinds[] = { "ED25519", "X25519", "ED448" };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		EVP_PKEY *key = tls_test_key(kinds[i]);

		CU_ASSERT_PTR_NULL(tls_key_new(key, ask_far, NULL));
		CU_ASSERT_PTR_NULL(tls_signer_new(key));
		EVP_PKEY_free(key);
	}
}

/* How often the LEN bytes at MASKED, unmasked, stand in the LEN2 bytes at P. */
static unsigned count_in(const uint8_t *p, size_t len2, const uint8_t *masked, size_t len)
{
	const uint8_t *end = p + len2;
	unsigned found = 0;

	while ((p = memchr(p, masked[0] ^ SECRET_MASK, (size_t)(end - p))) != NULL && (size_t)(end - p) >= len) {
		size_t n = 0;

		while (n < len && (p[n] ^ SECRET_MASK) == masked[n])
			n++;
		found += n == len;
		p++;
	}
	return found;
}

enum { REGION_MAX = 1 << 30 }; /* larger ones are the sanitizers' own */

/* In all memory of this process that can be written; either way round, as BIGNUMs are kept. */
static unsigned count_in_memory(const uint8_t *masked, size_t len)
{
	static uint8_t buf[1 << 20];
	FILE *maps = fopen("/proc/self/maps", "r");
	int mem = open("/proc/self/mem", O_RDONLY);
	unsigned long from, to;
	unsigned found = 0;
	char line[512], mode[8];
	uint8_t back[1024];

	CU_ASSERT_FATAL(maps != NULL && mem != -1 && len <= sizeof(back));
	for (size_t i = 0; i < len; i++)
		back[i] = masked[len - 1 - i];
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || strncmp(mode, "rw", 2) != 0 ||
		    to - from > REGION_MAX)
			continue;
		for (unsigned long at = from; at < to; at += sizeof(buf) / 2) {
			ssize_t n = pread(mem, buf, MIN(sizeof(buf), to - at), (off_t)at);

			if (n > 0)
				found += count_in(buf, (size_t)n, masked, len) + count_in(buf, (size_t)n, back, len);
		}
	}
	fclose(maps);
	close(mem);
	return found;
}

static void holds_no_secret(const char *kind)
{
	struct far f;
	struct ask ask = { .len = 0 };
	uint8_t masked[1024], plain[1024];
	ssize_t n;

	begin(&f, kind);
	CU_ASSERT(shake(TLS1_2_VERSION, &f, NULL, NULL) && shake(TLS1_3_VERSION, &f, NULL, NULL));
	CU_ASSERT_EQUAL(send(f.sock, &ask, sizeof(ask), 0), sizeof(ask));
	n = recv(f.sock, masked, sizeof(masked), 0);
	CU_ASSERT_FATAL(n >= 24);
	CU_ASSERT_EQUAL(count_in_memory(masked, (size_t)n), 0);
	for (ssize_t i = 0; i < n; i++)
		plain[i] = masked[i] ^ SECRET_MASK;
	CU_ASSERT(count_in_memory(masked, (size_t)n) > 0); /* it would be found */
	mem_wipe(plain, sizeof(plain));
	end(&f);
}

static void test_holds_no_secret(void)
{
	holds_no_secret("RSA");
	holds_no_secret("P-256");
}

/* --- signers --- */

static void test_signer_refuses(void)
{
	EVP_PKEY *rsa = tls_test_key("RSA"), *ec = tls_test_key("P-256"), *small = EVP_RSA_gen(512);
	struct tls_signer *r = tls_signer_new(rsa), *e = tls_signer_new(ec), *s = tls_signer_new(small);
	uint8_t sig[TLS_SIGNATURE_MAX], digest[TLS_SIGNATURE_MAX] = { 1 };

	for (unsigned i = 0; i < TLS_SCHEME_COUNT; i++) {
		enum tls_scheme scheme = (enum tls_scheme)i;
		size_t len = tls_scheme_digest_len(scheme);
		bool is_rsa = scheme < TLS_ECDSA_SHA256;

		CU_ASSERT_EQUAL(tls_signer_sign(r, scheme, digest, len, sig), is_rsa ? 256 : 0);
		CU_ASSERT_EQUAL(tls_signer_sign(e, scheme, digest, len, sig) > 0, !is_rsa);
		for (size_t n = 0; n <= sizeof(digest); n++)
			if (n != len) {
				CU_ASSERT_EQUAL(tls_signer_sign(is_rsa ? r : e, scheme, digest, n, sig), 0);
			}
	}
	CU_ASSERT_EQUAL(tls_signer_sign(r, TLS_SCHEME_COUNT, digest, 32, sig), 0);
	CU_ASSERT_EQUAL(tls_signer_sign(r, (enum tls_scheme)0x7fffffff, digest, 32, sig), 0);
	CU_ASSERT_EQUAL(tls_signer_sign(s, TLS_RSA_PSS_SHA512, digest, 64, sig), 0);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	tls_signer_free(&r);
	tls_signer_free(&e);
	tls_signer_free(&s);
	tls_signer_free(&s);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(small);
}

static const struct unit_case cases[] = {
	{ "RSA", test_rsa },
	{ "ECDSA", test_ecdsa },
	{ "every scheme", test_schemes },
	{ "no signature", test_no_signature },
	{ "signs and nothing else", test_signs_and_nothing_else },
	{ "shows its public half", test_shows_public_half },
	{ "others get OpenSSL's", test_others_get_openssls },
	{ "refused kinds of key", test_refused_kinds },
	{ "the process holds no secret", test_holds_no_secret },
	{ "what a signer refuses", test_signer_refuses },
	{ NULL, NULL },
};
UNIT_MAIN("tls_key", cases)
