#include <string.h>
#include <strings.h>

#include "authlib/password.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

/* Hashes of "secret", each made by the program named. */
static const struct vector { const char *hash, *maker, *scheme; bool slow; } vectors[] = {
	{ "el.Y9MjL6AAN.", "mkpasswd", "DES", true },
	{ "hC3jo6fwt.cm6", "Courier userdbpw", "DES", true },
	{ "$1$mDmSWZ9m$0mrdT87AxxOHWQf7sBspu1", "Courier userdbpw -md5", "$1$", true },
	{ "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", "openssl passwd", "$1$", true },
	{ "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.", "openssl passwd", "$5$", true },
	{ "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG.",
	    "openssl passwd", "$6$", true },
	{ "$y$j9T$QD7rFVUFRZARlkf6QhWTJ0$gALUTvwBmjU7lFfUyYAY794X4vIgRBeq5G1Ixb.rgR.", "mkpasswd", "$y$", true },
	{ "$gy$j9T$MqESHwiiwE0RVYcRAz5yP/$Ji41QPvf/6Wrq.2LiHxgPiChTdtWhggaWzLUE2R46mA", "mkpasswd", "$gy$", true },
	{ "$7$CU..../....dgk1sMKcd.AZn9LrdpbnC1$OYU8csJIw735w4fnFzxNkL.3Hj0vJNwbln7.t0iMP61", "mkpasswd", "$7$", true },
	{ "$2b$05$Z54zKfCPLBaXoxYerthNreV6qvjB2OzAtyTtrsQpOp1v1MpTzT8wi", "mkpasswd", "$2b$", true },
	{ "$2y$05$ghx5fWMcMMuENf5qc8bieOu7oXOVRMtUx8mKZxsJDsVexpyj.sj6e", "htpasswd", "$2y$", true },
	{ "$3$$878d8014606cda29677a44efa1353fc7", "mkpasswd", "$3$", true },
	{ "_J9..cSabH04BNBuBNV.", "mkpasswd", "_", true },
	{ "{CRYPT}$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", "openssl passwd", "$1$", true },
	{ "{crypt}el.Y9MjL6AAN.", "mkpasswd", "DES", true },
	{ "{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ==", "slappasswd", "{MD5}", false },
	{ "{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69", "Courier authpasswd", "{MD5RAW}", false },
	{ "{md5raw}5EBE2294ECD0E0F08EAB7690D2A6EE69", "the same in capitals", "{MD5RAW}", false },
	{ "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "htpasswd", "{SHA}", false },
	{ "{sha}5en6G6MezRroT3XKqkdPOmY/BfQ=", "htpasswd", "{SHA}", false },
	{ "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=", "Courier authpasswd", "{SHA256}", false },
	{ "{SHA512}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5WtNZKnvCXdhztmeD2cmW192CF5bDufKRpayrW/isg==",
	    "Courier authpasswd", "{SHA512}", false },
	{ "{SSHA}WLW+OE0OxzTm0diUxhMUgI3vlKR6NRFe", "slappasswd", "{SSHA}", false },
	{ "{SSHA}tCNGqyJLk/uvKpCa4vga5GB2gWoxMjM0NTY3OA==", "hashlib, 8 bytes of salt", "{SSHA}", false },
};

static void test_vectors(void)
{
	char scheme[16];
	const char *why;

	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];

		CU_ASSERT_EQUAL(password_check(v->hash, "secret"), AUTH_OK);
		CU_ASSERT_EQUAL(password_check(v->hash, "secreT"), AUTH_MISMATCH);
		CU_ASSERT_EQUAL(password_check(v->hash, ""), AUTH_MISMATCH);
		CU_ASSERT_TRUE(password_is_sound(v->hash, &why));
		CU_ASSERT_EQUAL(password_is_slow(v->hash), v->slow);
		CU_ASSERT_STRING_EQUAL(password_scheme(v->hash, scheme), v->scheme);
	}
}

/* A hash that lost its end must not look like a wrong password. */
static void test_cut(void)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		char cut[ACCOUNT_HASH_MAX];
		size_t len = strlen(vectors[i].hash);
		const char *why;

		for (size_t n = 1; n < len; n++) {
			memcpy(cut, vectors[i].hash, n);
			cut[n] = '\0';
			if (password_is_sound(cut, &why)) {
				/* What is left happens to be a whole hash too: a shorter salt in base64. */
				CU_ASSERT_STRING_EQUAL(vectors[i].scheme, "{SSHA}");
				continue;
			}
			CU_ASSERT_NOT_EQUAL(why[0], '\0');
			CU_ASSERT_EQUAL(password_check(cut, "secret"), AUTH_BROKEN);
		}
	}
}

static void test_no_hash(void)
{
	static const char *const locked[] = { "", "*", "!", "!!", "!$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", "{CRYPT}*", "{crypt}!",
		"*LK*" };
	static const char *const broken[] = { "secret", "$", "$9$salt$hash", "{ARGON2ID}$argon2id$v=19", "{PLAIN}secret", "{", "{CRYPT}",
		"{SHA}", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ= ", "{MD5RAW}5ebe", "x",
		"{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "{CRYPT}{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "a b4567890123",
		"$2b$05$Z54zKfCPLBaXoxYerthNreV6qvjB2OzAtyTtrsQpOp1v1MpTzT8w:" };
	const char *why;

	for (size_t i = 0; i < ARRAY_LEN(locked); i++) {
		CU_ASSERT_EQUAL(password_check(locked[i], "secret"), AUTH_DISABLED);
		CU_ASSERT_EQUAL(password_check(locked[i], locked[i]), AUTH_DISABLED);
		CU_ASSERT_FALSE(password_is_slow(locked[i]));
		CU_ASSERT_TRUE(password_is_sound(locked[i], &why));
	}
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		CU_ASSERT_EQUAL(password_check(broken[i], "secret"), AUTH_BROKEN);
		CU_ASSERT_FALSE(password_is_sound(broken[i], &why));
	}
}

