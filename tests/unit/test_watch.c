/* When a silent role is replaced: ticks of a made-up clock, and looks at real processes. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "master/backoff.h"
#include "master/watch.h"
#include "tests/unit/unit.h"

static const struct watch_look sleeping = { .state = 'S', .ran = 1 }, stopped = { .state = 'T', .ran = 1 };

/* Ticks without an answer until something new is to be done; TICKS if that does not come. */
static int ticks_until(struct watch *w, enum role role, bool ready, const struct watch_look *look, double elapsed,
    int ticks)
{
	for (int i = 1; i <= ticks; i++) {
		enum watch_step due;

		watch_silence(w, elapsed, look);
		if ((due = watch_due(w, watch_bounds(role), ready)) != w->step) {
			w->step = due;
			return i;
		}
	}
	return ticks;
}

static void what_may_block_is_not_watched(void)
{
	CU_ASSERT_PTR_NULL(watch_bounds(ROLE_AUTHWORKER));
	CU_ASSERT_PTR_NULL(watch_bounds(ROLE_MASTER));
}

static void authd_and_spawn_are_killed_within_seconds(void)
{
	static const enum role roles[] = { ROLE_AUTHD, ROLE_SPAWN };

	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		struct watch w = { .asked = true };

		CU_ASSERT_EQUAL(ticks_until(&w, roles[i], true, i == 0 ? &stopped : &sleeping, WATCH_TICK, 100), 3);
		CU_ASSERT_EQUAL(w.step, WATCH_KILLED);
		CU_ASSERT(w.silent >= 8 && w.silent <= 15);
		/* Once is enough. */
		CU_ASSERT_EQUAL(ticks_until(&w, roles[i], true, &stopped, WATCH_TICK, 1000), 1000);
	}
}

static void a_key_process_is_killed_after_a_minute(void)
{
	struct watch w = { .asked = true };

	CU_ASSERT_EQUAL(ticks_until(&w, ROLE_KEY, true, &stopped, WATCH_TICK, 100), 20);
	CU_ASSERT_EQUAL(w.step, WATCH_KILLED);
	CU_ASSERT(w.silent >= 60 && w.silent < 70);
}

static void a_worker_is_passed_by_long_before_it_is_killed(void)
{
	struct watch w = { .asked = true };

	CU_ASSERT_EQUAL(ticks_until(&w, ROLE_WORKER, true, &stopped, WATCH_TICK, 1000), 3);
	CU_ASSERT_EQUAL(w.step, WATCH_PASSED_BY);
	CU_ASSERT_EQUAL(ticks_until(&w, ROLE_WORKER, true, &stopped, WATCH_TICK, 1000), 97);
	CU_ASSERT_EQUAL(w.step, WATCH_KILLED);
	CU_ASSERT(w.silent >= 300 && w.silent < 310);
}

static void an_answer_however_late_is_one(void)
{
	struct watch w = { .asked = true };

	for (int i = 0; i < 100; i++) {
		CU_ASSERT_EQUAL(ticks_until(&w, ROLE_AUTHD, true, &sleeping, WATCH_TICK, 2), 2);
		CU_ASSERT(!watch_answer(&w, i));
		CU_ASSERT(!w.asked);
		CU_ASSERT_EQUAL(w.answered, i);
		w.asked = true;
	}
	CU_ASSERT_EQUAL(ticks_until(&w, ROLE_WORKER, true, &stopped, WATCH_TICK, 50), 3);
	CU_ASSERT(watch_answer(&w, 1)); /* it was stopped, and continues */
	CU_ASSERT_EQUAL(w.step, WATCH_WELL);
	CU_ASSERT(!watch_answer(&w, 2));
}

static void what_was_killed_stays_so(void)
{
	struct watch w = { .asked = true };

	ticks_until(&w, ROLE_AUTHD, true, &stopped, WATCH_TICK, 10);
	CU_ASSERT(!watch_answer(&w, 1)); /* was under way */
	CU_ASSERT_EQUAL(w.step, WATCH_KILLED);
	CU_ASSERT_EQUAL(watch_due(&w, watch_bounds(ROLE_AUTHD), true), WATCH_KILLED);
}

