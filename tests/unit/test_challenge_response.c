/* authd/challenge_response: challenges and responses. */
#include "tests/unit/unit.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "authd/challenges.h"
#include "authd/challenge_response.h"
#include "authlib/hmac_state.h"
#include "lib/hex.h"
#include "lib/mem.h"

/* Examples of RFC 2195 section 3 and RFC 1939 section 7. */
#define CRAM_CHALLENGE "<1896.697170952@postoffice.reston.mci.net>"
#define APOP_CHALLENGE "<1896.697170952@dbc.mtview.ca.us>"

static enum auth_result check(enum auth_mech mech, const char *clear, const char *hmac, const char *hash,
    const char *challenge, const char *response)
{
	struct account a;
	enum auth_result r;
	const char *why;

	account_init(&a);
	account_set(&a.clear, clear);
	account_set(&a.hmac, hmac);
	account_set(&a.hash, hash);
	r = challenge_response_check(mech, &a, challenge, response, &why);
	if (r == AUTH_OK || r == AUTH_MISMATCH)
		CU_ASSERT_STRING_EQUAL(why, "");
	account_fini(&a);
	return r;
}

static void test_vectors(void)
{
	const char *want = "b913a602c7eda7a495b4e6e7334d3890";

	CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_MD5, "tanstaaftanstaaf", "", "", CRAM_CHALLENGE, want), AUTH_OK);
	CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_MD5, "tanstaaftanstaaf", "", "", CRAM_CHALLENGE,
	                    "B913A602C7EDA7A495B4E6E7334D3890"),
	    AUTH_OK);
	/* As written by Courier's userdbpw. */
	CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_MD5, "",
	                    "md5=d06d4e1b26fccaa4b0b61801132340a354b21152711fb604ca3e035e7015116b", "", CRAM_CHALLENGE,
	                    want),
	    AUTH_OK);
	/* As Dovecot stores them in place of a hash. */
	CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_MD5, "", "",
	                    "{CRAM-MD5}d06d4e1b26fccaa4b0b61801132340a354b21152711fb604ca3e035e7015116b",
	                    CRAM_CHALLENGE, want),
	    AUTH_OK);
	CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_MD5, "", "", "{CRAM-MD5}", CRAM_CHALLENGE, want), AUTH_DISABLED);
	CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_MD5, "", "", "{PLAIN}tanstaaftanstaaf", CRAM_CHALLENGE, want), AUTH_OK);
	CU_ASSERT_EQUAL(check(AUTH_MECH_APOP, "", "", "{clear}tanstaaf", APOP_CHALLENGE,
	                    "c4c9334bac560ecc979e58001b3e22fb"),
	    AUTH_OK);
	CU_ASSERT_EQUAL(check(AUTH_MECH_APOP, "tanstaaf", "", "", APOP_CHALLENGE, "c4c9334bac560ecc979e58001b3e22fb"),
	    AUTH_OK);
	for (size_t n = 0; n < strlen(want); n++) {
		char *cut = mem_memdup(want, n), *other = mem_strdup(want);

		other[n] ^= 1;
		CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_MD5, "tanstaaftanstaaf", "", "", CRAM_CHALLENGE, cut),
		    AUTH_MISMATCH);
		CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_MD5, "tanstaaftanstaaf", "", "", CRAM_CHALLENGE, other),
		    AUTH_MISMATCH);
		mem_free(&cut);
		mem_free(&other);
	}
}

