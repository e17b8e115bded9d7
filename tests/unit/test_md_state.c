/* waypoststate: its text, what is recorded, and what damages it. */
#include "tests/unit/md_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "maildir/md_state.h"
#include "tests/unit/clock_step.h"
#include "tests/unit/file_calls.h"

enum { CALLS_MAX = 60 };

static struct md_state_entry entry(uint32_t uid, uint32_t look, uint64_t modseq)
{
	return (struct md_state_entry){ uid, look, look == MD_STATE_GONE ? 0 : 7, modseq };
}

static enum md_err add(struct md_test *t, struct md_state *s, uint32_t uid, uint32_t look)
{
	uint64_t modseq = md_state_next(s);
	struct md_state_entry e = entry(uid, look, modseq);

	return md_state_add(&t->root, t->root.fd, "", s, &e, 1, modseq, uid + 1);
}

static enum md_state_read reread(struct md_test *t, struct md_state *s)
{
	return md_state_read(&t->root, t->root.fd, "", s);
}

/* A file with the messages 1 to N, all of sequence 10. */
static void begin(struct md_test *t, struct md_state *s, uint32_t n)
{
	memset(s, 0, sizeof(*s));
	s->uidvalidity = 5;
	s->uidnext = n + 1;
	s->highest = s->floor = 10;
	s->n = n;
	s->e = mem_array(n, sizeof(*s->e));
	for (uint32_t i = 0; i < n; i++)
		s->e[i] = entry(i + 1, MD_SEEN, 10);
	CU_ASSERT_EQUAL_FATAL(md_state_write(&t->root, t->root.fd, "", s), MD_OK);
}

static bool is_same(const struct md_state *a, const struct md_state *b)
{
	return a->id[0] == b->id[0] && a->id[1] == b->id[1] && a->uidvalidity == b->uidvalidity &&
	    a->uidnext == b->uidnext && a->highest == b->highest && a->floor == b->floor && a->n == b->n &&
	    a->n_gone == b->n_gone && (a->n == 0 || memcmp(a->e, b->e, a->n * sizeof(*a->e)) == 0);
}

static void test_record(void)
{
	struct md_state s, other = { 0 };
	struct md_test t;
	struct stat st;

	mt_begin(&t);
	CU_ASSERT_EQUAL(reread(&t, &other), MD_STATE_NONE);
	begin(&t, &s, 3);
	CU_ASSERT(s.id[0] != 0 || s.id[1] != 0);
	CU_ASSERT_EQUAL(fstatat(t.root.fd, MD_STATE_FILE, &st, 0), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0600);
	CU_ASSERT_FALSE(md_state_is_same(t.root.fd, &other));
	CU_ASSERT_EQUAL(reread(&t, &other), MD_STATE_READ);
	CU_ASSERT(is_same(&s, &other));
	CU_ASSERT_TRUE(md_state_is_same(t.root.fd, &other));
	CU_ASSERT_EQUAL(reread(&t, &other), MD_STATE_SAME);
	/* What one adds the other reads: a change, one that goes, a new one. */
	CU_ASSERT_EQUAL(add(&t, &s, 2, MD_FLAGGED), MD_OK);
	CU_ASSERT_EQUAL(add(&t, &s, 1, MD_STATE_GONE), MD_OK);
	CU_ASSERT_EQUAL(add(&t, &s, 9, 0), MD_OK);
	CU_ASSERT_FALSE(md_state_is_same(t.root.fd, &other));
	CU_ASSERT_EQUAL(reread(&t, &other), MD_STATE_READ);
	CU_ASSERT(is_same(&s, &other));
	CU_ASSERT_EQUAL(other.n, 4);
	CU_ASSERT_EQUAL(other.n_gone, 1);
	CU_ASSERT_EQUAL(other.uidnext, 10);
	CU_ASSERT_EQUAL(md_state_find(&other, 2)->look, MD_FLAGGED);
	CU_ASSERT_EQUAL(md_state_find(&other, 9)->modseq, other.highest);
	CU_ASSERT_PTR_NULL(md_state_find(&other, 4));
	/* ... and the other adds to that, and a third reads all of it. */
	CU_ASSERT_EQUAL(add(&t, &other, 3, MD_STATE_GONE), MD_OK);
	md_state_fini(&s);
	CU_ASSERT_EQUAL(reread(&t, &s), MD_STATE_READ);
	CU_ASSERT(is_same(&s, &other));
	/* Who has not read that adds nothing. */
	CU_ASSERT_EQUAL(add(&t, &s, 2, 0), MD_OK);
	CU_ASSERT_NOT_EQUAL(add(&t, &other, 2, MD_SEEN), MD_OK);
	CU_ASSERT_EQUAL(reread(&t, &other), MD_STATE_READ);
	CU_ASSERT(is_same(&s, &other));
	/* Begun anew by somebody: read wholly. */
	md_state_fini(&s);
	begin(&t, &s, 1);
	CU_ASSERT_EQUAL(reread(&t, &other), MD_STATE_READ);
	s.highest = other.highest; /* of what was seen before, it stays the highest */
	CU_ASSERT(is_same(&s, &other));
	mt_unlink(&t, MD_STATE_FILE);
	CU_ASSERT_EQUAL(reread(&t, &other), MD_STATE_NONE);
	CU_ASSERT_EQUAL(other.highest, s.highest);
	md_state_fini(&s);
	md_state_fini(&other);
	mt_end(&t);
}

