/* Parses numbers with units of sizes and times, and the words of switches. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/num.h"
#include "settings/settings_rows.h"

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit size_units[] = { { "", 1 }, { "b", 1 }, { "k", 1024 }, { "kb", 1024 }, { "m", 1024 * 1024 },
	{ "mb", 1024 * 1024 }, { "g", 1024 * 1024 * 1024 }, { "gb", 1024 * 1024 * 1024 }, { "t", 1099511627776 },
	{ "tb", 1099511627776 }, { NULL, 0 } };

static const struct unit time_units[] = { { "", 1 }, { "s", 1 }, { "sec", 1 }, { "m", 60 }, { "min", 60 },
	{ "h", 3600 }, { "d", 86400 }, { NULL, 0 } };

static bool parse_unit(const struct unit *units, const char *text, int64_t *out)
{
	size_t digits = strspn(text, "0123456789");
	const char *unit = text + digits + strspn(text + digits, " ");
	uint64_t v;

	if (!num_parse(text, digits, INT64_MAX, &v))
		return false;
	for (; units->name != NULL; units++)
		if (strcasecmp(units->name, unit) == 0)
			return !__builtin_mul_overflow((int64_t)v, units->factor, out);
	return false;
}

static bool parse_bool(const char *text, int64_t *out)
{
	static const char *const words[] = { "no", "yes", "off", "on", "false", "true", "n", "y" };
	uint64_t v;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasecmp(words[i], text) == 0) {
			*out = i % 2;
			return true;
		}
	/* Courier: any number but 0 is on. */
	if (!num_parse_str(text, INT64_MAX, &v))
		return false;
	*out = v != 0;
	return true;
}

bool settings_parse_number(enum settings_type type, const char *text, int64_t *out)
{
	uint64_t v;

	if (type == SETTINGS_T_SIZE)
		return parse_unit(size_units, text, out);
	if (type == SETTINGS_T_TIME)
		return parse_unit(time_units, text, out);
	if (type == SETTINGS_T_BOOL)
		return parse_bool(text, out);
	if (!num_parse_str(text, INT64_MAX, &v))
		return false;
	*out = (int64_t)v;
	return true;
}
