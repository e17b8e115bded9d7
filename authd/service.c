/* What the settings say about a login by one protocol: its route, DEFDOMAIN, AUTHSERVICE. */
#include <string.h>
#include <unistd.h>

#include "authd/authd_private.h"
#include "lib/die.h"
#include "lib/str.h"
#include "settings/replicated.h"

double names_patience(const struct settings *set)
{
	return (double)set->proxy_PROXY_TIMEOUT * 0.8;
}

/* How the hosts of R are spoken to, and at which port if mailhost says none. False: R->why. */
static bool choose_tls(const struct authd *a, enum protocol p, const struct account *acct, struct route *r)
{
	static char why[PEER_TLS_WHY_MAX]; /* for the one who asked, at once */

	if (r->n != 0 && peer_tls_is_mistake(acct->options, why)) {
		r->why = why;
		return false;
	}
	for (unsigned i = 0; i < r->n; i++) {
		struct route_host *h = &r->host[i];
		enum peer_tls tls;

		DIE_IF(!peer_tls_of(a->ctx.set, acct->options, h->name, &tls));
		h->tls = tls;
		if (tls == PEER_TLS_IMPLICIT && (h->source == ROUTE_PORT_DEFAULT || h->source == ROUTE_PORT_OTHERS))
			h->port = a->ports[p].tls_port;
	}
	return true;
}

bool route_of(const struct authd *a, enum protocol p, const struct account *acct, struct route *out)
{
	const struct settings *set = a->ctx.set;
	const struct route_rules rules = { .protocols = a->ports,
		.nprotocols = PROTOCOL_COUNT,
		.protocol = p,
		.proxy_on = protocol_settings(set, p).proxy,
		.self = { set->self[0], set->self[1] } };
	char mailhost[1024];
	bool has = options_get(acct->options, "mailhost", mailhost, sizeof(mailhost));

	if (!route_decide(out, has ? mailhost : NULL, &rules))
		return false;
	if ((out->n > 1 || out->later) && replicated_of(acct->options) == REPLICATED_MISTAKE) {
		out->why = "the option replicated is none of the words shared and single";
		return false;
	}
	return choose_tls(a, p, acct, out);
}

bool name_with_domain(const struct settings *set, enum protocol p, const char *name, char out[ACCOUNT_NAME_MAX])
{
	const struct protocol_settings s = protocol_settings(set, p);
	bool has_domain = s.domainsep[0] != '\0' ? strpbrk(name, s.domainsep) != NULL :
	                                           s.defdomain[0] == '\0' || strchr(name, s.defdomain[0]) != NULL;
	size_t len = strlen(name), more = has_domain ? 0 : strlen(s.defdomain);

	if (len + more >= ACCOUNT_NAME_MAX)
		return false;
	memcpy(out, name, len);
	memcpy(out + len, s.defdomain, more);
	out[len + more] = '\0';
	return true;
}

void service_at_port(const struct settings *set, enum protocol p, uint16_t local_port, char *out, size_t size)
{
	const char *name =
	    settings_authservice(protocol_settings(set, p).authservice, local_port, protocols[p].name, out, size);

	if (name != out)
		str_copy(out, size, name);
}

bool account_allowed(const struct settings *set, const struct account *acct, const char **why)
{
	if (acct->uid == 0 || acct->gid == 0) {
		*why = "its uid or gid is 0, which is never allowed; change the ids of the account";
		return false;
	}
	/* An ordinary user who runs the node may serve its own mail, whatever its id. */
	if ((acct->uid < set->node_MIN_UID && acct->uid != getuid()) ||
	    (acct->gid < set->node_MIN_UID && acct->gid != getgid())) {
		*why = "its uid or gid is below MIN_UID";
		return false;
	}
	return true;
}
