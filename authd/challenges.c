/* Challenges: made here, and kept by request number, oldest first. */
#include "authd/challenges.h"

#include <openssl/rand.h>
#include <string.h>
#include <time.h>
#include <uthash.h>

#include "lib/die.h"
#include "lib/hex.h"
#include "lib/mem.h"
#include "lib/text.h"

enum { RANDOM_BYTES = 16, NODE_MAX = 255 };

void challenge_text(char out[AUTH_TEXT_MAX], const char *node)
{
	uint8_t random[RANDOM_BYTES];
	struct str text = STR_INIT;

	DIE_IF(RAND_bytes(random, sizeof(random)) != 1);
	str_addc(&text, '<');
	hex_encode(&text, random, sizeof(random));
	str_addf(&text, ".%lld@", (long long)time(NULL));
	for (size_t i = 0; i < NODE_MAX && node[i] != '\0'; i++)
		if (node[i] != ' ' && text_is_printable(node[i]) && strchr("<>@\"\\", node[i]) == NULL)
			str_addc(&text, node[i]);
	str_addc(&text, '>');
	str_copy(out, AUTH_TEXT_MAX, text.data);
	str_fini(&text);
}

struct challenge {
	uint32_t request;
	enum auth_mech mech;
	double began;
	char *text;
	UT_hash_handle hh; /* uthash keeps the order of arrival */
};

struct challenges {
	struct challenge *all;
};

struct challenges *challenges_new(void)
{
	return mem_alloc(sizeof(struct challenges));
}

static void drop(struct challenges *t, struct challenge *c)
{
	HASH_DEL(t->all, c);
	mem_free_secret(&c->text);
	mem_free(&c);
}

void challenges_free(struct challenges **t)
{
	if (*t == NULL)
		return;
	while ((*t)->all != NULL)
		drop(*t, (*t)->all);
	mem_free(t);
}

static struct challenge *find(const struct challenges *t, uint32_t request)
{
	struct challenge *c;

	HASH_FIND(hh, t->all, &request, sizeof(request), c);
	return c;
}

bool challenges_full(const struct challenges *t)
{
	return HASH_COUNT(t->all) >= AUTH_CHALLENGES_MAX;
}

const char *challenges_make(struct challenges *t, uint32_t request, enum auth_mech mech, const char *node, double now)
{
	char text[AUTH_TEXT_MAX];
	struct challenge *c;

	if (find(t, request) != NULL || challenges_full(t))
		return NULL;
	challenge_text(text, node);
	c = mem_alloc(sizeof(*c));
	c->request = request;
	c->mech = mech;
	c->began = now;
	c->text = mem_strdup(text);
	HASH_ADD(hh, t->all, request, sizeof(c->request), c);
	return c->text;
}

bool challenges_take(struct challenges *t, uint32_t request, enum auth_mech mech, char out[AUTH_TEXT_MAX])
{
	struct challenge *c = find(t, request);
	bool good = c != NULL && c->mech == mech;

	if (good)
		str_copy(out, AUTH_TEXT_MAX, c->text);
	if (c != NULL)
		drop(t, c);
	return good;
}

void challenges_drop(struct challenges *t, uint32_t request)
{
	struct challenge *c = find(t, request);

	if (c != NULL)
		drop(t, c);
}

void challenges_expire(struct challenges *t, double then)
{
	while (t->all != NULL && t->all->began < then)
		drop(t, t->all);
}
