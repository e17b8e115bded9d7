/* mime/: fields, addresses, words, parts; how much work they may cause. */
#include "tests/unit/unit.h"

#include <dlfcn.h>
#include <iconv.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/mem.h"
#include "lib/utf8.h"
#include "mime/addr.h"
#include "mime/charset.h"
#include "mime/ctype.h"
#include "mime/param.h"
#include "mime/date.h"
#include "mime/decode.h"
#include "mime/hdr.h"
#include "mime/part.h"
#include "mime/wire.h"
#include "mime/word.h"

/* Counted instead of time: converters opened, bytes searched. These functions replace those of the C library. */
static size_t opens, searched;

iconv_t iconv_open(const char *to, const char *from)
{
	iconv_t (*real)(const char *, const char *);

	*(void **)&real = dlsym(RTLD_NEXT, "iconv_open");
	opens++;
	return real(to, from);
}

void *memmem(const void *haystack, size_t len, const void *needle, size_t needle_len)
{
	const char *p = haystack;

	for (size_t i = 0; i + needle_len <= len; i++, searched++)
		if (memcmp(p + i, needle, needle_len) == 0)
			return (void *)(uintptr_t)(p + i);
	return NULL;
}

static void test_hdr(void)
{
	static const char text[] =
	    "From joe Mon Jan  1 10:00:00 2024\n>From x: y\nSubject : one\n\ttwo \r\n three\nnocolon\n"
	    ":empty\nTo:\nX-\xe4: 8\r\n\r\nBody: no\n";
	static const struct {
		const char *name, *value;
	} want[] = {
		{ "", NULL },
		{ "", NULL },
		{ "Subject", "one\n\ttwo \r\n three" },
		{ "", NULL },
		{ "", NULL },
		{ "To", "" },
		{ "X-\xe4", "8" },
	};
	struct mime_hdr_iter it;
	struct mime_hdr h;
	size_t n = 0, sum = 0, len = sizeof(text) - 1;
	struct str s = STR_INIT;

	CU_ASSERT_EQUAL(mime_hdr_len(text, len), len - strlen("Body: no\n"));
	mime_hdr_begin(&it, text, len);
	for (; mime_hdr_next(&it, &h); n++, sum += h.len) {
		CU_ASSERT_FATAL(n < ARRAY_LEN(want));
		CU_ASSERT_EQUAL_FATAL(h.name_len, strlen(want[n].name));
		CU_ASSERT(strncmp(h.name, want[n].name, h.name_len) == 0);
		if (want[n].value != NULL)
			CU_ASSERT(
			    h.value_len == strlen(want[n].value) && memcmp(h.value, want[n].value, h.value_len) == 0);
	}
	CU_ASSERT_EQUAL(n, ARRAY_LEN(want));
	CU_ASSERT_EQUAL(sum + 2, mime_hdr_len(text, len));
	CU_ASSERT(mime_hdr_find(text, len, "sUBJECT", &h));
	mime_hdr_unfold(&s, h.value, h.value_len);
	CU_ASSERT_STRING_EQUAL(str_cstr(&s), "one\ttwo  three");
	CU_ASSERT(!mime_hdr_find(text, len, "Body", &h));
	CU_ASSERT(!mime_hdr_find("", 0, "Body", &h));
	CU_ASSERT_EQUAL(mime_hdr_len("\n", 1), 1);
	CU_ASSERT_EQUAL(mime_hdr_len("\r\nx", 3), 2);
	CU_ASSERT_EQUAL(mime_hdr_len("a: b", 4), 4);
	str_clear(&s);
	mime_hdr_unfold(&s, "a\rb\nc\0d\r\n", 9);
	CU_ASSERT_STRING_EQUAL(str_cstr(&s), "a b c d ");
	str_fini(&s);
}

/* The parameters of a value as "name=value|name=value|". */
static void params(struct str *out, const char *value)
{
	struct mime_text t = { value, strlen(value) };
	struct str name = STR_INIT, text = STR_INIT;
	struct mime_ctype c;

	mime_ctype_begin(&c, &t);
	if (mime_ctype_type(&c, &name, &text))
		str_addf(out, "%s/%s|", name.data, text.data);
	while (mime_ctype_param(&c, &name, &text))
		str_addf(out, "%s=%s|", str_cstr(&name), str_cstr(&text));
	str_fini(&name);
	str_fini(&text);
}

