/* IDLE (RFC 2177): changes are reported as they happen. */
#include <strings.h>

#include "imapd/cmd.h"
#include "imapd/imap_sync.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "maildir/md_watch.h"

/* Seconds between checks where the system reports changes: it does not report those made by other hosts on a shared
 * file system. */
enum { IDLE_LOOK = 300, IDLE_LINE_MAX = 1024 };

static void say_polling(struct imap_session *s)
{
	char who[512];

	if (s->idle_poll_said)
		return;
	s->idle_poll_said = true;
	log_as("imapd", LOG_LEVEL_WARN, "IDLE checks for changes every %lld s, %s, session=%s: %s",
	    (long long)s->set->imapd_IMAP_IDLE_TIMEOUT, session_log_who(s->start, who, sizeof(who)),
	    s->start->session_id, s->root.why);
}

/* Waits once: BIO_OK when the client sent something, BIO_OTHER to check and continue, or why the session ends. */
static int wait_once(struct imap_session *s, struct md_watch *w, int64_t deadline)
{
	int64_t left = deadline - clock_seconds();
	int64_t look = w->fd == -1 ? s->set->imapd_IMAP_IDLE_TIMEOUT : IDLE_LOOK;
	int got;

	if (left <= 0)
		return BIO_TIMEOUT;
	got = bio_wait(&s->io, w->fd, (int)MIN(left, look) * 1000);
	if (got == BIO_OTHER)
		md_watch_drain(w);
	return got == BIO_TIMEOUT ? BIO_OTHER : got;
}

/* True: the client sent something; false: the session is over. */
static bool idle(struct imap_session *s, struct md_watch *w)
{
	int64_t deadline = clock_seconds() + s->set->imapd_IMAP_INACTIVITY_TIMEOUT;

	for (;;) {
		int got;

		if (!imap_sync(s, true))
			return false;
		got = wait_once(s, w, deadline);
		if (got == BIO_OK)
			return true;
		if (got != BIO_OTHER) {
			imap_end_read(s, got);
			return false;
		}
	}
}

enum imap_status imap_cmd_idle(struct imap_session *s, struct imap_lex *args)
{
	struct md_watch w = { .fd = -1 };
	char *line;
	size_t len;
	bool there;
	int got;

	(void)args;
	if (s->box != NULL && !md_watch_init(&w, s->box))
		say_polling(s);
	bio_puts(&s->io, "+ idling\r\n");
	there = idle(s, &w);
	md_watch_fini(&w);
	if (!there)
		return IMAP_GONE;
	got = bio_line(&s->io, IDLE_LINE_MAX, IMAP_LITERAL_TIMEOUT, &line, &len);
	if (got == BIO_TOO_LONG) {
		imap_end(s, SESSION_END_PROTOCOL, "[TOOBIG] Expected DONE.");
		return IMAP_GONE;
	}
	if (got != BIO_OK) {
		imap_end_read(s, got);
		return IMAP_GONE;
	}
	if (len != 4 || strcasecmp(line, "DONE") != 0)
		return imap_bad(s, "IDLE ends with DONE.");
	return imap_ok(s, "IDLE completed.");
}
