/* The login name that a client's certificate is for. */
#ifndef LIB_TLS_CERT_NAME_H
#define LIB_TLS_CERT_NAME_H

#include <openssl/x509.h>

#include "lib/base.h"

/* FIELD is one that a certificate's subject can have, in any case, as people call it: "emailAddress" or "email", "CN",
 * "UID", "serialNumber", ..., or OpenSSL's name of it. */
bool tls_cert_name_field(const char *field);
/* The value of FIELD in CERT's subject into NAME of SIZE bytes, in UTF-8; as an e-mail address it may stand among the
 * subject's alternative names (RFC 5280 4.2.1.6), too. NULL, or why there is no name, a sentence that is static: it has
 * none or two different ones, or one that has control characters (NUL!), or is too long. */
const char *tls_cert_name(X509 *cert, const char *field, char *name, size_t size);

#endif
