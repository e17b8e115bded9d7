/* Option lists of accounts, and networks: "options LF defaults LF network LF address". Existing options are kept,
 * others come from the defaults; an address is in its own network and in that of all addresses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/net.h"
#include "node/account.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Option NAME as OPTIONS has it, then as FIRST or else SECOND do. */
static void check_option(const char *options, const char *first, const char *second, const char *name)
{
	char got[64], want[64];
	bool there = options_get(first, name, want, sizeof(want)) || options_get(second, name, want, sizeof(want));

	if (options_get(options, name, got, sizeof(got)) != there || (there && strcmp(got, want) != 0) ||
	    (!there && options_is_on(options, name)))
		abort();
}

static void check_options(const char *options, const char *defaults)
{
	static const char *const names[] = { "mailhost", "disableimap", "disableinsecureimap", "a", "b" };
	char *merged = mem_strdup(options), *again;

	account_default_options(&merged, defaults);
	if (strncmp(merged, options, strlen(options)) != 0)
		abort();
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		check_option(merged, options, defaults, names[i]);
	again = mem_strdup(merged);
	account_default_options(&again, defaults);
	if (strcmp(again, merged) != 0)
		abort();
	mem_free(&merged);
	mem_free(&again);
}

static void check_networks(const char *network, const char *text)
{
	char one[NET_IP_TEXT_MAX], all[NET_IP_TEXT_MAX + 4];
	struct net_addr a, b;

	if (!net_addr_parse(&a, text, 1))
		return;
	net_addr_text(&a, one);
	snprintf(all, sizeof(all), "%s/0", one);
	if (!net_addr_parse(&b, one, 2) || !net_addr_same_ip(&a, &b) || !net_addr_in(&a, one) || !net_addr_in(&a, all))
		abort();
	if (net_addr_in(&a, network) && strchr(network, '/') == NULL && net_addr_parse(&b, network, 1) &&
	    !net_addr_same_ip(&a, &b))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { PARTS = 4 };
	char *text = mem_memdup(data, size), *part[PARTS] = { text, text + size, text + size, text + size };

	for (size_t i = 1; i < PARTS; i++) {
		part[i] = strchr(part[i - 1], '\n');
		if (part[i] == NULL)
			part[i] = text + size;
		else
			*part[i]++ = '\0';
	}
	check_options(part[0], part[1]);
	check_networks(part[2], part[3]);
	mem_free(&text);
	return 0;
}
