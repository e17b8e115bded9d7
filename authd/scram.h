/* A login by SCRAM (RFC 5802, RFC 7677): handles the client's messages, step by step, and tells whether it knows the
 * password. GNU SASL implements the protocol; this provides the account's data, and makes unknown names
 * indistinguishable from known ones: the same number of steps, a constant salt per name, the same work before a
 * refusal. Never waits.
 *
 * The library is behind a module (libexec "scram.so"), which only authd loads, and only if SCRAM is turned on. */
#ifndef AUTHD_SCRAM_H
#define AUTHD_SCRAM_H

#include "authlib/scram_secret.h"
#include "lib/mac.h"
#include "node/account.h"

/* --- the module: one exchange --- */

struct scram_session;
struct scram_module {
	/* OFFER: hash, salt and iterations for the client. Channel binding (-PLUS), when there is TLS, is one more
	 * argument: until then clients that insist on it are refused. NULL: it failed. */
	struct scram_session *(*begin)(const struct scram_secret *offer);
	/* client-first-message -> server-first-message, appended to OUT. False: it is malformed, or not from NAME. */
	bool (*first)(struct scram_session *s, const char *text, const char *name, struct str *out);
	/* client-final-message of a client that knows KEYS -> server-final-message. Must follow first(), once. */
	bool (*final)(struct scram_session *s, const char *text, const struct scram_secret *keys, struct str *out);
	void (*end)(struct scram_session **s);
	/* SASLprep (RFC 4013) of a password, appended to OUT; false: it has none. */
	bool (*prepare)(const char *password, struct str *out);
};

/* The module of this installation, for as long as the process lives. NULL, and what to do in WHY, if it cannot be
 * used. */
const struct scram_module *scram_module_load(struct str *why);

/* --- a login --- */

struct scram;

enum scram_next {
	SCRAM_CHALLENGE, /* send OUT to the client; its response is the next step */
	SCRAM_PROVED,    /* the same, for the last time: the client knows the password, and hears it with OUT */
	SCRAM_COMPUTE,   /* scram_question() first */
	SCRAM_RIGHT,     /* it knows the password, and has got the proof that we do */
	SCRAM_WRONG
};

/* Starts a login with HASH of USER (the client's name for it), whose account is NAME. A NULL: there is no such account.
 * SALTS makes the salt from NAME if the account has none, with ITERATIONS. *WHY (static) says why an account cannot log
 * in with it, else "". NULL: the module failed. Free with scram_free(). */
struct scram *scram_new(const struct scram_module *m, enum scram_hash hash, const char *user, const char *name,
    const struct account *a, struct mac *salts, unsigned iterations, const char **why);
void scram_free(struct scram **s);
/* The client's next message. */
enum scram_next scram_step(struct scram *s, const char *text, struct str *out);
/* What an auth worker must compute (scram_secret_derive()): the password and a stored secret whose keys do not matter;
 * both live until the next call. scram_computed() continues with its result, a stored secret. */
void scram_question(struct scram *s, const char **password, const char **secret);
enum scram_next scram_computed(struct scram *s, const char *secret, struct str *out);

#endif
