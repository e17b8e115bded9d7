/* COPY and MOVE (RFC 3501, 4315, 6851). */
#include "imapd/cmd.h"
#include "imapd/imap_msgs.h"
#include "imapd/imap_names.h"
#include "lib/mem.h"
#include "maildir/md_copy.h"

static enum imap_status copied(struct imap_session *s, const struct md_copied *c, bool move)
{
	const char *what = move ? "MOVE" : "COPY";
	struct str code = STR_INIT;

	if (c->n == 0)
		return c->missed > 0 && !s->uid ? imap_no(s, "[EXPUNGEISSUED] The messages no longer exist.") :
		                                  imap_ok(s, "%s completed, no messages found.", what);
	str_addf(&code, "[COPYUID %u ", c->uidvalidity);
	imap_list_print(&code, c->from, c->n);
	str_addc(&code, ' ');
	imap_list_print(&code, c->to, c->n);
	str_addc(&code, ']');
	if (move) { /* the EXPUNGEs come before the tagged reply: the client must know what they mean */
		bio_printf(&s->io, "* OK %s Moved.\r\n", code.data);
		imap_ok(s, "MOVE completed.");
	} else {
		imap_ok(s, "%s COPY completed.", code.data);
	}
	str_fini(&code);
	return IMAP_OK;
}

static enum imap_status transfer(struct imap_session *s, const struct imap_set *set, const char *folder, bool move)
{
	struct md_copied c = { 0 };
	size_t n, missed;
	size_t *list = imap_messages_list(s, set, &n, &missed);
	/* All or nothing: RFC 3501 section 6.4.7, RFC 2180 section 4.4; UIDs that are gone are ignored. */
	bool all = !move && !s->uid;
	enum imap_status status;
	enum md_err e = all && missed > 0 ? MD_GONE : MD_OK;

	s->work.finish = true;
	if (n > 0 && e == MD_OK)
		e = (move ? md_move : all ? md_copy_all : md_copy)(s->box, list, n, folder, &c);
	c.missed += missed;
	if (e == MD_GONE)
		status = imap_no(s, "[EXPUNGEISSUED] Some of the messages no longer exist, and none was copied.");
	else
		status = e == MD_OK ? copied(s, &c, move) : imap_md_no(s, e, move ? "MOVE" : "COPY", "TRYCREATE");
	md_copied_fini(&c);
	mem_free(&list);
	return status;
}

static enum imap_status copy_or_move(struct imap_session *s, struct imap_lex *args, bool move)
{
	struct imap_set set = { 0 };
	struct str folder = STR_INIT;
	enum imap_status status = IMAP_BAD;

	if (imap_take_messages(s, args, &set)) {
		status = imap_take_last_folder(s, args, &folder, "TRYCREATE");
		if (status == IMAP_OK)
			status = transfer(s, &set, str_cstr(&folder), move);
	}
	imap_set_fini(&set);
	str_fini(&folder);
	return status;
}

enum imap_status imap_cmd_copy(struct imap_session *s, struct imap_lex *args)
{
	return copy_or_move(s, args, false);
}

enum imap_status imap_cmd_move(struct imap_session *s, struct imap_lex *args)
{
	return copy_or_move(s, args, true);
}
