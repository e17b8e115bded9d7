/* The mark by which Waypost nodes recognise each other, and themselves: "Waypost node ID ready." at the end of every
 * greeting, in the human-readable text (RFC 3501 section 7.1, RFC 1939 section 3), so that no setting can remove it and
 * no client or foreign server is disturbed by it. In POP3 APOP's timestamp may follow. It proves nothing: a server with
 * it only gets what any of our nodes may know, signed for the host in mailhost. */
#ifndef LOGIN_NODE_MARK_H
#define LOGIN_NODE_MARK_H

#include "lib/str.h"
#include "settings/settings.h"

enum node_mark {
	NODE_MARK_NONE,  /* another server; or a node of a version without marks */
	NODE_MARK_OTHER, /* another node */
	NODE_MARK_SELF   /* this node: the connection has led back to it */
};

/* Appends the mark of the node with that ID (settings.node_id). */
void node_mark_add(struct str *out, const char *id);
/* Whose greeting LINE (without its line end) is, as seen by the node with the id SELF. *ID (ID may be NULL): the id in
 * the mark, NODE_ID_LEN digits within LINE; NULL: there is no mark. */
enum node_mark node_mark_read(const char *line, const char *self, const char **id);

#endif
