/* STARTTLS and STLS on a real loop, with a real client of TLS: what was said before TLS does not count under it, and
 * what comes with the command ends the connection. authd is the test's. */
#include "tests/unit/worker_rig.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdarg.h>

#include "imapd/imap_login.h"
#include "lib/tls_ctx.h"
#include "pop3d/pop3_login.h"
#include "tests/unit/tls_test.h"

static const struct login_dialect *const dialects[PROTOCOL_COUNT] = {
	[PROTOCOL_IMAP] = &imap_login_dialect,
	[PROTOCOL_POP3] = &pop3_login_dialect,
};

/* What the tests of both protocols say. */
static const struct words {
	const char *begin, *begun, *unknown, *noop, *nooped, *capability, *login, *no_certificate;
} words[PROTOCOL_COUNT] = {
	[PROTOCOL_IMAP] = { "a STARTTLS\r\n", "a OK Begin TLS negotiation now.\r\n", "a BAD TLS is used already.\r\n",
	    "b NOOP\r\n", "b OK NOOP completed\r\n", "c CAPABILITY\r\n", "d LOGIN u p\r\n",
	    "a NO [UNAVAILABLE] TLS is not available now, please try again later.\r\n" },
	[PROTOCOL_POP3] = { "STLS\r\n", "+OK Begin TLS negotiation now.\r\n", "-ERR TLS is used already.\r\n",
	    "UTF8\r\n", "+OK UTF8 enabled\r\n", "CAPA\r\n", "USER u\r\nPASS p\r\n",
	    "-ERR [SYS/TEMP] TLS is not available now, please try again later.\r\n" },
};

/* --- the log --- */

static char last_line[LOG_LINE_MAX]; /* about a client */
static unsigned lines;

void __wrap_log_as(const char *program, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);

void __wrap_log_as(const char *program UNUSED, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level == LOG_LEVEL_DEBUG)
		return;
	va_start(ap, fmt);
	vsnprintf(last_line, sizeof(last_line), fmt, ap);
	va_end(ap);
	lines++;
}

/* --- certificates --- */

static SSL_CTX *server_ctx, *client_ctx;
static bool has_certificate;

bool __wrap_certificates_by_address(const struct certificates *c, enum protocol p);
SSL_CTX *__wrap_certificates_context(struct certificates *c, enum protocol p, bool starttls,
    const struct net_addr *here);

bool __wrap_certificates_by_address(const struct certificates *c UNUSED, enum protocol p UNUSED)
{
	return true;
}

SSL_CTX *__wrap_certificates_context(struct certificates *c UNUSED, enum protocol p, bool starttls,
    const struct net_addr *here)
{
	CU_ASSERT(p < PROTOCOL_COUNT && starttls);
	CU_ASSERT_PTR_NULL(here); /* a socket pair has no address */
	return has_certificate ? server_ctx : NULL;
}

static void make_contexts(void)
{
	server_ctx = tls_test_server("mail.example");
	client_ctx = tls_ctx_new(false);
}

static void free_contexts(void)
{
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
}

/* --- the client --- */

static int client_end;
static SSL *ssl; /* NULL: the client speaks no TLS yet */

static void connect_from(enum protocol p, const char *ip, bool tls_in_front)
{
	struct net_addr client;
	int fd[2];

	has_certificate = true;
	last_line[0] = '\0';
	rig_new(dialects);
	w->ctx.set->has_tls[p] = true;
	unit_set(&w->ctx.set->imapd_ssl_TLS_CERTFILE, "/cert");
	unit_set(&w->ctx.set->pop3d_ssl_TLS_CERTFILE, "/cert");
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	CU_ASSERT_FATAL(net_addr_parse(&client, ip, 12345));
	client_end = fd[1];
	login_start(&w->env, dialects[p], fd[0],
	    &(struct login_client){ .addr = client, .port = 143, .tls = tls_in_front });
	turns();
}

static void leave(void)
{
	SSL_free(ssl);
	ssl = NULL;
	rig_stop();
	close(client_end);
	turns();
	rig_free();
}

