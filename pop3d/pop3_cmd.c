/* The table of commands, and the commands. */
#include "pop3d/pop3_session.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "pop3d/pop3_capa.h"
#include "pop3d/pop3_dots.h"
#include "settings/capability.h"

enum { BAD_MAX = 10, CHUNK = 64 * 1024 };

static const char no_message[] = "-ERR no such message\r\n";

void pop3_bad(struct pop3 *s, const char *reply)
{
	if (++s->bad < BAD_MAX) {
		bio_puts(&s->bio, reply);
		return;
	}
	bio_puts(&s->bio, "-ERR too many wrong commands, good-bye\r\n");
	s->over = true;
	s->end = SESSION_END_PROTOCOL;
}

/* Sets *I to the index of the message of number TEXT. False: there is none, and the client got an error. */
static bool message(struct pop3 *s, const char *text, size_t *i)
{
	uint64_t n;

	if (!num_parse_str(text, md_pop3_count(s->box), &n) || n == 0) {
		bio_puts(&s->bio, no_message);
		return false;
	}
	*i = (size_t)n - 1;
	if (md_pop3_marked(s->box, *i)) {
		bio_puts(&s->bio, "-ERR that message is marked as deleted\r\n");
		return false;
	}
	return true;
}

/* For STAT and LIST: the number of messages that are not marked, and their octets. */
static size_t total(const struct pop3 *s, uint64_t *octets)
{
	size_t n = 0;

	*octets = 0;
	for (size_t i = 0, all = md_pop3_count(s->box); i < all; i++) {
		if (md_pop3_marked(s->box, i))
			continue;
		n++;
		*octets += md_pop3_octets(s->box, i);
	}
	return n;
}

static void cmd_stat(struct pop3 *s, const struct pop3_line *l UNUSED)
{
	uint64_t octets;
	size_t n = total(s, &octets);

	bio_printf(&s->bio, "+OK %zu %" PRIu64 "\r\n", n, octets);
}

static void cmd_list(struct pop3 *s, const struct pop3_line *l)
{
	uint64_t octets;
	size_t n, i;

	if (l->args == 1) {
		if (message(s, l->arg[0], &i))
			bio_printf(&s->bio, "+OK %zu %" PRIu64 "\r\n", i + 1, md_pop3_octets(s->box, i));
		return;
	}
	n = total(s, &octets);
	bio_printf(&s->bio, "+OK %zu messages, %" PRIu64 " octets\r\n", n, octets);
	for (i = 0; i < md_pop3_count(s->box); i++)
		if (!md_pop3_marked(s->box, i))
			bio_printf(&s->bio, "%zu %" PRIu64 "\r\n", i + 1, md_pop3_octets(s->box, i));
	bio_puts(&s->bio, ".\r\n");
}

static void cmd_uidl(struct pop3 *s, const struct pop3_line *l)
{
	struct str uidl = STR_INIT;
	size_t i;

	if (l->args == 1) {
		if (message(s, l->arg[0], &i)) {
			md_pop3_uidl(s->box, i, &uidl);
			bio_printf(&s->bio, "+OK %zu %s\r\n", i + 1, str_cstr(&uidl));
		}
		str_fini(&uidl);
		return;
	}
	bio_puts(&s->bio, "+OK unique ids follow\r\n");
	for (i = 0; i < md_pop3_count(s->box); i++) {
		if (md_pop3_marked(s->box, i))
			continue;
		str_clear(&uidl);
		md_pop3_uidl(s->box, i, &uidl);
		bio_printf(&s->bio, "%zu %s\r\n", i + 1, str_cstr(&uidl));
	}
	bio_puts(&s->bio, ".\r\n");
	str_fini(&uidl);
}

/* Opens message I; on failure sends an error and returns -1. */
static int open_message(struct pop3 *s, size_t i)
{
	enum md_err err;
	int fd;

	if ((err = md_pop3_read(s->box, i, &fd)) == MD_OK)
		return fd;
	if (err == MD_GONE) {
		bio_puts(&s->bio, "-ERR that message is gone: it was removed by another program\r\n");
	} else {
		log_error("%s", s->root.why);
		bio_printf(&s->bio, "-ERR [SYS/TEMP] %s\r\n", md_err_text(err));
	}
	return -1;
}

/* Sends the message in FD, or its first LINES lines, to the client. False: it could not be read or sent to its end;
 * only hanging up tells the client so. */
static bool send_message(struct pop3 *s, int fd, uint64_t lines, uint64_t *counter)
{
	static char in[CHUNK], text[2 * CHUNK];
	struct pop3_dots dots;
	size_t len;
	ssize_t n = 1;

	pop3_dots_init(&dots, lines);
	while (!dots.done && (n = read(fd, in, sizeof(in))) != 0) {
		if (n < 0) {
			log_error("%s: reading a message failed: %s; check the disk", s->start->maildir,
			    strerror(errno));
			return false;
		}
		len = pop3_dots_feed(&dots, in, (size_t)n, text);
		*counter += len;
		if (!bio_put(&s->bio, text, len))
			return false;
	}
	len = pop3_dots_end(&dots, text);
	*counter += len;
	return bio_put(&s->bio, text, len);
}

static bool send_part(struct pop3 *s, size_t i, uint64_t lines, uint64_t *counter)
{
	int fd = open_message(s, i);
	bool ok;

	if (fd == -1)
		return false;
	/* Headers in UTF-8 are sent as they are, also to a client that did not send UTF8: most cope with them, and the
	 * alternative is a message that they cannot fetch at all. */
	if (lines == UINT64_MAX)
		bio_printf(&s->bio, "+OK %" PRIu64 " octets follow\r\n", md_pop3_octets(s->box, i));
	else
		bio_puts(&s->bio, "+OK the top of the message follows\r\n");
	ok = send_message(s, fd, lines, counter);
	close(fd);
	if (!ok) {
		s->over = true;
		s->end = s->bio.out_failed ? SESSION_END_DISCONNECTED : SESSION_END_SERVER;
	}
	return ok;
}

