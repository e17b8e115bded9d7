/* What each node of the pool has, and which differ from this one. */
#include "authd/same_nodes.h"

#include <stdio.h>
#include <string.h>

#include "lib/hex.h"
#include "lib/log.h"
#include "lib/mem.h"

enum { NODES_MAX = 64, QUIET_SECONDS = 600 /* between two lines about what differs at one address */ };

struct node {
	struct net_addr addr; /* family 0: the entry is free */
	char config[NODE_CONFIG_MAX];
	double seen, said;
	double since; /* it has told of what differs; 0: it has not, or things were changed here */
	bool told;    /* the log says that it differs */
};

struct same_nodes {
	char config[NODE_CONFIG_MAX];
	unsigned nprints;
	char print[POOL_SECRETS_MAX][NODE_FINGERPRINT_LEN + 1]; /* ours, by the key of the pool */
	char key[POOL_SECRETS_MAX][NODE_FINGERPRINT_LEN + 1];   /* what tells one secret from another */
	struct node node[NODES_MAX];
	struct {
		struct net_addr addr;
		double when;
	} asked[NODES_MAX]; /* the peers that were told */
};

struct same_nodes *same_nodes_new(void)
{
	return mem_alloc(sizeof(struct same_nodes));
}

void same_nodes_free(struct same_nodes **s)
{
	mem_free(s);
}

/* The HMAC of TEXT with each key of the POOL, into PRINT; those that are left over are "". */
static unsigned make_prints(char print[POOL_SECRETS_MAX][NODE_FINGERPRINT_LEN + 1], const struct pool_keys *pool,
    const char *text)
{
	size_t n = pool != NULL ? pool->n : 0;
	uint8_t mac[MAC_LEN];

	memset(print, 0, POOL_SECRETS_MAX * sizeof(print[0]));
	for (size_t i = 0; i < n; i++) {
		mac_compute(pool->key[i], text, strlen(text), mac);
		hex_text(print[i], mac, NODE_FINGERPRINT_LEN / 2);
	}
	return (unsigned)n;
}

void same_nodes_use(struct same_nodes *s, const struct pool_keys *pool, const char *same)
{
	char *text = mem_printf("waypost configuration 1\n%s\n", same);
	char key[POOL_SECRETS_MAX][NODE_FINGERPRINT_LEN + 1];

	s->config[0] = '\0';
	memset(s->asked, 0, sizeof(s->asked)); /* all have to hear of a change */
	for (size_t i = 0; i < ARRAY_LEN(s->node); i++)
		s->node[i].since = 0;
	s->nprints = make_prints(s->print, same[0] != '\0' ? pool : NULL, text);
	/* What others told was made with a secret that may be gone. */
	make_prints(key, pool, "waypost secret\n");
	if (memcmp(key, s->key, sizeof(key)) != 0)
		memset(s->node, 0, sizeof(s->node));
	memcpy(s->key, key, sizeof(key));
	if (s->nprints != 0)
		snprintf(s->config, sizeof(s->config), PACKAGE_VERSION "/%s", s->print[0]);
	mem_free(&text);
}

const char *same_nodes_config(const struct same_nodes *s)
{
	return s->config;
}

bool same_nodes_tell(struct same_nodes *s, const struct net_addr *peer, double now)
{
	size_t at = 0;

	if (s->config[0] == '\0')
		return false;
	for (size_t i = 0; i < ARRAY_LEN(s->asked); i++) {
		if (s->asked[i].addr.family != 0 && net_addr_same_ip(&s->asked[i].addr, peer)) {
			at = i;
			break;
		}
		if (s->asked[i].when < s->asked[at].when)
			at = i;
	}
	if (s->asked[at].addr.family != 0 && net_addr_same_ip(&s->asked[at].addr, peer) &&
	    now - s->asked[at].when < SAME_NODES_TELL)
		return false;
	s->asked[at].addr = *peer;
	s->asked[at].when = now;
	return true;
}

static bool same_version(const char *config)
{
	size_t n = strcspn(config, "/");

	return n == strlen(PACKAGE_VERSION) && memcmp(config, PACKAGE_VERSION, n) == 0;
}

static bool same_settings(const struct same_nodes *s, const char *config)
{
	for (unsigned i = 0; i < s->nprints; i++)
		if (strcmp(strchr(config, '/') + 1, s->print[i]) == 0)
			return true;
	return false;
}

static bool differs(const struct same_nodes *s, const char *config)
{
	return s->nprints != 0 && !(same_version(config) && same_settings(s, config));
}

/* The entry of ADDR, or the one to replace. */
static struct node *place(struct same_nodes *s, const struct net_addr *addr)
{
	struct node *oldest = &s->node[0];

	for (size_t i = 0; i < ARRAY_LEN(s->node); i++) {
		struct node *n = &s->node[i];

		if (n->addr.family != 0 && net_addr_same_ip(&n->addr, addr))
			return n;
		if (oldest->addr.family != 0 && (n->addr.family == 0 || n->seen < oldest->seen))
			oldest = n;
	}
	memset(oldest, 0, sizeof(*oldest));
	oldest->addr = *addr;
	return oldest;
}

static void say_differs(const struct same_nodes *s, const struct node *n)
{
	char ip[NET_IP_TEXT_MAX];
	int version = (int)strcspn(n->config, "/");

	net_addr_text(&n->addr, ip);
	if (!same_version(n->config))
		log_warn("node [%s] has Waypost %.*s, this node " PACKAGE_VERSION
		         ": give all nodes of the pool the same release",
		    ip, version, n->config);
	if (!same_settings(s, n->config))
		log_warn("node [%s] has another settings file than this node: compare the two with all that they "
		         "include (comments, blanks and order do not count), copy the right one, and run "
		         "`waypost reload` where an old one is in use",
		    ip);
}

void same_nodes_seen(struct same_nodes *s, const struct net_addr *addr, const char *config, double now)
{
	struct node *n = place(s, addr);
	bool bad = differs(s, config), news = strcmp(n->config, config) != 0;
	char ip[NET_IP_TEXT_MAX];

	str_copy(n->config, sizeof(n->config), config);
	n->seen = now;
	if (!bad)
		n->since = 0;
	else if (n->since == 0)
		n->since = now;
	if (bad && (!n->told || news) && (n->said == 0 || now - n->said >= QUIET_SECONDS)) {
		n->said = now;
		n->told = true;
		say_differs(s, n);
	} else if (!bad && n->told) {
		n->told = false;
		log_info("node [%s] has the same release and settings file as this node again",
		    net_addr_text(addr, ip));
	}
}

unsigned same_nodes_list(const struct same_nodes *s, double now, struct str *out, unsigned *lasting)
{
	char ip[NET_IP_TEXT_MAX];
	unsigned count = 0;

	*lasting = 0;
	for (size_t i = 0; i < ARRAY_LEN(s->node); i++) {
		const struct node *n = &s->node[i];

		if (n->addr.family == 0 || now - n->seen >= SAME_NODES_AGE || !differs(s, n->config))
			continue;
		*lasting += n->since != 0 && now - n->since >= SAME_NODES_LONG;
		str_addf(out, "%s%s (", count++ != 0 ? ", " : "", net_addr_text(&n->addr, ip));
		if (!same_version(n->config))
			str_addf(out, "version %.*s%s", (int)strcspn(n->config, "/"), n->config,
			    same_settings(s, n->config) ? "" : ", ");
		str_addf(out, "%s)", same_settings(s, n->config) ? "" : "settings");
	}
	return count;
}
