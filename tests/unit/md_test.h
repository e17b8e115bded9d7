/* Maildirs for the unit tests of maildir/: made in a temporary folder, removed at the end of each test. */
#ifndef TESTS_MD_TEST_H
#define TESTS_MD_TEST_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/str.h"
#include "maildir/md.h"
#include "maildir/md_box_private.h"
#include "maildir/md_save.h"
#include "tests/unit/unit.h"

struct md_test {
	char dir[64];
	struct md_root root;
};

static inline void mt_mkdir(const struct md_test *t, const char *path)
{
	char p[512];

	snprintf(p, sizeof(p), "%s/%s", t->dir, path);
	CU_ASSERT_EQUAL_FATAL(mkdir(p, 0700), 0);
}

static inline void mt_write(const struct md_test *t, const char *path, const char *text, size_t len)
{
	char p[1024];
	FILE *f;

	snprintf(p, sizeof(p), "%s/%s", t->dir, path);
	f = fopen(p, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(fwrite(text, 1, len, f), len);
	fclose(f);
}

static inline void mt_puts(const struct md_test *t, const char *path, const char *text)
{
	mt_write(t, path, text, strlen(text));
}

/* The file's text in new memory, or NULL if there is none. */
static inline char *mt_read(const struct md_test *t, const char *path)
{
	char p[1024], buf[4096];
	struct str s = STR_INIT;
	size_t n;
	FILE *f;

	snprintf(p, sizeof(p), "%s/%s", t->dir, path);
	f = fopen(p, "r");
	if (f == NULL)
		return NULL;
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		str_add(&s, buf, n);
	fclose(f);
	return str_steal(&s);
}

static inline bool mt_exists(const struct md_test *t, const char *path)
{
	char p[1024];
	struct stat st;

	snprintf(p, sizeof(p), "%s/%s", t->dir, path);
	return lstat(p, &st) == 0;
}

static inline void mt_rename(const struct md_test *t, const char *from, const char *to)
{
	char a[1024], b[1024];

	snprintf(a, sizeof(a), "%s/%s", t->dir, from);
	snprintf(b, sizeof(b), "%s/%s", t->dir, to);
	CU_ASSERT_EQUAL(rename(a, b), 0);
}

static inline void mt_unlink(const struct md_test *t, const char *path)
{
	char p[1024];

	snprintf(p, sizeof(p), "%s/%s", t->dir, path);
	CU_ASSERT_EQUAL(unlink(p), 0);
}

/* Saves TEXT in INBOX, with \Seen, the keyword "work" and the date WHEN (NULL: now). */
static inline enum md_err mt_save(struct md_root *r, const char *text, const time_t *when)
{
	const char *kw[] = { "work" };
	struct md_save *s;
	uint32_t uid, uidv;
	enum md_err e = md_save_begin(r, "", &s);

	if (e != MD_OK)
		return e;
	e = md_save_write(s, text, strlen(text));
	if (e == MD_OK)
		return md_save_commit(&s, MD_SEEN, kw, 1, when, &uid, &uidv);
	md_save_abort(&s);
	return e;
}

static inline void mt_begin(struct md_test *t)
{
	strcpy(t->dir, "/tmp/wp-md-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(t->dir));
	mt_mkdir(t, "cur");
	mt_mkdir(t, "new");
	mt_mkdir(t, "tmp");
	CU_ASSERT_EQUAL_FATAL(md_root_init(&t->root, t->dir), MD_OK);
}

static inline int mt_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void mt_end(struct md_test *t)
{
	md_root_fini(&t->root);
	CU_ASSERT_EQUAL(nftw(t->dir, mt_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
