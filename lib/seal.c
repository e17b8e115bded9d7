/* Sealing and opening: AES-256-GCM with a key for each message. */
#include "lib/seal.h"

#include <limits.h>
#include <openssl/evp.h>
#include <string.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "lib/rnd.h"

enum { VERSION = 1, RANDOM_LEN = 32, TAG_LEN = 16, IV_LEN = 12 };

struct seal {
	struct mac *mac; /* makes the keys */
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *ctx;
};

struct seal *seal_new(const uint8_t key[MAC_LEN])
{
	struct seal *s = mem_alloc(sizeof(*s));

	_Static_assert(SEAL_OVERHEAD == 1 + RANDOM_LEN + TAG_LEN, "what is around the bytes");
	s->mac = mac_new(key, MAC_LEN);
	s->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	s->ctx = EVP_CIPHER_CTX_new();
	if (s->cipher == NULL || s->ctx == NULL)
		die_fatal("OpenSSL has no AES-256-GCM");
	return s;
}

void seal_free(struct seal **s)
{
	if (*s == NULL)
		return;
	mac_free(&(*s)->mac);
	EVP_CIPHER_CTX_free((*s)->ctx);
	EVP_CIPHER_free((*s)->cipher);
	mem_free(s);
}

/* Begins a message with its own key. No other message is ever encrypted with it, so the IV may be constant. */
static void begin(struct seal *s, bool encrypt, const uint8_t random[RANDOM_LEN], const char *context)
{
	static const uint8_t iv[IV_LEN];
	uint8_t key[MAC_LEN], version = VERSION;
	int n;

	mac_compute(s->mac, random, RANDOM_LEN, key);
	DIE_IF(EVP_CipherInit_ex2(s->ctx, s->cipher, key, iv, encrypt, NULL) != 1);
	mem_wipe(key, sizeof(key));
	DIE_IF(EVP_CipherUpdate(s->ctx, NULL, &n, &version, 1) != 1);
	DIE_IF(EVP_CipherUpdate(s->ctx, NULL, &n, (const uint8_t *)context, (int)strlen(context)) != 1);
}

void seal_close(struct seal *s, const char *context, const void *p, size_t len, struct str *out)
{
	uint8_t *to = (uint8_t *)str_room(out, len + SEAL_OVERHEAD), *random = to + 1;
	int n, rest;

	DIE_IF(len > INT_MAX / 2);
	rnd_bytes(random, RANDOM_LEN);
	to[0] = VERSION;
	to += 1 + RANDOM_LEN;
	begin(s, true, random, context);
	DIE_IF(EVP_CipherUpdate(s->ctx, to, &n, p, (int)len) != 1 || EVP_CipherFinal_ex(s->ctx, to + n, &rest) != 1);
	DIE_IF(
	    n != (int)len || rest != 0 || EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, to + len) != 1);
	out->len += len + SEAL_OVERHEAD;
	out->data[out->len] = '\0';
}

bool seal_open(struct seal *s, const char *context, const void *p, size_t len, struct str *out)
{
	const uint8_t *from = p;
	uint8_t tag[TAG_LEN], *to;
	int n, rest;
	bool good;

	if (len < SEAL_OVERHEAD || len > INT_MAX / 2 || from[0] != VERSION)
		return false;
	len -= SEAL_OVERHEAD;
	memcpy(tag, from + 1 + RANDOM_LEN + len, TAG_LEN);
	to = (uint8_t *)str_room(out, len);
	begin(s, false, from + 1, context);
	DIE_IF(EVP_CipherUpdate(s->ctx, to, &n, from + 1 + RANDOM_LEN, (int)len) != 1);
	DIE_IF(EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag) != 1);
	good = EVP_CipherFinal_ex(s->ctx, to + n, &rest) == 1;
	if (!good) {
		mem_wipe(to, len); /* nothing of it may be used */
		*to = '\0';
		return false;
	}
	out->len += len;
	out->data[out->len] = '\0';
	return true;
}
