/* Mechanisms that reveal no password: what each needs of an account, and the check of responses. */
#include "authd/challenge_response.h"

#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "authlib/hmac_state.h"
#include "authlib/password.h"
#include "authlib/scram_secret.h"
#include "lib/die.h"
#include "lib/hex.h"
#include "lib/mem.h"

/* Hash schemes that hold an HMAC-MD5 state. */
static const char *const state_schemes[] = { "{CRAM-MD5}", "{HMAC-MD5}" };

/* Stands in for an account that has nothing to compare with, so that the time is the same. */
static const char nothing[] = "nothing that anybody knows";

/* The state that the directory keeps instead of a password. */
static bool stored_state(struct str *out, const char *hash, const struct account *a)
{
	char stored[ACCOUNT_HMAC_MAX];
	bool has = options_get(a->hmac, hash, stored, sizeof(stored)) && stored[0] != '\0';

	if (has)
		str_adds(out, stored);
	else if (strcmp(hash, "md5") == 0)
		for (size_t i = 0; i < ARRAY_LEN(state_schemes) && !has; i++) {
			size_t len = strlen(state_schemes[i]);

			has = strncasecmp(a->hash, state_schemes[i], len) == 0;
			if (has)
				str_adds(out, a->hash + len);
		}
	mem_wipe(stored, sizeof(stored));
	return has;
}

struct mech;
/* Appends the right answer to CHALLENGE; false, with an answer nobody can give, if A has nothing to make it from.
 * PASSWORD is NULL if it is not known. */
typedef bool answer_maker(struct str *out, const struct mech *m, const struct account *a, const char *password,
    const char *challenge);

/* What an account needs for a mechanism that reveals no password. */
struct mech {
	bool clear;                                                    /* a clear password will do */
	bool (*stored)(const struct mech *m, const struct account *a); /* something else will do; NULL: nothing */
	const char *hash;                                              /* CRAM's, as the fields of accounts name it */
	enum scram_hash scram;                                         /* SCRAM's */
	answer_maker *answer;                                          /* to a challenge; NULL: there is none */
	const char *missing;                                           /* for the log: what the account lacks */
	const char *remedy;                                            /* see challenge_response_remedy() */
};

static bool cram_answer(struct str *out, const struct mech *m, const struct account *a, const char *password,
    const char *challenge)
{
	struct str state = STR_INIT;
	bool has;

	str_room(&state, ACCOUNT_HASH_MAX); /* in one step: a string that grows leaves copies behind */
	has = stored_state(&state, m->hash, a);
	if (!has)
		hmac_state_add(&state, m->hash, password != NULL ? password : nothing);
	has = hmac_state_digest(out, m->hash, state.data, challenge, strlen(challenge)) && (has || password != NULL);
	str_fini_secret(&state);
	return has;
}

static bool apop_answer(struct str *out, const struct mech *m UNUSED, const struct account *a UNUSED,
    const char *password, const char *challenge)
{
	struct str text = STR_INIT;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	str_room(&text, strlen(challenge) + ACCOUNT_PASSWORD_MAX);
	str_adds(&text, challenge);
	str_adds(&text, password != NULL ? password : nothing);
	DIE_IF(EVP_Digest(text.data, text.len, digest, &len, EVP_md5(), NULL) != 1);
	hex_encode(out, digest, len);
	str_fini_secret(&text);
	mem_wipe(digest, sizeof(digest));
	return password != NULL;
}

static bool has_state(const struct mech *m, const struct account *a)
{
	struct str state = STR_INIT;
	bool has;

	str_room(&state, ACCOUNT_HASH_MAX);
	has = stored_state(&state, m->hash, a);
	str_fini_secret(&state);
	return has;
}

static bool has_secret(const struct mech *m, const struct account *a)
{
	struct scram_secret secret;
	const char *why;
	bool has = scram_secret_read(&secret, a->hash, &why) && secret.hash == m->scram;

	mem_wipe(&secret, sizeof(secret));
	return has;
}

#define CRAM(name) \
	{ \
		.clear = true, .stored = has_state, .hash = name, .answer = cram_answer, \
		.missing = \
		    "its directory has neither its clear password nor the field that this mechanism needs (userdb: " \
		    "hmac-...pw)", \
		.remedy = "the field hmac-" name "pw from userdbpw -hmac-" name, \
	}
static const struct mech mechs[AUTH_MECH_COUNT] = {
	[AUTH_MECH_APOP] = { .clear = true,
	    .answer = apop_answer,
	    .missing = "its directory does not have its clear password",
	    .remedy = "the password itself ({PLAIN}...)" },
	[AUTH_MECH_CRAM_MD5] = CRAM("md5"),
	[AUTH_MECH_CRAM_SHA1] = CRAM("sha1"),
	[AUTH_MECH_CRAM_SHA256] = CRAM("sha256"),
	[AUTH_MECH_SCRAM_SHA_1] = { .clear = true,
	    .stored = has_secret,
	    .scram = SCRAM_SHA_1,
	    .remedy = "a secret from userdbpw -scram-sha-1" },
	[AUTH_MECH_SCRAM_SHA_256] = { .clear = true,
	    .stored = has_secret,
	    .scram = SCRAM_SHA_256,
	    .remedy = "a secret from userdbpw -scram-sha-256" },
};

enum scram_hash challenge_response_scram_hash(enum auth_mech mech)
{
	return mechs[mech].scram;
}

static bool equal(const char *want, size_t len, const char *response)
{
	char *lower = mem_strdup(response);
	bool same;

	for (char *p = lower; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'F')
			*p = (char)(*p | 0x20);
	same = mem_equal_secret(want, len, lower, strlen(lower));
	mem_free_secret(&lower);
	return same;
}

enum auth_result challenge_response_check(enum auth_mech mech, const struct account *a, const char *challenge,
    const char *response, const char **why)
{
	const struct mech *m = &mechs[mech];
	char clear[ACCOUNT_PASSWORD_MAX];
	const char *password = auth_clear_password(a, clear) ? clear : NULL;
	struct str want = STR_INIT;
	bool same, has = m->answer(&want, m, a, password, challenge);

	same = equal(str_cstr(&want), want.len, response);
	str_fini_secret(&want);
	mem_wipe(clear, sizeof(clear));
	*why = "";
	if (password_is_locked(a->hash))
		return AUTH_DISABLED;
	if (!has)
		*why = m->missing;
	return !has ? AUTH_DISABLED : same ? AUTH_OK : AUTH_MISMATCH;
}

bool challenge_response_can(enum auth_mech mech, const struct account *a)
{
	const struct mech *m = &mechs[mech];
	char password[ACCOUNT_PASSWORD_MAX];
	bool clear = m->clear && auth_clear_password(a, password);

	mem_wipe(password, sizeof(password));
	return !password_is_locked(a->hash) && (clear || (m->stored != NULL && m->stored(m, a)));
}

const char *challenge_response_remedy(enum auth_mech mech)
{
	return mechs[mech].remedy;
}

void challenge_response_list(struct str *out, const struct account *a)
{
	for (int i = 0; i < AUTH_MECH_COUNT; i++)
		if (challenge_response_can((enum auth_mech)i, a))
			str_addf(out, "%s%s", out->len != 0 ? " " : "", auth_mech_name((enum auth_mech)i));
}
