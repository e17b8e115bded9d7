/* The selected mailbox: SELECT, EXAMINE, CLOSE, UNSELECT, CHECK, EXPUNGE. */
#include "imapd/cmd.h"
#include "imapd/imap_msgs.h"
#include "imapd/imap_names.h"
#include "imapd/imap_sync.h"
#include "lib/log.h"

static size_t first_unseen(const struct md_box *box)
{
	for (size_t i = 0, n = md_box_count(box); i < n; i++)
		if ((md_box_flags(box, i) & MD_SEEN) == 0)
			return i + 1;
	return 0;
}

static void put_selected(struct imap_session *s)
{
	size_t unseen = first_unseen(s->box);

	imap_put_flag_lists(s);
	s->told_exists = md_box_count(s->box);
	s->told_recent = md_box_count_recent(s->box);
	bio_printf(&s->io, "* %zu EXISTS\r\n* %zu RECENT\r\n", s->told_exists, s->told_recent);
	if (unseen != 0)
		bio_printf(&s->io, "* OK [UNSEEN %zu] First unseen.\r\n", unseen);
	bio_printf(&s->io, "* OK [UIDVALIDITY %u] Ok\r\n* OK [UIDNEXT %u] Ok\r\n", md_box_uidvalidity(s->box),
	    md_box_uidnext(s->box));
	if (!md_box_uid_sticky(s->box))
		bio_puts(&s->io, "* NO [UIDNOTSTICKY] UIDs cannot be recorded.\r\n");
}

static enum imap_status open_mailbox(struct imap_session *s, struct imap_lex *args, bool examine, const char *what)
{
	struct str folder = STR_INIT;
	enum imap_status status = imap_take_last_folder(s, args, &folder, "NONEXISTENT");
	enum md_err e = MD_OK;

	if (status != IMAP_BAD)
		imap_unselect(s); /* also if what follows fails: RFC 3501 section 6.3.1 */
	if (status == IMAP_OK && (e = md_box_open(&s->root, str_cstr(&folder), examine, &s->box)) != MD_OK) {
		s->box = NULL;
		status = imap_md_no(s, e, what, "NONEXISTENT");
	}
	str_fini(&folder);
	if (status != IMAP_OK)
		return status;
	if (!examine && md_box_readonly(s->box))
		imap_md_log(s, MD_READONLY, what);
	s->examine = examine || md_box_readonly(s->box);
	s->trouble_said = false;
	put_selected(s);
	return imap_ok(s, s->examine ? "[READ-ONLY] Ok" : "[READ-WRITE] Ok");
}

enum imap_status imap_cmd_select(struct imap_session *s, struct imap_lex *args)
{
	return open_mailbox(s, args, false, "SELECT");
}

enum imap_status imap_cmd_examine(struct imap_session *s, struct imap_lex *args)
{
	return open_mailbox(s, args, true, "EXAMINE");
}

enum imap_status imap_cmd_check(struct imap_session *s, struct imap_lex *args)
{
	(void)args;
	return imap_ok(s, "CHECK completed."); /* nothing to do: what was answered is on disk */
}

static void log_expunged(struct imap_session *s, size_t i)
{
	const char *folder = md_box_folder(s->box);
	char who[512], name[512];

	log_as("imapd", LOG_LEVEL_INFO, "EXPUNGED, %s, old_name=%s%s%s", session_log_who(s->start, who, sizeof(who)),
	    folder[0] != '\0' ? "." : "", md_folder_text(folder),
	    log_clean(name, sizeof(name), md_box_file_name(s->box, i)));
}

/* Deletes the messages with \Deleted (of those in ONLY, unless NULL). */
static enum md_err expunge(struct imap_session *s, const struct imap_set *only)
{
	enum md_err first = MD_OK, last;

	s->work.finish = true;
	for (size_t i = 0; i < md_box_count(s->box) && work_do(&s->work, WORK_MESSAGE); i++) {
		enum md_err e;

		if (md_box_is_gone(s->box, i) || (md_box_flags(s->box, i) & MD_DELETED) == 0 ||
		    (only != NULL && !imap_set_has(only, md_box_uid(s->box, i))))
			continue;
		e = md_box_expunge(s->box, i);
		if (e == MD_OK && s->set->imapd_IMAP_LOG_DELETIONS)
			log_expunged(s, i);
		if (e != MD_OK && first == MD_OK)
			first = e;
	}
	last = md_box_flush(s->box);
	return first != MD_OK ? first : last;
}

enum imap_status imap_cmd_expunge(struct imap_session *s, struct imap_lex *args)
{
	struct imap_set set = { 0 };
	bool ok = true;
	enum md_err e;

	if (s->uid)
		ok = imap_lex_space(args) == 1 && imap_take_uids(s, args, &set);
	ok = ok && imap_lex_end(args) == 1;
	if (!ok) {
		imap_set_fini(&set);
		return imap_bad(s, s->uid ? "UID EXPUNGE needs a set of UIDs." : "EXPUNGE takes no arguments.");
	}
	if (!imap_sync(s, false)) { /* first see which messages others undeleted */
		imap_set_fini(&set);
		return IMAP_GONE;
	}
	e = expunge(s, s->uid ? &set : NULL);
	imap_set_fini(&set);
	if (s->work.stop != WORK_GOES_ON)
		return imap_stopped(s, "EXPUNGE");
	if (e != MD_OK)
		return imap_md_no(s, e, "EXPUNGE", "NONEXISTENT");
	return imap_ok(s, "EXPUNGE completed.");
}

enum imap_status imap_cmd_close(struct imap_session *s, struct imap_lex *args)
{
	struct md_changes ch;
	enum md_err e = s->examine ? MD_OK : md_box_sync(s->box, &ch);

	(void)args;
	if (!s->examine && e == MD_OK)
		e = expunge(s, NULL);
	if (e != MD_OK && e != MD_RESET)
		imap_md_log(s, e, "CLOSE");
	imap_unselect(s);
	if (s->work.stop != WORK_GOES_ON)
		return imap_stopped(s, "CLOSE");
	return imap_ok(s, "CLOSE completed.");
}

enum imap_status imap_cmd_unselect(struct imap_session *s, struct imap_lex *args)
{
	(void)args;
	imap_unselect(s);
	return imap_ok(s, "UNSELECT completed.");
}
