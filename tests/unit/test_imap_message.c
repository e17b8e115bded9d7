/* IMAP's view of messages: tests/mail/NAME.eml compared with NAME.out, then sections, searches, names, dates. */
#include "tests/unit/unit.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "imapd/imap_body.h"
#include "imapd/imap_date.h"
#include "imapd/imap_section.h"
#include "imapd/imap_session.h"
#include "imapd/imap_text.h"
#include "imapd/imap_utf7.h"
#include "lib/mem.h"
#include "mime/charset.h"

static bool read_file(const char *name, struct str *out)
{
	char buf[4096];
	FILE *f = fopen(name, "rb");
	size_t n;

	str_clear(out);
	if (f == NULL)
		return false;
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		str_add(out, buf, n);
	fclose(f);
	return true;
}

static const char *mail_path(const char *name)
{
	static char path[1000];
	const char *dir = getenv("srcdir");

	snprintf(path, sizeof(path), "%s/tests/mail/%s", dir != NULL ? dir : ".", name);
	return path;
}

/* Loads the message into memory of its exact size, so that a sanitizer sees a read beyond it. */
static char *load(const char *name, size_t *len)
{
	struct str s = STR_INIT;
	char *copy;

	CU_ASSERT_FATAL(read_file(name, &s));
	*len = s.len;
	copy = malloc(s.len != 0 ? s.len : 1);
	if (copy != NULL && s.len != 0)
		memcpy(copy, s.data, s.len);
	str_fini(&s);
	return copy;
}

static void describe(struct str *out, const char *text, size_t len)
{
	struct mime_msg m;

	str_clear(out);
	mime_msg_init(&m, text, len);
	str_addf(out, "%llu\n", (unsigned long long)mime_wire_size(text, len));
	imap_envelope_add(out, text, len);
	str_addc(out, '\n');
	imap_body_add(out, &m, false);
	str_addc(out, '\n');
	imap_body_add(out, &m, true);
	str_addc(out, '\n');
	mime_msg_fini(&m);
}

static void test_golden(void)
{
	struct str got = STR_INIT, want = STR_INIT;
	glob_t g;

	CU_ASSERT_EQUAL_FATAL(glob(mail_path("*.eml"), 0, NULL, &g), 0);
	CU_ASSERT(g.gl_pathc >= 27);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		char *name = g.gl_pathv[i], *text;
		size_t len;

		text = load(name, &len);
		describe(&got, text, len);
		memcpy(name + strlen(name) - 3, "out", 3);
		CU_ASSERT(read_file(name, &want));
		if (got.len != want.len || memcmp(got.data, want.data, got.len) != 0) {
			printf("%s differs; this is what it should hold:\n%s", name, got.data);
			CU_FAIL("golden");
		}
		free(text);
	}
	globfree(&g);
	str_fini(&got);
	str_fini(&want);
}

/* A string of the grammar at *P: quoted or literal. */
static bool skip_string(const char **p, const char *end)
{
	char *stop;

	if (*p < end && **p == '"') {
		for (++*p; *p < end && **p != '"'; ++*p) {
			if (**p == '\\')
				++*p;
			if (*p >= end || (unsigned char)**p > 127 || **p == '\0' || **p == '\r' || **p == '\n')
				return false;
		}
		return (*p)++ < end;
	}
	if (*p < end && **p == '{') {
		unsigned long n = strtoul(*p + 1, &stop, 10);

		if (strncmp(stop, "}\r\n", 3) != 0 || (unsigned long)(end - stop - 3) < n ||
		    memchr(stop + 3, '\0', n) != NULL)
			return false;
		*p = stop + 3 + n;
		return true;
	}
	return false;
}

/* Balanced lists of strings, numbers and NIL, as a client parses them. */
static bool is_data(const char *p, size_t len)
{
	const char *end = p + len;
	int depth = 0;

	do {
		if (p >= end)
			return false;
		if (*p == '(' || *p == ')') {
			depth += *p++ == '(' ? 1 : -1;
		} else if (*p == ' ' && depth > 0 && p[1] != ' ' && p[1] != ')') {
			p++;
		} else if (*p >= '0' && *p <= '9') {
			while (p < end && *p >= '0' && *p <= '9')
				p++;
		} else if (end - p >= 3 && memcmp(p, "NIL", 3) == 0) {
			p += 3;
		} else if (!skip_string(&p, end)) {
			return false;
		}
	} while (depth > 0);
	return p == end;
}

static bool search_everything(struct mime_msg *m)
{
	struct imap_texts t = { 0 };
	bool found;
	int64_t day;

	imap_texts_add(&t, IMAP_TEXT_ANY, NULL, "no such text anywhere", 21);
	found = imap_texts_find(&t, m, 0, NULL);
	imap_texts_fini(&t);
	imap_text_sent_day(m, &day);
	return found;
}

