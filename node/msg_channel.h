/* The channels between the processes of a node, and their messages. All use lib/msg; the fields of each are in
 * node/msg_*.h or authd/job.h, which declare its writer and reader side by side.
 *
 *   master --control--> every role            worker --> authd     login requests, ends of sessions
 *   every role --log--> master                worker --> spawn     clients to serve here
 *   waypost (tool) --> master                 authd  --> spawn     tickets
 *                                             authd  --> auth workers   whatever may wait
 *                                             worker --> key process    digests to be signed
 *
 * The master makes each channel and passes its two ends (CTL_CHANNEL); when a role dies, the new one gets new channels
 * and the others get theirs by the same message; only a worker keeps its channel to its key process, whose end goes on
 * to the next one. A reader logs a message that is bad or that it does not expect, and drops the channel or the
 * session, never its own process; see each type. */
#ifndef NODE_MSG_CHANNEL_H
#define NODE_MSG_CHANNEL_H

#include "lib/chan.h"
#include "settings/protocol.h"

enum role {
	ROLE_MASTER,
	/* Slots 0 .. LOGIN_WORKERS-1; retiring ones keep their slot number with an older generation. */
	ROLE_WORKER,
	ROLE_AUTHD,
	ROLE_AUTHWORKER, /* slots 0 .. daemons-1 */
	ROLE_SPAWN,
	ROLE_KEY, /* slots 0 .. LOGIN_WORKERS-1: each signs for the workers of its slot */
	ROLE_COUNT
};

/* Descriptors that a role is started with. SESSION_LOG is spawn's alone: its session servers log there (lib/log.h); the
 * master drops lines that only the login side may write, so that a session cannot get anybody banned. USED_TOKENS and
 * USERDB are authd's (authd/used_tokens.h; an image of authlib/userdb.h, or it is not open: there is none). */
enum {
	ROLE_FD_CONTROL = 3,
	ROLE_FD_LOG = 4,
	ROLE_FD_SETTINGS = 5,
	ROLE_FD_SESSION_LOG = 6,
	ROLE_FD_USED_TOKENS = 6,
	ROLE_FD_USERDB = 7,
	ROLE_FD_MAX = 7
};
enum { ROLE_ROWS_MAX = 32 * 1024 }; /* bytes of text in one CTL_ROWS or TOOL_ROWS */

/* What a login has revealed about its peer. */
enum peer_result {
	PEER_ANSWERS, /* it accepted or refused the login */
	PEER_DOWN,    /* no connection, or no greeting that the protocol allows */
	PEER_SLOW,    /* a good greeting, but no answer to the login: the peer's trouble, or that account's alone */
	PEER_BUSY,    /* it takes no logins now, as it said before it got anything of this one */
	PEER_LATER,   /* it answered the login with a temporary failure: its trouble, or that account's alone */
	PEER_RESULTS
};

/* The version of the messages below. It is the first message of each channel, in both directions, so that each process
 * knows the version of the other. Add 1 with each change; a new type that an older reader may skip is in
 * MSG_OPTIONAL_FIRST .. LAST. */
enum { MSG_CHANNEL_VERSION = 22 };

enum msg_type {
	/* master -> role: node/msg_control.h */
	/* With a channel to another process. It replaces one to the same role and slot with an older generation only
	 * for AUTHD and SPAWN; to WORKER it is one more (an old worker may still finish its sessions). */
	CTL_CHANNEL = 1,
	/* With a listening socket, for workers: those of their own slot before CTL_GO; later those of a slot whose own
	 * worker is down or full. */
	CTL_LISTEN,
	CTL_UNLISTEN, /* worker: close the listening sockets of that slot; the master keeps them */
	CTL_OTHERS,   /* worker, after its CTL_FULL: whether others accept the clients of its slot */
	CTL_GO,       /* everything has been passed: begin */
	CTL_RETIRE,   /* worker: stop accepting, finish the sessions, exit(0) with the last one */
	CTL_DRAIN,    /* worker: greet new clients with "not now" (on) or normally (off) */
	CTL_SETTINGS, /* authd, spawn: new settings; with the descriptor that settings_read() takes */
	/* Answer with CTL_ROWS, then CTL_DONE. Commands: "who" and "kick" (worker, spawn; node/session_choice.h),
	 * "status" (all), "route" USER (authd), "auth" USER "\n" PASSWORD (authd), "flush" USER (authd; "": all),
	 * "peer" LINE (authd; "": only shows). */
	CTL_QUERY,
	/* End now, cleanly: workers close their sessions, spawn ends its servers; then exit(0). */
	CTL_STOP,
	CTL_KEY,      /* key process: a certificate and its key, or a part of it; node/msg_key.h */
	CTL_KEY_GONE, /* key process: that key is not offered any more */
	CTL_KEYS,     /* key process: keys are coming, or those that have come are all; node/msg_key.h */
	/* Worker, authd: with a sealed memory file: who issues certificates to the clients of a protocol, or (worker)
	 * to peers. */
	CTL_TRUST,
	/* role -> master */
	CTL_READY, /* the role works (once, after CTL_GO) */
	/* Whole lines of an answer.
	 * who: user TAB protocol TAB client ip TAB port TAB mailhost TAB backend TAB rcvd TAB sent TAB age in seconds
	 *   TAB session id TAB session_tls_word() ("local" as mailhost and "" as backend for local ones).
	 * kick: killed=N from spawn. route, auth: text for people.
	 * status: name=value; names of a-z, 0-9, '_', '.'; numbers of equal names are added up over the roles, other
	 *   values are shown as they are. Known to monitoring: workers_full, channels_missing, descriptors_short,
	 *   peers_down, loops, peers_crowded, peers_need_tls, peers_untrusted, nodes_differing_long,
	 *   fronts_not_believed, not_believed_by, directories_down, userdb_refused, and of the master log_lines_lost,
	 *   certificates_refused, certificates_not_found, certificates_ending, certificates_ended,
	 *   authorities_refused, authorities_with_keys, authorities_ending, authorities_ended, lists_ending,
	 *   lists_ended (not 0: the node is degraded). */
	CTL_ROWS,
	/* The result of a query. who, kick: number of sessions; others: exit status for the tool. */
	CTL_DONE,
	CTL_TOTALS, /* worker, authd: what it has counted so far; node/msg_control.h */
	CTL_FULL,   /* worker: it has no descriptors for more clients, or has again */
	CTL_MISSED, /* a message came without its descriptor, for which there was no room; to be sent again */
	/* From authd, spawn and key processes: that login worker sent them a message that no worker of ours sends; it
	 * is killed, and another one is started. */
	CTL_UNFIT,
	CTL_KEY_NEWS, /* key process: a key was taken, or refused; node/msg_key.h */
	/* auth worker, with the descriptor of the userdb image that it has made: the next authd begins with it
	 * (ROLE_FD_USERDB). Without one, the next authd begins with none. */
	CTL_USERDB,
	/* master -> role, and its answer: does your loop turn? */
	CTL_PING,
	CTL_PONG,

