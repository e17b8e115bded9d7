/* A login worker's channel to authd (node/msg_auth.h, node/msg_session.h): what logins ask, and what authd has to know
 * of sessions and peers. Without an authd what is asked waits for the next one, and what is only told is dropped. */
#ifndef LOGIN_AUTHD_LINK_H
#define LOGIN_AUTHD_LINK_H

#include <ev.h>

#include "lib/net.h"
#include "lib/tls_ticket_keys.h"
#include "login/request_table.h"
#include "node/msg_auth.h"
#include "node/msg_session.h"

struct login;
struct authd_link;

/* ARG is authd_link_new()'s. The first two may end their login, and others. */
struct authd_link_hooks {
	/* The verdict on L's credentials, which the callee frees. NULL: an answer that cannot be used. STREAM, if not
	 * -1, leads to the local server and is taken over. */
	void (*reply)(struct login *l, struct auth_reply *a, int stream);
	/* The challenge that L wants; NULL, only for one in GREETING: there is none. */
	void (*challenge)(struct login *l, const char *text);
	/* New keys of session tickets. */
	void (*ticket_keys)(void *arg, const struct tls_ticket_keys *keys);
	/* What all servers of the pool can do by P. */
	void (*common)(void *arg, enum protocol p, const char *list);
	/* authd is gone, and with it all that it knew: authd_link_lose() is due for all logins. */
	void (*gone)(void *arg);
};

/* REQUESTS, where the logins' numbers come from, outlives the link. */
struct authd_link *authd_link_new(struct ev_loop *loop, struct request_table *requests,
    const struct authd_link_hooks *hooks, void *arg);
/* Closes the channel, if it is open, and frees *A. */
void authd_link_free(struct authd_link **a);
/* Takes over SOCK, the channel to a new authd, which knows nothing yet. The one before must be closed. */
void authd_link_open(struct authd_link *a, int sock);
/* Closes the channel. Nothing happens if there is none. */
void authd_link_close(struct authd_link *a);
bool authd_link_is_up(const struct authd_link *a);

/* Sends L's credentials to authd; the verdict comes by reply(). Without an authd they wait until this is called again,
 * unless they are the response to a lost challenge. */
void authd_link_send_credentials(struct authd_link *a, struct login *l);
/* Requests a challenge of MECH from authd, for L's client; it comes by challenge(). False: there is no authd now. */
bool authd_link_request_challenge(struct authd_link *a, struct login *l, enum auth_mech mech);
/* L no longer waits for authd, nor needs what authd keeps for it. */
void authd_link_end_exchange(struct authd_link *a, struct login *l);
/* authd no longer knows L and will not answer it. */
void authd_link_lose(struct authd_link *a, struct login *l);
/* Verdicts that were good, and others. */
uint64_t authd_link_logins_ok(const struct authd_link *a);
uint64_t authd_link_logins_failed(const struct authd_link *a);

/* Tells a new authd of SESSION, which another one has entered: USER is its account. */
void authd_link_have(struct authd_link *a, uint64_t session, enum protocol protocol, const struct net_addr *client,
    const char *user);
/* SESSION (of an OK verdict) is over or never began. */
void authd_link_session_end(struct authd_link *a, uint64_t session);
/* Target number TARGET of SESSION has taken the login: authd stops counting it as pending. The message goes out with
 * the next one to authd or with authd_link_tell_arrived(), at once if logins wait for room there. */
void authd_link_arrived(struct authd_link *a, uint64_t session, unsigned target);
/* Sends what waits of that; to be called each second. */
void authd_link_tell_arrived(struct authd_link *a);
/* The result of SESSION's login at target number TARGET, after TOOK_MS milliseconds. */
void authd_link_peer_result(struct authd_link *a, uint64_t session, unsigned target, enum peer_result result,
    uint32_t took_ms);
/* The verdict of HOST, one of our nodes, on our signature. */
void authd_link_peer_signature(struct authd_link *a, const char *host, enum signature_check check);
/* After a login of PROTOCOL the server of HOST at PORT has listed LIST (capability_take()). */
void authd_link_peer_list(struct authd_link *a, enum protocol protocol, const char *host, uint16_t port,
    const char *list);
/* What is wrong with HOST, at ADDR, for logins of PROTOCOL; WHY is for the operator. */
void authd_link_peer_trouble(struct authd_link *a, enum protocol protocol, enum peer_trouble_kind kind,
    const char *host, const struct net_addr *addr, const char *why);

#endif