/* Every message, cut at every byte, still gives data that a client can parse, and no byte beyond the end is read. */
static void test_cut(void)
{
	struct str s = STR_INIT;
	glob_t g;

	CU_ASSERT_EQUAL_FATAL(glob(mail_path("*.eml"), 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		size_t len;
		char *text = load(g.gl_pathv[i], &len);

		for (size_t cut = 0; cut <= len; cut += cut < 1000 ? 1 : 17) {
			char *part = malloc(cut != 0 ? cut : 1);
			struct mime_msg m;

			memcpy(part, text, cut);
			mime_msg_init(&m, part, cut);
			str_clear(&s);
			imap_envelope_add(&s, part, cut);
			CU_ASSERT(is_data(s.data, s.len));
			str_clear(&s);
			imap_body_add(&s, &m, true);
			CU_ASSERT(is_data(s.data, s.len));
			CU_ASSERT(!search_everything(&m));
			mime_msg_fini(&m);
			free(part);
		}
		free(text);
	}
	globfree(&g);
	str_fini(&s);
}

static void test_strings(void)
{
	struct str s = STR_INIT;
	char *big = mem_alloc(2001);

	imap_string_add(&s, "a\"b\\c", 5);
	imap_string_add(&s, "", 0);
	imap_string_add(&s, "a\nb", 3);
	imap_string_add(&s, "\xe4\0x", 3);
	imap_string_add(&s, "p\0q", 3);
	imap_nstring_add(&s, NULL, 0);
	CU_ASSERT_STRING_EQUAL(s.data, "\"a\\\"b\\\\c\"\"\"{3}\r\na\nb{2}\r\n\xe4x\"pq\"NIL");
	memset(big, 'x', 2000);
	str_clear(&s);
	imap_string_add(&s, big, 2000);
	CU_ASSERT(strncmp(s.data, "{2000}\r\nxx", 10) == 0);
	CU_ASSERT_EQUAL(s.len, 2008);
	mem_free(&big);
	str_fini(&s);
}

/* A list that is too long is cut, and stays valid. */
static void test_limits(void)
{
	struct str text = STR_INIT, s = STR_INIT;

	str_adds(&text, "To: Group:");
	for (int i = 0; i < 100000; i++)
		str_adds(&text, "a,");
	str_adds(&text, ";\nContent-Type: text/plain");
	for (int i = 0; i < 100000; i++)
		str_adds(&text, ";a=b");
	describe(&s, text.data, text.len);
	CU_ASSERT(s.len < 19 * 20000 + 2 * 9 * 1000 + 1000);
	str_clear(&s);
	imap_envelope_add(&s, text.data, text.len);
	CU_ASSERT(is_data(s.data, s.len));
	CU_ASSERT(strstr(s.data, "(NIL NIL \"a\" \"\")(NIL NIL NIL NIL))") != NULL);
	str_fini(&text);
	str_fini(&s);
}

/* Whatever a message contains, ENVELOPE and BODYSTRUCTURE are at most proportional to its size. */
static void test_output_is_bounded(void)
{
	enum { CONSTANT = 1500000 };
	static const struct {
		const char *head, *repeat;
	} t[] = {
		{ "Content-Language: ", "a," },
		{ "From: ", "a," },
		{ "From: ", "(a)b<c" },
		{ "To: x", "\nTo: a" },
		{ "Subject: ", "\"" },
		{ "Content-Type: text/plain", ";a=b" },
		{ "Content-Disposition: a", ";a=b" },
		{ "Content-Type: multipart/mixed; boundary=b\n\n", "--b\n" },
		{ "", "Content-Type: message/rfc822\n\n" },
		{ "Content-ID: ", "\\" },
	};
	struct str text = STR_INIT, s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		str_clear(&text);
		str_adds(&text, t[i].head);
		while (text.len < 4000000)
			str_adds(&text, t[i].repeat);
		describe(&s, text.data, text.len);
		CU_ASSERT(s.len < 3 * (3 * text.len + CONSTANT)); /* ENVELOPE, BODY and BODYSTRUCTURE */
	}
	/* many messages, each with as many addresses as one may have */
	str_clear(&text);
	str_adds(&text, "Content-Type: multipart/digest; boundary=b\n\n");
	for (int i = 0; i < 100; i++) {
		str_adds(&text, "--b\n\nFrom: ");
		for (int k = 0; k < 20000; k++)
			str_adds(&text, "a,");
		str_adds(&text, "\n\n");
	}
	describe(&s, text.data, text.len);
	CU_ASSERT(s.len < 2 * text.len);
	str_fini(&text);
	str_fini(&s);
}

/* Content-Language has few words; a list that is too long is cut. */
static void test_languages(void)
{
	struct str text = STR_INIT, s = STR_INIT;
	size_t n = 0;

	str_adds(&text, "Content-Language: de");
	for (int i = 0; i < 1000; i++)
		str_adds(&text, ", en");
	str_adds(&text, "\n\n");
	describe(&s, text.data, text.len);
	for (const char *p = s.data; (p = strstr(p, "\"en\"")) != NULL; p += 4)
		n++;
	CU_ASSERT_EQUAL(n, 99);
	CU_ASSERT(strstr(s.data, "(\"de\" \"en\" ") != NULL);
	str_fini(&text);
	str_fini(&s);
}

static void test_section_parse(void)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "]", "[]" },
		{ "header]", "[HEADER]" },
		{ "TEXT]", "[TEXT]" },
		{ "1]", "[1]" },
		{ "1.2.3]", "[1.2.3]" },
		{ "4.MIME]", "[4.MIME]" },
		{ "1.Text]", "[1.TEXT]" },
		{ "HEADER.FIELDS (To)]", "[HEADER.FIELDS (To)]" },
		{ "2.header.fields.not (to CC)]", "[2.HEADER.FIELDS.NOT (to CC)]" },
		{ "4294967295]", "[4294967295]" },
		{ "HEADER.FIELDS (\"To\" {7}\r\nSubject {2+}\r\nCc)]", "[HEADER.FIELDS (To Subject Cc)]" },
		{ "HEADER.FIELDS (\"x(y\")]", "[HEADER.FIELDS (\"x(y\")]" },
	};
	static const char *const bad[] = { "", "HEADER", " ]", "MIME]", "0]", "01]", "1.]", ".1]", "1..2]", "1.0]",
		"-1]", "4294967296]", "1.2.]", "HEADER.]", "HEAD]", "HEADER.FIELDS]", "HEADER.FIELDS ()]",
		"HEADER.FIELDS To]", "HEADER.FIELDS (To]", "HEADER.FIELDS (To) ]", "HEADER.FIELDS (To  Cc)]",
		"HEADER (To)]", "1.2 ]", "TEXT.1]", "HEADER.FIELDS (\"\")]", "HEADER.FIELDS (\"a b\")]",
		"HEADER.FIELDS (\"a:\")]", "HEADER.FIELDS.NOTTO (a)]", "1 (To)]" };
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct imap_section sec;
		struct imap_lex l;

		for (size_t cut = 0; cut < strlen(good[i].in); cut++) {
			imap_lex_init(&l, good[i].in, cut);
			CU_ASSERT(!imap_section_read(&sec, &l));
			CU_ASSERT_EQUAL(l.pos, 0);
		}
		imap_lex_init(&l, good[i].in, strlen(good[i].in));
		CU_ASSERT_FATAL(imap_section_read(&sec, &l));
		CU_ASSERT_EQUAL(l.pos, l.len);
		str_clear(&s);
		imap_section_print(&s, &sec);
		CU_ASSERT_STRING_EQUAL(s.data, good[i].out);
		imap_section_fini(&sec);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct imap_section sec;
		struct imap_lex l;

		imap_lex_init(&l, bad[i], strlen(bad[i]));
		CU_ASSERT(!imap_section_read(&sec, &l));
	}
	str_fini(&s);
}

