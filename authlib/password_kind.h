/* Inside of password.c: the kinds of stored passwords that schemes are made of. */
#ifndef AUTHLIB_PASSWORD_KIND_H
#define AUTHLIB_PASSWORD_KIND_H

#include "authlib/auth.h"
#include "lib/str.h"

/* A name in braces, and its meaning. */
struct password_scheme {
	const char *name; /* without braces, in capitals; "" for hashes without a name */
	const struct password_kind *kind;
	const char *digest; /* OpenSSL's name, where the kind has use for one */
	unsigned len;       /* bytes of the digest */
	unsigned salt;      /* bytes of salt in new ones, 0 = unsalted */
	bool hex;           /* written in hex where nothing else is said */
};

/* BODY: what stands behind the braces; the bytes themselves where the kind is binary (they may hold NUL), else text. */
struct password_kind {
	bool slow;   /* slow by design */
	bool binary; /* stands encoded behind the braces */
	/* NULL, or why no password can match: static text. Costs no hashing. */
	const char *(*wrong)(const struct password_scheme *s, const struct str *body);
	/* BODY is sound. AUTH_TRY_LATER: it could not be computed, which was logged. */
	enum auth_result (*check)(const struct password_scheme *s, const struct str *body, const char *password);
	/* Bytes at the front of BODY that name the cost; whole or damaged. NULL: 0. */
	size_t (*class)(const char *body);
	/* Changes the valid BODY so that it takes the same time but matches no password. */
	void (*dummy)(const struct password_scheme *s, struct str *body);
	/* A new one into the empty BODY; false if it cannot be made here. NULL: never is. */
	bool (*make)(const struct password_scheme *s, struct str *body, const char *password);
};

/* password.c: plain digests and HMAC states; the password itself. */
extern const struct password_kind password_digest, password_cram, password_clear_text;
/* password_crypt.c */
extern const struct password_kind password_crypt;
/* password_argon2.c, password_pbkdf2.c */
extern const struct password_kind password_argon2, password_pbkdf2;
/* scram_secret.c reads and writes it including its name; password.c adapts it. */
extern const struct password_kind password_scram;

/* Base64 without its padding, as crypt-like texts have it; PLUS stands for '+'. As b64_decode(), but unused bits must
 * be 0, so that there is only one spelling. */
bool password_b64_decode(struct str *out, const char *p, size_t len, char plus);
void password_b64_encode(struct str *out, const void *p, size_t len);

/* password_crypt.c, for reports: which kind of crypt(3) hash TEXT is: its prefix, "DES", "unknown". */
const char *password_crypt_name(const char *text);
/* A setting of crypt(3)'s default scheme with a digest that matches no password. */
void password_crypt_default(char dst[ACCOUNT_HASH_MAX]);
/* A new hash of the crypt(3) scheme with that prefix ("": the default). */
bool password_crypt_make(char dst[ACCOUNT_HASH_MAX], const char *prefix, const char *password);

#endif
