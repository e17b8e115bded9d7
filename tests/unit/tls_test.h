/* What tests of TLS share: keys and certificates made on the spot, two sides in memory that shake hands. */
#ifndef TESTS_TLS_TEST_H
#define TESTS_TLS_TEST_H

#include <openssl/ssl.h>

#include "lib/base.h"

/* A new private key: "RSA" (2048 bits), "P-256", "P-384", "ED25519", ... */
EVP_PKEY *tls_test_key(const char *kind);
/* A certificate of KEY's public half for NAME, signed by KEY itself, valid now for an hour. */
X509 *tls_test_cert(EVP_PKEY *key, const char *name);

/* The same, signed by ISSUER with its key, for what stands in ALT ("DNS:a.example,IP:127.0.0.1"; NULL: nothing), valid
 * from FROM to UNTIL seconds from now; an authority itself if IS_CA. */
X509 *tls_test_signed(EVP_PKEY *key, const char *alt, X509 *issuer, EVP_PKEY *issuer_key, long from, long until,
    bool is_ca);

/* A server that shows tls_test_cert() for NAME. Free with SSL_CTX_free(). */
SSL_CTX *tls_test_server(const char *name);

/* Two ends of a memory pipe. CLIENT and SERVER are freed with SSL_free(). */
void tls_test_pair(SSL_CTX *client_ctx, SSL_CTX *server_ctx, SSL **client, SSL **server);
/* Runs both handshakes until they are done: false if one fails. */
bool tls_test_shake(SSL *client, SSL *server);

#endif
