/* Which peers get a header of the PROXY protocol. */
#include "settings/peer_header.h"

#include <string.h>
#include <strings.h>

#include "settings/peer_hosts.h"

static const char *const words[] = { "none", "v1", "v2" };

bool peer_header_next(const char **list, const char **host, size_t *host_len, unsigned *version)
{
	const char *row = *list + strspn(*list, " "), *word;
	size_t len;

	if (!peer_hosts_next(list, host, host_len, &word, &len))
		return false;
	for (*version = 0; *version < ARRAY_LEN(words); (*version)++)
		if (strlen(words[*version]) == len && strncasecmp(word, words[*version], len) == 0)
			return true;
	*list = row;
	return false;
}

unsigned peer_header_of(const char *list, const char *host, const struct net_addr *addr)
{
	const char *row;
	unsigned version;
	size_t len;

	while (peer_header_next(&list, &row, &len, &version))
		if (peer_hosts_row_has(row, len, host, addr))
			return version;
	return 0;
}
