/* mime/subject, mime/collate, imapd/imap_thread: base subjects, their order, and threads of messages. */
#include <string.h>

#include "imapd/imap_thread.h"
#include "mime/collate.h"
#include "mime/subject.h"
#include "tests/unit/unit.h"

/* --- base subjects --- */

static const struct {
	const char *subject, *base;
	bool reply;
} subjects[] = {
	{ "", "", false },
	{ "hello", "hello", false },
	{ "Re: hello", "hello", true },
	{ "RE:hello", "hello", true },
	{ "re : hello", "hello", true },
	{ "Re: re: RE: hello", "hello", true },
	{ "Fwd: hello", "hello", true },
	{ "FW: hello", "hello", true },
	{ "forward: hello", "forward: hello", false },
	{ "Res: hello", "Res: hello", false },
	{ "re hello", "re hello", false },
	{ "Re[2]: hello", "hello", true },
	{ "re [a b] : hello", "hello", true },
	{ "re [a: hello", "re [a: hello", false },
	{ "[list] hello", "hello", false },
	{ "[list] Re: hello", "hello", true },
	{ "[a][b] [c] Re: hello", "hello", true },
	{ "[a] [b]", "[b]", false },
	{ "[list]", "[list]", false },
	{ "Re: [list]", "[list]", true },
	{ "[list] [", "[", false },
	{ "[[a] b", "[[a] b", false },
	{ "hello (fwd)", "hello", true },
	{ "hello (fwd) (FWD)  ", "hello", true },
	{ "(fwd)", "", true },
	{ "[fwd: hello]", "hello", true },
	{ "[Fwd: Re: hello (fwd)]", "hello", true },
	{ "[fwd: [fwd: hello]]", "hello", true },
	{ "[fwd: hello", "[fwd: hello", false },
	{ "[fwd: hello] more", "more", false },
	{ "[fwd:]", "", true },
	{ "Re:", "", true },
	{ "re: re:", "", true },
	{ "a \t  b", "a b", false },
	{ "  a\r\n\tb ", "a b", false },
	{ "=?UTF-8?Q?Re:_Gr=C3=BC=C3=9Fe?=",
	    "Gr\xc3\xbc\xc3\x9f"
	    "e",
	    true },
};

static void test_base_subject(void)
{
	for (size_t i = 0; i < ARRAY_LEN(subjects); i++) {
		struct mime_charsets set = { .n = 0 };
		struct str out = STR_INIT;
		bool reply;

		str_adds(&out, "before");
		reply = mime_base_subject(&out, subjects[i].subject, strlen(subjects[i].subject), &set);
		CU_ASSERT_EQUAL(reply, subjects[i].reply);
		CU_ASSERT_NSTRING_EQUAL(str_cstr(&out), "before", 6);
		CU_ASSERT_STRING_EQUAL(str_cstr(&out) + 6, subjects[i].base);
		str_fini(&out);
	}
	mime_charset_fini();
}

/* As many as a header of a megabyte may have: each way to begin must be taken off in one go. */
static void test_long_subjects(void)
{
	static const struct {
		const char *piece, *base;
		bool reply;
	} longs[] = {
		{ "[a]", "[a]", false },
		{ "re: ", "", true },
		{ "[a] re:", "", true },
		{ "(fwd)", "", true },
		{ "[fwd:", NULL, false },
		{ "[", NULL, false },
		{ "re[", NULL, false },
	};
	struct mime_charsets set = { .n = 0 };

	for (size_t i = 0; i < ARRAY_LEN(longs); i++) {
		struct str text = STR_INIT, out = STR_INIT;

		while (text.len < 1024 * 1024)
			str_adds(&text, longs[i].piece);
		CU_ASSERT_EQUAL(mime_base_subject(&out, text.data, text.len, &set), longs[i].reply);
		CU_ASSERT_STRING_EQUAL(str_cstr(&out), longs[i].base != NULL ? longs[i].base : text.data);
		str_fini(&text);
		str_fini(&out);
	}
}

static const struct {
	const char *a, *b;
	int order; /* of a against b */
} orders[] = {
	{ "", "a", -1 },
	{ "abc", "ABC", 0 },
	{ "abc", "abd", -1 },
	{ "ab", "abc", -1 },
	{ "B", "a", 1 },
	{ "z", "\xc3\xa4", 1 },                            /* ae is A and a mark */
	{ "\xc3\xa4", "\xc3\x84", 0 },                     /* small and large */
	{ "\xc3\xa4", "a\xcc\x88", 0 },                    /* composed and not */
	{ "\xe2\x84\xab", "\xc3\xa5", 0 },                 /* the sign of the unit, and the letter */
	{ "\xc7\x86", "\xc7\x84", 0 },                     /* dz: its title case is a third character */
	{ "\xea\xb0\x80", "\xe1\x84\x80\xe1\x85\xa1", 0 }, /* Hangul */
	{ "\xff", "\xff", 0 },
	{ "a\xff", "a", 1 },
};

