/* The sessions in authd's register: who owns them, and what the owners report. */
#include "authd/sessions.h"

#include <string.h>
#include <time.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "node/msg_session.h"
#include "node/msg_ticket.h"

enum { TELL_SECONDS = 60 }; /* minimum between two log lines about the same thing */

static struct msgw out;

/* --- owners --- */

bool sessions_room(const struct authd_worker *w, const char *name)
{
	return w->session_bytes + reg_session_bytes(name) <= SESSIONS_WORKER_BYTES;
}

/* The worker that owns S; NULL: spawn does. */
static struct authd_worker *owner(const struct reg_session *s)
{
	return s->owner == OWNER_WORKER ? s->worker : NULL;
}

static void disown(struct reg_session *s)
{
	struct authd_worker *w = owner(s);

	if (w != NULL)
		w->session_bytes -= reg_session_bytes(s->user);
	s->owner = OWNER_SPAWN;
	s->worker = NULL;
}

void sessions_own(struct reg_session *s, struct authd_worker *w)
{
	s->owner = OWNER_WORKER;
	s->worker = w;
	w->session_bytes += reg_session_bytes(s->user);
}

static void drop(struct reg *reg, struct reg_session *s)
{
	disown(s);
	reg_remove(reg, s);
}

/* The worker that owns S has no more to do with it. */
static void leave(struct reg *reg, struct reg_session *s)
{
	if (s->program)
		disown(s);
	else
		drop(reg, s);
}

/* --- what owners report --- */

/* Why the session of M, which we did not grant to W, is not counted; NULL: it is. */
static const char *not_counted(const struct authd_worker *w, const struct session_have *m)
{
	if (w->generation > w->a->ctx.who.generation)
		return "sessions that nobody has granted to it";
	if (clock_now() - w->a->started > SESSIONS_TOLD_SECONDS)
		return "sessions of before too late";
	if (!sessions_room(w, m->user))
		return "more sessions than a worker can have";
	return NULL;
}

/* Spawn has told of S first: a program serves it, and its worker has the client, as M says. */
static bool is_of_program(const struct reg_session *s, const struct session_have *m)
{
	return s->program && owner(s) == NULL && s->protocol == m->protocol && strcmp(s->user, m->user) == 0 &&
	    net_addr_same_ip(&s->client, &m->client);
}

static void log_not_counted(struct authd_worker *w, const char *why)
{
	if (clock_now() >= w->tell_again)
		log_error("login worker %u reports %s: they are not counted for any limit", w->slot, why);
	w->tell_again = clock_now() + TELL_SECONDS;
}

bool sessions_have(struct authd *a, struct msgr *r, struct authd_worker *w)
{
	struct session_have m;
	struct reg_session *s;
	const char *why;

	if (!session_have_read(r, &m))
		return false;
	if ((s = reg_find(a->reg, m.session)) != NULL && w != NULL && !is_of_program(s, &m))
		return owner(s) == w;
	if (w != NULL && (why = not_counted(w, &m)) != NULL) {
		log_not_counted(w, why);
		return true;
	}
	if (s == NULL)
		s = reg_add(a->reg, m.session, m.protocol, &m.client, m.user, (uint32_t)time(NULL));
	else
		disown(s);
	if (w != NULL) {
		sessions_own(s, w);
		return true;
	}
	s->owner = OWNER_SPAWN;
	s->pid = m.pid;
	reg_set_ticket(s, NULL);
	return true;
}

bool sessions_program(struct authd *a, struct msgr *r)
{
	struct session_have m;
	struct reg_session *s;

	if (!session_have_read(r, &m))
		return false;
	/* Its worker may have told its end already, or has not told of it yet. */
	if ((s = reg_find(a->reg, m.session)) == NULL &&
	    (s = reg_add(a->reg, m.session, m.protocol, &m.client, m.user, (uint32_t)time(NULL))) != NULL)
		disown(s);
	s->program = true;
	s->pid = m.pid;
	reg_set_ticket(s, NULL);
	return true;
}

/* The login ended before its ticket was used: makes the ticket void. */
static void void_ticket(struct authd *a, const struct reg_session *s)
{
	if (s->ticket == NULL || a->spawn == NULL)
		return;
	ticket_void_write(&out, s->ticket);
	if (chan_send(a->spawn, &out, -1) != 0)
		log_error("spawn does not read its messages");
}

void sessions_end(struct authd_worker *w, uint64_t id)
{
	struct reg_session *s = reg_find(w->a->reg, id);

	if (s == NULL || owner(s) != w)
		return;
	void_ticket(w->a, s);
	leave(w->a->reg, s);
}

/* S has no program any more. */
static void end_program(struct reg *reg, struct reg_session *s)
{
	s->program = false;
	s->pid = 0;
	if (owner(s) == NULL)
		drop(reg, s);
}

void sessions_ended(struct authd *a, uint64_t id)
{
	struct reg_session *s = reg_find(a->reg, id);

	if (s != NULL && s->program)
		end_program(a->reg, s);
	else if (s != NULL)
		drop(a->reg, s);
}

static void lose_program(struct reg *reg, struct reg_session *s, void *arg UNUSED)
{
	if (s->program)
		end_program(reg, s);
}

void sessions_programs_lost(struct authd *a)
{
	reg_each(a->reg, lose_program, NULL);
}

static void drop_of_worker(struct reg *reg, struct reg_session *s, void *arg)
{
	if (owner(s) == arg)
		leave(reg, s);
}

void sessions_drop(struct authd_worker *w)
{
	reg_each(w->a->reg, drop_of_worker, w);
}

struct reg_session *sessions_pending(const struct authd_worker *w, uint64_t id, uint8_t target)
{
	struct reg_session *s = reg_find(w->a->reg, id);

	return s != NULL && owner(s) == w && s->pending != NULL && target < s->pending->ntargets ? s : NULL;
}

/* --- a new spawn --- */

static void adopt(struct reg *reg UNUSED, struct reg_session *s, void *arg)
{
	struct authd *a = arg;

	if (s->owner != OWNER_SPAWN || s->pid == 0)
		return;
	session_adopt_write(&out, s->id, (enum protocol)s->protocol, &s->client, s->user, s->pid, s->start);
	if (chan_send(a->spawn, &out, -1) != 0)
		log_error("spawn does not read its messages");
}

void sessions_adopt(struct authd *a)
{
	reg_each(a->reg, adopt, a);
}