static void cmd_retr(struct pop3 *s, const struct pop3_line *l)
{
	size_t i;

	if (!message(s, l->arg[0], &i) || !send_part(s, i, UINT64_MAX, &s->start->counters->retr))
		return;
	if (md_pop3_seen(s->box, i) != MD_OK)
		log_debug("%s", s->root.why); /* the message was sent all the same */
}

static void cmd_top(struct pop3 *s, const struct pop3_line *l)
{
	uint64_t lines;
	size_t i;

	if (!num_parse_str(l->arg[1], UINT64_MAX - 1, &lines))
		pop3_bad(s, "-ERR TOP needs a message number and a number of lines\r\n");
	else if (message(s, l->arg[0], &i))
		send_part(s, i, lines, &s->start->counters->top);
}

static void cmd_dele(struct pop3 *s, const struct pop3_line *l)
{
	size_t i;

	if (!message(s, l->arg[0], &i))
		return;
	md_pop3_mark(s->box, i, true);
	bio_puts(&s->bio, "+OK will be deleted at QUIT\r\n");
}

static void cmd_rset(struct pop3 *s, const struct pop3_line *l UNUSED)
{
	for (size_t i = 0; i < md_pop3_count(s->box); i++)
		md_pop3_mark(s->box, i, false);
	bio_puts(&s->bio, "+OK nothing will be deleted\r\n");
}

static void cmd_noop(struct pop3 *s, const struct pop3_line *l UNUSED)
{
	bio_puts(&s->bio, "+OK\r\n");
}

static void cmd_capa(struct pop3 *s, const struct pop3_line *l UNUSED)
{
	struct str capa = STR_INIT;

	pop3_capa(&capa, capability_ours(PROTOCOL_POP3), NULL);
	bio_printf(&s->bio, "+OK capabilities follow\r\n%s.\r\n", str_cstr(&capa));
	str_fini(&capa);
}

static void cmd_only_before(struct pop3 *s, const struct pop3_line *l UNUSED)
{
	pop3_bad(s, "-ERR you are logged in already\r\n");
}

/* For each message, 1 if it is to be deleted. */
static char *marks(const struct pop3 *s)
{
	size_t n = md_pop3_count(s->box);
	char *marked = mem_alloc(n + 1);

	for (size_t i = 0; i < n; i++)
		marked[i] = md_pop3_marked(s->box, i);
	return marked;
}

/* After the deletions; MARKED: the marks before them. What could not be deleted is still marked. */
static void log_deletions(const struct pop3 *s, const char *marked, bool all)
{
	char who[512], file[512];

	session_log_who(s->start, who, sizeof(who));
	for (size_t i = 0; i < md_pop3_count(s->box); i++)
		if (marked[i] && (all || !md_pop3_marked(s->box, i)))
			log_info("DELETED, %s, filename=%s", who,
			    log_clean(file, sizeof(file), md_pop3_file_name(s->box, i)));
}

static void cmd_quit(struct pop3 *s, const struct pop3_line *l UNUSED)
{
	char *marked = marks(s);
	size_t deleted;
	bool ok = md_pop3_commit(s->box, &deleted) == MD_OK;

	if (!ok)
		log_error("%s", s->root.why);
	if (s->start->set->pop3d_POP3_LOG_DELETIONS)
		log_deletions(s, marked, ok);
	mem_free(&marked);
	bio_puts(&s->bio, ok ? "+OK Bye-bye.\r\n" : "-ERR [SYS/TEMP] some messages not removed\r\n");
	s->over = true;
	s->end = SESSION_END_LOGOUT;
}

static const struct command {
	const char *verb;
	unsigned least, most; /* arguments; before login any number, which the dialect checks */
	void (*run)(struct pop3 *s, const struct pop3_line *l);
} commands[] = {
	{ "STAT", 0, 0, cmd_stat },
	{ "LIST", 0, 1, cmd_list },
	{ "RETR", 1, 1, cmd_retr },
	{ "DELE", 1, 1, cmd_dele },
	{ "NOOP", 0, 0, cmd_noop },
	{ "RSET", 0, 0, cmd_rset },
	{ "QUIT", 0, 0, cmd_quit },
	{ "TOP", 2, 2, cmd_top },
	{ "UIDL", 0, 1, cmd_uidl },
	{ "CAPA", 0, 0, cmd_capa },
	{ "USER", 0, POP3_ARGS_MAX, cmd_only_before },
	{ "PASS", 0, POP3_ARGS_MAX, cmd_only_before },
	{ "AUTH", 0, POP3_ARGS_MAX, cmd_only_before },
	{ "STLS", 0, POP3_ARGS_MAX, cmd_only_before },
	{ "UTF8", 0, POP3_ARGS_MAX, cmd_only_before },
	{ "XCLIENT", 0, POP3_ARGS_MAX, cmd_only_before },
};

void pop3_command(struct pop3 *s, char *text, size_t len)
{
	struct pop3_line l;
	unsigned before = s->bad;

	if (!pop3_line_parse(&l, text, len)) {
		pop3_bad(s, "-ERR unknown command\r\n");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->verb, l.verb) != 0)
			continue;
		if (l.args < c->least || l.args > c->most)
			pop3_bad(s, "-ERR wrong number of arguments\r\n");
		else
			c->run(s, &l);
		if (s->bad == before)
			s->bad = 0;
		return;
	}
	pop3_bad(s, "-ERR unknown command\r\n");
}
