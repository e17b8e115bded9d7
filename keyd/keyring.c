/* Private keys and their certificates, from PEM. */
#include "keyd/keyring.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "keyd/ocsp.h"
#include "lib/mem.h"
#include "lib/tls_cert.h"
#include "lib/tls_ctx.h"
#include "node/key_use.h"

enum { PIECE = 4096 };

struct entry {
	struct entry *next;
	uint32_t key;
	bool retired;
	char use[KEY_USE_MAX];
	struct tls_signer *signer;
	unsigned n;
	struct str cert[KEY_CHAIN_CERTS]; /* DER */
	struct str ocsp;
	int64_t ocsp_until;
};

struct keyring {
	struct entry *first;
};

struct keyring *keyring_new(void)
{
	return mem_alloc(sizeof(struct keyring));
}

static void entry_free(struct entry **e)
{
	tls_signer_free(&(*e)->signer);
	for (unsigned i = 0; i < (*e)->n; i++)
		str_fini(&(*e)->cert[i]);
	str_fini(&(*e)->ocsp);
	mem_free(e);
}

void keyring_free(struct keyring **k)
{
	if (*k == NULL)
		return;
	while ((*k)->first != NULL)
		keyring_drop(*k, (*k)->first->key);
	mem_free(k);
}

static struct entry *find(const struct keyring *k, uint32_t key)
{
	for (struct entry *e = k->first; e != NULL; e = e->next)
		if (e->key == key)
			return e;
	return NULL;
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

/* The private keys in PEM: their number, and the first of them (to be freed). */
static unsigned read_keys(const void *pem, size_t len, EVP_PKEY **first, bool *encrypted)
{
	BIO *b = BIO_new_mem_buf(pem, (int)len);
	unsigned n = 0;
	EVP_PKEY *key;

	*first = NULL;
	*encrypted = false;
	while ((key = PEM_read_bio_PrivateKey(b, NULL, no_passphrase, encrypted)) != NULL) {
		if (n++ == 0)
			*first = key;
		else
			EVP_PKEY_free(key);
	}
	BIO_free(b);
	ERR_clear_error();
	return n;
}

static bool add_cert(struct entry *e, X509 *cert)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert, &der);
	size_t sum = (size_t)MAX(len, 0);

	for (unsigned i = 0; i < e->n; i++)
		sum += e->cert[i].len;
	if (len <= 0 || e->n == KEY_CHAIN_CERTS || sum > KEY_CHAIN_BYTES) {
		OPENSSL_free(der);
		return false;
	}
	str_add(&e->cert[e->n++], der, (size_t)len);
	OPENSSL_free(der);
	return true;
}

/* Login workers have libssl take it, too. NULL, or what is wrong, until the next call. */
static const char *show(SSL_CTX *ctx, X509 *cert, bool first)
{
	static char text[160];
	bool good = first ? SSL_CTX_use_certificate(ctx, cert) == 1 : SSL_CTX_add1_chain_cert(ctx, cert) == 1;

	if (good)
		return NULL;
	snprintf(text, sizeof(text), "OpenSSL does not take %s: %s; get another one",
	    first ? "the certificate" : "a certificate of the chain", ERR_reason_error_string(ERR_peek_last_error()));
	return text;
}

