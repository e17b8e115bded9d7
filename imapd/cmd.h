/* The commands: one handler each, in cmd_*.c by family. */
#ifndef IMAPD_CMD_H
#define IMAPD_CMD_H

#include "imapd/imap_session.h"

/* Properties of a command in the table. */
enum {
	CMD_SELECTED = 1, /* a mailbox must be selected */
	CMD_WRITE = 2,    /* and not by EXAMINE */
	CMD_UID = 4,      /* there is a UID form */
	CMD_PLAIN = 8,    /* there is a form without UID */
	/* No EXPUNGE may be sent with its reply, except for the UID form (RFC 3501 7.4.1). */
	CMD_NUMBERS = 16,
	CMD_NO_SYNC = 32, /* changes of the mailbox are not reported after it */
	CMD_NO_ARGS = 64, /* nothing may follow the name */
	/* A literal after its first argument is a message of any size, which the handler reads. */
	CMD_MESSAGE = 128
};

/* clang-format off */
#define IMAP_COMMANDS(X) \
	X(CAPABILITY, capability, CMD_PLAIN | CMD_NO_ARGS) \
	X(NOOP, noop, CMD_PLAIN | CMD_NO_ARGS) \
	X(LOGOUT, logout, CMD_PLAIN | CMD_NO_ARGS | CMD_NO_SYNC) \
	X(ID, id, CMD_PLAIN) \
	X(ENABLE, enable, CMD_PLAIN) \
	X(NAMESPACE, namespace, CMD_PLAIN | CMD_NO_ARGS) \
	X(LOGIN, again, CMD_PLAIN) \
	X(AUTHENTICATE, again, CMD_PLAIN) \
	X(STARTTLS, again, CMD_PLAIN) \
	X(SELECT, select, CMD_PLAIN | CMD_NO_SYNC) \
	X(EXAMINE, examine, CMD_PLAIN | CMD_NO_SYNC) \
	X(CREATE, create, CMD_PLAIN) \
	X(DELETE, delete, CMD_PLAIN) \
	X(RENAME, rename, CMD_PLAIN) \
	X(SUBSCRIBE, subscribe, CMD_PLAIN) \
	X(UNSUBSCRIBE, unsubscribe, CMD_PLAIN) \
	X(LIST, list, CMD_PLAIN) \
	X(LSUB, lsub, CMD_PLAIN) \
	X(STATUS, status, CMD_PLAIN) \
	X(APPEND, append, CMD_PLAIN | CMD_MESSAGE) \
	X(IDLE, idle, CMD_PLAIN | CMD_NO_ARGS) \
	X(CHECK, check, CMD_PLAIN | CMD_SELECTED | CMD_NO_ARGS) \
	X(CLOSE, close, CMD_PLAIN | CMD_SELECTED | CMD_NO_ARGS | CMD_NO_SYNC) \
	X(UNSELECT, unselect, CMD_PLAIN | CMD_SELECTED | CMD_NO_ARGS | CMD_NO_SYNC) \
	X(EXPUNGE, expunge, CMD_PLAIN | CMD_UID | CMD_SELECTED | CMD_WRITE) \
	X(SEARCH, search, CMD_PLAIN | CMD_UID | CMD_SELECTED | CMD_NUMBERS) \
	X(SORT, sort, CMD_PLAIN | CMD_UID | CMD_SELECTED | CMD_NUMBERS) \
	X(THREAD, thread, CMD_PLAIN | CMD_UID | CMD_SELECTED | CMD_NUMBERS) \
	X(FETCH, fetch, CMD_PLAIN | CMD_UID | CMD_SELECTED | CMD_NUMBERS) \
	X(STORE, store, CMD_PLAIN | CMD_UID | CMD_SELECTED | CMD_WRITE | CMD_NUMBERS) \
	X(COPY, copy, CMD_PLAIN | CMD_UID | CMD_SELECTED) \
	X(MOVE, move, CMD_PLAIN | CMD_UID | CMD_SELECTED | CMD_WRITE)
/* clang-format on */

#define X(name, fn, flags) enum imap_status imap_cmd_##fn(struct imap_session *s, struct imap_lex *args);
IMAP_COMMANDS(X)
#undef X

/* True if the LEN bytes at LINE, which end in the announcement of a literal, begin a command that takes it as a message
 * (CMD_MESSAGE). */
bool imap_takes_message(const char *line, size_t len);

#endif
