/* The signatures that private keys make in TLS 1.2 and 1.3, and no others: a fixed list, in which a scheme is a kind
 * of key, a padding and a digest. Who holds a key makes them from a digest alone: the padding is done here, so that
 * the key can be used for nothing else. Keys that sign the message itself (Ed25519) are not in the list. */
#ifndef LIB_TLS_SCHEME_H
#define LIB_TLS_SCHEME_H

#include <openssl/evp.h>

#include "lib/base.h"

/* id, name (RFC 8446 4.2.3; ECDSA without its curve, to which TLS 1.2 does not bind it), key, PSS, digest, length */
#define TLS_SCHEMES(X) \
	X(RSA_PKCS1_SHA256, "rsa_pkcs1_sha256", "RSA", false, "SHA256", 32) \
	X(RSA_PKCS1_SHA384, "rsa_pkcs1_sha384", "RSA", false, "SHA384", 48) \
	X(RSA_PKCS1_SHA512, "rsa_pkcs1_sha512", "RSA", false, "SHA512", 64) \
	X(RSA_PSS_SHA256, "rsa_pss_rsae_sha256", "RSA", true, "SHA256", 32) \
	X(RSA_PSS_SHA384, "rsa_pss_rsae_sha384", "RSA", true, "SHA384", 48) \
	X(RSA_PSS_SHA512, "rsa_pss_rsae_sha512", "RSA", true, "SHA512", 64) \
	X(ECDSA_SHA256, "ecdsa_sha256", "EC", false, "SHA256", 32) \
	X(ECDSA_SHA384, "ecdsa_sha384", "EC", false, "SHA384", 48) \
	X(ECDSA_SHA512, "ecdsa_sha512", "EC", false, "SHA512", 64)

enum tls_scheme {
#define X(id, ...) TLS_##id,
	TLS_SCHEMES(X)
#undef X
	    TLS_SCHEME_COUNT
};

enum {
	TLS_DIGEST_MAX = 64,     /* bytes of the longest digest in the list */
	TLS_SIGNATURE_MAX = 1024 /* bytes of a signature: RSA keys have up to 8192 bits */
};

/* The scheme of a key of TYPE ("RSA", "EC") with that padding and DIGEST, under any name that OpenSSL has for it;
 * TLS_SCHEME_COUNT if it is not in the list. */
enum tls_scheme tls_scheme_find(const char *type, bool pss, const char *digest);
const char *tls_scheme_name(enum tls_scheme scheme);
/* Bytes of its digest: exactly as many are signed. */
size_t tls_scheme_digest_len(enum tls_scheme scheme);
const char *tls_scheme_digest(enum tls_scheme scheme);

/* KEY, public or private, is of a kind that the list has, and not longer than TLS_SIGNATURE_MAX allows. */
bool tls_scheme_fits_any(const EVP_PKEY *key);
/* NULL, or why KEY is not to be used though it may sign: a phrase for people, with what to do. Besides those that
 * tls_scheme_fits_any() refuses, RSA keys below 2048 bits and curves that clients of TLS do not take. */
const char *tls_scheme_misfit(const EVP_PKEY *key);

/* A private key that is ready to sign. */
struct tls_signer;

/* KEY is referenced. NULL: tls_scheme_fits_any() says no. Free with tls_signer_free(). */
struct tls_signer *tls_signer_new(EVP_PKEY *key);
void tls_signer_free(struct tls_signer **s);
/* Signs the LEN bytes at DIGEST. The number of bytes in SIG; 0: the scheme is not in the list or is not for that
 * kind of key, LEN is not the length of its digest, or the key cannot sign (an RSA key too short for it). */
size_t tls_signer_sign(struct tls_signer *s, enum tls_scheme scheme, const void *digest, size_t len,
    uint8_t sig[TLS_SIGNATURE_MAX]);

#endif
