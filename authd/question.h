/* Questions to the drivers that may wait (LDAP, SQL, ...): the one way from authd's loop to them.
 * Whoever asks is called back once, from inside question_ask() where the answer is known, else from the loop. */
#ifndef AUTHD_QUESTION_H
#define AUTHD_QUESTION_H

#include "authd/jobs.h"

struct questions; /* those of a node */
struct question;  /* one on its way */

/* What is asked; nothing of it need outlive the call. */
struct ask {
	unsigned pos;         /* position in the chain to begin at, of a driver that may wait */
	const char *service;  /* "imap", "pop3", ...: as the drivers know it */
	const char *user;     /* with its domain */
	const char *password; /* is it right? NULL: only the record is wanted, with what is stored of the password */
	const struct net_addr *client; /* who is at the other end; NULL: nobody, an operator asks */
};

/* ACCOUNT is the callee's to copy, without DEFAULTOPTIONS. A record that was asked for (no password) has hash and clear;
 * beside a checked password they may be "". */
struct answer {
	bool answered;           /* false: driver `pos` is an inline one; ask it and what follows in the loop */
	enum auth_result result; /* as of auth_chain_lookup() or auth_chain_verify() */
	unsigned pos;            /* the driver that gave the verdict */
	uint64_t age;            /* seconds since it did: more than 0 where another node of the pool has asked it */
	const struct account *account;
};
typedef void answer_fn(const struct answer *answer, void *arg);

/* Someone who waits for an answer: a member of whoever asks, all zero while it does not. */
struct asker {
	struct question *question;
	answer_fn *fn;
	void *arg;
};

struct questions *questions_new(struct jobs *jobs);
void questions_free(struct questions **qs);
/* Asks for WHO, who asks nothing else now; FN is called once with ARG, and may free WHO. No answer, for whatever reason,
 * is AUTH_TRY_LATER. */
void question_ask(struct questions *qs, struct asker *who, const struct ask *ask, answer_fn *fn, void *arg);
/* WHO, who may wait for nothing, is not called any more. */
void question_cancel(struct asker *who);

#endif
