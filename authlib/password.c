#include "authlib/password.h"

#include <crypt.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <strings.h>

#include "lib/b64.h"
#include "lib/die.h"
#include "lib/mem.h"

/* Courier's schemes: a plain digest, written as base64 or hex, perhaps with the salt behind it. */
struct braced {
	const char *name;   /* with its braces */
	const char *digest; /* OpenSSL's name */
	unsigned len;       /* bytes of the digest */
	bool hex, salted;
};

static const struct braced braced[] = {
	{ "{MD5}", "MD5", 16, false, false },
	{ "{MD5RAW}", "MD5", 16, true, false },
	{ "{SHA}", "SHA1", 20, false, false },
	{ "{SHA256}", "SHA256", 32, false, false },
	{ "{SHA512}", "SHA512", 64, false, false },
	{ "{SSHA}", "SHA1", 20, false, true },
};

/* Kinds of crypt(3). TAIL characters of hash stand at the end, behind the setting. */
struct crypt_kind {
	const char *prefix;
	unsigned tail;
	unsigned total; /* characters in all; 0: the salt's length varies */
};

static const struct crypt_kind crypt_kinds[] = {
	{ "$y$", 43, 0 }, { "$gy$", 43, 0 }, { "$7$", 43, 0 },
	{ "$2b$", 31, 60 }, { "$2a$", 31, 60 }, { "$2x$", 31, 60 }, { "$2y$", 31, 60 },
	{ "$6$", 86, 0 }, { "$5$", 43, 0 }, { "$1$", 22, 0 },
	{ "$sha1$", 28, 0 }, { "$md5", 22, 0 }, { "$3$", 32, 0 }, { "_", 11, 20 },
};
static const struct crypt_kind des = { "", 11, 13 };

enum { SALT_LEN = 4, SALT_MAX = 64 }; /* bytes of a new {SSHA} salt (Courier reads no other length), of an old one */

static const struct braced *find_braced(const char *hash)
{
	for (size_t i = 0; i < ARRAY_LEN(braced); i++)
		if (strncasecmp(hash, braced[i].name, strlen(braced[i].name)) == 0)
			return &braced[i];
	return NULL;
}

/* HASH without the {CRYPT} that may stand before a crypt(3) hash. */
static const char *crypt_part(const char *hash)
{
	return strncasecmp(hash, "{CRYPT}", 7) == 0 ? hash + 7 : hash;
}

/* Empty, or made unusable by a mark at its front, as usermod -L does. {CRYPT} with nothing behind it is neither:
 * it is cut. */
static bool is_locked(const char *hash)
{
	const char *part = crypt_part(hash);

	return hash[0] == '\0' || part[0] == '*' || part[0] == '!';
}

/* The kind of a crypt(3) hash, or NULL if it is none that we know the shape of. */
static const struct crypt_kind *find_kind(const char *hash)
{
	for (size_t i = 0; i < ARRAY_LEN(crypt_kinds); i++)
		if (strncmp(hash, crypt_kinds[i].prefix, strlen(crypt_kinds[i].prefix)) == 0)
			return &crypt_kinds[i];
	return hash[0] != '$' && hash[0] != '{' ? &des : NULL;
}

/* --- the digests in braces --- */

static bool digest(const struct braced *b, const char *password, const void *salt, size_t salt_len, uint8_t out[EVP_MAX_MD_SIZE])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned len = 0;
	bool good;

	if (ctx == NULL)
		die_fatal("out of memory (digest)");
	good = EVP_DigestInit_ex(ctx, EVP_get_digestbyname(b->digest), NULL) == 1 &&
	    EVP_DigestUpdate(ctx, password, strlen(password)) == 1 &&
	    EVP_DigestUpdate(ctx, salt, salt_len) == 1 && EVP_DigestFinal_ex(ctx, out, &len) == 1 && len == b->len;
	EVP_MD_CTX_free(ctx);
	return good;
}

static int hex_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *p = memchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c, 16);

	return p != NULL ? (int)(p - digits) : -1;
}

static bool hex_decode(struct str *out, const char *hex)
{
	for (; hex[0] != '\0'; hex += 2) {
		int hi = hex_value(hex[0]), lo = hi < 0 ? -1 : hex_value(hex[1]);

		if (lo < 0)
			return false;
		str_addc(out, (char)(hi << 4 | lo));
	}
	return true;
}

