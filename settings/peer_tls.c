/* How this node speaks to a peer, out of the settings and an account's options. */
#include "settings/peer_tls.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/log.h"
#include "settings/options.h"
#include "settings/peer_hosts.h"
#include "settings/settings.h"

static const char *const words[PEER_TLS_COUNT] = {
	[PEER_TLS_NONE] = "none",
	[PEER_TLS_STARTTLS] = "starttls",
	[PEER_TLS_IMPLICIT] = "implicit",
};

const char *peer_tls_word(enum peer_tls tls)
{
	return words[tls];
}

static bool parse(const char *p, size_t len, enum peer_tls *tls)
{
	for (enum peer_tls t = 0; t < PEER_TLS_COUNT; t++)
		if (strlen(words[t]) == len && strncasecmp(words[t], p, len) == 0) {
			*tls = t;
			return true;
		}
	return false;
}

bool peer_tls_next(const char **list, const char **host, size_t *host_len, enum peer_tls *tls)
{
	const char *row = *list + strspn(*list, " "), *word;
	size_t len;

	if (!peer_hosts_next(list, host, host_len, &word, &len))
		return false;
	if (parse(word, len, tls))
		return true;
	*list = row;
	return false;
}

bool peer_tls_is_used(const struct settings *set)
{
	const char *list = set->proxy_PROXY_TLS_PEERS, *host;
	bool any = strcasecmp(set->proxy_PROXY_TLS, words[PEER_TLS_NONE]) != 0;
	enum peer_tls tls;
	size_t len;

	while (peer_tls_next(&list, &host, &len, &tls))
		any = any || tls != PEER_TLS_NONE;
	return any;
}

bool peer_tls_of(const struct settings *set, const char *options, const char *host, enum peer_tls *tls)
{
	const char *list = set->proxy_PROXY_TLS_PEERS, *row;
	char word[16];
	size_t len;

	if (options_get(options, "proxytls", word, sizeof(word)))
		return parse(word, strlen(word), tls);
	while (peer_tls_next(&list, &row, &len, tls))
		if (peer_hosts_row_is(row, len, host))
			return true;
	return parse(set->proxy_PROXY_TLS, strlen(set->proxy_PROXY_TLS), tls);
}

bool peer_tls_is_mistake(const char *options, char why[PEER_TLS_WHY_MAX])
{
	char word[64], clean[64];
	enum peer_tls tls;

	if (!options_get(options, "proxytls", word, sizeof(word)) || parse(word, strlen(word), &tls))
		return false;
	snprintf(why, PEER_TLS_WHY_MAX,
	    "the option proxytls is \"%s\", which is none of the words none, starttls and implicit",
	    log_value(clean, sizeof(clean), word));
	return true;
}
