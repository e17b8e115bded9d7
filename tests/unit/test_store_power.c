/* Power cuts: one change of a Maildir after the other is made and recorded, and for a cut behind each step a disk
 * is made of what may have reached it. What is seen there is what was acknowledged before the cut, and the change
 * under way is done or not. WAYPOST_SEED=N repeats what an earlier run printed, WAYPOST_LONG=1 tries more. */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit/disk_record.h"
#include "tests/unit/file_calls.h"
#include "tests/unit/store_world.h"
#include "tests/unit/unit.h"

enum { FINDINGS_MAX = 10 };

/* After each change: what was told by then, what can be seen, how many steps it took. */
static struct {
	struct world told;
	char *text;
	size_t steps;
} after[CHANGES_MAX + 1];
static unsigned findings;

/* The process that held a lock is gone by then, but it is us: the lock is as old as it would have to be. */
static int age_lock(const char *path, const struct stat *st UNUSED, int type UNUSED, struct FTW *ftw)
{
	static const struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };

	return strcmp(path + ftw->base, "courier.lock") == 0 ? utimensat(AT_FDCWD, path, old, 0) : 0;
}

static char *see_disk(const struct world *told, size_t steps, enum disk_model model, uint64_t seed)
{
	struct world w;
	char dir[96], *text;

	snprintf(dir, sizeof(dir), "%s.cut", told->dir);
	disk_record_make(steps, model, seed, dir);
	nftw(dir, age_lock, 16, FTW_PHYS);
	world_at(&w, told, dir);
	text = world_seen(&w);
	world_end(&w);
	return text;
}

static void record(struct world *w)
{
	after[0].told = *w;
	after[0].steps = disk_record_steps();
	for (size_t i = 0; i < n_changes; i++) {
		if (changes[i].prepare != NULL)
			changes[i].prepare(w);
		CU_ASSERT_EQUAL_FATAL(changes[i].run(w), MD_OK);
		after[i + 1].told = *w;
		after[i + 1].steps = disk_record_steps();
	}
	file_calls_tell(NULL);
	for (size_t i = 0; i <= n_changes; i++)
		after[i].text = see_disk(&after[i].told, after[i].steps, DISK_ALL, 0);
}

/* The message that is moved may be in both folders, if the disk has no journal. */
static bool is_in_both(const char *seen, const char *moved)
{
	char *text = strdup(seen);
	bool same;

	world_forget(text, " 4 flags 0;");
	same = strcmp(text, moved) == 0;
	free(text);
	return same;
}

/* A cut behind STEPS steps, while change I is under way. */
static void one_cut(size_t i, size_t steps, enum disk_model model, uint64_t seed)
{
	char *text = see_disk(&after[i].told, steps, model, seed);

	world_forget(text, WORLD_RAISED);
	if (strcmp(text, after[i].text) != 0 && strcmp(text, after[i + 1].text) != 0 &&
	    !(model == DISK_STRICT && strcmp(changes[i].name, "MOVE") == 0 && is_in_both(text, after[i + 1].text))) {
		if (findings++ < FINDINGS_MAX)
			printf("\n%s: power cut behind step %zu of %zu to %zu, %s disk, WAYPOST_SEED=%llu\n%s",
			    changes[i].name, steps, after[i].steps, after[i + 1].steps,
			    model == DISK_ORDERED ? "ordered" : "strict", (unsigned long long)seed, text);
		CU_FAIL("not what was, and not what was to be");
	}
	free(text);
}

static void test_cuts(void)
{
	const char *given = getenv("WAYPOST_SEED");
	uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000000 + (uint64_t)getpid();
	unsigned samples = given != NULL ? 1 : getenv("WAYPOST_LONG") != NULL ? 40 : 3;
	struct world w;

	CU_ASSERT_FATAL(n_changes < CHANGES_MAX);
	world_begin(&w, false);
	disk_record_begin(w.dir);
	record(&w);
	for (unsigned k = 0; k < samples; k++, seed++) {
		printf("WAYPOST_SEED=%llu\n", (unsigned long long)seed);
		for (size_t i = 0; i < n_changes; i++)
			for (size_t at = after[i].steps; at <= after[i + 1].steps; at++) {
				one_cut(i, at, DISK_ORDERED, seed);
				one_cut(i, at, DISK_STRICT, seed);
			}
	}
	for (size_t i = 0; i <= n_changes; i++)
		free(after[i].text);
	disk_record_end();
	world_end(&w);
}

static const struct unit_case cases[] = { { "power cuts", test_cuts }, { NULL, NULL } };

UNIT_MAIN("store_power", cases)
