/* IMAP before login (RFC 9051 6.1, 6.2; RFC 2971 ID; RFC 4959 initial response; RFC 7888 literals). */
#ifndef IMAPD_IMAP_LOGIN_H
#define IMAPD_IMAP_LOGIN_H

#include "imapd/imap_lex.h"
#include "login/login.h"
#include "login/login_sasl.h"
#include "settings/withheld.h"

extern const struct login_dialect imap_login_dialect;

enum {
	IMAP_LOGIN_LINE_MAX = 8192, /* bytes of a line, and of all literals of a command, before login */
	/* Bytes of a refused command that are skipped; beyond them the session ends. */
	IMAP_LOGIN_SKIP_MAX = 1024 * 1024,
	IMAP_ID_TEXT_MAX = 2048 /* bytes of the client's own ID that are passed on to a peer */
};

/* l->data of an IMAP login. */
struct imap_login {
	char tag[IMAP_TAG_MAX + 1]; /* of the current command; "*" if it has none */
	bool in_sasl;
	struct sasl sasl;
	struct imap_frame frame; /* how far the unfinished command was scanned */
	/* While the rest of a refused command is skipped: the text of its reply; else NULL. */
	const char *refused;
	struct imap_skip skip;
	bool id_seen;
	unsigned id_pairs;
	char client[WITHHELD_CLIENT_MAX]; /* the name in its ID, printable; "": it has not said */
	struct str id;                    /* the client's own ID pairs, quoted, without reserved keys */
};

/* The dialogue with an IMAP peer (imap_peer_login.c). */
backend_line_fn imap_peer_line;
/* Our tag of the login at a peer; a program that serves the account is told to answer with it. */
#define IMAP_PEER_LOGIN_TAG "L"
/* The reply to the client when the peer accepted the login. */
void imap_accepted(struct login *l);

/* Appends LEN bytes at P as a quoted string (RFC 3501 4.3). They must hold no CR, LF or NUL. */
void imap_add_quoted(struct str *out, const char *p, size_t len);

#endif
