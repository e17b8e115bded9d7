/* The load generator: many clients in one process, each of which does one thing again and again.
 *   bench/load MODE PROTOCOL ADDRESS:PORT [KEY=VALUE]...
 *     MODE      login   log in, log out, again
 *               local   log in, SELECT INBOX (POP3: STAT), log out, again: at a server with mail of its own
 *               ping    logged in once, NOOP after NOOP
 *               bulk    logged in once, body after body of size=BYTES
 *               idle    logged in once, then nothing
 *     PROTOCOL  imap, pop3
 *     clients=N at a time (1); seconds=S (1); warm=S of the same before (0.3); size=BYTES (1048576);
 *     users=N accounts (10,000); stride=N from one account to the next (1);
 *     opening=N clients that stay log in at a time (32)
 *     tls=1 begins with TLS; suites=NAME:... those of TLS 1.3 that are offered (OpenSSL's choice)
 *     resume=1 each client shows the ticket of its connection before; all of those that are measured must be taken
 * It says "ready" when all clients are logged in and warm, waits for a line on stdin, measures, prints one line of
 * JSON, waits for another line (with idle: until then nothing is done), and ends. Every byte that comes is checked:
 * the first wrong one ends the run with a message and status 1. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/client_tls.h"
#include "bench/wire.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"

enum mode { MODE_LOGIN, MODE_LOCAL, MODE_PING, MODE_BULK, MODE_IDLE };
static const char *const mode_names[] = { "login", "local", "ping", "bulk", "idle" };

/* What a client waits for. */
/* clang-format off */
#define STEPS(X) \
	X(HANDSHAKE, "TLS handshake") X(GREETING, "greeting") X(USER, "USER") X(PASSWORD, "login") X(SELECT, "SELECT") X(NOOP, "NOOP") X(BODY, "body") \
	X(TAIL, "end of body") X(IDLE, "nothing") X(LOGOUT, "logout") X(END, "end")
/* clang-format on */
enum step {
#define X(name, text) STEP_##name,
	STEPS(X)
#undef X
};
static const char *const step_names[] = {
#define X(name, text) text,
	STEPS(X)
#undef X
};

enum { LINE_MAX_HERE = 1024 };

struct client {
	int fd;              /* -1: not connected */
	SSL *ssl;            /* NULL: plain */
	SSL_SESSION *ticket; /* for the next connection; NULL: none */
	enum step step;
	unsigned account;
	double begun;       /* when what is timed began */
	uint64_t body_left; /* bytes of the body that are still to come */
	bool waits_to_send; /* its first message of TLS */
	bool saw_exists;    /* SELECT */
	bool saw_bye;       /* LOGOUT */
	size_t len;
	char line[LINE_MAX_HERE];
};

static struct {
	enum mode mode;
	bool pop3;
	struct net_addr to;
	uint64_t clients, opening, size, users, stride, tls, resume;
	const char *suites;
	double seconds, warm;
} set = {
	.clients = 1,
	.opening = 32,
	.size = 1 << 20,
	.users = WIRE_ACCOUNTS,
	.stride = 1,
	.seconds = 1,
	.warm = 0.3,
};

static int ep;
static struct client *clients;
static unsigned busy;     /* clients that are neither idle nor at their end */
static unsigned to_start; /* idle, ping, bulk: clients that were not connected yet */
static bool again;        /* who finishes begins anew */
static bool measuring;
static char tls_kind[128]; /* of the first handshake: version, suite, key exchange, kind of signature */
static char buffer[WIRE_CHUNK];

/* --- what is counted --- */

static uint64_t ops, bytes;
static float *times; /* seconds of each operation */
static size_t times_len, times_cap;

static void count(double begun)
{
	ops++;
	if (times_len == times_cap) {
		times_cap = MAX(times_cap * 2, 65536);
		times = mem_grow(times, times_cap * sizeof(*times));
	}
	times[times_len++] = (float)(wire_now() - begun);
}

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

