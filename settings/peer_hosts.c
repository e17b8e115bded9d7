/* Whether a peer is one of a list. */
#include "settings/peer_hosts.h"

#include <string.h>
#include <strings.h>

bool peer_hosts_row_is(const char *row, size_t len, const char *host)
{
	size_t host_len = strlen(host);

	len -= len > 1 && row[len - 1] == '.';
	host_len -= host_len != 0 && host[host_len - 1] == '.';
	if (row[0] == '.' && host_len > len) {
		host += host_len - len;
		host_len = len;
	}
	return host_len == len && strncasecmp(row, host, len) == 0;
}

bool peer_hosts_next(const char **list, const char **host, size_t *host_len, const char **word, size_t *word_len)
{
	const char *row = *list + strspn(*list, " ");
	size_t len = strcspn(row, " ");
	const char *is = memrchr(row, '=', len);

	*list = row;
	if (is == NULL || is == row)
		return false;
	*host = row;
	*host_len = (size_t)(is - row);
	*word = is + 1;
	*word_len = (size_t)(row + len - is - 1);
	*list = row + len;
	return true;
}

bool peer_hosts_row_has(const char *row, size_t len, const char *host, const struct net_addr *addr)
{
	char network[NET_IP_TEXT_MAX];

	if (peer_hosts_row_is(row, len, host))
		return true;
	if (len >= sizeof(network))
		return false;
	memcpy(network, row, len);
	network[len] = '\0';
	return net_addr_in(addr, network);
}

bool peer_hosts_has(const char *list, const char *host, const struct net_addr *addr)
{
	size_t len;

	for (; *list != '\0'; list += len, list += *list == ' ') {
		len = strcspn(list, " ");
		if (peer_hosts_row_has(list, len, host, addr))
			return true;
	}
	return false;
}

bool peer_hosts_word_ok(const char *word)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t len = strlen(word), digits = strspn(word, "0123456789.");

	if (net_is_network(word))
		return true;
	/* Digits alone are a mistyped address. */
	return len != 0 && digits != len && strspn(word, letters) == len && strcmp(word, ".") != 0;
}
