/* OCSP responses (RFC 6960) that a server sends with its certificate, so that clients need not ask for them. */
#ifndef KEYD_OCSP_H
#define KEYD_OCSP_H

#include <openssl/x509.h>

#include "lib/base.h"

/* The LEN bytes of DER at P say at NOW, in unix seconds, that CERT is good, and are signed by its ISSUER or for it.
 * NULL: they do, until *UNTIL. Otherwise why they are not to be sent: a phrase for people. */
const char *ocsp_check(const void *p, size_t len, X509 *cert, X509 *issuer, int64_t now, int64_t *until);

#endif
