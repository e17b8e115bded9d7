#include "node/settings_load.h"

#include <ctype.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/net.h"
#include "lib/num.h"

enum { LABEL_MAX = 160 };

unsigned settings_load_line(const struct settings_load *l, size_t offset)
{
	for (size_t i = 0; i < SETTINGS_ROW_COUNT; i++)
		if (settings_rows[i].offset == offset)
			return l->row_line[i];
	return 0;
}

bool settings_same_host(const char *a, const char *b)
{
	size_t alen = strlen(a), blen = strlen(b);

	while (alen != 0 && a[alen - 1] == '.')
		alen--;
	while (blen != 0 && b[blen - 1] == '.')
		blen--;
	return alen == blen && strncasecmp(a, b, alen) == 0;
}

/* "imapd.PORT", or "RUNDIR" at the top level. */
static const char *label_of(char buf[LABEL_MAX], const char *group, const char *name)
{
	char g[SETTINGS_GROUP_MAX];

	settings_group_name(group, g);
	snprintf(buf, LABEL_MAX, "%s%s%.100s", g, g[0] != '\0' ? "." : "", name);
	return buf;
}

/* ------------------------------------------------------------------------------------------------------------
 * ${NAME} in strings */

static const char *variable(const struct settings_load *l, const char *name)
{
	const char *v = getenv(name);

	if (strcmp(name, "PROXY_HOSTNAME") == 0)
		return l->proxy_hostname;
	if (v == NULL && strcmp(name, "HOSTNAME") == 0)
		return l->hostname;
	return v;
}

/* IN with its variables replaced, appended to OUT; false with a sentence in WHY. */
static bool expand(const struct settings_load *l, const char *in, struct str *out, struct str *why)
{
	char name[128];

	while (*in != '\0') {
		size_t len;
		const char *v;

		if (strncmp(in, "$${", 3) == 0) {
			str_adds(out, "${");
			in += 3;
			continue;
		}
		if (strncmp(in, "${", 2) != 0) {
			str_addc(out, *in++);
			continue;
		}
		len = strcspn(in + 2, "}");
		if (in[2 + len] != '}' || len == 0 || len >= sizeof(name)) {
			str_adds(why, "after ${ the name of a variable and } should stand; $${ is a ${ that stays as it is");
			return false;
		}
		memcpy(name, in + 2, len);
		name[len] = '\0';
		if ((v = variable(l, name)) == NULL) {
			str_addf(why, "the environment has no variable %s; set it where the daemon is started", name);
			return false;
		}
		str_adds(out, v);
		in += len + 3;
	}
	return true;
}

/* ------------------------------------------------------------------------------------------------------------
 * Values */

/* One value as text, its strings expanded. False with a sentence in WHY. */
static bool scalar_text(const struct settings_load *l, const config_setting_t *e, struct str *out, struct str *why)
{
	switch (config_setting_type(e)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		str_addf(out, "%lld", config_setting_get_int64(e));
		return true;
	case CONFIG_TYPE_FLOAT:
		str_adds(why, "a number with a point has no meaning here");
		return false;
	case CONFIG_TYPE_BOOL:
		str_adds(out, config_setting_get_bool(e) ? "true" : "false");
		return true;
	case CONFIG_TYPE_STRING:
		return expand(l, config_setting_get_string(e), out, why);
	default:
		str_adds(why, "a group or list within a list has no meaning here");
		return false;
	}
}

/* A value of any shape as text; lists are joined by SEPARATOR (0: no list is taken). */
static bool value_text(const struct settings_load *l, const config_setting_t *e, char separator, struct str *out,
	struct str *why)
{
	int type = config_setting_type(e);

	if (type == CONFIG_TYPE_GROUP) {
		str_adds(why, "a value should stand here, not a group");
		return false;
	}
	if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST)
		return scalar_text(l, e, out, why);
	if (separator == 0) {
		str_adds(why, "one value should stand here, not a list");
		return false;
	}
	for (int i = 0; i < config_setting_length(e); i++) {
		if (i != 0)
			str_addc(out, separator);
		if (!scalar_text(l, config_setting_get_elem(e, (unsigned)i), out, why))
			return false;
	}
	return true;
}

