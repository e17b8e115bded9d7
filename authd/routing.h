/* Where a login goes: here, or to a host of the account's mailhost, one that is up and has room for it. */
#ifndef AUTHD_ROUTING_H
#define AUTHD_ROUTING_H

#include "authd/request.h"

/* ROUTE: the hosts of mailhost into rq->route. */
enum request_state step_route(struct request *rq);
/* TARGETS: their addresses into the reply, as far as they are known, and whether there is room for one more login
 * there. */
enum request_state step_targets(struct request *rq);

#endif