/* What stands behind the braces: the digest, and behind it the salt. */
static bool decode_braced(const struct braced *b, const char *hash, struct str *out)
{
	const char *text = hash + strlen(b->name);

	if (!(b->hex ? hex_decode(out, text) : b64_decode(out, text, strlen(text))))
		return false;
	return b->salted ? out->len > b->len && out->len <= b->len + SALT_MAX : out->len == b->len;
}

static enum auth_result check_braced(const struct braced *b, const char *hash, const char *password)
{
	struct str stored = STR_INIT;
	uint8_t is[EVP_MAX_MD_SIZE];
	enum auth_result r = AUTH_BROKEN;

	if (decode_braced(b, hash, &stored) && digest(b, password, stored.data + b->len, stored.len - b->len, is))
		r = mem_equal_secret(stored.data, b->len, is, b->len) ? AUTH_OK : AUTH_MISMATCH;
	mem_wipe(is, sizeof(is));
	str_fini_secret(&stored);
	return r;
}

static bool encode_braced(char *dst, const struct braced *b, const uint8_t *raw, size_t len)
{
	struct str text = STR_INIT;
	bool fits;

	str_adds(&text, b->name);
	if (b->hex)
		for (size_t i = 0; i < len; i++)
			str_addf(&text, "%02x", raw[i]);
	else
		b64_encode(&text, raw, len);
	fits = text.len < ACCOUNT_HASH_MAX;
	if (fits)
		memcpy(dst, text.data, text.len + 1);
	str_fini_secret(&text);
	return fits;
}

static bool make_braced(char *dst, const struct braced *b, const char *password)
{
	uint8_t raw[EVP_MAX_MD_SIZE + SALT_LEN];
	size_t salt_len = b->salted ? SALT_LEN : 0;
	bool good;

	if (salt_len != 0 && RAND_bytes(raw + b->len, SALT_LEN) != 1)
		return false;
	good = digest(b, password, raw + b->len, salt_len, raw);
	return good && encode_braced(dst, b, raw, b->len + salt_len);
}

/* --- crypt(3) --- */

static enum auth_result run_crypt(const char *setting, const char *password, char *out, size_t outsize)
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

static enum auth_result check_crypt(const char *hash, const char *password)
{
	char is[CRYPT_OUTPUT_SIZE];
	enum auth_result r;

	if (strlen(password) >= CRYPT_MAX_PASSPHRASE_SIZE)
		return AUTH_MISMATCH; /* no hash can have been made of it */
	r = run_crypt(hash, password, is, sizeof(is));
	if (r == AUTH_OK && !mem_equal_secret(is, strlen(is), hash, strlen(hash)))
		r = AUTH_MISMATCH;
	mem_wipe(is, sizeof(is));
	return r;
}

