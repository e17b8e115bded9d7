/* The kinds of stored passwords: recognising and checking them. */
#include "authlib/password.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <strings.h>

#include "authlib/hmac_state.h"
#include "authlib/password_kind.h"
#include "authlib/scram_secret.h"
#include "lib/b64.h"
#include "lib/die.h"
#include "lib/hex.h"
#include "lib/mem.h"
#include "lib/text.h"

/* Names of Courier, Dovecot and OpenLDAP; where two give a name different meanings, the rows behind password.h's
 * table and find() tell them apart by shape. Courier reads {SSHA} with 4 bytes of salt only. */
static const struct password_scheme schemes[] = {
	{ .name = "MD5", .kind = &password_digest, .digest = "MD5", .len = 16 },
	{ .name = "LDAP-MD5", .kind = &password_digest, .digest = "MD5", .len = 16 },
	{ .name = "MD5RAW", .kind = &password_digest, .digest = "MD5", .len = 16, .hex = true },
	{ .name = "PLAIN-MD5", .kind = &password_digest, .digest = "MD5", .len = 16, .hex = true },
	{ .name = "SHA", .kind = &password_digest, .digest = "SHA1", .len = 20 },
	{ .name = "SHA1", .kind = &password_digest, .digest = "SHA1", .len = 20 },
	{ .name = "SHA256", .kind = &password_digest, .digest = "SHA256", .len = 32 },
	{ .name = "SHA384", .kind = &password_digest, .digest = "SHA384", .len = 48 },
	{ .name = "SHA512", .kind = &password_digest, .digest = "SHA512", .len = 64 },
	{ .name = "SMD5", .kind = &password_digest, .digest = "MD5", .len = 16, .salt = 4 },
	{ .name = "SSHA", .kind = &password_digest, .digest = "SHA1", .len = 20, .salt = 4 },
	{ .name = "SSHA256", .kind = &password_digest, .digest = "SHA256", .len = 32, .salt = 16 },
	{ .name = "SSHA384", .kind = &password_digest, .digest = "SHA384", .len = 48, .salt = 16 },
	{ .name = "SSHA512", .kind = &password_digest, .digest = "SHA512", .len = 64, .salt = 16 },
	{ .name = "CRYPT", .kind = &password_crypt },
	{ .name = "DES-CRYPT", .kind = &password_crypt },
	{ .name = "MD5-CRYPT", .kind = &password_crypt },
	{ .name = "SHA256-CRYPT", .kind = &password_crypt },
	{ .name = "SHA512-CRYPT", .kind = &password_crypt },
	{ .name = "BLF-CRYPT", .kind = &password_crypt },
	{ .name = "ARGON2", .kind = &password_argon2 },
	{ .name = "ARGON2I", .kind = &password_argon2 },
	{ .name = "ARGON2ID", .kind = &password_argon2 },
	{ .name = "PBKDF2", .kind = &password_pbkdf2, .digest = "SHA1", .len = 20 },
	{ .name = "PBKDF2-SHA1", .kind = &password_pbkdf2, .digest = "SHA1", .len = 20 },
	{ .name = "PBKDF2-SHA256", .kind = &password_pbkdf2, .digest = "SHA256", .len = 32 },
	{ .name = "PBKDF2-SHA512", .kind = &password_pbkdf2, .digest = "SHA512", .len = 64 },
	{ .name = "SCRAM-SHA-1", .kind = &password_scram, .len = 20 },
	{ .name = "SCRAM-SHA-256", .kind = &password_scram, .len = 32 },
	{ .name = "CRAM-MD5", .kind = &password_cram, .digest = "md5", .len = 32, .hex = true },
	{ .name = "HMAC-MD5", .kind = &password_cram, .digest = "md5", .len = 32, .hex = true },
	{ .name = "PLAIN", .kind = &password_clear_text },
	{ .name = "CLEAR", .kind = &password_clear_text },
	{ .name = "CLEARTEXT", .kind = &password_clear_text },
};
static const struct password_scheme bare_crypt = { .name = "", .kind = &password_crypt };
static const struct password_scheme bare_argon2 = { .name = "", .kind = &password_argon2 };

