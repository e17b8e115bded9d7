/* STORE: flags and keywords of messages. */
#include <string.h>

#include "imapd/cmd.h"
#include "imapd/imap_flags.h"
#include "imapd/imap_msgs.h"
#include "imapd/imap_sync.h"
#include "lib/mem.h"

struct store {
	struct imap_set set;
	struct imap_flaglist flags;
	enum md_store how;
	bool silent;
	uint32_t *kw; /* indices in the box */
	size_t n_kw;
	enum md_err failed; /* the first failure */
	size_t missed;      /* messages that are gone */
	bool limited;       /* some could not get the flags */
};

static const struct {
	const char *name;
	enum md_store how;
	bool silent;
} kinds[] = {
	{ "FLAGS", MD_STORE_SET, false },
	{ "FLAGS.SILENT", MD_STORE_SET, true },
	{ "+FLAGS", MD_STORE_ADD, false },
	{ "+FLAGS.SILENT", MD_STORE_ADD, true },
	{ "-FLAGS", MD_STORE_REMOVE, false },
	{ "-FLAGS.SILENT", MD_STORE_REMOVE, true },
};

static bool take_kind(struct imap_lex *l, struct store *st)
{
	struct str word = STR_INIT;
	bool found = false;

	if (imap_lex_space(l) == 1 && imap_lex_atom(l, &word) == 1)
		for (size_t i = 0; i < ARRAY_LEN(kinds) && !found; i++)
			if (imap_word_is(&word, kinds[i].name)) {
				st->how = kinds[i].how;
				st->silent = kinds[i].silent;
				found = true;
			}
	str_fini(&word);
	return found && imap_lex_space(l) == 1;
}

static enum imap_status take_args(struct imap_session *s, struct imap_lex *l, struct store *st)
{
	const char *wrong;

	if (!imap_take_messages(s, l, &st->set))
		return IMAP_BAD;
	if (!take_kind(l, st))
		return imap_bad(s, "STORE needs FLAGS, +FLAGS or -FLAGS, and flags.");
	wrong = imap_flaglist_read(&st->flags, l, true);
	if (wrong == NULL && imap_lex_end(l) != 1)
		wrong = "Unexpected text after the flags.";
	return wrong == NULL ? IMAP_OK : imap_bad(s, "%s", wrong);
}

/* The keywords as indices. False: the folder has too many. */
static bool find_keywords(struct imap_session *s, struct store *st)
{
	if (s->set->imapd_IMAP_KEYWORDS == 0)
		return true;
	st->kw = mem_array(st->flags.n + 1, sizeof(*st->kw));
	for (size_t i = 0; i < st->flags.n; i++) {
		const char *name = st->flags.kw[i];
		int64_t k = st->how == MD_STORE_REMOVE ? md_box_keyword_now(s->box, name, strlen(name)) :
		                                         md_box_keyword_add(s->box, name, strlen(name));

		if (k >= 0)
			st->kw[st->n_kw++] = (uint32_t)k;
		else if (st->how != MD_STORE_REMOVE)
			return false;
	}
	return true;
}

static void store_one(struct imap_session *s, struct store *st, size_t i, struct str *out)
{
	enum md_err e = md_box_store(s->box, i, st->how, st->flags.flags, st->kw, st->n_kw);

	if (e == MD_GONE) {
		st->missed++;
		return;
	}
	if (e == MD_LIMIT) { /* the other messages may still get them */
		if (!st->limited)
			imap_md_log(s, e, "STORE");
		st->limited = true;
		return;
	}
	if (e != MD_OK) {
		st->failed = e;
		return;
	}
	if (st->silent)
		return;
	(void)md_box_take_changed(s->box, i);
	imap_put_new_keywords(s); /* others may have added some */
	str_addf(out, s->uid ? "* %zu FETCH (UID %u FLAGS " : "* %zu FETCH (FLAGS ", i + 1, md_box_uid(s->box, i));
	imap_flags_add(out, s->box, i);
	str_adds(out, ")\r\n");
}

static void store_all(struct imap_session *s, struct store *st)
{
	struct str out = STR_INIT;

	s->work.finish = true;
	imap_put_new_keywords(s);
	for (size_t r = 0; r < st->set.n; r++)
		for (size_t i = st->set.ranges[r].low - 1; i < st->set.ranges[r].high && st->failed == MD_OK; i++) {
			if (!work_do(&s->work, WORK_MESSAGE)) {
				str_fini(&out);
				return;
			}
			str_clear(&out);
			store_one(s, st, i, &out);
			imap_put(s, &out);
		}
	str_fini(&out);
}

static enum imap_status store(struct imap_session *s, struct store *st)
{
	if (!find_keywords(s, st))
		return imap_no(s,
		    "[LIMIT] A keyword cannot be stored: the folder has too many, or the keyword has an invalid "
		    "character.");
	store_all(s, st);
	if (s->work.stop != WORK_GOES_ON)
		return imap_stopped(s, "STORE");
	if (st->failed == MD_OK)
		st->failed = md_box_flush(s->box);
	if (st->failed != MD_OK)
		return imap_md_no(s, st->failed, "STORE", "NONEXISTENT");
	if (st->limited)
		return imap_no(s,
		    "[LIMIT] Some messages cannot have flags because their file names are too long; all others are "
		    "done.");
	if (st->missed > 0 && !s->uid && !st->silent) /* RFC 2180 section 4.2 */
		return imap_no(s, "[EXPUNGEISSUED] Some of the messages no longer exist.");
	return imap_ok(s, "STORE completed.");
}

enum imap_status imap_cmd_store(struct imap_session *s, struct imap_lex *args)
{
	struct store st = { .failed = MD_OK };
	enum imap_status status = take_args(s, args, &st);

	if (status == IMAP_OK)
		status = store(s, &st);
	imap_set_fini(&st.set);
	imap_flaglist_fini(&st.flags);
	mem_free(&st.kw);
	return status;
}