static void test_long_password(void)
{
	char password[ACCOUNT_PASSWORD_MAX];

	memset(password, 'x', sizeof(password) - 1);
	password[sizeof(password) - 1] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
		CU_ASSERT_EQUAL(password_check(vectors[i].hash, password), AUTH_MISMATCH);
}

static void test_dummy(void)
{
	char dummy[ACCOUNT_HASH_MAX];
	const char *why;

	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const char *hash = vectors[i].hash;

		password_dummy(dummy, hash);
		CU_ASSERT_TRUE(password_is_sound(dummy, &why));
		CU_ASSERT_EQUAL(password_is_slow(dummy), vectors[i].slow);
		CU_ASSERT_EQUAL(password_class(dummy), password_class(hash));
		CU_ASSERT_EQUAL(strncasecmp(dummy, hash, password_class(hash)), 0);
		CU_ASSERT_EQUAL(password_check(dummy, "secret"), AUTH_MISMATCH);
	}
	password_dummy(dummy, "");
	CU_ASSERT_TRUE(password_is_slow(dummy));
	CU_ASSERT_EQUAL(password_check(dummy, ""), AUTH_MISMATCH);
	password_dummy(dummy, "$sha1{$x$"); /* libcrypt takes it for one of its own */
	CU_ASSERT_TRUE(password_is_sound(dummy, &why));
	password_dummy(dummy, "not a hash");
	CU_ASSERT_EQUAL(password_check(dummy, ""), AUTH_MISMATCH);
}

static void test_class(void)
{
	CU_ASSERT_EQUAL(password_class("$6$rounds=100000$salt$hash"), strlen("$6$rounds=100000"));
	CU_ASSERT_EQUAL(password_class("$6$salt$hash"), strlen("$6$"));
	CU_ASSERT_EQUAL(password_class("$2y$12$saltandhash"), strlen("$2y$12"));
	CU_ASSERT_EQUAL(password_class("$y$jD5$salt$hash"), strlen("$y$jD5"));
	CU_ASSERT_EQUAL(password_class("{SHA}xx"), strlen("{SHA}"));
	CU_ASSERT_EQUAL(password_class(""), 0);
	CU_ASSERT_EQUAL(password_class("$7$"), 3);
	CU_ASSERT_EQUAL(password_class("_"), 1);
}

static void test_make(void)
{
	static const char *const schemes[] = { "", "$y$", "$6$", "$5$", "$2b$", "$1$", "{MD5}", "{MD5RAW}", "{SHA}", "{SHA256}",
		"{SHA512}", "{SSHA}", "{ssha}" };
	static const char *const unknown[] = { "{CRYPT}", "{PLAIN}", "$9$", "md5", "{" };
	char a[ACCOUNT_HASH_MAX], b[ACCOUNT_HASH_MAX];

	for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
		CU_ASSERT_TRUE(password_make(a, schemes[i], "s\xc3\xa4" "cret"));
		CU_ASSERT_EQUAL(strncasecmp(a, schemes[i], strlen(schemes[i])), 0);
		CU_ASSERT_EQUAL(password_check(a, "s\xc3\xa4" "cret"), AUTH_OK);
		CU_ASSERT_EQUAL(password_check(a, "secret"), AUTH_MISMATCH);
	}
	CU_ASSERT_TRUE(password_make(a, "{SSHA}", "x"));
	CU_ASSERT_TRUE(password_make(b, "{SSHA}", "x"));
	CU_ASSERT_STRING_NOT_EQUAL(a, b);
	CU_ASSERT_EQUAL(strlen(a), strlen("{SSHA}") + 32); /* 4 bytes of salt, which is all that Courier reads */
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		CU_ASSERT_FALSE(password_make(a, unknown[i], "x"));
}

static void test_auth_check(void)
{
	struct account a;

	account_init(&a);
	CU_ASSERT_EQUAL(auth_check(&a, ""), AUTH_DISABLED);
	account_set(&a.clear, "open");
	CU_ASSERT_EQUAL(auth_check(&a, "open"), AUTH_OK);
	CU_ASSERT_EQUAL(auth_check(&a, "opem"), AUTH_MISMATCH);
	CU_ASSERT_EQUAL(auth_check(&a, ""), AUTH_MISMATCH);
	account_set(&a.hash, vectors[3].hash);
	CU_ASSERT_EQUAL(auth_check(&a, "secret"), AUTH_OK);
	CU_ASSERT_EQUAL(auth_check(&a, "open"), AUTH_MISMATCH);
	account_fini(&a);
}

static const struct unit_case cases[] = {
	{ "vectors of other programs", test_vectors },
	{ "cut hashes", test_cut },
	{ "locked, empty, unknown", test_no_hash },
	{ "a password longer than any", test_long_password },
	{ "dummies", test_dummy },
	{ "class", test_class },
	{ "new hashes", test_make },
	{ "hash or clear password", test_auth_check },
	{ NULL, NULL },
};

UNIT_MAIN("password", cases)
