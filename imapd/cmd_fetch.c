/* FETCH. */
#include "imapd/cmd.h"
#include "imapd/imap_fetch.h"
#include "imapd/imap_msgs.h"
#include "maildir/md_parsed.h"

struct fetch {
	struct imap_set set;
	struct imap_fetch what;
	size_t missed;      /* messages that are gone */
	enum md_err failed; /* the last other failure */
};

static void fetch_one(struct imap_session *s, struct fetch *f, size_t i)
{
	enum md_err e = imap_fetch_put(s, &f->what, i);

	if (e == MD_GONE) {
		f->missed++;
	} else if (e != MD_OK) { /* the client still gets the other messages */
		if (f->failed == MD_OK)
			imap_md_log(s, e, "FETCH");
		f->failed = e;
	}
}

/* Fetches all messages of the set; false if the work must stop early. */
static bool fetch_all(struct imap_session *s, struct fetch *f)
{
	for (size_t r = 0; r < f->set.n; r++)
		for (size_t i = f->set.ranges[r].low - 1; i < f->set.ranges[r].high; i++) {
			fetch_one(s, f, i);
			if (s->io.out_failed || !work_do(&s->work, WORK_MESSAGE))
				return false;
		}
	return true;
}

static enum imap_status fetch(struct imap_session *s, struct fetch *f)
{
	if (!fetch_all(s, f))
		return s->io.out_failed ? IMAP_GONE : imap_stopped(s, "FETCH");
	if (f->failed != MD_OK)
		return imap_no(s, "[SERVERBUG] Some messages could not be read.");
	if (f->missed > 0 && !s->uid)
		return imap_no(s, "[EXPUNGEISSUED] Some of the messages no longer exist.");
	return imap_ok(s, "FETCH completed.");
}

enum imap_status imap_cmd_fetch(struct imap_session *s, struct imap_lex *args)
{
	struct fetch f = { .failed = MD_OK };
	enum imap_status status = IMAP_BAD;
	const char *wrong;

	if (imap_take_messages(s, args, &f.set)) {
		wrong = imap_fetch_read(&f.what, args);
		if (wrong == NULL && imap_lex_end(args) != 1)
			wrong = "Unexpected text after the items.";
		status = wrong == NULL ? fetch(s, &f) : imap_bad(s, "%s", wrong);
	}
	md_parsed_end(s->box);
	imap_set_fini(&f.set);
	imap_fetch_fini(&f.what);
	return status;
}
