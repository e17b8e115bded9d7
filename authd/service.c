/* What the settings say of one protocol: its limits and switches, DEFDOMAIN, AUTHSERVICE. */
#include <string.h>
#include <unistd.h>

#include "authd/authd_priv.h"
#include "authd/peer_ports.h"
#include "lib/str.h"

static void service_of(const struct settings *set, enum protocol p, struct service *out)
{
	const struct protocol_settings s = protocol_settings(set, p);

	*out = (struct service){
		.name = protocols[p].name, .option_off = protocols[p].option_off, .option_insecure = protocols[p].option_insecure,
		.proxy_on = s.proxy, .max_sessions = s.max_sessions, .max_per_ip = s.max_per_ip, .defdomain = s.defdomain,
		.domainsep = s.domainsep, .authservice = s.authservice,
	};
}

double names_patience(const struct settings *set)
{
	return (double)set->proxy_PROXY_TIMEOUT * 0.8;
}

void services_use(struct authd *a)
{
	for (int p = 0; p < PROTOCOL_COUNT; p++)
		service_of(a->ctx.set, (enum protocol)p, &a->service[p]);
	peer_ports(a->ctx.set, a->ports);
}

bool route_of(const struct authd *a, enum protocol p, const struct account *acct, struct route *out)
{
	const struct settings *set = a->ctx.set;
	const struct route_rules rules = { .protocols = a->ports, .nprotocols = PROTOCOL_COUNT, .protocol = p,
		.proxy_on = a->service[p].proxy_on, .self = { set->self[0], set->self[1] } };
	char mailhost[1024];
	bool has = account_option(acct->options, "mailhost", mailhost, sizeof(mailhost));

	return route_decide(out, has ? mailhost : NULL, &rules);
}

bool service_name(const struct service *s, const char *name, char out[ACCOUNT_NAME_MAX])
{
	bool has_domain = s->domainsep[0] != '\0' ? strpbrk(name, s->domainsep) != NULL :
	    s->defdomain[0] == '\0' || strchr(name, s->defdomain[0]) != NULL;
	size_t len = strlen(name), more = has_domain ? 0 : strlen(s->defdomain);

	if (len + more >= ACCOUNT_NAME_MAX)
		return false;
	memcpy(out, name, len);
	memcpy(out + len, s->defdomain, more);
	out[len + more] = '\0';
	return true;
}

void service_at_port(const struct service *s, uint16_t local_port, char *out, size_t size)
{
	const char *name = settings_authservice(s->authservice, local_port, s->name, out, size);

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
	if ((acct->uid < set->node_MIN_UID && acct->uid != getuid()) || (acct->gid < set->node_MIN_UID && acct->gid != getgid())) {
		*why = "its uid or gid is below MIN_UID";
		return false;
	}
	return true;
}