/* The master was stopped, the machine slept, or was frozen. */
static void late_ticks_do_not_count(void)
{
	static const double elapsed[] = { 4.1, 5, 15, 60, 86400 };

	for (size_t i = 0; i < ARRAY_LEN(elapsed); i++) {
		struct watch w = { .asked = true };

		CU_ASSERT_EQUAL(ticks_until(&w, ROLE_AUTHD, true, &sleeping, elapsed[i], 1000), 1000);
		CU_ASSERT_EQUAL(w.silent, 0);
		/* From then on it has its whole time. */
		CU_ASSERT_EQUAL(ticks_until(&w, ROLE_AUTHD, true, &sleeping, WATCH_TICK, 100), 3);
	}
}

static void slow_ticks_count_as_the_time_they_took(void)
{
	struct watch w = { .asked = true };

	CU_ASSERT_EQUAL(ticks_until(&w, ROLE_AUTHD, true, &sleeping, 3.9, 100), 3);
	CU_ASSERT_DOUBLE_EQUAL(w.silent, 11.7, 0.01);
}

/* A storm: it wants to run, and mostly waits for a processor. */
static void who_waits_for_a_processor_has_longer(void)
{
	struct watch_look look = { .state = 'R', .ran = 100 };
	struct watch w = { .asked = true };
	int ticks = 0;

	do {
		watch_silence(&w, WATCH_TICK, &look);
		look.ran += 1; /* of 3 s */
		ticks++;
	} while (watch_due(&w, watch_bounds(ROLE_AUTHD), true) == WATCH_WELL && ticks < 100);
	CU_ASSERT_EQUAL(ticks, 9); /* the first tells nothing yet */
	CU_ASSERT(w.silent >= 9 && w.silent < 12);
}

/* Not a moment of one. */
static void who_gets_no_processor_has_longer(void)
{
	const struct watch_look look = { .state = 'R', .ran = 100 };
	struct watch w = { .asked = true };

	CU_ASSERT_EQUAL(ticks_until(&w, ROLE_AUTHD, true, &look, WATCH_TICK, 100), 9);
}

static void who_turns_in_a_circle_has_not(void)
{
	struct watch_look look = { .state = 'R', .ran = 100 };
	struct watch w = { .asked = true };

	for (int i = 0; i < 2; i++) {
		watch_silence(&w, WATCH_TICK, &look);
		look.ran += 2.9;
		CU_ASSERT_EQUAL(watch_due(&w, watch_bounds(ROLE_AUTHD), true), WATCH_WELL);
	}
	watch_silence(&w, WATCH_TICK, &look);
	CU_ASSERT_EQUAL(watch_due(&w, watch_bounds(ROLE_AUTHD), true), WATCH_KILLED);
}

static void who_waits_for_a_disk_has_longer(void)
{
	const struct watch_look look = { .state = 'D' };
	struct watch w = { .asked = true };

	CU_ASSERT_EQUAL(ticks_until(&w, ROLE_AUTHD, true, &look, WATCH_TICK, 100), 12);
}

static void who_is_debugged_is_left_alone(void)
{
	const struct watch_look look = { .state = 't', .tracer = 77 };
	struct watch w = { .asked = true };

	CU_ASSERT_EQUAL(ticks_until(&w, ROLE_AUTHD, true, &look, WATCH_TICK, 10000), 10000);
	CU_ASSERT_EQUAL(ticks_until(&w, ROLE_AUTHD, true, &sleeping, WATCH_TICK, 100), 3);
}

static void who_starts_has_a_minute(void)
{
	struct watch w = { .asked = true };

	CU_ASSERT_EQUAL(ticks_until(&w, ROLE_AUTHD, false, &sleeping, WATCH_TICK, 100), 20);
	CU_ASSERT_EQUAL(w.step, WATCH_KILLED);
	w = (struct watch){ .asked = true };
	CU_ASSERT_EQUAL(ticks_until(&w, ROLE_WORKER, false, &sleeping, WATCH_TICK, 1000), 100);
	CU_ASSERT_EQUAL(w.step, WATCH_KILLED);
}

static void nothing_known_is_silence(void)
{
	const struct watch_look nothing = { 0 };
	struct watch w = { .asked = true };

	CU_ASSERT_EQUAL(ticks_until(&w, ROLE_AUTHD, true, &nothing, WATCH_TICK, 100), 3);
}

