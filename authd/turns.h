/* Logins after the start take turns: what they need (directories, slow hashes, peers, disks) is cold, and all clients
 * that were disconnected come at once. For TURNS_SECONDS from authd's start, LOGIN_START_RATE logins begin in a second;
 * others wait in the order of their arrival, as many as can begin while a client or a node that forwards them waits. */
#ifndef AUTHD_TURNS_H
#define AUTHD_TURNS_H

#include "authd/request.h"

enum { TURNS_SECONDS = 60 };

void turns_init(struct authd *a);
/* RQ begins: its next state is LOOKUP, TURN (it waits), or that of its refusal. */
enum request_state turns_take(struct request *rq);
/* RQ, in state TURN, comes into the queue, or out of it. */
void turns_enter(struct request *rq);
void turns_leave(struct request *rq);

#endif
