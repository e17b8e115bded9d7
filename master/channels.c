/* Channels between processes. */
#include "master/channels.h"

#include <unistd.h>

#include "master/keys.h"
#include "master/missing.h"
#include "node/msg_channel.h"

static struct msgw out;

bool channels_are_peers(const struct post *a, const struct post *b)
{
	static const uint8_t talk[ROLE_COUNT] = {
		[ROLE_WORKER] = 1 << ROLE_AUTHD | 1 << ROLE_SPAWN | 1 << ROLE_KEY,
		[ROLE_AUTHD] = 1 << ROLE_WORKER | 1 << ROLE_SPAWN | 1 << ROLE_AUTHWORKER,
		[ROLE_AUTHWORKER] = 1 << ROLE_AUTHD,
		[ROLE_SPAWN] = 1 << ROLE_WORKER | 1 << ROLE_AUTHD,
		[ROLE_KEY] = 1 << ROLE_WORKER,
	};

	if ((a->role == ROLE_KEY || b->role == ROLE_KEY) && a->slot != b->slot)
		return false;
	return (talk[a->role] & 1 << b->role) != 0;
}

/* A retired auth worker only finishes what it has; a retired login worker still reports ends of sessions. */
static bool takes_channels(const struct child *c)
{
	return c->introduced && c->control != NULL && !(c->retired && c->post->role == ROLE_AUTHWORKER);
}

static bool send_channel(struct child *to, const struct child *other, int sock)
{
	control_channel_write(&out,
	    &(struct control_process){ other->post->role, other->post->slot, other->generation });
	return children_send(to, &out, sock);
}

/* --- login workers and key processes --- */

static bool is_key_pair(const struct child *a, const struct child *b)
{
	return a->post->role == ROLE_KEY || b->post->role == ROLE_KEY;
}

static struct child *worker_of(struct child *a, struct child *b)
{
	return a->post->role == ROLE_WORKER ? a : b;
}

static void forget_key_end(struct child *worker)
{
	if (worker->key_end != -1)
		close(worker->key_end);
	worker->key_end = -1;
}

/* Without certificates in the settings a worker needs none: the key process there is may be one that workers before it
 * still use. */
static void begin_key_channel(struct child *worker)
{
	int fd[2];

	if (worker->key_end != -1 || msg_pair(fd) != 0)
		return;
	control_channel_write(&out, &(struct control_process){ ROLE_KEY, worker->post->slot, 0 });
	if (children_send(worker, &out, fd[0]))
		worker->key_end = fd[1];
	else
		close(fd[1]);
	close(fd[0]);
}

static void make_key_channel(struct child *worker, struct child *key)
{
	if (worker->key_end == -1 && !keys_wanted(worker->post->m->set))
		return;
	begin_key_channel(worker);
	if (worker->key_end == -1 || !send_channel(key, worker, worker->key_end))
		missing_add(worker, CTL_CHANNEL, key, 0);
}

static struct child *key_process_of(const struct child *worker)
{
	for (struct child *c = worker->post->m->children; c != NULL; c = c->next)
		if (is_key_pair(c, worker) && channels_are_peers(c->post, worker->post) && takes_channels(c))
			return c;
	return NULL;
}

bool channels_use_keys(const struct master *m, unsigned slot)
{
	for (const struct child *c = m->children; c != NULL; c = c->next)
		if (c->post->role == ROLE_WORKER && c->post->slot == slot && c->key_end != -1)
			return true;
	return false;
}

/* --- all --- */

static void make_channel(struct child *a, struct child *b)
{
	int fd[2];

	if (is_key_pair(a, b)) {
		make_key_channel(worker_of(a, b), worker_of(a, b) == a ? b : a);
		return;
	}
	if (msg_pair(fd) != 0) {
		missing_add(a, CTL_CHANNEL, b, 0);
		return;
	}
	if (!send_channel(a, b, fd[0]) || !send_channel(b, a, fd[1]))
		missing_add(a, CTL_CHANNEL, b, 0);
	close(fd[0]);
	close(fd[1]);
}

void channels_begin(struct child *c)
{
	if (c->post->role == ROLE_WORKER && keys_wanted(c->post->m->set))
		begin_key_channel(c);
	for (struct child *o = c->post->m->children; o != NULL; o = o->next)
		if (o != c && channels_are_peers(c->post, o->post) && takes_channels(o))
			make_channel(c, o);
	c->introduced = true;
}

static struct child *find(const struct master *m, const struct control_process *p)
{
	for (struct child *c = m->children; c != NULL; c = c->next)
		if (c->post->role == p->role && c->post->slot == p->slot && c->generation == p->generation)
			return c;
	return NULL;
}

void channels_missed(struct child *c, const struct control_process *p)
{
	struct child *other = find(c->post->m, p);

	if (p->role == ROLE_KEY && c->post->role == ROLE_WORKER) {
		forget_key_end(c);
		other = key_process_of(c);
	}
	if (other != NULL && channels_are_peers(c->post, other->post))
		missing_add(c, CTL_CHANNEL, other, 0);
}

void channels_repeat(struct child *a, struct child *b)
{
	if (!takes_channels(a) || !takes_channels(b))
		return;
	if (is_key_pair(a, b))
		forget_key_end(worker_of(a, b)); /* either of them may have missed its own */
	make_channel(a, b);
}

void channels_forget(struct child *c)
{
	forget_key_end(c);
}
