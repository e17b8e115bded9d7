/* What the commands of a POP3 session share. For the files of pop3d/. */
#ifndef POP3D_POP3_SESSION_H
#define POP3D_POP3_SESSION_H

#include "maildir/md_pop3.h"
#include "node/session.h"
#include "node/work.h"
#include "pop3d/pop3_line.h"

struct pop3 {
	const struct session_start *start;
	struct bio bio;
	struct md_root root;
	struct work work; /* for opening the mailbox, which may have to measure mail */
	struct md_pop3 *box;
	unsigned bad; /* wrong commands in a row */
	bool over;    /* the session ends as `end` says */
	enum session_end end;
};

/* Runs one command line, and always answers it. */
void pop3_command(struct pop3 *s, char *line, size_t len);
/* Answers a bad command with REASON, and ends the session after too many in a row. */
void pop3_bad(struct pop3 *s, const char *reply);

#endif