/* Bytes in one packet; the worker has not run yet. */
static void put(const void *p, size_t len)
{
	if (ssl != NULL) {
		CU_ASSERT_EQUAL(SSL_write(ssl, p, (int)len), (int)len);
	} else {
		CU_ASSERT(send(client_end, p, len, MSG_NOSIGNAL) == (ssize_t)len || errno == EPIPE);
	}
}

static void say(const char *text)
{
	put(text, strlen(text));
	turns();
}

/* All that the client was told since; under TLS nothing else is. */
static const char *told(void)
{
	static char buf[8192];
	size_t len = 0;
	ssize_t n;

	turns();
	do {
		n = ssl != NULL ? SSL_read(ssl, buf + len, (int)(sizeof(buf) - 1 - len)) :
		                  recv(client_end, buf + len, sizeof(buf) - 1 - len, MSG_DONTWAIT);
		len += (size_t)MAX(n, 0);
	} while (n > 0);
	buf[len] = '\0';
	ERR_clear_error();
	return buf;
}

/* The client's side of a handshake: false if it fails. */
static bool shake(void)
{
	int result = -1;

	ssl = SSL_new(client_ctx);
	SSL_set_fd(ssl, client_end);
	SSL_set_connect_state(ssl);
	for (int i = 0; i < 100 && result != 1; i++) {
		result = SSL_do_handshake(ssl);
		turns();
	}
	ERR_clear_error();
	return result == 1;
}

static void begin_tls(enum protocol p)
{
	told();
	say(words[p].begin);
	CU_ASSERT_STRING_EQUAL(told(), words[p].begun);
	CU_ASSERT_FATAL(shake());
}

/* The connection has ended, and nothing was asked of authd. */
static bool has_ended(void)
{
	static uint8_t buf[MSG_SIZE_MAX];
	struct msgr r;
	int passed;

	turns();
	fcntl(authd_end, F_SETFL, O_NONBLOCK);
	return w->env.logins == NULL && unit_recv(authd_end, buf, &r, &passed) != 1;
}

static const struct auth_request *asked(void)
{
	static struct auth_request q;
	struct msgr r;

	CU_ASSERT_FATAL(next(authd_end, AUTH_REQUEST, &r));
	CU_ASSERT(auth_request_read(&r, &q));
	return &q;
}

/* --- tests --- */

static void test_begin_and_log_in(void)
{
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const struct auth_request *q;
		const char *list;

		connect_from(p, "192.0.2.1", false);
		begin_tls(p);
		say(words[p].capability);
		list = told();
		CU_ASSERT_PTR_NOT_NULL(strstr(list, "PLAIN"));
		CU_ASSERT_PTR_NULL(strstr(list, "STARTTLS"));
		CU_ASSERT_PTR_NULL(strstr(list, "STLS"));
		CU_ASSERT_PTR_NULL(strstr(list, "LOGINDISABLED"));
		say(words[p].begin);
		CU_ASSERT_STRING_EQUAL(told(), words[p].unknown);
		say(words[p].login);
		told();
		q = asked();
		CU_ASSERT_STRING_EQUAL(q->user, "u");
		CU_ASSERT_STRING_EQUAL(q->credential, "p");
		CU_ASSERT(q->tls);
		leave();
	}
}