static void test_ctype(void)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "text/plain", "text/plain|" },
		{ "", "" },
		{ "text", "" },
		{ "/plain", "" },
		{ "text/", "" },
		{ " Text / HTML ; a=b;c = \"d;e\"", "Text/HTML|a=b|c=d;e|" },
		{ "a/b (c (d) \\) e) ; (f) g (h) = (i) j (k) ; l=m", "a/b|g=j|l=m|" },
		{ "a/b; x=\"q\\\"\\\\r\"", "a/b|x=q\"\\r|" },
		{ "a/b; x=\"open", "a/b|x=open|" },
		{ "a/b; x=", "a/b|x=|" },
		{ "a/b;;; =v; n; x=y=z/:w;", "a/b|x=y=z/:w|" },
		{ "a/b; x=one two; y=3", "a/b|x=one|y=3|" },
		{ "a/b; f*0*=u''%41; f*1=\"b\"", "a/b|f*0*=u''%41|f*1=b|" },
		{ "a/b; x=\"fol\n ded\"", "a/b|x=fol ded|" },
		{ "a/b junk; x=y", "a/b|x=y|" },
		{ "a/b junk \"; z=1\" ; x=y", "a/b|x=y|" },
		{ "a/b (open ; x=y", "a/b|" },
	};
	struct mime_text value = { "a/b; Boundary=\"x y\"; boundary=z", 32 };
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		str_clear(&s);
		params(&s, t[i].in);
		CU_ASSERT_STRING_EQUAL(str_cstr(&s), t[i].out);
	}
	CU_ASSERT(mime_param_find(&value, "boundary", &s));
	CU_ASSERT_STRING_EQUAL(str_cstr(&s), "x y");
	CU_ASSERT(!mime_param_find(&value, "charset", &s));
	str_fini(&s);
}

/* A list as "name|adl|mailbox|host,...", "-" for a part that is not there. */
static void addresses(struct str *out, const char *text, size_t len)
{
	struct mime_addr a = { .kind = MIME_ADDR_BOX };
	struct mime_addr_iter it;

	str_clear(out);
	mime_addr_begin(&it, text, len);
	while (mime_addr_next(&it, &a))
		str_addf(out, "%s|%s|%s|%s,", a.have_name ? str_cstr(&a.name) : "-",
		    a.have_adl ? str_cstr(&a.adl) : "-", a.have_mailbox ? str_cstr(&a.mailbox) : "-",
		    a.have_host ? str_cstr(&a.host) : "-");
	mime_addr_fini(&a);
}

static void test_param(void)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "a/b", "" },
		{ "a/b; x=y; z=\"\"", "x=y|z=|" },
		{ "a/b; x*=utf-8''%41", "x*=utf-8''%41|" },
		{ "a/b; n*0=\"a long name, \"; n*1=\"b.pdf\"", "n=a long name, b.pdf|" },
		{ "a/b; n*0=x", "n=x|" },
		{ "a/b; f*0*=utf-8''r%C3%A9; f*1*=s.pdf", "f*=utf-8''r%C3%A9s.pdf|" },
		{ "a/b; f*0*=x''%41", "f*=x''%41|" },
		{ "a/b; f*0*=x''%41; f*1=\"50% 'b'\"; f*2*=%43", "f*=x''%4150%25%20%27b%27%43|" },
		{ "a/b; f*0=\"a b\"; f*1*=%43", "f*=''a%20b%43|" },
		{ "a/b; f*2=c; x=y; F*0=a; f*1=b", "x=y|F=abc|" },
		{ "a/b; f*0=a; f*0=b; f*1=c; f*1*=d", "f*=''ac|" },
		{ "a/b; f*00=a; f*01=b", "f=ab|" },
		{ "a/b; f*0=a; f*2=c", "f=a|f*2=c|" },
		{ "a/b; f*1=b; f*2=c", "f*1=b|f*2=c|" },
		{ "a/b; f=x; f*0=a; f*1=b", "f=x|f=ab|" },
		{ "a/b; f*0=a; fo*0=b; f*1=c", "f=ac|fo=b|" },
		{ "a/b; f*0=0; f*1=1; f*2=2; f*3=3; f*4=4; f*5=5; f*6=6; f*7=7; f*8=8; f*9=9; f*10=A; f*11=B",
		    "f=0123456789AB|" },
		{ "a/b; f*99999999999=a; f*=b; *0=c; f*x*0=d; f**=e", "f*99999999999=a|f*=b|*0=c|f*x=d|f**=e|" },
	};
	static const struct {
		const char *in, *out;
	} find[] = {
		{ "a/b; x=1; X=2", "1" },
		{ "a/b; y=1", "-" },
		{ "a/b; x*=us-ascii''a%20b", "a b" },
		{ "a/b; x*=plain%2", "plain%2" },
		{ "a/b; x*0=a; x*1=b", "ab" },
		{ "a/b; x*1*=%42; x*0*=us-ascii'en'%41", "AB" },
		{ "a/b; x*=u''1; x=2", "2" },
		{ "a/b; x*0*=''%41%0d%0a%00; x*1=%42", "A%42" },
		{ "a/b; xx*0=a; x*1=b", "-" },
		{ "a/b; x*='%41", "'A" },
	};
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		size_t len = strlen(t[i].in);
		char *copy = mem_memdup(t[i].in, len);

		/* Any prefix of it can be parsed, too; the whole comes last. */
		for (size_t cut = 0; cut <= len; cut++) {
			struct mime_text value = { copy, cut };
			struct mime_params p;

			str_clear(&s);
			mime_params_read(&p, &value);
			for (size_t k = 0; k < p.n; k++)
				str_addf(&s, "%s=%s|", str_cstr(&p.v[k].name), str_cstr(&p.v[k].value));
			mime_params_fini(&p);
		}
		CU_ASSERT_STRING_EQUAL(str_cstr(&s), t[i].out);
		mem_free(&copy);
	}
	for (size_t i = 0; i < ARRAY_LEN(find); i++) {
		struct mime_text value = { find[i].in, strlen(find[i].in) };
		bool found = mime_param_find(&value, "x", &s);

		CU_ASSERT_STRING_EQUAL(found ? str_cstr(&s) : "-", find[i].out);
	}
	str_fini(&s);
}

