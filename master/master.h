/* What the files of the master share: one struct, made in waypostd.c, lives as long as the process. */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <ev.h>

#include "lib/chan.h"
#include "master/backoff.h"
#include "master/listen.h"
#include "master/watch.h"
#include "node/key_queue.h"
#include "node/msg_channel.h"
#include "node/msg_control.h"
#include "settings/settings.h"

enum master_state {
	MASTER_STARTING, /* until every role has said READY once; a death in this time ends the start */
	MASTER_RUNNING,
	MASTER_STOPPING
};

/* A place for a process: worker 0, worker 1, authd, ... Posts are never freed; if a reload makes one superfluous,
 * `wanted` becomes false. */
struct post {
	struct post *next;
	struct master *m;
	enum role role;
	unsigned slot;
	bool wanted;
	struct child *current; /* the newest process, NULL while none runs */
	struct child *helper;  /* a worker of another post that takes this one's clients (slots.h), or NULL */
	struct backoff backoff;
	ev_timer restart;
	unsigned restarts; /* unexpected deaths */
};

/* What a login worker reported, and what it was told about the clients of its slot while it is full (slots.h). */
enum child_clients { CLIENTS_ACCEPTED, CLIENTS_FULL };
enum child_notice { NOTICE_NONE, NOTICE_OTHERS_ACCEPT, NOTICE_NOBODY_ACCEPTS };

/* A process. At a reload a post has an old and a new one for a while. */
struct child {
	struct child *next;
	struct post *post;
	uint64_t generation;
	pid_t pid;
	ev_child watcher;
	struct chan *control; /* NULL once the process has closed it */
	ev_tstamp started;
	bool introduced;       /* has its channels to the others */
	bool begun;            /* was told CTL_GO */
	bool ready;            /* said CTL_READY */
	bool retired;          /* was told CTL_RETIRE */
	bool stopped;          /* was told CTL_STOP */
	bool held;             /* stopped by SIGSTOP */
	struct key_queue keys; /* key process: to be passed to it */
	bool keys_coming;      /* ... and it knows that some are */
	bool keys_lacked;      /* ... but descriptors ran out: missing.h sees to it that all of them come again */
	int key_end;           /* worker: the other end of its channel to key processes; -1: there is none */
	enum child_clients clients;
	enum child_notice notice;
	struct watch watch;
	bool ended;                   /* it is gone; what it had said last is being read */
	bool unfit;                   /* it is killed, for it said what no process of ours says */
	struct control_totals totals; /* worker, authd: as it has told them last */
};

struct master {
	struct ev_loop *loop;
	const char *file; /* the configuration */
	char *exe;        /* path of this program; NULL if unknown */
	dev_t exe_dev;    /* what was there at the start */
	ino_t exe_ino;
	struct settings *set;
	enum master_state state;
	bool foreground, root, draining;
	char node_id[NODE_ID_LEN + 1];
	ev_tstamp started;
	uint64_t generation; /* of the process started last */
	int used_tokens;     /* the file of authd/used_tokens.h; -1: there is none yet */
	int userdb;          /* the image that an auth worker has made last; -1: there is none */
	struct post *posts;
	struct child *children; /* newest first */
	struct listeners listeners;
	struct control_totals totals;         /* of the processes that have ended */
	ev_timer deadline;                    /* of the start, or of the stop */
	void (*on_started)(struct master *m); /* every role works: once */
	void (*on_start_failed)(struct master *m, const char *why);
	void (*on_all_gone)(struct master *m);
};

/* "worker 0", "authd": for the log and for the tool. */
const char *master_post_name(const struct post *p, char dst[32]);

/* children.c */

/* Makes the posts that the settings require and starts every missing process. */
void children_start(struct master *m);
/* After m->set and the listeners were replaced: tells authd and spawn, starts successors of workers and auth workers;
 * each old one is retired when its successor is ready. */
void children_renew(struct master *m);
/* Every wanted post has a process that is ready. */
bool children_all_ready(const struct master *m);
void children_drain(struct master *m);
/* Starts a successor of a login worker; the old one is retired when its successor works. */
void children_succeed(struct post *p);
/* Tells all to stop; m->on_all_gone() is called when the last one is gone. */
void children_stop(struct master *m);
/* Sends C a message, with a duplicate of FD unless -1. False: it could not be sent, which was logged. */
bool children_send(struct child *c, const struct msgw *w, int fd);
/* Sends C again what it has missed: WHAT, OTHER and SLOT as in missing_add(). */
void children_repeat(struct child *c, uint16_t what, struct child *other, unsigned slot);
/* C, a key process, has all its keys: it is told CTL_GO, unless it was. */
void children_begin(struct child *c);
/* Kills what is left. */
void children_kill(struct master *m);
/* Number of worker slots. */
unsigned children_worker_slots(const struct settings *set);

/* reload.c */

/* Reads the configuration again and renews the roles. DONE (may be NULL) is called once, at once or later: STATUS 0 and
 * warnings in TEXT, or STATUS 1 and the reason, and the old settings stay. */
typedef void reload_done_fn(void *arg, unsigned status, const char *text);
void reload_begin(struct master *m, reload_done_fn *done, void *arg);
/* The caller that gave ARG is gone. */
void reload_forget(void *arg);
bool reload_under_way(void);
/* Called by children.c when a process became ready, or died before it was. */
void reload_progress(struct master *m, const struct child *died);

/* control.c */

/* Opens RUNDIR/control. False with errno if that cannot be done. */
bool control_open(struct master *m);
void control_close(struct master *m);
/* A message of a role for a query: R holds CTL_ROWS or CTL_DONE. False: it is bad. */
bool control_answer(struct child *c, struct msgr *r);
/* C will answer nothing more. */
void control_child_gone(struct child *c);
/* waypostd.c */

/* Completes SET, which was just loaded and whose ports are open, with what is not in the file: the daemon's id, and
 * where it listens. */
void master_identify(const struct master *m, struct settings *set);

/* Starts to shut down, after "stop" of the tool or a signal. */
void master_stop(struct master *m);
/* In the foreground lines go to stderr whatever LOG says, unless stderr is the journal. */
bool master_logs_to_stderr(const struct master *m);

#endif
