/* The exchange of a SCRAM login, with GNU SASL's client. */
#include "tests/unit/unit.h"

#include <gsasl.h>
#include <string.h>

#include "authd/scram.h"
#include "lib/mem.h"

extern const struct scram_module *const waypost_scram_module;

static struct mac *salts;

struct end {
	enum scram_next next; /* the last one */
	unsigned said;        /* messages of ours */
	unsigned computed;
	char salt[64];
};

static const char *say(Gsasl_session *g, const char *in, struct str *out)
{
	char *text = NULL;
	size_t len = 0;
	int rc = gsasl_step(g, in, strlen(in), &text, &len);

	str_clear(out);
	if (rc == GSASL_OK || rc == GSASL_NEEDS_MORE)
		str_add(out, text, len);
	gsasl_free(text);
	return str_cstr(out);
}

/* Logs USER in with PASSWORD, against the record A (NULL: there is none); returns the result. */
static struct end login(enum scram_hash hash, const char *user, const char *password, const struct account *a)
{
	struct str mine = STR_INIT, theirs = STR_INIT;
	struct end e = { .next = SCRAM_CHALLENGE };
	struct scram_secret made;
	const char *why, *clear, *sample;
	Gsasl *ctx;
	Gsasl_session *g;
	struct scram *s;

	CU_ASSERT_EQUAL_FATAL(gsasl_init(&ctx), GSASL_OK);
	CU_ASSERT_EQUAL_FATAL(gsasl_client_start(ctx, scram_hash_name(hash), &g), GSASL_OK);
	gsasl_property_set(g, GSASL_AUTHID, user);
	gsasl_property_set(g, GSASL_PASSWORD, password);
	s = scram_new(waypost_scram_module, hash, user, user, a, salts, 4096, &why);
	CU_ASSERT_PTR_NOT_NULL_FATAL(s);
	while (e.next == SCRAM_CHALLENGE || e.next == SCRAM_PROVED) {
		say(g, str_cstr(&mine), &theirs);
		str_clear(&mine);
		e.next = scram_step(s, str_cstr(&theirs), &mine);
		if (e.next == SCRAM_COMPUTE) {
			scram_question(s, &clear, &sample);
			CU_ASSERT(scram_secret_read(&made, sample, &why));
			scram_secret_derive(&made, clear);
			str_clear(&theirs);
			scram_secret_add(&theirs, &made);
			e.next = scram_computed(s, str_cstr(&theirs), &mine);
			e.computed++;
		}
		e.said += e.next == SCRAM_CHALLENGE || e.next == SCRAM_PROVED;
		if (e.said == 1 && e.salt[0] == '\0') {
			const char *p = strstr(mine.data, ",s=") + 3;

			memcpy(e.salt, p, MIN(strcspn(p, ","), sizeof(e.salt) - 1));
		}
	}
	scram_free(&s);
	CU_ASSERT_PTR_NULL(s);
	gsasl_finish(g);
	gsasl_done(ctx);
	str_fini(&mine);
	str_fini(&theirs);
	return e;
}

static void make_account(struct account *a, const char *clear, const char *hash)
{
	account_init(a);
	account_set(&a->clear, clear);
	account_set(&a->hash, hash);
}

static void stored(struct str *out, enum scram_hash hash, const char *password)
{
	struct scram_secret s = { .hash = hash, .iterations = 5000, .salt_len = 16 };

	memcpy(s.salt, "0123456789abcdef", 16);
	scram_secret_derive(&s, password);
	str_clear(out);
	scram_secret_add(out, &s);
}

