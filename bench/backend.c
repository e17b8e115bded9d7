/* A mail server that costs as little as it can, for what stands before it to be measured.
 *   bench/backend IMAP-ADDRESS:PORT POP3-ADDRESS:PORT
 * It knows the accounts of wire.h, and FETCH N and RETR N answer with a body of N bytes. Every byte received is
 * checked; what no client here may send is reported on stderr, and that fails the run. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/wire.h"
#include "lib/b64.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"

enum { INPUT_MAX = 2048, ARG_MAX = 128 };
#define CAPABILITIES "IMAP4rev1 ID SASL-IR LITERAL+ AUTH=PLAIN"

struct client {
	int fd;
	bool pop3;
	bool logged_in;
	bool closing;
	bool in_sasl;        /* the next line is a response to AUTHENTICATE or AUTH */
	size_t len;          /* bytes in IN */
	size_t scan;         /* IMAP: where the next piece of the command begins, behind its literals so far */
	uint64_t body, sent; /* bytes of the body on its way, and how many of them were sent */
	char tag[32];        /* IMAP: of the command in hand; POP3: unused */
	char user[ARG_MAX];  /* POP3: what USER said */
	struct str out;      /* answers that were not sent yet */
	char in[INPUT_MAX];
};

/* The command in hand: what was not looked at yet. */
struct words {
	const char *p, *end;
};

static int ep;

static void complain(struct client *c, const char *what, const char *p, size_t len)
{
	char text[200], clean[200];

	snprintf(text, sizeof(text), "%.*s", (int)MIN(len, sizeof(text) - 1), p);
	log_error("%s: %s: \"%s\"", c->pop3 ? "POP3" : "IMAP", what, log_clean(clean, sizeof(clean), text));
	c->closing = true;
}

static void answer(struct client *c, const char *imap, const char *pop3)
{
	if (c->pop3)
		str_adds(&c->out, pop3);
	else
		str_addf(&c->out, "%s %s", c->tag, imap);
	str_adds(&c->out, "\r\n");
}

static bool next_is(struct words *w, char ch)
{
	if (w->p == w->end || *w->p != ch)
		return false;
	w->p++;
	return true;
}

static bool take_atom(struct words *w, char dst[ARG_MAX])
{
	size_t n = 0;

	while (w->p < w->end && *w->p != ' ' && n < ARG_MAX - 1)
		dst[n++] = *w->p++;
	dst[n] = '\0';
	return n != 0;
}

static bool take_quoted(struct words *w, char dst[ARG_MAX])
{
	size_t n = 0;

	for (w->p++; w->p < w->end && *w->p != '"' && n < ARG_MAX - 1; w->p++) {
		if (*w->p == '\\' && ++w->p == w->end)
			return false;
		dst[n++] = *w->p;
	}
	dst[n] = '\0';
	return next_is(w, '"');
}

static bool take_literal(struct words *w, char dst[ARG_MAX])
{
	const char *digits = ++w->p;
	uint64_t n;

	while (w->p < w->end && isdigit((unsigned char)*w->p))
		w->p++;
	if (!num_parse(digits, (size_t)(w->p - digits), ARG_MAX - 1, &n))
		return false;
	next_is(w, '+');
	if (!next_is(w, '}') || !next_is(w, '\r') || !next_is(w, '\n') || (uint64_t)(w->end - w->p) < n)
		return false;
	memcpy(dst, w->p, n);
	dst[n] = '\0';
	w->p += n;
	return true;
}

/* IMAP: an astring. */
static bool take_string(struct words *w, char dst[ARG_MAX])
{
	if (w->p < w->end && *w->p == '"')
		return take_quoted(w, dst);
	if (w->p < w->end && *w->p == '{')
		return take_literal(w, dst);
	return take_atom(w, dst);
}

static void log_in(struct client *c, const char *name, const char *password)
{
	if (!wire_account_ok(name, strlen(name), password, strlen(password))) {
		complain(c, "no such account, or another password", name, strlen(name));
		return;
	}
	c->logged_in = true;
	answer(c, "OK [CAPABILITY " CAPABILITIES "] Logged in", "+OK Logged in");
}

