/* authlib/scram_secret: secrets that other programs made. */
#include <string.h>

#include "authlib/scram_secret.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

/* "pencil": the examples of RFC 5802 and RFC 7677. "secret": doveadm pw -s SCRAM-SHA-1 and -256 of Dovecot 2.3.19. */
static const struct vector {
	const char *hash, *password;
	enum scram_hash kind;
	unsigned iterations;
	size_t salt_len;
} vectors[] = {
	{ "{SCRAM-SHA-1}4096,QSXCR+Q6sek8bf92,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=", "pencil",
	    SCRAM_SHA_1, 4096, 12 },
	{ "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
	  "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
	    "pencil", SCRAM_SHA_256, 4096, 16 },
	{ "{SCRAM-SHA-1}4096,1epmVDaEql2brUpvAh8X2Q==,zQsITpOxmzuWzp7sFjDrKV0OPfQ=,xAqTLPPeARf18fUCTO1uBvqRMLU=",
	    "secret", SCRAM_SHA_1, 4096, 16 },
	{ "{SCRAM-SHA-256}4096,YKNBI5EWp4NnfEP0fKnmeA==,As/LZG7xYxFvCZoOooxtqQfgabvNTQpVqgttE1pjhMo=,"
	  "WAM13acmEfHxvds8o3JFOyf6jDlQYo4KKPJWJyIFqJ4=",
	    "secret", SCRAM_SHA_256, 4096, 16 },
};

static void test_read(void)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		const struct vector *v = &vectors[i];
		struct scram_secret s;
		struct str text = STR_INIT;
		const char *why;

		CU_ASSERT_TRUE_FATAL(scram_secret_read(&s, v->hash, &why));
		CU_ASSERT_EQUAL(s.hash, v->kind);
		CU_ASSERT_EQUAL(s.iterations, v->iterations);
		CU_ASSERT_EQUAL(s.salt_len, v->salt_len);
		CU_ASSERT_TRUE(scram_secret_verify(&s, v->password));
		CU_ASSERT_FALSE(scram_secret_verify(&s, "Pencil"));
		CU_ASSERT_FALSE(scram_secret_verify(&s, ""));
		scram_secret_add(&text, &s);
		CU_ASSERT_STRING_EQUAL(str_cstr(&text), v->hash);
		str_fini(&text);
		/* One key alone is not enough: a secret of which half was replaced matches nobody. */
		s.server_key[0] ^= 1;
		CU_ASSERT_FALSE(scram_secret_verify(&s, v->password));
		s.server_key[0] ^= 1;
		s.stored_key[19] ^= 1;
		CU_ASSERT_FALSE(scram_secret_verify(&s, v->password));
	}
}

static void test_derive(void)
{
	struct scram_secret s = { .hash = SCRAM_SHA_1, .iterations = 4096, .salt_len = 12 }, is;
	const char *why;

	CU_ASSERT_TRUE_FATAL(scram_secret_read(&is, vectors[0].hash, &why));
	memcpy(s.salt, is.salt, sizeof(s.salt));
	scram_secret_derive(&s, "pencil");
	CU_ASSERT_EQUAL(memcmp(&s, &is, sizeof(s)), 0);
	CU_ASSERT_STRING_EQUAL(scram_hash_name(SCRAM_SHA_256), "SCRAM-SHA-256");
}

static void test_other(void)
{
	static const char *const others[] = { "", "{", "{SCRAM-SHA-1", "{SCRAM-SHA-512}x", "{SCRAM-SHA-10}x",
		"SCRAM-SHA-1", "{SSHA}x", "4096,a,b,c" };
	struct scram_secret s;
	const char *why;

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		CU_ASSERT_FALSE(scram_secret_read(&s, others[i], &why));
		CU_ASSERT_STRING_EQUAL(why, "");
	}
	CU_ASSERT_TRUE(scram_secret_read(&s,
	    "{scram-sha-1}1,YQ==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=", &why));
}

/* Cut anywhere, or with an invalid part: refused, and nothing of it stays in memory. */
static void test_damaged(void)
{
	static const char *const damaged[] = {
		"{SCRAM-SHA-1}",
		"{SCRAM-SHA-1},,,",
		"{SCRAM-SHA-1}0,YQ==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
		"{SCRAM-SHA-1}10000001,YQ==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
		"{SCRAM-SHA-1}18446744073709551617,YQ==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
		"{SCRAM-SHA-1}-1,YQ==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
		"{SCRAM-SHA-1} 1,YQ==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
		"{SCRAM-SHA-1}1,,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
		"{SCRAM-SHA-1}1,YQ=,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
		"{SCRAM-SHA-1}1,YQ==,,D+CSWLOshSulAsxiupA+qs2/fTE=",
		"{SCRAM-SHA-1}1,YQ==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=,",
		"{SCRAM-SHA-256}1,YQ==,6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE=",
		/* a salt of 65 bytes */
		("{SCRAM-SHA-1}1,"
		 "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=,"
		 "6dlGYMOdZcOPutkcNY8U2g7vK9Y=,D+CSWLOshSulAsxiupA+qs2/fTE="),
	};
	struct scram_secret s, zero;
	const char *why;

	memset(&zero, 0, sizeof(zero));
	for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
		CU_ASSERT_FALSE(scram_secret_read(&s, damaged[i], &why));
		CU_ASSERT_STRING_NOT_EQUAL(why, "");
		CU_ASSERT_EQUAL(memcmp(&s, &zero, sizeof(s)), 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		for (size_t n = strcspn(vectors[i].hash, "}") + 1; n < strlen(vectors[i].hash); n++) {
			char *cut = mem_memdup(vectors[i].hash, n);

			CU_ASSERT_FALSE(scram_secret_read(&s, cut, &why));
			CU_ASSERT_STRING_NOT_EQUAL(why, "");
			mem_free(&cut);
		}
	}
}

static const struct unit_case cases[] = {
	{ "secrets of RFCs and other programs", test_read },
	{ "keys from a password", test_derive },
	{ "what is no SCRAM secret", test_other },
	{ "cut and damaged", test_damaged },
	{ NULL, NULL },
};

UNIT_MAIN("scram_secret", cases)
