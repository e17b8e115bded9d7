#include <string.h>

#include "lib/num.h"
#include "node/settings.h"

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
