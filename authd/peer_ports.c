/* The ports at which the nodes of a pool serve, out of the settings. */
#include "authd/peer_ports.h"

static void add_port(struct route_protocol *p, uint16_t port)
{
	if (port != 0 && p->n < ARRAY_LEN(p->known))
		p->known[p->n++] = port;
}

static void add_ports(struct route_protocol *p, const char *list)
{
	char address[SETTINGS_ADDRESS_MAX];
	uint16_t port;

	while (settings_port_next(&list, address, &port))
		add_port(p, port);
}

void peer_ports(const struct settings *set, struct route_protocol out[PROTOCOL_COUNT])
{
	for (enum protocol i = 0; i < PROTOCOL_COUNT; i++) {
		const struct protocol_settings s = protocol_settings(set, i);
		struct route_protocol *p = &out[i];

		*p = (struct route_protocol){
			.name = protocols[i].name,
			.port = s.proxy_port != 0 ? (uint16_t)s.proxy_port : settings_first_port(s.ports),
			.tls_port = s.proxy_port != 0             ? (uint16_t)s.proxy_port :
			    settings_first_port(s.tls_ports) != 0 ? settings_first_port(s.tls_ports) :
			                                            protocols[i].tls_port,
		};
		/* Registered ports come first: they have room whatever the settings list. */
		add_port(p, protocols[i].port);
		add_port(p, protocols[i].tls_port);
		add_port(p, p->port);
		add_ports(p, s.ports);
		add_ports(p, s.tls_ports);
	}
}
