/* imapd/imap_match: patterns of LIST. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "imapd/imap_capability.h"
#include "settings/withheld.h"
#include "imapd/imap_match.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

static const struct {
	const char *reference, *pattern, *name;
	bool match;
} rows[] = {
	{ "", "*", "INBOX", true },
	{ "", "%", "INBOX", true },
	{ "", "%", "INBOX.A", false },
	{ "", "*", "INBOX.A.B", true },
	{ "", "INBOX", "INBOX", true },
	{ "", "inbox", "INBOX", true },
	{ "", "inbox.a", "INBOX.a", true },
	{ "", "inbox.A", "INBOX.a", false },
	{ "", "inboxes", "INBOXES", false },
	{ "", "INBOX.%", "INBOX.A", true },
	{ "", "INBOX.%", "INBOX.A.B", false },
	{ "", "INBOX.%.%", "INBOX.A.B", true },
	{ "", "INBOX.%.%", "INBOX.A", false },
	{ "INBOX.", "%", "INBOX.A", true },
	{ "INBOX.", "A%", "INBOX.Abc", true },
	{ "", "*%", "INBOX.A", true },
	{ "", "%*", "INBOX.A", true },
	{ "", "%*%.B", "INBOX.A.B", true },
	{ "", "*.B", "INBOX.A.B", true },
	{ "", "*.B", "INBOX.A.C", false },
	{ "", "A*B*C", "AxxBxxC", true },
	{ "", "A*B*C", "AxxCxxB", false },
	{ "", "", "INBOX", false },
	{ "", "", "", false }, /* no mailbox has an empty name */
	{ "", "*", "", false },
	{ "", "A", "", false },
	{ "", "%%%%", "ab", true },
	{ "", "a%b", "a.b", false },
	{ "", "a*b", "a.b", true },
	{ "", "%.%", ".", true },
};

static bool match(const char *reference, const char *pattern, const char *name)
{
	struct imap_pattern p;
	bool got;

	imap_pattern_init(&p, reference, pattern, '.');
	got = imap_pattern_match(&p, name);
	imap_pattern_fini(&p);
	return got;
}

static void test_rows(void)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CU_ASSERT_EQUAL(match(rows[i].reference, rows[i].pattern, rows[i].name), rows[i].match);
}

/* The nearest parent that matches, compared with trying them one by one. */
static void test_levels(void)
{
	static const char *const names[] = { "INBOX.a.b.c", "inbox.a", "INBOX", "a.a.a.a", "a..b", ".", "", "x.INBOX.y",
		"INBOXes.a" };
	static const char *const patterns[] = { "%", "*", "INBOX.%", "inbox.%.%", "%.%", "a", "*a", "%*.b", "x%", "",
		"INBOX", "*.%" };

	for (size_t n = 0; n < ARRAY_LEN(names); n++)
		for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
			struct imap_pattern p;
			char name[32];

			snprintf(name, sizeof(name), "%s", names[n]);
			imap_pattern_init(&p, "", patterns[i], '.');
			for (char *dot = name + strlen(name); dot != NULL; dot = strrchr(name, '.')) {
				*dot = '\0';
				if (match("", patterns[i], name))
					break;
				if (strchr(name, '.') == NULL)
					name[0] = '\0';
			}
			CU_ASSERT_EQUAL(imap_pattern_match_level(&p, names[n]), strlen(name));
			imap_pattern_fini(&p);
		}
}

/* Patterns on which a backtracking matcher would take for ever. */
static void test_hostile(void)
{
	struct str pattern = STR_INIT, name = STR_INIT;
	clock_t begin = clock();

	for (int i = 0; i < 250; i++)
		str_adds(&name, "a");
	for (int i = 0; i < 124; i++)
		str_adds(&pattern, "*a%%**");
	str_adds(&pattern, "b");
	for (int i = 0; i < 100; i++)
		CU_ASSERT_FALSE(match("", pattern.data, name.data));
	str_clear(&pattern);
	for (int i = 0; i < 8000; i++)
		str_adds(&pattern, i % 2 ? "%" : "*");
	CU_ASSERT(match("", pattern.data, name.data));
	CU_ASSERT((clock() - begin) / CLOCKS_PER_SEC < 5);
	str_fini(&pattern);
	str_fini(&name);
}