/* An imap_wire_fn that appends to the string CTX. */
static bool append(void *ctx, const char *p, size_t len)
{
	str_add(ctx, p, len);
	return true;
}

/* The section SPEC of M as text; "(none)" if there is no such part. Partial fetches of it must equal the same ranges of
 * the whole. */
static const char *section(struct str *out, struct mime_msg *m, const char *spec)
{
	struct str piece = STR_INIT;
	struct imap_section sec;
	struct imap_wire w;
	struct imap_lex l;
	uint64_t size;

	str_clear(out);
	imap_lex_init(&l, spec, strlen(spec));
	CU_ASSERT_FATAL(imap_section_read(&sec, &l));
	if (!imap_section_find(m, &sec, &w)) {
		imap_section_fini(&sec);
		return "(none)";
	}
	size = imap_wire_size(&w);
	imap_wire_write(&w, 0, UINT64_MAX, append, out);
	CU_ASSERT_EQUAL(out->len, size);
	for (uint64_t start = 0; start <= size + 1; start += size > 300 ? 13 : 1)
		for (uint64_t n = 1; n <= size + 1; n += size > 300 ? 41 : 3) {
			str_clear(&piece);
			imap_wire_write(&w, start, n, append, &piece);
			CU_ASSERT_EQUAL(piece.len, imap_wire_part_size(&w, start, n));
			CU_ASSERT(piece.len == 0 || memcmp(piece.data, out->data + start, piece.len) == 0);
		}
	CU_ASSERT_EQUAL(imap_wire_part_size(&w, 1, UINT64_MAX), size > 0 ? size - 1 : 0);
	str_fini(&piece);
	imap_section_fini(&sec);
	return str_cstr(out);
}

static void test_sections(void)
{
	static const struct {
		const char *file, *spec, *want;
	} t[] = {
		{ "mixed.eml", "HEADER.FIELDS (subject TO nothing)]",
		    "To: b@example.org\r\nSubject: two parts\r\n\r\n" },
		{ "mixed.eml", "HEADER.FIELDS.NOT (From To Subject Date MIME-Version)]",
		    "Content-Type: multipart/mixed; boundary=\"=_outer\"\r\n\r\n" },
		{ "mixed.eml", "HEADER.FIELDS (Nothing)]", "\r\n" },
		{ "mixed.eml", "1.MIME]", "Content-Type: multipart/alternative; boundary=\"=_outer-inner\"\r\n\r\n" },
		{ "mixed.eml", "1.1]", "Gr=C3=BC=C3=9Fe aus K=\r\n=C3=B6ln" },
		{ "mixed.eml", "1.2]", "<p>Gr&uuml;&szlig;e</p>" },
		{ "mixed.eml", "1.3]", "(none)" },
		{ "mixed.eml", "3]", "(none)" },
		{ "mixed.eml", "1.1.1]", "(none)" },
		{ "mixed.eml", "1.HEADER]", "(none)" },
		{ "mixed.eml", "1.TEXT]", "(none)" },
		{ "mixed.eml", "1.2.MIME]",
		    "Content-Type: text/html; charset=\"utf-8\"\r\nContent-Language: de, en\r\n\r\n" },
		{ "plain.eml", "1]", "Hi Bob,\r\n\r\nshall we have lunch on Friday? Grüße\r\nAnna\r\n" },
		{ "plain.eml", "TEXT]", "Hi Bob,\r\n\r\nshall we have lunch on Friday? Grüße\r\nAnna\r\n" },
		{ "plain.eml", "2]", "(none)" },
		{ "plain.eml", "1.1]", "(none)" },
		{ "plain.eml", "1.TEXT]", "(none)" },
		{ "plain.eml", "HEADER.FIELDS (Subject)]", "Subject: Lunch on\r\n Friday\r\n\r\n" },
		{ "forward.eml", "1.HEADER.FIELDS (From)]", "From: \"Inner\" <inner@example.org>\r\n\r\n" },
		{ "forward.eml", "1.TEXT]", "Text of the inner message.\r\nSecond line.\r\n" },
		{ "forward.eml", "1.1]", "Text of the inner message.\r\nSecond line.\r\n" },
		{ "forward.eml", "1.2]", "(none)" },
		{ "forward.eml", "1.1.1]", "(none)" },
		{ "forward.eml", "HEADER.FIELDS (Subject)]", "Subject: Fwd: hello\r\n\r\n" },
		{ "digest.eml", "1.TEXT]", "First body.\r\n" },
		{ "digest.eml", "1.1]", "First body.\r\n" },
		{ "digest.eml", "2.1]", "Inner one." },
		{ "digest.eml", "2.2]", "Inner two, no type." },
		{ "digest.eml", "2.1.MIME]", "Content-Type: text/plain\r\n\r\n" },
		{ "digest.eml", "2.MIME]", "Content-Type: message/rfc822\r\nContent-Description: the second\r\n\r\n" },
		{ "digest.eml", "3]", "Not a message." },
		{ "crlf.eml", "]",
		    "From: a@example.org\r\nTo: b@example.org\r\nSubject: all CRLF\r\n\r\none\r\ntwo\r\n" },
		{ "mixed_eol.eml", "TEXT]", "one\r\ntwo\r\nthree\rstill three\r\n" },
		{ "nul.eml", "TEXT]", "body with \x80 in it\r\n" },
		{ "header_only.eml", "HEADER]", "From: a@example.org\r\nSubject: nothing follows\r\n" },
		{ "header_only.eml", "TEXT]", "" },
		{ "header_only.eml", "1]", "" },
		{ "header_only.eml", "HEADER.FIELDS (Subject)]", "Subject: nothing follows\r\n" },
		{ "header_no_eol.eml", "HEADER.FIELDS (Subject)]", "Subject: cut" },
		{ "empty.eml", "]", "" },
		{ "empty.eml", "HEADER]", "" },
		{ "empty.eml", "1]", "" },
		{ "body_only.eml", "HEADER]", "\r\n" },
		{ "from_lines.eml", "HEADER.FIELDS (From)]", "From: anna@example.org\r\n\r\n" },
		{ "from_lines.eml", "HEADER.FIELDS.NOT (From Date)]", "Subject : blank before the colon\r\n\r\n" },
		{ "same_boundary.eml", "1.1]", "inner" },
		{ "same_boundary.eml", "2]", "outer?" },
		{ "prefix_boundary.eml", "1.1]", "inner" },
		{ "missing_end.eml", "1.1]", "inner text" },
	};
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct mime_msg m;
		size_t len;
		char *text = load(mail_path(t[i].file), &len);

		mime_msg_init(&m, text, len);
		CU_ASSERT_STRING_EQUAL(section(&s, &m, t[i].spec), t[i].want);
		mime_msg_fini(&m);
		free(text);
	}
	str_fini(&s);
}