static int order_of(const char *a, const char *b)
{
	struct str x = STR_INIT, y = STR_INIT;
	int c;

	mime_collate(&x, a, strlen(a));
	mime_collate(&y, b, strlen(b));
	c = strcmp(str_cstr(&x), str_cstr(&y));
	str_fini(&x);
	str_fini(&y);
	return (c > 0) - (c < 0);
}

static void test_collate(void)
{
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		CU_ASSERT_EQUAL(order_of(orders[i].a, orders[i].b), orders[i].order);
		CU_ASSERT_EQUAL(order_of(orders[i].b, orders[i].a), -orders[i].order);
	}
}

/* --- threads --- */

/* A mailbox: messages with blanks between what is given of them, "DATE:SUBJECT:ID:REFERENCES:IN-REPLY-TO", where an id
 * is one letter, and what is not needed is left out. A subject that begins with "+" is a reply's. */
static const struct {
	enum imap_thread_how how;
	const char *box, *threads;
} boxes[] = {
	{ IMAP_THREAD_REFERENCES, "", "" },
	{ IMAP_THREAD_REFERENCES, "1:x:a", "(1)" },
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:y:b:a 3:z:c:ab", "(1 2 3)" },
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:y:b:a 3:z:c:a", "(1 (2)(3))" },
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:y:b:a 3:z:c:ab 4:w:d:ab 5:v:e:a", "(1 (2 (3)(4))(5))" },
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:y:b::a", "(1 2)" },           /* In-Reply-To alone */
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:y:b 3:z:c:b:a", "(1)(2 3)" }, /* References come first */
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:y:b 3:z:c::ba", "(1)(2 3)" }, /* only the first counts */
	{ IMAP_THREAD_REFERENCES, "3:x:c:ab 2:y:b:a 1:z:a", "(3 2 1)" }, /* newest first */
	{ IMAP_THREAD_REFERENCES, "2:x:b:a 3:y:c:a", "((1)(2))" },       /* the parent is missing */
	{ IMAP_THREAD_REFERENCES, "3:x:b:a 2:y:c:a", "((2)(1))" },       /* siblings by date */
	{ IMAP_THREAD_REFERENCES, "2:x:b:a", "(1)" },
	{ IMAP_THREAD_REFERENCES, "1:x:a 4:y:d:abc", "(1 2)" }, /* what is missing between is left out */
	{ IMAP_THREAD_REFERENCES, "1:x:a 4:y:d:abc 5:z:e:abc", "(1 (2)(3))" },
	{ IMAP_THREAD_REFERENCES, "5:x:d:xyz 4:y:e:xyw", "((2)(1))" },
	{ IMAP_THREAD_REFERENCES, "1:x:a:b 2:y:b:a", "(2 1)" }, /* no loops: the first link stays */
	{ IMAP_THREAD_REFERENCES, "1:x:a:a", "(1)" },
	{ IMAP_THREAD_REFERENCES, "1:x:a:bcb 2:y:b 3:z:c:b", "(2 (1)(3))" },          /* c cannot be above b */
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:y:c:a 3:z:b:a 4:w:c:b", "(1 (2)(3 4))" },  /* the same id twice */
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:y:b:a 3:z:d:bc 4:w:c:a", "(1 (2)(4 3))" }, /* its own word counts more */
	{ IMAP_THREAD_REFERENCES, "1:x 2:y 3:z", "(1)(2)(3)" },
	{ IMAP_THREAD_REFERENCES, "3:x 2:y 1:z", "(3)(2)(1)" },
	{ IMAP_THREAD_REFERENCES, "1:x 1:y 1:z", "(1)(2)(3)" },
	/* the same subject */
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:+x:b", "(1 2)" },
	{ IMAP_THREAD_REFERENCES, "1:+x:a 2:x:b", "(2 1)" },
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:x:b", "((1)(2))" },
	{ IMAP_THREAD_REFERENCES, "1:+x:a 2:+x:b", "((1)(2))" },
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:x:b 3:x:c", "((1)(2)(3))" },
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:x:b 3:+x:c", "((1)(2)(3))" },
	{ IMAP_THREAD_REFERENCES, "1::a 2::b", "(1)(2)" },                  /* an empty one is none */
	{ IMAP_THREAD_REFERENCES, "2:x:b:a 3:y:c:a 4:x:d", "((1)(2)(3))" }, /* into a thread without its parent */
	{ IMAP_THREAD_REFERENCES, "2:x:b:a 3:y:c:a 4:x:f:e 5:z:g:e", "((1)(2)(3)(4))" }, /* two of them */
	{ IMAP_THREAD_REFERENCES, "4:x:d 5:x:b:a 6:y:c:a", "((1)(2)(3))" },
	{ IMAP_THREAD_REFERENCES, "1:x:a 2:y:b:a 3:+x:c 4:z:d:c", "(1 (2)(3 4))" },
	{ IMAP_THREAD_REFERENCES, "1:a:a 2:b:b 3:+a:c 4:+b:d", "(1 3)(2 4)" },
	/* the other algorithm */
	{ IMAP_THREAD_ORDEREDSUBJECT, "", "" },
	{ IMAP_THREAD_ORDEREDSUBJECT, "1:x", "(1)" },
	{ IMAP_THREAD_ORDEREDSUBJECT, "1:x 2:+x", "(1 2)" },
	{ IMAP_THREAD_ORDEREDSUBJECT, "1:x 2:+x 3:x", "(1 (2)(3))" },
	{ IMAP_THREAD_ORDEREDSUBJECT, "9:b 3:a 1:b 2:a 5:b", "(3 (5)(1))(4 2)" },
	{ IMAP_THREAD_ORDEREDSUBJECT, "1: 2: 3:x", "(1 2)(3)" },
	{ IMAP_THREAD_ORDEREDSUBJECT, "1:x:a 2:y:b:a", "(1)(2)" },
};