/* A sender may send thousands; a limited number is read, and none twice. */
static void test_param_many(void)
{
	struct str s = STR_INIT;
	struct mime_params p;

	str_adds(&s, "a/b");
	for (int i = 2 * MIME_PARAMS_MAX; i-- > 0;)
		str_addf(&s, "; x*%d=%c", i % MIME_PARAMS_MAX, 'a' + i % 26);
	mime_params_read(&p, &(struct mime_text){ s.data, s.len });
	CU_ASSERT_EQUAL_FATAL(p.n, 1);
	CU_ASSERT_STRING_EQUAL(str_cstr(&p.v[0].name), "x");
	CU_ASSERT_EQUAL(p.v[0].value.len, MIME_PARAMS_MAX);
	mime_params_fini(&p);
	str_fini(&s);
}

static void test_addr(void)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "", "" },
		{ " , ,\t;\n ", "" },
		{ "G:(c);", "-|-|G|-,-|-|-|-," },
		{ "(only a comment)", "" },
		{ "a@b", "-|-|a|b," },
		{ "<a@b>", "-|-|a|b," },
		{ "J. R. Ewing <a@b>", "J. R. Ewing|-|a|b," },
		{ "\"Ewing, J\\\"R\" <a@b>", "Ewing, J\"R|-|a|b," },
		{ "a@b (Joe (the) Q)", "Joe (the) Q|-|a|b," },
		{ "<a@b> (Joe)", "Joe|-|a|b," },
		{ "N <a@b> (Joe)", "N|-|a|b," },
		{ "a@b,c@d", "-|-|a|b,-|-|c|d," },
		{ "a @ b . c", "-|-|a|b.c," },
		{ "\"a b\"@c", "-|-|a b|c," },
		{ "a@[192.0.2.1]", "-|-|a|[192.0.2.1]," },
		{ "a@[open", "-|-|a|[open," },
		{ "<@x,@y:a@b>", "-|@x,@y|a|b," },
		{ "N <@x:a@b>, c@d", "N|@x|a|b,-|-|c|d," },
		{ "<>", "-|-||-," },
		{ "joe", "-|-|joe|-," },
		{ "Joe Public", "Joe Public|-|-|-," },
		{ "a@", "-|-|a|," },
		{ "@b", "-|-||b," },
		{ "G: a@b, N <c@d>; e@f", "-|-|G|-,-|-|a|b,N|-|c|d,-|-|-|-,-|-|e|f," },
		{ "\"G G\":;", "-|-|G G|-,-|-|-|-," },
		{ "Open: a@b", "-|-|Open|-,-|-|a|b,-|-|-|-," },
		{ "undisclosed-recipients:;, x@y", "-|-|undisclosed-recipients|-,-|-|-|-,-|-|x|y," },
		{ "A: B: c@d;", "-|-|A|-,B:|-|c|d,-|-|-|-," },
		{ "a@b <a@b>", "a@b|-|a|b," },
		{ "N <a@b, c@d", "N|-|a|b,-|-|c|d," },
		{ "N <<a@b>>", "N|-|a|b," },
		{ "\"open <a@b>", "open <a@b>|-|-|-," },
		{ "a@b; c@d", "-|-|a|b,-|-|c|d," },
		{ "N <a@b> junk, c@d", "N|-|a|b,-|-|c|d," },
		{ "=?utf-8?Q?a?= <a@b>", "=?utf-8?Q?a?=|-|a|b," },
		{ "J\xf6rg <j@\xe4>", "J\xf6rg|-|j|\xe4," },
		{ "one\n two\r\n\tthree <a@b>", "one two three|-|a|b," },
		{ "a@b@c", "-|-|a@b|c," },
		{ ">,),],\\", "-|-|>|-,-|-|)|-,-|-|]|-,-|-|\\|-," },
		{ "a(c)b@d", "a|-|b|d," },
		/* words before a bare address are its name */
		{ "\"Lastname, Firstname\" s@e.x", "Lastname, Firstname|-|s|e.x," },
		{ "Some Body b@e.x, c@d", "Some Body|-|b|e.x,-|-|c|d," },
		{ "Some Body b@e.x (c)", "Some Body|-|b|e.x," },
		{ "=?utf-8?Q?S=C3=A9?= b@e.x", "=?utf-8?Q?S=C3=A9?=|-|b|e.x," },
		{ "J. R. Ewing jr@e.x", "J. R. Ewing|-|jr|e.x," },
		{ "\"Mr.\" b@e.x", "Mr.|-|b|e.x," },
		{ "\"a\"b@c", "a|-|b|c," },
		{ "a\"b\"@c", "a|-|b|c," },
		{ "A \"b c\" @ d", "A|-|b c|d," },
		{ "N b.\"c d\"@e", "N|-|b.c d|e," },
		{ "Some\r\n Body\r\n\tb@e.x", "Some Body|-|b|e.x," },
		{ "G: Some Body b@e.x, c@d;", "-|-|G|-,Some Body|-|b|e.x,-|-|c|d,-|-|-|-," },
		/* of two without a comma the first counts */
		{ "a@b c@d", "-|-|a|b," },
		{ "N a@b c@d, e@f", "N|-|a|b,-|-|e|f," },
		{ "a@b Some Body", "-|-|a|b," },
		{ "a@b \"c\"@d", "-|-|a|b," },
		{ "a@b c <d@e>", "a@b c|-|d|e," },
		{ "a@b(c)d@e", "c|-|a|b," },
		{ "<a@b c@d>", "-|-|a|b," },
		{ "<a b@c.d>", "-|-|b|c.d," },
		{ "N <a b@c>, d@e", "N|-|b|c,-|-|d|e," },
		{ "N <Some Body>", "N|-|Some Body|-," },
		{ "<@x, @y:a@b>", "-|@x,@y|a|b," },
		{ "a@[1.2] b@c", "-|-|a|[1.2]," },
		{ "\"a\"b", "ab|-|-|-," },
		{ "\"a \" b", "a  b|-|-|-," },
		{ "a@b.", "-|-|a|b.," },
	};
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char *copy = mem_memdup(t[i].in, strlen(t[i].in));

		addresses(&s, copy, strlen(t[i].in));
		CU_ASSERT_STRING_EQUAL(str_cstr(&s), t[i].out);
		for (size_t cut = 0; cut < strlen(t[i].in); cut++) { /* the walk ends for any prefix, too */
			char *part = mem_memdup(t[i].in, cut);

			addresses(&s, part, cut);
			mem_free(&part);
		}
		mem_free(&copy);
	}
	addresses(&s, "a\0b <x@\0y>", 10);
	CU_ASSERT_STRING_EQUAL(str_cstr(&s), "a b|-|x|y,");
	str_fini(&s);
}