enum { SALT_MAX = 128 }; /* bytes of salt behind a digest */
enum encoding { ENCODING_DEFAULT, HEX, BASE64 };

/* A stored password taken apart. */
struct stored {
	const struct password_scheme *scheme; /* NULL: the name in braces is not known */
	enum encoding encoding;
	const char *text; /* behind the braces */
};

/* --- reading --- */

static const struct password_scheme *find_name(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
		if (text_is_word(name, len, schemes[i].name))
			return &schemes[i];
	return NULL;
}

static bool find_encoding(const char *p, size_t len, enum encoding *e)
{
	if (len == 4 && strncasecmp(p, ".HEX", len) == 0)
		*e = HEX;
	else if ((len == 4 && strncasecmp(p, ".B64", len) == 0) || (len == 7 && strncasecmp(p, ".BASE64", len) == 0))
		*e = BASE64;
	else
		return len == 0;
	return true;
}

/* Courier's {MD5} is a digest, Dovecot's a hash of crypt(3) that begins with $1$. No digest is as long. */
static bool is_md5_crypt(const struct stored *st)
{
	static const char *const front[] = { [ENCODING_DEFAULT] = "$1$", [HEX] = "243124", [BASE64] = "JDEk" };
	const char *is = front[st->encoding];

	return strncmp(st->text, is, strlen(is)) == 0 && (st->encoding == ENCODING_DEFAULT || strlen(st->text) > 32);
}

static struct stored find(const char *hash)
{
	struct stored st = { .scheme = &bare_crypt, .text = hash };
	const char *end, *dot;

	if (strncmp(hash, "$argon2", 7) == 0)
		st.scheme = &bare_argon2; /* as PHP and others write it */
	if (hash[0] != '{')
		return st;
	st.scheme = NULL;
	if ((end = strchr(hash, '}')) == NULL)
		return st;
	if ((dot = memchr(hash, '.', (size_t)(end - hash))) == NULL)
		dot = end;
	if (!find_encoding(dot, (size_t)(end - dot), &st.encoding))
		return st;
	st.scheme = find_name(hash + 1, (size_t)(dot - hash) - 1);
	st.text = end + 1;
	if (st.scheme != NULL && strcmp(st.scheme->name, "MD5") == 0 && is_md5_crypt(&st))
		st.scheme = &bare_crypt;
	return st;
}

void password_b64_encode(struct str *out, const void *p, size_t len)
{
	b64_encode(out, p, len);
	while (out->len != 0 && out->data[out->len - 1] == '=')
		out->data[--out->len] = '\0';
}

bool password_b64_decode(struct str *out, const char *p, size_t len, char plus)
{
	struct str text = STR_INIT, again = STR_INIT;
	size_t before = out->len;
	bool good;

	str_add(&text, p, len);
	for (size_t i = 0; plus != '+' && i < len; i++)
		text.data[i] = text.data[i] == plus ? '+' : text.data[i] == '+' ? plus : text.data[i];
	if (memchr(p, '=', len) == NULL)
		while (text.len % 4 != 0)
			str_addc(&text, '=');
	good = b64_decode(out, str_cstr(&text), text.len);
	if (good) {
		password_b64_encode(&again, out->data != NULL ? out->data + before : "", out->len - before);
		good = again.len == len && memcmp(str_cstr(&again), str_cstr(&text), len) == 0;
		if (!good)
			out->len = before;
	}
	str_fini_secret(&text);
	str_fini_secret(&again);
	return good;
}

/* Decodes the text after the braces into BODY, as the kind needs it. Digests may be in hex or base64 under the same
 * name: the length decides, because 2n hex digits are not base64 of n bytes. */
static bool decode(const struct stored *st, struct str *body)
{
	enum encoding e = st->encoding;
	size_t len = strlen(st->text);

	if (e == ENCODING_DEFAULT && st->scheme->kind->binary)
		e = st->scheme->salt == 0 && len == 2 * (size_t)st->scheme->len ? HEX : BASE64;
	if (e == HEX)
		return hex_decode(body, st->text, len);
	if (e == BASE64 && !b64_decode(body, st->text, len))
		return false;
	if (e == ENCODING_DEFAULT)
		str_add(body, st->text, len);
	return true;
}

