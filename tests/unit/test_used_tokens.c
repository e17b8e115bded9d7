/* Is a token that was used refused for ever, whatever becomes of authd, its file and the clock; and one that was not,
 * taken. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "authd/used_tokens.h"
#include "tests/unit/unit.h"

enum { NOW = 1800000000, AGE = TOKEN_AGE_MAX, RECORD = 64 };

static struct used_tokens *t;
static int file;

/* The token number N. */
static const char *token(unsigned n)
{
	static char text[TOKEN_TEXT_MAX];

	snprintf(text, sizeof(text), "%08x%056x", n, n * 2654435761U);
	return text;
}

static enum used_token take(unsigned n, uint64_t made, uint64_t now)
{
	return used_tokens_take(t, token(n), made, now);
}

/* What the master does for a new authd. */
static void start_authd(uint64_t now)
{
	t = used_tokens_open(fcntl(file, F_DUPFD_CLOEXEC, 0), now);
}

/* A killed one writes nothing more. */
static void restart_authd(uint64_t now)
{
	used_tokens_free(&t);
	start_authd(now);
}

static void begin(void)
{
	file = used_tokens_file();
	CU_ASSERT_NOT_EQUAL_FATAL(file, -1);
	start_authd(NOW);
}

static void end(void)
{
	used_tokens_free(&t);
	CU_ASSERT_PTR_NULL(t);
	used_tokens_free(&t);
	close(file);
}

static void test_once(void)
{
	begin();
	CU_ASSERT_EQUAL(take(1, NOW, NOW), USED_TOKEN_FRESH);
	CU_ASSERT_EQUAL(take(1, NOW, NOW), USED_TOKEN_AGAIN);
	CU_ASSERT_EQUAL(take(2, NOW - AGE, NOW), USED_TOKEN_FRESH);
	CU_ASSERT_EQUAL(take(2, NOW - AGE, NOW), USED_TOKEN_AGAIN);
	CU_ASSERT_EQUAL(take(3, NOW + AGE, NOW), USED_TOKEN_FRESH);
	for (int s = 0; s <= 2 * AGE; s++)
		CU_ASSERT_EQUAL(take(3, NOW + AGE, NOW + (uint64_t)s), USED_TOKEN_AGAIN);
	end();
}

/* A token was good again after authd had died. */
static void test_restart(void)
{
	begin();
	for (unsigned n = 0; n < 100; n++) {
		CU_ASSERT_EQUAL(take(n, NOW - AGE + n, NOW), USED_TOKEN_FRESH);
		restart_authd(NOW);
		for (unsigned k = 0; k <= n; k++)
			CU_ASSERT_EQUAL(take(k, NOW - AGE + k, NOW), USED_TOKEN_AGAIN);
	}
	CU_ASSERT_EQUAL(take(100, NOW, NOW), USED_TOKEN_FRESH);
	/* Places of those that were forgotten, before and after a restart, are used again. */
	for (unsigned n = 1000; n < 1300; n++) {
		uint64_t now = NOW + n;

		if (n % 7 == 0)
			restart_authd(now);
		CU_ASSERT_EQUAL(take(n, now, now), USED_TOKEN_FRESH);
		CU_ASSERT_EQUAL(take(n, now, now), USED_TOKEN_AGAIN);
		CU_ASSERT_EQUAL(take(MAX(n - AGE, 1000U), MAX(now - AGE, NOW + 1000), now), USED_TOKEN_AGAIN);
	}
	end();
}

/* Nothing that authd does to the file makes it shorter or longer. */
static void test_sealed(void)
{
	begin();
	CU_ASSERT_EQUAL(ftruncate(file, 0), -1);
	CU_ASSERT_EQUAL(ftruncate(file, 1 << 30), -1);
	CU_ASSERT_EQUAL(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE), -1); /* nor makes it useless to the next one */
	end();
}

static uint64_t file_bytes(void)
{
	return (uint64_t)lseek(file, 0, SEEK_END);
}

/* What may have been used is refused, and no login by a token of later. */
static void check_lost(uint64_t now, const char *what, size_t at)
{
	bool good = take(1, now, now) != USED_TOKEN_FRESH && take(7777, now - AGE, now) == USED_TOKEN_OLD &&
	    take(7778, now + AGE, now) == USED_TOKEN_OLD;

	restart_authd(now + 1);
	good = good && take(1, now, now + 1) != USED_TOKEN_FRESH &&
	    take(7779, now + AGE + 1, now + 1) == USED_TOKEN_FRESH &&
	    take(7779, now + AGE + 1, now + 1) == USED_TOKEN_AGAIN &&
	    take(7780, now + AGE + 1, now + AGE + 1) == USED_TOKEN_FRESH;
	if (!good)
		printf("%s at %zu\n", what, at);
	CU_ASSERT(good);
}