static void test_word(void)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "plain text", "plain text" },
		{ "=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße" },
		{ "=?ISO-8859-1?B?R3L832U=?=", "Grüße" },
		{ "=?utf-8?q?a_b?= =?utf-8?q?c?= d", "a bc d" },
		{ "a =?utf-8?q?b?= =?utf-8?q?c?=", "a bc" },
		{ "=?utf-8?q?b?=x=?utf-8?q?c?=", "bxc" },
		{ "=?utf-8?q?b?=\n  =?iso-8859-1?q?=E4?=", "bä" },
		{ "=?utf-8?B?w4Ry?==?utf-8?B?emU=?=", "Ärze" },
		{ "=?utf-8?Q?=C3?= =?utf-8?Q?=A4?=", "ä" }, /* cut in a character */
		{ "=?utf-8*de?q?x?=", "x" },
		{ "=?no-such?q?=41=E4?=", "Aä" },
		{ "=?utf-8?x?a?=", "=?utf-8?x?a?=" },
		{ "=?utf-8?q?open", "=?utf-8?q?open" },
		{ "=?"
		  "?q?a?=",
		    "=?"
		    "?q?a?=" },
		{ "=?", "=?" },
		{ "=?a?=", "=?a?=" },
		{ "=?utf-8?q?"
		  "?= x",
		    " x" },
		{ "J\xf6rg", "Jörg" },
		{ "J\xc3\xb6rg", "Jörg" },
		{ "=?utf-8?q?=FF?=", "\xef\xbf\xbd" },
		{ "=?utf-8?q?a=?=", "a=" },
		{ "=?utf-8?q?a=4?=", "a=4" },
		{ "=?utf-8?q?a_?=|", "a |" },
		{ "=?koi8-r?B?7dXSzQ==?=", "Мурм" },
		{ "=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本" },
		{ "=?utf-8?q?with blanks in it?=", "with blanks in it" },
		{ "=?=?utf-8?q?x?=", "=?x" },
	};
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		str_clear(&s);
		mime_word_decode(&s, t[i].in, strlen(t[i].in), NULL);
		CU_ASSERT_STRING_EQUAL(str_cstr(&s), t[i].out);
		for (size_t cut = 0; cut < strlen(t[i].in); cut++) {
			char *part = mem_memdup(t[i].in, cut);

			str_clear(&s);
			mime_word_decode(&s, part, cut, NULL);
			CU_ASSERT(utf8_valid(str_cstr(&s), s.len));
			mem_free(&part);
		}
	}
	str_fini(&s);
}

