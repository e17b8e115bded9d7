/* The private keys of a node's certificates, by number: what a key process holds. They sign; nothing reads them. */
#ifndef KEYD_KEYRING_H
#define KEYD_KEYRING_H

#include "lib/str.h"
#include "node/msg_key.h"

enum { KEYRING_PEM_MAX = 256 * 1024 }; /* bytes of the files of one key */

struct keyring;

struct keyring *keyring_new(void);
void keyring_free(struct keyring **k);

/* Appends all of file FD to PEM, and a line end: two files of one key stand in one text. Nothing of it is left
 * elsewhere if PEM was empty before the first one. NULL, or why not. */
const char *keyring_read_file(int fd, struct str *pem);
/* Adds key number KEY from the LEN bytes of PEM, which stay the caller's (who wipes them): one private key, and its
 * certificate before those that lead to whom clients trust. False, with a reason for people in ERR: there is none, or
 * another number of them, they do not fit together, need a passphrase, have a kind that cannot sign as lib/tls_scheme.h
 * lists, or there is a key of that number. */
bool keyring_add(struct keyring *k, uint32_t key, const char *use, const void *pem, size_t len, char *err, size_t size);
/* There is a key of that number, retired or not. */
bool keyring_has(const struct keyring *k, uint32_t key);
/* The certificates of KEY, in M, valid until the key is dropped. False: there is no such key, or it was retired. */
bool keyring_certificates(const struct keyring *k, uint32_t key, struct key_chain *m);
/* When the first certificate of KEY ends, as tls_cert_until(). INT64_MAX also if there is no such key. */
int64_t keyring_until(struct keyring *k, uint32_t key);
/* Clients refuse the certificates of KEY at NOW, in unix seconds: as tls_cert_fault(). False also if there is no such
 * key. */
bool keyring_fault(struct keyring *k, uint32_t key, int64_t now, int64_t *until, struct str *why);
/* Writes KEY_CHAIN of KEY into W. False: there is no such key, or it was retired. */
bool keyring_chain(const struct keyring *k, uint32_t key, struct msgw *w);
/* The LEN bytes at P, an OCSP response, go with the certificate of KEY if they say at NOW, in unix seconds, that it is
 * good. NULL: they do, until *UNTIL; else why not. */
const char *keyring_staple(struct keyring *k, uint32_t key, const void *p, size_t len, int64_t now, int64_t *until);
/* KEY is not offered any more; it signs until keyring_expire() is called with a time from UNTIL (clock_seconds()) on.
 * False: there is no such key, or it was retired before. */
bool keyring_retire(struct keyring *k, uint32_t key, uint32_t until);
/* Drops the retired keys whose time has come at NOW. False: none are left. */
bool keyring_expire(struct keyring *k, uint32_t now);
void keyring_drop(struct keyring *k, uint32_t key);
/* Another key that is offered for the same use as KEY. False: there is none. */
bool keyring_predecessor(const struct keyring *k, uint32_t key, uint32_t *other);
/* A key that is offered for USE. False: there is none. */
bool keyring_for(const struct keyring *k, const char *use, uint32_t *key);
/* FN for each key that is offered. */
void keyring_each(const struct keyring *k, void (*fn)(uint32_t key, void *arg), void *arg);

/* As tls_signer_sign(). 0 also if there is no such key. */
size_t keyring_sign(struct keyring *k, uint32_t key, enum tls_scheme scheme, const void *digest, size_t len,
    uint8_t sig[TLS_SIGNATURE_MAX]);

#endif
