/* SEARCH, SORT and THREAD: what they have in common is that they look for messages. */
#include <string.h>

#include "imapd/cmd.h"
#include "imapd/imap_result.h"
#include "imapd/imap_search.h"
#include "imapd/imap_sort.h"
#include "imapd/imap_thread.h"
#include "lib/mem.h"
#include "maildir/md_parsed.h"
#include "mime/collate.h"
#include "mime/hdr.h"
#include "mime/subject.h"

/* --- SEARCH --- */

struct found {
	uint32_t *list; /* indices */
	size_t n, cap;
};

static enum md_err note_found(struct imap_msg *msg, void *arg)
{
	struct found *f = arg;

	if (f->n == f->cap) {
		f->cap = f->cap == 0 ? 256 : f->cap * 2;
		f->list = mem_grow(f->list, f->cap * sizeof(*f->list));
	}
	f->list[f->n++] = (uint32_t)msg->i;
	return MD_OK;
}

static enum imap_status search_all(struct imap_session *s, struct imap_search *search, const struct imap_return *r)
{
	struct found f = { NULL, 0, 0 };
	bool done = imap_search_each(s, search, "SEARCH", note_found, &f);
	enum imap_status status = done ? imap_result_put(s, "SEARCH", r, f.list, f.n) : imap_stopped(s, "SEARCH");

	mem_free(&f.list);
	return status;
}

/* The end of a command that had SEARCH and R. Returns STATUS. */
static enum imap_status end_search(struct imap_session *s, struct imap_search *search, struct imap_return *r,
    enum imap_status status)
{
	if (status == IMAP_NO)
		imap_result_failed(s, r);
	md_parsed_end(s->box);
	imap_search_free(&search);
	imap_return_fini(r);
	return status;
}

enum imap_status imap_cmd_search(struct imap_session *s, struct imap_lex *args)
{
	enum imap_status status = IMAP_BAD;
	struct imap_return r = { 0 };
	struct imap_search *search = NULL;

	if (imap_return_read(s, args, &r) && (search = imap_search_read(s, args, &status)) != NULL)
		status = search_all(s, search, &r);
	return end_search(s, search, &r, status);
}

/* --- SORT --- */

/* IMAP_DISABLETHREADSORT: they can cost a node much. */
static bool is_off(const struct imap_session *s)
{
	return s->set->imapd_IMAP_DISABLETHREADSORT;
}

static bool take_criterion(struct imap_lex *l, struct imap_sort_program *program)
{
	struct str name = STR_INIT;
	bool ok = imap_lex_name(l, &name) == 1, reverse = ok && strcmp(name.data, "REVERSE") == 0;

	if (reverse)
		ok = imap_lex_space(l) == 1 && imap_lex_name(l, &name) == 1;
	ok = ok && imap_sort_program_add(program, name.data, reverse);
	str_fini(&name);
	return ok;
}

/* Reads " (REVERSE DATE SUBJECT)". */
static bool take_program(struct imap_lex *l, struct imap_sort_program *program)
{
	if (imap_lex_space(l) != 1 || imap_lex_char(l, '(') != 1)
		return false;
	do
		if (!take_criterion(l, program))
			return false;
	while (imap_lex_space(l) == 1);
	return imap_lex_char(l, ')') == 1;
}

static enum md_err add_to_sort(struct imap_msg *msg, void *arg)
{
	return imap_sort_add(arg, msg);
}

static enum imap_status sort_all(struct imap_session *s, struct imap_search *search, const struct imap_return *r,
    const struct imap_sort_program *program)
{
	struct imap_sort *sort = imap_sort_new(program);
	enum imap_status status;
	const uint32_t *list;
	size_t n;

	if (imap_search_each(s, search, "SORT", add_to_sort, sort)) {
		list = imap_sort_result(sort, &n);
		status = imap_result_put(s, "SORT", r, list, n);
	} else {
		status = imap_stopped(s, "SORT");
	}
	imap_sort_free(&sort);
	return status;
}

enum imap_status imap_cmd_sort(struct imap_session *s, struct imap_lex *args)
{
	enum imap_status status = IMAP_BAD;
	struct imap_return r = { 0 };
	struct imap_sort_program program = { .n = 0 };
	struct imap_search *search = NULL;

