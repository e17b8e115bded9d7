/* What the replies to a client's login have in common in every protocol. */
#ifndef LOGIN_CLIENT_REPLY_H
#define LOGIN_CLIENT_REPLY_H

#include "lib/str.h"
#include "login/failure.h"

struct login;

/* Appends to l->out "[CODE] text" for failure F, and the note for the forwarding node. */
void client_reply_refusal(struct login *l, enum login_failure f);
/* Changes the end of a peer's TEXT of LEN bytes that is passed on to the client, if it looks like the announcement of
 * an IMAP literal, "{n}": some clients would take n bytes of what we send next for that. */
void client_reply_avoid_literal(char *text, size_t len);
/* Appends the report to the forwarding node about its signature: "" in most cases. */
void client_reply_note(const struct login *l, struct str *out);

#endif
