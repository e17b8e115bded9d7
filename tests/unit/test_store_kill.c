/* Processes are killed at random moments while others work on the same Maildir: afterwards all is as it was, or as
 * it was to be, and nobody is held up. WAYPOST_SEED=N begins with what an earlier run printed; when others come in
 * between is not repeated. WAYPOST_KILLS: how many for each change. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/file_calls.h"
#include "tests/unit/store_world.h"
#include "tests/unit/unit.h"

enum { KILLS = 12, OTHERS = 2, STEPS_MAX = 5000, CALLS_MORE = 40 /* what others cause */ };

static char *before[CHANGES_MAX], *after[CHANGES_MAX];
static uint64_t seed;
static struct world_told *told; /* by the process that was to be killed, if it was not */

static unsigned below(unsigned n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)(seed % n);
}

/* A process of its own: another session at work until it is killed. */
static pid_t work(const struct world *of, unsigned first)
{
	struct world w;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	world_at(&w, of, of->dir);
	for (unsigned i = first; i < STEPS_MAX; i++)
		world_load(&w, i);
	_exit(0);
}

/* The calls that change I makes if it is alone. */
static unsigned calls_of(size_t i)
{
	struct world w;
	unsigned n;

	world_begin(&w, false);
	if (changes[i].prepare != NULL)
		changes[i].prepare(&w);
	file_calls_begin(FILE_NONE, 0, 0);
	CU_ASSERT_EQUAL(changes[i].run(&w), MD_OK);
	n = file_calls_end();
	world_end(&w);
	return n;
}

static void one(size_t i, unsigned calls)
{
	unsigned long long with = seed;
	unsigned n = 1 + below(calls + CALLS_MORE);
	pid_t others[OTHERS], pid;
	struct world w;
	char *text;
	int status;

	world_begin(&w, false);
	if (changes[i].prepare != NULL)
		changes[i].prepare(&w);
	fflush(NULL);
	for (unsigned k = 0; k < OTHERS; k++)
		others[k] = work(&w, k);
	usleep(below(2000));
	if ((pid = fork()) == 0) {
		file_calls_begin(FILE_KILL, n, 0);
		if (changes[i].run(&w) != MD_OK)
			_exit(1);
		file_calls_end();
		*told = w.told;
		_exit(0);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		w.told = *told;
	for (unsigned k = 0; k < OTHERS; k++) {
		kill(others[k], SIGKILL);
		CU_ASSERT_EQUAL(waitpid(others[k], NULL, 0), others[k]);
	}
	text = world_seen(&w);
	world_forget(text, WORLD_RAISED);
	if (strcmp(text, after[i]) != 0 &&
	    ((WIFEXITED(status) && WEXITSTATUS(status) == 0) || strcmp(text, before[i]) != 0)) {
		printf("\n%s, killed at call %u, WAYPOST_SEED=%llu\n%s", changes[i].name, n, with, text);
		CU_FAIL("not what was, and not what was to be");
	}
	free(text);
	world_end(&w);
}

static void test_kills(void)
{
	const char *given = getenv("WAYPOST_SEED"), *many = getenv("WAYPOST_KILLS");
	unsigned kills = many != NULL ? (unsigned)strtoul(many, NULL, 10) : KILLS;

	seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();
	printf("WAYPOST_SEED=%llu, %u kills for each change\n", (unsigned long long)seed, kills);
	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CU_ASSERT_FATAL(told != MAP_FAILED);
	world_learn(before, after, false);
	for (size_t i = 0; i < n_changes; i++) {
		unsigned calls = calls_of(i);

		for (unsigned k = 0; k < kills; k++)
			one(i, calls);
	}
}

static const struct unit_case cases[] = { { "killed under load", test_kills }, { NULL, NULL } };

UNIT_MAIN("store_kill", cases)