/* The first records, byte by byte, spoiled one after the other: they have four tokens, of which one is forgotten. */
static void test_damage_at_every_byte(void)
{
	uint8_t before[6 * RECORD], byte;

	for (size_t at = 0; at < sizeof(before); at++)
		for (int how = 0; how < 3; how++) {
			begin();
			CU_ASSERT_EQUAL(take(0, NOW - AGE - 1, NOW - 1), USED_TOKEN_FRESH);
			CU_ASSERT_EQUAL(take(1, NOW, NOW), USED_TOKEN_FRESH);
			CU_ASSERT_EQUAL(take(2, NOW + 1, NOW), USED_TOKEN_FRESH);
			CU_ASSERT_EQUAL(take(3, NOW + 20, NOW + 20), USED_TOKEN_FRESH);
			CU_ASSERT_EQUAL_FATAL(pread(file, before, sizeof(before), 0), sizeof(before));
			byte = how == 0 ? before[at] ^ 1 : how == 1 ? (uint8_t)~before[at] : 0;
			if (byte != before[at]) {
				CU_ASSERT_EQUAL(pwrite(file, &byte, 1, (off_t)at), 1);
				restart_authd(NOW + 20);
				check_lost(NOW + 20, "a byte", at);
			}
			end();
		}
}

static void test_damage_anywhere(void)
{
	uint8_t junk[3 * RECORD];
	uint64_t size;

	srand(7);
	for (int turn = 0; turn < 60; turn++) {
		uint64_t at;
		size_t len = 1 + (size_t)rand() % sizeof(junk);

		begin();
		size = file_bytes();
		for (unsigned n = 0; n < 5; n++)
			CU_ASSERT_EQUAL(take(n, NOW, NOW), USED_TOKEN_FRESH);
		at = turn == 0 ? size - len : (uint64_t)rand() % (size - len);
		for (size_t i = 0; i < len; i++)
			junk[i] = (uint8_t)(1 + rand() % 255);
		CU_ASSERT_EQUAL(pwrite(file, junk, len, (off_t)at), (ssize_t)len);
		restart_authd(NOW);
		check_lost(NOW, "junk", at);
		end();
	}
}

/* Records of ours that do not stand where they were written; a head that is gone. */
static void test_damage_by_moving(void)
{
	uint8_t r[RECORD], none[RECORD] = { 0 };

	for (int turn = 0; turn < 3; turn++) {
		begin();
		CU_ASSERT_EQUAL(take(1, NOW, NOW), USED_TOKEN_FRESH);
		CU_ASSERT_EQUAL(take(2, NOW, NOW), USED_TOKEN_FRESH);
		CU_ASSERT_EQUAL(pread(file, r, sizeof(r), (turn == 0 ? 0 : RECORD)), sizeof(r));
		CU_ASSERT_EQUAL(pwrite(file, turn == 2 ? none : r, RECORD, turn == 2 ? 0 : 2 * RECORD), RECORD);
		restart_authd(NOW);
		check_lost(NOW, "moved", (size_t)turn);
		end();
	}
}

/* Nothing that is good is forgotten for want of room. */
static void test_full(void)
{
	begin();
	for (unsigned n = 0; n < USED_TOKENS_MAX; n++)
		if (take(n, NOW + n % AGE, NOW) != USED_TOKEN_FRESH) {
			CU_FAIL_FATAL("full too early");
		}
	for (int turn = 0; turn < 2; turn++) {
		CU_ASSERT_EQUAL(take(USED_TOKENS_MAX, NOW, NOW), USED_TOKEN_FULL);
		for (unsigned n = 0; n < USED_TOKENS_MAX; n += 997)
			CU_ASSERT_EQUAL(take(n, NOW + n % AGE, NOW), USED_TOKEN_AGAIN);
		CU_ASSERT_EQUAL(take(0, NOW, NOW + AGE), USED_TOKEN_AGAIN);
		CU_ASSERT_EQUAL(take(USED_TOKENS_MAX, NOW + AGE, NOW + AGE), USED_TOKEN_FULL);
		restart_authd(NOW + AGE);
	}
	/* Those of one second make room. */
	CU_ASSERT_EQUAL(take(USED_TOKENS_MAX, NOW + AGE, NOW + AGE + 1), USED_TOKEN_FRESH);
	CU_ASSERT_EQUAL(take(1, NOW + 1, NOW + AGE + 1), USED_TOKEN_AGAIN);
	end();
}

