/* Reads a file, step by step. */
#include "settings/settings_load.h"

#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "lib/net.h"
#include "settings/settings_read.h"
#include "settings/settings_same.h"

unsigned settings_load_line(const struct settings_load *l, size_t offset)
{
	for (size_t i = 0; i < SETTINGS_ROW_COUNT; i++)
		if (settings_rows[i].offset == offset)
			return l->row_line[i];
	return 0;
}

unsigned settings_load_line_of(const struct settings_load *l, const char *group, const char *name)
{
	const struct settings_row *row = settings_row_find(group, name);

	DIE_IF(row == NULL);
	return settings_load_line(l, row->offset);
}

static void read_setting(struct settings_load *l, const char *group, const config_setting_t *e)
{
	const char *name = config_setting_name(e);
	const struct settings_row *row = settings_row_find(group, name);
	const struct settings_known *k = settings_known_find(group, name);

	if (row != NULL)
		settings_read_row(l, row, name, e);
	else if (k != NULL)
		settings_read_known(l, k, name, e);
	else
		settings_unknown(l, group, name, e);
}

static void read_group(struct settings_load *l, const char *group, const config_setting_t *e)
{
	for (int p = 0; p < PROTOCOL_COUNT; p++) {
		if (strcmp(group, protocols[p].group) == 0)
			l->set->has[p] = true;
		if (strcmp(group, protocols[p].ssl_group) == 0) {
			l->set->has_tls[p] = true;
			l->ssl_line[p] = e->line;
		}
	}
	for (int i = 0; i < config_setting_length(e); i++)
		read_setting(l, group, config_setting_get_elem(e, (unsigned)i));
}

/* The group that the file calls NAME, in the table's spelling; false if there is none. */
static bool group_of(const char *name, char group[SETTINGS_GROUP_MAX])
{
	size_t i = 0;

	for (; name[i] != '\0' && i + 1 < SETTINGS_GROUP_MAX; i++)
		group[i] = name[i] == '-' ? '_' : name[i];
	group[i] = '\0';
	return name[i] == '\0' && strchr(name, '_') == NULL && settings_is_group(group);
}

static void read_root(struct settings_load *l, const config_setting_t *root)
{
	char group[SETTINGS_GROUP_MAX];

	for (int i = 0; i < config_setting_length(root); i++) {
		const config_setting_t *e = config_setting_get_elem(root, (unsigned)i);
		bool known = group_of(config_setting_name(e), group);

		if (known && config_setting_is_group(e))
			read_group(l, group, e);
		else if (known)
			settings_report(l->errors, &l->text, e->line, "%s is a group: %s = { ... };",
			    config_setting_name(e), config_setting_name(e));
		else
			read_setting(l, "node", e);
	}
}

/* What ${PROXY_HOSTNAME} stands for: the environment, else the setting (which may be in three places, but must be the
 * same in all), else the host name. */
static void find_proxy_hostname(struct settings_load *l, const config_setting_t *root)
{
	const char *env = getenv("PROXY_HOSTNAME");
	char *found = NULL;

	l->proxy_hostname = mem_strdup(env != NULL && env[0] != '\0' ? env : l->hostname);
	for (int i = -1; i < PROTOCOL_COUNT; i++) {
		const config_setting_t *g = i < 0 ? root : config_setting_get_member(root, protocols[i].group),
		                       *e = NULL;
		struct str text = STR_INIT, why = STR_INIT;

		if (g != NULL && config_setting_is_group(g))
			e = config_setting_get_member(g, "PROXY_HOSTNAME");
		if (e != NULL && settings_value_text(l, e, 0, &text, &why) && text.len != 0) {
			if (found != NULL && !net_same_host(found, str_cstr(&text)))
				settings_report(l->errors, &l->text, e->line,
				    "PROXY_HOSTNAME is \"%s\" here and \"%s\" elsewhere; keep only the one at the top "
				    "level of the file",
				    str_cstr(&text), found);
			if (found == NULL)
				found = mem_strdup(str_cstr(&text));
		}
		str_fini(&text);
		str_fini(&why);
	}
	if (found != NULL && (env == NULL || env[0] == '\0')) {
		mem_free(&l->proxy_hostname);
		l->proxy_hostname = mem_strdup(found);
	}
	mem_free(&found);
	if (!settings_is_host(l->proxy_hostname))
		settings_report(l->errors, &l->text, 0,
		    "PROXY_HOSTNAME is \"%s\", which is neither a host name nor an address", l->proxy_hostname);
}

