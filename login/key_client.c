/* Asks for signatures and waits for them. */
#include "login/key_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "node/msg_channel.h"

/* A message that came while a signature was waited for. */
struct later {
	struct later *next;
	size_t len;
	uint8_t data[];
};

struct key_client {
	struct ev_loop *loop;
	ev_io io;
	const struct key_client_fns *fns;
	void *arg;
	uint32_t request; /* the number of the last one */
	bool awaited;     /* it has no answer yet */
	struct later *first, **last;
	bool broken;
};

static uint8_t buf[MSG_SIZE_MAX];
static struct msgw out; /* the last request */
static struct key_chain chain;

static void fail(struct key_client *k)
{
	log_error("the channel to the key process has ended; new clients cannot use TLS until there is another one");
	k->broken = true;
	ev_io_stop(k->loop, &k->io);
}

/* R is the answer to the last request. */
static bool is_answer(struct key_client *k, struct msgr *r, struct key_signed *m)
{
	if (r->type != KEY_SIGNED || !key_signed_read(r, m) || m->request != k->request)
		return false;
	k->awaited = false;
	return true;
}

static void take(struct key_client *k, struct msgr *r)
{
	struct key_signed late;
	uint32_t key;

	if (is_answer(k, r, &late))
		return;
	if (r->type == KEY_BEGINS && key_begins_read(r)) {
		k->awaited = false;
		k->fns->begins(k->arg);
	} else if (r->type == KEY_CHAIN && key_chain_read(r, &chain)) {
		k->awaited = false; /* it comes from one that works */
		k->fns->chain(&chain, k->arg);
	} else if (r->type == KEY_GONE && key_gone_read(r, &key))
		k->fns->gone(key, k->arg);
	else if (r->type == KEY_COMPLETE && key_complete_read(r))
		k->fns->complete(k->arg);
}

static void keep(struct key_client *k, const struct msgr *r, size_t len)
{
	struct later *l;

	if (r->type != KEY_CHAIN && r->type != KEY_GONE && r->type != KEY_BEGINS && r->type != KEY_COMPLETE)
		return; /* the greeting, or an answer that was given up */
	l = mem_alloc(sizeof(*l) + len);
	l->len = len;
	memcpy(l->data, buf, len);
	*k->last = l;
	k->last = &l->next;
	ev_feed_event(k->loop, &k->io, EV_READ);
}

static struct later *take_kept(struct key_client *k)
{
	struct later *l = k->first;

	if (l == NULL)
		return NULL;
	k->first = l->next;
	if (k->first == NULL)
		k->last = &k->first;
	return l;
}

/* The next message there is now: its length, 0 if there is none. */
static size_t receive(struct key_client *k, struct msgr *r)
{
	int fd, got = msg_recv(k->io.fd, buf, r, &fd);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
		fail(k);
	if (got == 1 && fd != -1)
		close(fd);
	return got == 1 ? (size_t)(r->end - buf) : 0;
}

static void on_readable(struct ev_loop *loop UNUSED, ev_io *io, int revents UNUSED)
{
	struct key_client *k = io->data;
	struct later *l = take_kept(k);
	struct msgr r;

	if (l == NULL) {
		if (receive(k, &r) != 0)
			take(k, &r);
		return;
	}
	msgr_begin(&r, l->data, l->len);
	take(k, &r);
	mem_free(&l);
	if (k->first != NULL)
		ev_feed_event(k->loop, &k->io, EV_READ);
}

struct key_client *key_client_new(struct ev_loop *loop, int sock, const struct key_client_fns *fns, void *arg)
{
	struct key_client *k = mem_alloc(sizeof(*k));

	fcntl(sock, F_SETFL, O_NONBLOCK);
	k->loop = loop;
	k->fns = fns;
	k->arg = arg;
	k->last = &k->first;
	ev_io_init(&k->io, on_readable, sock, EV_READ);
	k->io.data = k;
	ev_io_start(loop, &k->io);
	return k;
}

void key_client_free(struct key_client **k)
{
	struct later *l;

	if (*k == NULL)
		return;
	while ((l = take_kept(*k)) != NULL)
		mem_free(&l);
	ev_io_stop((*k)->loop, &(*k)->io);
	close((*k)->io.fd);
	mem_free(k);
}

/* The answer to the last request within TIMEOUT ms (0: if it is there). What else comes is kept. False: there is none.
 * A signature takes longer than the way to here: nothing is read before something has come. */
static bool await(struct key_client *k, int timeout, struct key_signed *m)
{
	int64_t deadline = clock_ms() + timeout;

	while (!k->broken) {
		struct msgr r;
		size_t len;

		if (timeout != 0 && !fd_wait(k->io.fd, POLLIN, deadline))
			return false;
		len = receive(k, &r);
		if (len == 0 && timeout == 0)
			return false;
		if (len != 0 && is_answer(k, &r, m))
			return true;
		if (len == 0)
			continue;
		if (r.type == KEY_BEGINS) /* the one before may have read the request */
			msg_send(k->io.fd, &out, -1);
		keep(k, &r, len);
	}
	return false;
}

/* One that does not answer holds the worker up once. */
static bool is_free(struct key_client *k)
{
	struct key_signed late;

	return !k->broken && (!k->awaited || await(k, 0, &late));
}

size_t key_client_sign(struct key_client *k, uint32_t key, enum tls_scheme scheme, const void *digest,
    uint8_t sig[TLS_SIGNATURE_MAX])
{
	struct key_signed m;

	if (!is_free(k))
		return 0;
	key_sign_write(&out, &(struct key_sign){ ++k->request, key, scheme, digest });
	if (msg_send(k->io.fd, &out, -1) != 0)
		return 0; /* full, or gone, as reading tells */
	k->awaited = true;
	if (!await(k, KEY_CLIENT_TIMEOUT, &m)) {
		if (!k->broken)
			log_error("the key process does not answer; until it does, new clients cannot use TLS");
		return 0;
	}
	memcpy(sig, m.sig, m.len);
	return m.len;
}
