/* The figures of `waypost status`: each role sends lines name=value; values of equal names are added up. */
#ifndef MASTER_COUNTS_H
#define MASTER_COUNTS_H

#include "lib/str.h"

struct count;
struct counts {
	struct count *first;
};

/* Adds the whole lines in the LEN bytes at TEXT. A value that is not a number is kept as a note; malformed lines (a
 * name is a-z, 0-9, '_', '.') and names beyond COUNTS_MAX are ignored. */
void counts_add_lines(struct counts *c, const char *text, size_t len);
/* Appends "count TAB name TAB sum" and "note TAB name TAB text" lines, in the order in which names first came. */
void counts_write(const struct counts *c, struct str *out);
/* The sum under NAME; 0 if there is none. */
uint64_t counts_sum(const struct counts *c, const char *name);
void counts_fini(struct counts *c);

enum { COUNTS_MAX = 4096 };

#endif
