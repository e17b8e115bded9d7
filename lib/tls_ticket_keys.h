/* The keys of session tickets (lib/tls_tickets.h) that every node of a pool has at the same time: they come from a
 * secret and the time. Who has the secret makes them; who serves TLS gets those of three periods, because clocks differ
 * and a ticket lives for a period, and cannot make others. */
#ifndef LIB_TLS_TICKET_KEYS_H
#define LIB_TLS_TICKET_KEYS_H

#include "lib/mac.h"

enum {
	TLS_TICKETS_PERIOD = 6 * 3600, /* seconds */
	TLS_TICKETS_PERIODS = 3,
	TLS_TICKETS_SECRETS = 8,
	TLS_TICKETS_KEYS = TLS_TICKETS_PERIODS * TLS_TICKETS_SECRETS
};

/* The first one makes tickets, all open them. */
struct tls_ticket_keys {
	unsigned n;
	uint8_t key[TLS_TICKETS_KEYS][MAC_LEN];
};

/* The number of the period in which the wall clock's second NOW lies. */
uint32_t tls_tickets_period(int64_t now);
/* Appends to K the keys from SECRET of PERIOD, the one before and the next one; as far as K has room. A
 * secret that is being replaced comes after its successor, so that what was made with it is still opened. */
void tls_ticket_keys_add(struct tls_ticket_keys *k, struct mac *secret, uint32_t period);

#endif
