/* APPEND: the message goes from the client to the Maildir in pieces. */
#include <string.h>

#include "imapd/cmd.h"
#include "imapd/imap_date.h"
#include "imapd/imap_flags.h"
#include "imapd/imap_names.h"
#include "maildir/md_save.h"

struct append {
	struct str folder;
	struct imap_flaglist flags;
	time_t when;
	bool dated; /* WHEN was given */
};

/* Reads " (flags)" and " \"date-time\"", both optional, and the blank before the literal. NULL, or what is wrong. */
static const char *take_options(struct imap_lex *l, struct append *a)
{
	struct str date = STR_INIT;
	const char *wrong = NULL;

	if (imap_lex_space(l) != 1)
		return "A message is missing.";
	if (imap_lex_peek(l) == '(') {
		wrong = imap_flaglist_read(&a->flags, l, false);
		if (wrong == NULL && imap_lex_space(l) != 1)
			wrong = "A message is missing.";
	}
	if (wrong == NULL && imap_lex_peek(l) == '"') {
		a->dated = imap_lex_string(l, &date) == 1 && imap_date_parse(str_cstr(&date), date.len, &a->when);
		if (!a->dated)
			wrong = "Expected a date like \"17-Jul-1996 02:44:25 -0700\".";
		else if (imap_lex_space(l) != 1)
			wrong = "A message is missing.";
	}
	str_fini(&date);
	return wrong;
}

/* Keywords are dropped if the operator has disabled them. */
static size_t keyword_count(const struct imap_session *s, const struct imap_flaglist *f)
{
	return s->set->imapd_IMAP_KEYWORDS != 0 ? f->n : 0;
}

/* NUL bytes cannot be sent to clients (RFC 3501: CHAR8): stored as 0x80, as FETCH would send them. */
static void replace_nuls(char *p, size_t len)
{
	char *end = p + len;

	while ((p = memchr(p, '\0', (size_t)(end - p))) != NULL)
		*p++ = (char)0x80;
}

/* Reads the literal into SAVE. False: the session is over. *E is the first failure; the rest is dropped. */
static bool receive(struct imap_session *s, struct md_save *save, enum md_err *e)
{
	uint64_t left = s->message.size;

	imap_ask_message(s);
	*e = MD_OK;
	while (left > 0) {
		char *p;
		size_t len;

		if (!imap_read_message(s, left, &p, &len))
			return false;
		left -= len;
		replace_nuls(p, len);
		if (*e == MD_OK)
			*e = md_save_write(save, p, len);
	}
	return true;
}

static enum imap_status store(struct imap_session *s, const struct append *a)
{
	uint64_t size = s->message.size;
	uint32_t uid, uidvalidity;
	struct md_save *save = NULL;
	enum md_err e = md_save_begin(&s->root, str_cstr(&a->folder), &save);
	int rest;

	if (e != MD_OK)
		return imap_md_no(s, e, "APPEND", "TRYCREATE");
	if (!receive(s, save, &e) || (rest = imap_read_rest(s)) < 0) {
		md_save_abort(&save);
		return IMAP_GONE;
	}
	if (rest == 0 || size == 0 || e != MD_OK) {
		md_save_abort(&save);
		if (rest == 0)
			return imap_bad(s, "APPEND takes one message and nothing after it.");
		return e != MD_OK ? imap_md_no(s, e, "APPEND", "TRYCREATE") :
		                    imap_no(s, "[CANNOT] An empty message cannot be stored.");
	}
	e = md_save_commit(&save, a->flags.flags, (const char *const *)a->flags.kw, keyword_count(s, &a->flags),
	    a->dated ? &a->when : NULL, &uid, &uidvalidity);
	if (e != MD_OK)
		return imap_md_no(s, e, "APPEND", "TRYCREATE");
	return imap_ok(s, "[APPENDUID %u %u] APPEND completed.", uidvalidity, uid);
}

static enum imap_status read_args(struct imap_session *s, struct imap_lex *args, struct append *a)
{
	enum imap_status status = imap_take_folder(s, args, &a->folder, "TRYCREATE");
	const char *wrong;
	uint64_t size;
	bool sync;

	if (status == IMAP_BAD)
		return status;
	wrong = take_options(args, a);
	if (wrong == NULL && (!s->message.pending || imap_lex_literal(args, &size, &sync) != 1))
		wrong = "APPEND needs its message as a literal.";
	if (wrong != NULL)
		return imap_bad(s, "%s", wrong);
	if (status != IMAP_OK)
		return status;
	if (s->set->imapd_IMAP_APPENDLIMIT > 0 && s->message.size > (uint64_t)s->set->imapd_IMAP_APPENDLIMIT)
		return imap_no(s, "[TOOBIG] The largest message allowed here has %lld bytes.",
		    (long long)s->set->imapd_IMAP_APPENDLIMIT);
	return IMAP_OK;
}

enum imap_status imap_cmd_append(struct imap_session *s, struct imap_lex *args)
{
	struct append a = { 0 };
	enum imap_status status = read_args(s, args, &a);

	if (status == IMAP_OK)
		status = store(s, &a);
	str_fini(&a.folder);
	imap_flaglist_fini(&a.flags);
	return status;
}
