/* The command table and the dispatcher, which checks the requirements of a row before its handler runs. */
#include <string.h>

#include "imapd/cmd.h"
#include "imapd/imap_sync.h"

static const struct imap_command commands[] = {
#define X(name, fn, flags) { #name, imap_cmd_##fn, flags },
	IMAP_COMMANDS(X)
#undef X
};

static const struct imap_command *find(const struct str *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, str_cstr(name)) == 0)
			return &commands[i];
	return NULL;
}

/* Whatever follows the first argument: the literal at the end is the message, or an error that is found later. */
bool imap_takes_message(const char *line, size_t len)
{
	const struct imap_command *row = NULL;
	struct str word = STR_INIT;
	struct imap_lex l;
	bool takes;

	imap_lex_init(&l, line, len);
	if (imap_lex_tag(&l, &word) == 1 && imap_lex_space(&l) == 1 && imap_lex_name(&l, &word) == 1)
		row = find(&word);
	takes = row != NULL && (row->flags & CMD_MESSAGE) != 0 && imap_lex_space(&l) == 1 &&
	    imap_lex_astring(&l, &word) == 1 && imap_lex_peek(&l) == ' ';
	str_fini(&word);
	return takes;
}

/* Takes the name, and UID before it if present. NULL: the reply says why. */
static const struct imap_command *take_command(struct imap_session *s, struct imap_lex *l)
{
	const struct imap_command *row = NULL;
	struct str name = STR_INIT;
	bool ok = imap_lex_space(l) == 1 && imap_lex_name(l, &name) == 1;

	s->uid = ok && strcmp(name.data, "UID") == 0;
	if (s->uid)
		ok = imap_lex_space(l) == 1 && imap_lex_name(l, &name) == 1;
	if (!ok)
		imap_bad(s, "The command after the tag is missing.");
	else if ((row = find(&name)) == NULL || (row->flags & (s->uid ? CMD_UID : CMD_PLAIN)) == 0) {
		imap_bad(s, "Unknown command %s%s.", s->uid ? "UID " : "", name.data);
		row = NULL;
	}
	str_fini(&name);
	return row;
}

static enum imap_status run(struct imap_session *s, const struct imap_command *row, struct imap_lex *l)
{
	int next = imap_lex_peek(l);

	if ((row->flags & CMD_SELECTED) != 0 && s->box == NULL)
		return imap_bad(s, "%s needs a selected mailbox.", row->name);
	if (next != ' ' && next != '\r')
		return imap_bad(s, "A space is missing after %s.", row->name);
	if ((row->flags & CMD_NO_ARGS) != 0 && imap_lex_end(l) != 1)
		return imap_bad(s, "%s takes no arguments.", row->name);
	if ((row->flags & CMD_WRITE) != 0 && s->examine)
		return imap_no(s, "[READ-ONLY] The mailbox is open read-only.");
	return row->run(s, l);
}

static void answer(struct imap_session *s, enum imap_status status)
{
	static const char *const words[] = { [IMAP_OK] = "OK", [IMAP_NO] = "NO", [IMAP_BAD] = "BAD" };

	if (status == IMAP_GONE)
		return;
	s->errors = status == IMAP_BAD ? s->errors + 1 : 0;
	bio_printf(&s->io, "%s %s %s\r\n", s->tag.data, words[status], str_cstr(&s->reply));
	if (s->errors >= IMAP_ERRORS_MAX)
		imap_end(s, SESSION_END_PROTOCOL, "Too many errors in a row.");
}

/* Skips a message that the command did not take. If the client waits for "+", the reply refuses it. */
static bool pass_message(struct imap_session *s)
{
	if (!s->message.pending)
		return true;
	s->message.pending = false;
	return s->message.sync || imap_drop_message(s, s->message.size);
}

void imap_run_command(struct imap_session *s)
{
	const struct imap_command *row = NULL;
	enum imap_status status = IMAP_BAD;
	struct imap_lex l;

	imap_lex_init(&l, s->line.data, s->line.len);
	str_clear(&s->reply);
	s->uid = false;
	work_begin(&s->work);
	if (imap_lex_tag(&l, &s->tag) != 1 || (imap_lex_peek(&l) != ' ' && imap_lex_peek(&l) != '\r')) {
		str_clear(&s->tag);
		str_addc(&s->tag, '*');
		imap_bad(s, "Expected a tag.");
	} else if ((row = take_command(s, &l)) != NULL) {
		status = run(s, row, &l);
		md_size_flush(&s->root); /* before the client learns that it is done */
	}
	if (!pass_message(s) || s->io.out_failed)
		return;
	if (status != IMAP_BAD && status != IMAP_GONE && (row->flags & CMD_NO_SYNC) == 0 &&
	    !imap_sync(s, (row->flags & CMD_NUMBERS) == 0 || s->uid))
		return;
	answer(s, status);
}
