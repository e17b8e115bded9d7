/* An account's mailhost from a directory: each accepted host has a name and a port, whatever was decided before. */
#include <string.h>

#include "lib/mem.h"
#include "proxy/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct route_protocol ports[] = { { "imap", 143, 0, 2, { 143, 993 } },
	{ "pop3", 110, 0, 2, { 110, 995 } } };

static bool decide(const char *mailhost, unsigned protocol, struct route *r)
{
	struct route_rules rules = {
		.protocols = ports,
		.nprotocols = 2,
		.protocol = protocol,
		.proxy_on = true,
		.self = { "self.example.com", "self" },
	};
	bool good = route_decide(r, mailhost, &rules);

	if (r->why == NULL || r->n > ROUTE_HOSTS_MAX)
		__builtin_trap();
	for (unsigned i = 0; good && i < r->n; i++)
		if (r->host[i].port == 0 || r->host[i].name[0] == '\0' ||
		    strpbrk(r->host[i].name, " \t\r\n,=[]") != NULL)
			__builtin_trap();
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct route imap, pop3;
	char *mailhost = mem_alloc(size + 1);

	memcpy(mailhost, data, size);
	mailhost[size] = '\0';
	if (decide(mailhost, 0, &imap) != decide(mailhost, 1, &pop3) || imap.n != pop3.n)
		__builtin_trap();
	for (unsigned i = 0; i < imap.n; i++)
		if (strcmp(imap.host[i].name, pop3.host[i].name) != 0 || imap.host[i].self != pop3.host[i].self ||
		    imap.host[i].written != pop3.host[i].written)
			__builtin_trap();
	mem_free(&mailhost);
	return 0;
}
