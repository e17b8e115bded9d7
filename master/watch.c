/* When a silent role is replaced. */
#include "master/watch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* authd and spawn carry no session: what they are at is repeated or fails in a moment anyway. A login worker may relay
 * thousands, which all go on if it wakes up: new clients get another process soon, and the old one is ended when no
 * client can still wait for it. A key process may have thousands of certificates to read. */
static const struct watch_bounds bounds[ROLE_COUNT] = {
	[ROLE_WORKER] = { .pass_by = 9, .kill = 300 },
	[ROLE_AUTHD] = { .kill = 9 },
	[ROLE_SPAWN] = { .kill = 9 },
	[ROLE_KEY] = { .kill = 60 },
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

/* State and CPU time. The name before them may have blanks and parentheses in it. */
static void look_at_stat(FILE *f, struct watch_look *look)
{
	unsigned long long user, system;
	char line[1024], state, *p;

	if (fgets(line, sizeof(line), f) == NULL || (p = strrchr(line, ')')) == NULL ||
	    sscanf(p + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &state, &user, &system) != 3)
		return;
	look->state = state;
	look->ran = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void look_at_status(FILE *f, struct watch_look *look)
{
	char line[256];
	long tracer;

	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "TracerPid: %ld", &tracer) == 1)
			look->tracer = (pid_t)tracer;
}

void watch_look(pid_t pid, struct watch_look *look)
{
	FILE *f;

	*look = (struct watch_look){ 0 };
	if ((f = open_proc(pid, "stat")) != NULL) {
		look_at_stat(f, look);
		fclose(f);
	}
	if ((f = open_proc(pid, "status")) != NULL) {
		look_at_status(f, look);
		fclose(f);
	}
}

/* It wants to run, and got less than half of a processor. The time that it waited for one (schedstat) would not tell:
 * the kernel adds it when the wait ends. */
static bool was_starved(const struct watch *w, double elapsed, const struct watch_look *look)
{
	return look->state == 'R' && w->looked && look->ran - w->ran < elapsed / 2;
}

void watch_silence(struct watch *w, double elapsed, const struct watch_look *look)
{
	if (elapsed <= WATCH_TICK + WATCH_LATE && look->tracer == 0)
		w->silent += elapsed * (look->state == 'D' || was_starved(w, elapsed, look) ? WATCH_BUSY_SHARE : 1);
	w->looked = true;
	w->ran = look->ran;
}

bool watch_answer(struct watch *w, double now)
{
	bool missed = w->step == WATCH_PASSED_BY;

	w->asked = false;
	w->silent = 0;
	w->looked = false;
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
