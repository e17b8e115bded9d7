/* The skeleton that every role's main stands on: descriptors 3 to 5, settings, log, the control channel,
 * privileges, signals. */
#ifndef NODE_ROLE_H
#define NODE_ROLE_H

#include <ev.h>

#include "lib/chan.h"
#include "node/settings.h"
#include "node/wire.h"

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
	ev_prepare flush;     /* sends the log lines of a turn */
	const struct role_hooks *hooks;
	void *arg;
};

/* What a role does on messages of the master; NULL members: the message is not for this role. */
struct role_hooks {
	/* CTL_CHANNEL: SOCK is the callee's. */
	void (*channel)(struct role_ctx *ctx, enum role other, unsigned slot, uint64_t generation, int sock);
	void (*listen)(struct role_ctx *ctx, enum protocol protocol, bool tls, int sock);
	void (*go)(struct role_ctx *ctx);
	void (*retire)(struct role_ctx *ctx);
	void (*drain)(struct role_ctx *ctx, bool on);
	/* ctx->set is new already; OLD is freed after the call. */
	void (*settings)(struct role_ctx *ctx, const struct settings *old);
	void (*query)(struct role_ctx *ctx, uint32_t query, const char *command, const char *argument);
	void (*stop)(struct role_ctx *ctx);
	/* The master died: stop accepting, finish, end. */
	void (*orphaned)(struct role_ctx *ctx);
};

/* Sets up CTX from descriptors 3 to 5 (ends the process if they are not there) and gives up privileges as
 * role WHO must: call it first in a role's main. PROGRAM is the name in log lines. */
void role_init(struct role_ctx *ctx, const struct role_start *who, const char *program, const struct role_hooks *hooks, void *arg);
/* Tells the master CTL_READY. */
void role_ready(struct role_ctx *ctx);
/* Answers to a CTL_QUERY: any number of rows (whole lines), then one done. */
void role_rows(struct role_ctx *ctx, uint32_t query, const char *text, size_t len);
void role_done(struct role_ctx *ctx, uint32_t query, uint32_t result);

#endif
