/* What a mailbox's index would cost in SQLite, in LMDB, and costs in files of our own: an open of an unchanged mailbox,
 * one changed flag that must be on disk, the size, two writers at once, a file that is cut.
 *
 *   index_store FOLDER MESSAGES STORE         STORE: own, sqlite, lmdb; FOLDER is empty, on the disk to be measured
 *
 * All three hold the same: UID, file name, flags, date and sizes of each message, read wholly by an open, as SELECT and
 * FETCH 1:* (FLAGS) need them. "own" is waypostcache (maildir/md_cache.h), read and written as sessions do it, and
 * waypoststate (maildir/md_state.h) for what must be durable. Each figure is the median of some rounds. */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"
#include "maildir/md_cache.h"
#include "maildir/md_lock.h"
#include "maildir/md_state.h"

enum { ROUNDS = 15, WRITERS = 2, CHANGES = 200 };

static unsigned messages;
static uint64_t sum; /* of what was read, so that nothing is left out */

/* What is kept of a message. */
struct row {
	uint32_t uid, flags;
	int64_t date, bytes, octets;
	char name[64];
};

static struct row row_of(unsigned i)
{
	struct row r = { .uid = i + 1, .flags = i % 3 == 0 ? 8 : 0, .date = 1700000000 + i, .bytes = 4000 + i % 999 };

	r.octets = r.bytes + 80;
	snprintf(r.name, sizeof(r.name), "%u.M%06uP4321.mail.example.com,S=%d:2,%s", 1700000000 + i, i % 1000000,
	    (int)r.bytes, r.flags != 0 ? "S" : "");
	return r;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void stop(const char *what, const char *why)
{
	fprintf(stderr, "index_store: %s: %s\n", what, why);
	exit(1);
}

/* --- own --- */

static struct md_root root;

static struct md_box *own_box(void)
{
	struct md_box *box = mem_alloc(sizeof(*box));