/* The certificates in PEM, and whether the first one is KEY's. NULL, or what is wrong. */
static const char *read_certs(struct entry *e, const EVP_PKEY *key, const void *pem, size_t len)
{
	SSL_CTX *ctx = tls_ctx_new(true);
	BIO *b = BIO_new_mem_buf(pem, (int)len);
	const char *wrong = NULL;
	X509 *cert;

	while (wrong == NULL && (cert = PEM_read_bio_X509(b, NULL, no_passphrase, &(bool){ false })) != NULL) {
		if (e->n == 0 && EVP_PKEY_eq(X509_get0_pubkey(cert), key) != 1)
			wrong = "the private key is not that of the first certificate";
		else if (!add_cert(e, cert))
			wrong = "the chain of certificates is too long";
		else
			wrong = show(ctx, cert, e->n == 1);
		X509_free(cert);
	}
	if (wrong == NULL && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		wrong = "a certificate cannot be read";
	else if (wrong == NULL && e->n == 0)
		wrong = "there is no certificate";
	SSL_CTX_free(ctx);
	BIO_free(b);
	ERR_clear_error();
	return wrong;
}

/* NULL, or what is wrong. */
static const char *read_pem(struct entry *e, const void *pem, size_t len)
{
	bool encrypted;
	EVP_PKEY *key;
	unsigned n = read_keys(pem, len, &key, &encrypted);
	const char *wrong = NULL;

	if (encrypted)
		wrong = "the private key needs a passphrase, which nobody can give; store it without one "
		        "(openssl pkey -in FILE -out NEWFILE)";
	else if (n == 0)
		wrong = "there is no private key";
	else if (n > 1)
		wrong = "there is more than one private key";
	else if ((wrong = tls_scheme_misfit(key)) == NULL && (e->signer = tls_signer_new(key)) == NULL)
		wrong = "the private key cannot sign";
	else if (wrong == NULL)
		wrong = read_certs(e, key, pem, len);
	EVP_PKEY_free(key);
	return wrong;
}

bool keyring_add(struct keyring *k, uint32_t key, const char *use, const void *pem, size_t len, char *err, size_t size)
{
	struct entry *e = mem_alloc(sizeof(*e));
	const char *wrong = find(k, key) != NULL ? "there is a key of that number" :
	    len > KEYRING_PEM_MAX                ? "the file is too long" :
	                                           read_pem(e, pem, len);

	if (wrong != NULL) {
		snprintf(err, size, "%s", wrong);
		entry_free(&e);
		return false;
	}
	e->key = key;
	str_copy(e->use, sizeof(e->use), use);
	e->next = k->first;
	k->first = e;
	return true;
}

/* --- what is done with them --- */

bool keyring_certificates(const struct keyring *k, uint32_t key, struct key_chain *m)
{
	const struct entry *e = find(k, key);

	if (e == NULL || e->retired)
		return false;
	m->key = key;
	str_copy(m->use, sizeof(m->use), e->use);
	m->n = e->n;
	for (unsigned i = 0; i < e->n; i++) {
		m->cert[i].der = e->cert[i].data;
		m->cert[i].len = e->cert[i].len;
	}
	m->ocsp = e->ocsp.data;
	m->ocsp_len = e->ocsp.len;
	m->ocsp_until = e->ocsp_until;
	return true;
}

static X509 *parse(const struct entry *e, unsigned i)
{
	const unsigned char *p = (const unsigned char *)e->cert[i].data;

	return d2i_X509(NULL, &p, (long)e->cert[i].len);
}

const char *keyring_staple(struct keyring *k, uint32_t key, const void *p, size_t len, int64_t now, int64_t *until)
{
	struct entry *e = find(k, key);
	X509 *cert, *issuer;
	const char *why;

	if (e == NULL)
		return "there is no such key";
	if (len > KEY_OCSP_MAX)
		return "it is too long";
	if (e->n < 2)
		return "the certificate of its issuer is missing, which has to be behind it in the same file";
	cert = parse(e, 0);
	issuer = parse(e, 1);
	why = cert == NULL || issuer == NULL ? "there is no certificate" : ocsp_check(p, len, cert, issuer, now, until);
	X509_free(cert);
	X509_free(issuer);
	if (why != NULL)
		return why;
	str_add(&e->ocsp, p, len);
	e->ocsp_until = *until;
	return NULL;
}

/* The certificates of E, which may be NULL: their number; to be freed with free_chain(). */
static unsigned parse_chain(const struct entry *e, X509 *chain[KEY_CHAIN_CERTS])
{
	unsigned n = 0;

	for (unsigned i = 0; e != NULL && i < e->n; i++) {
		chain[n] = parse(e, i);
		n += chain[n] != NULL;
	}
	return n;
}

static void free_chain(X509 *chain[KEY_CHAIN_CERTS], unsigned n)
{
	while (n != 0)
		X509_free(chain[--n]);
}

int64_t keyring_until(const struct keyring *k, uint32_t key)
{
	X509 *chain[KEY_CHAIN_CERTS];
	unsigned n = parse_chain(find(k, key), chain);
	int64_t until = tls_cert_until(chain, n);

	free_chain(chain, n);
	return until;
}

bool keyring_fault(const struct keyring *k, uint32_t key, int64_t now, int64_t *until, struct str *why)
{
	const struct entry *e = find(k, key);
	X509 *chain[KEY_CHAIN_CERTS];
	unsigned n = parse_chain(e, chain);
	struct key_use use;
	bool is_client = e != NULL && key_use_read(e->use, &use) && use.what == KEY_FOR_PEERS;
	bool faulty = n != 0 && tls_cert_fault(chain, n, is_client, now, until, why);

	free_chain(chain, n);
	return faulty;
}

bool keyring_chain(const struct keyring *k, uint32_t key, struct msgw *w)
{
	struct key_chain m;

	if (!keyring_certificates(k, key, &m))
		return false;
	key_chain_write(w, &m);
	return true;
}

bool keyring_retire(struct keyring *k, uint32_t key)
{
	struct entry *e = find(k, key);

	if (e == NULL || e->retired)
		return false;
	e->retired = true;
	return true;
}

void keyring_drop(struct keyring *k, uint32_t key)
{
	for (struct entry **p = &k->first; *p != NULL; p = &(*p)->next) {
		struct entry *e = *p;

		if (e->key != key)
			continue;
		*p = e->next;
		entry_free(&e);
		return;
	}
}

bool keyring_predecessor(const struct keyring *k, uint32_t key, uint32_t *other)
{
	const struct entry *of = find(k, key);

	for (const struct entry *e = k->first; e != NULL && of != NULL; e = e->next)
		if (e != of && !e->retired && strcmp(e->use, of->use) == 0) {
			*other = e->key;
			return true;
		}
	return false;
}

void keyring_each(const struct keyring *k, void (*fn)(uint32_t key, void *arg), void *arg)
{
	for (const struct entry *e = k->first; e != NULL; e = e->next)
		if (!e->retired)
			fn(e->key, arg);
}

size_t keyring_sign(struct keyring *k, uint32_t key, enum tls_scheme scheme, const void *digest, size_t len,
    uint8_t sig[TLS_SIGNATURE_MAX])
{
	struct entry *e = find(k, key);

	return e != NULL ? tls_signer_sign(e->signer, scheme, digest, len, sig) : 0;
}
