/* The role key: keys from the master, digests from workers. */
#include "keyd/keyd.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "keyd/keyring.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "node/key_queue.h"

enum {
	RETIRED_SECONDS = 120,  /* that a key still signs, at least, for handshakes that began with its certificate */
	EXPIRY_SECONDS = 10,    /* between two looks for keys that need to sign no more */
	COMPLAINT_SECONDS = 10, /* between two lines about refused signatures */
	UNREAD_MAX = 100        /* answers that a worker has not taken: ours waits for each */
};

/* A login worker that may have something signed. */
struct worker {
	struct worker *next;
	unsigned slot;
	uint64_t generation;
	struct chan *chan;
	unsigned unread;
	struct key_queue news; /* keys to tell it of; 0: that these were all */
	/* What it has asked of a key that may be on its way from the master. */
	struct key_sign asked; /* key 0: nothing now; request 0: never yet */
	uint8_t digest[TLS_DIGEST_MAX];
};

static struct {
	struct role_ctx ctx;
	struct keyring *ring;
	struct worker *workers;
	ev_timer expiry; /* runs while there are retired keys */
	bool coming;     /* the master has more to send */
	bool lost;       /* something of it has come without its descriptor: all comes again */
	/* The PEM of the key of which the master has not sent everything yet. */
	struct str pem;
	struct str ocsp;
	uint32_t pem_key;
	bool lacking;        /* of that key: a part of it, which comes again with the others */
	uint32_t complained; /* clock_seconds() */
} keyd;

static struct msgw out;

/* --- workers --- */

static void on_worker_gone(struct chan *c UNUSED, void *arg)
{
	struct worker *w = arg;

	for (struct worker **p = &keyd.workers; *p != NULL; p = &(*p)->next) {
		if (*p == w) {
			*p = w->next;
			break;
		}
	}
	chan_free(&w->chan);
	key_queue_clear(&w->news);
	mem_free(&w);
}

/* It does what no worker of ours does: the master ends it, and nothing more of it is listened to. */
static void end_worker(struct worker *w, const char *why)
{
	log_error("login worker %u %s; killing it", w->slot, why);
	role_unfit(&keyd.ctx, w->slot, w->generation);
	on_worker_gone(w->chan, w);
}

/* The key is one that has left, or was never there; or it is of another kind. A worker that waits for the end of a
 * handshake may ask for the former. */
static void complain(const struct worker *w, const struct key_sign *m)
{
	uint32_t now = clock_seconds();

	if (keyd.complained != 0 && now - keyd.complained < COMPLAINT_SECONDS)
		return;
	keyd.complained = now;
	log_warn("login worker %u asks for a signature (%s) that key %u does not make", w->slot,
	    tls_scheme_name(m->scheme), m->key);
}

static void sign(struct worker *w, const struct key_sign *m)
{
	uint8_t sig[TLS_SIGNATURE_MAX];
	struct key_signed answer = { .request = m->request, .sig = sig };

	answer.len = keyring_sign(keyd.ring, m->key, m->scheme, m->digest, tls_scheme_digest_len(m->scheme), sig);
	if (answer.len == 0)
		complain(w, m);
	key_signed_write(&out, &answer);
	w->unread = chan_queued(w->chan) != 0 ? w->unread + 1 : 0; /* it may have certificates to read before */
	if (chan_send(w->chan, &out, -1) != 0 || w->unread > UNREAD_MAX)
		end_worker(w, "does not take the signatures that it has asked for");
}

/* What the master has is not all here. */
static bool is_awaited(void)
{
	return keyd.coming || keyd.lost;
}

/* A key process that begins signs with what it has; for what comes, the one worker that may ask for it waits, but with
 * one request only: all its sessions wait with it. It may send that one twice, as the process before may have read
 * it. */
static bool is_coming(const struct worker *w, const struct key_sign *m)
{
	return is_awaited() && m->key != 0 && !keyring_has(keyd.ring, m->key) &&
	    (w->asked.request == 0 || w->asked.request == m->request);
}

static void postpone(struct worker *w, const struct key_sign *m)
{
	w->asked = *m;
	memcpy(w->digest, m->digest, tls_scheme_digest_len(m->scheme));
	w->asked.digest = w->digest;
}