/* Words with one blank between them; commas count as blanks. */
static void tidy_list(struct str *text)
{
	struct str out = STR_INIT;
	const char *p = str_cstr(text);

	for (p += strspn(p, ", \t"); *p != '\0'; p += strspn(p, ", \t")) {
		size_t len = strcspn(p, ", \t");

		if (out.len != 0)
			str_addc(&out, ' ');
		str_add(&out, p, len);
		p += len;
	}
	str_fini(text);
	*text = out;
}

static bool is_host(const char *p)
{
	return p[0] != '\0' && p[0] != '-' && strlen(p) <= 255 &&
		p[strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_")] == '\0';
}

static bool check_address(struct str *text, struct str *why)
{
	struct net_addr a;

	if (strcmp(str_cstr(text), "*") == 0 || text->len == 0) {
		str_clear(text);
		str_adds(text, "0");
	}
	if (net_addr_parse(&a, str_cstr(text), 0) || is_host(str_cstr(text)))
		return true;
	str_adds(why, "this is neither an address nor a host name; 0 is every address");
	return false;
}

static bool check_ports(const struct str *text, struct str *why)
{
	const char *list = str_cstr(text), *at = list;
	char address[SETTINGS_ADDRESS_MAX];
	unsigned n = 0;
	uint16_t port;

	for (; settings_port_next(&list, address, &port); n++, at = list) {
		struct net_addr a;

		at += strspn(at, ", \t");
		if (port != 0 && (address[0] == '\0' || strcmp(address, "0") == 0 || net_addr_parse(&a, address, 0)))
			continue;
		str_addf(why, "%.*s is no port from 1 to 65535, nor ADDRESS.PORT with a numeric address", (int)(list - at), at);
		return false;
	}
	if (n == 0)
		str_adds(why, "a port is wanted; leave the whole group away to switch the service off");
	return n != 0;
}

static bool check_word(const struct settings_row *row, struct str *text, struct str *why)
{
	const char *p = row->unit;

	for (;;) {
		size_t len = strcspn(p, "|");

		if (len == text->len && strncasecmp(p, str_cstr(text), len) == 0) {
			str_clear(text);
			str_add(text, p, len);
			return true;
		}
		str_addf(why, "%s\"%.*s\"", p != row->unit ? " or " : "", (int)len, p);
		if (p[len] == '\0')
			break;
		p += len + 1;
	}
	str_adds(why, " should stand here");
	return false;
}

static bool check_octal(const struct settings_row *row, const struct str *text, struct str *why)
{
	const char *p = str_cstr(text);

	if (text->len != 0 && text->len <= 4 && p[strspn(p, "01234567")] == '\0' && strtol(p, NULL, 8) <= row->most)
		return true;
	str_adds(why, "octal digits should stand here, in quotes: \"022\"");
	return false;
}

static bool has_control(const struct str *text)
{
	for (size_t i = 0; i < text->len; i++)
		if ((unsigned char)text->data[i] < 0x20 || text->data[i] == 0x7f)
			return true;
	return false;
}

/* Judges a text value by the row's type and brings it into the form that is kept. */
static bool check_text(const struct settings_row *row, struct str *text, struct str *why)
{
	if (has_control(text)) {
		str_adds(why, "control characters have no meaning here");
		return false;
	}
	switch (row->type) {
	case SETTINGS_T_PATH:
		while (text->len > 1 && text->data[text->len - 1] == '/')
			text->data[--text->len] = '\0';
		if (text->len == 0 || text->data[0] == '/')
			return true;
		str_adds(why, "a path begins with / here: the daemon works in no folder of its own");
		return false;
	case SETTINGS_T_LIST:
		tidy_list(text);
		return true;
	case SETTINGS_T_ADDR:
		return check_address(text, why);
	case SETTINGS_T_PORTS:
		return check_ports(text, why);
	case SETTINGS_T_OCTAL:
		return check_octal(row, text, why);
	case SETTINGS_T_WORD:
		return check_word(row, text, why);
	default:
		return true;
	}
}

static void wanted_number(const struct settings_row *row, struct str *why)
{
	switch (row->type) {
	case SETTINGS_T_BOOL:
		str_adds(why, "1 or 0, true or false should stand here");
		break;
	case SETTINGS_T_TIME:
		str_addf(why, "a time of %lld to %lld seconds should stand here; \"90\", \"90s\", \"5m\" and \"1h\" are understood",
			(long long)row->least, (long long)row->most);
		break;
	case SETTINGS_T_SIZE:
		str_addf(why, "a size of %lld to %lld bytes should stand here; \"500\", \"64k\", \"20M\" and \"5G\" are understood",
			(long long)row->least, (long long)row->most);
		break;
	default:
		str_addf(why, "a whole number from %lld to %lld should stand here", (long long)row->least, (long long)row->most);
	}
}

static bool check_number(const struct settings_row *row, const struct str *text, int64_t *out, struct str *why)
{
	const char *p = str_cstr(text);

	/* true and false for what is nearly a switch. */
	if (row->type == SETTINGS_T_INT && row->most <= 2 && (strcmp(p, "true") == 0 || strcmp(p, "false") == 0))
		p = *p == 't' ? "1" : "0";
	if (settings_parse_number(row->type, p, out) &&
	    (row->type == SETTINGS_T_BOOL || (*out >= row->least && *out <= row->most)))
		return true;
	wanted_number(row, why);
	return false;
}

/* AUTHSERVICE993 = "imaps": added to what the row has. */
static bool add_portmap(struct settings_load *l, const struct settings_row *row, const char *name, const struct str *text,
	struct str *why)
{
	char **at = settings_text_at(l->set, row), *joined;
	const char *digits = name + strlen(row->name), *v = str_cstr(text);
	uint64_t port;

	if (!num_parse_str(digits, UINT16_MAX, &port) || port == 0) {
		str_addf(why, "%s is no port from 1 to 65535", digits);
		return false;
	}
	if (v[0] == '\0' || v[strspn(v, "abcdefghijklmnopqrstuvwxyz0123456789-_")] != '\0' || strlen(v) > 30) {
		str_adds(why, "the name of a service should stand here: small letters and digits");
		return false;
	}
	joined = mem_printf("%s%s%u=%s", *at, **at != '\0' ? " " : "", (unsigned)port, v);
	mem_free(at);
	*at = joined;
	return true;
}

/* The kind of value (text in quotes, number, true) fits the row. */
static bool kind_fits(const struct settings_row *row, const config_setting_t *e, struct str *why)
{
	int type = config_setting_type(e);

	if (!settings_is_text(row->type))
		return true;
	if (type == CONFIG_TYPE_BOOL)
		str_adds(why, "a text in quotes should stand here");
	else if (row->type == SETTINGS_T_OCTAL && type != CONFIG_TYPE_STRING && config_setting_get_int64(e) != 0)
		str_adds(why, "octal digits should stand here, in quotes: \"022\"");
	else
		return true;
	return false;
}

static bool store(struct settings_load *l, const struct settings_row *row, const char *name, const config_setting_t *e,
	struct str *text, struct str *why)
{
	char separator = row->type == SETTINGS_T_LIST ? ' ' : row->type == SETTINGS_T_PORTS ? ',' : 0;
	int64_t v;

	if (!kind_fits(row, e, why) || !value_text(l, e, separator, text, why))
		return false;
	if (!settings_is_text(row->type)) {
		if (!check_number(row, text, &v, why))
			return false;
		settings_set_number(l->set, row, v);
		return true;
	}
	if (!check_text(row, text, why))
		return false;
	if (row->type == SETTINGS_T_PORTMAP)
		return add_portmap(l, row, name, text, why);
	mem_free(settings_text_at(l->set, row));
	*settings_text_at(l->set, row) = mem_strdup(str_cstr(text));
	return true;
}

static void read_row(struct settings_load *l, const struct settings_row *row, const char *name, const config_setting_t *e)
{
	struct str text = STR_INIT, why = STR_INIT;
	char label[LABEL_MAX];

	l->row_line[row - settings_rows] = e->line;
	if (!store(l, row, name, e, &text, &why)) {
		label_of(label, row->group, name);
		if (config_setting_is_aggregate(e))
			settings_report(l->errors, &l->text, e->line, "%s: %s", label, str_cstr(&why));
		else if (config_setting_type(e) == CONFIG_TYPE_STRING)
			settings_report(l->errors, &l->text, e->line, "%s = \"%s\": %s", label, config_setting_get_string(e),
				str_cstr(&why));
		else
			settings_report(l->errors, &l->text, e->line, "%s = %s: %s", label, str_cstr(&text), str_cstr(&why));
	}
	str_fini(&text);
	str_fini(&why);
}

/* ------------------------------------------------------------------------------------------------------------
 * Names that nothing acts on, and names that nobody knows */

static bool switched_off(const struct settings_known *k, const char *value)
{
	const char *p = k->off;
	int64_t v;

	if (value[0] == '\0' || (settings_parse_number(SETTINGS_T_BOOL, value, &v) && v == 0))
		return true;
	while (*p != '\0') {
		size_t len = strcspn(p, " ");

		if (strlen(value) == len && strncasecmp(p, value, len) == 0)
			return true;
		p += len + strspn(p + len, " ");
	}
	return false;
}

static void read_known(struct settings_load *l, const struct settings_known *k, const char *name, const config_setting_t *e)
{
	struct str text = STR_INIT, why = STR_INIT;
	char label[LABEL_MAX];
	bool off = value_text(l, e, ' ', &text, &why) && switched_off(k, str_cstr(&text));

	label_of(label, k->group, name);
	switch (k->status) {
	case SETTINGS_REPLACED:
		settings_report(l->warnings, &l->text, e->line, "%s has no effect here, instead: %s", label, k->text);
		break;
	case SETTINGS_IGNORED:
		settings_report(l->warnings, &l->text, e->line, "%s has no effect here: %s", label, k->text);
		break;
	case SETTINGS_LATER:
		if (!off)
			settings_report(l->warnings, &l->text, e->line, "%s has no effect, not in this version yet: %s", label, k->text);
		break;
	case SETTINGS_UNSAFE:
		if (!off)
			settings_report(l->errors, &l->text, e->line, "%s = %s: not in this version yet: %s; take this line out to go "
				"without", label, str_cstr(&text), k->text);
		break;
	}
	str_fini(&text);
	str_fini(&why);
}

/* How many letters must be changed, added or left out to make one name of the other; case does not count. */
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
			unsigned changed = diagonal + (toupper((unsigned char)a[i - 1]) != toupper((unsigned char)b[j - 1]));

			diagonal = row[j];
			row[j] = MIN(changed, MIN(row[j], row[j - 1]) + 1);
		}
	}
	return row[n];
}

