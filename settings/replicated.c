/* The words of the option `replicated`. */
#include "settings/replicated.h"

#include <strings.h>

#include "settings/options.h"

enum replicated replicated_of(const char *options)
{
	char word[16];

	if (!options_get(options, "replicated", word, sizeof(word)))
		return REPLICATED_NO;
	if (strcasecmp(word, "shared") == 0)
		return REPLICATED_SHARED;
	return strcasecmp(word, "single") == 0 ? REPLICATED_SINGLE : REPLICATED_MISTAKE;
}
