/* What a ClientHello asks for, as far as a server's answer depends on it: a host name (SNI, RFC 6066 section 3) and
 * protocols (ALPN, RFC 7301). */
#ifndef LIB_TLS_CHOICE_H
#define LIB_TLS_CHOICE_H

#include "lib/base.h"

enum { TLS_NAME_MAX = 254 }; /* bytes of a host name with its NUL (RFC 1035 section 2.3.4) */

/* The LEN bytes at P are a host name: its letters are made small and a dot at its end is left out in NAME. False: it
 * is none, nor is an address, which RFC 6066 does not permit; NAME is "" then. */
bool tls_choice_name(const char *p, size_t len, char name[TLS_NAME_MAX]);
/* The same for a name of a certificate or of a file: its first label may be "*". */
bool tls_choice_pattern(const char *p, size_t len, char name[TLS_NAME_MAX]);
/* NAME, of tls_choice_name(), with "*" as its first label (RFC 9525 section 6.3). False: it has one label. */
bool tls_choice_wildcard(const char *name, char pattern[TLS_NAME_MAX]);
/* Where the protocol WANT stands in the LEN bytes of the client's list, a byte of length before each; NULL: nowhere. */
const uint8_t *tls_choice_alpn(const uint8_t *list, size_t len, const char *want);

#endif