static void decode_cut(struct str *out, enum mime_encoding enc, const char *in, size_t len, size_t cut)
{
	struct mime_decoder d;

	str_clear(out);
	mime_decoder_init(&d, enc);
	mime_decoder_add(&d, out, in, cut);
	mime_decoder_add(&d, out, in + cut, len - cut);
	mime_decoder_end(&d, out);
}

static void test_decode(void)
{
	static const struct {
		enum mime_encoding enc;
		const char *in, *out;
	} t[] = {
		{ MIME_ENC_BASE64, "SGVsbG8=", "Hello" },
		{ MIME_ENC_BASE64, "SGVs\r\nbG8=\n", "Hello" },
		{ MIME_ENC_BASE64, "SGVs*bG8", "Hello" },
		{ MIME_ENC_BASE64, "SGk=SGk=", "HiHi" },
		{ MIME_ENC_BASE64, "S", "" },
		{ MIME_ENC_BASE64, "====", "" },
		{ MIME_ENC_QP, "a=20b=3D=3d", "a b==" },
		{ MIME_ENC_QP, "soft=\nline=\r\nend", "softlineend" },
		{ MIME_ENC_QP, "soft= \t\nx", "softx" },
		{ MIME_ENC_QP, "blanks \t\nx", "blanks\nx" },
		{ MIME_ENC_QP, "a\r\nb \r\n", "a\r\nb\r\n" },
		{ MIME_ENC_QP, "=", "=" },
		{ MIME_ENC_QP, "=4", "=4" },
		{ MIME_ENC_QP, "=4x", "=4x" },
		{ MIME_ENC_QP, "=4\nx", "=4\nx" },
		{ MIME_ENC_QP, "=xy", "=xy" },
		{ MIME_ENC_QP, "==41", "=A" },
		{ MIME_ENC_QP, "=4=41", "=4A" },
		{ MIME_ENC_QP, "= x", "= x" },
		{ MIME_ENC_QP, "a b", "a b" },
		{ MIME_ENC_QP, "a\rb", "a\rb" },
		{ MIME_ENC_NONE, "=41 \n", "=41 \n" },
	};
	static const struct {
		const char *value;
		enum mime_encoding enc;
	} v[] = {
		{ "base64", MIME_ENC_BASE64 },
		{ "Quoted-Printable (x)", MIME_ENC_QP },
		{ "8bit", MIME_ENC_NONE },
		{ "", MIME_ENC_NONE },
		{ "uuencode", MIME_ENC_OTHER },
	};
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		for (size_t cut = 0; cut <= strlen(t[i].in); cut++) {
			decode_cut(&s, t[i].enc, t[i].in, strlen(t[i].in), cut);
			CU_ASSERT_STRING_EQUAL(str_cstr(&s), t[i].out);
		}
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct mime_text value = { v[i].value, strlen(v[i].value) };

		CU_ASSERT_EQUAL(mime_encoding_of(&value), v[i].enc);
	}
	str_fini(&s);
}