/* An id alone, and what replaces it. */
static void test_id(void)
{
	struct md_state s = { .highest = 77 }, other = { 0 };
	struct md_test t;

	mt_begin(&t);
	CU_ASSERT_EQUAL(md_state_write(&t.root, t.root.fd, "", &s), MD_OK);
	CU_ASSERT_EQUAL(reread(&t, &other), MD_STATE_READ);
	CU_ASSERT(other.id[0] == s.id[0] && other.id[1] == s.id[1]);
	CU_ASSERT_EQUAL(other.uidvalidity, 0);
	CU_ASSERT_EQUAL(other.highest, 77); /* seen once */
	other.uidvalidity = 1;
	other.uidnext = 1;
	CU_ASSERT_EQUAL(md_state_write(&t.root, t.root.fd, "", &other), MD_OK);
	CU_ASSERT_EQUAL(reread(&t, &s), MD_STATE_READ);
	CU_ASSERT(is_same(&s, &other));
	md_state_fini(&s);
	md_state_fini(&other);
	mt_end(&t);
}

/* Cut at each byte, and with each bit wrong: the file is damaged, unless the cut is behind its first block: there the
 * record that is cut does not count. */
static void test_damage(void)
{
	struct md_state s;
	struct md_test t;
	char path[128], *text;
	struct stat st;
	size_t first;

	mt_begin(&t);
	begin(&t, &s, 2);
	CU_ASSERT_EQUAL(fstatat(t.root.fd, MD_STATE_FILE, &st, 0), 0);
	first = (size_t)st.st_size;
	CU_ASSERT_EQUAL(add(&t, &s, 2, MD_STATE_GONE), MD_OK);
	CU_ASSERT_EQUAL(fstatat(t.root.fd, MD_STATE_FILE, &st, 0), 0);
	snprintf(path, sizeof(path), "%s/%s", t.dir, MD_STATE_FILE);
	text = mem_alloc((size_t)st.st_size);
	{
		int fd = open(path, O_RDONLY);

		CU_ASSERT_EQUAL(read(fd, text, (size_t)st.st_size), st.st_size);
		close(fd);
	}
	for (size_t len = 0; len <= (size_t)st.st_size; len++) {
		char *copy = mem_memdup(text, len);
		struct md_state got = { 0 };
		bool ok = md_state_parse_bytes(&got, copy, len, false);

		CU_ASSERT_EQUAL(ok, len >= first);
		if (ok && len < (size_t)st.st_size)
			CU_ASSERT_EQUAL(got.highest, 10);
		if (ok)
			CU_ASSERT_EQUAL(got.torn, len < (size_t)st.st_size ? len - first : 0);
		md_state_fini(&got);
		mem_free(&copy);
	}
	for (size_t i = 0; i < (size_t)st.st_size * 8; i++) {
		struct md_state got = { 0 };

		text[i / 8] ^= (char)(1 << i % 8);
		CU_ASSERT_FALSE(md_state_parse_bytes(&got, text, (size_t)st.st_size, false));
		text[i / 8] ^= (char)(1 << i % 8);
		md_state_fini(&got);
	}
	mem_free(&text);
	md_state_fini(&s);
	mt_end(&t);
}

