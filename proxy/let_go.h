/* Clients whose server has died together with many others': only their connections, which stay open until each is let
 * go at a time of its own. For clients that are let go connect again at once, and what has to take their logins would
 * get all of them in the same second. Nothing is said on such a connection: a client that says something has noticed,
 * or waits, and is let go at once. */
#ifndef PROXY_LET_GO_H
#define PROXY_LET_GO_H

#include <ev.h>

#include "lib/conn.h"

struct let_go;

/* None at first. SPREAD: each stays for less than so many seconds, at random; 0: nobody does. */
struct let_go *let_go_new(struct ev_loop *loop, unsigned spread);
/* Lets all go, frees *G and sets it to NULL. */
void let_go_free(struct let_go **g);
/* Takes over CLIENT, a connection with nothing under way. When it is let go it is told that this is the END, or it is
 * cut (conn_shut(), conn_break_off()). False: clients do not stay, and the caller still has it. */
bool let_go_add(struct let_go *g, struct conn *client, bool end);
/* How many there are: each has a descriptor, and what its kind of connection has. */
unsigned let_go_count(const struct let_go *g);
/* Lets up to N of them go now: their descriptors are needed. */
void let_go_now(struct let_go *g, unsigned n);

#endif