/* What a stranger is told, and what one who is local, or has TLS to a proxy in front, is told. */
static void test_greetings(void)
{
	static const struct {
		const char *ip;
		bool tls, begins, logs_in;
	} rows[] = {
		{ "192.0.2.1", false, true, false },
		{ "192.0.2.1", true, false, true },
		{ "127.0.0.1", false, true, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *greeting;

		connect_from(PROTOCOL_IMAP, rows[i].ip, rows[i].tls);
		greeting = told();
		CU_ASSERT_EQUAL(strstr(greeting, " STARTTLS") != NULL, rows[i].begins);
		CU_ASSERT_EQUAL(strstr(greeting, " LOGINDISABLED") != NULL, !rows[i].logs_in);
		CU_ASSERT_EQUAL(strstr(greeting, " AUTH=") != NULL, rows[i].logs_in);
		if (!rows[i].begins) {
			say(words[PROTOCOL_IMAP].begin);
			CU_ASSERT_STRING_EQUAL(told(), words[PROTOCOL_IMAP].unknown);
		}
		leave();
	}
}

/* A client that has sent no password must not be able to log in with somebody's words from before TLS. */
static void test_plain_words_are_forgotten(void)
{
	connect_from(PROTOCOL_IMAP, "127.0.0.1", false);
	say("i ID (\"x-originating-ip\" \"192.0.2.99\" \"x-client-transport\" \"TLS\" \"name\" \"old\")\r\n");
	begin_tls(PROTOCOL_IMAP);
	say("j ID (\"x-session-id\" \"ABCDEFGH\" \"name\" \"new\")\r\n");
	CU_ASSERT_STRING_EQUAL(str_cstr(&((struct imap_login *)w->env.logins->data)->id), "\"name\" \"new\"");
	say("d LOGIN u p\r\n");
	CU_ASSERT_EQUAL(asked()->forwarded.client.family, 0);
	leave();
	connect_from(PROTOCOL_POP3, "127.0.0.1", false);
	say("XCLIENT ADDR=192.0.2.99\r\nUTF8\r\nUSER mallory\r\n");
	begin_tls(PROTOCOL_POP3);
	say("PASS p\r\n");
	CU_ASSERT_STRING_EQUAL(told(), "-ERR USER first.\r\n");
	CU_ASSERT_FALSE(((struct pop3_login *)w->env.logins->data)->utf8);
	say("XCLIENT SESSION=ABCDEFGH\r\nUSER u\r\nPASS p\r\n");
	CU_ASSERT_EQUAL(asked()->forwarded.client.family, 0);
	leave();
}

/* The errors before TLS count: else a client would have as many tries as it likes to connect. */
static void test_errors_still_count(void)
{
	connect_from(PROTOCOL_IMAP, "127.0.0.1", false);
	for (int i = 1; i < LOGIN_BAD_MAX; i++)
		say("x what\r\n");
	begin_tls(PROTOCOL_IMAP);
	say("x what\r\n");
	CU_ASSERT_PTR_NOT_NULL(strstr(told(), "* BYE Too many errors."));
	leave();
}

/* A challenge that the client did not answer is over; its answer is no command either. */
static void test_exchange_is_over(void)
{
	static struct msgw m;
	struct msgr r;

	connect_from(PROTOCOL_IMAP, "127.0.0.1", false);
	unit_set(&w->ctx.set->imapd_IMAP_CAPABILITY, "IMAP4rev1 AUTH=CRAM-MD5");
	say("a AUTHENTICATE CRAM-MD5\r\n");
	CU_ASSERT_FATAL(next(authd_end, AUTH_CHALLENGE_WANTED, &r));
	auth_text_write(&m, AUTH_CHALLENGE, msgr_u32(&r), "<1.2@n>");
	CU_ASSERT_EQUAL(msg_send(authd_end, &m, -1), 0);
	turns();
	say(words[PROTOCOL_IMAP].begin); /* a response, and a bad one */
	CU_ASSERT_PTR_NOT_NULL(strstr(told(), "a BAD Malformed authentication data."));
	CU_ASSERT(next(authd_end, AUTH_CANCEL, &r));
	begin_tls(PROTOCOL_IMAP);
	CU_ASSERT_EQUAL(w->env.logins->exchange, EXCHANGE_NONE);
	leave();
}

/* A client's first message of TLS. */
static size_t hello(uint8_t *buf, size_t size)
{
	SSL *c = SSL_new(client_ctx);
	BIO *in = BIO_new(BIO_s_mem()), *out_bio = BIO_new(BIO_s_mem());
	int n;

	SSL_set_bio(c, in, out_bio);
	SSL_set_connect_state(c);
	SSL_do_handshake(c);
	ERR_clear_error();
	n = BIO_read(out_bio, buf, (int)size);
	CU_ASSERT_FATAL(n > 0);
	SSL_free(c);
	return (size_t)n;
}

/* The command and LEN bytes at P behind it, in two packets that are parted at CUT: nothing of it is executed, before
 * TLS or under it. What came before our reply ends the connection, and is logged. */
static void inject(enum protocol p, const void *behind, size_t len, size_t cut)
{
	size_t command = strlen(words[p].begin);
	char *all = mem_alloc(command + len);

	memcpy(all, words[p].begin, command);
	memcpy(all + command, behind, len);
	connect_from(p, "127.0.0.1", false);
	told();
	put(all, cut);
	turns();
	put(all + cut, command + len - cut);
	turns();
	if (cut != command) {
		CU_ASSERT_STRING_EQUAL(told(), "");
		CU_ASSERT_PTR_NOT_NULL(strstr(last_line, "reason=bytes behind"));
	} else { /* the client was told to begin TLS, and does not */
		const char *answer = told();

		CU_ASSERT_EQUAL(strncmp(answer, words[p].begun, strlen(words[p].begun)), 0);
		CU_ASSERT_PTR_NULL(strstr(answer, words[p].nooped));
	}
	shutdown(client_end, SHUT_WR);
	CU_ASSERT(has_ended());
	mem_free(&all);
	leave();
}

static void test_injection(void)
{
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const char *behind[] = { words[p].noop, words[p].login, words[p].begin, "b", "\n", "\r\n", "" };

		for (size_t i = 0; behind[i][0] != '\0'; i++)
			for (size_t cut = 1; cut < strlen(words[p].begin) + strlen(behind[i]); cut++)
				inject(p, behind[i], strlen(behind[i]), cut);
	}
}

