/* A Maildir, changes to it, and what can be seen of it. */
#include "tests/unit/store_world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/str.h"
#include "maildir/md_box.h"
#include "maildir/md_copy.h"
#include "maildir/md_dir.h"
#include "maildir/md_parsed.h"
#include "maildir/md_pop3.h"
#include "maildir/md_save.h"
#include "maildir/md_subscribe.h"
#include "maildir/md_track.h"
#include "maildir/md_tree.h"
#include "tests/unit/unit.h"
#include "tests/unit/wall_ahead.h"

enum {
	LATE = 99 /* the message that is delivered at the end */,
	TEXT_MAX = 256,
	KNOWN = 7,
	LOADED = 19,
	FILLERS = 20,
	TICK_US = 20000
};

/* --- clocks --- */

int __real_md_tmp_create(struct md_root *r, int dirfd, mode_t mode, struct str *name);
int __wrap_md_tmp_create(struct md_root *r, int dirfd, mode_t mode, struct str *name);

int __wrap_md_tmp_create(struct md_root *r, int dirfd, mode_t mode, struct str *name)
{
	int fd = __real_md_tmp_create(r, dirfd, mode, name);
	struct timespec t[2];

	clock_gettime(CLOCK_REALTIME, &t[0]);
	t[1] = t[0];
	if (fd >= 0 && ahead_s != 0)
		futimens(fd, t);
	return fd;
}

/* What is changed from now on has another time. */
static void tick(const struct world *w)
{
	if (w->cached)
		usleep(TICK_US);
}

/* --- files --- */

static void text_of(int k, char *text)
{
	snprintf(text, TEXT_MAX, "Subject: %d\n\nThe body of message %d.\n", k, k);
}

