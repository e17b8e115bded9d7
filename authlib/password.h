/* Stored passwords: crypt(3) of every kind that libcrypt knows ($y$ $6$ $5$ $2b$ $1$ ..., DES); Argon2 ($argon2id$
 * ...); and behind a name in braces, in either case, those of Courier, Dovecot and OpenLDAP:
 *
 *   {CRYPT}, {MD5-CRYPT} {SHA256-CRYPT} {SHA512-CRYPT} {BLF-CRYPT} {DES-CRYPT}   crypt(3), whichever it is
 *   {ARGON2} {ARGON2I} {ARGON2ID}                            Argon2, whichever it is
 *   {MD5} {LDAP-MD5} {PLAIN-MD5} {MD5RAW} {SHA} {SHA1} {SHA256} {SHA384} {SHA512}   a digest
 *   {SMD5} {SSHA} {SSHA256} {SSHA384} {SSHA512}              digest of password and salt, then the salt, of any length
 *   {PBKDF2}, {PBKDF2-SHA1} {PBKDF2-SHA256} {PBKDF2-SHA512}  Dovecot's $1$SALT$ROUNDS$HEX; OpenLDAP's ROUNDS$SALT$KEY
 *   {SCRAM-SHA-1} {SCRAM-SHA-256}                            see scram_secret.h
 *   {CRAM-MD5} {HMAC-MD5}                                    see hmac_state.h
 *   {PLAIN} {CLEAR} {CLEARTEXT}                              the password itself
 *
 * If programs use one name for different things, the shape decides: {MD5} is crypt(3)'s if it begins with $1$
 * (Dovecot), else a digest (Courier, LDAP); a digest without salt may be in hex or base64, as its length says. A name
 * may end in .HEX, .B64 or .BASE64 (Dovecot): how the rest is written. Costs are limited, so that a typo takes neither
 * all memory nor a worker for minutes: a hash that exceeds them is unsound. Digests are compared in constant time;
 * nothing of a password is left in memory. */
#ifndef AUTHLIB_PASSWORD_H
#define AUTHLIB_PASSWORD_H

#include "authlib/auth.h"

/* HASH was made unusable by a '*' or '!' at its front, or after {CRYPT} and similar. */
bool password_is_locked(const char *hash);
/* AUTH_OK: the password is right. AUTH_MISMATCH: it is not. AUTH_DISABLED: the hash is empty or password_is_locked().
 * AUTH_BROKEN: the scheme is not known here or the hash is damaged: worth a log line. AUTH_TRY_LATER: there was no
 * memory for Argon2, or its library is missing, which was logged. May take seconds if password_is_slow(). */
enum auth_result password_check(const char *hash, const char *password);
/* The hash is one of crypt(3), Argon2, PBKDF2, SCRAM: slow by design, so for an auth worker. All others take
 * microseconds. */
bool password_is_slow(const char *hash);
/* False, with the reason in *WHY (static), if HASH can match no password because it is truncated or its scheme is
 * unknown. True for locked and empty ones. Costs no hashing. */
bool password_is_sound(const char *hash, const char **why);
/* "$6$", "{SSHA}", "DES", "locked", ...: which kind HASH is, for reports, into DST; returns it. */
const char *password_scheme(const char *hash, char dst[16]);

/* Number of bytes at the front of HASH that name its scheme and cost: hashes that agree in them take the same
 * time. */
size_t password_class(const char *hash);

/* A hash of the same scheme and cost as SAMPLE ("" or an unsound one: crypt(3)'s default) that no password matches,
 * into DST: passwords for unknown names are checked against it, so that the time does not reveal which names exist. See
 * userdb_dummy_hash() for the one to use. */
void password_dummy(char dst[ACCOUNT_HASH_MAX], const char *sample);

/* HASH is a clear password ({PLAIN} and similar): true, and the password in DST, which the caller wipes. */
bool password_clear(const char *hash, char dst[ACCOUNT_PASSWORD_MAX]);

/* A new hash of PASSWORD into DST. SCHEME: "$y$", "$6$", "$5$", "$2b$", "$1$" (crypt(3)); "" is crypt(3)'s default; a
 * name in braces of a digest, Argon2 or SCRAM. False if the scheme is unknown, not built into libcrypt, or one of the
 * others, which are not supported here. */
bool password_make(char dst[ACCOUNT_HASH_MAX], const char *scheme, const char *password);

#endif