	box->root = &root;
	box->fd = dup(root.fd);
	box->folder = mem_strdup("");
	return box;
}

static void own_write(const struct md_box *box)
{
	struct str text = STR_INIT;
	int fd = openat(root.fd, "tmp/new", O_CREAT | O_TRUNC | O_WRONLY, 0600);

	md_cache_format(box, &text);
	if (fd < 0 || write(fd, text.data, text.len) != (ssize_t)text.len || close(fd) != 0 ||
	    renameat(root.fd, "tmp/new", root.fd, MD_CACHE_FILE) != 0)
		stop("own", strerror(errno));
	str_fini(&text);
}

static void own_make(void)
{
	struct md_state s = { .fd = -1 };
	struct md_lock lock = MD_LOCK_INIT;
	struct md_state_entry *e = mem_array(messages, sizeof(*e));
	struct md_box *box = own_box();

	box->n = box->cap = messages;
	box->msgs = mem_array(messages, sizeof(*box->msgs));
	for (unsigned i = 0; i < messages; i++) {
		struct row r = row_of(i);
		struct md_msg *m = &box->msgs[i];

		m->uid = r.uid;
		m->flags = (uint8_t)r.flags;
		m->name = mem_strdup(r.name);
		m->mtime = r.date;
		m->bytes = r.bytes;
		m->octets = r.octets;
		e[i].uid = r.uid;
		e[i].look = r.flags;
		e[i].modseq = 1;
	}
	box->uidvalidity = 1700000000;
	box->uidnext = messages + 1;
	own_write(box);
	box->root->cache_use = MD_CACHE_IGNORED;
	md_box_close(&box);
	if (md_lock_take(&root, root.fd, "", &lock) != MD_OK || md_state_read(&root, root.fd, "", &s) != MD_STATE_NONE)
		stop("own", root.why);
	s.uidvalidity = 1700000000;
	s.uidnext = messages + 1;
	s.highest = s.floor = 1;
	s.e = e;
	s.n = messages;
	if (md_state_write(&root, root.fd, "", &s) != MD_OK)
		stop("own", root.why);
	md_lock_drop(&lock);
	md_state_fini(&s);
}

static void own_open(void)
{
	struct md_box *box = own_box();
	int fd = openat(root.fd, MD_CACHE_FILE, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || !md_cache_read_bytes(box, fd) || box->n != messages)
		stop("own", "the cache is damaged");
	close(fd);
	for (size_t i = 0; i < box->n; i++)
		sum += box->msgs[i].uid + box->msgs[i].flags + (uint64_t)box->msgs[i].mtime;
	box->root->cache_use = MD_CACHE_IGNORED;
	md_box_close(&box);
}

/* The durable record, as a session that has the state open makes it for each command that changes something. */
static struct md_state own_state = { .fd = -1 };

static void own_change(unsigned i)
{
	struct md_state_entry e = { .uid = i % messages + 1, .look = i % 32 };
	struct md_lock lock = MD_LOCK_INIT;
	enum md_state_read how;

	if (md_lock_take(&root, root.fd, "", &lock) != MD_OK)
		stop("own", root.why);
	how = md_state_read(&root, root.fd, "", &own_state);
	e.modseq = md_state_next(&own_state);
	if ((how != MD_STATE_SAME && how != MD_STATE_READ) ||
	    md_state_add(&root, root.fd, "", &own_state, &e, 1, e.modseq, messages + 1) != MD_OK)
		stop("own", root.why);
	md_lock_drop(&lock);
}

static void own_begin(const char *folder)
{
	mkdir("cur", 0700);
	mkdir("new", 0700);
	mkdir("tmp", 0700);
	if (md_root_init(&root, folder) != MD_OK)
		stop("own", root.why);
}

/* --- SQLite --- */

static sqlite3 *db;

static void sql(const char *text)
{
	char *why = NULL;

	if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
		stop(text, why);
}

static void sqlite_begin(const char *folder UNUSED)
{
	if (sqlite3_open("index.db", &db) != SQLITE_OK)
		stop("sqlite", sqlite3_errmsg(db));
	sqlite3_busy_timeout(db, 60000);
	sql("PRAGMA journal_mode=WAL");
	sql("PRAGMA synchronous=FULL");
}

static void sqlite_make(void)
{
	sqlite3_stmt *st;

	sql("CREATE TABLE m (uid INTEGER PRIMARY KEY, flags INTEGER, date INTEGER, bytes INTEGER, octets INTEGER, name "
	    "TEXT)");
	sql("BEGIN");
	sqlite3_prepare_v2(db, "INSERT INTO m VALUES (?,?,?,?,?,?)", -1, &st, NULL);
	for (unsigned i = 0; i < messages; i++) {
		struct row r = row_of(i);

		sqlite3_bind_int64(st, 1, r.uid);
		sqlite3_bind_int64(st, 2, r.flags);
		sqlite3_bind_int64(st, 3, r.date);
		sqlite3_bind_int64(st, 4, r.bytes);
		sqlite3_bind_int64(st, 5, r.octets);
		sqlite3_bind_text(st, 6, r.name, -1, SQLITE_TRANSIENT);
		if (sqlite3_step(st) != SQLITE_DONE)
			stop("sqlite", sqlite3_errmsg(db));
		sqlite3_reset(st);
	}
	sqlite3_finalize(st);
	sql("COMMIT");
	sql("PRAGMA wal_checkpoint(TRUNCATE)");
}

/* Into an array, as a session has it. */
static void sqlite_open(void)
{
	struct row *rows = mem_array(messages, sizeof(*rows));
	sqlite3_stmt *st;
	unsigned n = 0;

	sqlite_begin("");
	sqlite3_prepare_v2(db, "SELECT uid,flags,date,bytes,octets,name FROM m ORDER BY uid", -1, &st, NULL);
	while (sqlite3_step(st) == SQLITE_ROW && n < messages) {
		struct row *r = &rows[n++];

		r->uid = (uint32_t)sqlite3_column_int64(st, 0);
		r->flags = (uint32_t)sqlite3_column_int64(st, 1);
		r->date = sqlite3_column_int64(st, 2);
		r->bytes = sqlite3_column_int64(st, 3);
		r->octets = sqlite3_column_int64(st, 4);
		snprintf(r->name, sizeof(r->name), "%s", (const char *)sqlite3_column_text(st, 5));
		sum += r->uid + r->flags + (uint64_t)r->date;
	}
	sqlite3_finalize(st);
	sqlite3_close(db);
	if (n != messages)
		stop("sqlite", "the table is not whole");
	mem_free(&rows);
}

static void sqlite_change(unsigned i)
{
	char text[128];

	snprintf(text, sizeof(text), "UPDATE m SET flags=%u WHERE uid=%u", i % 32, i % messages + 1);
	sql(text);
}

/* --- LMDB --- */

static MDB_env *env;
static MDB_dbi dbi;

static void lmdb(const char *what, int rc)
{
	if (rc != 0)
		stop(what, mdb_strerror(rc));
}

static void lmdb_begin(const char *folder UNUSED)
{
	MDB_txn *t;

	lmdb("env", mdb_env_create(&env));
	lmdb("mapsize", mdb_env_set_mapsize(env, 1 << 30));
	lmdb("open", mdb_env_open(env, "index.mdb", MDB_NOSUBDIR, 0600));
	lmdb("begin", mdb_txn_begin(env, NULL, 0, &t));
	lmdb("dbi", mdb_dbi_open(t, NULL, MDB_INTEGERKEY, &dbi));
	lmdb("commit", mdb_txn_commit(t));
}

static void lmdb_put(MDB_txn *t, struct row *r)
{
	MDB_val key = { sizeof(r->uid), &r->uid };
	MDB_val val = { offsetof(struct row, name) + strlen(r->name) + 1, r };

	lmdb("put", mdb_put(t, dbi, &key, &val, 0));
}

static void lmdb_make(void)
{
	MDB_txn *t;

	lmdb("begin", mdb_txn_begin(env, NULL, 0, &t));
	for (unsigned i = 0; i < messages; i++) {
		struct row r = row_of(i);

		lmdb_put(t, &r);
	}
	lmdb("commit", mdb_txn_commit(t));
}

static void lmdb_open(void)
{
	struct row *rows = mem_array(messages, sizeof(*rows));
	MDB_val key, val;
	MDB_cursor *c;
	MDB_txn *t;
	unsigned n = 0;

	lmdb("env", mdb_env_create(&env));
	lmdb("mapsize", mdb_env_set_mapsize(env, 1 << 30));
	lmdb("open", mdb_env_open(env, "index.mdb", MDB_NOSUBDIR, 0600));
	lmdb("begin", mdb_txn_begin(env, NULL, MDB_RDONLY, &t));
	lmdb("dbi", mdb_dbi_open(t, NULL, MDB_INTEGERKEY, &dbi));
	lmdb("cursor", mdb_cursor_open(t, dbi, &c));
	while (mdb_cursor_get(c, &key, &val, MDB_NEXT) == 0 && n < messages) {
		struct row *r = &rows[n++];

		memcpy(r, val.mv_data, MIN(val.mv_size, sizeof(*r)));
		sum += r->uid + r->flags + (uint64_t)r->date;
	}
	mdb_cursor_close(c);
	mdb_txn_abort(t);
	mdb_env_close(env);
	if (n != messages)
		stop("lmdb", "not whole");
	mem_free(&rows);
}

static void lmdb_change(unsigned i)
{
	uint32_t uid = i % messages + 1;
	MDB_val key = { sizeof(uid), &uid }, val;
	struct row r;
	MDB_txn *t;

	lmdb("begin", mdb_txn_begin(env, NULL, 0, &t));
	lmdb("get", mdb_get(t, dbi, &key, &val));
	memset(&r, 0, sizeof(r));
	memcpy(&r, val.mv_data, MIN(val.mv_size, sizeof(r)));
	r.flags = i % 32;
	lmdb_put(t, &r);
	lmdb("commit", mdb_txn_commit(t));
}

static void lmdb_end(void)
{
	mdb_env_close(env);
}

static void sqlite_end(void)
{
	sqlite3_close(db);
}

static void own_end(void)
{
	md_state_fini(&own_state);
}

static const struct store {
	const char *name, *file;
	void (*begin)(const char *folder);
	void (*make)(void);
	void (*end)(void);
	void (*open)(void);
	void (*change)(unsigned i);
} stores[] = {
	{ "own", MD_CACHE_FILE, own_begin, own_make, own_end, own_open, own_change },
	{ "sqlite", "index.db", sqlite_begin, sqlite_make, sqlite_end, sqlite_open, sqlite_change },
	{ "lmdb", "index.mdb", lmdb_begin, lmdb_make, lmdb_end, lmdb_open, lmdb_change },
};

/* --- what is measured --- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare);
	return v[n / 2];
}

/* Each open is a process's first, as it is for a session. */
static void measure_open(const struct store *s)
{
	double wall[ROUNDS], used[ROUNDS], both[2];

	for (int i = 0; i < ROUNDS; i++) {
		int p[2];
		pid_t pid;

		if (pipe(p) != 0 || (pid = fork()) == -1)
			stop("fork", strerror(errno));
		if (pid == 0) {
			double t = now(), c = cpu();

			s->open();
			both[0] = now() - t;
			both[1] = cpu() - c;
			_exit(write(p[1], both, sizeof(both)) == (ssize_t)sizeof(both) ? 0 : 1);
		}
		close(p[1]);
		if (read(p[0], both, sizeof(both)) != (ssize_t)sizeof(both))
			stop(s->name, "an open failed");
		close(p[0]);
		waitpid(pid, NULL, 0);
		wall[i] = both[0];
		used[i] = both[1];
	}
	printf("%s: open of %u unchanged: %.2f ms, CPU %.2f ms\n", s->name, messages, median(wall, ROUNDS),
	    median(used, ROUNDS));
}

static void measure_change(const struct store *s, const char *folder)
{
	static double wall[CHANGES];
	double c;

	s->begin(folder);
	s->change(0);
	c = cpu();
	for (unsigned i = 0; i < CHANGES; i++) {
		double t = now();

		s->change(i * 7919);
		wall[i] = now() - t;
	}
	c = (cpu() - c) / CHANGES;
	printf("%s: one flag changed, on disk: %.2f ms, CPU %.3f ms\n", s->name, median(wall, CHANGES), c);
	s->end();
}

static void measure_two(const struct store *s, const char *folder)
{
	double t = now();
	bool good = true;
	int status;

	for (unsigned k = 0; k < WRITERS; k++)
		if (fork() == 0) {
			s->begin(folder);
			for (unsigned i = 0; i < CHANGES; i++)
				s->change(i * 31 + k);
			s->end();
			_exit(0);
		}
	for (unsigned k = 0; k < WRITERS; k++)
		good = wait(&status) > 0 && status == 0 && good;
	printf("%s: %d processes, %d changes each: %.2f ms a change%s\n", s->name, WRITERS, CHANGES,
	    (now() - t) / (WRITERS * CHANGES), good ? "" : "; SOME FAILED");
}

/* The file is cut in its middle: what becomes of a process that opens it? */
static void measure_cut(const struct store *s)
{
	struct stat st;
	int status = 0;
	pid_t pid;

	if (stat(s->file, &st) != 0 || truncate(s->file, st.st_size / 2) != 0)
		stop(s->file, strerror(errno));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		fclose(stderr);
		s->open();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("%s: file cut to its half: the process is killed by signal %d (%s)\n", s->name, WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		printf("%s: file cut to its half: %s\n", s->name,
		    WEXITSTATUS(status) == 0 ? "NOT NOTICED" : "an error");
}

static long size_of(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 ? (long)st.st_size : 0;
}

int main(int argc, char **argv)
{
	const struct store *s = NULL;

	for (size_t i = 0; argc == 4 && i < ARRAY_LEN(stores); i++)
		if (strcmp(argv[3], stores[i].name) == 0)
			s = &stores[i];
	if (s == NULL || (messages = (unsigned)strtoul(argv[2], NULL, 10)) == 0 || chdir(argv[1]) != 0) {
		fputs("usage: index_store FOLDER MESSAGES own|sqlite|lmdb\n", stderr);
		return 2;
	}
	s->begin(argv[1]);
	s->make();
	s->end();
	printf("%s: size %ld KB%s\n", s->name, (size_of(s->file) + size_of(MD_STATE_FILE)) / 1024,
	    s->open == own_open ? " (waypostcache and waypoststate)" : "");
	fflush(stdout);
	measure_open(s);
	fflush(stdout);
	measure_change(s, argv[1]);
	fflush(stdout);
	measure_two(s, argv[1]);
	measure_cut(s);
	return sum == 0;
}