static void test_clock_steps(void)
{
	begin();
	CU_ASSERT_EQUAL(take(1, NOW, NOW), USED_TOKEN_FRESH);
	/* An hour later nothing is left of it; then the clock goes back. */
	CU_ASSERT_EQUAL(take(2, NOW + 3600, NOW + 3600), USED_TOKEN_FRESH);
	CU_ASSERT_EQUAL(take(1, NOW, NOW), USED_TOKEN_OLD);
	restart_authd(NOW);
	CU_ASSERT_EQUAL(take(1, NOW, NOW), USED_TOKEN_OLD);
	/* But for the time of what was forgotten, all goes on. */
	CU_ASSERT_EQUAL(take(3, NOW + 1, NOW), USED_TOKEN_FRESH);
	CU_ASSERT_EQUAL(take(2, NOW + 3600, NOW + 3599), USED_TOKEN_AGAIN);
	end();
}

/* The token cannot be written: its login is refused, not taken without a trace. */
static void test_no_memory(void)
{
	struct rlimit before, none;
	enum used_token got;
	int err;

	begin();
	signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &before), 0);
	none = (struct rlimit){ RECORD, before.rlim_max };
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &none), 0);
	got = take(1, NOW, NOW);
	err = errno;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &before), 0);
	CU_ASSERT(got == USED_TOKEN_FAILED && err == EFBIG);
	CU_ASSERT_EQUAL(take(1, NOW, NOW), USED_TOKEN_FRESH);
	restart_authd(NOW);
	CU_ASSERT_EQUAL(take(1, NOW, NOW), USED_TOKEN_AGAIN);
	end();
}

/* --- against a model --- */

enum { MODEL_TOKENS = 3000, STEPS = 12000 };

struct model {
	uint64_t made[MODEL_TOKENS];
	bool used[MODEL_TOKENS];
	unsigned n;
	uint64_t now, newest; /* of those that were used */
	bool stepped;         /* the clock went back once */
	uint64_t lost;        /* nothing up to there is certain */
};

static uint64_t within(uint64_t now)
{
	return now - AGE + (uint64_t)rand() % (2 * AGE + 1);
}

static void model_take(struct model *m)
{
	unsigned n = m->n != 0 && rand() % 2 == 0 ? (unsigned)rand() % m->n : m->n;
	enum used_token got;
	uint64_t made;

	if (n == MODEL_TOKENS)
		return;
	if (n == m->n)
		m->made[m->n++] = within(m->now);
	made = m->made[n];
	if (made + AGE < m->now || made > m->now + AGE)
		return; /* it is refused for its time */
	got = take(n, made, m->now);
	if (got == USED_TOKEN_FRESH)
		CU_ASSERT_FALSE(m->used[n]);
	if (!m->used[n] && got != USED_TOKEN_FRESH) /* never without need */
		CU_ASSERT(got == USED_TOKEN_OLD && (made <= m->lost || (m->stepped && made <= m->newest)));
	if (m->used[n])
		CU_ASSERT(got == USED_TOKEN_AGAIN || made <= m->lost || m->stepped);
	if (got == USED_TOKEN_FRESH) {
		m->used[n] = true;
		m->newest = MAX(m->newest, made);
	}
}

static void model_damage(struct model *m)
{
	uint8_t byte = (uint8_t)(1 + rand() % 255);

	/* Far behind what is written: it is certain to be seen. */
	CU_ASSERT_EQUAL(pwrite(file, &byte, 1, (off_t)(file_bytes() - 1 - (uint64_t)rand() % 10000)), 1);
	restart_authd(m->now);
	m->lost = MAX(m->lost, m->now + AGE);
}

static void model_run(unsigned seed, bool steps_back, bool damage)
{
	static struct model m;

	srand(seed);
	memset(&m, 0, sizeof(m));
	m.now = NOW;
	begin();
	for (int step = 0; step < STEPS; step++) {
		int dice = rand() % 1000;

		if (dice < 20)
			m.now += (uint64_t)rand() % (dice == 0 ? 500 : 8);
		else if (dice < 40)
			restart_authd(m.now);
		else if (dice < 42 && steps_back) {
			m.now -= (uint64_t)rand() % 200;
			m.stepped = true;
		} else if (dice < 43 && damage)
			model_damage(&m);
		else
			model_take(&m);
	}
	end();
}

static void test_model(void)
{
	for (unsigned seed = 1; seed <= 4; seed++) {
		model_run(seed, false, false);
		model_run(seed, true, false);
		model_run(seed, false, true);
		model_run(seed, true, true);
	}
}

static const struct unit_case cases[] = {
	{ "each is good once", test_once },
	{ "authd is killed", test_restart },
	{ "the file's size", test_sealed },
	{ "a spoiled byte", test_damage_at_every_byte },
	{ "junk", test_damage_anywhere },
	{ "records in other places", test_damage_by_moving },
	{ "no room", test_full },
	{ "the clock steps", test_clock_steps },
	{ "no memory", test_no_memory },
	{ "anything in any order", test_model },
	{ NULL, NULL },
};
UNIT_MAIN("used_tokens", cases)
