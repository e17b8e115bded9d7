/* Computes and uses the states of an HMAC. OpenSSL gives access to the inner state of a digest only in its old
 * functions. nettle has it in its API, but would be a second digest library in every process of a node for these few
 * lines. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "authlib/hmac_state.h"

#include <endian.h>
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <string.h>

#include "lib/hex.h"
#include "lib/mem.h"

enum { BLOCK = 64, WORDS_MAX = 8 };

/* Each: the digest of LEN bytes at P, and the state after one block at P, as words. */
struct hash {
	const char *name;
	unsigned words;
	bool little; /* bytes of a word in the digest: least first */
	void (*digest)(const void *p, size_t len, uint8_t *out);
	void (*state)(const uint8_t *block, uint32_t *out);
	/* The digest of one block, after which STATE was the state, and of the LEN bytes at P. */
	void (*resume)(const uint32_t *state, const void *p, size_t len, uint8_t *out);
};

static void md5_digest(const void *p, size_t len, uint8_t *out)
{
	MD5(p, len, out);
}

static void sha1_digest(const void *p, size_t len, uint8_t *out)
{
	SHA1(p, len, out);
}

static void sha256_digest(const void *p, size_t len, uint8_t *out)
{
	SHA256(p, len, out);
}

static void md5_state(const uint8_t *block, uint32_t *out)
{
	MD5_CTX c;

	MD5_Init(&c);
	MD5_Transform(&c, block);
	out[0] = c.A;
	out[1] = c.B;
	out[2] = c.C;
	out[3] = c.D;
	mem_wipe(&c, sizeof(c));
}

static void sha1_state(const uint8_t *block, uint32_t *out)
{
	SHA_CTX c;

	SHA1_Init(&c);
	SHA1_Transform(&c, block);
	out[0] = c.h0;
	out[1] = c.h1;
	out[2] = c.h2;
	out[3] = c.h3;
	out[4] = c.h4;
	mem_wipe(&c, sizeof(c));
}

static void sha256_state(const uint8_t *block, uint32_t *out)
{
	SHA256_CTX c;

	SHA256_Init(&c);
	SHA256_Transform(&c, block);
	for (unsigned i = 0; i < 8; i++)
		out[i] = c.h[i];
	mem_wipe(&c, sizeof(c));
}

static void md5_resume(const uint32_t *state, const void *p, size_t len, uint8_t *out)
{
	MD5_CTX c;

	MD5_Init(&c);
	c.A = state[0];
	c.B = state[1];
	c.C = state[2];
	c.D = state[3];
	c.Nl = BLOCK * 8;
	MD5_Update(&c, p, len);
	MD5_Final(out, &c);
	mem_wipe(&c, sizeof(c));
}

static void sha1_resume(const uint32_t *state, const void *p, size_t len, uint8_t *out)
{
	SHA_CTX c;

	SHA1_Init(&c);
	c.h0 = state[0];
	c.h1 = state[1];
	c.h2 = state[2];
	c.h3 = state[3];
	c.h4 = state[4];
	c.Nl = BLOCK * 8;
	SHA1_Update(&c, p, len);
	SHA1_Final(out, &c);
	mem_wipe(&c, sizeof(c));
}

static void sha256_resume(const uint32_t *state, const void *p, size_t len, uint8_t *out)
{
	SHA256_CTX c;

	SHA256_Init(&c);
	for (unsigned i = 0; i < 8; i++)
		c.h[i] = state[i];
	c.Nl = BLOCK * 8;
	SHA256_Update(&c, p, len);
	SHA256_Final(out, &c);
	mem_wipe(&c, sizeof(c));
}

static const struct hash hashes[] = {
	{ "md5", 4, true, md5_digest, md5_state, md5_resume },
	{ "sha1", 5, false, sha1_digest, sha1_state, sha1_resume },
	{ "sha256", 8, false, sha256_digest, sha256_state, sha256_resume },
};

static const struct hash *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++)
		if (strcmp(hashes[i].name, name) == 0)
			return &hashes[i];
	return NULL;
}

static void add_state(struct str *out, const struct hash *h, const uint8_t *key, uint8_t pad)
{
	uint8_t block[BLOCK];
	uint32_t state[WORDS_MAX];

	for (unsigned i = 0; i < BLOCK; i++)
		block[i] = key[i] ^ pad;
	h->state(block, state);
	for (unsigned i = 0; i < h->words; i++)
		state[i] = h->little ? htole32(state[i]) : htobe32(state[i]);
	hex_encode(out, state, h->words * sizeof(state[0]));
	mem_wipe(block, sizeof(block));
	mem_wipe(state, sizeof(state));
}

bool hmac_state_add(struct str *out, const char *hash, const char *password)
{
	const struct hash *h = find(hash);
	uint8_t key[BLOCK] = { 0 };

	if (h == NULL)
		return false;
	if (strlen(password) > BLOCK)
		h->digest(password, strlen(password), key);
	else
		memcpy(key, password, strlen(password));
	add_state(out, h, key, 0x5c);
	add_state(out, h, key, 0x36);
	mem_wipe(key, sizeof(key));
	return true;
}

size_t hmac_state_len(const char *hash)
{
	const struct hash *h = find(hash);

	return h != NULL ? (size_t)h->words * 2 * 8 : 0;
}

/* One word of a state: eight hex digits. */
static bool read_word(const char *p, bool little, uint32_t *out)
{
	if (!hex_bytes(out, p, 8))
		return false;
	*out = little ? le32toh(*out) : be32toh(*out);
	return true;
}

bool hmac_state_digest(struct str *out, const char *hash, const char *state, const void *text, size_t len)
{
	const struct hash *h = find(hash);
	uint32_t words[2 * WORDS_MAX];
	uint8_t digest[WORDS_MAX * 4];
	bool good = h != NULL && strlen(state) == hmac_state_len(hash);

	for (unsigned i = 0; good && i < 2 * h->words; i++)
		good = read_word(state + (size_t)i * 8, h->little, &words[i]);
	if (good) {
		h->resume(words + h->words, text, len, digest);
		h->resume(words, digest, (size_t)h->words * 4, digest);
		hex_encode(out, digest, (size_t)h->words * 4);
	}
	mem_wipe(words, sizeof(words));
	mem_wipe(digest, sizeof(digest));
	return good;
}
