/* The list of the ID command (RFC 2971), before login and after it. */
#ifndef IMAPD_IMAP_ID_LIST_H
#define IMAPD_IMAP_ID_LIST_H

#include "imapd/imap_lex.h"

enum {
	/* RFC 2971 section 3.3 */
	IMAP_ID_PAIRS_MAX = 30,
	IMAP_ID_KEY_MAX = 30,    /* bytes */
	IMAP_ID_VALUE_MAX = 1024 /* bytes */
};

/* The answer to a list that is none. */
#define IMAP_ID_BAD \
	"ID takes NIL or a list of at most 30 pairs of strings, with keys of at most 30 and values of at most 1024 " \
	"bytes."

/* Told of one pair; a value may hold any byte but NUL. ARG is the caller's. */
typedef void imap_id_pair_fn(void *arg, const char *key, const char *value, size_t len);

/* Reads " NIL" or a list of pairs, to the end of the command. FN is called for each pair whose value is not NIL, in
 * their order. False: it is no such list (FN may have been called for what came before the mistake). */
bool imap_id_list(struct imap_lex *l, imap_id_pair_fn *fn, void *arg);

#endif
