/* Which clients that have not logged in have to give way. */
#include "login/stranger_limits.h"

#include "lib/log.h"
#include "lib/loop.h"
#include "login/login.h"

enum { QUIET = 60 /* seconds between two log lines about strangers that gave way */ };

static struct login *login_of(struct stranger *s)
{
	return CONTAINER_OF(s, struct login, stranger);
}

static struct login *login_of_holder(struct stranger *s)
{
	return CONTAINER_OF(s, struct login, holder);
}

static bool is_trusted(const struct stranger_limits *s, const struct login *l)
{
	return net_addr_in_any(&l->client, s->set->proxy_PROXY_TRUSTED);
}

static bool stranger_is_trusted(struct stranger *who, void *arg)
{
	return is_trusted(arg, login_of(who));
}

static bool holder_is_trusted(struct stranger *who, void *arg)
{
	return is_trusted(arg, login_of_holder(who));
}

void stranger_limits_init(struct stranger_limits *s, const struct settings *set, void (*yield)(struct login *l))
{
	s->set = set;
	s->yield = yield;
	strangers_init(&s->all, stranger_is_trusted, s);
	strangers_init(&s->holders, holder_is_trusted, s);
}

void stranger_limits_fini(struct stranger_limits *s)
{
	strangers_fini(&s->all);
	strangers_fini(&s->holders);
}

void stranger_limits_weigh(struct stranger_limits *s, struct login *l, size_t bytes)
{
	size_t units = l->stranger.prefix != NULL ? bytes / STRANGERS_HELD_UNIT : 0;

	if (units == 0) {
		strangers_remove(&s->holders, &l->holder);
		return;
	}
	if (l->holder.prefix == NULL)
		strangers_add(&s->holders, &l->holder, &l->client, loop_seconds());
	strangers_weigh(&s->holders, &l->holder, (uint32_t)units);
}

void stranger_limits_set(struct stranger_limits *s, struct login *l, bool is)
{
	if (!is) {
		strangers_remove(&s->all, &l->stranger);
		strangers_remove(&s->holders, &l->holder);
	} else if (l->stranger.prefix == NULL) {
		strangers_add(&s->all, &l->stranger, &l->client, loop_seconds());
	}
}

static void yield(struct stranger_limits *s, struct login *l, const char *why)
{
	const struct net_addr client = net_addr_client(&l->client);
	char ip[NET_IP_TEXT_MAX];

	s->yielded++;
	if (log_due(&s->quiet_until, QUIET))
		log_warn("%s: of %u clients that have not logged in the oldest of [%s%s], which has %u, is closed, and "
		         "so will be others",
		    why, s->all.count, net_addr_text(&client, ip), client.family == AF_INET6 ? "/64" : "",
		    strangers_beside(&l->stranger));
	s->yield(l);
}

void stranger_limits_add(struct stranger_limits *s, struct login *l)
{
	struct stranger *oldest;

	stranger_limits_set(s, l, true);
	if ((oldest = strangers_above_share(&s->all, &l->stranger)) != NULL)
		yield(s, login_of(oldest), "one address has too many connections");
}

void stranger_limits_shed(struct stranger_limits *s)
{
	struct stranger *who;

	while (s->holders.weight > STRANGERS_HELD_MAX / STRANGERS_HELD_UNIT &&
	    (who = strangers_heaviest(&s->holders)) != NULL)
		yield(s, login_of_holder(who), "they hold too much memory");
}

bool stranger_limits_displace(struct stranger_limits *s, const struct net_addr *client)
{
	struct stranger *who = strangers_yield(&s->all, client, loop_seconds());

	if (who != NULL)
		yield(s, login_of(who), "descriptors are short");
	return who != NULL;
}
