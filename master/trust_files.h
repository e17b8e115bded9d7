/* The files that TLS_TRUSTCERTS names, unread. */
#ifndef MASTER_TRUST_FILES_H
#define MASTER_TRUST_FILES_H

#include "lib/str.h"

/* Appends to PEM what the file PATH holds, or all files in the folder PATH whose names do not begin with a dot. False,
 * and a sentence in WHY: that cannot be read, or is too long. */
bool trust_files(const char *path, struct str *pem, struct str *why);

#endif