	/* worker -> authd: node/msg_auth.h, node/msg_session.h. A bad message ends the channel and the worker
	 * (CTL_UNFIT) */
	AUTH_REQUEST = 32,
	AUTH_CANCEL,           /* the client is gone; no answer is wanted, or the exchange is over */
	AUTH_CHALLENGE_WANTED, /* a challenge for a login to come */
	AUTH_RESPONSE,         /* the client's response to AUTH_CHALLENGE */
	SESSION_END,           /* also spawn -> authd */
	/* Sent to a new authd for each session that was open when the old one died; by spawn also for each session
	 * server that it starts. From then on the session belongs to the sender; a worker cannot claim another's
	 * session. */
	SESSION_HAVE,
	SESSION_ARRIVED, /* that peer has taken the login; it is not pending any more */
	PEER_TROUBLE,    /* what is wrong with that host of a mailhost, until its administrator acts */
	PEER_SIGNATURE,  /* what that mailhost says of our signature */
	PEER_RESULT,     /* how a pending login fared at a peer */
	PEER_LIST,       /* the capabilities of a peer after a login there */
	/* authd -> worker */
	/* No fields: logins wait for room at a peer; send SESSION_ARRIVED at once for the next seconds. */
	AUTH_CROWDED,
	AUTH_REPLY,
	AUTH_CHALLENGE, /* a challenge for the client, whose response is awaited */
	/* The keys of session tickets from now on: first on the channel, then whenever they change. */
	AUTH_TICKET_KEYS,
	/* What all servers of the pool can do: first on the channel, then whenever it changes. */
	AUTH_COMMON,

	/* authd -> spawn: node/msg_ticket.h, node/msg_session.h */
	TICKET = 64,
	TICKET_VOID,
	SESSION_ADOPT, /* a session server of the spawn that died, for its successor to watch (pidfd) */
	/* spawn -> authd */
	SESSIONS_TOLD, /* no fields: those of SESSION_HAVE for a new authd were all */
	/* As SESSION_HAVE, of a program that serves a login worker's session: that is over when the worker has told its
	 * end, and spawn that of the program. */
	SESSION_PROGRAM,

	/* worker -> spawn: node/msg_ticket.h. A bad message ends that worker (CTL_UNFIT) */
	HANDOFF = 96, /* with the client's descriptor, if the server is to have it */
	/* spawn -> worker */
	/* A server runs, or could not be started (the worker still has its copy of the descriptor and tells the
	 * client). With the worker's end of a stream to that server, if the client has something to itself (TLS). */
	HANDOFF_REPLY,

	/* authd -> auth worker: authd/job.h */
	JOB = 128,
	/* auth worker -> authd */
	JOB_DONE,

	/* waypost (tool) -> master, on RUNDIR/control: node/msg_control.h */
	TOOL_COMMAND = 160,
	/* master -> tool */
	TOOL_ROWS,
	TOOL_DONE,

	/* key process -> worker: node/msg_key.h */
	KEY_CHAIN = 192, /* a key, and its certificates */
	KEY_GONE,
	KEY_SIGNED,
	/* worker -> key process. A bad message ends that worker (CTL_UNFIT) */
	KEY_SIGN,
	/* key process -> worker: it is new on that channel */
	KEY_BEGINS,
	/* key process -> worker: all that it has was told */
	KEY_COMPLETE
};

/* A channel of a role over SOCK, which it takes over: chan_new() and chan_greet(). */
struct chan *msg_channel_open(struct ev_loop *loop, int sock, chan_fn *on_msg, chan_gone_fn *on_gone, void *arg);
/* R, from C, has an unexpected type. True: the type is marked as one to skip. False, and logged with the sender WHO
 * ("authd"): it is not. */
bool msg_channel_skips(const struct chan *c, const struct msgr *r, const char *who);

enum { TICKET_LEN = 16, MAILHOST_MAX = 256 /* bytes of a mailhost with NUL */ };

#endif