struct nearest { const char *name; unsigned distance; };

static void try_name(struct nearest *best, const char *name, const char *candidate)
{
	unsigned d = distance(name, candidate);

	if (d < best->distance && d <= MAX(strlen(name) / 3, 1)) {
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

/* Every group once, in the table's order; NULL behind the last. */
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

/* Nobody knows GROUP.NAME. */
static void unknown(struct settings_load *l, const char *group, const char *name, const config_setting_t *e)
{
	struct nearest best = { NULL, UINT32_MAX };
	struct str groups = STR_INIT;
	char label[LABEL_MAX], buf[SETTINGS_GROUP_MAX];
	const char *g, *what = config_setting_is_group(e) ? "no group" : "no setting";

	label_of(label, group, name);
	if (!config_setting_is_group(e) && elsewhere(name, &groups)) {
		settings_report(l->errors, &l->text, e->line, "%s is no setting here; it belongs to %s", label, str_cstr(&groups));
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
		settings_report(l->errors, &l->text, e->line, "%s is %s; waypost.conf(5) has all of them", label, what);
	else
		settings_report(l->errors, &l->text, e->line, "%s is %s; did you mean %s?", label, what,
			settings_is_group(best.name) ? settings_group_name(best.name, buf) : best.name);
}

/* ------------------------------------------------------------------------------------------------------------
 * The file */

static void read_setting(struct settings_load *l, const char *group, const config_setting_t *e)
{
	const char *name = config_setting_name(e);
	const struct settings_row *row = settings_row_find(group, name);
	const struct settings_known *k = settings_known_find(group, name);

	if (row != NULL)
		read_row(l, row, name, e);
	else if (k != NULL)
		read_known(l, k, name, e);
	else
		unknown(l, group, name, e);
}

static void read_group(struct settings_load *l, const char *group, const config_setting_t *e)
{
	if (strcmp(group, "imapd") == 0)
		l->set->has_imapd = true;
	if (strcmp(group, "pop3d") == 0)
		l->set->has_pop3d = true;
	if (strcmp(group, "imapd_ssl") == 0) {
		l->set->has_imapd_ssl = true;
		l->imapd_ssl_line = e->line;
	}
	if (strcmp(group, "pop3d_ssl") == 0) {
		l->set->has_pop3d_ssl = true;
		l->pop3d_ssl_line = e->line;
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
			settings_report(l->errors, &l->text, e->line, "%s is a group: %s = { ... };", config_setting_name(e),
				config_setting_name(e));
		else
			read_setting(l, "node", e);
	}
}

/* What ${PROXY_HOSTNAME} stands for: the environment, else the setting (which may stand in three places but not
 * say different things), else the host name. */
static void find_proxy_hostname(struct settings_load *l, const config_setting_t *root)
{
	static const char *const groups[] = { NULL, "imapd", "pop3d" };
	const char *env = getenv("PROXY_HOSTNAME");
	char *found = NULL;

	l->proxy_hostname = mem_strdup(env != NULL && env[0] != '\0' ? env : l->hostname);
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		const config_setting_t *g = groups[i] == NULL ? root : config_setting_get_member(root, groups[i]), *e = NULL;
		struct str text = STR_INIT, why = STR_INIT;

		if (g != NULL && config_setting_is_group(g))
			e = config_setting_get_member(g, "PROXY_HOSTNAME");
		if (e != NULL && value_text(l, e, 0, &text, &why) && text.len != 0) {
			if (found != NULL && !settings_same_host(found, str_cstr(&text)))
				settings_report(l->errors, &l->text, e->line, "PROXY_HOSTNAME is \"%s\" here and \"%s\" elsewhere; a node "
					"has one name, so keep the one at the top level of the file", str_cstr(&text), found);
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
	if (!is_host(l->proxy_hostname) && strchr(l->proxy_hostname, ':') == NULL)
		settings_report(l->errors, &l->text, 0, "PROXY_HOSTNAME is \"%s\", which is no host name", l->proxy_hostname);
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
	set->self[1] = settings_same_host(l->proxy_hostname, l->hostname) ? mem_strdup("") : without_dots(l->hostname);
}

/* libconfig's turn, and what the settings say. */
static void read_text(struct settings_load *l)
{
	config_t config;

	settings_scan(&l->text, l->errors);
	config_init(&config);
	if (config_read_string(&config, str_cstr(&l->text.text)) != CONFIG_TRUE) {
		/* After mistakes that have been told this is one of their echoes. */
		if (l->errors->len == 0)
			settings_report(l->errors, &l->text, (unsigned)MAX(config_error_line(&config), 0), "%s", config_error_text(&config));
	} else {
		find_proxy_hostname(l, config_root_setting(&config));
		read_root(l, config_root_setting(&config));
		set_self(l);
		settings_rules(l);
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

struct settings *settings_load(const char *file, struct str *errors, struct str *warnings)
{
	struct settings *set = NULL;
	struct settings_load l;

	if (settings_load_begin(&l, file, errors, warnings)) {
		set = l.set;
		l.set = NULL;
	}
	settings_load_fini(&l);
	return set;
}
