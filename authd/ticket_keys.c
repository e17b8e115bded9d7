/* Keys of TLS session tickets. */
#include "authd/ticket_keys.h"

#include <time.h>

#include "lib/log.h"
#include "lib/mem.h"

_Static_assert((int)TLS_TICKETS_SECRETS >= (int)POOL_SECRETS_MAX, "each secret opens tickets");

static void make(const struct authd *a, struct tls_ticket_keys *k)
{
	k->n = 0;
	for (size_t i = 0; a->pool != NULL && i < a->pool->n; i++)
		tls_ticket_keys_add(k, a->pool->key[i], a->ticket_period);
	if (a->pool == NULL)
		tls_ticket_keys_add(k, a->own_secret, a->ticket_period);
}

void ticket_keys_send(struct authd_worker *w)
{
	static struct msgw out;
	struct tls_ticket_keys k;

	make(w->a, &k);
	auth_ticket_keys_write(&out, &k);
	if (chan_send(w->chan, &out, -1) != 0)
		log_warn("worker %u does not read its messages: its TLS session tickets go out of date", w->slot);
	mem_wipe(out.buf, out.len);
	mem_wipe(&k, sizeof(k));
}

void ticket_keys_changed(struct authd *a)
{
	for (struct authd_worker *w = a->workers; w != NULL; w = w->next)
		ticket_keys_send(w);
}

void ticket_keys_tick(struct authd *a)
{
	uint32_t period = tls_tickets_period((int64_t)time(NULL));

	if (period == a->ticket_period)
		return;
	a->ticket_period = period;
	ticket_keys_changed(a);
}
