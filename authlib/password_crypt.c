/* Hashes of crypt(3): $y$ $6$ $5$ $2b$ $1$ ..., DES. */
#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include "authlib/password_kind.h"
#include "lib/die.h"
#include "lib/mem.h"

/* Kinds of crypt(3). TAIL characters of hash stand at the end, behind the setting. */
struct crypt_kind {
	const char *prefix;
	unsigned tail;
	unsigned total; /* characters in all; 0: the salt's length varies */
};

static const struct crypt_kind crypt_kinds[] = {
	{ "$y$", 43, 0 },
	{ "$gy$", 43, 0 },
	{ "$7$", 43, 0 },
	{ "$2b$", 31, 60 },
	{ "$2a$", 31, 60 },
	{ "$2x$", 31, 60 },
	{ "$2y$", 31, 60 },
	{ "$6$", 86, 0 },
	{ "$5$", 43, 0 },
	{ "$1$", 22, 0 },
	{ "$sha1$", 28, 0 },
	{ "$md5", 22, 0 },
	{ "$3$", 32, 0 },
	{ "_", 11, 20 },
};
static const struct crypt_kind des = { "", 11, 13 };

static const char alphabet[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

enum { ROUNDS_MAX = 10 * 1000 * 1000, BCRYPT_MAX = 17, MEMORY_MAX = 1 << 30 }; /* some ten seconds of CPU each; bytes */

/* The kind of a crypt(3) hash, or NULL if its format is not known here. */
static const struct crypt_kind *find_kind(const char *hash)
{
	for (size_t i = 0; i < ARRAY_LEN(crypt_kinds); i++)
		if (strncmp(hash, crypt_kinds[i].prefix, strlen(crypt_kinds[i].prefix)) == 0)
			return &crypt_kinds[i];
	return hash[0] != '$' && hash[0] != '{' ? &des : NULL;
}

const char *password_crypt_name(const char *text)
{
	const struct crypt_kind *k = find_kind(text);

	return k == NULL ? "unknown" : k == &des ? "DES" : k->prefix;
}

static bool in_crypt_alphabet(const char *p)
{
	return p[strspn(p, alphabet)] == '\0';
}

/* A hash of kind K that has all its characters. */
static bool is_whole(const struct crypt_kind *k, const char *hash)
{
	size_t len = strlen(hash);

	if (len >= CRYPT_OUTPUT_SIZE || len < strlen(k->prefix) + k->tail)
		return false;
	if (k->total != 0)
		return len == k->total && (k->prefix[0] == '$' || in_crypt_alphabet(hash + strlen(k->prefix)));
	return len - k->tail > strlen(k->prefix) && hash[len - k->tail - 1] == '$' &&
	    in_crypt_alphabet(hash + len - k->tail);
}

/* $id$salt$hash, the format of kinds that only libcrypt knows. */
static bool has_three_parts(const char *hash)
{
	unsigned parts = 0;

	for (; *hash != '\0'; hash++)
		parts += *hash == '$';
	return parts >= 3;
}

/* "rounds=", behind the prefix; of SunMD5 a comma stands between. */
static const char *find_rounds(const char *p)
{
	return strncmp(p, "rounds=", 7) == 0 ? p + 7 : strncmp(p, ",rounds=", 8) == 0 ? p + 8 : NULL;
}

/* The LEN characters at P as a number, the least first; all bits set if one is no digit. */
static uint32_t number(const char *p, unsigned len)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < len; i++) {
		const char *digit = p[i] != '\0' ? strchr(alphabet, p[i]) : NULL;

		if (digit == NULL)
			return UINT32_MAX;
		n |= (uint32_t)(digit - alphabet) << 6 * i;
	}
	return n;
}

/* The memory that yescrypt and scrypt need: 128 * r * N bytes (RFC 7914). P: behind $7$ N's logarithm, then r in five
 * digits; behind $y$ a flag, then both, less 1, in one digit each for all that is in use. */
static bool takes_too_much(const char *p, bool yescrypt)
{
	uint64_t log_n = yescrypt ? (uint64_t)number(p + (p[0] != '\0'), 1) + 1 : number(p, 1);
	uint64_t r =
	    log_n < 64 && p[1] != '\0' ? (yescrypt ? (uint64_t)number(p + 2, 1) + 1 : number(p + 1, 5)) : UINT32_MAX;

	return log_n > 23 || 128 * r << log_n > MEMORY_MAX;
}

static bool is_too_costly(const struct crypt_kind *k, const char *hash)
{
	const char *p = hash + strlen(k->prefix), *rounds = find_rounds(p);

	if (k == &des)
		return false;
	if (k->prefix[1] == 'y' || k->prefix[1] == 'g' || k->prefix[1] == '7')
		return takes_too_much(p, k->prefix[1] != '7');
	if (k->prefix[1] == '2')
		return strtoul(p, NULL, 10) > BCRYPT_MAX;
	if (rounds != NULL)
		return strtoul(rounds, NULL, 10) > ROUNDS_MAX;
	return k->prefix[1] == 's' && strtoul(p, NULL, 10) > ROUNDS_MAX;
}