/* A client that does not wait for our reply cannot be told from one whose words somebody has added to. */
static void test_hello_in_the_same_packet(void)
{
	uint8_t buf[4096];
	size_t len = hello(buf, sizeof(buf));

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		inject(p, buf, len, strlen(words[p].begin) + len);
		inject(p, buf, 1, strlen(words[p].begin) + 1);
		inject(p, buf, len, 1);
	}
}

/* What the socket holds behind what was read counts, too. */
static void test_bytes_still_in_the_socket(void)
{
	struct str all = STR_INIT;

	connect_from(PROTOCOL_IMAP, "127.0.0.1", false);
	while (all.len < LOGIN_INPUT_MAX - 16)
		str_adds(&all, "a NOOP\r\n");
	str_adds(&all, "tagged STARTTLS\n");
	CU_ASSERT_EQUAL_FATAL(all.len, LOGIN_INPUT_MAX);
	str_adds(&all, "b LOGIN u p\r\n");
	put(all.data, all.len);
	CU_ASSERT_PTR_NULL(strstr(told(), "Begin TLS"));
	CU_ASSERT(has_ended());
	CU_ASSERT_PTR_NOT_NULL(strstr(last_line, "STARTTLS REFUSED"));
	str_fini(&all);
	leave();
}

/* The client takes nothing until the reply to its STARTTLS waits. */
static void block_reply(void)
{
	connect_from(PROTOCOL_IMAP, "127.0.0.1", false);
	for (unsigned i = 0; i < 100000 && w->env.logins->out.len == 0; i++)
		say("b NOOP\r\n");
	CU_ASSERT_FATAL(w->env.logins->out.len != 0);
	say("a STARTTLS\r\n");
	CU_ASSERT_EQUAL_FATAL(w->env.logins->state, LOGIN_STARTTLS);
}

static void test_reply_waits(void)
{
	block_reply();
	say("b");
	CU_ASSERT(has_ended());
	CU_ASSERT_PTR_NOT_NULL(strstr(last_line, "STARTTLS REFUSED"));
	leave();
	block_reply();
	shutdown(client_end, SHUT_WR);
	CU_ASSERT(has_ended());
	leave();
	block_reply();
	w->env.logins->started -= (uint32_t)w->ctx.set->node_LOGIN_TIMEOUT;
	on_sweep(w->ctx.loop, &w->sweep, EV_TIMER);
	CU_ASSERT(has_ended());
	leave();
	block_reply();
	has_certificate = false;
	while (told()[0] != '\0')
		continue;
	CU_ASSERT(has_ended());
	leave();
	block_reply();
	while (told()[0] != '\0')
		continue;
	CU_ASSERT_EQUAL_FATAL(w->env.logins->state, LOGIN_COMMAND);
	CU_ASSERT_FATAL(shake());
	say("b NOOP\r\n");
	CU_ASSERT_STRING_EQUAL(told(), "b OK NOOP completed\r\n");
	leave();
}