/* --- every part that BODYSTRUCTURE announces --- */

/* A walk over the text of a BODYSTRUCTURE, as a client does it. */
struct structure {
	struct mime_msg *m;
	const char *p, *end;
	size_t parts;
};

/* The next word behind a blank: a string's text, a number, or NIL as an empty text. */
static void next_word(struct structure *b, struct str *out)
{
	const char *from;

	b->p += b->p < b->end && *b->p == ' ';
	from = b->p;
	str_clear(out);
	if (*b->p == '"' || *b->p == '{') {
		CU_ASSERT_FATAL(skip_string(&b->p, b->end));
		from = *from == '{' ? strchr(from, '\n') + 1 : from + 1;
		str_add(out, from, (size_t)(b->p - from) - (b->p[-1] == '"'));
		return;
	}
	while (b->p < b->end && strchr(" ()", *b->p) == NULL)
		b->p++;
	str_add(out, from, (size_t)(b->p - from));
}

/* The next value, whatever it is. */
static void skip_value(struct structure *b)
{
	struct str word = STR_INIT;
	int depth = 0;

	do {
		b->p += b->p < b->end && *b->p == ' ';
		CU_ASSERT_FATAL(b->p < b->end);
		if (*b->p == '(' || *b->p == ')')
			depth += *b->p++ == '(' ? 1 : -1;
		else
			next_word(b, &word);
	} while (depth > 0);
	str_fini(&word);
}

/* Section NUMBER with SUFFIX, whole, in OUT; it must exist. */
static void fetch(struct str *out, struct structure *b, const struct str *number, const char *suffix)
{
	struct str spec = STR_INIT;
	struct imap_section sec;
	struct imap_wire w;
	struct imap_lex l;

	str_add(&spec, str_cstr(number), number->len);
	str_adds(&spec, suffix);
	imap_lex_init(&l, spec.data, spec.len);
	CU_ASSERT_FATAL(imap_section_read(&sec, &l));
	str_clear(out);
	if (imap_section_find(b->m, &sec, &w)) {
		imap_wire_write(&w, 0, UINT64_MAX, append, out);
		CU_ASSERT_EQUAL(out->len, imap_wire_size(&w));
	} else {
		printf("section %s is NIL\n", spec.data);
		CU_FAIL("announced, but not there");
	}
	imap_section_fini(&sec);
	str_fini(&spec);
}

/* WHOLE, the text of message part NUMBER, consists of its header and its text. */
static void check_message(struct structure *b, const struct str *number, const struct str *whole)
{
	struct str head = STR_INIT, text = STR_INIT;

	fetch(&head, b, number, ".HEADER]");
	fetch(&text, b, number, ".TEXT]");
	CU_ASSERT_EQUAL(head.len + text.len, whole->len);
	str_add(&head, str_cstr(&text), text.len);
	CU_ASSERT(head.len == whole->len && memcmp(str_cstr(&head), str_cstr(whole), head.len) == 0);
	str_fini(&head);
	str_fini(&text);
}

static void check_structure(struct structure *b, const struct str *number, bool is_message);

/* Checks the parts of a multipart. */
static void check_children(struct structure *b, const struct str *number)
{
	struct str child = STR_INIT;

	for (int i = 1; b->p < b->end && *b->p == '('; i++) {
		str_clear(&child);
		if (number->len > 0)
			str_addf(&child, "%s.", str_cstr(number));
		str_addf(&child, "%d", i);
		check_structure(b, &child, false);
	}
	str_fini(&child);
}

/* Checks a part that is not a multipart: its size is that of its section. Checks the message in it, too. */
static void check_single(struct structure *b, const struct str *number)
{
	struct str type = STR_INIT, subtype = STR_INIT, size = STR_INIT, text = STR_INIT;

	next_word(b, &type);
	next_word(b, &subtype);
	for (int i = 0; i < 4; i++)
		skip_value(b);
	next_word(b, &size);
	fetch(&text, b, number, "]");
	CU_ASSERT_EQUAL(strtoull(str_cstr(&size), NULL, 10), text.len);
	if (strcasecmp(str_cstr(&type), "message") == 0 && strcasecmp(str_cstr(&subtype), "rfc822") == 0) {
		check_message(b, number, &text);
		skip_value(b);
		b->p++;
		check_structure(b, number, true);
	}
	str_fini(&type);
	str_fini(&subtype);
	str_fini(&size);
	str_fini(&text);
}

/* The body in brackets at B->P. NUMBER is its own, or that of the message that it is the body of (IS_MESSAGE; empty:
 * of the mail). */
