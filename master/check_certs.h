/* For `waypost check`: the certificates that the settings name, read as key processes do (keyd/keyring.h), and what
 * clients would say of them (lib/tls_cert.h). */
#ifndef MASTER_CHECK_CERTS_H
#define MASTER_CHECK_CERTS_H

#include "settings/settings.h"

/* A settings_check_fn. FACTS: for each certificate its names, and until when it is valid. */
void check_certs(struct settings_load *l, struct str *facts);

#endif
