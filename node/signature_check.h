/* What a node thinks of the signature of a login that another node has forwarded to it, and the note by which it
 * tells that node: a few words at the end of its answer to the login (IMAP's tagged line, POP3's answer to PASS or
 * AUTH), in the text that is for people, so that it costs no line and no turn of its own. It goes to whoever has
 * sent a signature, strangers too, and tells them no more than that it does not hold; CLOCK is only told to who has
 * the secret. */
#ifndef NODE_SIGNATURE_CHECK_H
#define NODE_SIGNATURE_CHECK_H

#include "lib/base.h"

/* The columns: name, word for the log and for lists (a blank-free text), name of its count in `waypost status`,
 * note. */
/* clang-format off */
#define SIGNATURE_CHECKS(X) \
	X(NONE, "none", "signatures_none", "")         /* nothing is wrong: none was to be expected, or none is needed (PROXY_TRUSTED) */ \
	X(GOOD, "good", "signatures_good", "") \
	X(WRONG, "secret", "signatures_wrong", " Signature not accepted.")  /* made with another secret, or for another node */ \
	X(CLOCK, "clock", "signatures_clock", " Signature not accepted: clock.") /* rightly made, but not in these minutes */ \
	X(MISSING, "unsigned", "signatures_missing", " Signature missing.") /* the node before has no secret, and this one has */ \
	X(UNKNOWN, "no-secret", "signatures_unknown", " Signature not known: no secret here.") /* this node has none, and the one before has */
/* clang-format on */
enum signature_check {
#define X(name, word, count, note) SIGNATURE_##name,
	SIGNATURE_CHECKS(X)
#undef X
	    SIGNATURE_COUNT
};

/* Something is wrong with the secrets or the clocks of two nodes. */
static inline bool signature_check_bad(enum signature_check c)
{
	return c > SIGNATURE_GOOD;
}
const char *signature_check_word(enum signature_check c);
const char *signature_check_count_name(enum signature_check c);
/* The note to append to an answer, with a blank before it; "" where nothing is wrong. */
const char *signature_check_note(enum signature_check c);
/* How many bytes of LINE stand before the notes at its end. */
size_t signature_check_text(const char *line);
/* What the note at the end of LINE (without its line end) says; SIGNATURE_NONE: there is none. */
enum signature_check signature_check_read(const char *line);

#endif
