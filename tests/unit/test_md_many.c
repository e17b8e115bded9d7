/* Several processes on one folder, and processes that are killed: nothing acknowledged is lost, nothing is doubled,
 * no UID names two messages. */
#include "tests/unit/md_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "maildir/md_copy.h"
#include "maildir/md_pop3_private.h"
#include "maildir/md_save.h"
#include "maildir/md_scan.h"

enum { WORKERS = 4, OPS = 120, IDS = 8192, UIDS = 16384, KILLS = 24 };

/* --- messages that carry a number --- */

static int read_id(int fd)
{
	char buf[128];
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);
	int id = -1;

	if (n > 0) {
		buf[n] = '\0';
		if (strncmp(buf, "Subject: ", 9) == 0)
			id = (int)strtol(buf + 9, NULL, 10);
	}
	return id;
}

static bool append(struct md_root *r, const char *folder, int id, uint32_t *uid)
{
	struct md_save *s;
	char text[64];
	uint32_t uidv;
	const char *kw = "kw";

	snprintf(text, sizeof(text), "Subject: %d\r\n\r\nhello\r\n", id);
	if (md_save_begin(r, folder, &s) != MD_OK)
		return false;
	if (md_save_write(s, text, strlen(text)) != MD_OK) {
		md_save_abort(&s);
		return false;
	}
	return md_save_commit(&s, id % 2 ? MD_SEEN : 0, &kw, id % 3 == 0, NULL, uid, &uidv) == MD_OK;
}

/* Delivers like a delivery agent. */
static void deliver(const struct md_test *t, int id)
{
	char tmp[128], to[128], text[64];

	snprintf(tmp, sizeof(tmp), "tmp/%ld.d%d.mx", 1000000000L + id, id);
	snprintf(to, sizeof(to), "new/%ld.d%d.mx", 1000000000L + id, id);
	snprintf(text, sizeof(text), "Subject: %d\n\nhello\n", id);
	mt_puts(t, tmp, text);
	mt_rename(t, tmp, to);
}

/* Counts how often each id is in the folder, whatever the file names. */
static void count_ids(const struct md_test *t, const char *dir, int *count)
{
	static const char *const sub[] = { "cur", "new" };
	char path[512];

	for (size_t i = 0; i < 2; i++) {
		struct dirent *de;
		DIR *d;

		snprintf(path, sizeof(path), "%s/%s/%s", t->dir, dir, sub[i]);
		d = opendir(path);
		CU_ASSERT_PTR_NOT_NULL_FATAL(d);
		while ((de = readdir(d)) != NULL) {
			int fd, id;

			if (de->d_name[0] == '.')
				continue;
			fd = openat(dirfd(d), de->d_name, O_RDONLY);
			id = fd >= 0 ? read_id(fd) : -1;
			if (fd >= 0)
				close(fd);
			CU_ASSERT(id >= 0 && id < IDS);
			if (id >= 0 && id < IDS)
				count[id]++;
		}
		closedir(d);
	}
}

/* --- several at once --- */

struct worker {
	struct md_test *t;
	int no;
	struct md_box *box;
	FILE *log;
	unsigned seed;
	size_t known;
};

static void fail(struct worker *w, const char *what)
{
	fprintf(w->log, "F %s: %s\n", what, w->t->root.why);
}

/* Learns the numbers of new messages by UID. */
static void learn(struct worker *w)
{
	struct md_changes ch;
	enum md_err e = md_box_sync(w->box, &ch);

	if (e != MD_OK) {
		fail(w, "sync");
		return;
	}
	for (; w->known < w->box->n; w->known++) {
		struct md_msg *m = &w->box->msgs[w->known];
		int fd, id;

		if (m->gone || md_box_read(w->box, (size_t)(m - w->box->msgs), &fd) != MD_OK)
			continue;
		id = read_id(fd);
		close(fd);
		fprintf(w->log, "U %u %d\n", m->uid, id);
	}
	w->known -= md_box_drop_gone(w->box, NULL, NULL);
}

static void expunge(struct worker *w, struct md_msg *m)
{
	int fd, id;

	if (m->gone || md_box_read(w->box, (size_t)(m - w->box->msgs), &fd) != MD_OK)
		return;
	id = read_id(fd);
	close(fd);
	if (md_box_expunge(w->box, (size_t)(m - w->box->msgs)) == MD_OK)
		fprintf(w->log, "X %d\n", id);
	else
		fail(w, "expunge");
}

