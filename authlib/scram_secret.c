/* Reads and makes stored SCRAM secrets. */
#include "authlib/scram_secret.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <strings.h>

#include "lib/b64.h"
#include "lib/die.h"
#include "lib/mem.h"
#include "lib/num.h"

static const struct hash {
	const char *name;
	size_t len;
	const EVP_MD *(*md)(void);
} hashes[SCRAM_HASH_COUNT] = {
	[SCRAM_SHA_1] = { "SCRAM-SHA-1", 20, EVP_sha1 },
	[SCRAM_SHA_256] = { "SCRAM-SHA-256", 32, EVP_sha256 },
};

const char *scram_hash_name(enum scram_hash h)
{
	return (unsigned)h < SCRAM_HASH_COUNT ? hashes[h].name : "?";
}

/* HASH behind its braces, and in *H which it is; NULL if it is none of ours. */
static const char *strip(const char *hash, enum scram_hash *h)
{
	for (unsigned i = 0; i < SCRAM_HASH_COUNT; i++) {
		size_t len = strlen(hashes[i].name);

		if (hash[0] == '{' && strncasecmp(hash + 1, hashes[i].name, len) == 0 && hash[1 + len] == '}') {
			*h = (enum scram_hash)i;
			return hash + 1 + len + 1;
		}
	}
	return NULL;
}

/* One base64 field of MIN to MAX bytes. */
static bool decode(uint8_t *to, size_t *out_len, const char *p, size_t len, size_t min, size_t max)
{
	struct str raw = STR_INIT;
	bool good = b64_decode(&raw, p, len) && raw.len >= min && raw.len <= max;

	if (good && raw.len != 0) {
		memcpy(to, raw.data, raw.len);
		*out_len = raw.len;
	}
	str_fini_secret(&raw);
	return good;
}

static const char *read_fields(struct scram_secret *s, const char *text)
{
	const char *field[4];
	size_t len[4];
	uint64_t n;

	for (unsigned i = 0; i < 4; i++) {
		field[i] = text;
		len[i] = strcspn(text, ",");
		text += len[i];
		if (i < 3 && *text++ != ',')
			return "the SCRAM secret has too few parts; expected iterations,salt,StoredKey,ServerKey";
	}
	if (*text != '\0')
		return "the SCRAM secret has too many parts; expected iterations,salt,StoredKey,ServerKey";
	if (!num_parse(field[0], len[0], SCRAM_ITERATIONS_MAX, &n) || n == 0)
		return "the iteration count of the SCRAM secret is not a number from 1 to 10000000";
	s->iterations = (unsigned)n;
	s->key_len = hashes[s->hash].len;
	if (!decode(s->salt, &s->salt_len, field[1], len[1], 1, SCRAM_SALT_MAX))
		return "the salt of the SCRAM secret is truncated or damaged";
	if (!decode(s->stored_key, &s->key_len, field[2], len[2], s->key_len, s->key_len) ||
	    !decode(s->server_key, &s->key_len, field[3], len[3], s->key_len, s->key_len))
		return "a key of the SCRAM secret is truncated or damaged";
	return NULL;
}

bool scram_secret_read(struct scram_secret *s, const char *hash, const char **why)
{
	const char *text, *wrong;

	memset(s, 0, sizeof(*s));
	*why = "";
	if ((text = strip(hash, &s->hash)) == NULL)
		return false;
	if ((wrong = read_fields(s, text)) == NULL)
		return true;
	*why = wrong;
	mem_wipe(s, sizeof(*s));
	return false;
}

static void hmac(const struct hash *h, const uint8_t *key, const char *text, uint8_t *out)
{
	DIE_IF(HMAC(h->md(), key, (int)h->len, (const unsigned char *)text, strlen(text), out, NULL) == NULL);
}

void scram_secret_derive(struct scram_secret *s, const char *password)
{
	const struct hash *h = &hashes[s->hash];
	uint8_t salted[SCRAM_KEY_MAX], client_key[SCRAM_KEY_MAX];

	DIE_IF(s->salt_len > sizeof(s->salt) || s->iterations == 0 || s->iterations > SCRAM_ITERATIONS_MAX);
	s->key_len = h->len;
	DIE_IF(PKCS5_PBKDF2_HMAC(password, (int)strlen(password), s->salt, (int)s->salt_len, (int)s->iterations,
	           h->md(), (int)h->len, salted) != 1);
	hmac(h, salted, "Client Key", client_key);
	DIE_IF(EVP_Digest(client_key, h->len, s->stored_key, NULL, h->md(), NULL) != 1);
	hmac(h, salted, "Server Key", s->server_key);
	mem_wipe(salted, sizeof(salted));
	mem_wipe(client_key, sizeof(client_key));
}

bool scram_secret_verify(const struct scram_secret *s, const char *password)
{
	struct scram_secret is = *s;
	bool stored, server;

	scram_secret_derive(&is, password);
	stored = mem_equal_secret(is.stored_key, is.key_len, s->stored_key, s->key_len);
	server = mem_equal_secret(is.server_key, is.key_len, s->server_key, s->key_len);
	mem_wipe(&is, sizeof(is));
	return stored && server;
}

void scram_secret_add(struct str *out, const struct scram_secret *s)
{
	str_addf(out, "{%s}%u,", hashes[s->hash].name, s->iterations);
	b64_encode(out, s->salt, s->salt_len);
	str_addc(out, ',');
	b64_encode(out, s->stored_key, s->key_len);
	str_addc(out, ',');
	b64_encode(out, s->server_key, s->key_len);
}
