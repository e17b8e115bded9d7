/* The items of FETCH, and the reply for one message. */
#ifndef IMAPD_IMAP_FETCH_H
#define IMAPD_IMAP_FETCH_H

#include "imapd/imap_section.h"
#include "imapd/imap_session.h"

/* Items without a section, as bits; in the order of the reply. */
enum {
	FETCH_UID = 1,
	FETCH_FLAGS = 2,
	FETCH_INTERNALDATE = 4,
	FETCH_SIZE = 8,
	FETCH_ENVELOPE = 16,
	FETCH_BODY = 32,
	FETCH_BODYSTRUCTURE = 64,
};

/* Sections of one FETCH, and those with a list of header names, each of which reads the header again. */
enum { IMAP_FETCH_SECTIONS_MAX = 256, IMAP_FETCH_LISTS_MAX = 32 };

/* BODY[...]<...>, RFC822, RFC822.HEADER, RFC822.TEXT. */
struct imap_fetch_section {
	struct imap_section section;
	const char *label; /* its name in the reply; NULL: "BODY" and the section */
	bool partial;
	uint32_t start, count;
};

/* All-zero is nothing; free with imap_fetch_fini(). */
struct imap_fetch {
	unsigned items;
	struct imap_fetch_section *sections;
	size_t n, cap;
	size_t n_lists; /* sections with header names */
	bool sets_seen; /* one of the sections has no PEEK */
};

/* Reads " item", " macro" or " (item item)" from L. NULL; or what is wrong, for a BAD. */
const char *imap_fetch_read(struct imap_fetch *f, struct imap_lex *l);
void imap_fetch_fini(struct imap_fetch *f);
/* Puts "* n FETCH (...)" for message I (an index). MD_OK; MD_GONE or another failure: nothing was put. */
enum md_err imap_fetch_put(struct imap_session *s, const struct imap_fetch *f, size_t i);

#endif