static void one_op(struct worker *w, int id)
{
	struct md_msg *m = w->box->n != 0 ? &w->box->msgs[(size_t)rand_r(&w->seed) % w->box->n] : NULL;
	uint32_t uid, kw = (uint32_t)md_box_keyword_add(w->box, rand_r(&w->seed) % 2 ? "a" : "b", 1);
	enum md_err e;

	switch (rand_r(&w->seed) % 8) {
	case 0:
		if (append(&w->t->root, "", id, &uid))
			fprintf(w->log, "A %d\nU %u %d\n", id, uid, id);
		else
			fail(w, "append");
		break;
	case 1:
		deliver(w->t, id);
		fprintf(w->log, "A %d\n", id);
		break;
	case 2:
		if (m != NULL)
			expunge(w, m);
		break;
	default:
		if (m == NULL || m->gone)
			break;
		e = md_box_store(w->box, (size_t)(m - w->box->msgs),
		    rand_r(&w->seed) % 2 ? MD_STORE_ADD : MD_STORE_REMOVE, (unsigned)rand_r(&w->seed) & MD_FLAGS_ALL,
		    &kw, rand_r(&w->seed) % 4 == 0);
		if (e != MD_OK && e != MD_GONE)
			fail(w, "store");
	}
}

static void random_ops(struct worker *w)
{
	if (md_box_open(&w->t->root, "", false, &w->box) != MD_OK)
		_exit(3);
	for (int i = 0; i < OPS; i++) {
		one_op(w, w->no * 1000 + i);
		if (rand_r(&w->seed) % 3 == 0)
			learn(w);
	}
	learn(w);
	md_box_close(&w->box);
}

static void worker_main(struct md_test *t, int no, void (*work)(struct worker *))
{
	struct worker w = { .t = t, .no = no, .seed = (unsigned)no + 17 };
	char path[128];

	md_root_fini(&t->root);
	snprintf(path, sizeof(path), "%s/log.%d", t->dir, no);
	w.log = fopen(path, "w");
	if (w.log == NULL || md_root_init(&t->root, t->dir) != MD_OK)
		_exit(2);
	work(&w);
	fclose(w.log);
	_exit(0);
}

struct seen {
	int *uid_id, *id_uid, *there;
};

static void seen_begin(struct seen *s)
{
	s->uid_id = mem_array(UIDS, sizeof(int));
	s->id_uid = mem_array(IDS, sizeof(int));
	s->there = mem_array(IDS, sizeof(int));
	memset(s->uid_id, 0xff, UIDS * sizeof(int));
	memset(s->id_uid, 0xff, IDS * sizeof(int));
}

static void seen_end(struct seen *s)
{
	mem_free(&s->uid_id);
	mem_free(&s->id_uid);
	mem_free(&s->there);
}

static void read_log(struct md_test *t, int no, struct seen *s)
{
	char path[32], *text, *save, *line;
	int uid, id;

	snprintf(path, sizeof(path), "log.%d", no);
	text = mt_read(t, path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	for (line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "U %d %d", &uid, &id) == 2) {
			CU_ASSERT_FATAL(uid > 0 && uid < UIDS && id >= 0 && id < IDS);
			CU_ASSERT(s->uid_id[uid] == -1 || s->uid_id[uid] == id);
			CU_ASSERT(s->id_uid[id] == -1 || s->id_uid[id] == uid);
			s->uid_id[uid] = id;
			s->id_uid[id] = uid;
		} else if (sscanf(line, "A %d", &id) == 1) {
			s->there[id] += 1;
		} else if (sscanf(line, "X %d", &id) == 1) {
			s->there[id] -= 1000;
		} else {
			fprintf(stderr, "worker %d: %s\n", no, line);
			CU_FAIL("a worker's operation failed");
		}
	}
	mem_free(&text);
}

/* Runs WORKERS processes that do WORK in the folder of T; collects in S what they saw. */
static void run_workers(struct md_test *t, void (*work)(struct worker *), struct seen *s)
{
	pid_t pid[WORKERS];
	int status;

	for (int i = 0; i < WORKERS; i++) {
		pid[i] = fork();
		CU_ASSERT_FATAL(pid[i] >= 0);
		if (pid[i] == 0)
			worker_main(t, i, work);
	}
	for (int i = 0; i < WORKERS; i++) {
		CU_ASSERT_EQUAL(waitpid(pid[i], &status, 0), pid[i]);
		CU_ASSERT_EQUAL(status, 0);
	}
	seen_begin(s);
	for (int i = 0; i < WORKERS; i++)
		read_log(t, i, s);
}