static void add_ids(struct imap_threads *t, const char *letters, size_t n, int kind)
{
	struct str field = STR_INIT;

	for (size_t i = 0; i < n; i++)
		str_addf(&field, " <%c@x>", letters[i]);
	if (kind == 2)
		(void)imap_threads_add_ids(t, str_cstr(&field), field.len, true);
	else if (kind == 3)
		(void)imap_threads_add_ids(t, str_cstr(&field), field.len, false);
	else
		imap_threads_add_first_id(t, str_cstr(&field), field.len);
	str_fini(&field);
}

static void add_message(struct imap_threads *t, uint32_t number, const char *p, size_t len)
{
	const char *end = p + len, *part[6] = { p };
	size_t n_part[6] = { 0 }, n = 0;
	struct str subject = STR_INIT;
	bool reply, refs;

	for (; p < end; p++)
		if (*p == ':')
			part[++n] = p + 1;
		else
			n_part[n]++;
	reply = n_part[1] > 0 && part[1][0] == '+';
	str_add(&subject, n_part[1] > 0 ? part[1] + reply : "", n_part[1] > 0 ? n_part[1] - reply : 0);
	imap_threads_add(t, number, part[0][0] - '0', &subject, reply);
	add_ids(t, part[2], n_part[2], 2);
	refs = n_part[3] > 0;
	add_ids(t, part[refs ? 3 : 4], n_part[refs ? 3 : 4], refs ? 3 : 4);
	str_fini(&subject);
}

static void test_threads(void)
{
	for (size_t i = 0; i < ARRAY_LEN(boxes); i++) {
		struct imap_threads *t = imap_threads_new(boxes[i].how);
		struct str out = STR_INIT;
		uint32_t number = 0;

		for (const char *p = boxes[i].box; *p != '\0'; p += strspn(p, " ")) {
			size_t len = strcspn(p, " ");

			add_message(t, ++number, p, len);
			p += len;
		}
		imap_threads_print(t, &out, NULL);
		if (strcmp(str_cstr(&out), boxes[i].threads) != 0)
			printf("\n%s: %s, not %s\n", boxes[i].box, str_cstr(&out), boxes[i].threads);
		CU_ASSERT_STRING_EQUAL(str_cstr(&out), boxes[i].threads);
		str_fini(&out);
		imap_threads_free(&t);
	}
}

/* --- message ids --- */

