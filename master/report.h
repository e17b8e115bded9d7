/* Formats what `waypost` prints: the daemon's lines as text for people or as JSON for programs. Pure functions. The
 * lines come from processes that handle input of strangers, so no control character must reach a terminal. */
#ifndef MASTER_REPORT_H
#define MASTER_REPORT_H

#include "lib/str.h"

/* Exit status of `waypost status`, for monitoring. */
enum report_state {
	REPORT_WELL = 0,
	REPORT_DEGRADED = 1, /* a role is down or silent, a peer is down, the userdb was refused */
	REPORT_DOWN = 2,     /* there is no daemon */
	REPORT_DRAINING = 3  /* healthy, but new clients are turned away */
};

/* The LINES of TOOL_COMMAND status (see control.c), as text or JSON. */
enum report_state report_status(struct str *out, const char *lines, bool json);
/* Rows of "who" (node/msg_channel.h, CTL_ROWS) as a table with a header, or as a JSON array. */
void report_who(struct str *out, const char *rows, bool json);

/* TEXT for a terminal: control characters, also those above 127, as '.'. */
void report_clean(struct str *out, const char *text, size_t len);

#endif
