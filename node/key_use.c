/* Uses of certificates as text. */
#include "node/key_use.h"

#include <stdio.h>
#include <string.h>

static const char *const words[] = {
	[KEY_FOR_ALL] = "all",
	[KEY_FOR_ADDRESS] = "address",
	[KEY_FOR_NAME] = "name",
	[KEY_FOR_ITS_OWN] = "its-own",
};
static const char peers[] = "proxy";

bool key_use_write(char text[KEY_USE_MAX], const struct key_use *use, const char *file)
{
	const char *group = use->what != KEY_FOR_PEERS ? protocols[use->protocol].ssl_group : peers;
	int n;

	if (use->what == KEY_FOR_PEERS)
		n = snprintf(text, KEY_USE_MAX, "%s", group);
	else if (use->what == KEY_FOR_ALL && file[0] == '\0')
		n = snprintf(text, KEY_USE_MAX, "%s", group);
	else
		n = snprintf(text, KEY_USE_MAX, "%s %s %s%s%s", group, words[use->what], use->name,
		    use->name[0] != '\0' ? " " : "", file);
	return n < KEY_USE_MAX;
}

/* The next word at *P, which advances behind the blank. */
static size_t take_word(const char **p, const char **word)
{
	size_t len = strcspn(*p, " ");

	*word = *p;
	*p += len + ((*p)[len] == ' ');
	return len;
}

static bool is(const char *p, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(p, word, len) == 0;
}

bool key_use_read(const char *text, struct key_use *use)
{
	const char *word;
	size_t len = take_word(&text, &word);

	memset(use, 0, sizeof(*use));
	if (is(word, len, peers)) {
		use->what = KEY_FOR_PEERS;
		return text[0] == '\0';
	}
	while (use->protocol < PROTOCOL_COUNT && !is(word, len, protocols[use->protocol].ssl_group))
		use->protocol++;
	if (use->protocol == PROTOCOL_COUNT)
		return false;
	if ((len = take_word(&text, &word)) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (is(word, len, words[i])) {
			use->what = (enum key_use_for)i;
			if (use->what == KEY_FOR_ADDRESS || use->what == KEY_FOR_NAME) {
				len = take_word(&text, &word);
				snprintf(use->name, sizeof(use->name), "%.*s", (int)len, word);
			}
			return true;
		}
	return false;
}