static const struct {
	const char *a, *b;
	bool same;
} ids[] = {
	{ "<a@b>", "<a@b>", true },
	{ "<a@b>", "<A@b>", false },
	{ "text <a@b> more", "<a@b>", true },
	{ "<\"a\"@b>", "<a@b>", true },
	{ "<\"a\\c\"@b>", "<ac@b>", true },
	{ "<a@\r\n b>", "<a@b>", true },
	{ "<a> <a@b>", "<a@b>", true }, /* without an @ it is none */
	{ "<a@b", "<a@b>", false },
	{ "a@b", "<a@b>", false },
	{ "<>", "<>", false },
};

static void test_ids(void)
{
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct imap_threads *t = imap_threads_new(IMAP_THREAD_REFERENCES);
		struct str out = STR_INIT, none = STR_INIT;

		imap_threads_add(t, 1, 1, &none, false);
		(void)imap_threads_add_ids(t, ids[i].a, strlen(ids[i].a), true);
		imap_threads_add(t, 2, 2, &none, false);
		(void)imap_threads_add_ids(t, ids[i].b, strlen(ids[i].b), false);
		imap_threads_print(t, &out, NULL);
		CU_ASSERT_STRING_EQUAL(str_cstr(&out), ids[i].same ? "(1 2)" : "(1)(2)");
		str_fini(&out);
		imap_threads_free(&t);
	}
}

/* Cut anywhere, a field has the whole ids before the cut. */
static void test_cut_ids(void)
{
	static const char refs[] = "<a@x>\r\n\t<\"b\\\"c\"@x> (comment) <d@x><e@x>";
	struct str none = STR_INIT;
	size_t last = 0;

	for (size_t len = 0; len < sizeof(refs); len++) {
		struct imap_threads *t = imap_threads_new(IMAP_THREAD_REFERENCES);
		char *copy = mem_memdup(refs, len);
		size_t n;

		imap_threads_add(t, 1, 1, &none, false);
		n = imap_threads_add_ids(t, copy, len, false);
		CU_ASSERT(n == last || n == last + 1);
		last = n;
		mem_free(&copy);
		imap_threads_free(&t);
	}
	CU_ASSERT_EQUAL(last, 4);
}

/* Of more references than the limit the last ones count. */
static void test_many_references(void)
{
	struct imap_threads *t = imap_threads_new(IMAP_THREAD_REFERENCES);
	struct str refs = STR_INIT, out = STR_INIT, none = STR_INIT;

	for (int i = 0; i < 3 * IMAP_THREAD_IDS_MAX; i++)
		str_addf(&refs, "<%d@x> ", i);
	imap_threads_add(t, 1, 1, &none, false);
	(void)imap_threads_add_ids(t, "<0@x>", 5, true);
	imap_threads_add(t, 2, 2, &none, false);
	str_addf(&out, "<%d@x>", 3 * IMAP_THREAD_IDS_MAX - 2);
	(void)imap_threads_add_ids(t, out.data, out.len, true);
	imap_threads_add(t, 3, 3, &none, false);
	(void)imap_threads_add_ids(t, refs.data, refs.len, false);
	str_clear(&out);
	imap_threads_print(t, &out, NULL);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "(1)(2 3)");
	str_fini(&refs);
	str_fini(&out);
	imap_threads_free(&t);
}

/* A thread as deep as a mailbox is long; nothing may recurse into it. */
static void test_deep_thread(void)
{
	enum { DEEP = 200000 };
	struct imap_threads *t = imap_threads_new(IMAP_THREAD_REFERENCES);
	struct str out = STR_INIT, want = STR_INIT, none = STR_INIT;
	char id[32];

	for (uint32_t i = 0; i < DEEP; i++) {
		imap_threads_add(t, i + 1, i, &none, false);
		snprintf(id, sizeof(id), "<%u@x>", i);
		(void)imap_threads_add_ids(t, id, strlen(id), true);
		if (i > 0) {
			snprintf(id, sizeof(id), "<%u@x>", i - 1);
			imap_threads_add_first_id(t, id, strlen(id));
		}
		str_addf(&want, "%s%u", i == 0 ? "(" : " ", i + 1);
	}
	str_addc(&want, ')');
	imap_threads_print(t, &out, NULL);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), str_cstr(&want));
	str_fini(&out);
	str_fini(&want);
	imap_threads_free(&t);
}

static const struct unit_case cases[] = {
	{ "base subjects", test_base_subject },
	{ "long subjects", test_long_subjects },
	{ "collation", test_collate },
	{ "threads", test_threads },
	{ "message ids", test_ids },
	{ "message ids, cut at every byte", test_cut_ids },
	{ "many references", test_many_references },
	{ "a deep thread", test_deep_thread },
	{ NULL, NULL },
};
UNIT_MAIN("imap_thread", cases)