/* Parses the rest of HASH, for which find() has filled ST. NULL if it is sound, else the reason why not. */
static const char *read_hash(const char *hash, const struct stored *st, struct str *body)
{
	if (strlen(hash) >= ACCOUNT_HASH_MAX)
		return "the password hash is too long";
	if (st->scheme == NULL)
		return "unknown password scheme";
	if (!decode(st, body) || (!st->scheme->kind->binary && memchr(str_cstr(body), '\0', body->len) != NULL))
		return "the password hash is truncated or damaged";
	return st->scheme->kind->wrong(st->scheme, body);
}

/* --- writing --- */

/* Writes the name at the front of HASH, then BODY in the encoding that the name requires. */
static bool write_hash(char *dst, const struct stored *st, const char *hash, const struct str *body)
{
	struct str text = STR_INIT;
	enum encoding e = st->encoding;
	bool fits;

	if (e == ENCODING_DEFAULT && st->scheme->kind->binary)
		e = st->scheme->hex ? HEX : BASE64;
	str_add(&text, hash, (size_t)(st->text - hash));
	if (e == HEX)
		hex_encode(&text, str_cstr(body), body->len);
	else if (e == BASE64)
		b64_encode(&text, str_cstr(body), body->len);
	else
		str_add(&text, str_cstr(body), body->len);
	fits = text.len < ACCOUNT_HASH_MAX;
	if (fits)
		memcpy(dst, text.data, text.len + 1);
	str_fini_secret(&text);
	return fits;
}

/* --- plain digests, perhaps with the salt behind them --- */

/* OpenSSL's digest of a row of the table, kept: EVP_get_digestbyname() returns an object that each use looks up again.
 * NULL: it has none. */
static const EVP_MD *fetch_digest(const struct password_scheme *s)
{
	static EVP_MD *fetched[ARRAY_LEN(schemes)];
	EVP_MD **md = &fetched[s - schemes];

	if (*md == NULL)
		*md = EVP_MD_fetch(NULL, s->digest, NULL);
	return *md;
}

static bool digest(const struct password_scheme *s, const char *password, const void *salt, size_t salt_len,
    uint8_t out[EVP_MAX_MD_SIZE])
{
	const EVP_MD *md = fetch_digest(s);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned len = 0;
	bool good;

	if (ctx == NULL)
		die_fatal("out of memory (digest)");
	good = md != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
	    EVP_DigestUpdate(ctx, password, strlen(password)) == 1 && EVP_DigestUpdate(ctx, salt, salt_len) == 1 &&
	    EVP_DigestFinal_ex(ctx, out, &len) == 1 && len == s->len;
	EVP_MD_CTX_free(ctx);
	return good;
}

static const char *digest_wrong(const struct password_scheme *s, const struct str *body)
{
	bool good = s->salt != 0 ? body->len > s->len && body->len <= s->len + SALT_MAX : body->len == s->len;

	return good ? NULL : "the password hash is truncated or damaged";
}

static enum auth_result digest_check(const struct password_scheme *s, const struct str *body, const char *password)
{
	uint8_t is[EVP_MAX_MD_SIZE];
	enum auth_result r = AUTH_BROKEN;

	if (digest(s, password, body->data + s->len, body->len - s->len, is))
		r = mem_equal_secret(body->data, s->len, is, s->len) ? AUTH_OK : AUTH_MISMATCH;
	mem_wipe(is, sizeof(is));
	return r;
}

static void digest_dummy(const struct password_scheme *s, struct str *body)
{
	memset(body->data, 0, s->len);
}

static bool digest_make(const struct password_scheme *s, struct str *body, const char *password)
{
	uint8_t salt[SALT_MAX], is[EVP_MAX_MD_SIZE];
	bool good = RAND_bytes(salt, (int)s->salt) == 1 && digest(s, password, salt, s->salt, is);

	if (good) {
		str_add(body, is, s->len);
		str_add(body, salt, s->salt);
	}
	mem_wipe(is, sizeof(is));
	return good;
}

