/* The role of a key process: holds the private keys of the node's certificates, and signs for the login workers of
 * its slot what they need for handshakes (lib/tls_scheme.h). It opens nothing, and what a worker says beyond a key's
 * number, a scheme and a digest ends that worker. */
#ifndef KEYD_KEYD_H
#define KEYD_KEYD_H

#include "node/role.h"

int keyd_main(const struct role_start *who);

#endif