static void test_charset(void)
{
	static const struct {
		const char *name, *in, *out;
	} t[] = {
		{ "utf-8", "aä€𝄞z", "aä€𝄞z" },
		{ "UTF8", "a\377b", "a\xef\xbf\275b" },
		{ "utf-8", "\xc3", "\xef\xbf\xbd" },
		{ "us-ascii", "a\xe4\xc3\xa4", "aää" },
		{ NULL, "\xe4", "ä" },
		{ "windows-1252", "\x80", "€" },
		{ "no-such//IGNORE", "\xe4", "ä" },
		{ "gb2312", "\xc4\xe3", "你" },
		{ "shift_jis", "\x93\xfa\x96{", "日本" },
		{ "iso-2022-jp", "\x1b$BF|K\\\x1b(B", "日本" },
		{ "euc-kr", "\xb0\xa1\xff", "가\xef\xbf\xbd" },
		{ "utf-8", "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		for (size_t len = strlen(t[i].in), cut = 0; cut <= len; cut++) {
			struct mime_charset c;

			str_clear(&s);
			mime_charset_begin(&c, t[i].name, NULL);
			mime_charset_add(&c, &s, t[i].in, cut);
			mime_charset_add(&c, &s, t[i].in + cut, len - cut);
			mime_charset_end(&c, &s);
			CU_ASSERT_STRING_EQUAL(str_cstr(&s), t[i].out);
		}
	CU_ASSERT(mime_charset_known("koi8-r") && mime_charset_known("US-ASCII") && mime_charset_known("utf-8"));
	CU_ASSERT(
	    !mime_charset_known("no-such") && !mime_charset_known("utf-8//TRANSLIT") && !mime_charset_known("a b"));
	str_clear(&s);
	CU_ASSERT(mime_charset_to_utf8(&s, "iso-8859-1", "\xe4", 1));
	CU_ASSERT_STRING_EQUAL(str_cstr(&s), "ä");
	CU_ASSERT(!mime_charset_to_utf8(&s, "no-such", "a", 1));
	CU_ASSERT(!mime_charset_to_utf8(&s, "utf-8", "\xe4", 1));
	CU_ASSERT(!mime_charset_to_utf8(&s, NULL, "\xe4", 1));
	CU_ASSERT(!mime_charset_to_utf8(&s, "euc-jp", "a\xff", 2));
	CU_ASSERT(!mime_charset_to_utf8(&s, "euc-jp", "a\xa4", 2));
	CU_ASSERT_STRING_EQUAL(str_cstr(&s), "ä");
	str_clear(&s);
	mime_fold(&s, "ABC xyz ÄÖÜ ß ΣΑΣ Жж İ \xff", strlen("ABC xyz ÄÖÜ ß ΣΑΣ Жж İ \xff"));
	CU_ASSERT(strncmp(str_cstr(&s), "abc xyz äöü ß σασ жж ", strlen("abc xyz äöü ß σασ жж ")) == 0);
	CU_ASSERT_EQUAL(s.data[s.len - 1], '\xff');
	str_fini(&s);
	mime_charset_fini();
}

static void test_date(void)
{
	static const struct {
		const char *in;
		int64_t time;
	} good[] = {
		{ "Mon, 5 Feb 2024 10:11:12 +0100", 1707124272 },
		{ "5 Feb 2024 10:11 +0000", 1707127860 },
		{ "Mon, 05 Feb 24 10:11:12 EST", 1707145872 },
		{ "Mon,5 Feb 2024 10:11:12 GMT", 1707127872 },
		{ "Mon, 5 Feb 2024 10:11:12 (a (b) c) -0330 (NST)", 1707140472 },
		{ "Mon Feb  5 10:11:12 2024", 1707127872 },
		{ "Mon, 5 February 2024 10:11:12 +0000", 1707127872 },
		{ "5-Feb-2024 10:11:12 +0000", 1707127872 },
		{ "Thu, 13 Feb 69 23:32:54 -0330", -27723426 },
		{ "1 Jan 100 00:00:00 +0000", 946684800 },
		{ "Mon, 5 Feb 2024", 1707091200 },
		{ "5 Feb 2024 10:11:12 Z", 1707127872 },
		{ "5 Feb 2024 10 : 11 : 12 +0000", 1707127872 },
		{ "Mon, 5\n Feb 2024\r\n\t10:11:12 +0000", 1707127872 },
		{ "29 Feb 2024 23:59:60 +0000", 1709251200 },
		{ "5 Feb 2024 10:11:12 +9999", 1707127872 },
		{ "5 Feb 2024 10:11:12 XYZ", 1707127872 },
	};
	static const char *const bad[] = { "", "today", "2024-02-05", "31 Feb 2024 10:00:00", "29 Feb 2023 10:00:00",
		"5 Feb 2024 25:00:00", "5 Feb 2024 10:60:00", "0 Jan 2024", "5 2024 10:00", "99999999999 Feb 2024",
		"Feb 2024", "5 Feb" };
	struct mime_date d;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		CU_ASSERT(mime_date_parse(good[i].in, strlen(good[i].in), &d));
		CU_ASSERT_EQUAL(mime_date_time(&d), good[i].time);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CU_ASSERT(!mime_date_parse(bad[i], strlen(bad[i]), &d));
	for (int64_t days = -800000; days < 800000; days += 37) {
		time_t t = (time_t)days * 86400;
		struct tm tm;

		CU_ASSERT_PTR_NOT_NULL_FATAL(gmtime_r(&t, &tm));
		CU_ASSERT_EQUAL(mime_date_days(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday), days);
		CU_ASSERT(tm.tm_mday <= mime_date_month_len(tm.tm_year + 1900, tm.tm_mon + 1));
	}
}

static uint64_t count(const char *p, size_t len, char c)
{
	uint64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += p[i] == c;
	return n;
}

static void check_span(const struct mime_msg *m, const struct mime_span *s)
{
	CU_ASSERT_FATAL(s->off <= m->len && s->len <= m->len - s->off);
	CU_ASSERT_EQUAL(s->wire, mime_wire_size(m->text + s->off, s->len));
	CU_ASSERT_EQUAL(s->lines, count(m->text + s->off, s->len, '\n'));
}

/* Checks what must hold for any tree; returns the number of its parts. */
static size_t check_part(const struct mime_msg *m, const struct mime_part *p, int depth)
{
	size_t n = 1;

	CU_ASSERT(depth <= MIME_DEPTH_MAX);
	check_span(m, &p->hdr);
	check_span(m, &p->body);
	CU_ASSERT_EQUAL(p->hdr.off + p->hdr.len, p->body.off);
	CU_ASSERT((p->kind != MIME_LEAF) == (p->child != NULL));
	for (const struct mime_part *c = p->child; c != NULL; c = c->next) {
		CU_ASSERT_PTR_EQUAL(c->parent, p);
		CU_ASSERT(c->hdr.off >= p->body.off && c->body.off + c->body.len <= p->body.off + p->body.len);
		n += check_part(m, c, depth + 1);
	}
	return n;
}

static size_t check_tree(const char *text, size_t len)
{
	struct mime_msg m;
	size_t n;

	mime_msg_init(&m, text, len);
	n = check_part(&m, mime_msg_root(&m), 1);
	CU_ASSERT_EQUAL(n, m.parts);
	CU_ASSERT(n <= MIME_PARTS_MAX + MIME_DEPTH_MAX);
	mime_msg_fini(&m);
	return n;
}

static void test_tree_cut(void)
{
	static const char text[] =
	    "Content-Type: multipart/mixed; boundary=a\r\n\r\npre\r\n--a\r\nContent-Type: multipart/digest;\n"
	    " boundary=\"a-b\"\n\n--a-b\n\nX: y\n\nbody\n--a-b\nContent-Type: message/rfc822\n\n"
	    "Content-Type: multipart/mixed; "
	    "boundary=c\n\n--c\n\n1\n--c--\nepilogue\n--a-b--\n\r\n--a\n\nlast\r\n--a--\r\nepi";

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		char *part = mem_memdup(text, cut);

		check_tree(part, cut);
		mem_free(&part);
	}
	CU_ASSERT_EQUAL(check_tree(text, sizeof(text) - 1), 8);
}