const struct password_kind password_digest = {
	.binary = true,
	.wrong = digest_wrong,
	.check = digest_check,
	.dummy = digest_dummy,
	.make = digest_make,
};

/* --- the states of an HMAC, as hmac_state.h has them --- */

static enum auth_result cram_check(const struct password_scheme *s, const struct str *body, const char *password)
{
	struct str is = STR_INIT, stored = STR_INIT;
	enum auth_result r = AUTH_BROKEN;

	hex_encode(&stored, body->data, body->len);
	if (hmac_state_add(&is, s->digest, password))
		r = mem_equal_secret(is.data, is.len, stored.data, stored.len) ? AUTH_OK : AUTH_MISMATCH;
	str_fini_secret(&is);
	str_fini_secret(&stored);
	return r;
}

const struct password_kind password_cram = {
	.binary = true,
	.wrong = digest_wrong,
	.check = cram_check,
	.dummy = digest_dummy,
};

/* --- the password itself --- */

static const char *clear_wrong(const struct password_scheme *s UNUSED, const struct str *body)
{
	return body->len == 0 ? "the password is empty" : NULL;
}

static enum auth_result clear_check(const struct password_scheme *s UNUSED, const struct str *body,
    const char *password)
{
	return mem_equal_secret(body->data, body->len, password, strlen(password)) ? AUTH_OK : AUTH_MISMATCH;
}

static void clear_dummy(const struct password_scheme *s UNUSED, struct str *body)
{
	memset(body->data, '\x7f', body->len); /* no password has control characters */
}

const struct password_kind password_clear_text = {
	.wrong = clear_wrong,
	.check = clear_check,
	.dummy = clear_dummy,
};

/* --- SCRAM --- */

static bool scram_read(const struct password_scheme *s, const struct str *body, struct scram_secret *secret,
    const char **why)
{
	struct str text = STR_INIT;
	bool good;

	str_addf(&text, "{%s}%s", s->name, str_cstr(body));
	good = scram_secret_read(secret, str_cstr(&text), why);
	str_fini_secret(&text);
	return good;
}

static const char *scram_wrong(const struct password_scheme *s, const struct str *body)
{
	struct scram_secret secret;
	const char *why;
	bool good = scram_read(s, body, &secret, &why);

	mem_wipe(&secret, sizeof(secret));
	return good ? NULL : why;
}

static enum auth_result scram_check(const struct password_scheme *s, const struct str *body, const char *password)
{
	struct scram_secret secret;
	enum auth_result r = AUTH_BROKEN;
	const char *why;

	if (scram_read(s, body, &secret, &why))
		r = scram_secret_verify(&secret, password) ? AUTH_OK : AUTH_MISMATCH;
	mem_wipe(&secret, sizeof(secret));
	return r;
}

static size_t scram_class(const char *text)
{
	return strcspn(text, ",");
}

static void scram_write(const struct password_scheme *s, const struct scram_secret *secret, struct str *body)
{
	str_clear(body);
	scram_secret_add(body, secret);
	str_drop(body, strlen(s->name) + 2);
}

static void scram_dummy(const struct password_scheme *s, struct str *body)
{
	struct scram_secret secret;
	const char *why;

	DIE_IF(!scram_read(s, body, &secret, &why));
	memset(secret.stored_key, 0, sizeof(secret.stored_key));
	memset(secret.server_key, 0, sizeof(secret.server_key));
	scram_write(s, &secret, body);
}

static bool scram_make(const struct password_scheme *s, struct str *body, const char *password)
{
	struct scram_secret secret = {
		.hash = s->len == 20 ? SCRAM_SHA_1 : SCRAM_SHA_256,
		.iterations = SCRAM_ITERATIONS,
		.salt_len = 16,
	};

	if (RAND_bytes(secret.salt, (int)secret.salt_len) != 1)
		return false;
	scram_secret_derive(&secret, password);
	scram_write(s, &secret, body);
	mem_wipe(&secret, sizeof(secret));
	return true;
}

const struct password_kind password_scram = {
	.slow = true,
	.wrong = scram_wrong,
	.check = scram_check,
	.class = scram_class,
	.dummy = scram_dummy,
	.make = scram_make,
};

