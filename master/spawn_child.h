/* From spawn to a session server: which accounts may be served, and what a forked child does before it serves. */
#ifndef MASTER_SPAWN_CHILD_H
#define MASTER_SPAWN_CHILD_H

#include "master/tickets.h"
#include "node/session.h"
#include "settings/settings.h"

/* How a session server exits whose last lines the log did not take. */
enum { SPAWN_CHILD_UNLOGGED = 9 };

/* The account may be served by this process: never uid or gid 0; as root nothing below MIN_UID; as an
 * ordinary user only its own accounts. If not, ERR says why and what to do. */
bool spawn_may_serve(const struct account *a, const struct settings *set, char *err, size_t errsize);
/* In spawn, once its own signal handlers are set: finds out what each child would have to. */
void spawn_child_prepare(void);
/* The rest of a child's life: logs LOGIN, becomes the account's user, closes and drops everything that it does not
 * need, and runs SERVER for the client H->fd; FIGURES: see struct session_start. To be called right after fork(), with
 * all signals blocked, in a process that has called spawn_child_prepare(). */
void spawn_child(const struct ticket *tk, const struct handoff *h, const struct settings *set,
    struct bio_figures *figures, session_server_fn *server) NORETURN;

/* The same where the settings name a program for the protocol of TK: executes that, with H->fd as its standard input
 * and output, stderr as it is, and Courier's environment and nothing else. It is no code of ours, so it gets neither
 * the log nor Landlock, and may start processes. */
void spawn_program(const struct ticket *tk, const struct handoff *h, const struct settings *set) NORETURN;

#endif
