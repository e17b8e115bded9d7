/* What tests of TLS share: keys and certificates made on the spot, two sides in memory that shake hands. */
#ifndef TESTS_TLS_TEST_H
#define TESTS_TLS_TEST_H

#include <openssl/ssl.h>

#include "lib/str.h"

/* A new private key: "RSA" (2048 bits), "P-256", "P-384", "ED25519", ... */
EVP_PKEY *tls_test_key(const char *kind);
/* A certificate of KEY's public half for NAME, signed by KEY itself, valid now for an hour. */
X509 *tls_test_cert(EVP_PKEY *key, const char *name);

/* The same, signed by ISSUER with its key, for what stands in ALT ("DNS:a.example,IP:127.0.0.1"; NULL: nothing), valid
 * from FROM to UNTIL seconds from now; an authority itself if IS_CA. */
X509 *tls_test_signed(EVP_PKEY *key, const char *alt, X509 *issuer, EVP_PKEY *issuer_key, long from, long until,
    bool is_ca);

/* An authority called NAME, with ISSUER as in tls_test_signed(), valid for an hour. */
X509 *tls_test_authority(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key);
/* Appends CERT, in PEM. */
void tls_test_add_pem(struct str *s, X509 *cert);
/* Appends a revocation list of ISSUER with REVOKED (NULL: empty), signed with KEY, valid from FROM to UNTIL seconds
 * from now. */
void tls_test_add_list(struct str *s, const X509 *issuer, EVP_PKEY *key, const X509 *revoked, long from, long until);
/* CTX, a client's, believes what leads to CERT. */
void tls_test_believe(SSL_CTX *ctx, X509 *cert);

/* A server that shows tls_test_cert() for NAME. Free with SSL_CTX_free(). */
SSL_CTX *tls_test_server(const char *name);

/* Two ends of a memory pipe. CLIENT and SERVER are freed with SSL_free(). */
void tls_test_pair(SSL_CTX *client_ctx, SSL_CTX *server_ctx, SSL **client, SSL **server);
/* Runs both handshakes until they are done: false if one fails. */
bool tls_test_shake(SSL *client, SSL *server);

#endif