/* Rows whose patterns fit: all of them count. */
static void test_withheld(void)
{
	static const struct {
		const char *pattern, *name;
		bool fits;
	} t[] = {
		{ "a", "A", true },
		{ "a", "ab", false },
		{ "a", "", false },
		{ "*", "", true },
		{ "a*", "Abc", true },
		{ "*b*d", "abcd", true },
		{ "*b*d", "abcdx", false },
		{ "a?c", "a c", true },
		{ "a?c", "ac", false },
		{ "*aab", "aaaaaaaaab", true },
		{ "**?**", "x", true },
		{ "**?**", "", false },
		{ "[a-z]", "b", false },
	};
	static const char list[] = "  Old?Mail*=IDLE:MOVE *phone*=LITERAL+:X-Y  *=ID";
	struct str out = STR_INIT;
	const char *p, *row, *words;
	size_t n, m;
	char name[100];

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CU_ASSERT_EQUAL(withheld_matches(t[i].pattern, strlen(t[i].pattern), t[i].name), t[i].fits);
	withheld_from(list, "old mail 3 for iPhone", &out);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "IDLE MOVE LITERAL+ X-Y ID");
	str_clear(&out);
	withheld_from(list, "", &out);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "");
	imap_capability(&out, "IMAP4rev1 IDLE MOVE AUTH=PLAIN", "move auth=plain", IMAP_CAPABILITY_BEFORE);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "IMAP4rev1 IDLE");
	str_fini(&out);
	for (size_t len = 1; len < sizeof(list); len++) { /* cut anywhere: no row that is not there */
		char *cut = mem_memdup(list, len);

		for (p = cut; withheld_next(&p, &row, &n, &words, &m);)
			CU_ASSERT(n != 0 && m != 0 && row >= cut && words + m <= cut + len);
		mem_free(&cut);
	}
	memset(name, 'a', sizeof(name) - 1); /* the worst case takes no time */
	name[sizeof(name) - 1] = '\0';
	CU_ASSERT_FALSE(withheld_matches("*a*a*a*a*a*a*a*a*a*a*b", 22, name));
	for (const char *const *bad = (const char *const[]){ "x", "=IDLE", "x=", "x =y", NULL }; *bad != NULL; bad++) {
		p = *bad;
		CU_ASSERT_FALSE(withheld_next(&p, &row, &n, &words, &m));
		CU_ASSERT_EQUAL(*p, **bad);
	}
}

static void capability_is(const char *list, enum imap_capability_when when, const char *want)
{
	struct str out = STR_INIT;

	imap_capability(&out, list, "", when);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), want);
	str_fini(&out);
}

static void test_capability(void)
{
	struct settings *set = settings_defaults();

	capability_is(imap_capability_list(set, false), IMAP_CAPABILITY_BEFORE,
	    "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE UIDPLUS CHILDREN NAMESPACE IDLE UNSELECT MOVE SORT SORT=DISPLAY "
	    "THREAD=ORDEREDSUBJECT THREAD=REFERENCES ESEARCH ESORT SEARCHRES WITHIN PARTIAL AUTH=PLAIN AUTH=LOGIN");
	capability_is(imap_capability_list(set, true), IMAP_CAPABILITY_AFTER,
	    "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE UIDPLUS CHILDREN NAMESPACE IDLE UNSELECT MOVE SORT SORT=DISPLAY "
	    "THREAD=ORDEREDSUBJECT THREAD=REFERENCES ESEARCH ESORT SEARCHRES WITHIN PARTIAL");
	mem_free(&set->imapd_IMAP_CAPABILITY_TLS);
	set->imapd_IMAP_CAPABILITY_TLS = mem_strdup("IMAP4rev1 ID");
	CU_ASSERT_STRING_EQUAL(imap_capability_list(set, true), "IMAP4rev1 ID");
	CU_ASSERT_STRING_EQUAL(imap_capability_list(set, false), set->imapd_IMAP_CAPABILITY);
	settings_free(&set);
	capability_is("IMAP4rev1 QUOTA idle AUTH=PLAIN", IMAP_CAPABILITY_BEFORE, "IMAP4rev1 QUOTA idle AUTH=PLAIN");
	capability_is("IMAP4rev1 QUOTA idle AUTH=PLAIN", IMAP_CAPABILITY_AFTER, "IMAP4rev1 idle");
	capability_is("IMAP4rev1 auth=PLAIN QUOTA AUTH=X", IMAP_CAPABILITY_LOGINDISABLED, "IMAP4rev1 QUOTA");
	/* What depends on the connection is not for the operator to say. */
	capability_is("IMAP4rev1 starttls LOGINDISABLED X", IMAP_CAPABILITY_BEFORE, "IMAP4rev1 X");
	capability_is("STARTTLS", IMAP_CAPABILITY_LOGINDISABLED, "IMAP4rev1");
	capability_is("", IMAP_CAPABILITY_BEFORE, "IMAP4rev1");
	capability_is("", IMAP_CAPABILITY_AFTER, "IMAP4rev1");
}

static const struct unit_case cases[] = { { "patterns", test_rows }, { "levels", test_levels },
	{ "capabilities withheld", test_withheld }, { "hostile patterns", test_hostile },
	{ "capability", test_capability }, { NULL, NULL } };
UNIT_MAIN("imap_match", cases)
