/* Private keys and their certificates, from PEM. */
#include "keyd/keyring.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>

#include "keyd/ocsp.h"
#include "lib/mem.h"
#include "lib/tls_cert.h"
#include "lib/tls_ctx.h"
#include "lib/tls_issuers.h"
#include "node/key_use.h"

enum { PIECE = 4096, SAFE_BITS = 112 };

/* The keys for one use: mostly one, two while it is renewed. */
struct use {
	struct entry *first; /* those that are offered */
	unsigned keys;       /* all of them */
	UT_hash_handle hh;
	char text[];
};

struct entry {
	struct entry *next; /* of its use, if it is offered */
	struct use *use;
	uint32_t key;
	bool retired;
	uint32_t until; /* retired: when it is dropped, clock_seconds() */
	struct tls_signer *signer;
	struct str der;  /* of its own certificate */
	unsigned behind; /* certificates behind that one */
	const struct tls_issuer *issuer[KEY_CHAIN_CERTS - 1];
	struct str ocsp;
	int64_t ocsp_until;
	UT_hash_handle hh;
};

struct keyring {
	struct entry *keys; /* by number */
	struct use *uses;   /* by text */
	struct tls_issuers *issuers;
	SSL_CTX *trial; /* to make one for each certificate takes longer than all else that is done with it */
	/* The certificate of key PARSED: the same one is asked about several times. */
	X509 *cert;
	uint32_t parsed;
};

struct keyring *keyring_new(void)
{
	struct keyring *k = mem_alloc(sizeof(*k));

	k->trial = tls_ctx_new(true);
	k->issuers = tls_issuers_new();
	return k;
}

static void entry_free(struct keyring *k, struct entry **e)
{
	tls_signer_free(&(*e)->signer);
	for (unsigned i = 0; i < (*e)->behind; i++)
		tls_issuers_drop(k->issuers, (*e)->issuer[i]);
	str_fini(&(*e)->der);
	str_fini(&(*e)->ocsp);
	mem_free(e);
}

static void forget_parsed(struct keyring *k)
{
	X509_free(k->cert);
	k->cert = NULL;
}

void keyring_free(struct keyring **k)
{
	if (*k == NULL)
		return;
	while ((*k)->keys != NULL)
		keyring_drop(*k, (*k)->keys->key);
	forget_parsed(*k);
	tls_issuers_free(&(*k)->issuers);
	SSL_CTX_free((*k)->trial);
	mem_free(k);
}

static struct entry *find(const struct keyring *k, uint32_t key)
{
	struct entry *e;

	HASH_FIND(hh, k->keys, &key, sizeof(key), e);
	return e;
}

static void offer(struct keyring *k, struct entry *e, const char *text)
{
	struct use *u;

	HASH_FIND_STR(k->uses, text, u);
	if (u == NULL) {
		u = mem_alloc(sizeof(*u) + strlen(text) + 1);
		memcpy(u->text, text, strlen(text) + 1);
		HASH_ADD_STR(k->uses, text, u);
	}
	u->keys++;
	e->use = u;
	e->next = u->first;
	u->first = e;
}

static void stop_offering(struct entry *e)
{
	struct entry **p = &e->use->first;

	if (e->retired)
		return;
	while (*p != e)
		p = &(*p)->next;
	*p = e->next;
	e->retired = true;
}

/* --- PEM --- */

const char *keyring_read_file(int fd, struct str *pem)
{
	ssize_t n;

	if (pem->data == NULL)
		str_room(pem, KEYRING_PEM_MAX + 2 * PIECE); /* it does not move: no copy is left behind */
	do {
		n = read(fd, str_room(pem, PIECE), PIECE);
		pem->len += (size_t)MAX(n, 0);
	} while ((n > 0 && pem->len <= KEYRING_PEM_MAX) || (n < 0 && errno == EINTR));
	str_addc(pem, '\n');
	return n == 0 ? NULL : n > 0 ? "the file is too long" : strerror(errno);
}

