/* Whose certificates are believed, those of clients or of peers: authorities and what they have revoked, from PEM. A
 * certificate that stands there itself is believed, too, whatever it is. If there is any revocation list, then each
 * authority that has issued a part of a chain needs a valid one, but for the last, which is believed because it stands
 * there: who lost a list, or forgot one, finds a closed door (as in Dovecot and Postfix). */
#ifndef LIB_TLS_TRUST_H
#define LIB_TLS_TRUST_H

#include <openssl/x509.h>

#include "lib/str.h"

struct tls_trust;

enum {
	TLS_TRUST_MAX = 8 * 1024 * 1024, /* bytes of PEM */
	TLS_TRUST_SHOWN_MAX = 8,         /* certificates that who shows one may show in all */
	TLS_TRUST_NAMES_MAX = 4096       /* bytes of all names of authorities that clients are told */
};

/* Appends to BLOCKS the certificates and revocation lists among the LEN bytes of PEM, as they are; what else stands
 * there is passed over, and *HAS_KEY set if that is a private key. False, with a phrase in WHY: one is not whole. */
bool tls_trust_blocks(const char *pem, size_t len, struct str *blocks, bool *has_key, struct str *why);

/* The certificates and lists among the LEN bytes of PEM. NULL, with a phrase in WHY: there is no certificate, something
 * cannot be read, or a list is not signed by the authority there that has its name. */
struct tls_trust *tls_trust_new(const void *pem, size_t len, struct str *why);
/* The same of a memory file that nobody writes to any more; FD stays the caller's. An empty one: nobody is believed. */
struct tls_trust *tls_trust_read(int fd, struct str *why);
void tls_trust_free(struct tls_trust **t);
/* *T is what FD has from now on, as tls_trust_read(). If that cannot be used, *T stays, and the log is told so: what
 * the master has passed of SETTING, and why; and, if *T is NULL, who is believed now: NOBODY, a phrase. */
void tls_trust_take(struct tls_trust **t, int fd, const char *setting, const char *nobody);

/* Whether CERT is a client's, and leads to one in T now, perhaps by OTHERS, which its owner has sent, too (at most
 * TLS_TRUST_SHOWN_MAX; may be NULL): X509_V_OK, or why not, for X509_verify_cert_error_string(). T may be NULL:
 * nobody. Who shows CERT has not proved that it is his. Signatures are computed for chains that lead to one in T,
 * from there on, and lists are looked into when these were right. */
int tls_trust_verify(const struct tls_trust *t, X509 *cert, STACK_OF(X509) * others);
/* VERDICT says that a certificate leads to none that is believed. */
bool tls_trust_is_foreign(int verdict);
/* To verify a signature of a stranger by KEY (may be NULL: false) costs little: RSA of at most 4,096 bits with an
 * exponent of at most 64. libcrypto bounds the exponents of larger keys only. */
bool tls_trust_is_cheap(const EVP_PKEY *key);
/* For SSL_CTX_set1_cert_store() of contexts whose peers' certificates have to lead to one in T. It stays T's. */
X509_STORE *tls_trust_store(const struct tls_trust *t);

/* The names of T's authorities, for SSL_CTX_set_client_CA_list(), which takes them over. NULL: there are none, or more
 * than TLS_TRUST_NAMES_MAX bytes. */
STACK_OF(X509_NAME) * tls_trust_names(const struct tls_trust *t);
/* How many there are. */
unsigned tls_trust_count(const struct tls_trust *t);

/* For each name, the one of its certificates, or (IS_LIST) of its revocation lists, that ends last: FROM and UNTIL in
 * unix seconds (INT64_MAX: it has no end). */
typedef void tls_trust_end_fn(void *arg, bool is_list, const X509_NAME *authority, int64_t from, int64_t until);
void tls_trust_each_cert(const struct tls_trust *t, tls_trust_end_fn *fn, void *arg);
void tls_trust_each_list(const struct tls_trust *t, tls_trust_end_fn *fn, void *arg);
/* Lists that OLD (may be NULL) has, and T not for the same authority, though that is in T, or may be below one in both:
 * appends them to PEM. Those, too, that are good now, if T has only older ones. The name of the first authority, and in
 * *OLDER whether it is one of the latter; NULL: there is none. */
const X509_NAME *tls_trust_keep_lists(const struct tls_trust *t, const struct tls_trust *old, struct str *pem,
    bool *older);
/* How many authorities have no list though others have; FIRST: the first of them. */
unsigned tls_trust_unlisted(const struct tls_trust *t, const X509_NAME **first);

#endif
