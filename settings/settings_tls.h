/* What the -ssl groups say of TLS itself, for those who make contexts of libssl, and its check. */
#ifndef SETTINGS_SETTINGS_TLS_H
#define SETTINGS_SETTINGS_TLS_H

#include "settings/settings_load.h"

/* The oldest version (TLS1_2_VERSION or later) that WORDS permit, a TLS_PROTOCOL or TLS_STARTTLS_PROTOCOL: Courier's,
 * as it has them with OpenSSL ("TLSv1.2+") and with GnuTLS ("TLS1_3:TLS1_2"). *OLD: they permit older ones, too, which
 * are never used. 0: a word is unknown, or there is none. */
int settings_tls_least(const char *words, bool *old);
/* Checks the -ssl group of protocol P. */
void settings_rules_tls(struct settings_load *l, enum protocol p);

#endif
