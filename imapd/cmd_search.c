/* SEARCH. */
#include "imapd/cmd.h"
#include "imapd/imap_search.h"
#include "maildir/md_parsed.h"

static enum imap_status search_all(struct imap_session *s, struct imap_search *search)
{
	struct str out = STR_INIT;
	enum md_err failed = MD_OK, e;
	bool goes_on = true;

	str_adds(&out, "* SEARCH");
	for (size_t i = 0, n = md_box_count(s->box); i < n && goes_on; i++) {
		e = MD_OK;
		if (imap_search_fits(s, search, i, &e))
			str_addf(&out, " %zu", s->uid ? (size_t)md_box_uid(s->box, i) : i + 1);
		if (e != MD_OK && e != MD_GONE && failed == MD_OK) {
			failed = e;
			imap_md_log(s, e, "SEARCH");
		}
		goes_on = work_do(&s->work, WORK_MESSAGE);
	}
	str_adds(&out, "\r\n");
	if (goes_on)
		imap_put(s, &out);
	str_fini(&out);
	return goes_on ? imap_ok(s, "SEARCH completed.") : imap_stopped(s, "SEARCH");
}

enum imap_status imap_cmd_search(struct imap_session *s, struct imap_lex *args)
{
	enum imap_status status = IMAP_BAD;
	struct imap_search *search = imap_search_read(s, args, &status);

	if (search != NULL)
		status = search_all(s, search);
	md_parsed_end(s->box);
	imap_search_free(&search);
	return status;
}
