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

/* The text of BAD for an invalid list. */
#define IMAP_ID_BAD \
	"ID takes NIL or a list of at most 30 pairs of strings, with keys of at most 30 and values of at most 1024 " \
	"bytes."

/* Receives one pair; a value may hold any byte but NUL. ARG is the caller's. */
typedef void imap_id_pair_fn(void *arg, const char *key, const char *value, size_t len);

/* Reads " NIL" or a list of pairs, to the end of the command. FN is called in order for each pair whose value is not
 * NIL. False: it is no such list (FN may have been called for pairs before the mistake). */
bool imap_id_list(struct imap_lex *l, imap_id_pair_fn *fn, void *arg);

#endif