/* A stranger who wants no TLS is not delayed: the log must not be as long as what it says. */
static void test_refusals_do_not_fill_the_log(void)
{
	for (enum protocol p = PROTOCOL_IMAP; p <= PROTOCOL_POP3; p++) {
		connect_from(p, "192.0.2.1", false);
		lines = 0;
		for (int i = 0; i < 100; i++) {
			say(words[p].login);
			say(words[p].noop);
		}
		CU_ASSERT_PTR_NOT_NULL(strstr(told(), "TLS is required"));
		CU_ASSERT_PTR_NOT_NULL(w->env.logins);
		CU_ASSERT_PTR_NOT_NULL(strstr(last_line, "LOGIN REFUSED"));
		CU_ASSERT_EQUAL(lines, 1);
		leave();
	}
}

/* Whether it is offered follows the certificate, from one client to the next and for one that is there. */
static void test_no_certificate(void)
{
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		connect_from(p, "192.0.2.1", false);
		has_certificate = false;
		told();
		say(words[p].capability);
		CU_ASSERT_PTR_NULL(strstr(told(), p == PROTOCOL_IMAP ? "STARTTLS" : "STLS"));
		say(words[p].begin);
		CU_ASSERT_STRING_EQUAL(told(), words[p].no_certificate);
		has_certificate = true;
		begin_tls(p);
		leave();
	}
}

/* The deadline of a login is that of its handshake. */
static void test_deadline_within_handshake(void)
{
	uint8_t buf[4096];
	size_t len = hello(buf, sizeof(buf));

	for (size_t n = 0; n <= len; n += len / 2) {
		connect_from(PROTOCOL_IMAP, "127.0.0.1", false);
		say(words[PROTOCOL_IMAP].begin);
		if (n != 0)
			put(buf, n);
		turns();
		w->env.logins->started -= (uint32_t)w->ctx.set->node_LOGIN_TIMEOUT;
		on_sweep(w->ctx.loop, &w->sweep, EV_TIMER);
		CU_ASSERT(has_ended());
		leave();
	}
}

/* Whether a client may log in is not lost with a failed login (perdition forgot that TLS was on). */
static void test_wrong_password_under_tls(void)
{
	static struct msgw m;
	struct auth_reply *a = auth_reply_new();

	connect_from(PROTOCOL_IMAP, "192.0.2.1", false);
	begin_tls(PROTOCOL_IMAP);
	say("d LOGIN u p\r\n");
	memset(a, 0, sizeof(*a));
	a->request = asked()->request;
	a->verdict = AUTH_VERDICT_UNAVAILABLE;
	auth_reply_write(&m, a);
	auth_reply_free(&a);
	CU_ASSERT_EQUAL(msg_send(authd_end, &m, -1), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(told(), "d NO [UNAVAILABLE]"));
	say("c CAPABILITY\r\n");
	CU_ASSERT_PTR_NULL(strstr(told(), "LOGINDISABLED"));
	say("d LOGIN u p\r\n");
	CU_ASSERT_STRING_EQUAL(asked()->user, "u");
	leave();
}

static const struct unit_case cases[] = {
	{ "contexts", make_contexts },
	{ "begin and log in", test_begin_and_log_in },
	{ "greetings", test_greetings },
	{ "plain words are forgotten", test_plain_words_are_forgotten },
	{ "errors still count", test_errors_still_count },
	{ "an exchange is over", test_exchange_is_over },
	{ "bytes behind the command, cut at every byte", test_injection },
	{ "a ClientHello in the same packet", test_hello_in_the_same_packet },
	{ "bytes still in the socket", test_bytes_still_in_the_socket },
	{ "a reply that waits", test_reply_waits },
	{ "refusals do not fill the log", test_refusals_do_not_fill_the_log },
	{ "no certificate at the moment", test_no_certificate },
	{ "the deadline covers the handshake", test_deadline_within_handshake },
	{ "a wrong password under TLS", test_wrong_password_under_tls },
	{ "end", free_contexts },
	{ NULL, NULL },
};

UNIT_MAIN("starttls", cases)