/* What hangs again and again is started slower and slower: it has lived until its last answer. */
static void hanging_again_and_again_is_dying_young(void)
{
	static const unsigned delays[] = { 0, 1, 2, 4 };
	struct backoff b = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(delays); i++) {
		struct watch w = { .asked = true, .answered = 1003 };

		ticks_until(&w, ROLE_AUTHD, true, &stopped, WATCH_TICK, 10);
		CU_ASSERT_EQUAL(backoff_after(&b, watch_lived(&w, 1000, 1015)), delays[i]);
	}
}

static void lived_until_its_last_answer(void)
{
	struct watch w = { .answered = 1500 };

	CU_ASSERT_EQUAL(watch_lived(&w, 1000, 1501), 501); /* it crashed */
	w.step = WATCH_KILLED;
	CU_ASSERT_EQUAL(watch_lived(&w, 1000, 1510), 500);
	w.answered = 0;
	CU_ASSERT_EQUAL(watch_lived(&w, 1000, 1060), 0);
}

static pid_t fork_pausing(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	return pid;
}

static void the_kernel_tells_who_is_stopped(void)
{
	pid_t pid = fork_pausing();
	struct watch_look look;
	int status;

	CU_ASSERT_FATAL(pid > 0);
	watch_look(pid, &look);
	CU_ASSERT(look.state == 'S' || look.state == 'R');
	CU_ASSERT_EQUAL(look.tracer, 0);
	kill(pid, SIGSTOP);
	CU_ASSERT_EQUAL(waitpid(pid, &status, WUNTRACED), pid);
	watch_look(pid, &look);
	CU_ASSERT_EQUAL(look.state, 'T');
	kill(pid, SIGKILL);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	watch_look(pid, &look);
	CU_ASSERT(look.state == 0 && look.tracer == 0 && look.ran == 0);
}

static void the_kernel_tells_how_long_a_process_ran(void)
{
	struct watch_look look;

	prctl(PR_SET_NAME, "a) Z 1 (b", 0, 0, 0);
	do
		watch_look(getpid(), &look);
	while (look.ran < 0.02);
	CU_ASSERT_EQUAL(look.state, 'R');
	CU_ASSERT(look.ran <= (double)clock_cpu_ms() / 1000 + 0.02);
}

static void the_kernel_tells_who_is_debugged(void)
{
	pid_t pid = fork_pausing();
	struct watch_look look;
	int status;

	CU_ASSERT_FATAL(pid > 0);
	/* Not allowed everywhere. */
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0) {
		watch_look(pid, &look);
		CU_ASSERT_EQUAL(look.tracer, getpid());
	}
	kill(pid, SIGKILL);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
}

static const struct unit_case cases[] = {
	{ "what may block is not watched", what_may_block_is_not_watched },
	{ "authd and spawn are killed within seconds", authd_and_spawn_are_killed_within_seconds },
	{ "a key process is killed after a minute", a_key_process_is_killed_after_a_minute },
	{ "a worker is passed by long before it is killed", a_worker_is_passed_by_long_before_it_is_killed },
	{ "an answer, however late, is one", an_answer_however_late_is_one },
	{ "what was killed stays so", what_was_killed_stays_so },
	{ "late ticks do not count", late_ticks_do_not_count },
	{ "slow ticks count as the time they took", slow_ticks_count_as_the_time_they_took },
	{ "who waits for a processor has longer", who_waits_for_a_processor_has_longer },
	{ "who gets no processor has longer", who_gets_no_processor_has_longer },
	{ "who turns in a circle has not", who_turns_in_a_circle_has_not },
	{ "who waits for a disk has longer", who_waits_for_a_disk_has_longer },
	{ "who is debugged is left alone", who_is_debugged_is_left_alone },
	{ "who starts has a minute", who_starts_has_a_minute },
	{ "nothing known is silence", nothing_known_is_silence },
	{ "hanging again and again is dying young", hanging_again_and_again_is_dying_young },
	{ "lived until its last answer", lived_until_its_last_answer },
	{ "the kernel tells who is stopped", the_kernel_tells_who_is_stopped },
	{ "the kernel tells how long a process ran", the_kernel_tells_how_long_a_process_ran },
	{ "the kernel tells who is debugged", the_kernel_tells_who_is_debugged },
	{ NULL, NULL },
};
UNIT_MAIN("watch", cases)
