/* The figures of `waypost status`: each role answers lines name=value; equal names are added up. */
#ifndef MASTER_COUNTS_H
#define MASTER_COUNTS_H

#include "lib/str.h"

struct count;
struct counts {
	struct count *first;
};

/* Takes the whole lines in the LEN bytes at TEXT. A value that is no number is kept as a note of its own;
 * malformed lines (a name is a-z, 0-9, '_', '.') and more than COUNTS_MAX names are left out. */
void counts_add_lines(struct counts *c, const char *text, size_t len);
/* Appends "count TAB name TAB sum" and "note TAB name TAB text" lines, in the order in which names first came. */
void counts_write(const struct counts *c, struct str *out);
/* The sum under NAME; 0 if there is none. */
uint64_t counts_sum(const struct counts *c, const char *name);
void counts_fini(struct counts *c);

enum { COUNTS_MAX = 4096 };

#endif
