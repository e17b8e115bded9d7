/* Names without effect, and unknown names. */
#include <ctype.h>
#include <string.h>

#include "lib/text.h"
#include "settings/settings_read.h"

static bool switched_off(const struct settings_known *k, const char *value)
{
	const char *p = k->off;
	int64_t v;

	if (value[0] == '\0' || (settings_parse_number(SETTINGS_T_BOOL, value, &v) && v == 0))
		return true;
	while (*p != '\0') {
		size_t len = strcspn(p, " ");

		if (text_is_word(p, len, value))
			return true;
		p += len + strspn(p + len, " ");
	}
	return false;
}

void settings_read_known(struct settings_load *l, const struct settings_known *k, const char *name,
    const config_setting_t *e)
{
	struct str text = STR_INIT, why = STR_INIT;
	char label[SETTINGS_LABEL_MAX];
	bool off = settings_value_text(l, e, ' ', &text, &why) && switched_off(k, str_cstr(&text));

	settings_label(label, k->group, name);
	switch (k->status) {
	case SETTINGS_REPLACED:
		settings_report(l->warnings, &l->text, e->line, "%s has no effect; use %s", label, k->text);
		break;
	case SETTINGS_IGNORED:
		settings_report(l->warnings, &l->text, e->line, "%s has no effect: %s", label, k->text);
		break;
	case SETTINGS_LATER:
		if (!off)
			settings_report(l->warnings, &l->text, e->line, "%s has no effect; not in this version: %s",
			    label, k->text);
		break;
	case SETTINGS_UNSAFE:
		if (!off)
			settings_report(l->errors, &l->text, e->line,
			    "%s = %s: not in this version: %s; remove this line to run without it", label,
			    str_cstr(&text), k->text);
		break;
	case SETTINGS_REFUSED:
		settings_report(off ? l->warnings : l->errors, &l->text, e->line,
		    "%s has no effect; use %s, and remove this line", label, k->text);
		break;
	}
	str_fini(&text);
	str_fini(&why);
}

/* The edit distance of two names, ignoring case. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[64], n = (unsigned)strlen(b);

	if (n >= ARRAY_LEN(row) || strlen(a) >= ARRAY_LEN(row))
		return UINT32_MAX;
	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1] != '\0'; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned changed =
			    diagonal + (toupper((unsigned char)a[i - 1]) != toupper((unsigned char)b[j - 1]));

			diagonal = row[j];
			row[j] = MIN(changed, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[n];
}

struct nearest {
	const char *name;
	unsigned distance;
};

static void try_name(struct nearest *best, const char *name, const char *candidate)
{
	size_t len = strlen(name), other = strlen(candidate), most = MAX(len / 3, 1);
	unsigned d;

	if (len > other + most || other > len + most)
		return;
	d = distance(name, candidate);
	if (d < best->distance && d <= most) {
		best->name = candidate;
		best->distance = d;
	}
}

static void try_group(struct nearest *best, const char *name, const char *group)
{
	for (const struct settings_row *row = settings_rows; row->name != NULL; row++)
		if (strcmp(row->group, group) == 0)
			try_name(best, name, row->name);
	for (const struct settings_known *k = settings_known; k->name != NULL; k++)
		if (strcmp(k->group, group) == 0)
			try_name(best, name, k->name);
}

/* Every group once, in the table's order; NULL after the last. */
static const char *group_at(size_t want)
{
	const char *last = "";
	size_t n = 0;

	for (const struct settings_row *row = settings_rows; row->name != NULL; row++) {
		if (strcmp(row->group, last) != 0 && n++ == want)
			return row->group;
		last = row->group;
	}
	for (const struct settings_known *k = settings_known; k->name != NULL; k++) {
		bool first = true;

		for (const struct settings_row *row = settings_rows; row->name != NULL && first; row++)
			first = strcmp(row->group, k->group) != 0;
		for (const struct settings_known *j = settings_known; j < k && first; j++)
			first = strcmp(j->group, k->group) != 0;
		if (first && n++ == want)
			return k->group;
	}
	return NULL;
}

/* NAME is a setting of other groups: their names, "imapd or pop3d". */
static bool elsewhere(const char *name, struct str *out)
{
	const char *group;
	char buf[SETTINGS_GROUP_MAX];

	for (size_t i = 0; (group = group_at(i)) != NULL; i++) {
		if (settings_row_find(group, name) == NULL && settings_known_find(group, name) == NULL)
			continue;
		if (strcmp(group, "node") == 0) {
			str_clear(out);
			str_adds(out, "the top level of the file, outside of any group");
			return true;
		}
		str_addf(out, "%s%s", out->len == 0 ? "" : " or ", settings_group_name(group, buf));
	}
	return out->len != 0;
}

/* GROUP.NAME is unknown. */
void settings_unknown(struct settings_load *l, const char *group, const char *name, const config_setting_t *e)
{
	struct nearest best = { NULL, UINT32_MAX };
	struct str groups = STR_INIT;
	char label[SETTINGS_LABEL_MAX], buf[SETTINGS_GROUP_MAX];
	const char *g, *what = config_setting_is_group(e) ? "not a group" : "not a setting";

	settings_label(label, group, name);
	for (const struct settings_row *row = settings_rows; row->name != NULL; row++)
		if (row->type == SETTINGS_T_PORTMAP && strcmp(row->group, group) == 0 && strcmp(row->name, name) == 0) {
			settings_report(l->errors, &l->text, e->line, "%s needs a port: %s143 = \"...\"", label, name);
			return;
		}
	if (!config_setting_is_group(e) && elsewhere(name, &groups)) {
		settings_report(l->errors, &l->text, e->line, "%s is not a setting here; move it to %s", label,
		    str_cstr(&groups));
		str_fini(&groups);
		return;
	}
	if (!config_setting_is_group(e))
		try_group(&best, name, group);
	else
		for (size_t i = 0; (g = group_at(i)) != NULL; i++) {
			const char *before = best.name;

			try_name(&best, name, settings_group_name(g, buf));
			/* BUF does not last. */
			best.name = best.name == buf ? g : before;
		}
	if (best.name == NULL)
		settings_report(l->errors, &l->text, e->line, "%s is %s; see waypost.conf(5)", label, what);
	else
		settings_report(l->errors, &l->text, e->line, "%s is %s; did you mean %s?", label, what,
		    settings_is_group(best.name) ? settings_group_name(best.name, buf) : best.name);
}