static void report(double seconds)
{
	double p50 = 0, p99 = 0;

	if (times_len != 0) {
		qsort(times, times_len, sizeof(*times), compare);
		p50 = (double)times[times_len / 2];
		p99 = (double)times[MIN(times_len - 1, times_len * 99 / 100)];
	}
	printf("{\"mode\": \"%s\", \"protocol\": \"%s\", \"clients\": %llu, \"ops\": %llu, \"bytes\": %llu, "
	       "\"seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"tls\": \"%s\"}\n",
	    mode_names[set.mode], set.pop3 ? "pop3" : "imap", (unsigned long long)set.clients, (unsigned long long)ops,
	    (unsigned long long)bytes, seconds, p50 * 1e6, p99 * 1e6, tls_kind);
	fflush(stdout);
}

/* --- one client --- */

static void wrong(const struct client *c, const char *what, const char *p, size_t len)
{
	char text[200], clean[200];

	snprintf(text, sizeof(text), "%.*s", (int)MIN(len, sizeof(text) - 1), p);
	die_fatal("while waiting for %s: %s \"%s\"", step_names[c->step], what, log_clean(clean, sizeof(clean), text));
}

static void say(struct client *c, enum step next, const char *text)
{
	size_t len = strlen(text);

	c->step = next;
	if (c->ssl != NULL)
		client_tls_write(c->ssl, text, len);
	else if (send(c->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
		die_errno("cannot send \"%s\"", text);
}

static void note_tls(struct client *c)
{
	int kind = NID_undef;

	if (set.resume && measuring && SSL_session_reused(c->ssl) != 1)
		die_fatal("a ticket was not taken");
	if (tls_kind[0] != '\0')
		return;
	SSL_get_peer_signature_type_nid(c->ssl, &kind);
	snprintf(tls_kind, sizeof(tls_kind), "%s, %s, %s, %s", SSL_get_version(c->ssl), SSL_get_cipher_name(c->ssl),
	    OBJ_nid2sn(SSL_get_negotiated_group(c->ssl)),
	    SSL_session_reused(c->ssl) == 1 ? "resumed" : OBJ_nid2sn(kind));
}

static void shake(struct client *c)
{
	int wanted = client_tls_shake(c->ssl);
	struct epoll_event e = { .events = wanted == EPOLLOUT ? EPOLLOUT : EPOLLIN, .data.ptr = c };

	if (c->waits_to_send != (wanted == EPOLLOUT) && epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e) == -1)
		die_errno("epoll_ctl");
	c->waits_to_send = wanted == EPOLLOUT;
	if (wanted != 0)
		return;
	note_tls(c);
	c->step = STEP_GREETING;
}

static void start(struct client *c)
{
	static uint64_t started;

	c->account = (unsigned)(started++ * set.stride % set.users);
	c->len = 0;
	c->saw_exists = c->saw_bye = false;
	c->waits_to_send = false;
	c->step = set.tls != 0 ? STEP_HANDSHAKE : STEP_GREETING;
	c->begun = wire_now();
	c->fd = net_connect(&set.to);
	if (c->fd == -1)
		die_errno("cannot connect");
	wire_watch(ep, c->fd, EPOLLIN, c);
	busy++;
	if (set.tls == 0)
		return;
	if (set.resume == 0) {
		SSL_SESSION_free(c->ticket);
		c->ticket = NULL;
	}
	c->ssl = client_tls_new(c->fd, &c->ticket);
	shake(c);
}

static void finish(struct client *c)
{
	client_tls_end(&c->ssl);
	close(c->fd);
	c->fd = -1;
	busy--;
	if (again)
		start(c);
}

static void log_in(struct client *c)
{
	char text[200];

	if (set.pop3) {
		snprintf(text, sizeof(text), "USER " WIRE_USER "\r\n", c->account);
		say(c, STEP_USER, text);
	} else {
		snprintf(text, sizeof(text), "a LOGIN " WIRE_USER " " WIRE_PASSWORD "\r\n", c->account, c->account);
		say(c, STEP_PASSWORD, text);
	}
}

static void send_password(struct client *c)
{
	char text[200];

	snprintf(text, sizeof(text), "PASS " WIRE_PASSWORD "\r\n", c->account);
	say(c, STEP_PASSWORD, text);
}

/* A client that stays waits for its next command, or begins it. */
static void next_command(struct client *c)
{
	char text[64];

	if (!again) {
		c->step = STEP_IDLE;
		busy--;
		return;
	}
	c->begun = wire_now();
	if (set.mode == MODE_PING) {
		say(c, STEP_NOOP, set.pop3 ? "NOOP\r\n" : "a NOOP\r\n");
		return;
	}
	snprintf(text, sizeof(text), set.pop3 ? "RETR %llu\r\n" : "a FETCH %llu BODY.PEEK[]\r\n",
	    (unsigned long long)set.size);
	say(c, STEP_BODY, text);
}

static void start_more(void)
{
	static struct client *next;

	if (next == NULL)
		next = clients;
	for (; to_start != 0 && busy < set.opening; to_start--)
		start(next++);
}

static void logged_in(struct client *c)
{
	switch (set.mode) {
	case MODE_LOGIN:
		count(c->begun);
		say(c, STEP_LOGOUT, set.pop3 ? "QUIT\r\n" : "a LOGOUT\r\n");
		break;
	case MODE_LOCAL:
		say(c, STEP_SELECT, set.pop3 ? "STAT\r\n" : "a SELECT INBOX\r\n");
		break;
	default:
		next_command(c);
		start_more();
	}
}

/* The line is the answer that ends the command in hand: true; untagged: false; anything else ends the run. */
static bool is_answer(struct client *c)
{
	if (strncmp(c->line, set.pop3 ? "+OK" : "a OK", set.pop3 ? 3 : 4) == 0)
		return true;
	if (set.pop3 || strncmp(c->line, "* ", 2) != 0)
		wrong(c, "unexpected answer", c->line, c->len);
	return false;
}

static void begin_body(struct client *c)
{
	char want[64];

	snprintf(want, sizeof(want), "* 1 FETCH (BODY[] {%llu}\r\n", (unsigned long long)set.size);
	if (set.pop3 ? !is_answer(c) : strcmp(c->line, want) != 0)
		wrong(c, "not what goes before a body:", c->line, c->len);
	c->body_left = set.size;
}

/* Behind a body: IMAP ")" and the answer; POP3 an empty line and a dot. */
static bool ends_body(struct client *c)
{
	if (strcmp(c->line, set.pop3 ? "\r\n" : ")\r\n") == 0)
		return false;
	if (set.pop3 ? strcmp(c->line, ".\r\n") != 0 : !is_answer(c))
		wrong(c, "not what comes behind a body:", c->line, c->len);
	return true;
}

static void on_line(struct client *c)
{
	switch (c->step) {
	case STEP_GREETING:
		if (strncmp(c->line, set.pop3 ? "+OK" : "* OK", set.pop3 ? 3 : 4) != 0)
			wrong(c, "no greeting:", c->line, c->len);
		log_in(c);
		break;
	case STEP_USER:
		is_answer(c);
		send_password(c);
		break;
	case STEP_PASSWORD:
		if (is_answer(c))
			logged_in(c);
		break;
	case STEP_SELECT:
		if (!is_answer(c)) {
			c->saw_exists = c->saw_exists || strstr(c->line, " EXISTS\r\n") != NULL;
			break;
		}
		if (!set.pop3 && !c->saw_exists)
			wrong(c, "no EXISTS before", c->line, c->len);
		say(c, STEP_LOGOUT, set.pop3 ? "QUIT\r\n" : "a LOGOUT\r\n");
		break;
	case STEP_NOOP:
		if (is_answer(c)) {
			count(c->begun);
			next_command(c);
		}
		break;
	case STEP_BODY:
		begin_body(c);
		break;
	case STEP_TAIL:
		if (ends_body(c)) {
			count(c->begun);
			bytes += set.size;
			next_command(c);
		}
		break;
	case STEP_LOGOUT:
		if (!is_answer(c)) {
			c->saw_bye = c->saw_bye || strncmp(c->line, "* BYE", 5) == 0;
			break;
		}
		if (!set.pop3 && !c->saw_bye)
			wrong(c, "no BYE before", c->line, c->len);
		c->step = STEP_END;
		break;
	case STEP_HANDSHAKE:
	case STEP_IDLE:
	case STEP_END:
		wrong(c, "too much:", c->line, c->len);
	}
}

/* The bytes at P that belong to the body: how many. */
static size_t take_body(struct client *c, const char *p, size_t len)
{
	size_t n = (size_t)MIN(c->body_left, len);

	if (memcmp(p, wire_body(set.size - c->body_left), n) != 0)
		wrong(c, "bytes that were not sent", p, n);
	c->body_left -= n;
	if (c->body_left == 0)
		c->step = STEP_TAIL;
	return n;
}

static size_t take_line(struct client *c, const char *p, size_t len)
{
	const char *lf = memchr(p, '\n', len);
	size_t n = lf != NULL ? (size_t)(lf - p) + 1 : len;

	if (c->len + n >= sizeof(c->line))
		wrong(c, "a line without end:", p, n);
	memcpy(c->line + c->len, p, n);
	c->len += n;
	if (lf == NULL)
		return n;
	c->line[c->len] = '\0';
	if (memchr(c->line, '\0', c->len) != NULL || c->len < 2 || c->line[c->len - 2] != '\r')
		wrong(c, "not a line:", c->line, c->len);
	on_line(c);
	c->len = 0;
	return n;
}

/* One read: false if there is nothing more now. */
static bool take_some(struct client *c)
{
	ssize_t n =
	    c->ssl != NULL ? client_tls_read(c->ssl, buffer, sizeof(buffer)) : recv(c->fd, buffer, sizeof(buffer), 0);
	const char *p = buffer;

	if (n == -1 && errno == EAGAIN)
		return false;
	if (n == -1)
		die_errno("while waiting for %s", step_names[c->step]);
	if (n == 0) {
		if (c->step != STEP_END || c->len != 0)
			wrong(c, "the connection ended", c->line, c->len);
		if (set.mode == MODE_LOCAL)
			count(c->begun);
		finish(c);
		return false;
	}
	while (n > 0) {
		size_t used = c->body_left != 0 ? take_body(c, p, (size_t)n) : take_line(c, p, (size_t)n);

		p += used;
		n -= (ssize_t)used;
	}
	return c->ssl != NULL;
}

static void on_ready(struct client *c)
{
	if (c->step == STEP_HANDSHAKE)
		shake(c);
	if (c->step != STEP_HANDSHAKE)
		while (take_some(c))
			;
}

/* --- the run --- */

/* Until END if clients go on by themselves, and then until all of them are done. */
static void turn(double end)
{
	struct epoll_event e[256];
	int n;

	while (busy != 0) {
		n = epoll_wait(ep, e, (int)ARRAY_LEN(e), 10000);
		if (n == 0)
			die_fatal("nothing happened for 10 seconds; %u clients wait, one of them for %s", busy,
			    step_names[clients[0].step]);
		for (int i = 0; i < n; i++)
			on_ready(e[i].data.ptr);
		if (again && wire_now() >= end)
			again = false;
	}
}

static bool clients_stay(void)
{
	return set.mode != MODE_LOGIN && set.mode != MODE_LOCAL;
}

static void go_for(double seconds)
{
	double end = wire_now() + seconds;

	if (seconds <= 0 || set.mode == MODE_IDLE)
		return;
	again = true;
	for (uint64_t i = 0; i < set.clients; i++) {
		if (!clients_stay()) {
			start(&clients[i]);
		} else {
			busy++;
			next_command(&clients[i]);
		}
	}
	turn(end);
}

static void wait_for_line(void)
{
	char line[16];

	if (fgets(line, sizeof(line), stdin) == NULL)
		exit(1); /* who started us is gone */
}

/* Those that stayed take their leave, which shows that they are still there. */
static void log_out_all(void)
{
	again = false;
	for (uint64_t i = 0; i < set.clients; i++) {
		if (clients[i].fd == -1)
			continue;
		busy++;
		say(&clients[i], STEP_LOGOUT, set.pop3 ? "QUIT\r\n" : "a LOGOUT\r\n");
	}
	turn(0);
}

static double parse_seconds(const char *text)
{
	char *end;
	double d = strtod(text, &end);

	if (end == text || *end != '\0' || d < 0 || d > 3600)
		die_fatal("\"%s\" is no number of seconds", text);
	return d;
}

static void parse_option(const char *arg)
{
	const struct {
		const char *name;
		uint64_t most, *to;
	} numbers[] = {
		{ "clients=", 100000, &set.clients },
		{ "opening=", 1000, &set.opening },
		{ "size=", 1 << 30, &set.size },
		{ "users=", WIRE_ACCOUNTS_MAX, &set.users },
		{ "stride=", 1000000, &set.stride },
		{ "tls=", 1, &set.tls },
		{ "resume=", 1, &set.resume },
	};

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		if (strncmp(arg, numbers[i].name, strlen(numbers[i].name)) == 0 &&
		    num_parse_str(arg + strlen(numbers[i].name), numbers[i].most, numbers[i].to) && *numbers[i].to != 0)
			return;
	if (strncmp(arg, "seconds=", 8) == 0)
		set.seconds = parse_seconds(arg + 8);
	else if (strncmp(arg, "suites=", 7) == 0)
		set.suites = arg + 7;
	else if (strncmp(arg, "warm=", 5) == 0)
		set.warm = parse_seconds(arg + 5);
	else
		die_fatal("\"%s\" is no option", arg);
}

static void parse(int argc, char **argv)
{
	size_t m = 0;

	if (argc < 4)
		die_fatal("usage: load MODE imap|pop3 ADDRESS:PORT [KEY=VALUE]...");
	while (m < ARRAY_LEN(mode_names) && strcmp(argv[1], mode_names[m]) != 0)
		m++;
	set.pop3 = strcmp(argv[2], "pop3") == 0;
	if (m == ARRAY_LEN(mode_names) || (!set.pop3 && strcmp(argv[2], "imap") != 0))
		die_fatal("no such mode or protocol: %s %s", argv[1], argv[2]);
	set.mode = (enum mode)m;
	set.to = wire_addr(argv[3]);
	for (int i = 4; i < argc; i++)
		parse_option(argv[i]);
}

int main(int argc, char **argv)
{
	double begun;

	log_set_program("load");
	parse(argc, argv);
	wire_init();
	wire_raise_files();
	client_tls_init(set.suites);
	ep = wire_epoll();
	clients = mem_array(set.clients, sizeof(*clients));
	for (uint64_t i = 0; i < set.clients; i++)
		clients[i].fd = -1;
	if (clients_stay()) {
		to_start = (unsigned)set.clients;
		start_more();
		turn(0);
	}
	go_for(set.warm);
	ops = bytes = times_len = 0;
	puts("ready");
	fflush(stdout);
	wait_for_line();
	measuring = true;
	if (!clients_stay())
		tls_kind[0] = '\0';
	begun = wire_now();
	go_for(set.seconds);
	report(wire_now() - begun);
	wait_for_line();
	log_out_all();
	return 0;
}