/* What is torn at the end does not count, is gone once there is a next record, and hides none. */
static void test_torn(void)
{
	static const char zeros[4096];
	struct md_state s, got = { 0 };
	struct md_test t;
	char path[128];
	struct stat st;
	uint64_t size;

	mt_begin(&t);
	begin(&t, &s, 2);
	CU_ASSERT_EQUAL(add(&t, &s, 1, MD_FLAGGED), MD_OK);
	snprintf(path, sizeof(path), "%s/%s", t.dir, MD_STATE_FILE);
	size = s.size;
	for (int how = 0; how < 2; how++) { /* cut off, and zeros */
		int fd;

		CU_ASSERT_NOT_EQUAL(reread(&t, &got), MD_STATE_DAMAGED);
		CU_ASSERT_EQUAL(add(&t, &s, 2, how == 0 ? MD_DRAFT : 0), MD_OK);
		CU_ASSERT_EQUAL(truncate(path, (off_t)(s.size - 1)), 0);
		if (how == 1) {
			CU_ASSERT_EQUAL(truncate(path, (off_t)size), 0);
			fd = open(path, O_WRONLY | O_APPEND);
			CU_ASSERT_EQUAL(write(fd, zeros, sizeof(zeros)), sizeof(zeros));
			close(fd);
		}
		/* Who had read what was there before reads nothing new; who reads all, the same. */
		CU_ASSERT_EQUAL(reread(&t, &got), MD_STATE_READ);
		CU_ASSERT_EQUAL(got.size, size);
		CU_ASSERT(got.torn != 0);
		md_state_fini(&s);
		CU_ASSERT_EQUAL(reread(&t, &s), MD_STATE_READ);
		CU_ASSERT(is_same(&s, &got));
		CU_ASSERT_EQUAL(s.torn, got.torn);
		CU_ASSERT_EQUAL(md_state_find(&s, 1)->look, MD_FLAGGED);
		CU_ASSERT_FALSE(md_state_is_same(t.root.fd, &s));
		/* The next record takes it away. */
		CU_ASSERT_EQUAL(add(&t, &s, 2, MD_ANSWERED), MD_OK);
		CU_ASSERT_EQUAL(s.torn, 0);
		CU_ASSERT_TRUE(md_state_is_same(t.root.fd, &s));
		CU_ASSERT_EQUAL(fstatat(t.root.fd, MD_STATE_FILE, &st, 0), 0);
		CU_ASSERT_EQUAL((uint64_t)st.st_size, s.size);
		CU_ASSERT_EQUAL(reread(&t, &got), MD_STATE_READ);
		CU_ASSERT(is_same(&s, &got));
		size = s.size;
	}
	md_state_fini(&s);
	md_state_fini(&got);
	mt_end(&t);
}

