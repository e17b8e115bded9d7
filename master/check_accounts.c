/* Checks accounts of the userdb for `waypost check`. */
#include "master/check_accounts.h"

#include <stdio.h>
#include <string.h>

#include "settings/local_server.h"
#include "settings/peer_tls.h"
#include "settings/replicated.h"

enum { NAMED_MAX = 10 };

void check_accounts_init(struct check_accounts *c, const struct settings *set)
{
	memset(c, 0, sizeof(*c));
	peer_ports(set, c->ports);
	c->set = set;
	c->forwarded = protocols_forwarded(set);
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const struct protocol_settings s = protocol_settings(set, p);
		const struct local_server server = local_server_of(set, p);

		c->other_server[p] = server.kind != LOCAL_SERVER_BUILTIN;
		c->served[p] = set->has[p] && protocols[p].has_login;
		c->has_tls[p] = s.has_certificate;
	}
}

static void count(struct check_count *c, const char *name)
{
	if (c->n++ == 0)
		str_copy(c->first, sizeof(c->first), name);
}

/* Checks that apply wherever the mail is. */
static void count_effects(struct check_accounts *c, const struct account *a)
{
	if (a->quota[0] != '\0')
		count(&c->quota, a->name);
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (c->served[p] && c->other_server[p] && replicated_of(a->options) == REPLICATED_SINGLE)
			count(&c->single[p], a->name);
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (c->served[p] && !c->has_tls[p] && options_is_on(a->options, protocols[p].option_insecure) &&
		    !options_is_on(a->options, protocols[p].option_off))
			count(&c->insecure[p], a->name);
}

/* A host of MAILHOST, of an account with OPTIONS, has a port for clients that begin with TLS, and this node would not.
 * RULES are changed. */
static bool has_tls_port(const struct check_accounts *c, const char *options, const char *mailhost,
    struct route_rules *rules)
{
	enum peer_tls tls;
	struct route r;

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		rules->protocol = p;
		if (!c->served[p] || !route_decide(&r, mailhost, rules))
			continue;
		for (unsigned i = 0; i < r.n; i++)
			for (enum protocol q = 0; q < PROTOCOL_COUNT; q++)
				if (r.host[i].port == protocols[q].tls_port &&
				    peer_tls_of(c->set, options, r.host[i].name, &tls) && tls != PEER_TLS_IMPLICIT)
					return true;
	}
	return false;
}

/* The logins of account A fail. */
static bool cannot(struct check_accounts *c, const struct account *a, const char *why)
{
	if (c->bad++ < NAMED_MAX)
		str_addf(&c->text, "warning: account %s cannot log in: %s\n", a->name, why);
	return true;
}

bool check_accounts_one(void *arg, const struct account *a, const char *why)
{
	struct check_accounts *c = arg;
	struct route_rules rules = {
		.protocols = c->ports,
		.nprotocols = PROTOCOL_COUNT,
		.proxy_on = c->forwarded != 0,
		.self = { "", "" },
	};
	char mailhost[1024], text[PEER_TLS_WHY_MAX];
	struct route r;

	if (why == NULL)
		count_effects(c, a);
	if (why != NULL || !options_get(a->options, "mailhost", mailhost, sizeof(mailhost)))
		return true;
	if (!route_decide(&r, mailhost, &rules))
		return cannot(c, a, r.why);
	if (r.n > 1 && replicated_of(a->options) == REPLICATED_MISTAKE)
		return cannot(c, a, "the option replicated is none of the words shared and single");
	if (r.n > 1 && replicated_of(a->options) == REPLICATED_NO)
		count(&c->lists, a->name);
	if (r.n != 0 && peer_tls_is_mistake(a->options, text))
		return cannot(c, a, text);
	for (unsigned i = 0; i < r.n && c->forwarded > 1; i++)
		if (r.host[i].source == ROUTE_PORT_SHARED) {
			count(&c->shared, a->name);
			break;
		}
	if (has_tls_port(c, a->options, mailhost, &rules))
		count(&c->tls_port, a->name);
	return true;
}

static void tell(struct str *out, const struct check_count *c, const char *what, const char *then)
{
	if (c->n != 0)
		str_addf(out, "warning: %llu account%s (first: %s) with %s%s\n", (unsigned long long)c->n,
		    c->n == 1 ? "" : "s", c->first, what, then);
}

void check_accounts_report(struct check_accounts *c, struct str *out)
{
	str_add(out, str_cstr(&c->text), c->text.len);
	if (c->bad > NAMED_MAX)
		str_addf(out,
		    "warning: %llu accounts cannot log in because of their mailhost, proxytls or replicated\n",
		    (unsigned long long)c->bad);
	tell(out, &c->shared, "a port in mailhost",
	    " that is used for both IMAP and POP3; if the ports differ write HOST:imap=PORT:pop3=PORT");
	tell(out, &c->lists, "several mailhosts, without the option replicated",
	    ": of nodes of this pool only the first serves them; README.proxy (section 7) tells when others may");
	tell(out, &c->tls_port, "port 993 or 995 in mailhost",
	    ", where a server expects TLS from the first byte: logins fail until PROXY_TLS, or PROXY_TLS_PEERS for it, "
	    "is \"implicit\"");
	tell(out, &c->quota, "a quota", ", which has no effect; not in this version: quotas");
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		char what[64];

		snprintf(what, sizeof(what), "replicated=single and %s", protocols[p].local_server);
		tell(out, &c->single[p], what,
		    ": this node refuses them, because that server does not know which node may serve; use "
		    "replicated=shared, or Waypost's own server");
	}
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		tell(out, &c->insecure[p], protocols[p].option_insecure,
		    ": such logins are refused, because there is no TLS_CERTFILE, unless they come through a node or "
		    "proxy that says the client uses TLS (PROXY_TRUSTED)");
	str_fini(&c->text);
}
