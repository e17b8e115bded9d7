/* Mailhosts of the userdb as `waypost check` judges them. */
#include "master/check_mailhost.h"

#include <string.h>

enum { NAMED_MAX = 10 };

void check_mailhost_init(struct check_mailhost *c, const struct settings *set)
{
	memset(c, 0, sizeof(*c));
	peer_ports(set, c->ports);
	c->forwarded = protocols_forwarded(set);
}

bool check_mailhost_account(void *arg, const struct account *a, const char *why)
{
	struct check_mailhost *c = arg;
	const struct route_rules rules = { .protocols = c->ports, .nprotocols = PROTOCOL_COUNT, .proxy_on = c->forwarded != 0, .self = { "", "" } };
	char mailhost[1024];
	struct route r;

	if (why != NULL || !account_option(a->options, "mailhost", mailhost, sizeof(mailhost)))
		return true;
	if (!route_decide(&r, mailhost, &rules)) {
		if (c->bad++ < NAMED_MAX)
			str_addf(&c->text, "warning: account %s cannot log in: %s\n", a->name, r.why);
		return true;
	}
	for (unsigned i = 0; i < r.n && c->forwarded > 1; i++)
		if (r.host[i].source == ROUTE_PORT_SHARED) {
			if (c->shared++ == 0)
				str_copy(c->first_shared, sizeof(c->first_shared), a->name);
			break;
		}
	return true;
}

void check_mailhost_report(struct check_mailhost *c, struct str *out)
{
	str_add(out, str_cstr(&c->text), c->text.len);
	if (c->bad > NAMED_MAX)
		str_addf(out, "warning: %llu accounts cannot log in because of their mailhost\n", (unsigned long long)c->bad);
	if (c->shared != 0)
		str_addf(out, "warning: %llu account%s (first: %s) with a port in mailhost that is used for both IMAP "
			"and POP3; if the ports differ write "
		    "HOST:imap=PORT:pop3=PORT\n", (unsigned long long)c->shared, c->shared == 1 ? "" : "s", c->first_shared);
	str_fini(&c->text);
}