/* SASL PLAIN: NUL name NUL password, in base64. */
static void log_in_plain(struct client *c, const char *p, size_t len)
{
	struct str raw = STR_INIT;
	const char *name, *password;

	c->in_sasl = false;
	if (b64_decode(&raw, p, len) && raw.len > 2 && (name = memchr(raw.data, '\0', raw.len - 1)) != NULL &&
	    (password = memchr(name + 1, '\0', raw.len - (size_t)(name + 1 - raw.data))) != NULL)
		log_in(c, name + 1, password + 1);
	else
		complain(c, "malformed SASL response", p, len);
	str_fini(&raw);
}

static bool begin_sasl(struct client *c, struct words *w)
{
	char word[ARG_MAX];

	if (!next_is(w, ' ') || !take_atom(w, word) || strcasecmp(word, "PLAIN") != 0)
		return false;
	if (next_is(w, ' ')) {
		log_in_plain(c, w->p, (size_t)(w->end - w->p));
	} else {
		str_adds(&c->out, "+ \r\n");
		c->in_sasl = true;
	}
	return true;
}

static void begin_body(struct client *c, uint64_t size)
{
	c->body = size;
	c->sent = 0;
	if (c->pop3)
		str_addf(&c->out, "+OK %llu octets\r\n", (unsigned long long)size);
	else
		str_addf(&c->out, "* 1 FETCH (BODY[] {%llu}\r\n", (unsigned long long)size);
}

/* "N BODY.PEEK[]" of IMAP, "N" of POP3. */
static bool cmd_body(struct client *c, struct words *w)
{
	char word[ARG_MAX];
	uint64_t size;

	if (!c->logged_in || !next_is(w, ' ') || !take_atom(w, word) || !num_parse_str(word, 1 << 30, &size) ||
	    size == 0)
		return false;
	if (!c->pop3 && (!next_is(w, ' ') || !take_atom(w, word) || strcasecmp(word, "BODY.PEEK[]") != 0))
		return false;
	begin_body(c, size);
	return true;
}

static bool cmd_login(struct client *c, struct words *w)
{
	char name[ARG_MAX], password[ARG_MAX];

	if (!next_is(w, ' ') || !take_string(w, name) || !next_is(w, ' ') || !take_string(w, password))
		return false;
	log_in(c, name, password);
	return w->p == w->end;
}

static bool cmd_capability(struct client *c, UNUSED struct words *w)
{
	if (c->pop3) {
		str_adds(&c->out, "+OK\r\nUSER\r\nSASL PLAIN\r\nUIDL\r\nTOP\r\n.\r\n");
	} else {
		str_adds(&c->out, "* CAPABILITY " CAPABILITIES "\r\n");
		answer(c, "OK Done", "");
	}
	return true;
}

/* The pairs are looked at by nobody, but they must be a whole list of strings. */
static bool cmd_id(struct client *c, struct words *w)
{
	char word[ARG_MAX];

	if (!next_is(w, ' '))
		return false;
	if (w->end - w->p == 3 && strncasecmp(w->p, "NIL", 3) == 0) {
		w->p += 3;
	} else {
		if (!next_is(w, '('))
			return false;
		while (!next_is(w, ')')) {
			if (w->p == w->end)
				return false;
			if (*w->p == '"' ? !take_quoted(w, word) : strncmp(w->p, "NIL", 3) != 0)
				return false;
			if (*w->p == 'N')
				w->p += 3;
			next_is(w, ' ');
		}
	}
	str_adds(&c->out, "* ID NIL\r\n");
	answer(c, "OK Done", "");
	return true;
}

static bool cmd_noop(struct client *c, UNUSED struct words *w)
{
	answer(c, "OK Done", "+OK");
	return true;
}

static bool cmd_select(struct client *c, struct words *w)
{
	char word[ARG_MAX];

	if (!c->logged_in || !next_is(w, ' ') || !take_string(w, word) || strcasecmp(word, "INBOX") != 0)
		return false;
	str_adds(&c->out, "* FLAGS ()\r\n* 1 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 1]\r\n");
	answer(c, "OK Done", "");
	return true;
}

/* imapproxy leaves a folder by opening one that cannot be there. */
static bool cmd_examine(struct client *c, struct words *w)
{
	char word[ARG_MAX];

	if (!c->logged_in || !next_is(w, ' ') || !take_string(w, word) || word[0] != '\0')
		return false;
	answer(c, "NO There is no such folder", "");
	return true;
}