/* Every hash, by OpenSSL's own HMAC: from the clear password and from the states; keys longer than a block. */
static void test_hashes(void)
{
	static const struct {
		enum auth_mech mech;
		const char *hash;
	} mechs[] = {
		{ AUTH_MECH_CRAM_MD5, "md5" },
		{ AUTH_MECH_CRAM_SHA1, "sha1" },
		{ AUTH_MECH_CRAM_SHA256, "sha256" },
	};
	char key[131];

	for (size_t len = 1; len < sizeof(key); len += 43) {
		memset(key, 'k', len);
		key[len] = '\0';
		for (size_t i = 0; i < ARRAY_LEN(mechs); i++) {
			struct str state = STR_INIT, hex = STR_INIT;
			unsigned char md[EVP_MAX_MD_SIZE];
			unsigned n = 0;

			HMAC(EVP_get_digestbyname(mechs[i].hash), key, (int)len, (const unsigned char *)CRAM_CHALLENGE,
			    strlen(CRAM_CHALLENGE), md, &n);
			hex_encode(&hex, md, n);
			str_addf(&state, "%s=", mechs[i].hash);
			hmac_state_add(&state, mechs[i].hash, key);
			CU_ASSERT_EQUAL(state.len, strlen(mechs[i].hash) + 1 + hmac_state_len(mechs[i].hash));
			CU_ASSERT_EQUAL(check(mechs[i].mech, key, "", "", CRAM_CHALLENGE, hex.data), AUTH_OK);
			CU_ASSERT_EQUAL(check(mechs[i].mech, "", state.data, "", CRAM_CHALLENGE, hex.data), AUTH_OK);
			CU_ASSERT_EQUAL(check(mechs[i].mech, "", state.data, "", CRAM_CHALLENGE "x", hex.data),
			    AUTH_MISMATCH);
			/* A damaged state matches nobody. */
			state.data[state.len - 1] = 'x';
			CU_ASSERT_EQUAL(check(mechs[i].mech, "", state.data, "", CRAM_CHALLENGE, hex.data),
			    AUTH_DISABLED);
			str_fini(&state);
			str_fini(&hex);
		}
	}
	CU_ASSERT_EQUAL(hmac_state_len("sha512"), 0);
}

static void test_refused(void)
{
	const char *right = "b913a602c7eda7a495b4e6e7334d3890";
	struct account a;
	const char *why;

	/* Locked: whatever else the record has. */
	CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_MD5, "tanstaaftanstaaf", "", "!", CRAM_CHALLENGE, right), AUTH_DISABLED);
	CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_MD5, "tanstaaftanstaaf", "", "*x", CRAM_CHALLENGE, right), AUTH_DISABLED);
	CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_MD5, "tanstaaftanstaaf", "", "{CRYPT}!$6$x", CRAM_CHALLENGE, right),
	    AUTH_DISABLED);
	CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_MD5, "tanstaaftanstaaf", "", "{sha512-crypt}*", CRAM_CHALLENGE, right),
	    AUTH_DISABLED);
	/* A state of another hash, and any state with APOP. */
	CU_ASSERT_EQUAL(check(AUTH_MECH_CRAM_SHA1, "",
	                    "md5=d06d4e1b26fccaa4b0b61801132340a354b21152711fb604ca3e035e7015116b", "", CRAM_CHALLENGE,
	                    right),
	    AUTH_DISABLED);
	CU_ASSERT_EQUAL(check(AUTH_MECH_APOP, "",
	                    "md5=d06d4e1b26fccaa4b0b61801132340a354b21152711fb604ca3e035e7015116b", "", APOP_CHALLENGE,
	                    right),
	    AUTH_DISABLED);
	account_init(&a);
	CU_ASSERT_EQUAL(challenge_response_check(AUTH_MECH_CRAM_MD5, &a, CRAM_CHALLENGE, right, &why), AUTH_DISABLED);
	CU_ASSERT_STRING_NOT_EQUAL(why, "");
	CU_ASSERT_EQUAL(challenge_response_check(AUTH_MECH_CRAM_MD5, &a, CRAM_CHALLENGE, "", &why), AUTH_DISABLED);
	account_fini(&a);
}

static void expect_list(const char *clear, const char *hmac, const char *hash, const char *want)
{
	struct str list = STR_INIT;
	struct account a;

	account_init(&a);
	account_set(&a.clear, clear);
	account_set(&a.hmac, hmac);
	account_set(&a.hash, hash);
	challenge_response_list(&list, &a);
	CU_ASSERT_STRING_EQUAL(str_cstr(&list), want);
	account_fini(&a);
	str_fini(&list);
}

