/* SASL exchanges, the same for all protocols; the dialect carries the base64 lines. PLAIN (RFC 4616) and LOGIN send the
 * password like the commands for names and passwords do, and are always available. Others are available if the settings
 * list them: CRAM (RFC 2195) and SCRAM (RFC 5802, RFC 7677), whose challenges authd makes. X-WAYPOST-TOKEN is available
 * if there is a pool secret: a node's statement that it has authenticated the client. To add one: a row in the table of
 * login_sasl.c. */
#ifndef LOGIN_SASL_H
#define LOGIN_SASL_H

#include "login/login.h"

struct sasl {
	const struct sasl_mechanism *mechanism; /* NULL: there is no exchange */
	/* With SASL_CONTINUE: the server challenge, in base64 ("" is an empty challenge). */
	const char *challenge;
	char user[ACCOUNT_NAME_MAX]; /* LOGIN: the name, if received; no NUL ends it */
	size_t user_len;
	bool have_user; /* LOGIN; SCRAM: the first message was received */
};

/* The start of an exchange; texts need not outlive the call. */
struct sasl_command {
	const char *list, *prefix; /* the mechanisms of the settings: see sasl_named() */
	const char *mechanism;     /* the name from the client, in any case */
	size_t mechanism_len;
	const char *initial; /* the initial response in base64, "=" for an empty one; NULL: there is none */
	size_t initial_len;
};

enum sasl_result {
	SASL_CREDENTIALS, /* l->user and l->password are set */
	/* The same, and the exchange may go on: wait for the next line if authd sends a challenge. */
	SASL_STEP,
	SASL_CHALLENGE, /* l->mech is set: request a challenge from authd, send it and wait for the next line */
	SASL_CONTINUE,  /* send `challenge` and wait for the next line */
	SASL_ABORT,     /* the client sent "*" */
	SASL_MALFORMED, /* invalid base64, or not a message of the mechanism */
	SASL_AUTHZID,   /* it requests another authorization id */
	SASL_UNKNOWN    /* no such mechanism here */
};

enum { SASL_LINE_MAX = 8192 }; /* characters of a base64 line */

/* A word of LIST (separated by blanks) is PREFIX followed by the LEN bytes at NAME, in any case. */
bool sasl_named(const char *list, const char *prefix, const char *name, size_t len);
/* Begins the exchange C. */
enum sasl_result sasl_start(struct login *l, struct sasl *s, const struct sasl_command *c);
/* The client's next line, without its line end. Anything but SASL_CONTINUE and SASL_STEP ends the exchange. */
enum sasl_result sasl_line(struct login *l, struct sasl *s, const char *line, size_t len);
/* Wipes what S holds and ends the exchange. */
void sasl_end(struct sasl *s);

#endif