/* What was asked of KEY (0: of any) is done now. */
static void catch_up(uint32_t key)
{
	struct worker *next;

	for (struct worker *w = keyd.workers; w != NULL; w = next) {
		struct key_sign m = w->asked;

		next = w->next;
		if (m.key == 0 || (key != 0 && m.key != key))
			continue;
		w->asked.key = 0;
		sign(w, &m); /* may end it */
	}
}

static void on_worker(struct chan *c, struct msgr *r, int fd, void *arg)
{
	struct worker *w = arg;
	struct key_sign m;

	if (fd != -1)
		close(fd);
	if (r->type == KEY_SIGN && fd == -1 && key_sign_read(r, &m))
		(is_coming(w, &m) ? postpone : sign)(w, &m);
	else if (r->type == KEY_SIGN || !msg_channel_skips(c, r, "a login worker"))
		end_worker(w, "asks for what no handshake needs");
}

/* What becomes of a key before it is told is told in its place. */
static bool tell_next(struct chan *c, void *arg)
{
	struct worker *w = arg;
	uint32_t key;

	if (!key_queue_take(&w->news, &key))
		return false;
	if (key == 0)
		key_complete_write(&out);
	else if (!keyring_chain(keyd.ring, key, &out))
		key_gone_write(&out, key);
	if (chan_send(c, &out, -1) != 0)
		log_error("login worker %u was not told of key %u", w->slot, key);
	return true;
}

/* W is told of KEY; 0: that this was all. */
static void tell(struct worker *w, uint32_t key)
{
	key_queue_add(&w->news, key);
	chan_feed(w->chan, tell_next);
}

static void tell_all(uint32_t key)
{
	for (struct worker *w = keyd.workers; w != NULL; w = w->next)
		tell(w, key);
}

static void tell_each(uint32_t key, void *arg)
{
	tell(arg, key);
}

/* If a worker lost its end of the channel, it gets another one. */
static void replace_worker(unsigned slot, uint64_t generation)
{
	for (struct worker *w = keyd.workers, *next; w != NULL; w = next) {
		next = w->next;
		if (w->slot == slot && w->generation == generation)
			on_worker_gone(w->chan, w);
	}
}

static void on_channel(struct role_ctx *ctx, enum role other, unsigned slot, uint64_t generation, int sock)
{
	struct worker *w;

	if (other != ROLE_WORKER) {
		close(sock);
		return;
	}
	replace_worker(slot, generation);
	w = mem_alloc(sizeof(*w));
	w->slot = slot;
	w->generation = generation;
	w->chan = msg_channel_open(ctx->loop, sock, on_worker, on_worker_gone, w);
	w->next = keyd.workers;
	keyd.workers = w;
	key_begins_write(&out);
	if (chan_send(w->chan, &out, -1) != 0)
		log_error("login worker %u was not told that its key process is new", w->slot);
	keyring_each(keyd.ring, tell_each, w);
	if (!is_awaited())
		tell(w, 0);
}

/* Also long after the start: a worker that begins then waits for what a reload has brought. */
static void on_keys(struct role_ctx *ctx UNUSED, enum control_keys how)
{
	keyd.coming = how != CONTROL_KEYS_ALL;
	/* The master may not know of the loss yet, and pass others. */
	keyd.lost = keyd.lost && how != CONTROL_KEYS_AFRESH;
	if (is_awaited())
		return;
	tell_all(0);
	catch_up(0);
}

/* --- keys --- */

static void refuse(uint32_t key, const char *why)
{
	struct control_key_news news = { .key = key, .refused = true };

	snprintf(news.why, sizeof(news.why), "%s", why);
	role_key_news(&keyd.ctx, &news);
}

static bool read_file(int fd, const struct control_key *m)
{
	const char *why = keyring_read_file(fd, m->ocsp ? &keyd.ocsp : &keyd.pem);
	char text[KEY_WHY_MAX];

	if (why == NULL || m->ocsp)
		return true; /* what is wrong with an OCSP response does not harm the certificate */
	snprintf(text, sizeof(text), "%.*s: %s", KEY_WHY_MAX / 2, m->file, why);
	refuse(m->key, text);
	return false;
}

static void on_expiry(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	if (!keyring_expire(keyd.ring, clock_seconds()))
		ev_timer_stop(loop, t);
}