static void test_many(void)
{
	struct md_test t;
	struct seen s;
	int *count = mem_array(IDS, sizeof(*count));

	mt_begin(&t);
	run_workers(&t, random_ops, &s);
	count_ids(&t, "", count);
	for (int i = 0; i < IDS; i++)
		CU_ASSERT_EQUAL(count[i], s.there[i] == 1);
	seen_end(&s);
	mem_free(&count);
	mt_end(&t);
}

/* --- sessions that come and go --- */

/* The number of a delivered message, from its name, so that the file may be gone. */
static int name_id(const char *name)
{
	int id;

	return sscanf(name, "%*d.d%d.mx", &id) == 1 ? id : -1;
}

/* A short session of a mail program: it learns the UIDs, and deletes or moves some mail. */
static void imap_session(struct worker *w)
{
	bool readonly = rand_r(&w->seed) % 4 == 0;

	if (md_box_open(&w->t->root, "", readonly, &w->box) != MD_OK) {
		fail(w, "open");
		return;
	}
	for (size_t i = 0; i < w->box->n; i++)
		fprintf(w->log, "U %u %d\n", w->box->msgs[i].uid, name_id(w->box->msgs[i].name));
	for (size_t i = 0; i < w->box->n && !readonly; i++) {
		unsigned what = (unsigned)rand_r(&w->seed);
		enum md_err e = MD_OK;

		if (what % 4 == 0)
			e = md_box_expunge(w->box, i);
		else if (what % 4 == 1)
			e = md_box_store(w->box, i, MD_STORE_SET, what >> 8 & MD_FLAGS_ALL & ~MD_DELETED, NULL, 0);
		if (e != MD_OK && e != MD_GONE)
			fail(w, "change");
	}
	w->known = w->box->n;
	learn(w);
	md_box_close(&w->box);
}

static void pop3_session(struct worker *w)
{
	struct md_pop3 *p;
	size_t deleted;

	if (md_pop3_open(&w->t->root, &p) != MD_OK || w->t->root.why[0] != '\0') {
		fail(w, "open");
		return;
	}
	for (size_t i = 0; i < p->n; i++) {
		fprintf(w->log, "U %u %d\n", p->msgs[i].n, name_id(md_pop3_file_name(p, i)));
		md_pop3_mark(p, i, rand_r(&w->seed) % 4 == 0);
	}
	if (md_pop3_commit(p, &deleted) != MD_OK)
		fail(w, "commit");
	md_pop3_close(&p);
}

static void imap_sessions(struct worker *w)
{
	for (int i = 0; i < OPS; i++) {
		deliver(w->t, w->no * 1000 + i);
		imap_session(w);
	}
}

static void pop3_sessions(struct worker *w)
{
	for (int i = 0; i < OPS; i++) {
		deliver(w->t, w->no * 1000 + i);
		pop3_session(w);
	}
}

/* A UID or UIDL belongs to one message for ever, and each message has one. */
static void check_sessions(void (*sessions)(struct worker *))
{
	struct md_test t;
	struct seen s;

	mt_begin(&t);
	run_workers(&t, sessions, &s);
	seen_end(&s);
	mt_end(&t);
}

static void test_imap_sessions(void)
{
	check_sessions(imap_sessions);
}

static void test_pop3_sessions(void)
{
	check_sessions(pop3_sessions);
}

/* --- killed --- */

static void make_folder(struct md_test *t)
{
	static const char *const sub[] = { ".To", ".To/cur", ".To/new", ".To/tmp" };

	for (size_t i = 0; i < 4; i++)
		mt_mkdir(t, sub[i]);
}

/* Runs RUN in a child that reports acknowledged numbers by a pipe, and kills it after MS. */
static void run_and_kill(struct md_test *t, void (*run)(struct md_test *, int fd, int no), int no, int ms, int *acked)
{
	int fd[2], id;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(pipe(fd), 0);
	pid = fork();
	CU_ASSERT_FATAL(pid >= 0);
	if (pid == 0) {
		close(fd[0]);
		md_root_fini(&t->root);
		if (md_root_init(&t->root, t->dir) == MD_OK)
			run(t, fd[1], no);
		_exit(1);
	}
	close(fd[1]);
	usleep((useconds_t)ms * 1000);
	kill(pid, SIGKILL);
	while (read(fd[0], &id, sizeof(id)) == sizeof(id))
		acked[id]++;
	close(fd[0]);
	waitpid(pid, NULL, 0);
}