static void test_right_and_wrong(void)
{
	for (int h = 0; h < SCRAM_HASH_COUNT; h++) {
		enum scram_hash hash = (enum scram_hash)h;
		struct str secret = STR_INIT;
		struct account a;
		struct end e;

		make_account(&a, "p\xc3\xa4ss, w=rd", "");
		e = login(hash, "u,s=r@example.com", "p\xc3\xa4ss, w=rd", &a);
		CU_ASSERT(e.next == SCRAM_RIGHT && e.said == 2 && e.computed == 1);
		e = login(hash, "u", "other", &a);
		CU_ASSERT(e.next == SCRAM_WRONG && e.said == 1 && e.computed == 1);
		/* a decomposed letter is the same password (SASLprep) */
		e = login(hash, "u", "pa\xcc\x88ss, w=rd", &a);
		CU_ASSERT(e.next == SCRAM_RIGHT);
		account_set(&a.hash, "!");
		e = login(hash, "u", "p\xc3\xa4ss, w=rd", &a);
		CU_ASSERT(e.next == SCRAM_WRONG && e.said == 1 && e.computed == 1);
		account_fini(&a);

		stored(&secret, hash, "secret");
		make_account(&a, "", secret.data);
		e = login(hash, "u", "secret", &a);
		CU_ASSERT(e.next == SCRAM_RIGHT && e.said == 2 && e.computed == 0);
		e = login(hash, "u", "other", &a);
		CU_ASSERT(e.next == SCRAM_WRONG && e.said == 1 && e.computed == 1);
		/* a secret of the other mechanism does not count */
		e = login(hash == SCRAM_SHA_1 ? SCRAM_SHA_256 : SCRAM_SHA_1, "u", "secret", &a);
		CU_ASSERT(e.next == SCRAM_WRONG && e.said == 1 && e.computed == 1);
		account_fini(&a);
		e = login(hash, "u", "secret", NULL);
		CU_ASSERT(e.next == SCRAM_WRONG && e.said == 1 && e.computed == 1);
		str_fini(&secret);
	}
}

static void test_salts(void)
{
	struct end one = login(SCRAM_SHA_256, "one", "x", NULL), again = login(SCRAM_SHA_256, "one", "x", NULL);
	struct end two = login(SCRAM_SHA_256, "two", "x", NULL), sha1 = login(SCRAM_SHA_1, "one", "x", NULL), clear;
	struct account a;

	make_account(&a, "secret", "");
	clear = login(SCRAM_SHA_256, "one", "x", &a);
	CU_ASSERT_STRING_EQUAL(one.salt, again.salt);
	CU_ASSERT_STRING_EQUAL(one.salt, clear.salt);
	CU_ASSERT_STRING_NOT_EQUAL(one.salt, two.salt);
	CU_ASSERT_STRING_NOT_EQUAL(one.salt, sha1.salt);
	CU_ASSERT_EQUAL(strlen(one.salt), 24);
	account_fini(&a);
}

/* Whatever the client sends first and then: it is refused, and nothing beyond the text is read. */
static void test_malformed(void)
{
	static const char first[] = "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL";
	static const char final[] =
	    "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
	struct str secret = STR_INIT, out = STR_INIT;
	struct account a;
	const char *why;

	stored(&secret, SCRAM_SHA_1, "secret");
	make_account(&a, "", secret.data);
	for (size_t n = 0; n <= strlen(first); n++) {
		struct scram *s = scram_new(waypost_scram_module, SCRAM_SHA_1, "user", "user", &a, salts, 4096, &why);
		char *cut = mem_memdup(first, n);
		enum scram_next next = scram_step(s, cut, &out);

		CU_ASSERT_EQUAL(next, n > strlen("n,,n=user,r=") ? SCRAM_CHALLENGE : SCRAM_WRONG);
		if (next == SCRAM_CHALLENGE) {
			char *end = mem_memdup(final, n);

			str_clear(&out);
			CU_ASSERT_EQUAL(scram_step(s, end, &out), SCRAM_COMPUTE);
			CU_ASSERT_EQUAL(scram_computed(s, "", &out), SCRAM_WRONG);
			CU_ASSERT_EQUAL(scram_step(s, "", &out), SCRAM_WRONG);
			mem_free(&end);
		}
		str_clear(&out);
		mem_free(&cut);
		scram_free(&s);
	}
	{
		/* A name other than that of the record. */
		struct scram *s = scram_new(waypost_scram_module, SCRAM_SHA_1, "else", "else", &a, salts, 4096, &why);

		CU_ASSERT_EQUAL(scram_step(s, first, &out), SCRAM_WRONG);
		CU_ASSERT_EQUAL(scram_step(s, final, &out), SCRAM_WRONG);
		CU_ASSERT_EQUAL(scram_step(s, "", &out), SCRAM_WRONG);
		scram_free(&s);
	}
	account_fini(&a);
	str_fini(&secret);
	str_fini(&out);
}

static void begin(void)
{
	salts = mac_new("pool", 4);
}

static void end(void)
{
	mac_free(&salts);
}

static const struct unit_case cases[] = {
	{ "key of the salts", begin },
	{ "right and wrong passwords", test_right_and_wrong },
	{ "salts", test_salts },
	{ "malformed", test_malformed },
	{ "end", end },
	{ NULL, NULL },
};

UNIT_MAIN("scram", cases)
