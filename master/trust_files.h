/* Files of authorities: those of clients (TLS_TRUSTCERTS), unread, and that of peers (PROXY_TLS_CAFILE). */
#ifndef MASTER_TRUST_FILES_H
#define MASTER_TRUST_FILES_H

#include "lib/str.h"

/* Appends to PEM what the file PATH holds, or all files in the folder PATH whose names do not begin with a dot. False,
 * and a sentence in WHY: that cannot be read, or is too long. */
bool trust_files(const char *path, struct str *pem, struct str *why);
/* Appends to PEM what the file PATH holds, if login workers can take it as authorities of peers: it has certificates,
 * and each can be read. False, and a sentence in WHY: they cannot; errno is ENOENT if there is no such file. */
bool trust_peers_file(const char *path, struct str *pem, struct str *why);
/* A memory file of PEM that nobody can change, to be passed to those who verify, and closed. -1, which was logged:
 * there is none. */
int trust_sealed(const struct str *pem);

#endif
