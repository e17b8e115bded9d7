/* The mark by which nodes of Waypost know each other, and themselves: "Waypost node ID ready." at the end of every
 * greeting, in the text that is for people (RFC 3501 section 7.1, RFC 1939 section 3), so that no setting can take it
 * away and no client or other server minds it. In POP3 APOP's timestamp may follow.
 * It is no proof: who bears it is told what any of our nodes may hear, and that is signed for the host in mailhost. */
#ifndef LOGIN_NODE_MARK_H
#define LOGIN_NODE_MARK_H

#include "lib/str.h"
#include "settings/settings.h"

enum node_mark {
	NODE_MARK_NONE,  /* another server; or a node of a version without marks */
	NODE_MARK_OTHER, /* another node */
	NODE_MARK_SELF   /* the node that asks: the connection has led back to it */
};

/* Appends the mark of the node with that ID (settings.node_id). */
void node_mark_add(struct str *out, const char *id);
/* The id in the mark at the end of LINE (a greeting without its line end): NODE_ID_LEN digits within LINE. NULL: there
 * is no mark. */
const char *node_mark_id(const char *line);
/* Whose greeting LINE (without its line end) is, as seen by the node with the id SELF. */
enum node_mark node_mark_read(const char *line, const char *self);

#endif
