/* An IMAP session after login: what the command handlers share. Private to imapd/.
 *
 *   NOT SELECTED --SELECT, EXAMINE--> SELECTED --CLOSE, UNSELECT, failed SELECT--> NOT SELECTED --LOGOUT--> over
 *
 * The life of a command: imap_read.c collects its lines and literals; imap_cmd.c finds its row in the table, checks
 * what the row requires, and calls the handler; the handler reads its arguments, does the work, puts untagged replies
 * and returns the kind of the tagged one; imap_sync.c reports what changed in the mailbox; then the tagged reply is
 * sent. */
#ifndef IMAPD_IMAP_SESSION_H
#define IMAPD_IMAP_SESSION_H

#include "imapd/imap_lex.h"
#include "imapd/imap_seq.h"
#include "lib/bio.h"
#include "lib/str.h"
#include "maildir/md.h"
#include "maildir/md_box.h"
#include "node/session.h"
#include "node/work.h"
#include "settings/withheld.h"

enum {
	/* Room for long sets of UIDs, and for the rest of the command. */
	IMAP_LINES_MAX = 1024 * 1024 + 16 * 1024, /* bytes of all lines of a command */
	IMAP_LITERALS_MAX = 1024 * 1024,          /* bytes of its literals; APPEND's message is not counted */
	IMAP_LITERAL_TIMEOUT = 60 * 1000,         /* ms in which this many bytes of a literal must come: */
	IMAP_LITERAL_STEP = 8 * 1024,
	IMAP_ERRORS_MAX = 10 /* consecutive BAD replies before we hang up */
};

/* Kinds of tagged replies. */
enum imap_status {
	IMAP_OK,
	IMAP_NO,
	IMAP_BAD,
	IMAP_GONE /* no reply: the session is over, or it was sent already */
};

struct imap_session;
struct imap_command {
	const char *name;
	/* Handler: ARGS is after the command's name. Sets the text of the tagged reply by imap_ok() etc. */
	enum imap_status (*run)(struct imap_session *s, struct imap_lex *args);
	unsigned flags;
};

/* A message literal that the client has announced and we have not read yet. */
struct imap_message {
	bool pending;
	uint64_t size;
	bool sync; /* the client waits for "+" */
};

/* How fast the current literal comes in. */
struct imap_pace {
	int64_t deadline_ms; /* of clock_ms() */
	size_t bytes;        /* of the current step */
};

struct imap_session {
	const struct session_start *start;
	const struct settings *set;
	struct bio io;
	struct md_root root;
	struct md_box *box; /* the selected mailbox, or NULL */
	bool examine;       /* selected by EXAMINE, or not writable */
	bool over;
	unsigned errors;                  /* consecutive BADs */
	char client[WITHHELD_CLIENT_MAX]; /* the name in its ID, printable; "": it has not said */
	/* what the client knows of the selected mailbox */
	size_t told_exists, told_recent;
	uint32_t told_keywords; /* by FLAGS */
	struct imap_set saved;  /* UIDs that "$" stands for (RFC 5182); some may be gone */
	bool idle_poll_said, trouble_said, work_said, id_said; /* logged already */
	uint32_t failures_since; /* clock_seconds() of the first of failures_said log lines */
	unsigned failures_said;
	/* the current command */
	struct str line; /* lines and literals as received */
	struct imap_message message;
	struct imap_pace pace;
	struct str tag;   /* "*" while there is none */
	struct str reply; /* text of the tagged reply */
	bool uid;         /* it is in the UID form */
	struct work work; /* what it has used, and whether to continue */
};

/* --- imap_session.c --- */

/* Appends the capabilities that the client is told. */
void imap_add_capabilities(const struct imap_session *s, struct str *out);
/* The tagged reply: sets the text, returns the status. */
enum imap_status imap_ok(struct imap_session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum imap_status imap_no(struct imap_session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum imap_status imap_bad(struct imap_session *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* NO for a failure of the mailbox, with its code of RFC 5530; what an operator must repair is logged as well. WHAT is
 * the command ("APPEND"). A missing folder gets the code MISSING ("NONEXISTENT" or "TRYCREATE"). */
enum imap_status imap_md_no(struct imap_session *s, enum md_err e, const char *what, const char *missing);
/* Logs a failure E of WHAT that the client does not see, with root->why. */
void imap_md_log(struct imap_session *s, enum md_err e, const char *what);
/* Ends the session: sends "* BYE TEXT" unless TEXT is NULL, sets the end for the log. */
void imap_end(struct imap_session *s, enum session_end end, const char *text);
/* Ends the session as the failed read RESULT requires. */
void imap_end_read(struct imap_session *s, int result);
/* The end of a command that s->work stopped: if the operator or a client that left is the reason, ends the session; if
 * the command used too much CPU, NO [LIMIT] and a log line. WHAT is the command. */
enum imap_status imap_stopped(struct imap_session *s, const char *what);
/* Puts TEXT. */
void imap_put(struct imap_session *s, const struct str *text);

/* --- imap_read.c --- */

/* Collects the next command in s->line. False: there is none to run, because it was refused here or the session is
 * over. Stops before the message of an APPEND: s->message. */
bool imap_read_command(struct imap_session *s);
/* Begins to read the message literal, all of it: asks the client to send it, if it waits for "+". */
void imap_ask_message(struct imap_session *s);
/* Reads a piece of the message literal: WANT bytes at most. False: the session is over. */
bool imap_read_message(struct imap_session *s, uint64_t want, char **p_out, size_t *len_out);
/* Reads the rest of the command after a complete message literal: 1 if it is only the line's end, 0 if it is more (all
 * of it is dropped), -1 if the session is over. */
int imap_read_rest(struct imap_session *s);
/* Drops LEFT bytes of the pending message literal and the rest of the command. False: the session is over. */
bool imap_drop_message(struct imap_session *s, uint64_t left);

/* --- imap_cmd.c --- */

/* Runs the command in s->line and answers it. */
void imap_run_command(struct imap_session *s);

#endif
