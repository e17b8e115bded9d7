/* Who talks to whom in a node, and in which messages. All go over lib/msg; fields are listed in order.
 *
 *   master --control--> every role            worker --> authd     login requests, ends of sessions
 *   every role --log--> master                worker --> spawn     clients to serve here
 *   waypost (tool) --> master                 authd  --> spawn     tickets
 *                                             authd  --> auth workers   whatever may wait
 *
 * The master makes each channel and passes its two ends (CTL_CHANNEL); when a role dies, the new one gets
 * new channels and the others get theirs by the same message. A reader that gets a message which is bad or
 * not in its list logs it and drops the channel's session, never the process; see each type. */
#ifndef NODE_WIRE_H
#define NODE_WIRE_H

#include "lib/chan.h"
#include "settings/protocol.h"

enum role {
	ROLE_MASTER,
	ROLE_WORKER,     /* slots 0 .. LOGIN_WORKERS-1; retiring ones keep their slot number with an older generation */
	ROLE_AUTHD,
	ROLE_AUTHWORKER, /* slots 0 .. daemons-1 */
	ROLE_SPAWN,
	ROLE_COUNT
};

/* Descriptors that a role is started with. SESSION_LOG is spawn's alone: its session servers log there
 * (lib/log.h); the master drops what only the login side may say, so that nobody can be banned by a session. */
enum { ROLE_FD_CONTROL = 3, ROLE_FD_LOG = 4, ROLE_FD_SETTINGS = 5, ROLE_FD_SESSION_LOG = 6 };
enum { ROLE_ROWS_MAX = 32 * 1024 }; /* bytes of text in one CTL_ROWS or TOOL_ROWS */

/* What a login has shown of the peer that it went to. */
enum peer_result {
	PEER_ANSWERS, /* it has decided about the login */
	PEER_DOWN,    /* no connection, or no greeting that the protocol allows */
	PEER_SLOW,    /* a good greeting, but no answer to the login: the peer's trouble, or that account's alone */
	PEER_RESULTS
};

/* Of the messages below. It is the first message of each channel, in both directions, so that processes of two versions can
 * find out whom they talk to. Add one with each change; a new type that an older reader may skip has MSG_OPTIONAL in it. */
enum { WIRE_VERSION = 1 };

enum wire_type {
	/* master -> role */
	CTL_CHANNEL = 1, /* u8 role of the other end, u32 its slot, u64 its generation; with the descriptor.
	                  * Replaces a channel to the same role and slot with an older generation only for AUTHD and SPAWN;
	                  * for WORKER ends it is one more channel (an old worker may still finish its sessions). */
	CTL_LISTEN,      /* u32 slot, u8 protocol, u8 1 = implicit TLS; with the listening socket. To workers: those of their own slot
	                  * before CTL_GO; later those of a slot whose own worker is not there, or is full. */
	CTL_UNLISTEN,    /* u32 slot: worker: close the listening sockets of that slot; the master keeps them */
	CTL_OTHERS,      /* u8: worker, after its CTL_FULL: 1 = others take the clients of its slot, 0 = nobody can */
	CTL_GO,          /* everything was passed: begin */
	CTL_RETIRE,      /* worker: stop accepting, finish the sessions, exit(0) with the last one */
	CTL_DRAIN,       /* u8 on: worker: greet new clients with "not now" (on) or normally (off) */
	CTL_SETTINGS,    /* authd, spawn: new settings; with the descriptor that settings_read() takes */
	CTL_QUERY,       /* u32 query, str command, str argument: answer with CTL_ROWS, then CTL_DONE.
	                  * commands: "who" (worker, spawn), "kick" USER (worker, spawn), "status" (all),
	                  * "route" USER (authd), "auth" USER "\n" PASSWORD (authd), "flush" USER (authd; "": all) */
	CTL_STOP,        /* end now in good order: workers close their sessions, spawn ends its servers; then exit(0) */
	/* role -> master */
	CTL_READY,       /* the role works (first message of each role, after CTL_GO) */
	CTL_ROWS,        /* u32 query, bytes text: whole lines.
	                  * who: user TAB protocol TAB client ip TAB port TAB mailhost TAB backend TAB rcvd TAB sent TAB age in
	                  *   seconds TAB session id ("local" as mailhost and "" as backend for local ones).
	                  * kick: killed=N from spawn. route, auth: text for people. status: name=value; names of a-z, 0-9, '_', '.';
	                  *   numbers of equal names are added up over the roles, other values are shown as they are.
	                  *   Known to monitoring: workers_full, channels_missing, descriptors_short, peers_down, loops, peers_crowded,
	                  *   fronts_not_believed, not_believed_by, directories_down, userdb_refused (not 0: the node is degraded). */
	CTL_DONE,        /* u32 query, u32 result: who, kick: number of sessions; others: exit status for the tool */
	CTL_FULL,        /* u8: worker: 1 = it has no descriptors for more clients, 0 = it has again */
	CTL_MISSED,      /* u16 CTL_CHANNEL, CTL_LISTEN or CTL_SETTINGS, u8 role, u32 slot, u64 generation (0 where that message has
	                  * none): it came without its descriptor, for which there was no room; to be sent again */
	CTL_UNFIT,       /* u32 slot, u64 generation: from authd and spawn: that login worker sent them a message that no
	                  * worker of ours sends; it is killed, and another one is started */

