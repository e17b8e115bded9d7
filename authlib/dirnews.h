/* The state of directory servers that drivers noticed during one query. Auth workers do not log them, because each
 * would log the same: they return them with the answer, and authd logs each once for the node. */
#ifndef AUTHLIB_DIRNEWS_H
#define AUTHLIB_DIRNEWS_H

#include "lib/msg.h"

enum dirnews_kind {
	DIRNEWS_FAILED,   /* SERVER cannot be used, whatever the query: WHY */
	DIRNEWS_SILENT,   /* SERVER is up, but gave no answer to a query: WHY */
	DIRNEWS_ERRED,    /* SERVER answered a query with an error, perhaps due to that query: WHY */
	DIRNEWS_ANSWERED, /* SERVER answered */
	DIRNEWS_REFUSED,  /* a server is up but refuses the query: WHY */
	DIRNEWS_SERVED,   /* a query was accepted */
	DIRNEWS_KINDS
};

enum { DIRNEWS_MAX = 16, DIRNEWS_DRIVER_MAX = 32, DIRNEWS_SERVER_MAX = 256, DIRNEWS_WHY_MAX = 400 };

struct dirnews_item {
	enum dirnews_kind kind;
	char driver[DIRNEWS_DRIVER_MAX];
	char server[DIRNEWS_SERVER_MAX]; /* "" for REFUSED and SERVED */
	char why[DIRNEWS_WHY_MAX];       /* one line */
};

/* In the order in which things happened. */
struct dirnews {
	unsigned n;
	struct dirnews_item *item; /* owned */
};

/* For drivers: adds to the news of this process. Longer texts are cut; beyond DIRNEWS_MAX nothing is added. */
void dirnews_add(enum dirnews_kind kind, const char *driver, const char *server, const char *why);
/* For the process: moves what was added so far to OUT, to be freed with dirnews_fini(). */
void dirnews_take(struct dirnews *out);
void dirnews_fini(struct dirnews *news);

/* As message fields. */
void dirnews_write(struct msgw *w, const struct dirnews *news);
/* OUT is valid in any case, msgr_end() tells whether it was good. */
void dirnews_read(struct msgr *r, struct dirnews *out);

#endif