static void put(const struct world *w, const char *path, const char *text)
{
	int fd = openat(w->root.fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	CU_ASSERT_EQUAL_FATAL(fsync(fd), 0);
	close(fd);
}

static void put_message(const struct world *w, const char *folder, int k, const char *flags)
{
	char path[64], text[TEXT_MAX];

	snprintf(path, sizeof(path), "%s/cur/%d.x:2,%s", folder, k, flags);
	text_of(k, text);
	put(w, path, text);
}

static void rename_in(const struct world *w, const char *folder, const char *from, const char *sub, const char *to)
{
	char a[64], b[64];
	int fd;

	snprintf(a, sizeof(a), "%s/%s", folder, from);
	snprintf(b, sizeof(b), "%s/%s/%s", folder, sub, to);
	CU_ASSERT_EQUAL_FATAL(renameat(w->root.fd, a, w->root.fd, b), 0);
	snprintf(b, sizeof(b), "%s/%s", folder, sub);
	fd = openat(w->root.fd, b, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CU_ASSERT_EQUAL(fsync(fd), 0);
	close(fd);
}

/* As a delivery agent does it. */
static void deliver(const struct world *w, const char *folder, int k, const char *name)
{
	char from[64], path[80], text[TEXT_MAX];

	snprintf(from, sizeof(from), "tmp/%s", name);
	snprintf(path, sizeof(path), "%s/%s", folder, from);
	text_of(k, text);
	put(w, path, text);
	rename_in(w, folder, from, "new", name);
}

/* --- the world --- */

static const char *const known_folders[WORLD_FOLDERS] = { "", "To", "Old", "Plain", "Tracked" };
enum { PLAIN = 3, TRACKED = 4 }; /* of them */

/* What the caches hold of message I. Returns false if that is wrong. */
static bool note_parsed(struct md_box *box, size_t i)
{
	char text[32];
	const char *p;
	size_t len, n = (size_t)snprintf(text, sizeof(text), "header of %.20s", md_box_file_name(box, i));

	n = strcspn(text, ":");
	if (md_parsed_get(box, i, MD_PARSED_HEADER, &p, &len))
		return len == n && memcmp(p, text, n) == 0;
	md_parsed_put(box, i, MD_PARSED_HEADER, text, n);
	return true;
}

static enum md_err open_and_parse(struct world *w, const char *folder, uint32_t *uidvalidity)
{
	struct md_box *box;
	enum md_err e = md_box_open(&w->root, folder, false, &box);

	if (e != MD_OK)
		return e;
	if (!md_box_uid_sticky(box)) /* the client is told so */
		e = MD_FULL;
	else
		*uidvalidity = md_box_uidvalidity(box);
	for (size_t i = 0; i < md_box_count(box); i++)
		CU_ASSERT(note_parsed(box, i));
	if (e == MD_OK && *folder == '\0') {
		w->told.uids = MAX(w->told.uids, md_box_last_uid(box));
		if (md_box_last_uid(box) == 8)
			w->told.uid[8] = 8;
	}
	md_box_close(&box);
	return e;
}

static unsigned seen_flags(const struct md_box *box, size_t i)
{
	return md_box_flags(box, i) & ~(unsigned)MD_DRAFT;
}

/* The client hears of all that BOX, folder F, has. */
static void synchronise(struct world *w, size_t f, struct md_box *box)
{
	struct world_synced s = { .highest = md_box_highest_modseq(box) };

	for (size_t i = 0; i < md_box_count(box); i++) {
		size_t k = md_box_uid(box, i) - 1; /* no file is read: that would be one of the calls that fail */

		CU_ASSERT_FATAL(k < WORLD_TRACKED);
		s.of[k].uid = md_box_uid(box, i);
		s.of[k].flags = seen_flags(box, i);
		s.of[k].modseq = md_box_modseq(box, i);
	}
	w->told.synced[f - PLAIN].latest = s;
	if (w->told.synced[f - PLAIN].first.highest == 0)
		w->told.synced[f - PLAIN].first = s;
}

/* Opens folder F and asks for its sequences; if there is FN, that changes the message with UID. */
static enum md_err track(struct world *w, size_t f, uint32_t uid, enum md_err (*fn)(struct md_box *box, size_t i))
{
	struct md_changes ch;
	struct md_box *box;
	enum md_err e = md_box_open(&w->root, known_folders[f], false, &box);
	size_t i;

	if (e != MD_OK)
		return e;
	e = md_box_uid_sticky(box) ? md_box_track(box, &ch) : MD_FULL;
	if (e == MD_OK && fn != NULL) {
		i = md_box_find(box, uid);
		e = i < md_box_count(box) && md_box_uid(box, i) == uid ? fn(box, i) : MD_GONE;
		if (e == MD_OK)
			e = md_box_flush(box);
		md_box_drop_gone(box, NULL, NULL);
	}
	if (e == MD_OK) {
		w->told.uidvalidity[f] = md_box_uidvalidity(box);
		synchronise(w, f, box);
	}
	md_box_close(&box);
	return e;
}

static void keep_keyword(struct world *w)
{
	struct md_box *box;
	uint32_t kw;

	CU_ASSERT_EQUAL_FATAL(md_box_open(&w->root, "", false, &box), MD_OK);
	kw = (uint32_t)md_box_keyword_add(box, "kept", 4);
	CU_ASSERT_EQUAL(md_box_store(box, KNOWN - 1, MD_STORE_ADD, MD_ANSWERED, &kw, 1), MD_OK);
	CU_ASSERT_EQUAL(md_box_flush(box), MD_OK);
	md_box_close(&box);
}

static void make_dirs(const char *dir)
{
	static const char *const sub[] = { "", "/cur", "/new", "/tmp" };
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(sub); i++) {
		snprintf(path, sizeof(path), "%s%s", dir, sub[i]);
		CU_ASSERT_FATAL(mkdir(path, 0700) == 0 || errno == EEXIST);
	}
}

void world_begin(struct world *w, bool cached)
{
	char text[128];

	memset(w, 0, sizeof(*w));
	w->cached = cached;
	ahead_s = cached ? 3 : 0;
	/* In memory if possible: nothing here is about a disk. */
	strcpy(w->dir, access("/dev/shm", W_OK) == 0 ? "/dev/shm/wp-world-XXXXXX" : "/tmp/wp-world-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(w->dir));
	make_dirs(w->dir);
	CU_ASSERT_EQUAL_FATAL(md_root_init(&w->root, w->dir), MD_OK);
	put(w, "maildirsize", "1000000S\n");
	for (int k = 1; k <= KNOWN; k++) {
		put_message(w, ".", k, "");
		w->told.uid[k] = (uint32_t)k;
	}
	CU_ASSERT_EQUAL_FATAL(md_tree_create(&w->root, "To"), MD_OK);
	CU_ASSERT_EQUAL_FATAL(md_tree_create(&w->root, "Old"), MD_OK);
	snprintf(text, sizeof(text), "%s/.Plain", w->dir);
	make_dirs(text);
	put_message(w, ".To", 11, "S");
	put_message(w, ".Old", 12, "");
	put_message(w, ".Plain", WORLD_FIRST_TRACKED, "");
	CU_ASSERT_EQUAL_FATAL(md_tree_create(&w->root, "Tracked"), MD_OK);
	for (int k = 1; k <= 4; k++)
		put_message(w, ".Tracked", WORLD_FIRST_TRACKED + k, "");
	for (size_t i = 0; i < PLAIN; i++)
		CU_ASSERT_EQUAL_FATAL(open_and_parse(w, known_folders[i], &w->told.uidvalidity[i]), MD_OK);
	CU_ASSERT_EQUAL_FATAL(track(w, TRACKED, 0, NULL), MD_OK);
	keep_keyword(w);
	snprintf(text, sizeof(text), "1 %u 1\n", w->told.uidvalidity[1] + 1000);
	put(w, "tmp/uidv.There", text);
	CU_ASSERT_EQUAL_FATAL(md_subscribe(&w->root, "Old"), MD_OK);
	if (cached) {
		for (int k = FILLERS; k < LATE; k++) /* a small folder has no cache */
			put_message(w, ".", k, "S");
		for (int i = 0; i < 2; i++) { /* one that writes the list makes no cache */
			tick(w);
			CU_ASSERT_EQUAL_FATAL(open_and_parse(w, "", &w->told.uidvalidity[0]), MD_OK);
		}
		CU_ASSERT_EQUAL(faccessat(w->root.fd, "waypostcache", F_OK, 0), 0);
		CU_ASSERT_EQUAL(faccessat(w->root.fd, "waypostparsed", F_OK, 0), 0);
		tick(w);
	}
}

void world_at(struct world *w, const struct world *of, const char *dir)
{
	memcpy(w, of, sizeof(*w));
	snprintf(w->dir, sizeof(w->dir), "%s", dir);
	CU_ASSERT_EQUAL_FATAL(md_root_init(&w->root, w->dir), MD_OK);
}

void world_close(struct world *w)
{
	md_root_fini(&w->root);
}

static int remove_one(const char *path, const struct stat *st UNUSED, int type UNUSED, struct FTW *ftw UNUSED)
{
	return remove(path);
}

void world_end(struct world *w)
{
	world_close(w);
	CU_ASSERT_EQUAL(nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* --- changes --- */

static struct world *acting; /* whose command runs */

/* Runs FN on message K of INBOX. */
static enum md_err on(struct world *w, uint32_t k, enum md_err (*fn)(struct md_box *box, size_t i))
{
	struct md_box *box;
	enum md_err e = md_box_open(&w->root, "", false, &box);
	size_t i;

	acting = w;
	if (e != MD_OK)
		return e;
	i = md_box_find(box, k); /* the UIDs are the numbers */
	e = i < md_box_count(box) && md_box_uid(box, i) == k ? fn(box, i) : MD_GONE;
	if (e == MD_OK)
		e = md_box_flush(box);
	md_box_close(&box);
	return e;
}

static enum md_err store_flag(struct md_box *box, size_t i)
{
	return md_box_store(box, i, MD_STORE_ADD, MD_FLAGGED, NULL, 0);
}

static enum md_err store_keyword(struct md_box *box, size_t i)
{
	uint32_t kw = (uint32_t)md_box_keyword_add(box, "stored", 6);

	return md_box_store(box, i, MD_STORE_ADD, 0, &kw, 1);
}

static enum md_err to(struct md_box *box, size_t i,
    enum md_err (*fn)(struct md_box *box, const size_t *idx, size_t n, const char *folder, struct md_copied *c))
{
	struct md_copied c;
	enum md_err e = fn(box, &i, 1, "To", &c);

	if (e == MD_OK && c.n == 1)
		acting->told.uid_in_to[c.from[0]] = c.to[0];
	md_copied_fini(&c);
	return e;
}

static enum md_err copy(struct md_box *box, size_t i)
{
	return to(box, i, md_copy);
}

static enum md_err move(struct md_box *box, size_t i)
{
	return to(box, i, md_move);
}

static void deliver_8(const struct world *w)
{
	deliver(w, ".", 8, "8.x");
}

static enum md_err do_open(struct world *w)
{
	return open_and_parse(w, "", &w->told.uidvalidity[0]);
}

/* A folder that Courier's delivery agent made: it has no list of UIDs. */
static enum md_err do_first(struct world *w)
{
	return open_and_parse(w, "Plain", &w->told.uidvalidity[PLAIN]);
}

static enum md_err save(struct world *w, int k, uint32_t *uid)
{
	const char *kw[] = { "new" };
	struct md_save *s;
	uint32_t uidv;
	char text[TEXT_MAX];
	enum md_err e = md_save_begin(&w->root, "", &s);

	if (e != MD_OK)
		return e;
	text_of(k, text);
	e = md_save_write(s, text, strlen(text));
	if (e != MD_OK) {
		md_save_abort(&s);
		return e;
	}
	return md_save_commit(&s, MD_SEEN, kw, 1, NULL, uid, &uidv);
}

static enum md_err do_append(struct world *w)
{
	uint32_t uid;
	enum md_err e = save(w, 9, &uid);

	if (e == MD_OK) {
		w->told.uids = MAX(w->told.uids, uid);
		w->told.uid[9] = uid;
	}
	return e;
}

static enum md_err do_flag(struct world *w)
{
	return on(w, 1, store_flag);
}

static enum md_err do_keyword(struct world *w)
{
	return on(w, 2, store_keyword);
}

static enum md_err do_copy(struct world *w)
{
	return on(w, 3, copy);
}

static enum md_err do_move(struct world *w)
{
	return on(w, 4, move);
}

static enum md_err do_expunge(struct world *w)
{
	return on(w, 5, md_box_expunge);
}

static enum md_err do_quit(struct world *w)
{
	struct md_pop3 *p;
	size_t deleted, i = 0;
	enum md_err e = md_pop3_open(&w->root, &p);

	if (e != MD_OK)
		return e;
	while (i < md_pop3_count(p) && strncmp(md_pop3_file_name(p, i), "6.x", 3) != 0)
		i++;
	e = MD_GONE; /* a message that cannot be read is left out */
	if (i < md_pop3_count(p)) {
		md_pop3_mark(p, i, true);
		e = md_pop3_commit(p, &deleted);
	}
	md_pop3_close(&p);
	return e;
}

static enum md_err do_subscribe(struct world *w)
{
	return md_subscribe(&w->root, "To");
}

static enum md_err do_unsubscribe(struct world *w)
{
	return md_unsubscribe(&w->root, "Old");
}

static enum md_err do_create(struct world *w)
{
	return md_tree_create(&w->root, "New");
}

static enum md_err do_rename(struct world *w)
{
	return md_tree_rename(&w->root, "To", "There");
}

static enum md_err do_delete(struct world *w)
{
	return md_tree_delete(&w->root, "Old");
}

static enum md_err do_id(struct world *w)
{
	char id[MD_MAILBOX_ID_SIZE];
	enum md_err e = md_mailbox_id(&w->root, "To", id);

	if (e == MD_OK)
		memcpy(w->told.id_of_to, id, sizeof(id));
	return e;
}

static enum md_err do_track(struct world *w)
{
	return track(w, PLAIN, 0, NULL);
}

static void deliver_18(const struct world *w)
{
	deliver(w, ".Tracked", WORLD_FIRST_TRACKED + 5, "18.x");
}

/* As Courier does it. */
static void set_flag_of_16(const struct world *w)
{
	rename_in(w, ".Tracked", "cur/16.x:2,", "cur", "16.x:2,S");
}

static enum md_err do_track_again(struct world *w)
{
	return track(w, TRACKED, 0, NULL);
}

static enum md_err do_tracked_flag(struct world *w)
{
	return track(w, TRACKED, 1, store_flag);
}

static enum md_err do_tracked_expunge(struct world *w)
{
	return track(w, TRACKED, 2, md_box_expunge);
}

const struct change changes[] = {
	{ "OPEN", deliver_8, do_open, UNCERTAIN },
	{ "first OPEN", NULL, do_first, UNCERTAIN },
	{ "APPEND", NULL, do_append, AS_BEFORE },
	{ "STORE a flag", NULL, do_flag, UNCERTAIN },
	{ "STORE a keyword", NULL, do_keyword, UNCERTAIN },
	{ "COPY", NULL, do_copy, AS_BEFORE },
	{ "MOVE", NULL, do_move, AS_BEFORE },
	{ "EXPUNGE", NULL, do_expunge, UNCERTAIN },
	{ "QUIT", NULL, do_quit, UNCERTAIN },
	{ "SUBSCRIBE", NULL, do_subscribe, UNCERTAIN },
	{ "UNSUBSCRIBE", NULL, do_unsubscribe, UNCERTAIN },
	{ "first sequences", NULL, do_track, UNCERTAIN },
	{ "sequences of what came", deliver_18, do_track_again, UNCERTAIN },
	{ "sequences of what others changed", set_flag_of_16, do_track_again, UNCERTAIN },
	{ "STORE with sequences", NULL, do_tracked_flag, UNCERTAIN },
	{ "EXPUNGE with sequences", NULL, do_tracked_expunge, UNCERTAIN },
	{ "mailbox id", NULL, do_id, UNCERTAIN },
	{ "CREATE", NULL, do_create, AS_BEFORE },
	{ "RENAME", NULL, do_rename, AS_BEFORE },
	{ "DELETE", NULL, do_delete, AS_BEFORE },
};
const size_t n_changes = ARRAY_LEN(changes);

/* --- what can be seen --- */

static int read_number(struct md_box *box, size_t i, char *text)
{
	int fd, k = 0;
	ssize_t n;

	if (md_box_read(box, i, &fd) != MD_OK)
		return -1;
	n = read(fd, text, TEXT_MAX - 1);
	close(fd);
	text[MAX(n, 0)] = '\0';
	return sscanf(text, "Subject: %d", &k) == 1 ? k : -1;
}

static void see_message(const struct world *w, struct md_box *box, size_t i, const char *folder, struct str *out)
{
	char text[TEXT_MAX], right[TEXT_MAX];
	int k = read_number(box, i, text);
	uint32_t uid = md_box_uid(box, i), told = 0;
	const uint32_t *kw;
	size_t n;

	if (k == LATE) {
		str_addf(out, " late%s;", *folder == '\0' && uid > w->told.uids ? "" : " HAS A UID THAT WAS TOLD");
		return;
	}
	if (k == LOADED)
		return;
	text_of(k, right);
	str_addf(out, " %d%s", k, strcmp(text, right) == 0 ? "" : " IS DAMAGED");
	if (k > 0 && k < WORLD_MESSAGES)
		told = *folder == '\0' ? w->told.uid[k] : w->told.uid_in_to[k];
	else if (k > 10 && k < FILLERS)
		told = (uint32_t)MAX(k - WORLD_FIRST_TRACKED, 1);
	if (k >= FILLERS)
		told = (uint32_t)k - FILLERS + KNOWN + 1;
	if (told != 0 && told != uid)
		str_addf(out, " HAS ANOTHER UID (%u)", uid);
	str_addf(out, " flags %x", seen_flags(box, i));
	kw = md_box_keywords(box, i, &n);
	for (size_t j = 0; j < n; j++)
		str_addf(out, " %s", md_box_keyword_name(box, kw[j]));
	if (w->cached && !note_parsed(box, i))
		str_adds(out, " IS NOT WHAT WAS PARSED");
	str_addc(out, ';');
}

static void see_uidvalidity(const struct world *w, const char *folder, uint32_t v, struct str *out)
{
	if (strcmp(folder, "To") == 0 && v == w->told.uidvalidity[1] + 1001) {
		str_adds(out, WORLD_RAISED);
		return;
	}
	for (size_t i = 0; i < WORLD_FOLDERS; i++)
		if (strcmp(folder, known_folders[i]) == 0 && w->told.uidvalidity[i] != 0 && v != w->told.uidvalidity[i])
			str_adds(out, " HAS ANOTHER UIDVALIDITY");
	if (strcmp(folder, "There") == 0 && v <= w->told.uidvalidity[1] + 1000)
		str_adds(out, " HAS AN OLD UIDVALIDITY");
}

/* The UIDs that are gone, of those that a client knows. */
static void forget(uint32_t first, uint32_t last, void *arg)
{
	struct world_synced *s = arg;

	for (size_t k = 0; k < WORLD_TRACKED; k++)
		if (s->of[k].uid >= first && s->of[k].uid <= last)
			s->of[k].uid = 0;
}

static void see_sequence(const struct world_synced *told, struct md_box *box, size_t i, struct str *out)
{
	uint32_t uid = md_box_uid(box, i);
	uint64_t modseq = md_box_modseq(box, i);
	size_t k = 0;

	while (k < WORLD_TRACKED && told->of[k].uid != uid)
		k++;
	if (modseq > md_box_highest_modseq(box))
		str_adds(out, " HAS A SEQUENCE ABOVE THE HIGHEST");
	if (modseq <= told->highest && (k == WORLD_TRACKED || told->of[k].flags != seen_flags(box, i)))
		str_addf(out, " HAS A CHANGE THAT IS NEVER TOLD (UID %u)", uid);
	if (k < WORLD_TRACKED && modseq < told->of[k].modseq)
		str_addf(out, " HAS A SEQUENCE THAT GOES BACK (UID %u)", uid);
}

/* What a client that was TOLD so much of BOX hears next: all that is not as it knows. */
static void see_told(const struct world_synced *told, struct md_box *box, struct str *out)
{
	struct world_synced left = *told;

	if (told->highest == 0)
		return;
	if (md_box_highest_modseq(box) < told->highest)
		str_adds(out, " HAS A HIGHEST SEQUENCE THAT GOES BACK");
	if (box->track->s.floor > told->highest)
		str_adds(out, " HAS SEQUENCES THAT BEGAN ANEW");
	for (size_t i = 0; i < md_box_count(box); i++)
		see_sequence(told, box, i, out);
	md_box_expunged_since(box, told->highest, forget, &left);
	for (size_t k = 0; k < WORLD_TRACKED; k++) {
		uint32_t uid = left.of[k].uid;
		size_t i = md_box_find(box, uid);

		if (uid != 0 && (i >= md_box_count(box) || md_box_uid(box, i) != uid))
			str_addf(out, " HAS A LOSS THAT IS NEVER TOLD (UID %u)", uid);
	}
}

/* What clients that synchronise folder F hear next. */
static void see_sequences(struct world *w, size_t f, struct str *out)
{
	struct md_changes ch;
	struct md_box *box;

	if (md_box_open(&w->root, known_folders[f], false, &box) != MD_OK) {
		str_adds(out, " CANNOT BE OPENED AGAIN");
		return;
	}
	if (md_box_track(box, &ch) == MD_OK) {
		see_told(&w->told.synced[f - PLAIN].latest, box, out);
		see_told(&w->told.synced[f - PLAIN].first, box, out);
	} else {
		str_addf(out, " HAS NO SEQUENCES: %s", w->root.why);
	}
	md_box_close(&box);
}

static void see_id(struct world *w, const char *folder, struct str *out)
{
	char id[MD_MAILBOX_ID_SIZE];

	if (*w->told.id_of_to == '\0' || (strcmp(folder, "To") != 0 && strcmp(folder, "There") != 0))
		return;
	if (md_mailbox_id(&w->root, folder, id) != MD_OK || strcmp(id, w->told.id_of_to) != 0)
		str_adds(out, " HAS ANOTHER ID");
}

/* In the order of their numbers: UIDs of what nobody was told of may differ. */
static void see_folder(struct world *w, const char *folder, struct str *out)
{
	struct md_box *box;
	struct str seen[LATE + 1] = { { 0 } };
	enum md_err e = md_box_open(&w->root, folder, false, &box);
	char text[TEXT_MAX];

	str_addf(out, "[%s]", *folder != '\0' ? folder : "INBOX");
	if (e != MD_OK) {
		str_addf(out, " CANNOT BE OPENED: %s\n", w->root.why);
		return;
	}
	see_uidvalidity(w, folder, md_box_uidvalidity(box), out);
	for (size_t i = 0; i < md_box_count(box); i++) {
		int k = read_number(box, i, text);

		see_message(w, box, i, folder, &seen[k > 0 && k <= LATE ? k : 0]);
	}
	for (size_t k = 0; k <= LATE; k++) {
		if (seen[k].len != 0)
			str_adds(out, seen[k].data);
		str_fini(&seen[k]);
	}
	md_box_close(&box);
	for (size_t f = PLAIN; f < WORLD_FOLDERS; f++)
		if (strcmp(folder, known_folders[f]) == 0)
			see_sequences(w, f, out);
	see_id(w, folder, out);
	str_addc(out, '\n');
}

/* Each line of maildirsize is whole, or the next writer makes it so. */
static void see_size(const struct world *w, struct str *out)
{
	char text[4096], *line, *next;
	int fd = openat(w->root.fd, "maildirsize", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	long long bytes, count;

	if (fd >= 0)
		close(fd);
	text[MAX(n, 0)] = '\0';
	line = strchr(text, '\n');
	if (line == NULL)
		str_adds(out, "maildirsize IS LOST\n");
	for (; line != NULL && (next = strchr(line + 1, '\n')) != NULL; line = next)
		if (sscanf(line + 1, "%lld %lld", &bytes, &count) != 2)
			str_adds(out, "maildirsize HAS A BROKEN LINE\n");
}

static void see_all(struct world *w, struct str *out)
{
	struct md_folders l;
	struct md_names names;

	if (md_tree_list(&w->root, false, &l) != MD_OK)
		str_adds(out, "NO LIST OF FOLDERS\n");
	for (size_t i = 0; i < l.n; i++)
		see_folder(w, l.f[i].name, out);
	md_folders_fini(&l);
	if (md_subscribed(&w->root, &names) != MD_OK)
		str_adds(out, "NO SUBSCRIPTIONS\n");
	for (size_t i = 0; i < names.n; i++)
		str_addf(out, "subscribed: %s\n", names.name[i]);
	md_names_fini(&names);
	see_size(w, out);
}

static int remove_cache(const char *path, const struct stat *st UNUSED, int type UNUSED, struct FTW *ftw)
{
	const char *name = path + ftw->base;

	return strcmp(name, "waypostcache") == 0 || strcmp(name, "waypostparsed") == 0 ? remove(path) : 0;
}

static void world_see(struct world *w, struct str *out)
{
	struct str again = STR_INIT;
	size_t start = out->len;

	tick(w);
	deliver(w, ".", LATE, "0.late");
	tick(w);
	see_all(w, out);
	if (!w->cached)
		return;
	nftw(w->dir, remove_cache, 16, FTW_PHYS);
	see_all(w, &again);
	if (strcmp(out->data + start, again.data) != 0)
		str_addf(out, "A CACHE IS BELIEVED AGAINST THE FILES, WHICH SAY:\n%s", again.data);
	str_fini(&again);
}

char *world_seen(struct world *w)
{
	struct str s = STR_INIT;

	world_see(w, &s);
	return str_steal(&s);
}

void world_learn(char *before[CHANGES_MAX], char *after[CHANGES_MAX], bool cached)
{
	for (size_t i = 0; i < n_changes; i++)
		for (int run = 0; run < 2; run++) {
			char **text = run != 0 ? &after[i] : &before[i];
			struct world w;

			world_begin(&w, cached);
			if (changes[i].prepare != NULL)
				changes[i].prepare(&w);
			CU_ASSERT_EQUAL_FATAL(run != 0 ? changes[i].run(&w) : MD_OK, MD_OK);
			free(*text);
			*text = world_seen(&w);
			if (strstr(*text, " HAS ") != NULL)
				CU_FAIL_FATAL("the world is not in order");
			world_end(&w);
		}
}

void world_forget(char *text, const char *what)
{
	char *at = strstr(text, what);

	if (at != NULL)
		memmove(at, at + strlen(what), strlen(at + strlen(what)) + 1);
}

static enum md_err toggle_draft(struct md_box *box, size_t i)
{
	return md_box_store(box, i, (md_box_flags(box, i) & MD_DRAFT) != 0 ? MD_STORE_REMOVE : MD_STORE_ADD, MD_DRAFT,
	    NULL, 0);
}

void world_load(struct world *w, unsigned step)
{
	uint32_t uid;

	if (step % 3 == 0)
		(void)on(w, KNOWN, toggle_draft);
	else if (step % 3 == 1)
		(void)track(w, TRACKED, 4, toggle_draft);
	else if (save(w, LOADED, &uid) == MD_OK)
		(void)on(w, uid, md_box_expunge);
}
