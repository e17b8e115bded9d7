/* What a session server (imapd, pop3d after login) gets at its start, and what it reports. Filled in by spawn from
 * authd's record; only `context` and `leftover` come from a login worker. */
#ifndef NODE_SESSION_H
#define NODE_SESSION_H

#include "lib/bio.h"
#include "lib/net.h"
#include "node/signature_check.h"
#include "settings/settings.h"

enum { SESSION_ID_MAX = 64, SESSION_CONTEXT_MAX = 256, SESSION_LEFTOVER_MAX = 32 * 1024 };

/* TEXT is a valid session id: short, and of characters that need no quotes anywhere. */
bool session_id_ok(const char *text);

/* TEXT is what a login worker says of a client's TLS, "VERSION:CIPHER" or "VERSION:CIPHER:resumed" in OpenSSL's words:
 * short, and of characters that need no quotes anywhere. */
enum { SESSION_TLS_MAX = 64 };
bool session_tls_ok(const char *text);
/* In place of such words, of a client that is not known to use TLS: it came by a front of PROXY_TRUSTED, which does not
 * say, and must not be refused for that. */
#define SESSION_TLS_FRONT "front"
/* How log lines tell that the client uses TLS: ", KEY=1, tls=WORDS"; without the latter if WORDS is ""; "" without TLS.
 * KEY is the protocol's, "starttls". Returns DST. */
enum { SESSION_TLS_TEXT_MAX = SESSION_TLS_MAX + 32 };
const char *session_tls_text(bool tls, const char *key, const char *words, char dst[SESSION_TLS_TEXT_MAX]);

/* The same for `waypost who`: WORDS, or "TLS" if they are not known; "" without TLS. */
const char *session_tls_word(bool tls, const char *words);

/* How a session ended, for its last log line. The columns: name, word in Courier's line, value of end=. */
/* clang-format off */
#define SESSION_ENDS(X) \
	X(DISCONNECTED, "DISCONNECTED", "client")      /* the client closed the connection without LOGOUT or QUIT */ \
	X(LOGOUT, "LOGOUT", "logout")                  /* LOGOUT or QUIT */ \
	X(TIMEOUT, "TIMEOUT", "idle")                  /* the idle limit */ \
	X(PROTOCOL, "DISCONNECTED", "protocol")        /* too many errors, a line or literal too long */ \
	X(SERVER, "DISCONNECTED", "server")            /* the mailbox could not be served */ \
	X(SHUTDOWN, "DISCONNECTED", "shutdown")        /* the node is being stopped */ \
	X(KICKED, "DISCONNECTED", "kick")              /* the operator ended it */
/* clang-format on */
enum session_end {
#define X(name, word, end) SESSION_END_##name,
	SESSION_ENDS(X)
#undef X
	    SESSION_END_COUNT
};

/* What a session server counts for its last log line. */
struct session_counters {
	uint64_t rcvd, sent;    /* bytes from and to the client, after login */
	uint64_t headers, body; /* IMAP: bytes of headers and bodies sent */
	uint64_t top, retr;     /* POP3: bytes of messages sent by TOP and RETR */
	uint32_t end;           /* enum session_end; DISCONNECTED until the server says otherwise */
};

struct session_start {
	const char *user;       /* canonical account name, for the log and for ACLs */
	const char *home;       /* absolute; the working directory already */
	const char *maildir;    /* absolute path of the account's Maildir */
	const char *options;    /* Courier's option list ("disableimap=1,..."), maybe "" */
	const char *session_id; /* session_id_ok() */
	struct net_addr client; /* the client's address and port as the first node saw it */
	/* From the login dialect: IMAP: the tag of LOGIN or AUTHENTICATE; POP3: "UTF8" if the client asked for it
	 * before login, else "". */
	const char *context;
	const void *leftover; /* what the client sent after its login: the first input of the session */
	size_t leftover_len;
	bool proxied;                      /* the login came from another node of the pool */
	bool tls;                          /* the client uses TLS with the first node */
	bool later;                        /* this node is not the first one of the account's mailhost */
	const char *tls_words;             /* of it, session_tls_ok(); "": not known */
	enum signature_check signature;    /* to report to the forwarding node, with the reply to the login */
	int64_t began;                     /* clock_seconds() at the start, for time= in the log */
	struct session_counters *counters; /* never NULL */
	/* Where spawn reads how many bytes passed, for `who` and if the server crashes; NULL: nowhere. */
	struct bio_figures *figures;
	const struct settings *set;
};

/* A session server: serves the client on descriptor FD (a stream socket, blocking) until the session ends, then
 * returns. It runs in a process of its own as the account's user, with SIGTERM at its default until it sets a handler
 * (which makes it say goodbye, set counters->end and return). It answers the login itself ("tag OK ..." or "+OK ...",
 * or a refusal and goodbye if the Maildir cannot be served). imapd/imapd.h and pop3d/pop3d.h each declare one; node/
 * knows them only by this type. */
typedef void session_server_fn(int fd, const struct session_start *start);

/* Prepares B for the client on FD: counters, leftover bytes, and the signals. From now on SIGTERM (the node is being
 * stopped) and SIGUSR1 (kicked) are blocked except in B's waits, which they end: BIO_STOP. SIGPIPE is ignored; SIGIO,
 * if blocked, stays blocked in these waits. Call it once per process. */
void session_bio(struct bio *b, int fd, const struct session_start *start);
/* The same for a client on two descriptors. */
void session_bio_pair(struct bio *b, int in, int out, const struct session_start *start);
/* Why to stop: SESSION_END_SHUTDOWN or SESSION_END_KICKED; SESSION_END_COUNT: go on. Test it between commands: if a
 * client pipelines endlessly, no read ever waits. */
enum session_end session_stop(void);
/* How the session ends after that result of a read (BIO_EOF, _ERROR, _TIMEOUT, _STOP, _TOO_LONG). */
enum session_end session_end_of(int bio_result);
/* The home folder's sticky bit is set (chmod +t), which locks the account as in Courier: true, and a LOCKED line
 * is logged. The server refuses the login then. */
bool session_locked(const char *program, const struct session_start *start);
/* This node may serve the Maildir, whose folder is open as DIRFD. Of an account with replicated=single the file
 * SESSION_MARKER there names the node that may, in its first line; without one the first node of mailhost may. False:
 * WHY says what to do. The server refuses the login then, and must not have changed anything. */
#define SESSION_MARKER "waypostnode"
enum { SESSION_WHY_MAX = 400 };
bool session_may_serve(const struct session_start *start, int dirfd, char why[SESSION_WHY_MAX]);
/* The last line of a session, as PROGRAM ("imapd", "pop3d"), in Courier's form:
 * "<word>, user=U, ip=[..], port=[..], FIGURES, rcvd=N, sent=N, time=S[, starttls=1, tls=...], session=ID, end=..."
 * FIGURES are the protocol's own ("headers=N, body=N"); TLS_KEY is its name for a TLS client ("starttls", "stls").
 * Words and numbers come from start->counters (set counters->end first). Flushes the log. */
void session_log_end(const char *program, const struct session_start *start, const char *figures, const char *tls_key);
/* "user=U, ip=[..], port=[..]", cleaned: the start of every line about a session. Returns DST. */
char *session_log_who(const struct session_start *start, char *dst, size_t dstsize);

#endif