/* Called for a key that is encrypted: nobody is there to ask. */
static int no_passphrase(char *buf UNUSED, int size UNUSED, int writing UNUSED, void *arg)
{
	*(bool *)arg = true;
	return -1;
}

/* OpenSSL looks for what may be a key behind the last one for as long as it takes to read one. */
static unsigned count_keys(const char *pem, size_t len)
{
	static const char begin[] = "-----BEGIN ", end[] = "PRIVATE KEY-----";
	const char *p = pem, *line;
	unsigned n = 0;

	while ((p = memmem(p, len - (size_t)(p - pem), begin, strlen(begin))) != NULL) {
		p += strlen(begin);
		line = memchr(p, '\n', len - (size_t)(p - pem));
		n += line != NULL && memmem(p, (size_t)(line - p), end, strlen(end)) != NULL;
	}
	return n;
}

/* The private key in PEM, to be freed. NULL: there is none that can be read. */
static EVP_PKEY *read_key(const void *pem, size_t len, bool *encrypted)
{
	BIO *b = BIO_new_mem_buf(pem, (int)len);
	EVP_PKEY *key;

	*encrypted = false;
	key = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, encrypted);
	BIO_free(b);
	ERR_clear_error();
	return key;
}

/* CERT is signed with a digest that is not safe, as OpenSSL's security level 2 has it: clients refuse it. OpenSSL 3.5
 * does not look at that of a server's own certificate. */
static bool is_signed_weakly(X509 *cert)
{
	int bits;

	return (X509_get_extension_flags(cert) & EXFLAG_SS) == 0 &&
	    X509_get_signature_info(cert, NULL, NULL, &bits, NULL) == 1 && bits < SAFE_BITS;
}

/* Login workers have libssl take it, too. NULL, or what is wrong, until the next call. */
static const char *show(SSL_CTX *ctx, X509 *cert, bool first)
{
	static char text[160];
	bool good = first ? SSL_CTX_use_certificate(ctx, cert) == 1 : SSL_CTX_add1_chain_cert(ctx, cert) == 1;

	if (good && first && is_signed_weakly(cert))
		return "its signature is made with a digest that is not safe, and clients refuse it; get another one";
	if (good)
		return NULL;
	snprintf(text, sizeof(text), "OpenSSL does not take %s: %s; get another one",
	    first ? "the certificate" : "a certificate of the chain", ERR_reason_error_string(ERR_peek_last_error()));
	return text;
}

/* The next certificate of E. NULL, or what is wrong. */
static const char *add_cert(struct keyring *k, struct entry *e, const EVP_PKEY *key, const void *der, size_t len)
{
	bool first = e->der.len == 0;
	const struct tls_issuer *x = NULL;

	if (first)
		k->cert = tls_cert_parse(der, len);
	else if (e->behind < ARRAY_LEN(e->issuer))
		x = e->issuer[e->behind] = tls_issuers_take(k->issuers, der, len);
	else
		return "the chain of certificates is too long";
	if (first ? k->cert == NULL : x == NULL)
		return "a certificate cannot be read";
	if (first && EVP_PKEY_eq(X509_get0_pubkey(k->cert), key) != 1)
		return "the private key is not that of the first certificate";
	if (first)
		str_add(&e->der, der, len);
	else
		e->behind++;
	return show(k->trial, first ? k->cert : x->cert, first);
}

