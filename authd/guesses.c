/* Three tables of counts: of addresses, of accounts, and of accounts at addresses that are known to them. */
#include "authd/guesses.h"

#include <string.h>

#include "lib/mac.h"
#include "lib/mem.h"
#include "lib/rnd.h"
#include "node/account.h"

enum {
	WAYS = 8, /* places where a count may stand */
	SEEN = 3  /* wrong passwords that are remembered, as digests */
};

enum table { KNOWN, ADDRESS, ACCOUNT, TABLES };

struct mark {
	uint64_t key;        /* 0: it is free */
	uint32_t when, next; /* when the count was that; of SEEN */
	float count;
	uint32_t seen[SEEN];
};

struct guesses {
	struct mac *mac;
	struct mark *marks[TABLES];
};

static const uint32_t sizes[TABLES] = { GUESSES_KNOWN, GUESSES_OTHERS, GUESSES_OTHERS };

_Static_assert(sizeof(struct mark) == 32, "GUESSES_BYTES");

struct guesses *guesses_new(void)
{
	struct guesses *g = mem_alloc(sizeof(*g));
	uint8_t key[MAC_LEN];

	rnd_bytes(key, sizeof(key));
	g->mac = mac_new(key, sizeof(key));
	mem_wipe(key, sizeof(key));
	for (int t = 0; t < TABLES; t++)
		g->marks[t] = mem_alloc(sizes[t] * sizeof(struct mark));
	return g;
}

void guesses_free(struct guesses **gp)
{
	struct guesses *g = *gp;

	if (g == NULL)
		return;
	mac_free(&g->mac);
	for (int t = 0; t < TABLES; t++)
		mem_free(&g->marks[t]);
	mem_free(gp);
}

/* --- keys --- */

/* Appends the address as it is counted; returns the bytes. */
static size_t put_client(uint8_t *p, const struct net_addr *a)
{
	const struct net_addr client = net_addr_client(a);

	p[0] = (uint8_t)client.family;
	memcpy(p + 1, client.ip, 8);
	return 1 + 8;
}

/* Appends the name; some directories do not mind its case. */
static size_t put_name(uint8_t *p, const char *name)
{
	size_t len = 0;

	for (; name[len] != '\0' && len < ACCOUNT_NAME_MAX; len++)
		p[len] = (uint8_t)(name[len] >= 'A' && name[len] <= 'Z' ? name[len] - 'A' + 'a' : name[len]);
	return len;
}

static uint64_t digest(struct guesses *g, const uint8_t *p, size_t len)
{
	uint8_t md[MAC_LEN];
	uint64_t key;

	mac_compute(g->mac, p, len, md);
	memcpy(&key, md, sizeof(key));
	return key != 0 ? key : 1;
}

static uint64_t key_of(struct guesses *g, enum table t, const struct guesser *who)
{
	uint8_t text[16 + ACCOUNT_NAME_MAX];
	size_t len = 1;

	text[0] = (uint8_t)t;
	if (t != ACCOUNT)
		len += put_client(text + len, who->client);
	if (t != ADDRESS)
		len += put_name(text + len, who->name);
	return digest(g, text, len);
}

/* --- counts --- */

static float count_now(const struct mark *m, uint32_t now)
{
	return MAX(m->count - (float)(now - m->when) / GUESSES_FORGET, 0);
}

static struct mark *places(struct guesses *g, enum table t, uint64_t key)
{
	return g->marks[t] + (key % (sizes[t] / WAYS)) * WAYS;
}

static struct mark *find(struct guesses *g, enum table t, const struct guesser *who)
{
	uint64_t key = key_of(g, t, who);
	struct mark *m = places(g, t, key);

	for (int i = 0; i < WAYS; i++)
		if (m[i].key == key)
			return &m[i];
	return NULL;
}

/* A goes before B when there is no room for both. */
static bool matters_less(const struct mark *a, const struct mark *b, uint32_t now)
{
	float x = count_now(a, now), y = count_now(b, now);

	if ((a->key == 0) != (b->key == 0))
		return a->key == 0;
	return x != y ? x < y : a->when < b->when;
}

/* The count of WHO in table T, made if there is none. */
static struct mark *get(struct guesses *g, enum table t, const struct guesser *who, uint32_t now)
{
	uint64_t key = key_of(g, t, who);
	struct mark *m = places(g, t, key), *least = m;

	for (int i = 0; i < WAYS; i++) {
		if (m[i].key == key)
			return &m[i];
		if (matters_less(&m[i], least, now))
			least = &m[i];
	}
	*least = (struct mark){ .key = key, .when = now };
	return least;
}

static bool is_seen(const struct mark *m, uint32_t password)
{
	for (int i = 0; i < SEEN; i++)
		if (m->seen[i] == password)
			return true;
	return false;
}

static void add_guess(struct mark *m, uint32_t password, uint32_t now)
{
	if (is_seen(m, password))
		return;
	m->seen[m->next++ % SEEN] = password;
	m->count = MIN(count_now(m, now) + 1, GUESSES_MOST);
	m->when = now;
}

static unsigned count_in(const struct mark *m, uint32_t now)
{
	return m != NULL ? (unsigned)(count_now(m, now) + 0.999F) : 0;
}

/* --- the module --- */

unsigned guesses_count(struct guesses *g, const struct guesser *who, bool right, double now)
{
	const struct mark *known = right ? find(g, KNOWN, who) : NULL;
	uint32_t second = (uint32_t)now;
	unsigned of_address, of_account;

	if (known != NULL)
		return count_in(known, second);
	of_address = who->crowd ? 0 : count_in(find(g, ADDRESS, who), second);
	of_account = who->name[0] == '\0' ? 0 : count_in(find(g, ACCOUNT, who), second);
	return MAX(of_address, of_account);
}

void guesses_wrong(struct guesses *g, const struct guesser *who, const char *password, double now)
{
	uint8_t text[ACCOUNT_NAME_MAX + ACCOUNT_PASSWORD_MAX + 2];
	size_t len = put_name(text, who->name), more = MIN(strlen(password), ACCOUNT_PASSWORD_MAX);
	uint32_t second = (uint32_t)now, tried;
	struct mark *known = find(g, KNOWN, who);

	text[len++] = '\0';
	memcpy(text + len, password, more);
	tried = (uint32_t)digest(g, text, len + more) | 1;
	mem_wipe(text, sizeof(text));
	if (known != NULL)
		add_guess(known, tried, second);
	if (!who->crowd)
		add_guess(get(g, ADDRESS, who, second), tried, second);
	if (who->name[0] != '\0')
		add_guess(get(g, ACCOUNT, who, second), tried, second);
}

void guesses_right(struct guesses *g, const struct guesser *who, double now)
{
	struct mark *m = get(g, KNOWN, who, (uint32_t)now);

	m->count = count_now(m, (uint32_t)now);
	m->when = (uint32_t)now;
}

double guesses_delay(unsigned count, double first, double most)
{
	double delay = first;

	if (count <= GUESSES_FREE)
		return 0;
	for (unsigned n = GUESSES_FREE + GUESSES_STEP; n < count && delay < most; n += GUESSES_STEP)
		delay *= 2;
	return MIN(delay, most);
}