/* Things that are no state: each is damaged, ends nothing, and can be replaced. */
static void test_hostile(void)
{
	static const char *const what[] = { "empty", "link", "pipe", "writable", "huge", "folder" };

	for (size_t i = 0; i < ARRAY_LEN(what); i++) {
		struct md_state s, got = { .highest = 5 };
		struct md_test t;
		char path[128];

		mt_begin(&t);
		begin(&t, &s, 1);
		snprintf(path, sizeof(path), "%s/%s", t.dir, MD_STATE_FILE);
		if (i == 3) {
			CU_ASSERT_EQUAL(chmod(path, 0666), 0);
		} else if (i == 4) {
			CU_ASSERT_EQUAL(truncate(path, (off_t)MD_STATE_FILE_MAX + 1), 0);
		} else {
			mt_rename(&t, MD_STATE_FILE, "other");
			if (i == 0)
				mt_puts(&t, MD_STATE_FILE, "");
			else if (i == 5)
				mt_mkdir(&t, MD_STATE_FILE);
			else
				CU_ASSERT_EQUAL(i == 1 ? symlink("other", path) : mkfifo(path, 0600), 0);
		}
		CU_ASSERT_EQUAL(reread(&t, &got), MD_STATE_DAMAGED);
		CU_ASSERT_TRUE(t.root.said_state);
		CU_ASSERT_EQUAL(got.highest, 5);
		md_state_fini(&got);
		CU_ASSERT_EQUAL(md_state_write(&t.root, t.root.fd, "", &s) == MD_OK, i != 5);
		md_state_fini(&s);
		mt_end(&t);
	}
}

/* The oldest that went are dropped: the floor tells since when all are known, and the file stays small. */
static void test_many_gone(void)
{
	enum { ALL = 5 * MD_STATE_GONE_MAX, SOME = 512 };
	struct md_state s, got = { 0 };
	struct md_state_entry *e = mem_array(SOME, sizeof(*e));
	struct md_test t;
	struct stat st;
	size_t missing = 0;

	mt_begin(&t);
	begin(&t, &s, ALL);
	CU_ASSERT_EQUAL(s.floor, 10);
	for (uint32_t uid = 1; uid <= ALL; uid += SOME) {
		uint64_t modseq = md_state_next(&s);

		for (uint32_t i = 0; i < SOME; i++)
			e[i] = entry(uid + i, MD_STATE_GONE, modseq);
		CU_ASSERT_EQUAL(md_state_add(&t.root, t.root.fd, "", &s, e, SOME, modseq, ALL + 1), MD_OK);
		CU_ASSERT(s.n_gone <= 2 * MD_STATE_GONE_MAX);
	}
	CU_ASSERT_EQUAL(reread(&t, &got), MD_STATE_READ);
	CU_ASSERT(is_same(&s, &got));
	CU_ASSERT(got.floor > 10);
	CU_ASSERT(got.n_gone >= MD_STATE_GONE_MAX);
	/* What is not there went before the floor, or at it. */
	for (uint32_t uid = 1; uid <= ALL; uid++) {
		const struct md_state_entry *at = md_state_find(&got, uid);

		if (at == NULL)
			missing++;
		else
			CU_ASSERT(at->modseq > got.floor);
		if (at == NULL && uid < ALL && md_state_find(&got, uid + 1) != NULL)
			CU_ASSERT_EQUAL(missing, uid); /* they went in this order */
	}
	CU_ASSERT_EQUAL(missing + got.n, ALL);
	CU_ASSERT_EQUAL(fstatat(t.root.fd, MD_STATE_FILE, &st, 0), 0);
	CU_ASSERT(st.st_size < 4 * MD_STATE_GONE_MAX * (off_t)sizeof(*e));
	mem_free(&e);
	md_state_fini(&s);
	md_state_fini(&got);
	mt_end(&t);
}

/* Many changes of one message: the file is written anew before it is much larger than what it holds. */
static void test_anew(void)
{
	struct md_state s, got = { 0 };
	struct md_test t;
	struct stat st;

	mt_begin(&t);
	begin(&t, &s, 1);
	for (uint32_t i = 0; i < 3000; i++)
		CU_ASSERT_EQUAL(add(&t, &s, 1, i & MD_FLAGS_ALL), MD_OK);
	CU_ASSERT_EQUAL(fstatat(t.root.fd, MD_STATE_FILE, &st, 0), 0);
	CU_ASSERT(st.st_size < 100000);
	CU_ASSERT_EQUAL((uint64_t)st.st_size, s.size);
	CU_ASSERT_EQUAL(reread(&t, &got), MD_STATE_READ);
	CU_ASSERT(is_same(&s, &got));
	md_state_fini(&s);
	md_state_fini(&got);
	mt_end(&t);
}

