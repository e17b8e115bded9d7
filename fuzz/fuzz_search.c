/* Keys of SEARCH, without the command's name, evaluated for one message: accepted keys are also accepted within NOT and
 * parentheses, and then give the opposite result. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz/scratch.h"
#include "imapd/imap_result.h"
#include "imapd/imap_search.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct imap_session session;

/* A mailbox of one message. */
static void open_box(void)
{
	static const char text[] = "From: \"A\" (b) <a@b.example>\nTo: G: c@d, e@f;\nSubject: =?utf-8?q?x?=\n"
	                           "Date: Tue, 3 Mar 2020 10:00:00 +0100\nContent-Type: multipart/mixed; boundary=b\n\n"
	                           "--b\n\nx\n--b--\n";
	char *maildir = scratch_maildir("m"), *cur = mem_printf("%s/cur", maildir);

	log_set_socket(open("/dev/null", O_WRONLY));
	scratch_file(cur, "1.M1P1.host:2,S", text);
	DIE_IF(md_root_init(&session.root, maildir) != MD_OK ||
	    md_box_open(&session.root, "", false, &session.box) != MD_OK);
	mem_free(&cur);
	mem_free(&maildir);
	bio_init(&session.io, STDIN_FILENO, STDOUT_FILENO);
	work_init(&session.work, &session.io, NULL);
}

static enum md_err found(struct imap_msg *msg, void *arg)
{
	(void)msg;
	*(int *)arg = 1;
	return MD_OK;
}

/* -1: these are no keys; else whether the message fits them. */
static int ask(const struct str *command)
{
	enum imap_status status = IMAP_OK;
	struct imap_search *search;
	struct imap_lex l;
	int fits = 0;

	imap_lex_init(&l, command->data, command->len);
	search = imap_search_read(&session, &l, &status);
	if (search == NULL) {
		if (status != IMAP_BAD && status != IMAP_NO)
			abort();
		return -1;
	}
	session.work.finish = true; /* there is no client */
	if (!imap_search_each(&session, search, "SEARCH", found, &fits))
		abort();
	imap_search_free(&search);
	return fits;
}

/* RETURN: what is taken of it can be answered. */
static void ask_return(const struct str *command)
{
	struct imap_return r = { 0 };
	struct imap_lex l;

	imap_lex_init(&l, command->data, command->len);
	if (imap_return_read(&session, &l, &r) && r.given &&
	    (r.what == 0 || ((r.what & IMAP_RETURN_PARTIAL) != 0 && (r.first < 1 || r.first > r.last))))
		abort();
	imap_return_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str command = STR_INIT;
	int plain, within;

	if (session.box == NULL)
		open_box();
	work_begin(&session.work);
	str_addc(&command, ' ');
	str_add(&command, data, size);
	str_adds(&command, "\r\n");
	ask_return(&command);
	plain = ask(&command);
	str_clear(&command);
	str_adds(&command, " NOT (ALL ");
	str_add(&command, data, size);
	str_adds(&command, ")\r\n");
	within = ask(&command);
	/* CHARSET and a blank at the end are accepted at the top only */
	if (within >= 0 && plain >= 0 && within == plain)
		abort();
	str_fini(&command);
	return 0;
}
