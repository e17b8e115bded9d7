/* The numbers of a worker's requests to authd and spawn, by which their answers find those who wait for them: a place
 * in a table and a count of its uses, so that a late answer finds nobody. */
#ifndef LOGIN_REQUEST_TABLE_H
#define LOGIN_REQUEST_TABLE_H

#include <stdbool.h>
#include <stdint.h>

enum {
	REQUEST_TABLE_BITS = 20, /* of a number, for the place; the others count its uses */
	REQUEST_TABLE_MAX = 1 << REQUEST_TABLE_BITS
};

struct request_table;

struct request_table *request_table_new(void);
/* Frees *T; no number may be in use. */
void request_table_free(struct request_table **t);
/* Gives OWNER, whose present number is *REQUEST (0: none), a fresh one, which is never 0; the old one no longer finds
 * it. False: there are too many, and it has none now. */
bool request_table_take(struct request_table *t, void *owner, uint32_t *request);
/* Whose number REQUEST is. NULL: nobody's any more. */
void *request_table_find(const struct request_table *t, uint32_t request);
/* Takes *REQUEST back and sets it to 0. It may be 0. */
void request_table_drop(struct request_table *t, uint32_t *request);

#endif
