/* The messages that hand a client to a session server: the ticket from authd to spawn, the client from the login worker
 * to spawn. A read function returns false if the message is not whole or has a value that is not in its range. */
#ifndef NODE_MSG_TICKET_H
#define NODE_MSG_TICKET_H

#include "lib/msg.h"
#include "lib/net.h"
#include "node/account.h"
#include "node/session.h"
#include "node/msg_channel.h"

/* TICKET: the account to serve when worker SLOT of GENERATION presents this id. */
struct ticket_grant {
	uint8_t id[TICKET_LEN];
	uint64_t session;
	uint32_t slot;
	uint64_t generation;
	enum protocol protocol;
	struct account account; /* without its secrets */
	char session_id[SESSION_ID_MAX];
	struct net_addr client;
	bool program; /* the server is the program of LOCAL_IMAP or LOCAL_POP3; the worker keeps the session */
	bool proxied, tls, later; /* as in struct session_start */
	char tls_words[SESSION_TLS_MAX];
	enum signature_check signature; /* to report to the forwarding node, with the reply to the login */
};
void ticket_write(struct msgw *w, const struct ticket_grant *m);
/* M->account must be an initialised record before, and is one after, in any case. */
bool ticket_read(struct msgr *r, struct ticket_grant *m);

/* TICKET_VOID: that ticket is no longer valid. */
void ticket_void_write(struct msgw *w, const uint8_t id[TICKET_LEN]);
bool ticket_void_read(struct msgr *r, uint8_t id[TICKET_LEN]);

/* HANDOFF: a client; its descriptor comes with the message, unless it is RELAYED: its bytes go through the worker,
 * which gets one end of a stream to the session server with the reply. */
struct handoff_client {
	uint32_t request;
	bool relayed;
	uint8_t ticket[TICKET_LEN];
	char context[SESSION_CONTEXT_MAX];
	const void *leftover; /* what it sent after the login; points into the message */
	size_t leftover_len;  /* SESSION_LEFTOVER_MAX at most */
};
void handoff_write(struct msgw *w, const struct handoff_client *m);
bool handoff_read(struct msgr *r, struct handoff_client *m);

/* HANDOFF_REPLY: whether a server runs for it. With the end of the stream if it is relayed. */
void handoff_reply_write(struct msgw *w, uint32_t request, bool started);
bool handoff_reply_read(struct msgr *r, uint32_t *request, bool *started);

#endif
