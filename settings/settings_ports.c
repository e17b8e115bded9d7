/* Lists of ports and servers, entry by entry. */
#include <string.h>

#include "lib/net.h"
#include "lib/num.h"
#include "settings/settings.h"

bool settings_port_next(const char **list, char address[SETTINGS_ADDRESS_MAX], uint16_t *port)
{
	const char *p = *list + strspn(*list, ", \t"), *dot = NULL;
	size_t len = strcspn(p, ", \t"), host = 0;
	uint64_t v;

	*list = p + len;
	address[0] = '\0';
	*port = 0;
	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++)
		if (p[i] == '.')
			dot = p + i;
	if (dot != NULL) {
		host = (size_t)(dot - p);
		if (host == 0 || host >= SETTINGS_ADDRESS_MAX)
			return true;
	}
	if (!num_parse(dot != NULL ? dot + 1 : p, dot != NULL ? len - host - 1 : len, UINT16_MAX, &v))
		return true;
	memcpy(address, p, host);
	address[host] = '\0';
	*port = (uint16_t)v;
	return true;
}

uint16_t settings_first_port(const char *list)
{
	char address[SETTINGS_ADDRESS_MAX];
	uint16_t port;

	return settings_port_next(&list, address, &port) ? port : 0;
}

bool settings_has_port(const char *list, uint16_t port)
{
	char address[SETTINGS_ADDRESS_MAX];
	uint16_t one;

	while (settings_port_next(&list, address, &one))
		if (one == port)
			return true;
	return false;
}

bool settings_has_header(const struct settings *set, enum protocol p, uint16_t port)
{
	return set->node_PROXY_PROTOCOL_FROM[0] != '\0' &&
	    settings_has_port(protocol_settings(set, p).header_ports, port);
}

bool settings_is_local(const struct settings *set, const struct net_addr *a)
{
	return net_addr_in_any(a, "127.0.0.0/8 ::1") || net_addr_in_any(a, set->proxy_PROXY_TRUSTED);
}

const char *settings_authservice(const char *map, uint16_t port, const char *normal, char *buf, size_t size)
{
	while (*map != '\0') {
		size_t len = strcspn(map, " "), digits = strspn(map, "0123456789");
		uint64_t v;

		if (digits < len && map[digits] == '=' && num_parse(map, digits, UINT16_MAX, &v) && v == port &&
		    len - digits - 1 < size) {
			memcpy(buf, map + digits + 1, len - digits - 1);
			buf[len - digits - 1] = '\0';
			return buf;
		}
		map += len + strspn(map + len, " ");
	}
	return normal;
}

int settings_server_next(const char **list, char host[SETTINGS_HOST_MAX], uint16_t *port)
{
	const char *p = *list + strspn(*list, " "), *end = p + strcspn(p, " "), *colon = NULL, *stop = end;
	uint64_t v = 0;

	*list = end;
	*port = 0;
	host[0] = '\0';
	if (p == end)
		return 0;
	if (*p == '[') {
		if ((stop = memchr(p, ']', (size_t)(end - p))) == NULL || (stop + 1 != end && stop[1] != ':'))
			return -1;
		colon = stop + 1 != end ? stop + 1 : NULL;
		p++;
	} else if (*p != '/') {
		colon = memchr(p, ':', (size_t)(end - p));
		if (colon != NULL && memchr(colon + 1, ':', (size_t)(end - colon - 1)) != NULL)
			colon = NULL; /* a bare IPv6 address */
		stop = colon != NULL ? colon : end;
	}
	if (colon != NULL && (!num_parse(colon + 1, (size_t)(end - colon - 1), UINT16_MAX, &v) || v == 0))
		return -1;
	if (p == stop || stop - p >= SETTINGS_HOST_MAX || (*p == '/' && stop - p >= SETTINGS_SOCKET_PATH_MAX))
		return -1;
	memcpy(host, p, (size_t)(stop - p));
	host[stop - p] = '\0';
	*port = (uint16_t)v;
	return 1;
}
