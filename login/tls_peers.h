/* TLS towards peers, of one login worker: whom it believes, and the sessions that peers let it resume. */
#ifndef LOGIN_TLS_PEERS_H
#define LOGIN_TLS_PEERS_H

#include <openssl/ssl.h>

#include "lib/net.h"

struct tls_peers;

/* VERIFY: a peer's certificate counts (PROXY_TLS_VERIFY). */
struct tls_peers *tls_peers_new(bool verify);
void tls_peers_free(struct tls_peers **t);
/* FD, for tls_trust_read(), has those whose certificates are believed from now on; it is taken over, and read when the
 * next connection is made. If it cannot be used that is logged, and those of before stay. Without any, no certificate
 * is believed. */
void tls_peers_trust(struct tls_peers *t, int fd);
/* For one connection to the mailhost HOST, as its option writes it, at ADDR. Its certificate has to be for HOST. For
 * conn_tls_connect(). */
SSL *tls_peers_connect(struct tls_peers *t, const char *host, const struct net_addr *addr);
/* What to do about VERDICT on a peer's certificate (X509_V_...); about another failure of TLS if it is X509_V_OK. */
const char *tls_peers_remedy(int verdict);

enum {
	TLS_PEERS_MAX = 64,          /* peers whose sessions are kept */
	TLS_PEERS_SESSIONS = 4,      /* of each */
	TLS_PEERS_SESSION_AGE = 3600 /* seconds: then the certificate is looked at again */
};

#endif
