/* authd/challenge_response: challenges and responses. */
#include "tests/unit/unit.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authd/challenges.h"
#include "authd/challenge_response.h"
#include "authd/lacking.h"
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

/* Lines of lacking_report() for a userdb with TEXT. */
static void expect_lacking(const struct settings *set, const char *text, const char *want)
{
	char path[] = "/tmp/test_lacking.XXXXXX";
	struct userdb_report rep;
	struct str out = STR_INIT;
	struct userdb *db;
	const char *why;
	int fd = mkstemp(path);

	CU_ASSERT_FATAL(fd != -1 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
	userdb_report_init(&rep);
	CU_ASSERT_EQUAL_FATAL(userdb_build(path, NULL, 100, &rep, &fd), USERDB_BUILT);
	db = userdb_open_fd(fd, &why);
	CU_ASSERT_PTR_NOT_NULL_FATAL(db);
	lacking_report(&out, set, db);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), want);
	userdb_close(&db);
	userdb_report_fini(&rep);
	str_fini(&out);
	unlink(path);
}

static void set_list(char **member, const char *list)
{
	mem_free(member);
	*member = mem_strdup(list);
}

#define HOME "|home=/h|uid=1000|gid=1000\n"
#define MD5_STATE "d06d4e1b26fccaa4b0b61801132340a354b21152711fb604ca3e035e7015116b"

/* Accounts are counted one by one. Those that have what they need, may not log in, or have no password do not count. */
static void test_lacking(void)
{
	static const char good[] = "field\tsystempw=$1$x$UxC0OiVmIDMUU0E0nkVeA/|hmac-md5pw=" MD5_STATE HOME
	                           "dovecots\tsystempw={CRAM-MD5}" MD5_STATE HOME "own\tsystempw={PLAIN}x" HOME
	                           "locked\tsystempw=!" HOME "none\tgecos=x" HOME "broken\tsystempw={PLAIN}x|uid=0" HOME
	                           "off\toptions=disableimap=1|systempw=$1$x$UxC0OiVmIDMUU0E0nkVeA/" HOME;
	static const char lacking[] =
	    "first\tsystempw=$1$x$UxC0OiVmIDMUU0E0nkVeA/" HOME "pop\tpop3pw=$1$x$UxC0OiVmIDMUU0E0nkVeA/"
	    "|pop3-hmac-md5pw=" MD5_STATE "|imappw=$1$x$UxC0OiVmIDMUU0E0nkVeA/" HOME;
	struct settings *set = settings_defaults();

	expect_lacking(set, lacking, "");
	set->has[PROTOCOL_IMAP] = set->has[PROTOCOL_POP3] = true;
	expect_lacking(set, lacking, "");
	set_list(&set->imapd_IMAP_CAPABILITY_TLS, "IMAP4rev1 AUTH=cram-md5");
	expect_lacking(set, good, "");
	expect_lacking(set, lacking,
	    "2 accounts (first: first) cannot log in by CRAM-MD5, which IMAP offers its clients, and most try nothing "
	    "else: "
	    "they need the field hmac-md5pw from userdbpw -hmac-md5, or leave CRAM-MD5 out of the settings of imapd\n");
	set_list(&set->imapd_IMAP_CAPABILITY_TLS, "");
	set_list(&set->pop3d_POP3AUTH, "PLAIN APOP SCRAM-SHA-256");
	expect_lacking(set,
	    "own\tsystempw={PLAIN}x" HOME "pop\tsystempw={PLAIN}x|pop3pw=$1$x$UxC0OiVmIDMUU0E0nkVeA/" HOME,
	    "1 account (first: pop) cannot log in by APOP, which POP3 offers its clients, and most try nothing else: "
	    "it "
	    "needs the password itself ({PLAIN}...), or leave APOP out of the settings of pop3d\n"
	    "1 account (first: pop) cannot log in by SCRAM-SHA-256, which POP3 offers its clients, and most try "
	    "nothing "
	    "else: it needs a secret from userdbpw -scram-sha-256, or leave SCRAM-SHA-256 out of the settings of "
	    "pop3d\n");
	settings_free(&set);
}

static const struct unit_case cases[] = {
	{ "examples of the RFCs", test_vectors },
	{ "every hash, clear and as a state", test_hashes },
	{ "accounts that cannot", test_refused },
	{ "what an account can", test_list },
	{ "accounts of a userdb that cannot", test_lacking },
	{ "challenges", test_challenge },
	{ "challenges that wait", test_challenges },
	{ "names", test_names },
	{ NULL, NULL },
};

UNIT_MAIN("mech", cases)
