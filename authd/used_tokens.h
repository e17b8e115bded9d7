/* Tokens of other nodes of the pool (forwarded_token()): each is valid once, even if authd restarts. Used ones are kept
 * in a memory file of the master, which each authd gets; a token is written there before its login is granted. A token
 * is dropped only when it has expired; if the clock steps back, nothing as old as what was dropped is accepted. A token
 * for a node that ran before (same name, other id) does not get here.
 *
 * The file is read and written, not mapped: stray writes in memory cannot reach it, a lack of memory is an error, and a
 * kill leaves each record complete. */
#ifndef AUTHD_USED_TOKENS_H
#define AUTHD_USED_TOKENS_H

#include "node/forwarded.h"

/* None is dropped while it is valid: this is enough for 2,000 logins a second without a password at one node. */
enum { USED_TOKENS_MAX = 128 * 1024 };

enum used_token {
	USED_TOKEN_FRESH, /* it was not used before, and counts as used now */
	USED_TOKEN_AGAIN, /* it was */
	USED_TOKEN_OLD,   /* it is not known what was used at that time: the file was lost, or the clock went back */
	USED_TOKEN_FULL,  /* there are USED_TOKENS_MAX, all of them still valid */
	USED_TOKEN_FAILED /* it could not be written; errno says why */
};

struct used_tokens;

/* A new, empty file, whose size cannot be changed, for the first used_tokens_open(): for the master, which keeps it. -1
 * with errno if that cannot be done. */
int used_tokens_file(void);
/* The tokens in the file FD, which is taken over; NOW in seconds of the wall clock. One process at a time. If the file
 * is damaged, that is logged, and every token that can have been used is USED_TOKEN_AGAIN or USED_TOKEN_OLD. */
struct used_tokens *used_tokens_open(int fd, uint64_t now);
/* Closes the file. *T may be NULL. */
void used_tokens_free(struct used_tokens **t);
/* Uses the token TEXT, a valid one made at MADE, which is no more than TOKEN_AGE_MAX from NOW; both in seconds of a
 * wall clock. */
enum used_token used_tokens_take(struct used_tokens *t, const char *text, uint64_t made, uint64_t now);

#endif