/* New clients are offered KEY no more; it signs for a while. */
static void retire(uint32_t key)
{
	bool had = keyring_retire(keyd.ring, key, clock_seconds() + RETIRED_SECONDS);

	tell_all(key); /* even of one that only a key process before this one had */
	if (!had)
		return;
	if (keyd.expiry.data == NULL) {
		keyd.expiry.data = &keyd;
		ev_timer_init(&keyd.expiry, on_expiry, EXPIRY_SECONDS, EXPIRY_SECONDS);
	}
	ev_timer_start(keyd.ctx.loop, &keyd.expiry); /* unless it runs */
}

/* A certificate is good without an OCSP response. */
static void staple(uint32_t key, struct control_key_news *news)
{
	const char *why;

	if (keyd.ocsp.len == 0)
		return;
	why = keyring_staple(keyd.ring, key, keyd.ocsp.data, keyd.ocsp.len - 1, (int64_t)time(NULL), &news->ocsp_until);
	if (why == NULL)
		return;
	news->ocsp_until = 0;
	snprintf(news->why, sizeof(news->why), "%s", why);
}

/* Clients would refuse KEY, but not the one that it would replace. */
static bool is_worse(uint32_t key, struct control_key_news *news)
{
	int64_t now = (int64_t)time(NULL), until;
	struct str why = STR_INIT, other_why = STR_INIT;
	bool worse = false;
	uint32_t other;

	if (keyring_fault(keyd.ring, key, now, &news->fault_until, &why)) {
		snprintf(news->fault, sizeof(news->fault), "%s", str_cstr(&why));
		worse = keyring_predecessor(keyd.ring, key, &other) &&
		    !keyring_fault(keyd.ring, other, now, &until, &other_why);
	}
	str_fini(&why);
	str_fini(&other_why);
	return worse;
}

/* What is refused does not replace what there is. One that clients refuse is better than none, and no better than one
 * that they refuse, too. */
static void take_key(const struct control_key *m)
{
	struct control_key_news news = { .key = m->key };
	uint32_t other;
	char err[256];

	if (!keyring_add(keyd.ring, m->key, m->use, keyd.pem.data, keyd.pem.len, err, sizeof(err))) {
		refuse(m->key, err);
		return;
	}
	if (is_worse(m->key, &news)) {
		keyring_drop(keyd.ring, m->key);
		refuse(m->key, news.fault);
		return;
	}
	news.until = keyring_until(keyd.ring, m->key);
	staple(m->key, &news);
	role_key_news(&keyd.ctx, &news);
	tell_all(m->key);
	catch_up(m->key);
	while (keyring_predecessor(keyd.ring, m->key, &other))
		retire(other);
}

static void forget_parts(void)
{
	str_fini_secret(&keyd.pem);
	str_fini(&keyd.ocsp);
	keyd.lacking = false;
}

static void on_key(struct role_ctx *ctx UNUSED, const struct control_key *m, int fd)
{
	if (keyd.pem_key != m->key || m->ocsp)
		forget_parts();
	else if (m->more) /* the first part, as an OCSP response is: what is there is of an attempt before */
		str_fini_secret(&keyd.pem);
	keyd.pem_key = m->key;
	keyd.lacking = keyd.lacking || fd == -1;
	keyd.lost = keyd.lost || fd == -1;
	/* One that is there is passed again because another key process had refused it, or this one lacked another. */
	if (!keyd.lacking && !keyring_has(keyd.ring, m->key) && read_file(fd, m) && !m->more)
		take_key(m);
	if (fd != -1)
		close(fd);
	if (!m->more)
		forget_parts();
}

static void on_key_gone(struct role_ctx *ctx UNUSED, const struct control_key_gone *m)
{
	uint32_t key;

	retire(m->key);
	while (keyring_for(keyd.ring, m->use, &key))
		retire(key);
}

static const struct role_hooks hooks = {
	.channel = on_channel,
	.keys = on_keys,
	.key = on_key,
	.key_gone = on_key_gone,
};

int keyd_main(const struct role_start *who)
{
	keyd.ring = keyring_new();
	role_init(&keyd.ctx, who, "key", &hooks, NULL);
	ev_run(keyd.ctx.loop, 0);
	keyring_free(&keyd.ring);
	log_flush();
	return 0;
}
