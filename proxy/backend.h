/* Logs in at a peer: connects to one address after the other and passes each line to the protocol's dialogue until the
 * login is decided. Knows no protocol. There is one deadline for all of it. Until the dialogue begins the login,
 * nothing of it was sent: whatever goes wrong with an address before (no connection, no good greeting, no TLS), the
 * next one is tried, at once, or after its share of the time if it is silent. From then on none is, because the peer
 * may have acted on what it got. */
#ifndef PROXY_BACKEND_H
#define PROXY_BACKEND_H

#include <ev.h>
#include <openssl/ssl.h>

#include "lib/conn.h"
#include "lib/net.h"
#include "lib/str.h"
#include "node/msg_channel.h"

enum backend_result {
	BACKEND_OK,          /* logged in: the caller takes the connection and what was read ahead */
	BACKEND_UNREACHABLE, /* the login was begun at no address; backend_error() says why */
	BACKEND_SILENT,      /* it was begun, but not decided in time, or the peer hung up */
	BACKEND_INVALID,     /* it violated the protocol, or cannot accept this login */
	BACKEND_REFUSED      /* it refused the login, or the dialogue refused the peer and knows why */
};

/* The dialogue's decision after a line. */
enum backend_step {
	BACKEND_STEP_ASK,  /* go on reading; `out` may hold something to send, but nothing of the login */
	BACKEND_STEP_MORE, /* the same, and now it may: the login is begun */
	BACKEND_STEP_TLS,  /* TLS begins behind this line; `out`, as with ASK, is sent in it */
	BACKEND_STEP_NEXT, /* the peer takes no logins now. With the next two, too, the next address is tried if the */
	BACKEND_STEP_NO_TLS, /* login was not begun. It does not begin TLS as it should: as if TLS had failed */
	BACKEND_STEP_INVALID,
	BACKEND_STEP_OK,
	/* The dialogue is over, whether the login was begun or not: */
	BACKEND_STEP_REFUSED,
	BACKEND_STEP_LATER /* the same, because of a temporary failure: the peer's, or this login's alone */
};
/* One line of the peer, without its line end, NUL-terminated (it may hold NUL bytes within LEN). What is
 * appended to OUT is sent (and wiped). *SKIP may be set to a number of bytes that follow the line and belong to
 * it (a literal): they are dropped, and the next line is a new one. */
typedef enum backend_step backend_line_fn(const char *line, size_t len, struct str *out, uint64_t *skip, void *arg);

struct backend;

/* Begins to connect to TO, the address in turn: as net_connect(). *WHY may be set to a text for the log in place of
 * errno's. */
typedef int backend_connect_fn(const struct net_addr *to, const char **why, void *arg);
/* Why the dialogue has stopped with NEXT, NO_TLS or INVALID, in words for the log. */
typedef const char *backend_why_fn(void *arg);
/* TLS for the connection to address number INDEX: an SSL that is taken over. IS_NEW: from its first byte; NULL: none.
 * Else it was asked for by BACKEND_STEP_TLS. */
typedef SSL *backend_tls_fn(unsigned index, bool is_new, void *arg);

/* Appends what is sent at the connection to address number INDEX before all else, TLS included. */
typedef void backend_first_fn(unsigned index, struct str *out, void *arg);

/* The login is over, whatever the result; called exactly once, never from within backend_start(). The callee may call
 * backend_free(). */
typedef void backend_done_fn(struct backend *b, enum backend_result result, void *arg);
/* The state of the peer at address number INDEX, for the health of peers, TOOK ms after it was connected to. Nothing is
 * told where it had too little time to show anything. */
typedef void backend_health_fn(unsigned index, enum peer_result result, uint32_t took, void *arg);

enum { BACKEND_LINE_MAX = 8192 }; /* longer lines, and more than 100 lines, are invalid */

/* Only `health`, `first`, `tls` and `connect` may be NULL. */
struct backend_fns {
	backend_line_fn *line;
	backend_why_fn *why;
	backend_done_fn *done;
	backend_health_fn *health;
	/* may be called from within backend_start(): */
	backend_first_fn *first;
	backend_tls_fn *tls;
	backend_connect_fn *connect; /* NULL: net_connect() */
};

/* ADDRS (N of them, at least 1) are copied; FNS is kept. TIMEOUT in seconds for everything. */
struct backend *backend_start(struct ev_loop *loop, const struct net_addr *addrs, unsigned n, double timeout,
    const struct backend_fns *fns, void *arg);
/* The same over FD, which is taken over and may still be connecting; TEXT, which has to live as long, is what it leads
 * to, in place of an address, in texts. */
struct backend *backend_start_on(struct ev_loop *loop, int fd, const char *text, double timeout,
    const struct backend_fns *fns, void *arg);
/* That text; NULL: of backend_start(). */
const char *backend_text(const struct backend *b);
/* The address in use, or the last one tried; none of backend_start_on(). */
const struct net_addr *backend_addr(const struct backend *b);
/* Its index in the ADDRS of backend_start(). */
unsigned backend_index(const struct backend *b);
/* For the log: what went wrong at address number I, for people. "": nothing, or it was not tried. */
const char *backend_error(const struct backend *b, unsigned i);
/* TLS with address number I has failed, or was not begun, and not because of the network: for such a peer nothing is
 * told about its health. *VERDICT is that on the certificate, X509_V_OK if that was not the reason. */
bool backend_is_untrusted(const struct backend *b, unsigned i, int *verdict);
/* After BACKEND_OK: the connection, to be taken over before backend_free(). Appends to LEFTOVER what the peer sent
 * after its reply. */
struct conn *backend_take(struct backend *b, struct str *leftover);
/* Closes the connection if it was not taken over, and frees *B (may be NULL), at any time. */
void backend_free(struct backend **b);

#endif
