/* Keys of session tickets. */
#include "lib/tls_ticket_keys.h"

#include <string.h>

uint32_t tls_tickets_period(int64_t now)
{
	return (uint32_t)(now / TLS_TICKETS_PERIOD);
}

static void make_key(struct mac *secret, uint32_t period, uint8_t key[MAC_LEN])
{
	static const char label[] = "waypost TLS tickets";
	uint8_t text[sizeof(label) + 4];

	memcpy(text, label, sizeof(label));
	for (int i = 0; i < 4; i++)
		text[sizeof(label) + (size_t)i] = (uint8_t)(period >> (24 - 8 * i));
	mac_compute(secret, text, sizeof(text), key);
}

void tls_ticket_keys_add(struct tls_ticket_keys *k, struct mac *secret, uint32_t period)
{
	const uint32_t periods[TLS_TICKETS_PERIODS] = { period, period - 1, period + 1 };

	for (size_t i = 0; i < ARRAY_LEN(periods) && k->n < TLS_TICKETS_KEYS; i++)
		make_key(secret, periods[i], k->key[k->n++]);
}
