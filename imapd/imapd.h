/* imapd: the IMAP server of one session, after login. */
#ifndef IMAPD_IMAPD_H
#define IMAPD_IMAPD_H

#include "node/session.h"

/* A session_server_fn. start->context is the tag that LOGIN or AUTHENTICATE waits on, and behind a blank the name in
 * the client's ID, if there was one; "" greets with PREAUTH. Writes the line about the session's end to the log. */
void imapd_session(int fd, const struct session_start *start);
/* The same with two descriptors, sockets or not. */
void imapd_serve(int in, int out, const struct session_start *start);

#endif