static char *without_dots(const char *name)
{
	size_t len = strlen(name);

	while (len != 0 && name[len - 1] == '.')
		len--;
	return mem_memdup(name, len);
}

static void set_self(struct settings_load *l)
{
	struct settings *set = l->set;

	mem_free(&set->node_PROXY_HOSTNAME);
	set->node_PROXY_HOSTNAME = mem_strdup(l->proxy_hostname);
	mem_free(&set->self[0]);
	mem_free(&set->self[1]);
	set->self[0] = without_dots(l->proxy_hostname);
	set->self[1] = net_same_host(l->proxy_hostname, l->hostname) ? mem_strdup("") : without_dots(l->hostname);
}

/* Parses with libconfig, and reads the settings. */
static void read_text(struct settings_load *l)
{
	char same[SETTINGS_SAME_MAX];
	config_t config;

	settings_scan(&l->text, l->errors);
	config_init(&config);
	if (config_read_string(&config, str_cstr(&l->text.text)) != CONFIG_TRUE) {
		/* After reported mistakes this is a consequence of them. */
		if (l->errors->len == 0)
			settings_report(l->errors, &l->text, (unsigned)MAX(config_error_line(&config), 0), "%s",
			    config_error_text(&config));
	} else {
		find_proxy_hostname(l, config_root_setting(&config));
		read_root(l, config_root_setting(&config));
		set_self(l);
		settings_rules(l);
		settings_same(config_root_setting(&config), same);
		mem_free(&l->set->same);
		l->set->same = mem_strdup(same);
	}
	config_destroy(&config);
}

static void begin(struct settings_load *l, struct str *errors, struct str *warnings)
{
	memset(l, 0, sizeof(*l));
	l->set = settings_defaults();
	l->errors = errors;
	l->warnings = warnings;
	if (gethostname(l->hostname, sizeof(l->hostname) - 1) != 0 || l->hostname[0] == '\0')
		snprintf(l->hostname, sizeof(l->hostname), "localhost");
}

bool settings_load_begin(struct settings_load *l, const char *file, struct str *errors, struct str *warnings)
{
	size_t before = errors->len;

	begin(l, errors, warnings);
	settings_text_load(&l->text, file, errors);
	if (l->text.nlines != 0 || errors->len == before)
		read_text(l);
	return errors->len == before;
}

bool settings_load_bytes(struct settings_load *l, const char *file, const char *p, size_t len, struct str *errors,
    struct str *warnings)
{
	size_t before = errors->len;

	begin(l, errors, warnings);
	settings_text_from(&l->text, file, p, len, errors);
	read_text(l);
	return errors->len == before;
}

void settings_load_fini(struct settings_load *l)
{
	settings_free(&l->set);
	settings_text_fini(&l->text);
	mem_free(&l->proxy_hostname);
}

struct settings *settings_load_anyway(const char *file, struct str *errors, struct str *warnings)
{
	struct settings *set;
	struct settings_load l;

	settings_load_begin(&l, file, errors, warnings);
	settings_rules_no_secret(&l, warnings);
	set = l.set;
	l.set = NULL;
	settings_load_fini(&l);
	return set;
}

struct settings *settings_load(const char *file, struct str *errors, struct str *warnings)
{
	size_t before = errors->len;
	struct settings *set = settings_load_anyway(file, errors, warnings);

	if (errors->len != before)
		settings_free(&set);
	return set;
}
