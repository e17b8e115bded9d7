/* The certificates that a login worker can show, as its key process tells of them, and contexts of libssl that choose
 * among them. Their private keys stay there (login/key_client.h). */
#ifndef LOGIN_CERTIFICATES_H
#define LOGIN_CERTIFICATES_H

#include <ev.h>
#include <openssl/ssl.h>

#include "lib/net.h"
#include "lib/tls_ticket_keys.h"
#include "settings/settings.h"

struct certificates;

/* SET: the settings of the -ssl groups; valid as long as the worker. */
struct certificates *certificates_new(struct ev_loop *loop, const struct settings *set);
/* Handshakes that have begun fail. */
void certificates_free(struct certificates **c);
/* SOCK leads to the key process, and to its successors; it is taken over. What one that has ended has told stays until
 * its successor has told of everything. */
void certificates_channel(struct certificates *c, int sock);
/* The key process is still telling what there is. False also if there is none. */
bool certificates_are_coming(const struct certificates *c);
/* How many have come until now. */
unsigned certificates_came(const struct certificates *c);
/* Calls FN each time that a key process has told of everything. */
void certificates_on_told(struct certificates *c, void (*fn)(void *arg), void *arg);
/* As client_certs_trust(). */
void certificates_trust(struct certificates *c, enum protocol p, int fd);
/* Session tickets are made and opened with KEYS from now on. */
void certificates_ticket_keys(struct certificates *c, const struct tls_ticket_keys *keys);
/* Some certificate of protocol P is for clients that connect to a certain address. */
bool certificates_by_address(const struct certificates *c, enum protocol p);
/* The context for clients of protocol P that begin with TLS, or do so later (STARTTLS), at the address HERE of this
 * machine (NULL: not known, or certificates_by_address() says no); valid until the loop's next turn. It shows what is
 * for the name that a client asks for, else what is for HERE, else what is for all. NULL: there is no certificate. */
SSL_CTX *certificates_context(struct certificates *c, enum protocol p, bool starttls, const struct net_addr *here);
/* SSL, of a connection to a peer, shows what is for peers, if there is such a certificate and the peer asks for one. */
void certificates_show_to_peer(struct certificates *c, SSL *ssl);

#endif
