/* How long a role may leave the master's question unanswered, and what is done then. Arithmetic over a struct that is
 * all zeros for a new process, and a look at the process; master/watchdog.c asks and acts.
 *
 * Only time in which the role could have answered counts. A tick of the master that came late does not: it, or the
 * whole machine, was stopped. Seconds in which the role waited for a processor, or for a disk, count WATCH_BUSY_SHARE:
 * it may be a storm and no fault of the role. Time under a debugger does not count either. */
#ifndef MASTER_WATCH_H
#define MASTER_WATCH_H

#include <sys/types.h>

#include "lib/base.h"
#include "node/msg_channel.h"

enum {
	WATCH_TICK = 3,   /* seconds between two ticks of the master */
	WATCH_LATE = 1,   /* seconds by which a tick is late at most, to count */
	WATCH_START = 60, /* seconds for a process that has not said CTL_READY yet: loading takes its time */
};
#define WATCH_BUSY_SHARE 0.25

/* Seconds of silence, for a role. 0: that is not done to it. */
struct watch_bounds {
	double pass_by; /* another process is started for its post; it keeps its sessions, as at a reload */
	double kill;
};

/* What was done about the silence of a process. */
enum watch_step { WATCH_WELL, WATCH_PASSED_BY, WATCH_KILLED };

struct watch {
	bool asked;      /* the last question has no answer yet */
	double silent;   /* seconds that count since then */
	double answered; /* when it answered last (lib/clock.h); 0: never */
	bool looked;     /* there was a tick without an answer */
	double ran;      /* as in watch_look, then */
	enum watch_step step;
};

/* What the kernel says about a process. Zeros where it says nothing. */
struct watch_look {
	char state;   /* as ps shows it: 'R', 'S', 'D', 'T' ... */
	double ran;   /* CPU time in all, in seconds */
	pid_t tracer; /* 0: none */
};

/* NULL: ROLE is not watched, for it may block (auth workers). */
const struct watch_bounds *watch_bounds(enum role role);
/* Fills LOOK from /proc. */
void watch_look(pid_t pid, struct watch_look *look);
/* A tick, ELAPSED seconds after the last one, and still no answer. */
void watch_silence(struct watch *w, double elapsed, const struct watch_look *look);
/* The answer has come, NOW. True: it was passed by, which it is not any more. */
bool watch_answer(struct watch *w, double now);
/* What is to be done now; w->step: nothing more. READY: it has said CTL_READY. */
enum watch_step watch_due(const struct watch *w, const struct watch_bounds *b, bool ready);
/* Seconds that a process lived that was STARTED and has died NOW. What was killed for its silence counts until its last
 * answer, so that the back-off holds for what hangs again and again. */
double watch_lived(const struct watch *w, double started, double now);

#endif
