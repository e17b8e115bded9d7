/* Patterns of LIST and LSUB (RFC 3501 section 6.3.8): "*" stands for any characters, "%" for any but the separator.
 * Time is bounded by pattern length times name length, whatever the pattern. */
#ifndef IMAPD_IMAP_MATCH_H
#define IMAPD_IMAP_MATCH_H

#include "lib/str.h"

struct imap_pattern {
	struct str text; /* the pattern with runs of wildcards reduced */
	size_t plain;    /* characters that are not wildcards */
	char separator;
};

/* PATTERN is REFERENCE and NAME put together, as the client sent them; SEPARATOR divides levels. Both are copied. */
void imap_pattern_init(struct imap_pattern *p, const char *reference, const char *name, char separator);
void imap_pattern_fini(struct imap_pattern *p);
/* The length of the longest of NAME and its parents ("a.b" and "a" for "a.b.c") that matches; 0 if none does. All are
 * tried in one pass. */
size_t imap_pattern_match_level(const struct imap_pattern *p, const char *name);
/* True if NAME matches and is not empty. The case of "INBOX" as NAME's first level is ignored. */
bool imap_pattern_match(const struct imap_pattern *p, const char *name);

#endif
