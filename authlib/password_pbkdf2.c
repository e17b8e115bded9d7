/* PBKDF2 (RFC 8018) in two formats: Dovecot's, $1$SALT$ROUNDS$HEX, with the salt as text and SHA-1; that of OpenLDAP's
 * module, ROUNDS$SALT$KEY in base64 with '.' for '+' and without padding. */
#include <openssl/evp.h>
#include <string.h>

#include "authlib/password_kind.h"
#include "lib/die.h"
#include "lib/hex.h"
#include "lib/mem.h"
#include "lib/num.h"

enum { ROUNDS_MAX = 10 * 1000 * 1000, SALT_MAX = 64, KEY_MAX = EVP_MAX_MD_SIZE };

struct pbkdf2 {
	const char *digest;
	uint64_t rounds;
	size_t salt_len, key_len;
	uint8_t salt[SALT_MAX], key[KEY_MAX];
};

struct field {
	const char *p;
	size_t len;
};

/* Splits TEXT at each '$' into exactly N fields. */
static bool split(const char *text, struct field *f, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		f[i].p = text;
		f[i].len = strcspn(text, "$");
		text += f[i].len;
		if (i + 1 < n && *text++ != '$')
			return false;
	}
	return *text == '\0';
}

static bool is_dovecot(const char *text)
{
	return strncmp(text, "$1$", 3) == 0;
}

static bool take(uint8_t *to, size_t size, size_t *len, const struct str *from)
{
	*len = from->len;
	if (from->len == 0 || from->len > size)
		return false;
	memcpy(to, from->data, from->len);
	return true;
}

static const char *parse(const struct password_scheme *s, const char *text, struct pbkdf2 *h)
{
	bool dovecot = is_dovecot(text);
	struct field f[3];
	const struct field *rounds = &f[dovecot ? 1 : 0], *salt = &f[dovecot ? 0 : 1], *key = &f[2];
	struct str salt_raw = STR_INIT, key_raw = STR_INIT;
	const char *why = "the PBKDF2 hash is truncated or damaged";

	memset(h, 0, sizeof(*h));
	h->digest = dovecot ? "SHA1" : s->digest;
	if (!split(dovecot ? text + 3 : text, f, 3))
		return why;
	if (!num_parse(rounds->p, rounds->len, ROUNDS_MAX, &h->rounds) || h->rounds == 0)
		return "the rounds of the PBKDF2 hash are not a number from 1 to 10000000";
	if (dovecot) {
		str_add(&salt_raw, salt->p, salt->len);
		if (hex_decode(&key_raw, key->p, key->len))
			why = NULL;
	} else if (password_b64_decode(&salt_raw, salt->p, salt->len, '.') &&
	    password_b64_decode(&key_raw, key->p, key->len, '.')) {
		why = NULL;
	}
	if (why == NULL &&
	    (!take(h->salt, sizeof(h->salt), &h->salt_len, &salt_raw) ||
	        !take(h->key, sizeof(h->key), &h->key_len, &key_raw) || h->key_len != (dovecot ? 20 : s->len)))
		why = "the PBKDF2 hash is truncated or damaged";
	str_fini(&salt_raw);
	str_fini_secret(&key_raw);
	return why;
}

static const char *wrong(const struct password_scheme *s, const struct str *body)
{
	struct pbkdf2 h;
	const char *why = parse(s, str_cstr(body), &h);

	mem_wipe(&h, sizeof(h));
	return why;
}

static enum auth_result check(const struct password_scheme *s, const struct str *body, const char *password)
{
	struct pbkdf2 h;
	uint8_t is[KEY_MAX];
	enum auth_result r;

	if (parse(s, str_cstr(body), &h) != NULL)
		return AUTH_BROKEN;
	DIE_IF(PKCS5_PBKDF2_HMAC(password, (int)strlen(password), h.salt, (int)h.salt_len, (int)h.rounds,
	           EVP_get_digestbyname(h.digest), (int)h.key_len, is) != 1);
	r = mem_equal_secret(is, h.key_len, h.key, h.key_len) ? AUTH_OK : AUTH_MISMATCH;
	mem_wipe(is, sizeof(is));
	mem_wipe(&h, sizeof(h));
	return r;
}

/* The rounds stand in front in one form only; in the other all that is there up to them. */
static size_t class(const char *text)
{
	const char *p = text;

	if (is_dovecot(text)) {
		p += 3;
		p += strcspn(p, "$");
		p += *p == '$';
	}
	return (size_t)(p - text) + strcspn(p, "$");
}

static void dummy(const struct password_scheme *s UNUSED, struct str *body)
{
	char *key = strrchr(body->data, '$') + 1;

	memset(key, 'A', strlen(key)); /* a digit of both alphabets */
}

const struct password_kind password_pbkdf2 = {
	.slow = true,
	.wrong = wrong,
	.check = check,
	.class = class,
	.dummy = dummy,
};
