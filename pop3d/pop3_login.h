/* POP3 before login (RFC 1939, RFC 2449 CAPA, RFC 2595 STLS, RFC 5034 AUTH, RFC 6856 UTF8, and Dovecot's XCLIENT). */
#ifndef POP3D_POP3_LOGIN_H
#define POP3D_POP3_LOGIN_H

#include "login/login.h"
#include "login/login_sasl.h"

extern const struct login_dialect pop3_login_dialect;

enum { POP3_LOGIN_LINE_MAX = 2048 }; /* bytes of a command line with its end; SASL lines may be longer */

/* l->data of a POP3 login. */
struct pop3_login {
	char user[ACCOUNT_NAME_MAX]; /* from USER; "" = none yet */
	bool utf8;                   /* the client sent UTF8 */
	bool in_sasl;
	bool xclient_seen;
	struct sasl sasl;
};

/* The dialogue with a POP3 peer (pop3_peer_login.c). */
backend_line_fn pop3_peer_line;

#endif
