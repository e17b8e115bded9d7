/* Reports changes of the selected mailbox to the client. */
#include "imapd/imap_sync.h"

#include "imapd/imap_flags.h"

void imap_put_flag_lists(struct imap_session *s)
{
	struct str out = STR_INIT;

	str_adds(&out, "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft");
	imap_keywords_add(&out, s->box);
	str_adds(&out, ")\r\n* OK [PERMANENTFLAGS (");
	if (!s->examine) {
		str_adds(&out, "\\Answered \\Flagged \\Deleted \\Seen \\Draft");
		imap_keywords_add(&out, s->box);
		if (s->set->imapd_IMAP_KEYWORDS != 0 && md_box_count_keywords(s->box) < MD_KEYWORDS_MAX)
			str_adds(&out, " \\*");
	}
	str_adds(&out, ")] Limited\r\n");
	imap_put(s, &out);
	str_fini(&out);
	s->told_keywords = md_box_count_keywords(s->box);
}

void imap_put_new_keywords(struct imap_session *s)
{
	if (s->told_keywords != md_box_count_keywords(s->box))
		imap_put_flag_lists(s);
}

static void put_expunge(uint32_t seq, uint32_t uid, void *arg)
{
	struct imap_session *s = arg;

	(void)uid;
	bio_printf(&s->io, "* %u EXPUNGE\r\n", seq);
	s->told_exists--;
}

/* Reports flags that others changed. */
static void put_changed(struct imap_session *s)
{
	struct str out = STR_INIT;

	for (size_t i = 0, n = md_box_count(s->box); i < n; i++) {
		if (!md_box_take_changed(s->box, i) || md_box_is_gone(s->box, i))
			continue;
		str_addf(&out, "* %zu FETCH (UID %u FLAGS ", i + 1, md_box_uid(s->box, i));
		imap_flags_add(&out, s->box, i);
		str_adds(&out, ")\r\n");
	}
	if (out.len > 0)
		imap_put(s, &out);
	str_fini(&out);
}

static void put_counts(struct imap_session *s)
{
	size_t exists = md_box_count(s->box), recent = md_box_count_recent(s->box);

	if (s->told_exists != exists)
		bio_printf(&s->io, "* %zu EXISTS\r\n", exists);
	if (s->told_exists != exists || s->told_recent != recent)
		bio_printf(&s->io, "* %zu RECENT\r\n", recent);
	s->told_exists = exists;
	s->told_recent = recent;
}

/* As imap_sync(), but only what is known already. */
static void imap_sync_known(struct imap_session *s, bool expunge)
{
	if (expunge)
		md_box_drop_gone(s->box, put_expunge, s);
	put_counts(s);
}

bool imap_sync(struct imap_session *s, bool expunge)
{
	struct md_changes ch = { 0 };
	enum md_err e;

	if (s->box == NULL || s->over)
		return !s->over;
	e = md_box_sync(s->box, &ch);
	if (e == MD_RESET) {
		imap_md_log(s, e, "checking for changes");
		imap_end(s, SESSION_END_SERVER, "[UNAVAILABLE] The selected mailbox was removed or replaced.");
		return false;
	}
	if (e != MD_OK && !s->trouble_said) {
		s->trouble_said = true;
		imap_md_log(s, e, "checking for changes");
	}
	imap_sync_known(s, expunge);
	imap_put_new_keywords(s);
	if (ch.flagged > 0)
		put_changed(s);
	return true;
}

void imap_unselect(struct imap_session *s)
{
	md_box_close(&s->box);
	imap_set_fini(&s->saved);
	s->examine = false;
}