static const char *wrong(const struct password_scheme *s UNUSED, const struct str *body)
{
	const char *hash = str_cstr(body);
	const struct crypt_kind *k = find_kind(hash);
	int salt = crypt_checksalt(hash);

	if (k == NULL && !has_three_parts(hash))
		return "unknown password scheme";
	if (k != NULL && !is_whole(k, hash))
		return k == &des ? "the password is not a hash" : "the password hash is truncated or damaged";
	if (salt != CRYPT_SALT_OK && salt != CRYPT_SALT_METHOD_LEGACY && salt != CRYPT_SALT_TOO_CHEAP)
		return "unknown password scheme";
	if (k != NULL && is_too_costly(k, hash))
		return "the cost of the password hash is too high: at most 10000000 rounds, 17 for bcrypt, 1 GiB for "
		       "yescrypt and scrypt";
	return NULL;
}

static enum auth_result run(const char *setting, const char *password, char *out, size_t outsize)
{
	struct crypt_data *data = mem_alloc(sizeof(*data)); /* 32 KB, and holds traces of the password */
	const char *is = crypt_rn(password, setting, data, sizeof(*data));
	enum auth_result r = AUTH_BROKEN;

	if (is != NULL && is[0] != '*' && strlen(is) < outsize) {
		memcpy(out, is, strlen(is) + 1);
		r = AUTH_OK;
	}
	mem_wipe(data, sizeof(*data));
	mem_free(&data);
	return r;
}

static enum auth_result check(const struct password_scheme *s UNUSED, const struct str *body, const char *password)
{
	const char *hash = str_cstr(body);
	char is[CRYPT_OUTPUT_SIZE];
	enum auth_result r;

	if (strlen(password) >= CRYPT_MAX_PASSPHRASE_SIZE)
		return AUTH_MISMATCH; /* no hash can have been made of it */
	r = run(hash, password, is, sizeof(is));
	if (r == AUTH_OK && !mem_equal_secret(is, strlen(is), hash, strlen(hash)))
		r = AUTH_MISMATCH;
	mem_wipe(is, sizeof(is));
	return r;
}

static size_t class(const char *text)
{
	const struct crypt_kind *k = find_kind(text);
	const char *p;

	if (k == NULL || k == &des)
		return 0;
	p = text + strlen(k->prefix);
	/* The cost stands between the prefix and the salt. */
	if (find_rounds(p) != NULL || k->prefix[1] == 'y' || k->prefix[1] == 'g' || k->prefix[1] == '2' ||
	    k->prefix[1] == 's')
		p += strcspn(p, "$");
	else if (k->prefix[0] == '_')
		p += MIN(strlen(p), 4);
	else if (k->prefix[1] == '7')
		p += MIN(strlen(p), 11);
	return (size_t)(p - text);
}

void password_crypt_default(char dst[ACCOUNT_HASH_MAX])
{
	const struct crypt_kind *k;
	size_t len;

	_Static_assert(CRYPT_GENSALT_OUTPUT_SIZE + 128 < ACCOUNT_HASH_MAX, "a setting and its hash fit");
	if (crypt_gensalt_rn(NULL, 0, NULL, 0, dst, CRYPT_GENSALT_OUTPUT_SIZE) == NULL || (k = find_kind(dst)) == NULL)
		die_fatal("libcrypt cannot create a salt: %m");
	len = strlen(dst);
	if (k->total == 0)
		dst[len++] = '$';
	memset(dst + len, '0', k->tail);
	dst[len + k->tail] = '\0';
}

static void dummy(const struct password_scheme *s UNUSED, struct str *body)
{
	const struct crypt_kind *k = find_kind(str_cstr(body));
	char other[ACCOUNT_HASH_MAX];

	if (k != NULL) {
		memset(body->data + body->len - k->tail, '0', k->tail);
		return;
	}
	/* libcrypt may support kinds whose format we do not know. */
	password_crypt_default(other);
	str_clear(body);
	str_adds(body, other);
}

bool password_crypt_make(char dst[ACCOUNT_HASH_MAX], const char *prefix, const char *password)
{
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];

	if (prefix[0] != '\0' && (prefix[0] != '$' || find_kind(prefix) == NULL))
		return false;
	if (strlen(password) >= CRYPT_MAX_PASSPHRASE_SIZE ||
	    crypt_gensalt_rn(prefix[0] != '\0' ? prefix : NULL, 0, NULL, 0, setting, sizeof(setting)) == NULL)
		return false;
	return run(setting, password, dst, ACCOUNT_HASH_MAX) == AUTH_OK;
}

const struct password_kind password_crypt = {
	.slow = true,
	.wrong = wrong,
	.check = check,
	.class = class,
	.dummy = dummy,
};
