/* What every role's main has in common: descriptors 3 to 5, settings, log, the control channel, privileges, signals. */
#ifndef NODE_ROLE_H
#define NODE_ROLE_H

#include <ev.h>

#include "lib/chan.h"
#include "node/msg_channel.h"
#include "node/msg_control.h"
#include "node/msg_key.h"
#include "settings/settings.h"

struct role_start {
	enum role role;
	unsigned slot;
	uint64_t generation;
};

struct role_ctx {
	struct role_start who;
	struct ev_loop *loop;
	struct chan *control; /* to the master */
	struct settings *set; /* replaced by CTL_SETTINGS; see role_hooks.settings */
	int userdb;           /* ROLE_FD_USERDB: authd's to take over; -1: there is none */
	ev_prepare flush;     /* sends the log lines of a turn when they are due */
	ev_idle flush_idle;   /* sends them when the loop is idle */
	double flushed;       /* loop time of the last time */
	const struct role_hooks *hooks;
	void *arg;
	struct control_totals totals; /* that the master was told last */
};

/* A role's reactions to messages of the master. If a member is NULL: channel, listen, key, trust: the descriptor is
 * closed; go: role_ready() at once; retire, stop, orphaned: exit(0) at once; unlisten, others, drain, settings: nothing
 * more to do; key_gone: nothing; query: role_done() with 0. SIGTERM to the role means CTL_STOP; SIGINT, SIGHUP,
 * SIGPIPE, SIGUSR1 and SIGUSR2 are ignored (a process that spawn forks sets them as it needs). */
struct role_hooks {
	/* CTL_CHANNEL: the callee owns SOCK. */
	void (*channel)(struct role_ctx *ctx, enum role other, unsigned slot, uint64_t generation, int sock);
	void (*listen)(struct role_ctx *ctx, unsigned slot, enum protocol protocol, bool tls, int sock);
	void (*unlisten)(struct role_ctx *ctx, unsigned slot);
	void (*others)(struct role_ctx *ctx, bool others); /* CTL_OTHERS */
	void (*go)(struct role_ctx *ctx);
	void (*retire)(struct role_ctx *ctx);
	void (*drain)(struct role_ctx *ctx, bool on);
	/* ctx->set already has the new settings; OLD is freed after the call. */
	void (*settings)(struct role_ctx *ctx, const struct settings *old);
	/* Writes what it has counted until now to TOTALS. NULL: it counts nothing of that kind. */
	void (*totals)(struct role_ctx *ctx, struct control_totals *totals);
	void (*query)(struct role_ctx *ctx, uint32_t query, const char *command, const char *argument);
	void (*stop)(struct role_ctx *ctx);
	/* CTL_KEY, CTL_KEY_GONE: the callee owns FD. -1: it was lost, and the master will send all of it again. */
	void (*key)(struct role_ctx *ctx, const struct control_key *key, int fd);
	void (*key_gone)(struct role_ctx *ctx, const struct control_key_gone *m);
	void (*keys)(struct role_ctx *ctx, enum control_keys how); /* CTL_KEYS */
	/* CTL_TRUST: WHOSE of node/msg_control.h; the callee owns FD. */
	void (*trust)(struct role_ctx *ctx, unsigned whose, int fd);
	/* The master died: stop accepting, finish the sessions, exit. */
	void (*orphaned)(struct role_ctx *ctx);
};

/* Sets up CTX from descriptors 3 to 5 (ends the process if they are missing) and drops privileges (node/priv.h): call
 * it first in a role's main, then ev_run(ctx->loop, 0). PROGRAM is the name in log lines. The loop is libev's default
 * loop; CTX must live as long as the process. All descriptors of the role are close-on-exec. A role ends by log_flush()
 * and exit(0). */
void role_init(struct role_ctx *ctx, const struct role_start *who, const char *program, const struct role_hooks *hooks,
    void *arg);
/* Tells the master CTL_READY. */
void role_ready(struct role_ctx *ctx);
/* Reply to a CTL_QUERY: any number of rows (whole lines, of any total length), then one done. */
void role_rows(struct role_ctx *ctx, uint32_t query, const char *text, size_t len);
void role_done(struct role_ctx *ctx, uint32_t query, uint32_t result);
/* For workers: tells the master CTL_FULL. */
void role_full(struct role_ctx *ctx, bool full);
/* Tells the master what hooks.totals has, unless it knows: at the end of a role that has this hook. */
void role_totals(struct role_ctx *ctx);
/* For auth workers: tells the master CTL_USERDB, with a duplicate of FD unless -1. */
void role_userdb(struct role_ctx *ctx, int fd);
/* For key processes: tells the master CTL_KEY_NEWS. */
void role_key_news(struct role_ctx *ctx, const struct control_key_news *m);
/* For authd, spawn and key processes: tells the master CTL_UNFIT of a login worker. */
void role_unfit(struct role_ctx *ctx, unsigned slot, uint64_t generation);

#endif
