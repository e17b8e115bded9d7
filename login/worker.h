/* A login worker: one event loop that accepts clients, drives their logins and relays their sessions. */
#ifndef LOGIN_WORKER_H
#define LOGIN_WORKER_H

#include <openssl/ssl.h>

#include "lib/net.h"
#include "node/msg_auth.h"
#include "node/msg_session.h"
#include "node/role.h"
#include "proxy/relay.h"

struct login;
struct login_dialect;

/* main() of the role. DIALECTS: one per enum protocol. Returns the exit status. */
int worker_main(const struct role_start *who, const struct login_dialect *const dialects[PROTOCOL_COUNT]);

/* For the login engine. */
struct worker;
struct ev_loop *worker_loop(struct worker *w);
const struct settings *worker_settings(struct worker *w);
/* Adds L to the list of logins, whose deadline the worker watches, and to the strangers, of whom another one may have
 * to give way; removes it. */
void worker_add(struct worker *w, struct login *l);
void worker_remove(struct worker *w, struct login *l);
/* L is a stranger, or is none for now: then it does not have to give way. Nothing changes if it was that already. */
void worker_set_stranger(struct worker *w, struct login *l, bool is);
/* L, if it is a stranger, holds as much as it does now; whoever of them gives way if that is too much together is
 * ended, perhaps L. */
void worker_weigh(struct worker *w, struct login *l);
/* L has begun with a PROXY protocol header at a port for which none is expected: logs it now and then. */
void worker_stray_header(struct worker *w, const struct login *l);
/* The greeting of PROTOCOL's dialect without a challenge for clients of KIND (below WORKER_GREETINGS), kept after it
 * was made once, because the settings of a worker never change. Empty at first. */
enum { WORKER_GREETINGS = 8 };
struct str *worker_greeting(struct worker *w, enum protocol protocol, unsigned kind);
/* With which L, a plain connection, can begin TLS, valid until the loop's next turn; NULL: there is no certificate. */
SSL_CTX *worker_starttls(struct worker *w, const struct login *l);
/* Sends L's credentials to authd; the verdict comes by login_auth_reply(). Without an authd they wait for the next one,
 * unless they are the response to a lost challenge. */
void worker_send_credentials(struct worker *w, struct login *l);
/* Requests a challenge of MECH from authd, for L's client; it comes by login_challenge(). False: there is no authd
 * now. */
bool worker_request_challenge(struct worker *w, struct login *l, enum auth_mech mech);
/* L no longer waits for authd, nor needs what authd keeps for it. */
void worker_end_exchange(struct worker *w, struct login *l);
/* Hands L's client to spawn; the answer comes by login_handoff_reply(). False: there is no spawn now. */
bool worker_hand_off(struct worker *w, struct login *l);
/* Tells authd that SESSION (of an OK verdict) is over or never began. */
void worker_session_end(struct worker *w, uint64_t session);
/* Reports to authd the result of SESSION's login at target number TARGET. */
void worker_peer_result(struct worker *w, uint64_t session, unsigned target, enum peer_result result, uint32_t took_ms);
/* Reports to authd the verdict of HOST, one of our nodes, on our signature. */
void worker_peer_signature(struct worker *w, const char *host, enum signature_check check);
/* Tells authd what is wrong with HOST of L's account, at ADDR. */
void worker_peer_trouble(struct worker *w, const struct login *l, enum peer_trouble_kind kind, const char *host,
    const struct net_addr *addr, const char *why);
/* Target number TARGET of SESSION has taken the login: authd stops counting it as pending. The message goes out with
 * the next one to authd or within a second, at once if logins wait for room there. */
void worker_arrived(struct worker *w, uint64_t session, unsigned target);
/* Starts the relay for L's client: the two connections and the two strings are taken over. Logs the LOGIN line. */
void worker_relay(struct worker *w, struct login *l, struct conn *client, struct conn *peer, struct str *to_client,
    struct str *to_server);
/* Starts the relay between L's client and l->inner, which is taken over: the session is the session server's, for the
 * log and for authd. */
void worker_relay_here(struct worker *w, struct login *l);
/* TLS for a connection to T. */
SSL *worker_tls(struct worker *w, const struct auth_target *t);
/* The node is being drained: greet new clients with "not now". */
bool worker_draining(const struct worker *w);

#endif
