/* What all TLS of a node has in common: versions, ciphers and behaviour that are safe whatever the settings say. */
#ifndef LIB_TLS_CTX_H
#define LIB_TLS_CTX_H

#include <openssl/ssl.h>

#include "lib/str.h"

/* For servers, or for clients (which have to be told whom to trust: they verify nothing yet). TLS 1.2 and 1.3, keys by
 * (EC)DHE only, no renegotiation, no compression; an idle connection owns no buffer. Ends the process if OpenSSL cannot
 * do that. Free with SSL_CTX_free(). */
SSL_CTX *tls_ctx_new(bool server);
/* This was built to write the keys of TLS connections to the log (configure --enable-tls-keylog). */
bool tls_ctx_logs_keys(void);
/* Ciphers of TLS 1.2 in OpenSSL's words. What has no forward secrecy or no authentication is left out, whatever LIST
 * says. False: nothing is left, or OpenSSL does not understand it; CTX is of no use then. */
bool tls_ctx_set_ciphers(SSL_CTX *ctx, const char *list);
/* Groups for key exchange in OpenSSL's words, the best first: "X25519MLKEM768:X25519:P-256". Names that this OpenSSL
 * does not know are left out and appended to UNKNOWN, with ", " between. False: it knows none; CTX has those that it
 * had. */
bool tls_ctx_set_groups(SSL_CTX *ctx, const char *list, struct str *unknown);

/* For a connection to the server NAME, a host name or an address, which is told to it (SNI) if it is a name. Its
 * certificate has to be for NAME (RFC 9525: what a subject says is no name) and to lead to one in CTX's store: else
 * the handshake fails with the reason. Free with SSL_free(). */
SSL *tls_client_new(SSL_CTX *ctx, const char *name);

#endif