/* The certificates in PEM, and whether the first one is KEY's. NULL, or what is wrong. */
static const char *read_certs(struct keyring *k, struct entry *e, const EVP_PKEY *key, const void *pem, size_t len)
{
	BIO *b = BIO_new_mem_buf(pem, (int)len);
	const char *wrong = NULL;
	unsigned char *der;
	size_t sum = 0;
	long n;

	while (wrong == NULL &&
	    PEM_bytes_read_bio(&der, &n, NULL, PEM_STRING_X509, b, no_passphrase, &(bool){ false }) == 1) {
		sum += (size_t)n;
		wrong = sum > KEY_CHAIN_BYTES ? "the chain of certificates is too long" :
		                                add_cert(k, e, key, der, (size_t)n);
		OPENSSL_free(der);
	}
	if (wrong == NULL && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		wrong = "a certificate cannot be read";
	else if (wrong == NULL && e->der.len == 0)
		wrong = "there is no certificate";
	SSL_CTX_clear_chain_certs(k->trial);
	BIO_free(b);
	ERR_clear_error();
	return wrong;
}

/* NULL, or what is wrong. */
static const char *read_pem(struct keyring *k, struct entry *e, const void *pem, size_t len)
{
	unsigned n = count_keys(pem, len);
	bool encrypted;
	EVP_PKEY *key = read_key(pem, len, &encrypted);
	const char *wrong = NULL;

	if (encrypted)
		wrong = "the private key needs a passphrase, which nobody can give; store it without one "
		        "(openssl pkey -in FILE -out NEWFILE)";
	else if (key == NULL)
		wrong = "there is no private key";
	else if (n > 1)
		wrong = "there is more than one private key";
	else if ((wrong = tls_scheme_misfit(key)) == NULL && (e->signer = tls_signer_new(key)) == NULL)
		wrong = "the private key cannot sign";
	else if (wrong == NULL)
		wrong = read_certs(k, e, key, pem, len);
	EVP_PKEY_free(key);
	return wrong;
}

bool keyring_add(struct keyring *k, uint32_t key, const char *use, const void *pem, size_t len, char *err, size_t size)
{
	struct entry *e = mem_alloc(sizeof(*e));
	const char *wrong;

	forget_parsed(k);
	wrong = find(k, key) != NULL ? "there is a key of that number" :
	    len > KEYRING_PEM_MAX    ? "the file is too long" :
	                               read_pem(k, e, pem, len);
	if (wrong != NULL) {
		snprintf(err, size, "%s", wrong);
		forget_parsed(k);
		entry_free(k, &e);
		return false;
	}
	k->parsed = e->key = key;
	HASH_ADD(hh, k->keys, key, sizeof(e->key), e);
	offer(k, e, use);
	return true;
}

/* --- what is done with them --- */

bool keyring_has(const struct keyring *k, uint32_t key)
{
	return find(k, key) != NULL;
}

bool keyring_certificates(const struct keyring *k, uint32_t key, struct key_chain *m)
{
	const struct entry *e = find(k, key);

	if (e == NULL || e->retired)
		return false;
	m->key = key;
	str_copy(m->use, sizeof(m->use), e->use->text);
	m->n = 1 + e->behind;
	m->cert[0].der = e->der.data;
	m->cert[0].len = e->der.len;
	for (unsigned i = 0; i < e->behind; i++) {
		m->cert[1 + i].der = e->issuer[i]->der;
		m->cert[1 + i].len = e->issuer[i]->len;
	}
	m->ocsp = e->ocsp.data;
	m->ocsp_len = e->ocsp.len;
	m->ocsp_until = e->ocsp_until;
	return true;
}

/* Valid until the next key is asked about. */
static X509 *cert_of(struct keyring *k, const struct entry *e)
{
	if (k->cert != NULL && k->parsed == e->key)
		return k->cert;
	forget_parsed(k);
	k->cert = tls_cert_parse(e->der.data, e->der.len);
	k->parsed = e->key;
	return k->cert;
}

const char *keyring_staple(struct keyring *k, uint32_t key, const void *p, size_t len, int64_t now, int64_t *until)
{
	struct entry *e = find(k, key);
	const char *why;

	if (e == NULL)
		return "there is no such key";
	if (len > KEY_OCSP_MAX)
		return "it is too long";
	if (e->behind == 0)
		return "the certificate of its issuer is missing, which has to be behind it in the same file";
	if ((why = ocsp_check(p, len, cert_of(k, e), e->issuer[0]->cert, now, until)) != NULL)
		return why;
	str_add(&e->ocsp, p, len);
	e->ocsp_until = *until;
	return NULL;
}

/* The certificates of E: their number. Valid as cert_of(). */
static unsigned chain_of(struct keyring *k, const struct entry *e, X509 *chain[KEY_CHAIN_CERTS])
{
	chain[0] = cert_of(k, e);
	for (unsigned i = 0; i < e->behind; i++)
		chain[1 + i] = e->issuer[i]->cert;
	return 1 + e->behind;
}

int64_t keyring_until(struct keyring *k, uint32_t key)
{
	const struct entry *e = find(k, key);
	X509 *chain[KEY_CHAIN_CERTS];

	return e != NULL ? tls_cert_until(chain, chain_of(k, e, chain)) : INT64_MAX;
}

bool keyring_fault(struct keyring *k, uint32_t key, int64_t now, int64_t *until, struct str *why)
{
	const struct entry *e = find(k, key);
	X509 *chain[KEY_CHAIN_CERTS];
	struct key_use use;
	bool is_client;

	if (e == NULL)
		return false;
	is_client = key_use_read(e->use->text, &use) && use.what == KEY_FOR_PEERS;
	return tls_cert_fault(chain, chain_of(k, e, chain), is_client, now, until, why);
}

bool keyring_chain(const struct keyring *k, uint32_t key, struct msgw *w)
{
	struct key_chain m;

	if (!keyring_certificates(k, key, &m))
		return false;
	key_chain_write(w, &m);
	return true;
}

bool keyring_retire(struct keyring *k, uint32_t key, uint32_t until)
{
	struct entry *e = find(k, key);

	if (e == NULL || e->retired)
		return false;
	stop_offering(e);
	e->until = until;
	return true;
}

bool keyring_expire(struct keyring *k, uint32_t now)
{
	struct entry *e, *next;
	bool left = false;

	HASH_ITER(hh, k->keys, e, next)
	{
		bool due = e->retired && (int32_t)(now - e->until) >= 0;

		left = left || (e->retired && !due);
		if (due)
			keyring_drop(k, e->key);
	}
	return left;
}

void keyring_drop(struct keyring *k, uint32_t key)
{
	struct entry *e = find(k, key);
	struct use *u;

	if (e == NULL)
		return;
	u = e->use;
	stop_offering(e);
	HASH_DEL(k->keys, e);
	if (k->parsed == key)
		forget_parsed(k);
	entry_free(k, &e);
	if (--u->keys != 0)
		return;
	HASH_DEL(k->uses, u);
	mem_free(&u);
}

bool keyring_predecessor(const struct keyring *k, uint32_t key, uint32_t *other)
{
	const struct entry *of = find(k, key);

	for (const struct entry *e = of != NULL ? of->use->first : NULL; e != NULL; e = e->next)
		if (e != of) {
			*other = e->key;
			return true;
		}
	return false;
}

bool keyring_for(const struct keyring *k, const char *use, uint32_t *key)
{
	const struct use *u;

	HASH_FIND_STR(k->uses, use, u);
	if (u == NULL || u->first == NULL)
		return false;
	*key = u->first->key;
	return true;
}

void keyring_each(const struct keyring *k, void (*fn)(uint32_t key, void *arg), void *arg)
{
	for (const struct entry *e = k->keys; e != NULL; e = e->hh.next)
		if (!e->retired)
			fn(e->key, arg);
}

size_t keyring_sign(struct keyring *k, uint32_t key, enum tls_scheme scheme, const void *digest, size_t len,
    uint8_t sig[TLS_SIGNATURE_MAX])
{
	struct entry *e = find(k, key);

	return e != NULL ? tls_signer_sign(e->signer, scheme, digest, len, sig) : 0;
}