static bool cmd_quit(struct client *c, UNUSED struct words *w)
{
	if (!c->pop3)
		str_adds(&c->out, "* BYE Bye\r\n");
	answer(c, "OK Logged out", "+OK Bye");
	c->closing = true;
	return true;
}

static bool cmd_user(struct client *c, struct words *w)
{
	if (c->logged_in || !next_is(w, ' ') || !take_atom(w, c->user))
		return false;
	answer(c, "", "+OK");
	return w->p == w->end;
}

static bool cmd_pass(struct client *c, struct words *w)
{
	char password[ARG_MAX];

	if (c->user[0] == '\0' || !next_is(w, ' ') || !take_atom(w, password))
		return false;
	log_in(c, c->user, password);
	return w->p == w->end;
}

/* KEY=VALUE words; they were checked where they are made. */
static bool cmd_xclient(struct client *c, struct words *w)
{
	char word[ARG_MAX];

	while (next_is(w, ' '))
		if (!take_atom(w, word) || strchr(word, '=') == NULL)
			return false;
	answer(c, "", "+OK");
	return w->p == w->end;
}

struct command {
	const char *name;
	bool (*run)(struct client *c, struct words *w); /* false: not as it should be */
};

static const struct command imap_commands[] = {
	{ "LOGIN", cmd_login },
	{ "LOGOUT", cmd_quit },
	{ "NOOP", cmd_noop },
	{ "FETCH", cmd_body },
	{ "SELECT", cmd_select },
	{ "EXAMINE", cmd_examine },
	{ "ID", cmd_id },
	{ "CAPABILITY", cmd_capability },
	{ "AUTHENTICATE", begin_sasl },
	{ NULL, NULL },
};

static const struct command pop3_commands[] = {
	{ "USER", cmd_user },
	{ "PASS", cmd_pass },
	{ "QUIT", cmd_quit },
	{ "NOOP", cmd_noop },
	{ "RETR", cmd_body },
	{ "XCLIENT", cmd_xclient },
	{ "CAPA", cmd_capability },
	{ "AUTH", begin_sasl },
	{ NULL, NULL },
};

/* P: a whole command, its literals included, without its line end. */
static void run(struct client *c, const char *p, size_t len)
{
	struct words w = { p, p + len };
	const struct command *k = c->pop3 ? pop3_commands : imap_commands;
	char tag[ARG_MAX], name[ARG_MAX];

	if (c->in_sasl) {
		log_in_plain(c, p, len);
		return;
	}
	if (!c->pop3 && (!take_atom(&w, tag) || strlen(tag) >= sizeof(c->tag) || !next_is(&w, ' '))) {
		complain(c, "no command", p, len);
		return;
	}
	if (!c->pop3)
		str_copy(c->tag, sizeof(c->tag), tag);
	take_atom(&w, name);
	while (k->name != NULL && strcasecmp(k->name, name) != 0)
		k++;
	if (k->name == NULL || !k->run(c, &w))
		complain(c, "unexpected command", p, len);
}

/* The literal that the LEN bytes at LINE announce at their end: its size, and whether its sender waits for us. */
static bool announces_literal(const char *line, size_t len, uint64_t *size, bool *waits)
{
	const char *open;

	if (len < 3 || line[len - 1] != '}' || (open = memrchr(line, '{', len)) == NULL)
		return false;
	*waits = line[len - 2] != '+';
	return num_parse(open + 1, (size_t)(line + len - open) - (*waits ? 2 : 3), ARG_MAX - 1, size);
}

/* The length of the first whole command with its line end, 0 if there is none yet. */
static size_t whole_command(struct client *c)
{
	for (;;) {
		const char *lf = c->len > c->scan ? memchr(c->in + c->scan, '\n', c->len - c->scan) : NULL;
		uint64_t size;
		bool waits;
		size_t end;

		if (lf == NULL)
			return 0;
		end = (size_t)(lf - c->in) + 1;
		if (end < 2 || c->in[end - 2] != '\r') {
			complain(c, "a line that does not end in CR LF", c->in, end);
			return 0;
		}
		if (c->pop3 || !announces_literal(c->in + c->scan, end - 2 - c->scan, &size, &waits)) {
			c->scan = 0;
			return end;
		}
		if (waits)
			str_adds(&c->out, "+ OK\r\n");
		c->scan = end + size;
	}
}

static void watch_for(struct client *c, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e) == -1)
		die_errno("epoll_ctl");
}

