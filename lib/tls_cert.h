/* What is wrong, or soon will be, with the certificates that a server shows: for those who run it. Whether the key
 * fits is the key process's to say (keyd/keyring.h). Certificates are given as libcrypto has read them, the server's
 * own first, then those that a client needs on the way to one that it trusts (RFC 8446 section 4.4.2). */
#ifndef LIB_TLS_CERT_H
#define LIB_TLS_CERT_H

#include <openssl/x509.h>

#include "lib/str.h"

/* The certificate of which DER has the LEN bytes, to be freed. NULL: it is none, or something follows it;
 * libcrypto's error queue is the caller's. */
X509 *tls_cert_parse(const void *der, size_t len);

enum { TLS_CERT_SOON = 14 * 24 * 3600 }; /* seconds: a certificate that ends within them should have been renewed */
enum { TLS_CERT_TIME_MAX = 32, TLS_CERT_NAME_TEXT_MAX = 200 };

/* What people call NAME: its common name, else all of it; cut to fit. It can hold any byte. Returns DST. */
const char *tls_cert_name_text(const X509_NAME *name, char dst[TLS_CERT_NAME_TEXT_MAX]);
/* T in unix seconds. False: it is no time. */
bool tls_cert_seconds(const ASN1_TIME *t, int64_t *seconds);

/* When the first of the N certificates in CHAIN ends, in unix seconds; INT64_MAX if none can be read. One that is its
 * own issuer, behind the server's own, does not count: clients have it or not, and look at no copy of it. */
int64_t tls_cert_until(X509 *const *chain, unsigned n);
/* SECONDS of unix time, as people read them: "2026-11-29 13:25 UTC". Returns DST. */
const char *tls_cert_time(int64_t seconds, char dst[TLS_CERT_TIME_MAX]);
/* Appends the names that CERT is for, with ", " between: what its subjectAltName has of hosts and addresses. They can
 * hold any byte. Returns their number. */
unsigned tls_cert_names(const X509 *cert, struct str *out);
/* Whether CERT is for HOST, a name or an address as text, by its subjectAltName (RFC 9525). */
bool tls_cert_is_for(X509 *cert, const char *host);

/* Whom this machine trusts, to be freed. Slow: some ten milliseconds. NULL: it has no list of authorities, and can say
 * nothing of what clients trust. */
X509_STORE *tls_cert_machine(void);

/* Is told of each finding: a mistake, because of which clients fail, or not. TEXT is a phrase with the remedy; names in
 * it can hold any byte. */
typedef void tls_cert_tell_fn(void *arg, bool mistake, const char *text);

/* What clients would say at NOW, in unix seconds, of the N certificates (at least 1) in CHAIN: period, order, use, and
 * names. NAME is the host that clients mean with it (RFC 9525: a subject is no name); NULL: not known. TRUSTED: whom
 * clients trust; NULL: not known. IS_CLIENT: it is a client's that servers look at, so names do not count. */
void tls_cert_check(X509 *const *chain, unsigned n, bool is_client, const char *name, X509_STORE *trusted, int64_t now,
    tls_cert_tell_fn *tell, void *arg);
/* The first mistake in period, order and use, appended to WHY; it needs no file. *UNTIL: when it is none any more, in
 * unix seconds; INT64_MAX: never. False: there is none. */
bool tls_cert_fault(X509 *const *chain, unsigned n, bool is_client, int64_t now, int64_t *until, struct str *why);

#endif