/* A boundary may come in any of RFC 2231's forms. */
static void test_boundary_forms(void)
{
	static const char *const t[] = { "boundary*=us-ascii''a%20b", "boundary*0=\"a \"; boundary*1=b",
		"boundary*0*=us-ascii'en'a%20; BOUNDARY*1=b", "boundary*1=b; boundary*0=\"a \"",
		"x*0=y; boundary=\"a b\"" };
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		str_clear(&s);
		str_addf(&s, "Content-Type: multipart/mixed; %s\n\n--a b\n\none\n--a b\n\ntwo\n--a b--\n", t[i]);
		CU_ASSERT_EQUAL(check_tree(s.data, s.len), 3);
	}
	str_fini(&s);
}

/* Hostile mail: the limits hold, and time grows with the length only (this ends at once). */
static void test_tree_limits(void)
{
	struct str s = STR_INIT;

	for (int i = 0; i < 1000; i++)
		str_addf(&s, "Content-Type: multipart/mixed; boundary=%0*d\n\n--%0*d\n", 60, i, 60, i);
	for (int i = 0; i < 20000; i++)
		str_addf(&s, "--%060d\n", i % 100 + 1000);
	CU_ASSERT_EQUAL(check_tree(s.data, s.len), MIME_DEPTH_MAX);
	str_clear(&s);
	for (int i = 0; i < 1000; i++)
		str_adds(&s, "Content-Type: message/rfc822\n\n");
	CU_ASSERT_EQUAL(check_tree(s.data, s.len), MIME_DEPTH_MAX);
	str_clear(&s);
	str_adds(&s, "Content-Type: multipart/mixed; boundary=x\n\n");
	for (int i = 0; i < 300000; i++)
		str_adds(&s, "--x\n");
	CU_ASSERT_EQUAL(check_tree(s.data, s.len), MIME_PARTS_MAX);
	str_clear(&s);
	str_adds(&s, "Content-Type: multipart/mixed; boundary=");
	for (int i = 0; i < 100000; i++)
		str_addc(&s, 'b');
	str_adds(&s, "\n\n");
	for (int i = 0; i < 1000; i++)
		str_adds(&s, "--bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n");
	CU_ASSERT_EQUAL(check_tree(s.data, s.len), 2);
	str_fini(&s);
}

/* A header of N encoded words, their charset out of the first KINDS in turn. */
static void add_words(struct str *s, size_t n, size_t kinds)
{
	for (size_t i = 0; i < n; i++)
		str_addf(s, " =?cp%zu?Q?=E4?=", i % kinds + 1250);
}

/* A sender cannot make us open a converter for each of many words: switching between few charsets is free, and the
 * number of charsets is limited. */
