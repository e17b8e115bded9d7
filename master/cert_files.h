/* The files of certificates that the settings name, and those beside them that follow from their names, as Courier has
 * them: TLS_CERTFILE.NAME for who asks for the host NAME, TLS_CERTFILE.ADDRESS for who connects to ADDRESS; behind each
 * of them ".rsa" or ".ecdsa" for a certificate with another kind of key for the same clients, as HAProxy has them, and
 * ".ocsp" for the OCSP response that is sent with it. Names are not looked at in the files. */
#ifndef MASTER_CERT_FILES_H
#define MASTER_CERT_FILES_H

#include "lib/str.h"
#include "node/msg_key.h"
#include "settings/settings.h"

enum { CERT_FILES_MAX = 20000 }; /* of a protocol beside TLS_CERTFILE, or in TLS_CERTDIR */

/* A folder of which a walk could not tell all. */
struct cert_files_gap {
	int error; /* errno: it, or what is in it, could not be read, so nobody knows what is there. 0: there are more
	            * than CERT_FILES_MAX, and some were left out */
	char folder[KEY_FILE_MAX];
};
/* All of them, each once for an error and once for 0. */
enum { CERT_FILES_GAPS_MAX = PROTOCOL_COUNT * 2 * 2 };
struct cert_files_gaps {
	unsigned n;
	struct cert_files_gap gap[CERT_FILES_GAPS_MAX];
};

/* There are some whose error is not 0. */
bool cert_files_gaps_are_blind(const struct cert_files_gaps *gaps);
/* Appends what is wrong, for log and status. */
void cert_files_gap_text(const struct cert_files_gap *gap, struct str *out);

/* FILE has the certificate for USE (node/key_use.h), KEY its private half ("": FILE has it, too), OCSP the response if
 * there is such a file. */
typedef void cert_files_fn(void *arg, const char *use, const char *file, const char *key, const char *ocsp);

/* FN for each, for all protocols that are served with TLS, and for the one that peers are shown. TLS_CERTFILE is told
 * even if it is not there, unless one with ".rsa" or ".ecdsa" is. Reads folders. */
void cert_files_each(const struct settings *set, cert_files_fn *fn, void *arg, struct cert_files_gaps *gaps);

/* FILE, which stands where the setting NAME of protocol P looks, seems to be meant for it, and is used for nothing:
 * WHY, for people. */
typedef void cert_files_odd_fn(void *arg, enum protocol p, const char *name, const char *file, const char *why);
/* FN for each such file. */
void cert_files_each_odd(const struct settings *set, cert_files_odd_fn *fn, void *arg);

#endif
