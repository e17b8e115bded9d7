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

/* What is registered comes first: it has room whatever the settings list. */
static struct route_protocol ports_of(const char *name, uint16_t plain, uint16_t tls, int64_t proxy_port, const char *list, const char *tls_list)
{
	struct route_protocol p = { .name = name, .port = proxy_port != 0 ? (uint16_t)proxy_port : settings_first_port(list) };

	add_port(&p, plain);
	add_port(&p, tls);
	add_port(&p, p.port);
	add_ports(&p, list);
	add_ports(&p, tls_list);
	return p;
}

void peer_ports(const struct settings *set, struct route_protocol out[PROTOCOL_COUNT])
{
	out[PROTOCOL_IMAP] = ports_of("imap", 143, 993, set->imapd_PROXY_PORT, set->imapd_PORT, set->imapd_ssl_SSLPORT);
	out[PROTOCOL_POP3] = ports_of("pop3", 110, 995, set->pop3d_PROXY_PORT, set->pop3d_PORT, set->pop3d_ssl_SSLPORT);
}
