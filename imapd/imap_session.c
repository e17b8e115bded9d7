/* An IMAP session after login: its start, its loop and its end. */
#include "imapd/imap_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imapd/imap_capability.h"
#include "imapd/imapd.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"

enum { FAILURES_SECONDS = 60, FAILURES_MAX = 20 }; /* log lines of a session about failures in that time */
enum { LINGER = 2000 };                            /* ms to wait at the end for a client that still sends */

void imap_put(struct imap_session *s, const struct str *text)
{
	bio_put(&s->io, text->data, text->len);
}

static void set_reply(struct imap_session *s, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
static void set_reply(struct imap_session *s, const char *fmt, va_list ap)
{
	str_clear(&s->reply);
	str_addv(&s->reply, fmt, ap);
}

#define REPLY_FN(name, status) \
	enum imap_status name(struct imap_session *s, const char *fmt, ...) \
	{ \
		va_list ap; \
		va_start(ap, fmt); \
		set_reply(s, fmt, ap); \
		va_end(ap); \
		return status; \
	}
REPLY_FN(imap_ok, IMAP_OK)
REPLY_FN(imap_no, IMAP_NO)
REPLY_FN(imap_bad, IMAP_BAD)

/* For each failure: the response code (NULL: the caller's), and whether an operator must repair it. */
static const struct {
	const char *code;
	bool mend;
} failures[MD_ERR_COUNT] = {
	[MD_OK] = { "SERVERBUG", true },
	[MD_NOFOLDER] = { NULL, false },
	[MD_NOTMAILDIR] = { "CORRUPTION", true },
	[MD_EXISTS] = { "ALREADYEXISTS", false },
	[MD_BADNAME] = { "CANNOT", false },
	[MD_REFUSED] = { "CANNOT", false },
	[MD_GONE] = { "EXPUNGEISSUED", false },
	[MD_PERM] = { "NOPERM", true },
	[MD_FULL] = { "OVERQUOTA", true },
	[MD_BUSY] = { "INUSE", true },
	[MD_READONLY] = { "NOPERM", true },
	[MD_RESET] = { "UNAVAILABLE", true },
	[MD_LIMIT] = { "LIMIT", true },
	[MD_STOPPED] = { "LIMIT", false },
	[MD_IO] = { "SERVERBUG", true },
};

/* Clients can repeat a failing command as often as they like: limits the log lines per minute. */
static bool may_log(struct imap_session *s)
{
	if (clock_seconds() - s->failures_since >= FAILURES_SECONDS) {
		s->failures_since = clock_seconds();
		s->failures_said = 0;
	}
	return s->failures_said++ < FAILURES_MAX;
}

void imap_md_log(struct imap_session *s, enum md_err e, const char *what)
{
	char who[512];

	if (failures[e].mend && may_log(s))
		log_as("imapd", e == MD_BUSY || e == MD_LIMIT || e == MD_RESET ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR,
		    "%s failed, %s, session=%s: %s", what, session_log_who(s->start, who, sizeof(who)),
		    s->start->session_id, s->root.why);
}

enum imap_status imap_md_no(struct imap_session *s, enum md_err e, const char *what, const char *missing)
{
	if (e == MD_STOPPED && s->work.stop != WORK_GOES_ON)
		return imap_stopped(s, what);
	imap_md_log(s, e, what);
	return imap_no(s, "[%s] %s", failures[e].code != NULL ? failures[e].code : missing, md_err_text(e));
}

enum imap_status imap_stopped(struct imap_session *s, const char *what)
{
	char who[512];

	if (s->work.stop == WORK_SIGNAL) {
		imap_end_read(s, BIO_STOP);
		return IMAP_GONE;
	}
	if (s->work.stop == WORK_NO_CLIENT) {
		imap_end(s, SESSION_END_DISCONNECTED, NULL);
		return IMAP_GONE;
	}
	if (!s->work_said)
		log_as("imapd", LOG_LEVEL_WARN,
		    "%s was stopped after %lld s of CPU, %s, session=%s: more than the data it read justifies; unless "
		    "this account is attacking the node, please report it with the command and the folder's mail",
		    what, (long long)work_cpu(&s->work) / 1000, session_log_who(s->start, who, sizeof(who)),
		    s->start->session_id);
	s->work_said = true;
	return imap_no(s, "[LIMIT] %s was stopped: it took too much time. Request fewer messages or items at once.",
	    what);
}

/* --- The end --- */

void imap_end(struct imap_session *s, enum session_end end, const char *text)
{
	if (s->over)
		return;
	s->over = true;
	s->start->counters->end = end;
	if (text != NULL)
		bio_printf(&s->io, "* BYE %s\r\n", text);
}

void imap_end_read(struct imap_session *s, int result)
{
	enum session_end end = session_end_of(result);

	switch (end) {
	case SESSION_END_TIMEOUT:
		imap_end(s, end, "Disconnected for inactivity.");
		break;
	case SESSION_END_SHUTDOWN:
		imap_end(s, end, "[UNAVAILABLE] Server is shutting down, please come back in a moment.");
		break;
	case SESSION_END_KICKED:
		imap_end(s, end, "Disconnected by the administrator.");
		break;
	default:
		imap_end(s, end, NULL);
	}
}

static void log_end(const struct session_start *start)
{
	char figures[64];

	snprintf(figures, sizeof(figures), "headers=%llu, body=%llu", (unsigned long long)start->counters->headers,
	    (unsigned long long)start->counters->body);
	session_log_end("imapd", start, figures, "starttls");
}

/* --- The start --- */

/* True if the Maildir belongs to the account: mail in anybody else's must not be served. */
static bool owner_is_right(struct imap_session *s)
{
	struct stat st;

	if (!s->set->imapd_IMAP_MAILBOX_SANITY_CHECK)
		return true;
	if (fstat(s->root.fd, &st) < 0) {
		snprintf(s->root.why, sizeof(s->root.why), "cannot examine %s: %s", s->root.path, strerror(errno));
		return false;
	}
	if (st.st_uid == geteuid() && st.st_gid == getegid())
		return true;
	snprintf(s->root.why, sizeof(s->root.why),
	    "%s belongs to uid %u gid %u, the account is uid %u gid %u: chown -R %u:%u %s, or set "
	    "IMAP_MAILBOX_SANITY_CHECK = 0",
	    s->root.path, (unsigned)st.st_uid, (unsigned)st.st_gid, (unsigned)geteuid(), (unsigned)getegid(),
	    (unsigned)geteuid(), (unsigned)getegid(), s->root.path);
	return false;
}

/* True if this node may serve it, and no other does. */
static bool node_is_right(struct imap_session *s)
{
	char why[SESSION_WHY_MAX];

	if (session_may_serve(s->start, s->root.fd, why))
		return true;
	snprintf(s->root.why, sizeof(s->root.why), "%s: %s", s->root.path, why);
	return false;
}

/* Answers the login with TEXT, which says nothing about the password. */
/* Behind the tag of the login in start->context comes the name in the client's ID, if there was one. */
static int login_tag_len(const struct imap_session *s)
{
	return (int)strcspn(s->start->context, " ");
}

static void say_unavailable(struct imap_session *s, const char *text)
{
	if (s->start->context[0] != '\0')
		bio_printf(&s->io, "%.*s NO [UNAVAILABLE] %s\r\n", login_tag_len(s), s->start->context, text);
	imap_end(s, SESSION_END_SERVER, "[UNAVAILABLE] Mailbox is not available.");
}

static void refuse_login(struct imap_session *s)
{
	char who[512];

	log_as("imapd", LOG_LEVEL_ERROR, "mailbox unavailable, %s, uid=%u, session=%s: %s",
	    session_log_who(s->start, who, sizeof(who)), (unsigned)geteuid(), s->start->session_id, s->root.why);
	say_unavailable(s, "Mailbox is not available, please tell your administrator.");
}

void imap_add_capabilities(const struct imap_session *s, struct str *out)
{
	struct str withheld = STR_INIT;

	imap_capability_withheld(s->set, s->client, &withheld);
	imap_capability(out, imap_capability_list(s->set, s->start->tls), str_cstr(&withheld), IMAP_CAPABILITY_AFTER);
	str_fini(&withheld);
}

static void welcome(struct imap_session *s)
{
	struct str words = STR_INIT;

	imap_add_capabilities(s, &words);
	if (s->start->context[0] != '\0')
		bio_printf(&s->io, "%.*s OK [CAPABILITY %s] LOGIN Ok.%s\r\n", login_tag_len(s), s->start->context,
		    str_cstr(&words), signature_check_note(s->start->signature));
	else
		bio_printf(&s->io, "* PREAUTH [CAPABILITY %s] Waypost ready.\r\n", str_cstr(&words));
	str_fini(&words);
}

static bool mailbox_goes_on(void *arg, size_t messages, size_t bytes)
{
	struct imap_session *s = arg;

	return work_do(&s->work, messages * WORK_MESSAGE + bytes);
}

static bool begin(struct imap_session *s)
{
	if (session_locked("imapd", s->start)) {
		say_unavailable(s, "Your mailbox is closed for maintenance, please try again later.");
		return false;
	}
	if (md_root_init(&s->root, s->start->maildir) != MD_OK || !owner_is_right(s) || !node_is_right(s)) {
		refuse_login(s);
		return false;
	}
	s->root.goes_on = mailbox_goes_on;
	s->root.goes_on_arg = s;
	umask((mode_t)strtoul(s->set->imapd_IMAP_UMASK, NULL, 8) & 0777);
	welcome(s);
	return true;
}

static void serve(struct imap_session *s)
{
	while (!s->over) {
		if (session_stop() != SESSION_END_COUNT)
			imap_end_read(s, BIO_STOP);
		else if (imap_read_command(s))
			imap_run_command(s);
		else if (s->errors >= IMAP_ERRORS_MAX)
			imap_end(s, SESSION_END_PROTOCOL, "Too many errors in a row.");
		if (s->io.out_failed)
			imap_end(s, SESSION_END_DISCONNECTED, NULL);
	}
}

void imapd_serve(int in, int out, const struct session_start *start)
{
	struct imap_session s = { .start = start, .set = start->set };

	if (start->context[login_tag_len(&s)] == ' ')
		str_copy(s.client, sizeof(s.client), start->context + login_tag_len(&s) + 1);
	session_bio_pair(&s.io, in, out, start);
	work_init(&s.work, &s.io, "* OK Still at work.\r\n");
	start->counters->end = SESSION_END_DISCONNECTED;
	if (begin(&s))
		serve(&s);
	if (bio_flush(&s.io) && start->counters->end != SESSION_END_DISCONNECTED)
		bio_linger(&s.io, LINGER);
	md_box_close(&s.box);
	imap_set_fini(&s.saved);
	md_root_fini(&s.root);
	bio_fini(&s.io);
	str_fini(&s.line);
	str_fini(&s.tag);
	str_fini(&s.reply);
	log_end(start);
}

void imapd_session(int fd, const struct session_start *start)
{
	imapd_serve(fd, fd, start);
}
