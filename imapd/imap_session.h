/* An IMAP session after login: what the command handlers share. For the files of imapd/ alone.
 *
 *   NOT SELECTED --SELECT, EXAMINE--> SELECTED --CLOSE, UNSELECT, failed SELECT--> NOT SELECTED --LOGOUT--> over
 *
 * The life of a command: imap_read.c collects its lines and literals, imap_cmd.c finds its row in the table, tests
 * what the row asks for, and calls the handler; the handler reads its arguments, does the work, puts untagged replies
 * and returns what the tagged one shall be; imap_sync.c tells what changed in the mailbox; the tagged reply goes
 * out. */
#ifndef IMAPD_IMAP_SESSION_H
#define IMAPD_IMAP_SESSION_H

#include "imapd/imap_lex.h"
#include "lib/bio.h"
#include "lib/str.h"
#include "maildir/md.h"
#include "maildir/md_box.h"
#include "node/session.h"
#include "node/work.h"

enum {
	/* Sets of UIDs are that long; room for what else stands in the command. */
	IMAP_LINES_MAX = 1024 * 1024 + 16 * 1024, /* bytes of all lines of a command */
	IMAP_LITERALS_MAX = 1024 * 1024,          /* bytes of its literals; APPEND's message is not counted */
	IMAP_LITERAL_TIMEOUT = 60 * 1000,         /* ms in which this many bytes of a literal have to come: */
	IMAP_LITERAL_STEP = 8 * 1024,
	IMAP_ERRORS_MAX = 10 /* consecutive commands answered with BAD before we hang up */
};

/* Kinds of tagged replies. */
enum imap_status {
	IMAP_OK,
	IMAP_NO,
	IMAP_BAD,
	IMAP_GONE /* none: the session is over, or the reply is out already */
};

struct imap_session;
struct imap_command {
	const char *name;
	/* Handler: ARGS stands behind the command's name. Sets the text of the tagged reply by imap_ok() etc. */
	enum imap_status (*run)(struct imap_session *s, struct imap_lex *args);
	unsigned flags;
};

/* A message literal that the client has announced and we have not read. */
struct imap_message {
	bool pending;
	uint64_t size;
	bool sync; /* the client waits for "+" */
};

/* How fast the literal at hand comes in. */
struct imap_pace {
	int64_t deadline_ms; /* of clock_ms() */
	size_t bytes;        /* of the present step */
};

struct imap_session {
	const struct session_start *start;
	const struct settings *set;
	struct bio io;
	struct md_root root;
	struct md_box *box; /* the selected mailbox, or NULL */
	bool examine;       /* selected by EXAMINE, or it cannot be written */
	bool over;
	unsigned errors; /* consecutive BADs */
	/* what the client knows of the selected mailbox */
	size_t told_exists, told_recent;
	uint32_t told_keywords;                                /* by FLAGS */
	bool idle_poll_said, trouble_said, work_said, id_said; /* logged, once */
	uint32_t failures_since; /* clock_seconds() of the first of the failures_said log lines */
	unsigned failures_said;
	/* the command at hand */
	struct str line; /* lines and literals as they came */
	struct imap_message message;
	struct imap_pace pace;
	struct str tag;   /* "*" while there is none */
	struct str reply; /* text of the tagged reply */
	bool uid;         /* its UID form */
	struct work work; /* what it has done, and whether to go on */
};

/* --- imap_session.c --- */

/* The tagged reply: sets the text, returns the status. */
enum imap_status imap_ok(struct imap_session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum imap_status imap_no(struct imap_session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum imap_status imap_bad(struct imap_session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* NO for a failure of the mailbox, with the code of RFC 5530 for it; what an operator has to mend goes to the log as
 * well. WHAT is the command ("APPEND"). A missing folder gets the code MISSING ("NONEXISTENT" or "TRYCREATE"). */
enum imap_status imap_md_no(struct imap_session *s, enum md_err e, const char *what, const char *missing);
/* The log line for a failure E of WHAT that the client does not see, from root->why. */
void imap_md_log(struct imap_session *s, enum md_err e, const char *what);
/* Ends the session: says "* BYE TEXT" unless TEXT is NULL, sets the end for the log. */
void imap_end(struct imap_session *s, enum session_end end, const char *text);
/* Ends the session as the failed read RESULT asks for. */
void imap_end_read(struct imap_session *s, int result);
/* The end of a command that s->work stopped: ends the session if it was the operator or a client that left; if it has
 * used too much CPU, NO [LIMIT], and a line in the log. WHAT is the command. */
enum imap_status imap_stopped(struct imap_session *s, const char *what);
/* Puts a string that was built. */
void imap_put(struct imap_session *s, const struct str *text);

/* --- imap_read.c --- */

/* Collects the next command in s->line. True; or false: there is none to run, either since it was refused here or
 * since the session is over. Stops in front of the message of an APPEND: s->message. */
bool imap_read_command(struct imap_session *s);
/* The message literal is to be read now, all of it: tells the client to send it, if it waits for that word. */
void imap_ask_message(struct imap_session *s);
/* The message literal in pieces: WANT bytes at most. False: the session is over. */
bool imap_read_message(struct imap_session *s, uint64_t want, char **p_out, size_t *len_out);
/* Reads on behind a message literal that was taken whole: the rest of the command, which is 1 if nothing but the line's
 * end, 0 if not so (all of it is dropped), -1 if the session is over. */
int imap_read_rest(struct imap_session *s);
/* Drops LEFT bytes of the pending message literal and the rest of the command. False: the session is over. */
bool imap_drop_message(struct imap_session *s, uint64_t left);

/* --- imap_cmd.c --- */

/* Runs the command in s->line and answers it. */
void imap_run_command(struct imap_session *s);

#endif
