/* Revocation lists in a store of libcrypto, so that they cost a handshake little, and a stranger cannot change that.
 * libcrypto looks into lists before it verifies signatures, and computes a list's own signature each time: here it is
 * computed once, mostly when the list is read, and lists are looked into for chains whose signatures are right. */
#ifndef LIB_TLS_LISTS_H
#define LIB_TLS_LISTS_H

#include <openssl/x509_vfy.h>

#include "lib/str.h"

/* STORE, which has LISTS (at least one), demands and uses them from now on: see lib/tls_trust.h for the rule.
 * AUTHORITIES, in the order of their names, may have signed them. False, with a phrase in WHY: one with the name of an
 * authority there is not signed by it, or has only the changes (a delta list, RFC 5280 5.2.4). */
bool tls_lists_use(X509_STORE *store, STACK_OF(X509_CRL) * lists, STACK_OF(X509) * authorities, struct str *why);
/* The first of CERTS, which are in the order of their names, that has the name NAME, or would stand behind it. */
int tls_lists_find(STACK_OF(X509) * certs, const X509_NAME *name);

/* It has begun, and not ended. */
bool tls_lists_is_current(const X509_CRL *crl);

enum tls_list_signer {
	TLS_LIST_SIGNED,    /* by one of them */
	TLS_LIST_UNKNOWN,   /* none of them has its issuer's name */
	TLS_LIST_OF_ANOTHER /* one has, and another key */
};
/* Who of AUTHORITIES, which are in the order of their names, has signed CRL. *KEY: his, if one has. */
enum tls_list_signer tls_lists_signer(X509_CRL *crl, STACK_OF(X509) * authorities, EVP_PKEY **key);

#endif
