/* Sequence sets (RFC 3501 section 9, sequence-set): "2,4:7,9,12:*". */
#ifndef IMAPD_IMAP_SEQ_H
#define IMAPD_IMAP_SEQ_H

#include "lib/str.h"

/* From LOW to HIGH, both included; 1 <= LOW <= HIGH. */
struct imap_range {
	uint32_t low, high;
};

/* Ranges in ascending order that neither overlap nor touch. All zero is the empty set. */
struct imap_set {
	struct imap_range *ranges;
	size_t n, cap;
};

/* Reads the LEN bytes at TEXT into SET (empty before). STAR is what "*" stands for: the highest sequence number or
 * UID in use, 0 if the mailbox is empty; a range with "*" is then empty, and "4:*" with STAR 2 is 2:4.
 * False (SET stays empty) for bad syntax. */
bool imap_set_parse(struct imap_set *set, const char *text, size_t len, uint32_t star);
/* Adds LOW to HIGH, which must not be below what was added before; joined with the last range if they touch. */
void imap_set_add(struct imap_set *set, uint32_t low, uint32_t high);
/* Makes SET, empty before, the same as FROM. */
void imap_set_copy(struct imap_set *set, const struct imap_set *from);
/* Frees the ranges; the set is empty. */
void imap_set_fini(struct imap_set *set);
/* True if N is in the set. */
bool imap_set_has(const struct imap_set *set, uint32_t n);
/* The highest member, 0 if empty. */
uint32_t imap_set_max(const struct imap_set *set);

/* Appends "5,7:9,2" for the N numbers at LIST, in their given order, as COPYUID needs (RFC 4315: its two lists
 * correspond); consecutive ascending numbers become ranges. */
void imap_list_print(struct str *out, const uint32_t *list, size_t n);

#endif