static void ack(int fd, int id)
{
	if (write(fd, &id, sizeof(id)) != sizeof(id))
		_exit(1);
}

static void run_append(struct md_test *t, int fd, int no)
{
	uint32_t uid;

	for (int i = 0; i < IDS / KILLS; i++)
		if (append(&t->root, "", no * (IDS / KILLS) + i, &uid))
			ack(fd, no * (IDS / KILLS) + i);
	for (;;)
		pause();
}

static void test_kill_append(void)
{
	struct md_test t;
	int *count = mem_array(IDS, sizeof(int)), *acked = mem_array(IDS, sizeof(int));
	struct md_box *box;
	size_t n = 0;

	mt_begin(&t);
	for (int i = 0; i < KILLS; i++)
		run_and_kill(&t, run_append, i, 10 + i * 7 % 90, acked);
	/* A killed process may have left its lock, which must not block others. */
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	count_ids(&t, "", count);
	for (int i = 0; i < IDS; i++) {
		CU_ASSERT(count[i] == 1 || (count[i] == 0 && acked[i] == 0));
		n += (size_t)count[i];
	}
	CU_ASSERT_EQUAL(box->n, n);
	md_box_close(&box);
	mem_free(&count);
	mem_free(&acked);
	mt_end(&t);
}

enum { MOVED = 40 };

/* Moves everything to the other folder and back. */
static void run_move(struct md_test *t, int fd, int no)
{
	(void)fd;
	(void)no;
	for (int turn = 0;; turn++) {
		const char *from = turn % 2 ? "To" : "", *to = turn % 2 ? "" : "To";
		struct md_copied c;
		struct md_box *box;
		size_t idx[MOVED];

		if (md_box_open(&t->root, from, false, &box) != MD_OK)
			_exit(1);
		for (size_t i = 0; i < box->n && i < MOVED; i++)
			idx[i] = i;
		if (md_move(box, idx, MIN(box->n, (size_t)MOVED), to, &c) != MD_OK)
			_exit(1);
		md_copied_fini(&c);
		md_box_close(&box);
	}
}

static void test_kill_move(void)
{
	struct md_test t;
	int *count = mem_array(IDS, sizeof(int)), *acked = mem_array(IDS, sizeof(int));
	uint32_t uid;

	mt_begin(&t);
	make_folder(&t);
	for (int i = 0; i < MOVED; i++)
		CU_ASSERT(append(&t.root, "", i, &uid));
	for (int i = 0; i < KILLS; i++)
		run_and_kill(&t, run_move, i, 10 + i * 5 % 60, acked);
	count_ids(&t, "", count);
	count_ids(&t, ".To", count);
	for (int i = 0; i < MOVED; i++)
		CU_ASSERT_EQUAL(count[i], 1);
	mem_free(&count);
	mem_free(&acked);
	mt_end(&t);
}

static void run_copy(struct md_test *t, int fd, int no)
{
	struct md_copied c;
	struct md_box *box;
	size_t idx = (size_t)no;

	if (md_box_open(&t->root, "", false, &box) != MD_OK)
		_exit(1);
	for (; idx < box->n; idx += KILLS) {
		if (md_copy(box, &idx, 1, "To", &c) == MD_OK && c.n == 1)
			ack(fd, (int)idx);
		md_copied_fini(&c);
	}
	for (;;)
		pause();
}

static void test_kill_copy(void)
{
	struct md_test t;
	int *count = mem_array(IDS, sizeof(int)), *acked = mem_array(IDS, sizeof(int));
	uint32_t uid;

	mt_begin(&t);
	make_folder(&t);
	for (int i = 0; i < KILLS * 4; i++)
		CU_ASSERT(append(&t.root, "", i, &uid));
	for (int i = 0; i < KILLS; i++)
		run_and_kill(&t, run_copy, i, 20 + i * 3, acked);
	count_ids(&t, ".To", count);
	for (int i = 0; i < KILLS * 4; i++)
		CU_ASSERT(count[i] == 1 || (count[i] == 0 && acked[i] == 0));
	mem_free(&count);
	mem_free(&acked);
	mt_end(&t);
}

static const struct unit_case cases[] = { { "many processes", test_many }, { "many IMAP sessions", test_imap_sessions },
	{ "many POP3 sessions", test_pop3_sessions }, { "killed while appending", test_kill_append },
	{ "killed while moving", test_kill_move }, { "killed while copying", test_kill_copy }, { NULL, NULL } };

UNIT_MAIN("md_many", cases)
