/* TLS between a user and a socket. */
#include "lib/conn_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "lib/proxy_header.h"
#include "lib/tls_hello.h"

enum {
	CHUNK = 64 * 1024,      /* bytes that one recv() brings at most, and that the user writes at a time */
	CHUNK_LEAST = 4 * 1024, /* for a user with little room, and for the handshake */
	CALL = 2 * CHUNK,       /* about so many bytes are received in one call: others wait meanwhile */
	ANSWERS = 16 * 1024     /* bytes of answers that wait to be sent from which on nothing is read */
};
/* What is said about the connection itself once it is up (new keys, a renegotiation that is refused) costs us more than
 * the peer: some is free, more has to come with bytes. */
enum { ASIDES_FREE = 32, ASIDE_BYTES = 64 * 1024 };

/* What libssl holds of one connection: measured with OpenSSL 3.0, 42 and 14 KiB; 3.5 needs up to 28 for the latter. And
 * of a record, or a message, that has come in part. */
enum { MEMORY_SHAKING = 44 * 1024, MEMORY_UP = 16 * 1024, MEMORY_PART = 17 * 1024 };

/* The same of certificates that a client has shown, for each byte of them: libssl keeps them as long as the connection,
 * taken apart. Usual ones need 4 to 15 bytes; 56 who fills one with empty alternative names, as only somebody can whose
 * own is good. */
enum { MEMORY_SHOWN = 56 };

#define ENDED_WITHIN "ended within the TLS handshake"

struct tls {
	struct conn_state base;
	SSL_CTX *ctx; /* a server's, until it has heard from the client */
	SSL *ssl;     /* NULL: as long */
	int fd;
	const char *error;  /* what broke first; NULL: nothing did */
	struct str in, out; /* what libssl has not taken yet, and what the socket has not */
	struct tls_hello hello;
	/* During a call: what libssl may take. It lies in `in`, or is what was just received. */
	const char *next;
	size_t left;
	uint64_t rcvd;
	uint32_t answers; /* bytes of `out` that reading has made libssl write, at most */
	uint32_t shown;   /* bytes of the certificates that the client has shown */
	uint32_t asides;  /* messages of the peer's handshake that came after it */
	bool server : 1;
	bool proxy_header : 1; /* a client's first bytes */
	bool up : 1;           /* the handshake is done */
	bool held : 1;         /* `out` waits for the user's first bytes */
	bool more : 1;         /* libssl may have something for the user that the socket does not tell of */
	bool dry : 1;          /* during a call: the socket has no more now */
	bool eof : 1;          /* the socket has ended */
	bool ended : 1;        /* the other side has said its last byte */
	bool in_broken : 1, out_broken : 1;
	bool cut : 1;     /* all that broke is that the socket has ended */
	bool refused : 1; /* because of what the other side said */
	bool told : 1;    /* the user was told of the end, or of the failure */
	bool shut : 1;    /* we have said our last byte */
	bool fin : 1;     /* the socket is to be told, too */
};

/* What libssl writes in a call; if that is more, the first of it is in the connection's `out`. */
static struct {
	size_t len;
	char data[CHUNK + 4 * 1024]; /* with what the records add */
} sending;
static char received[CHUNK];

static struct tls *tls_of(const struct conn *c)
{
	return (struct tls *)c->state;
}

/* What broke, and in which direction; a handshake takes both. */
static void broke(struct tls *t, const char *why, bool in, bool out)
{
	if (t->error == NULL)
		t->error = why;
	t->in_broken = t->in_broken || in || !t->up;
	t->out_broken = t->out_broken || out || !t->up;
}

static void refuse(struct tls *t, const char *why)
{
	t->refused = t->refused || t->error == NULL;
	broke(t, why, true, true);
}

/* --- what libssl sees --- */

/* The connection whose libssl is called. */
static struct tls *at_work;

