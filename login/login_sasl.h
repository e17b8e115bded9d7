/* SASL exchanges in which the client tells its password: PLAIN (RFC 4616) and LOGIN. The same for all protocols;
 * the dialect carries the base64 lines. */
#ifndef LOGIN_SASL_H
#define LOGIN_SASL_H

#include "login/login.h"

enum sasl_mechanism { SASL_NONE, SASL_PLAIN, SASL_LOGIN };

struct sasl {
	enum sasl_mechanism mechanism;
	char user[ACCOUNT_NAME_MAX]; /* LOGIN: what was told so far */
	bool have_user;
};

enum sasl_result {
	SASL_CREDENTIALS, /* l->user and l->password are set */
	SASL_CONTINUE,    /* send the challenge and wait for the next line */
	SASL_ABORT,       /* the client sent "*" */
	SASL_MALFORMED,   /* no base64, or not what the mechanism says */
	SASL_AUTHZID,     /* it asks to act for somebody else */
	SASL_UNKNOWN      /* no such mechanism here */
};

enum { SASL_LINE_MAX = 8192 }; /* characters of a base64 line */

/* Begins MECHANISM (any case). INITIAL is the initial response in base64 ("=" = empty), or NULL.
 * CHALLENGE gets the base64 text of a challenge with SASL_CONTINUE ("" is an empty challenge). */
enum sasl_result sasl_start(struct login *l, struct sasl *s, const char *mechanism, size_t mechanism_len,
    const char *initial, size_t initial_len, const char **challenge);
/* The client's next line, without its line end. Anything but SASL_CONTINUE ends the exchange. */
enum sasl_result sasl_line(struct login *l, struct sasl *s, const char *line, size_t len, const char **challenge);
/* Wipes what S holds and ends the exchange. */
void sasl_end(struct sasl *s);

#endif