static void check_structure(struct structure *b, const struct str *number, bool is_message)
{
	struct str inner = STR_INIT, mime = STR_INIT;

	b->parts++;
	CU_ASSERT_FATAL(b->p < b->end && *b->p++ == '(');
	if (!is_message)
		fetch(&mime, b, number, ".MIME]");
	if (*b->p == '(') {
		check_children(b, number);
	} else {
		str_add(&inner, str_cstr(number), number->len);
		if (is_message)
			str_adds(&inner, number->len > 0 ? ".1" : "1");
		check_single(b, &inner);
	}
	while (b->p < b->end && *b->p != ')')
		skip_value(b);
	b->p++;
	str_fini(&inner);
	str_fini(&mime);
}

/* Every part that BODYSTRUCTURE lists for the LEN bytes at TEXT exists and has the listed size. Returns the number of
 * parts. */
static size_t check_announced(const char *text, size_t len)
{
	struct str s = STR_INIT, none = STR_INIT;
	struct mime_msg m;
	struct structure b = { .m = &m };

	mime_msg_init(&m, text, len);
	imap_body_add(&s, &m, true);
	b.p = s.data;
	b.end = s.data + s.len;
	check_structure(&b, &none, true);
	CU_ASSERT_PTR_EQUAL(b.p, b.end);
	mime_msg_fini(&m);
	str_fini(&s);
	return b.parts;
}