/* True when all answers are out, false if the socket is full. */
static bool flush(struct client *c)
{
	while (c->out.len != 0) {
		ssize_t n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);

		if (n == -1 && errno == EAGAIN)
			return false;
		if (n == -1) {
			if (errno != EPIPE && errno != ECONNRESET)
				complain(c, "could not send", c->out.data, c->out.len);
			str_clear(&c->out);
			return true;
		}
		str_drop(&c->out, (size_t)n);
	}
	return true;
}

/* True when the body is out, but for its end in c->out; false if the socket is full. */
static bool send_body(struct client *c)
{
	while (c->sent < c->body) {
		ssize_t n = send(c->fd, wire_body(c->sent), MIN(c->body - c->sent, WIRE_CHUNK), MSG_NOSIGNAL);

		if (n == -1 && errno == EAGAIN)
			return false;
		if (n == -1) {
			complain(c, "could not send a body", "", 0);
			return true;
		}
		c->sent += (uint64_t)n;
	}
	c->body = 0;
	if (!c->pop3)
		str_adds(&c->out, ")\r\n");
	answer(c, "OK Done", "\r\n.");
	return true;
}

/* Sends all there is for the client. False if the socket is full: then that is waited for, and no command is looked
 * at. */
static bool send_all(struct client *c)
{
	if (flush(c) && (c->body == 0 || (send_body(c) && (c->closing || flush(c)))))
		return true;
	watch_for(c, EPOLLOUT);
	return false;
}

static void drop(struct client *c, size_t n)
{
	c->len -= n;
	memmove(c->in, c->in + n, c->len);
}

static void run_all(struct client *c)
{
	size_t n;

	while (!c->closing && (n = whole_command(c)) != 0) {
		run(c, c->in, n - 2);
		drop(c, n);
		if (c->body != 0 && !send_all(c))
			return;
	}
	send_all(c);
}

static void on_readable(struct client *c)
{
	ssize_t n = recv(c->fd, c->in + c->len, sizeof(c->in) - c->len, 0);

	if (n <= 0) {
		if (n == -1 && errno == EAGAIN)
			return;
		if (c->len != 0)
			complain(c, "end in the middle of a command", c->in, c->len);
		c->closing = true;
		return;
	}
	c->len += (size_t)n;
	run_all(c);
	if (!c->closing && c->len == sizeof(c->in) && c->body == 0 && c->out.len == 0)
		complain(c, "too long", c->in, c->len);
}

static void on_writable(struct client *c)
{
	if (!send_all(c))
		return;
	watch_for(c, EPOLLIN);
	run_all(c);
}

static void on_accept(int listener, bool pop3)
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
		struct client *c = mem_alloc(sizeof(*c));

		c->fd = fd;
		c->pop3 = pop3;
		str_adds(&c->out, pop3 ? "+OK [XCLIENT] ready\r\n" : "* OK [CAPABILITY " CAPABILITIES "] ready\r\n");
		wire_watch(ep, fd, EPOLLIN, c);
		send_all(c);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event e[256];
	struct net_addr imap, pop3;
	int fd[2], n;

	log_set_program("backend");
	if (argc != 3)
		die_fatal("usage: backend IMAP-ADDRESS:PORT POP3-ADDRESS:PORT");
	imap = wire_addr(argv[1]);
	pop3 = wire_addr(argv[2]);
	wire_init();
	wire_raise_files();
	ep = wire_epoll();
	fd[0] = wire_listen(&imap);
	fd[1] = wire_listen(&pop3);
	wire_watch(ep, fd[0], EPOLLIN, &fd[0]);
	wire_watch(ep, fd[1], EPOLLIN, &fd[1]);
	for (;;) {
		n = epoll_wait(ep, e, (int)ARRAY_LEN(e), -1);
		for (int i = 0; i < n; i++) {
			struct client *c = e[i].data.ptr;

			if (e[i].data.ptr == &fd[0] || e[i].data.ptr == &fd[1]) {
				on_accept(*(int *)e[i].data.ptr, e[i].data.ptr == &fd[1]);
				continue;
			}
			if (c->body != 0 || c->out.len != 0)
				on_writable(c);
			else
				on_readable(c);
			if (c->closing) {
				close(c->fd);
				str_fini(&c->out);
				mem_free(&c);
			}
		}
	}
}
