/* Which sessions an operator's command is about: what `who` lists and `kick` ends. The commands of the control socket
 * are VERB with a user (or, of "who", with "": all), "VERB-address" with an address or network, and "VERB-session" with
 * an id, as `who` and the log show it. Nothing in the argument says what it is: a name may look like an address. */
#ifndef NODE_SESSION_CHOICE_H
#define NODE_SESSION_CHOICE_H

#include "lib/net.h"

enum session_choice_kind {
	SESSION_CHOICE_ALL,
	SESSION_CHOICE_USER,    /* the canonical name of an account */
	SESSION_CHOICE_ADDRESS, /* whom a session stands for: "192.0.2.7", "::ffff:192.0.2.7", "2001:db8::/64" */
	SESSION_CHOICE_ID,
	SESSION_CHOICE_NONE /* the argument cannot be one: no session */
};
struct session_choice {
	enum session_choice_kind kind;
	const char *what;
};

/* COMMAND is one of VERB ("who", "kick"), about ARGUMENT, which has to live as long as *C. False: it is another one. */
bool session_choice_read(struct session_choice *c, const char *verb, const char *command, const char *argument);
/* C means the session with ID of USER, whose client is at CLIENT. */
bool session_choice_has(const struct session_choice *c, const char *user, const struct net_addr *client,
    const char *id);

#endif
