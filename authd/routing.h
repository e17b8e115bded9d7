/* Decides where a login goes: here, or to a host of the account's mailhost that is up and has room for it. */
#ifndef AUTHD_ROUTING_H
#define AUTHD_ROUTING_H

#include "authd/request.h"

/* ROUTE: puts the hosts of mailhost into rq->route. */
enum request_state step_route(struct request *rq);
/* TARGETS: puts their known addresses into the reply, and checks whether there is room for one more login there. */
enum request_state step_targets(struct request *rq);

#endif