	/* worker -> authd; a bad message ends the channel, and with it that worker (CTL_UNFIT) */
	AUTH_REQUEST = 32, /* see authd/auth_wire.h */
	AUTH_CANCEL,       /* u32 request: the client is gone; no answer is wanted, or the conversation is over */
	AUTH_BEGIN,        /* u32 request, u8 mechanism: a challenge for a login to come, see authd/auth_wire.h */
	AUTH_STEP,         /* u32 request, str text: what the client answered to AUTH_CONTINUE */
	SESSION_END,       /* u64 session: also spawn -> authd */
	SESSION_HAVE,      /* u64 session, u8 protocol, net_addr client, str user, u32 pid (0 from workers): told to a new
	                    * authd for each session that was open when the old one died; spawn -> authd also for each
	                    * session server that it starts. From then on the session is the sender's; a worker cannot
	                    * take over what is another's. */
	SESSION_ARRIVED,   /* u64 session, u8 target: that peer has taken the login; it is not under way any more */
	PEER_SELF,         /* u8 protocol, str host, u16 port: a login to that host of a mailhost has led back to this node */
	PEER_SIGNATURE,    /* str host, u8 enum hop_check: what that mailhost has said of our signature */
	PEER_RESULT,       /* u64 session that is under way, u8 target, u8 enum peer_result */
	/* authd -> worker */
	AUTH_CROWDED,      /* no fields: logins wait for room at a peer; say SESSION_ARRIVED at once for the next seconds */
	AUTH_REPLY,        /* see authd/auth_wire.h */
	AUTH_CONTINUE,     /* u32 request, str text: for the client, whose answer is awaited */

	/* authd -> spawn */
	TICKET = 64,       /* bytes ticket[TICKET_LEN], u64 session, u32 worker slot, u64 worker generation, u8 protocol,
	                    * account (without secrets), str session id, net_addr client, u8 proxied, u8 tls,
	                    * u8 enum hop_check: what the answer to the login tells the node before */
	TICKET_VOID,       /* bytes ticket */
	SESSION_ADOPT,     /* u64 session, u32 pid, u8 protocol, str user, net_addr client, u64 start (unix seconds):
	                    * a session server of the spawn that died, for its successor to watch (pidfd) */

	/* worker -> spawn; a bad message ends that worker (CTL_UNFIT) */
	HANDOFF = 96,      /* u32 request, bytes ticket, str context, bytes leftover; with the client's descriptor */
	/* spawn -> worker */
	HANDOFF_REPLY,     /* u32 request, u8 1 = a server runs, 0 = it could not be started (the worker still has its copy
	                    * of the descriptor and tells the client) */

	/* authd -> auth worker: see authd/job.h */
	JOB = 128,
	/* auth worker -> authd */
	JOB_DONE,

	/* waypost (tool) -> master, on RUNDIR/control */
	TOOL_COMMAND = 160, /* str command, str argument */
	/* master -> tool */
	TOOL_ROWS,          /* bytes text */
	TOOL_DONE           /* u32 exit status, str message for stderr ("" = none) */
};

/* A channel of a role over SOCK, which it takes over: chan_new() and the greeting. */
struct chan *wire_open(struct ev_loop *loop, int sock, chan_fn *on_msg, chan_gone_fn *on_gone, void *arg);
/* R has come from C and is of no type that is expected there. True: it is marked as one to be skipped. False, and logged: it is
 * not; WHO ("authd") has sent it. */
bool wire_skips(const struct chan *c, const struct msgr *r, const char *who);

enum { TICKET_LEN = 16, HOP_HOST_MAX = 256 /* bytes of a mailhost with NUL */ };

#endif
