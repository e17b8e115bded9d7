/* Logins by the certificate that the client has shown on this very connection (SASL EXTERNAL, RFC 4422 appendix A). */
#ifndef LOGIN_EXTERNAL_H
#define LOGIN_EXTERNAL_H

#include "login/login.h"

/* L's client, which speaks TLS, may be one that logs in by its certificate, as soon as that is known. */
bool external_is_possible(const struct login *l);
/* The login name in the certificate of L's client, which was verified, into NAME. False: there is none; nothing that
 * the client says makes up for that. */
bool external_name(const struct login *l, char name[ACCOUNT_NAME_MAX]);
/* The same for a client that wants to log in by its certificate: if it cannot, the log says why, once. */
bool external_begins(struct login *l);
/* For struct auth_request: its certificates, in DER, one after the other, its own first. */
void external_certs(const struct login *l, struct str *out);

#endif
