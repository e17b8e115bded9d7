/* A login worker on a real loop, whose authd and spawn are the test's: for tests that order its turns from within. */
#ifndef TESTS_WORKER_RIG_H
#define TESTS_WORKER_RIG_H

#include "tests/unit/msg_test.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/loop.h"
#include "login/credentials.h"
#include "login/worker.c"
#include "node/msg_ticket.h"

/* The worker, and the far ends of its two channels. */
static struct worker *w;
static int authd_end, spawn_end;

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

/* All messages at FD, those of bundles too. */
static inline void listen_to(int fd, void (*hears)(struct msgr *))
{
	static uint8_t buf[MSG_SIZE_MAX];
	struct msgr r, one;
	int passed;

	if (fd == -1)
		return;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (unit_recv(fd, buf, &r, &passed) == 1) {
		if (passed != -1)
			close(passed);
		if (r.type != 0xffff) {
			hears(&r);
			continue;
		}
		while (r.p != r.end && !r.bad) {
			size_t len;
			const void *p = msgr_bytes(&r, MSG_SIZE_MAX, &len);

			msgr_begin(&one, p, len);
			hears(&one);
		}
	}
}

static inline void rig_new(const struct login_dialect *const *dialects)
{
	int fd[2];

	w = mem_alloc(sizeof(*w));
	w->ctx.loop = loop_new();
	w->ctx.set = settings_defaults();
	w->ctx.arg = w;
	w->dialects = dialects;
	init(w);
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	authd_link_open(w->env.authd, fd[0]);
	authd_end = fd[1];
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	spawn_link_open(w->env.spawn, fd[0]);
	spawn_end = fd[1];
	ev_timer_init(&w->sweep, on_sweep, 0.1, 1);
	w->sweep.data = w;
}

/* Ends all logins, and what the worker hears of authd and spawn. */
static inline void rig_stop(void)
{
	while (w->env.logins != NULL)
		login_end(w->env.logins, LOGIN_BYE_SHUTDOWN);
	turns();
	authd_link_close(w->env.authd);
	close(authd_end);
	close(spawn_end);
}

static inline void rig_free(void)
{
	ev_timer_stop(w->ctx.loop, &w->sweep);
	acceptor_free(&w->acceptor);
	relays_free(&w->env.relays);
	authd_link_free(&w->env.authd);
	spawn_link_free(&w->env.spawn);
	request_table_free(&w->env.requests);
	stranger_limits_fini(&w->strangers);
	certificates_free(&w->env.certificates);
	tls_peers_free(&w->env.tls_peers);
	source_free(&w->env.source);
	for (int i = 0; i < PROTOCOL_COUNT * LOGIN_GREETINGS; i++)
		str_fini(&w->env.greeting[i / LOGIN_GREETINGS][i % LOGIN_GREETINGS]);
	settings_free(&w->ctx.set);
	mem_free(&w);
}

/* Descriptors that are open. */
static inline unsigned descriptors_now(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

#endif
