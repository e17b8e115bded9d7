/* maildirsize follows what is done to the Maildir, as Maildir++ and Courier count. */
#include "tests/unit/md_test.h"

#include <dirent.h>

#include "maildir/md_copy.h"
#include "maildir/md_pop3_private.h"
#include "maildir/md_save.h"
#include "maildir/md_tree.h"

#define QUOTA "20000000S,1000C\n"

/* What a delivery agent counts in a recount: new/ and cur/ of DIR without messages marked as deleted. */
static void count_dir(const struct md_test *t, const char *dir, const char *sub, long long *bytes, long long *n)
{
	char path[1024];
	struct dirent *de;
	struct stat st;
	DIR *d;

	snprintf(path, sizeof(path), "%s/%s/%s", t->dir, dir, sub);
	d = opendir(path);
	while (d != NULL && (de = readdir(d)) != NULL) {
		const char *flags = strstr(de->d_name, ":2,");

		if (de->d_name[0] == '.' || (flags != NULL && strchr(flags, 'T') != NULL))
			continue;
		CU_ASSERT_EQUAL(fstatat(dirfd(d), de->d_name, &st, 0), 0);
		*bytes += st.st_size;
		++*n;
	}
	if (d != NULL)
		closedir(d);
}

static void count_all(const struct md_test *t, long long *bytes, long long *n)
{
	struct dirent *de;
	DIR *d = opendir(t->dir);

	*bytes = *n = 0;
	count_dir(t, ".", "new", bytes, n);
	count_dir(t, ".", "cur", bytes, n);
	while ((de = readdir(d)) != NULL)
		if (de->d_name[0] == '.' && strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0 &&
		    strcmp(de->d_name, ".Trash") != 0) {
			count_dir(t, de->d_name, "new", bytes, n);
			count_dir(t, de->d_name, "cur", bytes, n);
		}
	closedir(d);
}

/* Checks that the sum of the file's lines is correct. Returns the number of lines after the quota. */
static unsigned check(struct md_test *t)
{
	long long bytes = 0, n = 0, want_bytes, want_n, b, c;
	char *text, *line;
	unsigned lines = 0;

	md_size_flush(&t->root);
	count_all(t, &want_bytes, &want_n);
	text = mt_read(t, "maildirsize");
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_EQUAL(strncmp(text, QUOTA, strlen(QUOTA)), 0);
	for (line = text + strlen(QUOTA); *line != '\0'; line += 26) {
		CU_ASSERT_FATAL(strlen(line) >= 26 && line[25] == '\n');
		CU_ASSERT_EQUAL(sscanf(line, "%12lld %12lld", &b, &c), 2);
		bytes += b;
		n += c;
		lines++;
	}
	CU_ASSERT_EQUAL(bytes, want_bytes);
	CU_ASSERT_EQUAL(n, want_n);
	mem_free(&text);
	return lines;
}

static void append(struct md_test *t, const char *folder, size_t size, unsigned flags)
{
	char *text = mem_alloc(size);
	struct md_save *s;
	uint32_t uid, uidvalidity;

	memset(text, 'x', size);
	CU_ASSERT_EQUAL_FATAL(md_save_begin(&t->root, folder, &s), MD_OK);
	CU_ASSERT_EQUAL(md_save_write(s, text, size), MD_OK);
	CU_ASSERT_EQUAL(md_save_commit(&s, flags, NULL, 0, NULL, &uid, &uidvalidity), MD_OK);
	mem_free(&text);
}

/* A delivery: new/ without a size in its name. */
static void begin(struct md_test *t)
{
	char line[64];
	long long bytes, n;

	mt_begin(t);
	mt_puts(t, "new/1000.a.host", "old mail\n");
	mt_puts(t, "cur/1001.b.host:2,S", "older mail, seen\n");
	mt_puts(t, "cur/1002.c.host:2,ST", "marked\n");
	CU_ASSERT_EQUAL(md_tree_create(&t->root, "Sent"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t->root, "Trash"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t->root, "Trash.Sub"), MD_OK);
	count_all(t, &bytes, &n);
	CU_ASSERT_EQUAL(n, 2);
	snprintf(line, sizeof(line), QUOTA "%12lld %12lld\n", bytes, n);
	mt_puts(t, "maildirsize", line);
	CU_ASSERT_EQUAL(check(t), 1);
}

