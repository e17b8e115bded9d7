/* The messages of login workers and spawn to authd about sessions and peers. A read function returns false if the
 * message is not whole or has a value that is not in its range; use nothing in *M then. */
#ifndef NODE_MSG_SESSION_H
#define NODE_MSG_SESSION_H

#include "lib/msg.h"
#include "lib/net.h"
#include "node/account.h"
#include "node/signature_check.h"
#include "node/msg_channel.h"
#include "settings/capability.h"

/* SESSION_END: the session is over. */
void session_end_write(struct msgw *w, uint64_t session);
bool session_end_read(struct msgr *r, uint64_t *session);

/* SESSION_HAVE: the sender has this session. */
struct session_have {
	uint64_t session;
	enum protocol protocol;
	struct net_addr client;
	char user[ACCOUNT_NAME_MAX];
	uint32_t pid; /* of the session server; 0 from workers */
};
/* The same with a separate USER. */
void session_have_write(struct msgw *w, uint64_t session, enum protocol protocol, const struct net_addr *client,
    const char *user, uint32_t pid);
bool session_have_read(struct msgr *r, struct session_have *m);
/* SESSION_PROGRAM: the same fields. */
void session_program_write(struct msgw *w, uint64_t session, enum protocol protocol, const struct net_addr *client,
    const char *user, uint32_t pid);

/* SESSION_ADOPT, from authd to a new spawn: a session server of the one that died. */
struct session_adopt {
	struct session_have have;
	uint64_t start; /* unix seconds */
};
void session_adopt_write(struct msgw *w, uint64_t session, enum protocol protocol, const struct net_addr *client,
    const char *user, uint32_t pid, uint64_t start);
bool session_adopt_read(struct msgr *r, struct session_adopt *m);

/* SESSION_ARRIVED and PEER_RESULT: the result of a session's login at one of its targets (by number). */
struct session_target {
	uint64_t session;
	uint8_t target;
	enum peer_result result; /* of PEER_RESULT; PEER_ANSWERS in SESSION_ARRIVED */
	uint32_t took_ms;        /* of PEER_RESULT: since the attempt at this target began */
	int64_t when_ms;         /* of SESSION_ARRIVED, which may wait for another message: clock_ms() of the login */
};
void session_arrived_write(struct msgw *w, uint64_t session, uint8_t target, int64_t when_ms);
bool session_arrived_read(struct msgr *r, struct session_target *m);
void peer_result_write(struct msgw *w, uint64_t session, uint8_t target, enum peer_result result, uint32_t took_ms);
bool peer_result_read(struct msgr *r, struct session_target *m);

/* PEER_TROUBLE: what a login to HOST at ADDR has shown, and its administrator has to end. */
enum peer_trouble_kind {
	PEER_TROUBLE_SELF,      /* it has led back to this node */
	PEER_TROUBLE_TLS,       /* it takes no logins without TLS */
	PEER_TROUBLE_UNTRUSTED, /* TLS with it fails: in most cases its certificate is not believed */
	PEER_TROUBLES
};
enum { PEER_WHY_MAX = 256 };
struct peer_trouble {
	enum peer_trouble_kind kind;
	enum protocol protocol;
	char host[MAILHOST_MAX];
	struct net_addr addr;
	char why[PEER_WHY_MAX]; /* of UNTRUSTED: for people; else "" */
};
void peer_trouble_write(struct msgw *w, const struct peer_trouble *m);
bool peer_trouble_read(struct msgr *r, struct peer_trouble *m);

/* PEER_LIST: what the server of HOST at PORT has listed after a login, of capability_take(). AUTH_COMMON: what all
 * servers of the pool have in common; without host and port. */
struct capabilities_told {
	enum protocol protocol;
	char host[MAILHOST_MAX];
	uint16_t port;
	char list[CAPABILITY_LIST_MAX + 1];
};
void peer_list_write(struct msgw *w, enum protocol protocol, const char *host, uint16_t port, const char *list);
bool peer_list_read(struct msgr *r, struct capabilities_told *m);
void auth_common_write(struct msgw *w, enum protocol protocol, const char *list);
bool auth_common_read(struct msgr *r, struct capabilities_told *m);

/* PEER_SIGNATURE: HOST's verdict on our signature. */
struct peer_signature {
	char host[MAILHOST_MAX];
	enum signature_check check;
};
void peer_signature_write(struct msgw *w, const char *host, enum signature_check check);
bool peer_signature_read(struct msgr *r, struct peer_signature *m);

#endif
