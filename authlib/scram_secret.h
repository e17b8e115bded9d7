/* The stored secret of SCRAM logins (RFC 5802, RFC 7677), as Dovecot (doveadm pw) and GNU SASL (gsasl --mkpasswd) write
 * it: {SCRAM-SHA-1} or {SCRAM-SHA-256}, then iterations, salt, StoredKey, ServerKey with commas between them, all but
 * the first in base64. With it one cannot log in, but can impersonate the server and test guessed passwords. */
#ifndef AUTHLIB_SCRAM_SECRET_H
#define AUTHLIB_SCRAM_SECRET_H

#include "lib/str.h"

enum scram_hash { SCRAM_SHA_1, SCRAM_SHA_256, SCRAM_HASH_COUNT };

enum {
	SCRAM_KEY_MAX = 32,  /* bytes of the longest key */
	SCRAM_SALT_MAX = 64, /* bytes; programs make 12 to 32 */
	/* Of a new secret: the least that RFC 7677 allows, and what others make. */
	SCRAM_ITERATIONS = 4096,
	SCRAM_ITERATIONS_MAX = 10 * 1000 * 1000 /* seconds of CPU: more is a typo */
};

/* No pointers: copy it as it is, mem_wipe() it after use. */
struct scram_secret {
	enum scram_hash hash;
	unsigned iterations;
	size_t salt_len; /* bytes, at least 1 */
	size_t key_len;  /* bytes of each key, as HASH has it */
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t stored_key[SCRAM_KEY_MAX];
	uint8_t server_key[SCRAM_KEY_MAX];
};

/* The mechanism without "-PLUS": "SCRAM-SHA-1", "SCRAM-SHA-256". */
const char *scram_hash_name(enum scram_hash h);
/* Reads a stored hash (struct account's) with its braces, the name in either case. False with WHY "" if it is not
 * one of SCRAM at all; false with the reason in WHY (static) if it is one, but cut or damaged; *S is wiped then. */
bool scram_secret_read(struct scram_secret *s, const char *hash, const char **why);
/* Computes the keys for PASSWORD from hash, iterations, salt and salt_len, which the caller has set (RFC 5802 section
 * 3), and sets key_len. The bytes of the password are used without SASLprep, as in Dovecot; that makes a difference
 * only beyond ASCII. The time depends on the iterations: for an auth worker. */
void scram_secret_derive(struct scram_secret *s, const char *password);
/* PASSWORD is the one that S was made of. As slow as scram_secret_derive(); compares in constant time. */
bool scram_secret_verify(const struct scram_secret *s, const char *password);
/* Appends the stored form, braces included: what scram_secret_read() takes. */
void scram_secret_add(struct str *out, const struct scram_secret *s);

#endif
