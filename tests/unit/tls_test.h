/* What tests of TLS share: keys and certificates made on the spot, two sides in memory that shake hands. */
#ifndef TESTS_TLS_TEST_H
#define TESTS_TLS_TEST_H

#include <openssl/ssl.h>

#include "lib/base.h"

/* A new private key: "RSA" (2048 bits), "P-256", "P-384", "ED25519", ... */
EVP_PKEY *tls_test_key(const char *kind);
/* A certificate of KEY's public half for NAME, signed by KEY itself, valid now for an hour. */
X509 *tls_test_cert(EVP_PKEY *key, const char *name);

/* Two ends of a memory pipe. CLIENT and SERVER are freed with SSL_free(). */
void tls_test_pair(SSL_CTX *client_ctx, SSL_CTX *server_ctx, SSL **client, SSL **server);
/* Runs both handshakes until they are done: false if one fails. */
bool tls_test_shake(SSL *client, SSL *server);

#endif