static void test_list(void)
{
	static const char all[] = "APOP CRAM-MD5 CRAM-SHA1 CRAM-SHA256 SCRAM-SHA-1 SCRAM-SHA-256";

	expect_list("secret", "", "", all);
	expect_list("", "", "{PLAIN}secret", all);
	expect_list("secret", "", "!", "");
	expect_list("secret", "", "{CRYPT}!", "");
	expect_list("", "sha1=00,sha256=00", "$1$x", "CRAM-SHA1 CRAM-SHA256");
	expect_list("", "", "{CRAM-MD5}00", "CRAM-MD5");
	expect_list("", "",
	    "{SCRAM-SHA-256}4096,AAAA,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,"
	    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	    "SCRAM-SHA-256");
	expect_list("", "", "$6$x", "");
}

static void test_challenge(void)
{
	static char one[AUTH_TEXT_MAX], two[AUTH_TEXT_MAX], name[2000];

	challenge_text(one, "node.example.com");
	challenge_text(two, "node.example.com");
	CU_ASSERT_STRING_NOT_EQUAL(one, two);
	CU_ASSERT(one[0] == '<' && strcmp(one + strlen(one) - strlen("@node.example.com>"), "@node.example.com>") == 0);
	challenge_text(one, "a b<c>\x01\377d");
	CU_ASSERT_STRING_EQUAL(strchr(one, '@'), "@abcd>");
	memset(name, 'n', sizeof(name) - 1);
	challenge_text(one, name);
	CU_ASSERT(strlen(one) < 400);
}

static void test_challenges(void)
{
	struct challenges *t = challenges_new();
	static char text[AUTH_TEXT_MAX];
	const char *c = challenges_make(t, 5, AUTH_MECH_CRAM_MD5, "n", 100);
	char *copy = mem_strdup(c);

	CU_ASSERT_PTR_NULL(challenges_make(t, 5, AUTH_MECH_CRAM_MD5, "n", 100)); /* one for each request */
	CU_ASSERT_FALSE(challenges_full(t));
	CU_ASSERT(challenges_take(t, 5, AUTH_MECH_CRAM_MD5, text));
	CU_ASSERT_STRING_EQUAL(text, copy);
	CU_ASSERT_FALSE(challenges_take(t, 5, AUTH_MECH_CRAM_MD5, text)); /* valid once */
	CU_ASSERT_PTR_NOT_NULL(challenges_make(t, 5, AUTH_MECH_APOP, "n", 100));
	CU_ASSERT_FALSE(challenges_take(t, 5, AUTH_MECH_CRAM_MD5, text)); /* of another mechanism; then it is gone */
	CU_ASSERT_FALSE(challenges_take(t, 5, AUTH_MECH_APOP, text));
	CU_ASSERT_PTR_NOT_NULL(challenges_make(t, 6, AUTH_MECH_APOP, "n", 100));
	challenges_drop(t, 6);
	challenges_drop(t, 7);
	CU_ASSERT_FALSE(challenges_take(t, 6, AUTH_MECH_APOP, text));
	for (uint32_t i = 0; i < AUTH_CHALLENGES_MAX; i++)
		CU_ASSERT_PTR_NOT_NULL(challenges_make(t, i, AUTH_MECH_APOP, "n", i < 10 ? 100 : 200));
	CU_ASSERT_PTR_NULL(challenges_make(t, AUTH_CHALLENGES_MAX, AUTH_MECH_APOP, "n", 200));
	CU_ASSERT(challenges_full(t));
	challenges_expire(t, 150);
	CU_ASSERT_FALSE(challenges_take(t, 9, AUTH_MECH_APOP, text));
	CU_ASSERT(challenges_take(t, 10, AUTH_MECH_APOP, text));
	CU_ASSERT_PTR_NOT_NULL(challenges_make(t, AUTH_CHALLENGES_MAX, AUTH_MECH_APOP, "n", 200));
	mem_free(&copy);
	challenges_free(&t);
}

static void test_names(void)
{
	CU_ASSERT_STRING_EQUAL(auth_mech_name(AUTH_MECH_CRAM_SHA256), "CRAM-SHA256");
}

static const struct unit_case cases[] = {
	{ "examples of the RFCs", test_vectors },
	{ "every hash, clear and as a state", test_hashes },
	{ "accounts that cannot", test_refused },
	{ "what an account can", test_list },
	{ "challenges", test_challenge },
	{ "challenges that wait", test_challenges },
	{ "names", test_names },
	{ NULL, NULL },
};

UNIT_MAIN("mech", cases)
