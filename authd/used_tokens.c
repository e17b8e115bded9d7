/* Tokens of other nodes used in the last minutes, in the order of their age. */
#include "authd/used_tokens.h"

#include <uthash.h>

#include "lib/mem.h"
#include "lib/str.h"

struct token {
	double taken;
	char text[TOKEN_TEXT_MAX];
	UT_hash_handle hh; /* in the order of arrival */
};

struct used_tokens {
	struct token *all;
};

struct used_tokens *used_tokens_new(void)
{
	return mem_alloc(sizeof(struct used_tokens));
}

static void used_tokens_expire(struct used_tokens *t, double then)
{
	while (t->all != NULL && t->all->taken < then) {
		struct token *old = t->all;

		HASH_DEL(t->all, old);
		mem_free(&old);
	}
}

void used_tokens_free(struct used_tokens **t)
{
	if (*t == NULL)
		return;
	while ((*t)->all != NULL) {
		struct token *old = (*t)->all;

		HASH_DEL((*t)->all, old);
		mem_free(&old);
	}
	mem_free(t);
}

bool used_tokens_take(struct used_tokens *t, const char text[TOKEN_TEXT_MAX], double now)
{
	struct token *k;

	/* The longest that one can be good: made by a clock that is fast, taken at once. */
	used_tokens_expire(t, now - 2 * TOKEN_AGE_MAX - 1);
	HASH_FIND(hh, t->all, text, TOKEN_TEXT_MAX - 1, k);
	if (k != NULL)
		return false;
	k = mem_alloc(sizeof(*k));
	k->taken = now;
	str_copy(k->text, sizeof(k->text), text);
	HASH_ADD(hh, t->all, text, TOKEN_TEXT_MAX - 1, k);
	return true;
}