static void test_append(void)
{
	struct md_test t;

	begin(&t);
	append(&t, "", 1000, 0);
	CU_ASSERT_EQUAL(check(&t), 2);
	append(&t, "Sent", 2000, MD_SEEN);
	CU_ASSERT_EQUAL(check(&t), 3);
	append(&t, "Trash", 3000, MD_SEEN);
	append(&t, "", 3000, MD_DELETED);
	CU_ASSERT_EQUAL(check(&t), 3);
	append(&t, "Trash.Sub", 4000, 0);
	CU_ASSERT_EQUAL(check(&t), 4);
	mt_end(&t);
}

static struct md_box *open_box(struct md_test *t, const char *folder)
{
	struct md_box *box;

	CU_ASSERT_EQUAL_FATAL(md_box_open(&t->root, folder, false, &box), MD_OK);
	return box;
}

static void test_store(void)
{
	struct md_test t;
	struct md_box *box;

	begin(&t);
	box = open_box(&t, "");
	CU_ASSERT_EQUAL_FATAL(box->n, 3);
	for (size_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(md_box_store(box, i, MD_STORE_ADD, MD_DELETED | MD_FLAGGED, NULL, 0), MD_OK);
	CU_ASSERT_EQUAL(check(&t), 2); /* one line per command */
	CU_ASSERT_EQUAL(md_box_store(box, 0, MD_STORE_ADD, MD_SEEN, NULL, 0), MD_OK);
	CU_ASSERT_EQUAL(check(&t), 2);
	for (size_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(md_box_store(box, i, MD_STORE_SET, MD_SEEN, NULL, 0), MD_OK);
	CU_ASSERT_EQUAL(check(&t), 3);
	md_box_close(&box);
	box = open_box(&t, "Trash");
	append(&t, "Trash", 5, 0);
	(void)check(&t);
	mt_end(&t);
	md_box_close(&box);
}

static void test_expunge(void)
{
	struct md_test t;
	struct md_box *box;

	begin(&t);
	append(&t, "", 777, 0);
	CU_ASSERT_EQUAL(check(&t), 2);
	box = open_box(&t, "");
	for (size_t i = 0; i < box->n; i++)
		CU_ASSERT_EQUAL(md_box_expunge(box, i), MD_OK);
	CU_ASSERT_EQUAL(check(&t), 3);
	md_box_close(&box);
	append(&t, "Trash", 9, 0);
	box = open_box(&t, "Trash");
	CU_ASSERT_EQUAL(md_box_expunge(box, 0), MD_OK);
	CU_ASSERT_EQUAL(check(&t), 3);
	md_box_close(&box);
	mt_end(&t);
}

static void test_copy_and_move(void)
{
	static const size_t all[] = { 0, 1, 2 };
	static const char *const to[] = { "Sent", "Trash", "Trash.Sub" };
	struct md_test t;
	struct md_copied c;
	struct md_box *box;

	for (size_t i = 0; i < ARRAY_LEN(to); i++) {
		begin(&t);
		box = open_box(&t, "");
		CU_ASSERT_EQUAL(md_copy(box, all, 3, to[i], &c), MD_OK);
		md_copied_fini(&c);
		CU_ASSERT_EQUAL(check(&t), strcmp(to[i], "Trash") == 0 ? 1 : 2);
		CU_ASSERT_EQUAL(md_move(box, all, 3, to[i], &c), MD_OK);
		md_copied_fini(&c);
		CU_ASSERT_EQUAL(check(&t), 2); /* a move between folders that both count changes nothing */
		md_box_close(&box);
		box = open_box(&t, to[i]);
		CU_ASSERT_EQUAL(md_move(box, all, 3, "", &c), MD_OK);
		md_copied_fini(&c);
		(void)check(&t);
		md_box_close(&box);
		mt_end(&t);
	}
}

static void test_folders(void)
{
	struct md_test t;

	begin(&t);
	append(&t, "Sent", 100, 0);
	append(&t, "Sent", 200, MD_DELETED);
	md_size_flush(&t.root);
	mt_puts(&t, ".Sent/new/2000.x.host", "delivered there");
	mt_puts(&t, "maildirsize", QUOTA);
	md_size_folder_came(&t.root, "", ".");
	md_size_folder_came(&t.root, "Sent", ".Sent");
	CU_ASSERT_EQUAL(check(&t), 2);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "Sent", "Gone"), MD_OK);
	CU_ASSERT_EQUAL(check(&t), 2);
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "Trash"), MD_OK);
	CU_ASSERT_EQUAL(check(&t), 2);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "Gone", "Trash"), MD_OK);
	(void)check(&t);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "Trash", "Back"), MD_OK);
	(void)check(&t);
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "Back"), MD_OK);
	(void)check(&t);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "", "Old"), MD_OK);
	(void)check(&t);
	mt_end(&t);
}

