/* waypostparsed: records, and what damages them. */
#include "tests/unit/md_test.h"

#include "maildir/md_parsed.h"

static void put(struct str *s, uint32_t uid, uint32_t kind, const char *text)
{
	struct md_parsed_record r = { uid, kind, md_parsed_base("1.M.h", 5), text, strlen(text) };

	md_parsed_add(s, &r);
}

/* How many records there are; the sum of their UIDs goes to *UIDS, what is left over to *REST. */
static unsigned count(const char *p, size_t len, unsigned *uids, size_t *rest)
{
	struct md_parsed_record r;
	unsigned n = 0;
	size_t at = 0;

	*uids = 0;
	for (; md_parsed_take(p, len, &at, &r); n++)
		*uids += r.uid;
	*rest = len - at;
	return n;
}

static void test_cut(void)
{
	struct str s = STR_INIT;
	size_t first, rest;
	unsigned uids;

	put(&s, 1, MD_PARSED_HEADER, "Subject: x\n\n");
	first = s.len;
	put(&s, 2, MD_PARSED_BODY, "");
	for (size_t len = 0; len <= s.len; len++) {
		char *copy = mem_memdup(s.data, len);
		unsigned want = len == s.len ? 2 : len >= first;

		CU_ASSERT_EQUAL(count(copy, len, &uids, &rest), want);
		CU_ASSERT_EQUAL(rest == 0, len == 0 || len == first || len == s.len);
		mem_free(&copy);
	}
	str_fini(&s);
}

static void test_each_byte(void)
{
	struct str s = STR_INIT;
	size_t rest;
	unsigned uids;

	put(&s, 1, MD_PARSED_HEADER, "Subject: x\n\n");
	for (size_t i = 0; i < s.len; i++) {
		s.data[i] ^= 0x10;
		CU_ASSERT_EQUAL(count(s.data, s.len, &uids, &rest), 0);
		s.data[i] ^= 0x10;
	}
	CU_ASSERT_EQUAL(count(s.data, s.len, &uids, &rest), 1);
	CU_ASSERT_EQUAL(uids, 1);
	str_fini(&s);
}

/* Asks for the header of message I, until the file is read. */
static bool knows(struct md_box *box, size_t i, const char *want)
{
	const char *p;
	size_t len;

	return md_parsed_get(box, i, MD_PARSED_HEADER, &p, &len) && len == strlen(want) && memcmp(p, want, len) == 0;
}

static struct md_box *open_box(struct md_test *t, bool readonly)
{
	struct md_box *box;

	CU_ASSERT_EQUAL_FATAL(md_box_open(&t->root, "", readonly, &box), MD_OK);
	return box;
}

/* What is put is there for the next session; not of a message with another name; not written by one that may not. */
static void test_box(void)
{
	struct md_test t;
	struct md_box *box;

	mt_begin(&t);
	mt_puts(&t, "cur/1000.M1P1.h:2,", "Subject: a\n\nx\n");
	mt_puts(&t, "cur/1001.M1P1.h:2,", "Subject: b\n\nx\n");
	box = open_box(&t, true);
	CU_ASSERT_FALSE(knows(box, 0, "A"));
	md_parsed_put(box, 0, MD_PARSED_HEADER, "A", 1);
	md_box_close(&box);
	CU_ASSERT_FALSE(mt_exists(&t, MD_PARSED_FILE));
	box = open_box(&t, false);
	CU_ASSERT_FALSE(knows(box, 0, "A"));
	md_parsed_put(box, 0, MD_PARSED_HEADER, "A", 1);
	md_parsed_end(box);
	CU_ASSERT_TRUE(knows(box, 0, "A"));
	CU_ASSERT_FALSE(knows(box, 1, "B"));
	md_parsed_put(box, 1, MD_PARSED_HEADER, "B", 1);
	md_box_close(&box);
	mt_rename(&t, "cur/1000.M1P1.h:2,", "cur/1000.M1P1.h:2,F");
	box = open_box(&t, true);
	CU_ASSERT_TRUE(knows(box, 0, "A"));
	CU_ASSERT_TRUE(knows(box, 1, "B"));
	md_box_close(&box);
	/* Another file with the UID of the first. */
	mt_rename(&t, "cur/1000.M1P1.h:2,F", "cur/1000.M2P2.h:2,");
	box = open_box(&t, true);
	for (size_t i = 0; i < box->n; i++)
		CU_ASSERT_FALSE(knows(box, i, "A"));
	CU_ASSERT_FALSE(t.root.said_parsed);
	md_box_close(&box);
	mt_end(&t);
}

static size_t file_size(const struct md_test *t, const char *name)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", t->dir, name);
	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

/* What one command learns is written before it is much. */
static void test_bounded(void)
{
	static char text[MD_PARSED_RECORD_MAX];
	struct md_test t;
	struct md_box *box;
	const char *p;
	size_t len, n = 0;

	mt_begin(&t);
	for (int i = 0; i < 120; i++) {
		char name[64];

		snprintf(name, sizeof(name), "cur/%d.M1P1.h:2,", 1000 + i);
		mt_puts(&t, name, "Subject: a\n\nx\n");
	}
	memset(text, 'a', sizeof(text));
	box = open_box(&t, false);
	for (size_t i = 0; i < 120; i++) {
		CU_ASSERT_FALSE(md_parsed_get(box, i, MD_PARSED_HEADER, &p, &len));
		md_parsed_put(box, i, MD_PARSED_HEADER, text, sizeof(text));
		if ((i + 1) * sizeof(text) > 3 << 20)
			CU_ASSERT_TRUE(file_size(&t, MD_PARSED_FILE) > 2 << 20);
	}
	md_box_close(&box);
	box = open_box(&t, false);
	md_parsed_read(box);
	for (size_t i = 0; i < 120; i++)
		n += md_parsed_get(box, i, MD_PARSED_HEADER, &p, &len) && len == sizeof(text) && p[len - 1] == 'a';
	CU_ASSERT_EQUAL(n, 120);
	md_box_close(&box);
	mt_end(&t);
}

/* One that is damaged and cannot be written anew (there is no tmp/) does not stay, to be tried by each command. */
static void test_damaged_on_full_disk(void)
{
	struct md_test t;
	struct md_box *box;

	mt_begin(&t);
	mt_puts(&t, "cur/1000.M1P1.h:2,", "Subject: a\n\nx\n");
	box = open_box(&t, false);
	mt_puts(&t, MD_PARSED_FILE, "no record");
	CU_ASSERT_FALSE(knows(box, 0, "A"));
	mt_rename(&t, "tmp", "elsewhere");
	t.root.said_parsed = true;
	md_parsed_end(box);
	CU_ASSERT_FALSE(mt_exists(&t, MD_PARSED_FILE));
	mt_rename(&t, "elsewhere", "tmp");
	md_box_close(&box);
	mt_end(&t);
}

static const struct unit_case cases[] = { { "cut", test_cut }, { "each byte", test_each_byte }, { "box", test_box },
	{ "bounded", test_bounded }, { "damaged, and the disk is full", test_damaged_on_full_disk }, { NULL, NULL } };

UNIT_MAIN("md_parsed", cases)
