/* Option lists of accounts, in records and in DEFAULTOPTIONS. */
#include "settings/options.h"

#include <stdlib.h>
#include <string.h>

bool options_get(const char *options, const char *name, char *out, size_t outsize)
{
	size_t len = strlen(name), value;

	/* Names have no commas, so text that begins with NAME and ends there is one. */
	while (strncmp(options, name, len) != 0 || strchr("=,", options[len]) == NULL) {
		options = strchr(options, ',');
		if (options == NULL)
			return false;
		options++;
	}
	if (out != NULL && outsize != 0) {
		options += len + (options[len] == '=');
		value = MIN(strcspn(options, ","), outsize - 1);
		memcpy(out, options, value);
		out[value] = '\0';
	}
	return true;
}

bool options_is_on(const char *options, const char *name)
{
	char v[16];

	if (!options_get(options, name, v, sizeof(v)))
		return false;
	return strtol(v, NULL, 10) != 0 || (v[0] != '\0' && strchr("tTyY", v[0]) != NULL);
}