/* --- the public part --- */

/* As usermod -L does it. {CRYPT} with nothing behind it is cut. */
static bool starred(const struct stored *st)
{
	return st->scheme != NULL && st->scheme->kind == &password_crypt && (st->text[0] == '*' || st->text[0] == '!');
}

bool password_is_locked(const char *hash)
{
	struct stored st = find(hash);

	return starred(&st);
}

static bool is_locked(const char *hash, const struct stored *st)
{
	return hash[0] == '\0' || starred(st);
}

bool password_is_slow(const char *hash)
{
	struct stored st = find(hash);

	return !is_locked(hash, &st) && (st.scheme == NULL || st.scheme->kind->slow);
}

bool password_is_sound(const char *hash, const char **why)
{
	struct stored st = find(hash);
	struct str body = STR_INIT;
	const char *wrong = is_locked(hash, &st) ? NULL : read_hash(hash, &st, &body);

	str_fini_secret(&body);
	*why = wrong != NULL ? wrong : "";
	return wrong == NULL;
}

enum auth_result password_check(const char *hash, const char *password)
{
	struct stored st = find(hash);
	struct str body = STR_INIT;
	enum auth_result r = AUTH_BROKEN;

	if (is_locked(hash, &st))
		return AUTH_DISABLED;
	if (read_hash(hash, &st, &body) == NULL)
		r = st.scheme->kind->check(st.scheme, &body, password);
	str_fini_secret(&body);
	return r;
}

bool password_clear(const char *hash, char dst[ACCOUNT_PASSWORD_MAX])
{
	struct stored st = find(hash);
	struct str body = STR_INIT;
	bool good = read_hash(hash, &st, &body) == NULL && st.scheme->kind == &password_clear_text &&
	    body.len < ACCOUNT_PASSWORD_MAX;

	dst[0] = '\0';
	if (good)
		memcpy(dst, body.data, body.len + 1);
	str_fini_secret(&body);
	return good;
}

const char *password_scheme(const char *hash, char dst[16])
{
	struct stored st = find(hash);
	struct str name = STR_INIT;

	if (is_locked(hash, &st))
		str_adds(&name, hash[0] == '\0' ? "none" : "locked");
	else if (st.scheme == NULL)
		str_adds(&name, "unknown");
	else if (st.scheme->kind == &password_crypt)
		str_adds(&name, st.encoding == ENCODING_DEFAULT ? password_crypt_name(st.text) : "{CRYPT}");
	else
		str_addf(&name, "{%s}", st.scheme == &bare_argon2 ? "ARGON2" : st.scheme->name);
	dst[0] = '\0';
	strncat(dst, str_cstr(&name), 15);
	str_fini(&name);
	return dst;
}

size_t password_class(const char *hash)
{
	struct stored st = find(hash);
	size_t before = (size_t)(st.text - hash);

	if (st.scheme == NULL)
		return 0;
	if (st.encoding != ENCODING_DEFAULT || st.scheme->kind->class == NULL || is_locked(hash, &st))
		return before;
	return before + st.scheme->kind->class(st.text);
}

void password_dummy(char dst[ACCOUNT_HASH_MAX], const char *sample)
{
	struct stored st = find(sample);
	struct str body = STR_INIT;
	bool good = false;

	if (!is_locked(sample, &st) && read_hash(sample, &st, &body) == NULL) {
		st.scheme->kind->dummy(st.scheme, &body);
		good = write_hash(dst, &st, sample, &body);
	}
	if (!good)
		password_crypt_default(dst);
	str_fini_secret(&body);
}

bool password_make(char dst[ACCOUNT_HASH_MAX], const char *scheme, const char *password)
{
	struct stored st = find(scheme);
	struct str body = STR_INIT;
	bool good;

	if (scheme[0] != '{')
		return password_crypt_make(dst, scheme, password);
	good = st.scheme != NULL && st.scheme->kind->make != NULL &&
	    st.scheme->kind->make(st.scheme, &body, password) && write_hash(dst, &st, scheme, &body);
	str_fini_secret(&body);
	return good;
}
