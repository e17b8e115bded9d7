/* What `waypost check` prints. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "lib/net.h"
#include "settings/limits.h"
#include "settings/pool_secret.h"
#include "settings/settings_load.h"

static unsigned count_lines(const char *p)
{
	unsigned n = 0;

	for (; *p != '\0'; p++)
		n += *p == '\n';
	return n;
}

static void check_host(struct settings_load *l, unsigned line, const char *label, const char *host, const char *why)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found = NULL;
	struct net_addr a;
	int err;

	if (strcmp(host, "0") == 0 || net_addr_parse(&a, host, 0))
		return;
	err = getaddrinfo(host, NULL, &hints, &found);
	if (err == 0)
		freeaddrinfo(found);
	else
		settings_report(l->warnings, &l->text, line, "%s: %s has no address (%s); %s", label, host, gai_strerror(err), why);
}

static void check_hosts(struct settings_load *l)
{
	const struct settings *set = l->set;
	const char *listen = "the daemon cannot listen there";

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const struct protocol_settings s = protocol_settings(set, p);
		char label[SETTINGS_GROUP_MAX + 16];

		snprintf(label, sizeof(label), "%s.ADDRESS", protocols[p].group);
		if (s.served)
			check_host(l, settings_load_line_of(l, protocols[p].group, "ADDRESS"), label, s.address, listen);
	}
	if (protocols_forwarded(set) != 0)
		check_host(l, SETTINGS_LINE(l, node_PROXY_HOSTNAME), "PROXY_HOSTNAME", set->self[0],
			"the other nodes look it up the same way");
}

void settings_add_warnings(struct str *out, const char *p)
{
	while (*p != '\0') {
		size_t len = strcspn(p, "\n");

		str_addf(out, "warning: %.*s\n", (int)len, p);
		p += len + (p[len] == '\n');
	}
}

/* So that the secrets of two nodes can be compared without showing them. */
static void report_secret(const struct settings *set, struct str *out)
{
	bool from_file = set->node_POOL_SECRETFILE[0] != '\0';
	char print[POOL_SECRET_PRINT_LEN + 1];

	if (set->pool_secret[0] != '\0')
		str_addf(out, "fingerprint of the pool secret: %s%s; it must be the same on all nodes\n",
			pool_secret_print(set->pool_secret, print),
			from_file ? "" : " (derived from the TLS private key)");
}

int settings_check(const char *file, struct str *out)
{
	struct str errors = STR_INIT, warnings = STR_INIT;
	struct settings_load l;
	unsigned mistakes;

	if (settings_load_begin(&l, file, &errors, &warnings))
		check_hosts(&l);
	mistakes = count_lines(str_cstr(&errors));
	str_adds(out, str_cstr(&errors));
	settings_add_warnings(out, str_cstr(&warnings));
	if (mistakes == 0) {
		str_addf(out, "this node is %s%s%s\n", l.set->self[0], l.set->self[1][0] != '\0' ? ", also called " : "", l.set->self[1]);
		report_secret(l.set, out);
		limits_report(l.set, out);
		str_addf(out, "%s: no mistakes found\n", file);
	} else {
		str_addf(out, "%s: %u mistake%s\n", file, mistakes, mistakes == 1 ? "" : "s");
	}
	settings_load_fini(&l);
	str_fini(&errors);
	str_fini(&warnings);
	return mistakes != 0;
}
