/* The keys of TLS session tickets, of the pool's secrets and the time, for the login workers. Private to authd/. */
#ifndef AUTHD_TICKET_KEYS_H
#define AUTHD_TICKET_KEYS_H

#include "authd/authd_private.h"

/* To the new worker W. */
void ticket_keys_send(struct authd_worker *w);
/* To all workers, if the wall clock has come to another period. To be called often: it may jump. */
void ticket_keys_tick(struct authd *a);
/* To all workers: the pool has other secrets. */
void ticket_keys_changed(struct authd *a);

#endif
