/* A node's verdict on the signature of a login that another node forwards to it, and the note that reports it: a few
 * words at the end of the reply to the login (IMAP's tagged line, POP3's reply to PASS or AUTH), in the human-readable
 * text, so that it costs no extra line or round trip. Anyone who sends a signature gets it, strangers too, and learns
 * only that the signature is invalid; only holders of the secret can get CLOCK. */
#ifndef NODE_SIGNATURE_CHECK_H
#define NODE_SIGNATURE_CHECK_H

#include "lib/base.h"

/* The columns: name, word for the log and for lists (a blank-free text), name of its count in `waypost status`,
 * note. */
/* clang-format off */
#define SIGNATURE_CHECKS(X) \
	X(NONE, "none", "signatures_none", "")         /* nothing is wrong: none was expected, or none is needed (PROXY_TRUSTED) */ \
	X(GOOD, "good", "signatures_good", "") \
	X(WRONG, "secret", "signatures_wrong", " Signature not accepted.")  /* made with another secret, or for another node */ \
	X(CLOCK, "clock", "signatures_clock", " Signature not accepted: clock.") /* made with our secret, but not in these minutes */ \
	X(MISSING, "unsigned", "signatures_missing", " Signature missing.") /* the forwarding node has no secret, but this one has */ \
	X(UNKNOWN, "no-secret", "signatures_unknown", " Signature not known: no secret here.") /* this node has no secret, but the forwarding one has */
/* clang-format on */
enum signature_check {
#define X(name, word, count, note) SIGNATURE_##name,
	SIGNATURE_CHECKS(X)
#undef X
	    SIGNATURE_COUNT
};

/* The secrets or the clocks of two nodes differ. */
static inline bool signature_check_bad(enum signature_check c)
{
	return c > SIGNATURE_GOOD;
}
const char *signature_check_word(enum signature_check c);
const char *signature_check_count_name(enum signature_check c);
/* The note to append to a reply, beginning with a blank; "" if nothing is wrong. */
const char *signature_check_note(enum signature_check c);
/* The length of LINE without the notes at its end. */
size_t signature_check_text(const char *line);
/* The verdict in the note at the end of LINE (which has no line end); SIGNATURE_NONE: there is no note. */
enum signature_check signature_check_read(const char *line);

#endif