/* A sequence is above all others, whatever the clock says; no other comes for the same tick. */
static void test_clock(void)
{
	struct md_state s = { 0 };
	uint64_t now = md_state_next(&s), next;

	CU_ASSERT(now > UINT64_C(1600000000) * 1000000);
	s.highest = now + UINT64_C(3600) * 1000000;
	next = md_state_next(&s);
	CU_ASSERT_EQUAL(next, s.highest + 1);
	s.highest = next;
	CU_ASSERT_EQUAL(md_state_next(&s), next + 1);
	wall_step = -1000000000;
	CU_ASSERT_EQUAL(md_state_next(&s), next + 1);
	wall_step = -4000000000; /* before 1970 */
	s.highest = 0;
	CU_ASSERT_EQUAL(md_state_next(&s), 1);
	wall_step = 0;
}

static enum md_err change(struct md_test *t, bool anew)
{
	struct md_state s = { 0 };
	enum md_err e = MD_IO;

	if (reread(t, &s) == MD_STATE_READ) {
		if (anew)
			s.e[0].look = MD_ANSWERED;
		e = anew ? md_state_write(&t->root, t->root.fd, "", &s) : add(t, &s, 1, MD_ANSWERED);
	}
	md_state_fini(&s);
	return e;
}

/* The file is whole, and as before unless the change was made. */
static void check(struct md_test *t, bool done, bool unsure)
{
	struct md_state s = { 0 };

	CU_ASSERT_EQUAL_FATAL(reread(t, &s), MD_STATE_READ);
	if (done || !unsure)
		CU_ASSERT_EQUAL(s.e[0].look, done ? MD_ANSWERED : MD_SEEN);
	md_state_fini(&s);
}

/* The N-th call fails with ERR, or (0) the process is killed there. True if there was an N-th. */
static bool one_fault(bool anew, unsigned n, int err)
{
	struct md_state s;
	struct md_test t;
	bool there;
	int status;
	pid_t pid;

	mt_begin(&t);
	begin(&t, &s, 2);
	md_state_fini(&s);
	if (err != 0) {
		enum md_err e;

		file_calls_begin(FILE_ONCE, n, err);
		e = change(&t, anew);
		there = file_calls_end() >= n;
		check(&t, e == MD_OK, anew); /* anew: its folder could not be synced */
	} else {
		fflush(NULL);
		if ((pid = fork()) == 0) {
			file_calls_begin(FILE_KILL, n, 0);
			_exit(change(&t, anew) == MD_OK ? 0 : 1);
		}
		CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
		there = WIFSIGNALED(status);
		check(&t, !there, true);
	}
	CU_ASSERT_EQUAL(change(&t, anew), MD_OK);
	check(&t, true, false);
	mt_end(&t);
	return there;
}

static void test_faults(void)
{
	static const int errs[] = { ENOSPC, EIO, EDQUOT, 0 };

	for (int anew = 0; anew < 2; anew++)
		for (size_t k = 0; k < ARRAY_LEN(errs); k++) {
			unsigned n = 1;

			while (n < CALLS_MAX && one_fault(anew != 0, n, errs[k]))
				n++;
			CU_ASSERT(n > 3 && n < CALLS_MAX);
		}
}

static const struct unit_case cases[] = { { "record", test_record }, { "an id alone", test_id },
	{ "damage", test_damage }, { "torn", test_torn }, { "hostile", test_hostile }, { "many gone", test_many_gone },
	{ "written anew", test_anew }, { "clock", test_clock }, { "faults", test_faults }, { NULL, NULL } };

UNIT_MAIN("md_state", cases)
