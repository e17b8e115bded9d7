/* What a monitor says of peers: each line that is taken can be written and read again, and says the same then. */
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "settings/peer_orders.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct peer_orders all = { 0 }, again = { 0 };
	struct str text = STR_INIT, bad = STR_INIT;
	unsigned nbad = peer_orders_parse(&all, (const char *)data, size, &bad);

	if ((nbad != 0) != (bad.len != 0) || all.n > PEER_ORDERS_MAX)
		abort();
	for (unsigned i = 0; i < all.n; i++) {
		peer_order_write(&all.order[i], &text);
		str_addc(&text, '\n');
	}
	if (peer_orders_parse(&again, str_cstr(&text), text.len, &bad) != 0 || again.n != all.n)
		abort();
	for (unsigned i = 0; i < all.n; i++)
		if (!peer_order_same(&all.order[i], &again.order[i]) || all.order[i].word != again.order[i].word ||
		    all.order[i].since != again.order[i].since ||
		    peer_orders_find(&all, &again.order[i]) != &all.order[i])
			abort();
	peer_orders_fini(&all);
	peer_orders_fini(&again);
	str_fini(&text);
	str_fini(&bad);
	return 0;
}
