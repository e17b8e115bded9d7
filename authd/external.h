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
/* RQ's certificates are good and for the name that the worker has read there, which is the one that the client wants.
 * False: RQ is to be refused; it is logged why. */
bool external_check(const struct request *rq);

#endif