static void test_announced_parts_are_there(void)
{
	glob_t g;

	CU_ASSERT_EQUAL_FATAL(glob(mail_path("*.eml"), 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		size_t len;
		char *text = load(g.gl_pathv[i], &len);

		for (size_t cut = 0; cut <= len; cut += cut < 1000 ? 1 : 17)
			check_announced(text, cut);
		check_announced(text, len);
		free(text);
	}
	globfree(&g);
}

/* Messages made of the lines that form structure, in random order: 20,000, the same in each run. */
static void test_announced_parts_of_any_lines(void)
{
	static const char *const lines[] = { "Content-Type: multipart/mixed; boundary=a\n",
		"Content-Type: multipart/mixed; boundary=b\r\n", "Content-Type: multipart/digest; boundary=b\n",
		"Content-Type: multipart/mixed\n", "Content-Type: message/rfc822\n",
		"Content-Type: message/rfc822\r\n\r\n", "\n", "\r\n", "--a\n", "--a--\r\n", "--b\r\n", "--b--\n",
		"Subject: x\n", "text\r\n" };
	struct str s = STR_INIT;
	uint32_t random = 1;
	size_t parts = 0;

	for (int i = 0; i < 20000; i++) {
		str_clear(&s);
		for (int n = 0; n < 12; n++) {
			random = random * 1664525 + 1013904223;
			str_adds(&s, lines[(random >> 16) % ARRAY_LEN(lines)]);
		}
		parts += check_announced(s.data, s.len);
	}
	CU_ASSERT(parts > 25000);
	str_fini(&s);
}

/* The line end in front of a boundary belongs to the boundary, even if it is the empty line that ends a header. */
static void test_message_of_a_header_alone(void)
{
	static const char mail[] =
	    "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: message/rfc822\n\nSubject: x\n\n--a\n"
	    "Content-Type: message/rfc822\r\n\r\nSubject: y\r\n--a\nContent-Type: message/rfc822\n\n\n--a\n"
	    "Content-Type: multipart/mixed; boundary=never\n\npreamble\n--a--\n";
	static const struct {
		const char *spec, *want;
	} t[] = {
		{ "1]", "Subject: x\r\n" },
		{ "1.HEADER]", "Subject: x\r\n" },
		{ "1.TEXT]", "" },
		{ "1.1]", "" },
		{ "2]", "Subject: y" },
		{ "2.HEADER]", "Subject: y" },
		{ "2.TEXT]", "" },
		{ "3]", "" },
		{ "3.HEADER]", "" },
		{ "3.1]", "" },
		{ "4]", "preamble" },
		{ "4.1]", "" },
		{ "4.1.MIME]", "" },
		{ "4.2]", "(none)" },
	};
	struct str s = STR_INIT;
	struct mime_msg m;

	mime_msg_init(&m, mail, sizeof(mail) - 1);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CU_ASSERT_STRING_EQUAL(section(&s, &m, t[i].spec), t[i].want);
	mime_msg_fini(&m);
	str_fini(&s);
}

/* A field's name does not end at a NUL. */
static void test_field_nul(void)
{
	static const char text[] = "To\0\0\0\0: x\nTo: y\nTo\0: z\n\n";
	struct str s = STR_INIT;
	struct mime_msg m;

	mime_msg_init(&m, text, sizeof(text) - 1);
	CU_ASSERT_STRING_EQUAL(section(&s, &m, "HEADER.FIELDS (To)]"), "To: y\r\n\r\n");
	CU_ASSERT_STRING_EQUAL(section(&s, &m, "HEADER.FIELDS (To Tox)]"), "To: y\r\n\r\n");
	str_fini(&s);
}

static bool stop_at_second(void *ctx, const char *p, size_t len)
{
	(void)p;
	(void)len;
	return ++*(int *)ctx < 2;
}

static void test_wire_stop(void)
{
	struct imap_section sec = { .kind = IMAP_SECTION_ALL };
	struct str s = STR_INIT, out = STR_INIT;
	struct imap_wire w;
	struct mime_msg m;
	int calls = 0;

	for (int i = 0; i < 20000; i++)
		str_addf(&s, "line %d\n", i);
	mime_msg_init(&m, s.data, s.len);
	CU_ASSERT(imap_section_find(&m, &sec, &w));
	imap_wire_write(&w, 0, UINT64_MAX, append, &out);
	CU_ASSERT_EQUAL(out.len, s.len + 20000);
	CU_ASSERT_EQUAL(out.len, imap_wire_size(&w));
	CU_ASSERT(!imap_wire_write(&w, 0, UINT64_MAX, stop_at_second, &calls));
	CU_ASSERT_EQUAL(calls, 2);
	mime_msg_fini(&m);
	str_fini(&s);
	str_fini(&out);
}

static int add_text(struct imap_texts *t, const char *where, const char *what)
{
	if (strcmp(where, "BODY") == 0)
		return imap_texts_add(t, IMAP_TEXT_BODY, NULL, what, strlen(what));
	if (strcmp(where, "TEXT") == 0)
		return imap_texts_add(t, IMAP_TEXT_ANY, NULL, what, strlen(what));
	if (where[0] == '@')
		return imap_texts_add(t, IMAP_TEXT_ADDRESS, where + 1, what, strlen(what));
	return imap_texts_add(t, IMAP_TEXT_HEADER, where, what, strlen(what));
}

static bool has(const char *file, const char *where, const char *what)
{
	struct imap_texts t = { 0 };
	struct mime_msg m;
	size_t len;
	bool found;
	char *text = load(mail_path(file), &len);

	mime_msg_init(&m, text, len);
	CU_ASSERT_EQUAL(add_text(&t, where, what), 0);
	found = imap_texts_find(&t, &m, 0, NULL);
	imap_texts_fini(&t);
	mime_msg_fini(&m);
	free(text);
	return found;
}

static void test_search(void)
{
	static const struct search_case {
		const char *file, *where, *what;
		bool found;
	} t[] = {
		{ "plain.eml", "Subject", "LUNCH ON FRI", true },
		{ "plain.eml", "Subject", "dinner", false },
		{ "plain.eml", "Bcc", "", false },
		{ "plain.eml", "cc", "", true },
		{ "plain.eml", "to", "carol c.", true },
		{ "plain.eml", "BODY", "gRÜSSE", false },
		{ "plain.eml", "BODY", "GRÜße", true },
		{ "plain.eml", "BODY", "Subject", false },
		{ "plain.eml", "TEXT", "subject: lunch on friday", true },
		{ "plain.eml", "TEXT", "anna", true },
		{ "plain.eml", "BODY", "", true },
		{ "words.eml", "From", "jörg müller", true },
		{ "words.eml", "Subject", "grüße aus köln", true },
		{ "words.eml", "BODY", "ПРИВЕТ, МИР", false },
		{ "words.eml", "BODY", "Правет, мир", false },
		{ "words.eml", "BODY", ", MIR", true },
		{ "mixed.eml", "BODY", "grüße aus köln", true },
		{ "mixed.eml", "BODY", "&UUML;", true },
		{ "mixed.eml", "BODY", "iVBORw0", false },
		{ "mixed.eml", "BODY", "dot.png", true },
		{ "mixed.eml", "BODY", "preamble", false },
		{ "mixed.eml", "BODY", "two parts", false },
		{ "forward.eml", "BODY", "inner@example", true },
		{ "forward.eml", "BODY", "second line", true },
		{ "digest.eml", "TEXT", "inner two", true },
		{ "8bit_header.eml", "Subject", "grüße", true },
		{ "8bit_header.eml", "BODY", "SCHÖN", true },
		{ "8bit_header.eml", "To", "jörg \\\"j", true },
		{ "bad_base64.eml", "BODY", "hello world", true },
		{ "nul.eml", "BODY", "in it", true },
		{ "empty.eml", "TEXT", "x", false },
		{ "empty.eml", "TEXT", "", true },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		bool found = has(t[i].file, t[i].where, t[i].what);

		if (found != t[i].found)
			printf("%s %s %s\n", t[i].file, t[i].where, t[i].what);
		CU_ASSERT_EQUAL(found, t[i].found);
	}
	mime_charset_fini();
}

/* Searching for all texts at once finds the same as searching for each alone, in any order. */
static void test_search_together(void)
{
	static const char *const files[] = { "plain.eml", "words.eml", "mixed.eml", "forward.eml", "digest.eml",
		"nul.eml", "empty.eml" };
	static const char *const where[] = { "Subject", "From", "to", "BODY", "TEXT", "x-none" };
	static const char *const what[] = { "", "e", "lunch", "anna", "grüße", "second line", "dot.png", "inner",
		"\n" };
	enum { N = ARRAY_LEN(where) * ARRAY_LEN(what) };

	for (size_t f = 0; f < ARRAY_LEN(files); f++)
		for (size_t turn = 0; turn < 2; turn++) {
			struct imap_texts t = { 0 };
			struct mime_msg m;
			size_t len;
			char *text = load(mail_path(files[f]), &len);

			mime_msg_init(&m, text, len);
			for (size_t i = 0; i < N; i++)
				CU_ASSERT_EQUAL(add_text(&t, where[i % ARRAY_LEN(where)], what[i / ARRAY_LEN(where)]),
				    (int)i);
			for (size_t k = 0; k < N; k++) {
				size_t i = turn == 0 ? k : N - 1 - k;

				CU_ASSERT_EQUAL(imap_texts_find(&t, &m, i, NULL),
				    has(files[f], where[i % ARRAY_LEN(where)], what[i / ARRAY_LEN(where)]));
			}
			imap_texts_fini(&t);
			mime_msg_fini(&m);
			free(text);
		}
	mime_charset_fini();
}

/* The number of bytes read when searching for N texts in a message of LEN bytes. */
static uint64_t bytes_read(size_t n, const char *text, size_t len)
{
	struct imap_texts t = { 0 };
	struct work work;
	struct mime_msg m;
	struct bio io;

	bio_init(&io, STDIN_FILENO, STDOUT_FILENO);
	work_init(&work, &io, NULL);
	work.finish = true;
	mime_msg_init(&m, text, len);
	for (size_t i = 0; i < n; i++)
		imap_texts_add(&t, i % 2 == 0 ? IMAP_TEXT_BODY : IMAP_TEXT_ANY, NULL, "zq", 2);
	for (size_t i = 0; i < n; i++)
		CU_ASSERT_FALSE(imap_texts_find(&t, &m, i, &work));
	CU_ASSERT_EQUAL(work.stop, WORK_GOES_ON);
	imap_texts_fini(&t);
	mime_msg_fini(&m);
	bio_fini(&io);
	return work.units;
}

/* A message is read once for all texts of a SEARCH, not once for each; the number of texts is limited. */
static void test_search_reads_once(void)
{
	struct imap_texts t = { 0 };
	struct str s = STR_INIT;

	str_adds(&s, "Subject: x\n\n");
	while (s.len < 500000)
		str_adds(&s, "a line of text\n");
	CU_ASSERT_EQUAL(bytes_read(2, s.data, s.len), bytes_read(200, s.data, s.len));
	CU_ASSERT(bytes_read(200, s.data, s.len) <= s.len);
	str_fini(&s);
	for (int i = 0; i < IMAP_TEXTS_MAX; i++)
		CU_ASSERT_EQUAL(add_text(&t, "TEXT", "x"), i);
	CU_ASSERT_EQUAL(add_text(&t, "TEXT", "x"), -1);
	imap_texts_fini(&t);
}

static bool address_is_found(const char *field, size_t len, const char *what)
{
	struct imap_texts t = { 0 };
	struct mime_msg m;
	bool found;

	mime_msg_init(&m, field, len);
	add_text(&t, "@From", what);
	found = imap_texts_find(&t, &m, 0, NULL);
	imap_texts_fini(&t);
	mime_msg_fini(&m);
	return found;
}

/* Wherever the field is cut, an address is found once it is complete, and nothing else is found. */
static void test_search_addresses_cut(void)
{
	static const struct {
		const char *field, *what, *complete_at;
	} t[] = {
		{ "From: a(x)@\r\n\tB.example (c)\n", "A@b.Example", "le" },
		{ "From: \"J\\\"oe\" <joe (x) @ b . example>\n", "j\"OE <joe@b.example", "le" },
		{ "From: G: x@y, \"z\"@[1.2.3.4];\n", "g:, <X@y>, <z@[1.2.3.4", ".4" },
		{ "From: J\xc3\x96rg <j@x>\n", "jörg <J@x>", "x" },
		{ "From: =?utf-8?q?J=C3=96,_X?= <j@xy>\n", "jö, x <J@xy", "y" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		size_t len = strlen(t[i].field), complete = (size_t)(strstr(t[i].field, t[i].complete_at) - t[i].field);

		complete += strlen(t[i].complete_at);
		for (size_t n = 0; n <= len; n++) {
			char *copy = mem_memdup(t[i].field, n);

			CU_ASSERT_EQUAL(address_is_found(copy, n, t[i].what), n >= complete);
			CU_ASSERT(!address_is_found(copy, n, "nosuch"));
			mem_free(&copy);
		}
	}
	mime_charset_fini();
}

/* A text that spans the places where a large body is split is found. */
static void test_search_large(void)
{
	struct str s = STR_INIT;
	struct imap_texts t = { 0 };

	add_text(&t, "BODY", "ÜBER die Grenze");
	for (size_t at = 32740; at < 32800; at++) {
		struct mime_msg m;

		str_clear(&s);
		str_adds(&s, "Content-Type: text/plain; charset=utf-8\n\n");
		for (size_t i = 0; i < at; i++)
			str_addc(&s, 'x');
		mime_msg_init(&m, s.data, s.len);
		imap_texts_begin(&t);
		CU_ASSERT(!imap_texts_find(&t, &m, 0, NULL));
		mime_msg_fini(&m);
		str_adds(&s, "über die grenze, und weiter");
		mime_msg_init(&m, s.data, s.len);
		imap_texts_begin(&t);
		CU_ASSERT(imap_texts_find(&t, &m, 0, NULL));
		mime_msg_fini(&m);
	}
	imap_texts_fini(&t);
	str_fini(&s);
}

static void test_sent_day(void)
{
	static const struct {
		const char *text;
		bool ok;
		int64_t day;
	} t[] = {
		{ "Date: Thu, 1 Jan 1970 23:59:59 -1200\n\n", true, 0 },
		{ "Date: 2 Jan 1970 00:00 +1200\n\n", true, 1 },
		{ "Subject: x\n\nDate: 2 Jan 1970\n", false, 0 },
		{ "Date: garbage\n\n", false, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct mime_msg m;
		int64_t day = 0;

		mime_msg_init(&m, t[i].text, strlen(t[i].text));
		CU_ASSERT_EQUAL(imap_text_sent_day(&m, &day), t[i].ok);
		CU_ASSERT_EQUAL(day, t[i].day);
	}
}

static void test_utf7(void)
{
	static const struct {
		const char *utf7, *utf8;
	} good[] = {
		{ "", "" },
		{ "INBOX.Sent", "INBOX.Sent" },
		{ "&-", "&" },
		{ "a&-b", "a&b" },
		{ "Entw&APw-rfe", "Entwürfe" },
		{ "~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語" },
		{ "&2DTdHg-", "𝄞" },
		{ "&AOQ-&-&AOQ-", "ä&ä" },
		{ "&AAE-", "\x01" },
		{ "&AH8-", "\x7f" },
		{ "&AOQA9gD8-", "äöü" },
	};
	static const char *const bad[] = { "&", "&AOQ", "\xc3\xa4", "\x01", "\x7f", "&AGE-", "&AOQ-&APY-", "&AOQ=-",
		"&AO-", "&A-", "&AOR-", "&2DQ-", "&3R4-", "&2DQA5A-", "&AAA-", "&AOQAYQ-", "&!-", "&AOQAA-", "&AOQ&-",
		"&ACY-", "&3R7YNA-" };
	static const char *const bad8[] = { "\xe4", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\xc3" };
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		str_clear(&s);
		CU_ASSERT(imap_utf7_to_utf8(&s, good[i].utf7, strlen(good[i].utf7)));
		CU_ASSERT_STRING_EQUAL(str_cstr(&s), good[i].utf8);
		str_clear(&s);
		CU_ASSERT(imap_utf7_from_utf8(&s, good[i].utf8, strlen(good[i].utf8)));
		CU_ASSERT_STRING_EQUAL(str_cstr(&s), good[i].utf7);
	}
	str_clear(&s);
	str_adds(&s, "kept");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CU_ASSERT(!imap_utf7_to_utf8(&s, bad[i], strlen(bad[i])));
		CU_ASSERT_STRING_EQUAL(s.data, "kept");
	}
	for (size_t i = 0; i < ARRAY_LEN(bad8); i++)
		CU_ASSERT(!imap_utf7_from_utf8(&s, bad8[i], strlen(bad8[i])));
	CU_ASSERT(!imap_utf7_from_utf8(&s, "a\0b", 3));
	CU_ASSERT(!imap_utf7_to_utf8(&s, "a\0b", 3));
	CU_ASSERT_STRING_EQUAL(s.data, "kept");
	str_fini(&s);
}

static void test_dates(void)
{
	static const struct {
		const char *in;
		time_t t;
	} good[] = {
		{ "17-Jul-1996 02:44:25 -0700", 837596665 },
		{ " 1-Jan-1970 00:00:00 +0000", 0 },
		{ "01-jan-1970 00:00:00 +0100", -3600 },
		{ "1-Jan-1970 00:00:01 +0000", 1 },
		{ "31-Dec-2037 23:59:60 +0000", 2145916800 },
		{ "31-Dec-1969 23:59:59 +0000", -1 },
		{ "01-Jan-0001 00:00:00 +0000", -62135596800 },
	};
	static const char *const bad[] = { "", "17-Jul-1996", "32-Jul-1996 02:44:25 -0700",
		"30-Feb-1996 02:44:25 -0700", " 17-Jul-1996 02:44:25 -070", "17-Foo-1996 02:44:25 -0700",
		"17-Jul-1996 24:44:25 -0700", "17-Jul-1996 02:44:25 0700", "17-Jul-1996 02:44:25  0700",
		"17-Jul-96 02:44:25 -0700", "17-Jul-1996 02:44:25 -0700 ", "17/Jul/1996 02:44:25 -0700",
		"00-Jul-1996 02:44:25 -0700", "  -Jul-1996 02:44:25 -0700" };
	struct str s = STR_INIT;
	int64_t day;
	time_t t;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		t = 7;
		CU_ASSERT(imap_date_parse(good[i].in, strlen(good[i].in), &t));
		CU_ASSERT_EQUAL(t, good[i].t);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CU_ASSERT(!imap_date_parse(bad[i], strlen(bad[i]), &t));
	CU_ASSERT(imap_date_parse_day("1-Feb-1970", 10, &day) && day == 31);
	CU_ASSERT(imap_date_parse_day("01-FEB-1970", 11, &day) && day == 31);
	CU_ASSERT(!imap_date_parse_day("1-Feb-70", 8, &day) && !imap_date_parse_day(" 1-Feb-1970", 11, &day));
	CU_ASSERT(!imap_date_parse_day("1-Feb-1970 ", 11, &day) && !imap_date_parse_day("", 0, &day));
	setenv("TZ", "IST-5:30", 1);
	tzset();
	imap_date_print(&s, 837596665);
	CU_ASSERT_STRING_EQUAL(s.data, "\"17-Jul-1996 15:14:25 +0530\"");
	CU_ASSERT_EQUAL(imap_date_day(66600), 1);
	setenv("TZ", "NST3:30", 1);
	tzset();
	str_clear(&s);
	imap_date_print(&s, 0);
	CU_ASSERT_STRING_EQUAL(s.data, "\"31-Dec-1969 20:30:00 -0330\"");
	CU_ASSERT_EQUAL(imap_date_day(0), -1);
	str_clear(&s);
	imap_date_print(&s, 86400 * 8);
	CU_ASSERT_STRING_EQUAL(s.data, "\" 8-Jan-1970 20:30:00 -0330\"");
	CU_ASSERT(imap_date_parse(s.data + 1, s.len - 2, &t) && t == 86400 * 8);
	str_fini(&s);
}

/* A command that is stopped for its CPU use gets a reply, and the session continues; the other two reasons end it. */
static void test_stopped(void)
{
	static const struct {
		enum work_stop stop;
		bool over;
	} t[] = { { WORK_TOO_MUCH, false }, { WORK_TOO_MUCH, false }, { WORK_NO_CLIENT, true } };
	struct session_counters counters = { .end = SESSION_END_COUNT };
	const struct session_start start = { .user = "u", .session_id = "s", .counters = &counters };
	struct imap_session s = { .start = &start };

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		work_init(&s.work, &s.io, NULL);
		s.work.stop = t[i].stop;
		CU_ASSERT_EQUAL(imap_stopped(&s, "SEARCH"), t[i].over ? IMAP_GONE : IMAP_NO);
		CU_ASSERT_EQUAL(s.over, t[i].over);
		CU_ASSERT(t[i].over || strncmp(str_cstr(&s.reply), "[LIMIT] SEARCH ", 15) == 0);
	}
	CU_ASSERT_EQUAL(counters.end, SESSION_END_DISCONNECTED);
	str_fini(&s.reply);
}

static const struct unit_case cases[] = {
	{ "envelopes and structures", test_golden },
	{ "messages cut anywhere", test_cut },
	{ "strings", test_strings },
	{ "limits", test_limits },
	{ "output is bounded", test_output_is_bounded },
	{ "languages", test_languages },
	{ "section syntax", test_section_parse },
	{ "sections", test_sections },
	{ "every announced part is there, of its size", test_announced_parts_are_there },
	{ "every announced part of any lines is there", test_announced_parts_of_any_lines },
	{ "a message that is a header alone", test_message_of_a_header_alone },
	{ "NUL in a field's name", test_field_nul },
	{ "output stopped", test_wire_stop },
	{ "search", test_search },
	{ "many texts together", test_search_together },
	{ "a message is read once", test_search_reads_once },
	{ "search for addresses cut anywhere", test_search_addresses_cut },
	{ "search in large bodies", test_search_large },
	{ "sent date", test_sent_day },
	{ "modified UTF-7", test_utf7 },
	{ "dates", test_dates },
	{ "stopped commands", test_stopped },
	{ NULL, NULL },
};
UNIT_MAIN("messages in IMAP", cases)
