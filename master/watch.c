/* When a silent role is replaced. */
#include "master/watch.h"

#include <stdio.h>

#include "lib/num.h"

/* authd and spawn carry no session: what they are at is repeated or fails in a moment anyway. A login worker may relay
 * thousands, which all go on if it wakes up: new clients get another process soon, and the old one is ended when no
 * client can still wait for it. */
static const struct watch_bounds bounds[ROLE_COUNT] = {
	[ROLE_WORKER] = { .pass_by = 9, .kill = 300 },
	[ROLE_AUTHD] = { .kill = 9 },
	[ROLE_SPAWN] = { .kill = 9 },
};

const struct watch_bounds *watch_bounds(enum role role)
{
	return bounds[role].kill > 0 ? &bounds[role] : NULL;
}

/* The file WHAT of a process, opened; NULL: it is gone, or /proc does not show it. */
static FILE *open_proc(pid_t pid, const char *what)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, what);
	return fopen(path, "re");
}

void watch_look(pid_t pid, struct watch_look *look)
{
	unsigned long long ran, waited;
	char line[256];
	long tracer;
	FILE *f;

	*look = (struct watch_look){ 0 };
	if ((f = open_proc(pid, "status")) != NULL) {
		while (fgets(line, sizeof(line), f) != NULL) {
			sscanf(line, "State: %c", &look->state);
			if (sscanf(line, "TracerPid: %ld", &tracer) == 1)
				look->tracer = (pid_t)tracer;
		}
		fclose(f);
	}
	if ((f = open_proc(pid, "schedstat")) != NULL) {
		if (fscanf(f, "%llu %llu", &ran, &waited) == 2)
			look->waited = waited;
		fclose(f);
	}
}

static bool was_busy(const struct watch *w, double elapsed, const struct watch_look *look)
{
	/* Without an earlier figure nothing is known of this tick. */
	double waited = w->waited != 0 && look->waited > w->waited ? (double)(look->waited - w->waited) / 1e9 : 0;

	return look->state == 'D' || waited > elapsed / 2;
}

void watch_silence(struct watch *w, double elapsed, const struct watch_look *look)
{
	if (elapsed <= WATCH_TICK + WATCH_LATE && look->tracer == 0)
		w->silent += was_busy(w, elapsed, look) ? elapsed * WATCH_BUSY_SHARE : elapsed;
	w->waited = look->waited;
}

bool watch_answer(struct watch *w, double now)
{
	bool missed = w->step == WATCH_PASSED_BY;

	w->asked = false;
	w->silent = 0;
	w->waited = 0;
	w->answered = now;
	if (missed)
		w->step = WATCH_WELL;
	return missed;
}

enum watch_step watch_due(const struct watch *w, const struct watch_bounds *b, bool ready)
{
	if (w->silent >= (ready ? b->kill : MAX(b->kill, (double)WATCH_START)))
		return WATCH_KILLED;
	if (ready && b->pass_by > 0 && w->silent >= b->pass_by)
		return MAX(w->step, WATCH_PASSED_BY);
	return w->step;
}

double watch_lived(const struct watch *w, double started, double now)
{
	return w->step == WATCH_KILLED ? MAX(w->answered - started, 0.0) : now - started;
}
