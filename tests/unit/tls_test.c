/* Keys, certificates and handshakes in memory, for tests. */
#include "tests/unit/tls_test.h"

#include <CUnit/CUnit.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/tls_ctx.h"
#include "lib/tls_trust.h"

EVP_PKEY *tls_test_key(const char *kind)
{
	EVP_PKEY *key;

	if (strcmp(kind, "RSA") == 0)
		key = EVP_RSA_gen(2048);
	else if (strncmp(kind, "P-", 2) == 0)
		key = EVP_EC_gen(kind);
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, kind);
	CU_ASSERT_PTR_NOT_NULL_FATAL(key);
	return key;
}

X509 *tls_test_cert(EVP_PKEY *key, const char *name)
{
	X509 *cert = X509_new();
	X509_NAME *subject = X509_get_subject_name(cert);

	CU_ASSERT_EQUAL_FATAL(X509_set_version(cert, X509_VERSION_3), 1);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, subject);
	X509_set_pubkey(cert, key);
	CU_ASSERT_FATAL(X509_sign(cert, key, EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256()) > 0);
	return cert;
}

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	CU_ASSERT_FATAL(e != NULL && X509_add_ext(cert, e, -1) == 1);
	X509_EXTENSION_free(e);
}

X509 *tls_test_signed(EVP_PKEY *key, const char *alt, X509 *issuer, EVP_PKEY *issuer_key, long from, long until,
    bool is_ca)
{
	X509 *cert = X509_new();

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 2);
	X509_gmtime_adj(X509_getm_notBefore(cert), from);
	X509_gmtime_adj(X509_getm_notAfter(cert), until);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
	    (const unsigned char *)(is_ca ? "authority.example" : "subject.example"), -1, -1, 0);
	X509_set_issuer_name(cert, issuer != NULL ? X509_get_subject_name(issuer) : X509_get_subject_name(cert));
	X509_set_pubkey(cert, key);
	if (is_ca)
		add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
	if (alt != NULL)
		add_extension(cert, NID_subject_alt_name, alt);
	CU_ASSERT_FATAL(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
	return cert;
}

X509 *tls_test_authority(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *cert = tls_test_signed(key, NULL, issuer, issuer_key, -60, 3600, true);
	X509_NAME *subject = X509_NAME_new();

	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_subject_name(cert, subject);
	if (issuer == NULL)
		X509_set_issuer_name(cert, subject);
	X509_NAME_free(subject);
	CU_ASSERT_FATAL(X509_sign(cert, issuer_key, EVP_sha256()) > 0);
	return cert;
}

static void add_text(struct str *s, BIO *b)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);

	str_add(s, p, (size_t)n);
	BIO_free(b);
}

void tls_test_add_pem(struct str *s, X509 *cert)
{
	BIO *b = BIO_new(BIO_s_mem());

	PEM_write_bio_X509(b, cert);
	add_text(s, b);
}

static void revoke(X509_CRL *crl, const X509 *cert, ASN1_TIME *when)
{
	X509_REVOKED *r = X509_REVOKED_new();
	ASN1_INTEGER *number = ASN1_INTEGER_dup(X509_get0_serialNumber(cert));

	X509_REVOKED_set_serialNumber(r, number);
	X509_REVOKED_set_revocationDate(r, when);
	X509_CRL_add0_revoked(crl, r);
	ASN1_INTEGER_free(number);
}

void tls_test_add_list(struct str *s, const X509 *issuer, EVP_PKEY *key, const X509 *revoked, long from, long until)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *begin = X509_gmtime_adj(NULL, from), *end = X509_gmtime_adj(NULL, until);
	BIO *b = BIO_new(BIO_s_mem());

	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer));
	X509_CRL_set1_lastUpdate(crl, begin);
	X509_CRL_set1_nextUpdate(crl, end);
	if (revoked != NULL)
		revoke(crl, revoked, begin);
	CU_ASSERT_FATAL(X509_CRL_sign(crl, key, EVP_sha256()) > 0);
	PEM_write_bio_X509_CRL(b, crl);
	add_text(s, b);
	ASN1_TIME_free(begin);
	ASN1_TIME_free(end);
	X509_CRL_free(crl);
}

void tls_test_believe(SSL_CTX *ctx, X509 *cert)
{
	struct str pem = STR_INIT, why = STR_INIT;
	struct tls_trust *t;

	tls_test_add_pem(&pem, cert);
	t = tls_trust_new(pem.data, pem.len, &why);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	SSL_CTX_set1_cert_store(ctx, tls_trust_store(t));
	tls_trust_free(&t);
	str_fini(&pem);
	str_fini(&why);
}

SSL_CTX *tls_test_server(const char *name)
{
	EVP_PKEY *key = tls_test_key("P-256");
	X509 *cert = tls_test_cert(key, name);
	SSL_CTX *ctx = tls_ctx_new(true);

	CU_ASSERT_EQUAL_FATAL(SSL_CTX_use_certificate(ctx, cert), 1);
	CU_ASSERT_EQUAL_FATAL(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

void tls_test_pair(SSL_CTX *client_ctx, SSL_CTX *server_ctx, SSL **client, SSL **server)
{
	BIO *a, *b;

	CU_ASSERT_EQUAL_FATAL(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	*client = SSL_new(client_ctx);
	*server = SSL_new(server_ctx);
	CU_ASSERT_FATAL(*client != NULL && *server != NULL);
	SSL_set_bio(*client, a, a);
	SSL_set_bio(*server, b, b);
	SSL_set_connect_state(*client);
	SSL_set_accept_state(*server);
}

static bool step(SSL *ssl, bool *done)
{
	int n = SSL_do_handshake(ssl), error = SSL_get_error(ssl, n);

	*done = n == 1;
	return n == 1 || error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

bool tls_test_shake(SSL *client, SSL *server)
{
	bool client_done = false, server_done = false;

	for (int i = 0; i < 20 && !(client_done && server_done); i++)
		if (!step(client, &client_done) || !step(server, &server_done)) {
			ERR_clear_error();
			return false;
		}
	return client_done && server_done;
}