static void test_pop3(void)
{
	struct md_test t;
	struct md_pop3 *p;
	size_t deleted;

	begin(&t);
	append(&t, "", 4321, 0);
	CU_ASSERT_EQUAL(check(&t), 2);
	CU_ASSERT_EQUAL_FATAL(md_pop3_open(&t.root, &p), MD_OK);
	for (size_t i = 0; i < p->n; i++)
		md_pop3_mark(p, i, true);
	CU_ASSERT_EQUAL(md_pop3_commit(p, &deleted), MD_OK);
	CU_ASSERT_EQUAL(deleted, 4);
	CU_ASSERT_EQUAL(check(&t), 3);
	md_pop3_close(&p);
	mt_end(&t);
}

/* Without a quota no file is made, and only regular files are written to. */
static void test_without(void)
{
	struct md_test t;
	char target[128], link[128];
	struct stat st;

	mt_begin(&t);
	append(&t, "", 100, 0);
	md_size_flush(&t.root);
	CU_ASSERT(!mt_exists(&t, "maildirsize"));
	snprintf(target, sizeof(target), "%s/elsewhere", t.dir);
	snprintf(link, sizeof(link), "%s/maildirsize", t.dir);
	mt_puts(&t, "elsewhere", "");
	CU_ASSERT_EQUAL(symlink(target, link), 0);
	append(&t, "", 100, 0);
	md_size_flush(&t.root);
	CU_ASSERT_EQUAL(stat(target, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, 0);
	unlink(link);
	CU_ASSERT_EQUAL(mkfifo(link, 0600), 0);
	append(&t, "", 100, 0); /* must not block on a FIFO */
	md_size_flush(&t.root);
	mt_end(&t);
}

/* Anyone can choose these names. */
static void test_absurd_sizes(void)
{
	struct md_test t;
	struct md_box *box;
	char *text;

	mt_begin(&t);
	mt_puts(&t, "maildirsize", QUOTA);
	mt_puts(&t, "cur/1.a.h,S=9223372036854775807:2,", "x");
	mt_puts(&t, "cur/2.b.h,S=9223372036854775807:2,", "x");
	mt_puts(&t, "cur/3.c.h,S=18446744073709551615:2,", "x");
	mt_puts(&t, "cur/4.d.h,S=99999999999999999999999:2,", "x");
	box = open_box(&t, "");
	for (size_t i = 0; i < box->n; i++)
		CU_ASSERT_EQUAL(md_box_expunge(box, i), MD_OK);
	md_size_flush(&t.root);
	text = mt_read(&t, "maildirsize");
	CU_ASSERT_EQUAL(text[strlen(text) - 1], '\n');
	mem_free(&text);
	md_box_close(&box);
	mt_end(&t);
}

/* An incomplete line (a full disk, another program): ours are on lines of their own, and all of them count. */
static void test_cut_line(void)
{
	static const char full[] = QUOTA "         100            1\n         200            2\n";

	for (size_t cut = 1; cut < sizeof(full); cut++) {
		struct md_test t;
		char want[256], *text;

		begin(&t);
		mt_write(&t, "maildirsize", full, cut);
		append(&t, "", 7, 0);
		md_size_flush(&t.root);
		append(&t, "", 7, 0);
		md_size_flush(&t.root);
		snprintf(want, sizeof(want), "%.*s%s%12d %12d\n%12d %12d\n", (int)cut, full,
		    full[cut - 1] == '\n' ? "" : "\n", 7, 1, 7, 1);
		text = mt_read(&t, "maildirsize");
		CU_ASSERT_STRING_EQUAL(text, want);
		mem_free(&text);
		mt_end(&t);
	}
}

/* A file without the quota's line stays unchanged: our line would be read as the quota. */
static void test_empty_file(void)
{
	struct md_test t;
	char *text;

	begin(&t);
	mt_puts(&t, "maildirsize", "");
	append(&t, "", 7, 0);
	md_size_flush(&t.root);
	text = mt_read(&t, "maildirsize");
	CU_ASSERT(text == NULL || *text == '\0');
	mem_free(&text);
	mt_end(&t);
}

static const struct unit_case cases[] = { { "append", test_append }, { "store", test_store },
	{ "expunge", test_expunge }, { "copy and move", test_copy_and_move }, { "folders", test_folders },
	{ "POP3", test_pop3 }, { "without a quota", test_without }, { "absurd sizes in names", test_absurd_sizes },
	{ "a line that was cut off", test_cut_line }, { "an empty file", test_empty_file }, { NULL, NULL } };

UNIT_MAIN("md_size", cases)
