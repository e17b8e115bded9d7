/* A session: opens the Maildir, reads commands, logs the end. */
#include "pop3d/pop3_session.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/log.h"
#include "pop3d/pop3d.h"

enum { LINGER = 1000 };        /* ms at the end for a client that still sends */
enum { SKIP_MAX = 64 * 1024 }; /* bytes of an overlong line before we hang up */

static void end(struct pop3 *s, enum session_end why)
{
	s->over = true;
	s->end = why;
	if (why == SESSION_END_SHUTDOWN)
		bio_puts(&s->bio, "-ERR [SYS/TEMP] the server is shutting down\r\n");
	else if (why == SESSION_END_KICKED)
		bio_puts(&s->bio, "-ERR [SYS/TEMP] this session was ended by the operator\r\n");
	else if (why == SESSION_END_PROTOCOL)
		bio_puts(&s->bio, "-ERR line too long, good-bye\r\n");
	/* After a time-out nothing is sent (RFC 1939 section 3). */
}

/* If the client hangs up, measuring goes on, and the next login finds it done; a stop or a kick ends it. */
static bool mailbox_goes_on(void *arg, size_t messages, size_t bytes)
{
	struct pop3 *s = arg;

	return work_do(&s->work, messages * WORK_MESSAGE + bytes);
}

/* Opens the mailbox and answers the login. */
static bool open_box(struct pop3 *s)
{
	enum md_err err;
	char why[SESSION_WHY_MAX];

	if (session_locked("pop3d", s->start)) {
		bio_puts(&s->bio, "-ERR [SYS/TEMP] your mailbox is closed for maintenance, try again later\r\n");
		return false;
	}
	err = md_root_init(&s->root, s->start->maildir);
	s->root.goes_on = mailbox_goes_on;
	s->root.goes_on_arg = s;
	if (err == MD_OK && !session_may_serve(s->start, s->root.fd, why))
		err = md_fail(&s->root, MD_REFUSED, 0, "%s", why);
	if (err == MD_OK)
		err = md_pop3_open(&s->root, &s->box);
	if (err == MD_STOPPED && session_stop() != SESSION_END_COUNT) {
		end(s, session_stop());
		return false;
	}
	if (err != MD_OK) {
		log_error("the mailbox of %s is not served (uid %u, gid %u): %s", s->start->user, (unsigned)geteuid(),
		    (unsigned)getegid(), s->root.why);
		bio_puts(&s->bio, "-ERR [SYS/TEMP] your mailbox cannot be opened now, try again later\r\n");
		return false;
	}
	if (s->root.why[0] != '\0')
		log_error("new messages of %s stay hidden: %s", s->start->user, s->root.why);
	bio_printf(&s->bio, "+OK logged in.%s\r\n", signature_check_note(s->start->signature));
	return true;
}

static void serve(struct pop3 *s)
{
	int timeout = (int)s->start->set->pop3d_POP3_INACTIVITY_TIMEOUT * 1000;
	enum session_end stop;
	size_t len;
	char *line;
	int got;

	while (!s->over) {
		if ((stop = session_stop()) != SESSION_END_COUNT) {
			end(s, stop);
			return;
		}
		got = bio_line(&s->bio, POP3_LINE_MAX, timeout, &line, &len);
		if (got == BIO_OK)
			pop3_command(s, line, len);
		else if (got == BIO_TOO_LONG && (got = bio_skip_line(&s->bio, SKIP_MAX, timeout)) == BIO_OK)
			pop3_bad(s, "-ERR line too long\r\n");
		else
			end(s, session_end_of(got));
	}
}

static void log_end(const struct pop3 *s)
{
	const struct session_counters *c = s->start->counters;
	char figures[80];

	snprintf(figures, sizeof(figures), "top=%llu, retr=%llu", (unsigned long long)c->top,
	    (unsigned long long)c->retr);
	session_log_end("pop3d", s->start, figures, "stls");
}

void pop3d_session_on(int in, int out, const struct session_start *start)
{
	static struct pop3 s;

	s.start = start;
	s.end = SESSION_END_SERVER;
	s.root.fd = -1;
	session_bio(&s.bio, in, start);
	bio_set_out(&s.bio, out);
	work_init(&s.work, &s.bio, NULL);
	s.work.finish = true;
	if (open_box(&s))
		serve(&s);
	bio_flush(&s.bio);
	start->counters->end = s.end;
	log_end(&s);
	md_pop3_close(&s.box);
	md_root_fini(&s.root);
	bio_linger(&s.bio, LINGER);
	bio_fini(&s.bio);
}

void pop3d_session(int fd, const struct session_start *start)
{
	pop3d_session_on(fd, fd, start);
}