	if (is_off(s))
		return imap_no(s, "[CANNOT] SORT is switched off on this server.");
	if (imap_return_read(s, args, &r)) {
		if (!take_program(args, &program))
			imap_bad(s, "SORT needs criteria like (REVERSE DATE).");
		else if ((search = imap_search_read_charset(s, args, &status)) != NULL)
			status = sort_all(s, search, &r, &program);
	}
	return end_search(s, search, &r, status);
}

/* --- THREAD --- */

struct threading {
	struct imap_session *s;
	struct imap_threads *threads;
	bool ids; /* message ids matter */
};

static void add_ids(struct imap_threads *t, const struct mime_msg *m)
{
	struct mime_hdr h;

	if (mime_hdr_find(m->text, m->len, "Message-ID", &h))
		(void)imap_threads_add_ids(t, h.value, h.value_len, true);
	if (mime_hdr_find(m->text, m->len, "References", &h) &&
	    imap_threads_add_ids(t, h.value, h.value_len, false) > 0)
		return;
	if (mime_hdr_find(m->text, m->len, "In-Reply-To", &h))
		imap_threads_add_first_id(t, h.value, h.value_len);
}

static enum md_err add_to_threads(struct imap_msg *msg, void *arg)
{
	struct threading *t = arg;
	struct str subject = STR_INIT, collated = STR_INIT;
	struct mime_hdr h;
	bool reply = false;
	int64_t sent;
	enum md_err e = imap_msg_load_header(msg);

	if (e == MD_OK)
		e = imap_sent_date(msg, &sent);
	if (e != MD_OK)
		return e;
	if (mime_hdr_find(msg->mime.text, msg->mime.len, "Subject", &h))
		reply = mime_base_subject(&subject, h.value, h.value_len, &msg->mime.charsets);
	mime_collate(&collated, str_cstr(&subject), subject.len);
	imap_threads_add(t->threads, t->s->uid ? md_box_uid(msg->box, msg->i) : (uint32_t)msg->i + 1, sent, &collated,
	    reply);
	if (t->ids)
		add_ids(t->threads, &msg->mime);
	str_fini(&subject);
	str_fini(&collated);
	return MD_OK;
}

static enum imap_status thread_all(struct imap_session *s, struct imap_search *search, enum imap_thread_how how)
{
	struct threading t = { s, imap_threads_new(how), how == IMAP_THREAD_REFERENCES };
	struct str out = STR_INIT;

	if (imap_search_each(s, search, "THREAD", add_to_threads, &t))
		imap_threads_print(t.threads, &out, &s->work);
	if (s->work.stop == WORK_GOES_ON) {
		bio_puts(&s->io, out.len != 0 ? "* THREAD " : "* THREAD");
		imap_put(s, &out);
		bio_puts(&s->io, "\r\n");
	}
	str_fini(&out);
	imap_threads_free(&t.threads);
	return s->work.stop == WORK_GOES_ON ? imap_ok(s, "THREAD completed.") : imap_stopped(s, "THREAD");
}

/* Reads " REFERENCES". */
static bool take_algorithm(struct imap_lex *l, enum imap_thread_how *how)
{
	struct str name = STR_INIT;
	bool ok = imap_lex_space(l) == 1 && imap_lex_name(l, &name) == 1;

	if (ok && strcmp(name.data, "REFERENCES") == 0)
		*how = IMAP_THREAD_REFERENCES;
	else if (ok && strcmp(name.data, "ORDEREDSUBJECT") == 0)
		*how = IMAP_THREAD_ORDEREDSUBJECT;
	else
		ok = false;
	str_fini(&name);
	return ok;
}

enum imap_status imap_cmd_thread(struct imap_session *s, struct imap_lex *args)
{
	enum imap_status status = IMAP_BAD;
	struct imap_return none = { 0 };
	struct imap_search *search;
	enum imap_thread_how how;

	if (is_off(s))
		return imap_no(s, "[CANNOT] THREAD is switched off on this server.");
	if (!take_algorithm(args, &how))
		return imap_bad(s, "THREAD does REFERENCES and ORDEREDSUBJECT.");
	search = imap_search_read_charset(s, args, &status);
	if (search != NULL)
		status = thread_all(s, search, how);
	return end_search(s, search, &none, status);
}
