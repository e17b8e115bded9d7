/* A login worker on a real loop, whose authd and spawn are the test's: for tests that order its turns from within. */
#ifndef TESTS_WORKER_RIG_H
#define TESTS_WORKER_RIG_H

#include "tests/unit/msg_test.h"
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/loop.h"
#include "login/credentials.h"
#include "login/worker.c"

/* The worker, and the far ends of its two channels. */
static struct worker *w;
static int authd_end, spawn_end;

static inline int rig_channel(struct chan **c, chan_fn *on_msg, chan_gone_fn *on_gone)
{
	int fd[2];

	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	*c = chan_new(w->ctx.loop, fd[0], on_msg, on_gone, w);
	return fd[1];
}

/* What is posted in a turn is sent before the next one polls; coded connections need a few more turns. */
static inline void turns(void)
{
	for (int i = 0; i < 8; i++)
		ev_run(w->ctx.loop, EVRUN_NOWAIT);
}

/* The next message at FD, of TYPE; of a bundle, its first. False: there is none. */
static inline bool next(int fd, uint16_t type, struct msgr *r)
{
	static uint8_t buf[MSG_SIZE_MAX];
	int passed;
	size_t len;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (unit_recv(fd, buf, r, &passed) != 1)
		return false;
	if (passed != -1)
		close(passed);
	if (r->type == 0xffff) {
		const void *p = msgr_bytes(r, MSG_SIZE_MAX, &len);

		msgr_begin(r, p, len);
	}
	CU_ASSERT_EQUAL(r->type, type);
	return r->type == type;
}

static inline void rig_new(const struct login_dialect *const *dialects)
{
	w = mem_alloc(sizeof(*w));
	w->ctx.loop = loop_new();
	w->ctx.set = settings_defaults();
	w->ctx.arg = w;
	w->dialects = dialects;
	w->acceptor = acceptor_new(w->ctx.loop, &acceptor_hooks, w);
	header_wait_init(&w->headers, w->ctx.loop, on_header, w);
	strangers_init(&w->strangers, stranger_is_trusted, w);
	strangers_init(&w->holders, holder_is_trusted, w);
	w->relays = relay_pool_new(w->ctx.loop, 0, on_relay_end, w);
	w->here = relay_pool_new(w->ctx.loop, 0, on_end_here, w);
	authd_end = rig_channel(&w->authd, on_authd, on_authd_gone);
	spawn_end = rig_channel(&w->spawn, on_spawn, on_spawn_gone);
	ev_timer_init(&w->sweep, on_sweep, 0.1, 1);
	w->sweep.data = w;
}

/* Ends all logins, and what the worker hears of authd and spawn. */
static inline void rig_stop(void)
{
	while (w->logins != NULL)
		login_end(w->logins, LOGIN_BYE_SHUTDOWN);
	turns();
	chan_free(&w->authd);
	chan_free(&w->spawn);
	close(authd_end);
	close(spawn_end);
}

static inline void rig_free(void)
{
	ev_timer_stop(w->ctx.loop, &w->sweep);
	acceptor_free(&w->acceptor);
	relay_pool_free(&w->relays);
	strangers_fini(&w->strangers);
	strangers_fini(&w->holders);
	relay_pool_free(&w->here);
	for (int i = 0; i < PROTOCOL_COUNT * WORKER_GREETINGS; i++)
		str_fini(&w->greeting[i / WORKER_GREETINGS][i % WORKER_GREETINGS]);
	settings_free(&w->ctx.set);
	mem_free(&w->slots);
	mem_free(&w->free_slots);
	mem_free(&w);
}

#endif