static void test_charset_changes(void)
{
	struct mime_charsets set = { .n = 0 };
	struct str in = STR_INIT, out = STR_INIT, again = STR_INIT;

	mime_charset_fini();
	opens = 0;
	add_words(&in, 2000, 8);
	mime_word_decode(&out, in.data, in.len, &set);
	CU_ASSERT_EQUAL(opens, 8);
	CU_ASSERT_EQUAL(set.n, 8);
	mime_word_decode(&again, in.data, in.len, NULL);
	CU_ASSERT_EQUAL(opens, 8);
	CU_ASSERT(out.len == again.len && memcmp(out.data, again.data, out.len) == 0);
	mime_charset_fini();
	opens = 0;
	memset(&set, 0, sizeof(set));
	str_clear(&in);
	for (int i = 0; i < 500; i++)
		for (int k = 1; k <= 16; k++)
			str_addf(&in, " =?iso-8859-%d?Q?=E4?= =?cp%d?Q?=E4?=", k == 12 ? 1 : k, 1240 + k);
	str_clear(&out);
	mime_word_decode(&out, in.data, in.len, &set);
	/* cp1241 to cp1249, which iconv does not know, cost next to nothing. */
	CU_ASSERT(opens <= MIME_CHARSETS_MAX + 500 * 9);
	CU_ASSERT_EQUAL(set.n, MIME_CHARSETS_MAX);
	CU_ASSERT(utf8_valid(out.data, out.len));
	/* the result does not depend on earlier messages */
	memset(&set, 0, sizeof(set));
	str_clear(&again);
	mime_word_decode(&again, in.data, in.len, &set);
	CU_ASSERT(out.len == again.len && memcmp(out.data, again.data, out.len) == 0);
	/* the next message has its own charsets */
	memset(&set, 0, sizeof(set));
	str_clear(&out);
	mime_word_decode(&out, "=?koi8-r?Q?=C1?=", 16, &set);
	CU_ASSERT_STRING_EQUAL(out.data, "а");
	mime_charset_fini();
	str_fini(&in);
	str_fini(&out);
	str_fini(&again);
}

/* Encoded words without an end do not each cost a search for one. */
static void test_words_without_end(void)
{
	static const char *const starts[] = { "=?a?Q?x", "=?", "=?a?Q?", "=?a?B?x=?" };

	for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
		struct str in = STR_INIT, out = STR_INIT;

		while (in.len < 100000)
			str_adds(&in, starts[i]);
		searched = 0;
		mime_word_decode(&out, in.data, in.len, NULL);
		CU_ASSERT(searched < 4 * in.len);
		str_fini(&in);
		str_fini(&out);
	}
}

/* Every place of a text with all kinds of line ends is found on the wire and back. */
static void test_wire(void)
{
	static const char *const pieces[] = { "\n", "\r\n", "text", "\r",
		"a long line of text, a long line of text\n" };
	struct str s = STR_INIT;
	struct mime_msg m;

	for (unsigned i = 0, r = 1; s.len < 5000; i++, r = r * 1103515245 + 12345)
		str_adds(&s, pieces[(r >> 16) % ARRAY_LEN(pieces)]);
	mime_msg_init(&m, s.data, s.len);
	for (size_t off = 0; off <= s.len; off++)
		CU_ASSERT_EQUAL(mime_wire_at(&m, off), mime_wire_size(s.data, off));
	for (size_t from = 0; from <= s.len; from += 97) {
		uint64_t size = mime_wire_at(&m, s.len) - mime_wire_at(&m, from), rest;

		for (uint64_t skip = 0; skip <= size + 10; skip += 3) {
			size_t at = mime_wire_seek(&m, from, skip, &rest);

			CU_ASSERT(at >= from && at <= s.len && rest <= 4096);
			CU_ASSERT_EQUAL(mime_wire_at(&m, at) + rest, mime_wire_at(&m, from) + skip);
		}
	}
	mime_msg_fini(&m);
	mime_msg_init(&m, NULL, 0);
	CU_ASSERT_EQUAL(mime_wire_at(&m, 0), 0);
	CU_ASSERT_EQUAL(mime_wire_header(&m), 0);
	mime_msg_fini(&m);
	str_fini(&s);
}

static const struct unit_case cases[] = {
	{ "header fields", test_hdr },
	{ "Content-Type", test_ctype },
	{ "parameters", test_param },
	{ "forms of a boundary", test_boundary_forms },
	{ "many parameters", test_param_many },
	{ "addresses", test_addr },
	{ "encoded words", test_word },
	{ "decoders", test_decode },
	{ "charsets", test_charset },
	{ "dates", test_date },
	{ "part tree cut anywhere", test_tree_cut },
	{ "part tree limits", test_tree_limits },
	{ "changing charsets", test_charset_changes },
	{ "words without end", test_words_without_end },
	{ "lengths on the wire", test_wire },
	{ NULL, NULL },
};
UNIT_MAIN("mime", cases)