static int bio_read(BIO *b, char *p, int room)
{
	struct tls *t = at_work;
	size_t n = MIN((size_t)MAX(room, 0), t->left);

	BIO_clear_retry_flags(b);
	if (n == 0) {
		if (!t->eof)
			BIO_set_retry_read(b);
		return t->eof ? 0 : -1;
	}
	memcpy(p, t->next, n);
	t->next += n;
	t->left -= n;
	return (int)n;
}

/* Takes everything: what may wait is looked at before libssl is called. */
static int bio_write(BIO *b, const char *p, int len)
{
	struct tls *t = at_work;

	BIO_clear_retry_flags(b);
	if ((size_t)len > sizeof(sending.data) - sending.len) {
		str_add(&t->out, sending.data, sending.len);
		sending.len = 0;
	}
	if ((size_t)len > sizeof(sending.data)) {
		str_add(&t->out, p, (size_t)len);
	} else {
		memcpy(sending.data + sending.len, p, (size_t)len);
		sending.len += (size_t)len;
	}
	return len;
}

/* That the stream has ended is not said here (BIO_CTRL_EOF): libssl would send an alert, and write no more. */
static long bio_ctrl(BIO *b UNUSED, int command, long number UNUSED, void *p UNUSED)
{
	return command == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

/* One for all connections: it has nothing of its own, and libssl never calls it but for at_work. */
static BIO *shared_bio(void)
{
	static BIO *b;
	BIO_METHOD *m;

	if (b != NULL)
		return b;
	m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection");
	if (m == NULL || BIO_meth_set_create(m, bio_create) != 1 || BIO_meth_set_read(m, bio_read) != 1 ||
	    BIO_meth_set_write(m, bio_write) != 1 || BIO_meth_set_ctrl(m, bio_ctrl) != 1 || (b = BIO_new(m)) == NULL)
		die_fatal("OpenSSL has no memory");
	return b;
}

/* --- the socket --- */

/* At the start of a call that may read. */
static void begin_feed(struct tls *t)
{
	t->next = t->in.data;
	t->left = t->in.len;
}

/* Up to SIZE bytes from the socket: false, if it has none now. */
static bool receive(struct tls *t, size_t size)
{
	ssize_t n;

	if (t->dry || t->eof || t->in_broken)
		return false;
	do
		n = recv(t->fd, received, size, 0);
	while (n < 0 && errno == EINTR);
	t->dry = n < (ssize_t)size;
	t->eof = n == 0;
	if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		broke(t, strerror(errno), true, false);
	t->next = received;
	t->left = (size_t)MAX(n, 0);
	t->rcvd += t->left;
	return t->left != 0;
}

/* libssl has taken all that there was: is there more? ROOM is what the user has. */
static bool feed(struct tls *t, size_t room)
{
	return t->left != 0 || receive(t, MIN(MAX(room, (size_t)CHUNK_LEAST), sizeof(received)));
}

/* At the end of the call: what is left is kept for the next one. */
static void end_feed(struct tls *t)
{
	struct str left = STR_INIT;

	if (t->left != 0)
		str_add(&left, t->next, t->left);
	str_fini(&t->in);
	t->in = left;
	t->left = 0;
}

/* The socket takes some of the LEN bytes at P. */
static size_t transmit(struct tls *t, const char *p, size_t len)
{
	ssize_t n;

	do
		n = send(t->fd, p, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
		broke(t, strerror(errno), false, true);
		return len; /* it is lost */
	}
	return (size_t)MAX(n, 0);
}

/* What libssl has written waits, to be sent with what comes next. */
static void hold(struct tls *t)
{
	str_add(&t->out, sending.data, sending.len);
	sending.len = 0;
}

/* Sends what waits and what libssl has written. */
static void flush(struct tls *t)
{
	t->held = false;
	if (t->out.len != 0) {
		hold(t);
		str_drop(&t->out, transmit(t, t->out.data, t->out.len));
	} else if (sending.len != 0) {
		size_t n = transmit(t, sending.data, sending.len);

		str_add(&t->out, sending.data + n, sending.len - n);
		sending.len = 0;
	}
	if (t->out.len != 0)
		return;
	str_fini(&t->out);
	t->answers = 0;
	if (t->fin) /* not all peers look for close_notify */
		shutdown(t->fd, SHUT_WR);
	t->fin = false;
}

/* --- libssl's answers --- */

/* For each call that may read or write: what it says then is said of T. */
static SSL *to_call(struct tls *t)
{
	at_work = t;
	ERR_clear_error();
	return t->ssl;
}

/* After a failed write, which takes the socket's error, a reset looks like an end. */
static void ended_silently(struct tls *t)
{
	broke(t, t->up ? "ended without close_notify" : ENDED_WITHIN, true, false);
	t->cut = t->up && !t->out_broken;
}

static const char *reason(const struct tls *t)
{
	unsigned long code = ERR_peek_last_error();
	long verdict = SSL_get_verify_result(t->ssl);
	const char *text = ERR_reason_error_string(code);

	if (ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK)
		return X509_verify_cert_error_string(verdict);
	return text != NULL ? text : "TLS failed";
}

/* libssl has given RESULT, which is no success. True: it may be called again when there is more. */
static bool judge(struct tls *t, int result)
{
	int error = SSL_get_error(t->ssl, result);

	if (error == SSL_ERROR_WANT_READ)
		return true;
	if (error == SSL_ERROR_ZERO_RETURN)
		t->ended = true;
	else if (error == SSL_ERROR_SYSCALL && t->eof)
		ended_silently(t);
	else
		refuse(t, reason(t));
	ERR_clear_error();
	return false;
}

static bool has_more(const struct tls *t)
{
	return t->left != 0 || SSL_has_pending(t->ssl) == 1;
}

/* Called for each message and each head of a record. */
static void on_message(int is_ours, int version UNUSED, int type, const void *p UNUSED, size_t len UNUSED,
    SSL *ssl UNUSED, void *arg)
{
	struct tls *t = arg;

	t->asides += t->up && !is_ours && type == SSL3_RT_HANDSHAKE;
}

static void use(struct tls *t, SSL *ssl)
{
	BIO *bio = shared_bio();

	if (ssl == NULL || BIO_up_ref(bio) != 1)
		die_fatal("OpenSSL has no memory");
	SSL_set_bio(ssl, bio, bio); /* takes one reference for both */
	SSL_set_msg_callback(ssl, on_message);
	SSL_set_msg_callback_arg(ssl, t);
	t->ssl = ssl;
}

static void use_server(struct tls *t)
{
	SSL *ssl = SSL_new(t->ctx);

	use(t, ssl);
	SSL_set_accept_state(ssl);
	SSL_CTX_free(t->ctx);
	t->ctx = NULL;
}

/* A client that has not sent its whole first message owns what it has sent, and nothing of libssl. */
static void hear(struct tls *t)
{
	enum tls_hello_state state = TLS_HELLO_MORE;

	while (state == TLS_HELLO_MORE && receive(t, CHUNK_LEAST)) {
		state = tls_hello_add(&t->hello, t->next, t->left);
		str_add(&t->in, t->next, t->left);
	}
	t->proxy_header = state == TLS_HELLO_OTHER && proxy_header_begins(t->in.data, t->in.len);
	if (t->proxy_header)
		broke(t, "a PROXY protocol header, not TLS", true, true); /* its user tells it */
	else if (state == TLS_HELLO_LONG)
		refuse(t, "the client's first message is too long");
	else if (state == TLS_HELLO_MORE && t->eof)
		broke(t, ENDED_WITHIN, true, true);
	else if (state != TLS_HELLO_MORE)
		use_server(t);
}

/* Frees what is in KEY, which libssl keeps: it is of a kind then in which nothing is looked for. */
static void empty(EVP_PKEY *key)
{
	if (EVP_PKEY_set_type(key, EVP_PKEY_HMAC) != 1)
		ERR_clear_error();
	EVP_PKEY_free(key);
}

/* The handshake is done: libssl would keep the keys of its exchange as long as the connection. Nobody needs them, and
 * with them what was said could be read. */
static void forget_exchange(SSL *ssl)
{
	EVP_PKEY *key;

	if (SSL_get_tmp_key(ssl, &key) == 1)
		empty(key);
	if (SSL_get_peer_tmp_key(ssl, &key) == 1)
		empty(key);
}

static uint32_t bytes_of(const X509 *cert)
{
	return (uint32_t)MAX(i2d_X509(cert, NULL), 0);
}

/* Counts what the client has shown, once it has. */
static void weigh_shown(struct tls *t)
{
	const X509 *own = t->server && t->shown == 0 ? SSL_get0_peer_certificate(t->ssl) : NULL;
	const STACK_OF(X509) *others = own != NULL ? SSL_get_peer_cert_chain(t->ssl) : NULL;

	if (own != NULL)
		t->shown = bytes_of(own);
	for (int i = 0; others != NULL && i < sk_X509_num(others); i++)
		t->shown += bytes_of(sk_X509_value(others, i));
}

static void come_up(struct tls *t)
{
	t->up = true;
	t->more = has_more(t);
	forget_exchange(t->ssl);
}

/* A server's last words of the handshake may wait for the user's first ones: if these are to come at once, or if they
 * are tickets alone (RFC 8446 section 4.6.1) and not what the client waits for (RFC 5246 section 7.3). */
static bool may_hold(const struct tls *t)
{
	return t->up && t->server && sending.len != 0 &&
	    ((t->base.want & EV_WRITE) != 0 || SSL_version(t->ssl) == TLS1_3_VERSION);
}

/* The handshake, as far as it goes. */
static void shake(struct tls *t)
{
	t->dry = false;
	if (t->ssl == NULL)
		hear(t);
	if (t->ssl == NULL)
		return;
	begin_feed(t);
	while (!t->up && !t->in_broken && !t->out_broken) {
		int result;

		result = SSL_do_handshake(to_call(t));
		if (result == 1)
			come_up(t);
		else if (!judge(t, result) || (!feed(t, 0) && !t->eof))
			break;
	}
	weigh_shown(t);
	end_feed(t);
	if (may_hold(t)) {
		hold(t);
		t->held = true;
	} else {
		flush(t);
	}
}

/* --- the kind --- */

static void check_asides(struct tls *t)
{
	if (t->asides > ASIDES_FREE + t->rcvd / ASIDE_BYTES)
		broke(t, "too many handshake messages after the handshake", true, true);
}

/* A peer that sends what is nothing for the user, as fast as it is read, gets an end here, too. */
static size_t decode(struct tls *t, char *p, size_t room, bool peek)
{
	uint64_t most = t->rcvd + CALL;
	size_t got = 0;
	bool wanted_more = false;

	while (got < room && !t->ended && !t->in_broken && !(peek && got != 0)) {
		int n;

		n = (peek ? SSL_peek : SSL_read)(to_call(t), p + got, (int)MIN(room - got, (size_t)CHUNK));
		check_asides(t);
		if (n > 0)
			got += (size_t)n;
		else if (!judge(t, n) || (wanted_more = (t->rcvd >= most || !feed(t, room)) && !t->eof))
			break;
	}
	t->more = !wanted_more && has_more(t);
	return got;
}

static bool may_read(const struct tls *t)
{
	return t->up && !t->ended && !t->in_broken && t->answers < ANSWERS;
}

/* What libssl writes while it reads are answers. */
static size_t read_up(struct tls *t, char *p, size_t room, bool peek)
{
	size_t n;

	t->dry = false;
	begin_feed(t);
	n = decode(t, p, room, peek);
	end_feed(t);
	t->answers += (uint32_t)sending.len;
	if (sending.len != 0)
		flush(t);
	return n;
}

static ssize_t take(struct tls *t, char *p, size_t room, bool peek)
{
	size_t n = 0;

	if (!t->up && !t->in_broken)
		shake(t);
	if (may_read(t))
		n = read_up(t, p, room, peek);
	if (n != 0)
		return (ssize_t)n;
	if (!t->ended && !t->in_broken)
		return CONN_LATER;
	t->told = t->told || !peek;
	return t->ended ? 0 : t->cut ? CONN_CUT : CONN_FAILED;
}

static ssize_t tls_read(struct conn *c, void *p, size_t room)
{
	return take(tls_of(c), p, room, false);
}

static ssize_t tls_peek(struct conn *c, void *p, size_t room)
{
	return take(tls_of(c), p, room, true);
}

/* Something waits for the socket. */
static bool is_blocked(const struct tls *t)
{
	return t->out.len != 0 && !t->held;
}

/* A message of the other side that came after the handshake is there in part: libssl writes nothing before it has the
 * rest. */
static bool is_within_message(const struct tls *t)
{
	return t->up && SSL_in_init(t->ssl) == 1;
}

/* There is no rest. */
static bool is_never_whole(const struct tls *t)
{
	return is_within_message(t) && (t->ended || t->in_broken);
}

/* What the user waits for who only writes. Bytes for him stay inside. */
static void read_rest(struct tls *t)
{
	char first;

	if (may_read(t))
		read_up(t, &first, 1, true);
}

static ssize_t tls_write(struct conn *c, const void *p, size_t len)
{
	struct tls *t = tls_of(c);
	int n;

	if (!t->up && !t->out_broken)
		shake(t);
	if (is_blocked(t))
		flush(t);
	if (t->shut)
		broke(t, "the connection is shut", false, true);
	else if (is_never_whole(t))
		broke(t, "ended within a message of TLS", false, true);
	if (t->out_broken)
		return CONN_FAILED;
	if (!t->up || is_blocked(t) || is_within_message(t))
		return CONN_LATER;
	n = SSL_write(to_call(t), p, (int)MIN(len, (size_t)CHUNK));
	if (n <= 0 && judge(t, n))
		broke(t, "TLS takes nothing", true, true);
	flush(t);
	return t->out_broken ? CONN_FAILED : n;
}

/* libssl must not be asked to after a failure, or before there is anything to close. */
static void say_end(struct tls *t)
{
	if (t->up && !t->out_broken && SSL_shutdown(to_call(t)) < 0)
		ERR_clear_error(); /* within a message of the other side nothing can be said */
	t->shut = true;
	flush(t);
}

/* Without a word TLS's session, which libssl would drop then, stays good for the next connection. */
static void keep_silent(struct tls *t)
{
	if (t->up)
		SSL_set_shutdown(t->ssl, SSL_get_shutdown(t->ssl) | SSL_SENT_SHUTDOWN);
	t->shut = true;
	flush(t);
}

static void tls_shut(struct conn *c, bool end)
{
	struct tls *t = tls_of(c);

	if (t->shut)
		return;
	t->fin = true;
	(end ? say_end : keep_silent)(t);
}

static const char *tls_error(const struct conn *c)
{
	return tls_of(c)->error;
}

static int tls_events(const struct conn *c, int want)
{
	const struct tls *t = tls_of(c);
	int events = is_blocked(t) ? EV_WRITE : 0;

	if (t->out_broken || is_never_whole(t) || (t->up && !is_within_message(t)))
		events |= want & EV_WRITE;
	else if (want != 0 && t->answers < ANSWERS) /* as much as that is blocked */
		events |= EV_READ;
	if ((want & EV_READ) != 0 && !t->told && t->answers < ANSWERS)
		events |= EV_READ;
	return events;
}

/* What is inside, and a failure, tls_pending() tells. */
static int tls_ready(struct conn *c, int revents)
{
	struct tls *t = tls_of(c);
	int ready = revents & EV_READ;

	if ((revents & EV_WRITE) != 0 && is_blocked(t))
		flush(t);
	if (!t->up) {
		if ((revents & EV_READ) != 0)
			shake(t);
		return t->up || t->out_broken ? EV_WRITE : 0; /* what a user who writes has waited for */
	}
	if ((revents & EV_READ) != 0 && (t->base.want & EV_WRITE) != 0 && is_within_message(t)) {
		read_rest(t);
		ready |= is_within_message(t) && !is_never_whole(t) ? 0 : EV_WRITE;
	}
	if (t->out_broken || ((revents & EV_WRITE) != 0 && !is_blocked(t)))
		ready |= EV_WRITE;
	return ready;
}

static bool tls_pending(const struct conn *c)
{
	const struct tls *t = tls_of(c);

	return !t->told && (t->ended || t->in_broken || (t->more && may_read(t)));
}

static bool tls_is_up(const struct conn *c)
{
	return tls_of(c)->up;
}

/* What libssl holds of T. With a part of a handshake message that came after the handshake it is as within one. */
static size_t memory_of_libssl(const struct tls *t)
{
	bool shakes, part;

	if (t->ssl == NULL)
		return 0;
	shakes = SSL_in_init(t->ssl) == 1;
	/* "B": the body of a record, of which nothing may be there yet. */
	part = (t->up && shakes) || SSL_has_pending(t->ssl) == 1 || SSL_rstate_string(t->ssl)[1] == 'B';
	return (size_t)(shakes ? MEMORY_SHAKING : MEMORY_UP) + (part ? MEMORY_PART : 0);
}

static size_t tls_memory(const struct conn *c)
{
	const struct tls *t = tls_of(c);

	return sizeof(*t) + memory_of_libssl(t) + (size_t)t->shown * MEMORY_SHOWN + t->in.cap + t->out.cap;
}

static bool tls_holds(const struct conn *c)
{
	const struct tls *t = tls_of(c);

	return is_blocked(t) && !t->out_broken;
}

static void tls_close(struct conn *c)
{
	struct tls *t = tls_of(c);

	if (!t->shut)
		say_end(t);
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
	str_fini(&t->in);
	str_fini(&t->out);
	mem_free(&t);
}

static const struct conn_kind tls = {
	.read = tls_read,
	.peek = tls_peek,
	.write = tls_write,
	.shut = tls_shut,
	.error = tls_error,
	.events = tls_events,
	.ready = tls_ready,
	.pending = tls_pending,
	.is_up = tls_is_up,
	.memory = tls_memory,
	.holds = tls_holds,
	.close = tls_close,
};

static struct tls *new_state(const struct conn *c)
{
	struct tls *t = mem_alloc(sizeof(*t));

	t->base.kind = &tls;
	t->fd = c->io.fd;
	return t;
}

void conn_tls_accept(struct ev_loop *loop, struct conn *c, SSL_CTX *ctx)
{
	struct tls *t = new_state(c);

	t->server = true;
	SSL_CTX_up_ref(ctx);
	t->ctx = ctx;
	conn_use(loop, c, &t->base);
}

void conn_tls_connect(struct ev_loop *loop, struct conn *c, SSL *ssl)
{
	struct tls *t = new_state(c);

	SSL_set_connect_state(ssl);
	use(t, ssl);
	shake(t);
	conn_use(loop, c, &t->base);
}

bool conn_tls_got_proxy_header(const struct conn *c)
{
	return c->state != NULL && c->state->kind == &tls && tls_of(c)->proxy_header;
}

SSL *conn_tls_ssl(const struct conn *c)
{
	return c->state != NULL && c->state->kind == &tls ? tls_of(c)->ssl : NULL;
}

const char *conn_tls_refusal(const struct conn *c)
{
	return c->state != NULL && c->state->kind == &tls && tls_of(c)->refused ? tls_of(c)->error : NULL;
}

bool conn_tls_refused(const struct conn *c, int *verdict)
{
	const struct tls *t = c->state != NULL && c->state->kind == &tls ? tls_of(c) : NULL;

	if (t == NULL || !t->refused)
		return false;
	*verdict = t->up ? X509_V_OK : (int)SSL_get_verify_result(t->ssl);
	return true;
}
