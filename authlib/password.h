/* Stored password hashes: crypt(3) of every kind that libcrypt knows ($y$ $6$ $5$ $2b$ $1$ ..., DES), and Courier's
 * {MD5} {MD5RAW} {SHA} {SHA256} {SHA512} {SSHA} {CRYPT}; the names in braces in either case.
 * Digests are compared in constant time; nothing of a password stays behind in memory. */
#ifndef AUTHLIB_PASSWORD_H
#define AUTHLIB_PASSWORD_H

#include "authlib/auth.h"

/* AUTH_OK: the password is right. AUTH_MISMATCH: it is not. AUTH_DISABLED: the hash is empty or locked (begins
 * with '*' or '!'). AUTH_BROKEN: the scheme is not known here or the hash is damaged: worth a log line.
 * Takes as long as the hash wants: up to seconds where password_is_slow(). */
enum auth_result password_check(const char *hash, const char *password);
/* The hash is one of crypt(3): made to take long, for an auth worker. All others cost microseconds. */
bool password_is_slow(const char *hash);
/* False, with the reason in *WHY (static), if HASH can match no password because it is cut or its scheme is
 * not known. Locked and empty ones are good. Costs no hashing. */
bool password_is_sound(const char *hash, const char **why);
/* "$6$", "{SSHA}", "DES", "locked", ...: which kind HASH is, for reports, into DST; returns it. */
const char *password_scheme(const char *hash, char dst[16]);

/* Number of bytes at the front of HASH that name its scheme and cost: hashes that agree in them take the same
 * time. */
size_t password_class(const char *hash);

/* A hash of the same scheme and cost as SAMPLE ("" or an unsound one: crypt(3)'s default) that no password
 * matches, into DST: what the password typed for an unknown name is checked against, so that time does not
 * tell which names exist. See userdb_dummy_hash() for the one to use. */
void password_dummy(char dst[ACCOUNT_HASH_MAX], const char *sample);

/* A new hash of PASSWORD into DST. SCHEME: "$y$", "$6$", "$5$", "$2b$", "$1$" (crypt(3)), or one of Courier's names
 * in braces but {CRYPT}; "" is crypt(3)'s default. False if the scheme is not known or not built into libcrypt. */
bool password_make(char dst[ACCOUNT_HASH_MAX], const char *scheme, const char *password);

#endif
