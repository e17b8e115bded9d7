/* Logins by a client's certificate (SASL EXTERNAL): what the login worker says is verified again here, so that one that
 * was taken over can claim no account but those whose certificates it has. That the client has the key is the worker's
 * word. Private to authd/. */
#ifndef AUTHD_EXTERNAL_H
#define AUTHD_EXTERNAL_H

#include "authd/request.h"

/* FD, a memory file that is the caller's, has those whom clients of P have their certificates from, from now on; as
 * client_certs_trust(). */
void external_trust(struct authd *a, enum protocol p, int fd);
/* Authorities are there against which RQ's certificates can be verified. */
bool external_is_ready(const struct request *rq);
/* OK: RQ's certificates are good and for the name that the worker has read there, which the client wants. Else how RQ
 * is to be refused, and why, for the log, in WHY. The worker has believed the certificate: that it is not believed here
 * is WRONG only if it has expired or was revoked meanwhile; else something is the matter with us. None of this depends
 * on whether there is an account. */
enum auth_verdict external_check(const struct request *rq, char why[AUTH_REASON_MAX]);
/* For the log, after the certificate: why RQ, whose account was looked up with the result rq->result, which is no
 * success, cannot be logged in. */
const char *external_why_no_account(const struct request *rq);

#endif
