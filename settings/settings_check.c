/* Makes the output of `waypost check`. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* The machine has address A: a socket can be bound to it. */
static bool is_ours(const struct net_addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = net_addr_to(a, &ss);
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ours;

	if (fd == -1)
		return true; /* not told by this */
	ours = bind(fd, (struct sockaddr *)&ss, len) == 0 || errno != EADDRNOTAVAIL;
	close(fd);
	return ours;
}

/* Looks up HOST with getaddrinfo(). NULL: it has no address, which was reported with the consequence WHY. */
static struct addrinfo *look_up(struct settings_load *l, unsigned line, const char *label, const char *host,
    const char *why)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM }, *found = NULL;
	int err = getaddrinfo(host, NULL, &hints, &found);

	if (err == 0)
		return found;
	settings_report(l->warnings, &l->text, line, "%s: %s has no address (%s); %s", label, host, gai_strerror(err),
	    why);
	return NULL;
}

static void lacks(struct settings_load *l, unsigned line, const char *label, const char *host, const struct net_addr *a)
{
	char ip[NET_IP_TEXT_MAX];

	if (is_ours(a))
		return;
	net_addr_text(a, ip);
	settings_report(l->errors, &l->text, line,
	    "%s: this machine does not have the address %s%s%s, so the daemon cannot listen there; correct it, or add "
	    "the address to the machine",
	    label, ip, strcmp(ip, host) != 0 ? " of " : "", strcmp(ip, host) != 0 ? host : "");
}

/* Checks an address or name on which the daemon should listen. */
static void check_listen(struct settings_load *l, unsigned line, const char *label, const char *host)
{
	struct addrinfo *found = NULL;
	struct sockaddr_storage ss = { 0 };
	struct net_addr a;

	if (strcmp(host, "0") == 0)
		return;
	if (net_addr_parse(&a, host, 0)) {
		lacks(l, line, label, host, &a);
		return;
	}
	found = look_up(l, line, label, host, "the daemon cannot listen there");
	for (const struct addrinfo *ai = found; ai != NULL; ai = ai->ai_next) {
		memcpy(&ss, ai->ai_addr, ai->ai_addrlen);
		net_addr_from(&a, &ss);
		a.port = 0;
		lacks(l, line, label, host, &a);
	}
	if (found != NULL)
		freeaddrinfo(found);
}

static void check_ports_of(struct settings_load *l, enum protocol p, const struct protocol_settings *s)
{
	unsigned line = settings_load_line_of(l, protocols[p].group, "PORT");
	char label[SETTINGS_GROUP_MAX + 16], address[SETTINGS_ADDRESS_MAX];
	bool shared = false;
	uint16_t port;

	snprintf(label, sizeof(label), "%s.PORT", protocols[p].group);
	for (const char *list = s->ports; settings_port_next(&list, address, &port);)
		if (address[0] != '\0')
			check_listen(l, line, label, address);
		else
			shared = true;
	snprintf(label, sizeof(label), "%s.ADDRESS", protocols[p].group);
	if (shared) /* a port without an address of its own listens at ADDRESS */
		check_listen(l, settings_load_line_of(l, protocols[p].group, "ADDRESS"), label, s->address);
}

static void check_hosts(struct settings_load *l)
{
	const char *self = l->set->self[0];
	struct addrinfo *found = NULL;
	struct net_addr a;

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const struct protocol_settings s = protocol_settings(l->set, p);

		if (s.served)
			check_ports_of(l, p, &s);
	}
	if (protocols_forwarded(l->set) != 0 && !net_addr_parse(&a, self, 0))
		found = look_up(l, SETTINGS_LINE(l, node_PROXY_HOSTNAME), "PROXY_HOSTNAME", self,
		    "the other nodes look it up the same way");
	if (found != NULL)
		freeaddrinfo(found);
}

void settings_add_warnings(struct str *out, const char *p)
{
	while (*p != '\0') {
		size_t len = strcspn(p, "\n");

		str_addf(out, "warning: %.*s\n", (int)len, p);
		p += len + (p[len] == '\n');
	}
}

static void report_secret(const struct settings *set, struct str *out)
{
	if (set->pool_secret[0] == '\0')
		return;
	str_adds(out, "fingerprint of the pool secret: ");
	pool_secret_prints(set->pool_secret, out);
	str_adds(out, "; it must be the same on all nodes\n");
}

int settings_check(const char *file, struct str *out, settings_check_fn *more)
{
	struct str errors = STR_INIT, warnings = STR_INIT, facts = STR_INIT;
	struct settings_load l;
	unsigned mistakes;

	settings_load_begin(&l, file, &errors, &warnings);
	check_hosts(&l);
	settings_rules_no_secret(&l, l.set->proxy_PROXY_TRUSTED[0] == '\0' ? l.errors : l.warnings);
	if (more != NULL)
		more(&l, &facts);
	mistakes = count_lines(str_cstr(&errors));
	str_adds(out, str_cstr(&errors));
	settings_add_warnings(out, str_cstr(&warnings));
	if (mistakes == 0) {
		str_addf(out, "this node is %s%s%s\n", l.set->self[0],
		    l.set->self[1][0] != '\0' ? ", also called " : "", l.set->self[1]);
		report_secret(l.set, out);
		str_add(out, str_cstr(&facts), facts.len);
		limits_report(l.set, out);
		str_addf(out, "%s: no mistakes found\n", file);
	} else {
		str_addf(out, "%s: %u mistake%s\n", file, mistakes, mistakes == 1 ? "" : "s");
	}
	settings_load_fini(&l);
	str_fini(&errors);
	str_fini(&warnings);
	str_fini(&facts);
	return mistakes != 0;
}
