/* Keys of TLS whose private half is somewhere else. libssl takes them as any other (SSL_CTX_use_PrivateKey()): what
 * is to be signed is digested here, and whoever has the private half pads and signs the digest (lib/tls_scheme.h).
 * They live in an OpenSSL provider of our own, in a library context of its own: whoever asks OpenSSL for RSA or EC
 * gets what he always got. They sign for TLS; they decrypt nothing and show nothing but their public half. */
#ifndef LIB_TLS_KEY_H
#define LIB_TLS_KEY_H

#include "lib/tls_scheme.h"

/* Has the LEN bytes at DIGEST, as long as SCHEME demands, signed with the key that was made with ARG. The number of
 * bytes in SIG, of which there is room for TLS_SIGNATURE_MAX; 0: there is no signature, and the handshake fails. */
typedef size_t tls_sign_fn(enum tls_scheme scheme, const void *digest, size_t len, uint8_t *sig, void *arg);

/* A key with the public half of KEY (referenced; a certificate's, for instance), whose signatures SIGN makes. NULL if
 * tls_scheme_fits_any() says no. Free with EVP_PKEY_free(). */
EVP_PKEY *tls_key_new(EVP_PKEY *key, tls_sign_fn *sign, void *arg);

#endif
