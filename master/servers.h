/* The session servers that spawn started, and those that a spawn before it left behind: starting them, noticing their
 * end, finding them. */
#ifndef MASTER_SERVERS_H
#define MASTER_SERVERS_H

#include <ev.h>
#include <uthash.h>

#include "lib/str.h"
#include "master/figures.h"
#include "master/tickets.h"
#include "node/session_choice.h"

/* How the end of a server is noticed. */
enum server_watch {
	SERVER_CHILD, /* it is our child: SIGCHLD */
	SERVER_PIDFD,
	SERVER_POLL /* where there are no pidfds (valgrind, old kernels) */
};

struct server {
	struct server *next, **self;
	enum server_watch watch;
	pid_t pid;
	uint64_t session;
	enum protocol protocol;
	bool program; /* of LOCAL_IMAP or LOCAL_POP3: the session, and its lines in the log, are the login worker's */
	char *user;
	char session_id[SESSION_ID_MAX];
	char *tls; /* session_tls_word(); NULL: no TLS, or not known */
	struct net_addr client;
	int64_t began;     /* clock_seconds() */
	int64_t figures;   /* its page there; FIGURES_NONE: not our child, or no memory */
	UT_hash_handle hh; /* by pid */
	ev_io pidfd;
	ev_timer poll;
	ev_timer grace; /* of a program without its client: until it is asked to end, then until it is killed */
	bool asked;     /* it was, by that timer */
	bool killed;    /* its keeper was told to kill it */
	int end_signal; /* the signal by which we asked it to end; 0: none */
	uint32_t kick;  /* the kick that waits for its end, or 0 */
};

/* A server has ended: S is about to be freed, and no longer in the list. */
typedef void servers_ended_fn(const struct server *s);
/* Called in a child before anything else: drops what only the parent may have. */
typedef void servers_child_fn(void);

/* Call it once, before anything else handles SIGCHLD, which from now on is blocked and read from a descriptor. */
void servers_init(struct ev_loop *loop, servers_ended_fn *ended, servers_child_fn *in_child);
/* Starts the server of the account and protocol of TK for the client of H. NULL: it may not or could not be
 * started, which was logged. */
const struct server *servers_start(const struct ticket *tk, const struct handoff *h, const struct settings *set);
/* Watches process PID, a server of SESSION that another spawn started at START (unix seconds). False: it has ended. */
bool servers_adopt(pid_t pid, uint64_t session, enum protocol protocol, const char *user, const struct net_addr *client,
    uint64_t start);
/* The one whose process is PID; NULL if there is none. */
const struct server *servers_find(pid_t pid);
/* The list of all, latest first; NULL if there is none. */
const struct server *servers_first(void);
size_t servers_count(enum protocol protocol);
/* Sends SIG to all servers; their number. */
uint32_t servers_signal(int sig);
/* Asks the servers that CHOICE means, but no programs, to end: SIGUSR1. Their number; *WAITS: how many of them have
 * ->kick KICK now, because no other kick was waiting for them. */
uint32_t servers_kick(const struct session_choice *choice, uint32_t kick, uint32_t *waits);
/* Kills those that KICK still waits for after SECONDS, with a line in the log for each; their number. */
uint32_t servers_kill_kicked(uint32_t kick, int seconds);
/* One row for each that CHOICE means, but for programs, as CTL_ROWS has it for "who"; their number. */
uint32_t servers_who(const struct session_choice *choice, struct str *rows);

#endif