static bool in_crypt_alphabet(const char *p)
{
	static const char alphabet[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	return p[strspn(p, alphabet)] == '\0';
}

/* A hash of kind K that has all its characters. */
static bool crypt_is_whole(const struct crypt_kind *k, const char *hash)
{
	size_t len = strlen(hash);

	if (len >= CRYPT_OUTPUT_SIZE || len < strlen(k->prefix) + k->tail)
		return false;
	if (k->total != 0)
		return len == k->total && (k->prefix[0] == '$' || in_crypt_alphabet(hash + strlen(k->prefix)));
	return hash[len - k->tail - 1] == '$' && in_crypt_alphabet(hash + len - k->tail);
}

/* --- the public part --- */

bool password_is_slow(const char *hash)
{
	return !is_locked(hash) && find_braced(hash) == NULL;
}

static bool braced_is_sound(const struct braced *b, const char *hash, const char **why)
{
	struct str raw = STR_INIT;
	bool good = decode_braced(b, hash, &raw);

	str_fini_secret(&raw);
	*why = good ? "" : "the password hash is cut or damaged";
	return good;
}

bool password_is_sound(const char *hash, const char **why)
{
	const struct braced *b = find_braced(hash);
	const struct crypt_kind *k;
	int salt;

	*why = "";
	if (is_locked(hash))
		return true;
	if (strlen(hash) >= ACCOUNT_HASH_MAX) {
		*why = "the password hash is too long";
		return false;
	}
	if (b != NULL)
		return braced_is_sound(b, hash, why);
	hash = crypt_part(hash);
	k = find_kind(hash);
	salt = crypt_checksalt(hash);
	if (k != NULL && !crypt_is_whole(k, hash)) {
		*why = k == &des ? "the password is not a hash" : "the password hash is cut or damaged";
		return false;
	}
	if (salt != CRYPT_SALT_OK && salt != CRYPT_SALT_METHOD_LEGACY && salt != CRYPT_SALT_TOO_CHEAP) {
		*why = "the scheme of the password hash is not known here";
		return false;
	}
	return true;
}

enum auth_result password_check(const char *hash, const char *password)
{
	const struct braced *b = find_braced(hash);
	const char *why;

	if (is_locked(hash))
		return AUTH_DISABLED;
	if (!password_is_sound(hash, &why))
		return AUTH_BROKEN;
	return b != NULL ? check_braced(b, hash, password) : check_crypt(crypt_part(hash), password);
}

const char *password_scheme(const char *hash, char dst[16])
{
	const struct braced *b = find_braced(hash);
	const char *crypted = crypt_part(hash);
	const struct crypt_kind *k = find_kind(crypted);
	const char *name = b != NULL ? b->name : k == NULL ? "unknown" : k == &des ? "DES" : k->prefix;

	if (is_locked(hash))
		name = hash[0] == '\0' ? "none" : "locked";
	dst[0] = '\0';
	strncat(dst, name, 15);
	return dst;
}

size_t password_class(const char *hash)
{
	const struct braced *b = find_braced(hash);
	const char *text = crypt_part(hash), *p;
	const struct crypt_kind *k = find_kind(text);

	if (b != NULL)
		return strlen(b->name);
	if (k == NULL || k == &des)
		return (size_t)(text - hash);
	p = text + strlen(k->prefix);
	/* The cost stands between the prefix and the salt. */
	if (strncmp(p, "rounds=", 7) == 0 || k->prefix[1] == 'y' || k->prefix[1] == 'g' || k->prefix[1] == '2' ||
	    k->prefix[1] == 's')
		p += strcspn(p, "$");
	else if (k->prefix[0] == '_')
		p += MIN(strlen(p), 4);
	else if (k->prefix[1] == '7')
		p += MIN(strlen(p), 11);
	return (size_t)(p - hash);
}

static void default_setting(char dst[ACCOUNT_HASH_MAX])
{
	const struct crypt_kind *k;
	size_t len;

	_Static_assert(CRYPT_GENSALT_OUTPUT_SIZE + 128 < ACCOUNT_HASH_MAX, "a setting and its hash fit");
	if (crypt_gensalt_rn(NULL, 0, NULL, 0, dst, CRYPT_GENSALT_OUTPUT_SIZE) == NULL || (k = find_kind(dst)) == NULL)
		die_fatal("libcrypt makes no salt: %m");
	len = strlen(dst);
	if (k->total == 0)
		dst[len++] = '$';
	memset(dst + len, '0', k->tail);
	dst[len + k->tail] = '\0';
}

void password_dummy(char dst[ACCOUNT_HASH_MAX], const char *sample)
{
	static const uint8_t zeros[EVP_MAX_MD_SIZE + SALT_LEN];
	const struct braced *b = find_braced(sample);
	const struct crypt_kind *k = find_kind(crypt_part(sample));
	const char *why;
	size_t len;

	if (b != NULL && encode_braced(dst, b, zeros, b->len + (b->salted ? SALT_LEN : 0)))
		return;
	/* libcrypt may know kinds of which we do not know the shape. */
	if (is_locked(sample) || k == NULL || !password_is_sound(sample, &why)) {
		default_setting(dst);
		return;
	}
	len = strlen(sample);
	memcpy(dst, sample, len + 1);
	memset(dst + len - k->tail, '0', k->tail);
}

bool password_make(char dst[ACCOUNT_HASH_MAX], const char *scheme, const char *password)
{
	const struct braced *b = scheme[0] == '{' ? find_braced(scheme) : NULL;
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];

	if (b != NULL)
		return make_braced(dst, b, password);
	if (scheme[0] != '\0' && (scheme[0] != '$' || find_kind(scheme) == NULL))
		return false;
	if (strlen(password) >= CRYPT_MAX_PASSPHRASE_SIZE ||
	    crypt_gensalt_rn(scheme[0] != '\0' ? scheme : NULL, 0, NULL, 0, setting, sizeof(setting)) == NULL)
		return false;
	return run_crypt(setting, password, dst, ACCOUNT_HASH_MAX) == AUTH_OK;
}
