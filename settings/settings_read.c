/* Reads the value of one setting from libconfig. */
#include "settings/settings_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/mem.h"
#include "lib/net.h"
#include "lib/num.h"
#include "lib/text.h"

/* "imapd.PORT", or "RUNDIR" at the top level. */
const char *settings_label(char buf[SETTINGS_LABEL_MAX], const char *group, const char *name)
{
	char g[SETTINGS_GROUP_MAX];

	settings_group_name(group, g);
	snprintf(buf, SETTINGS_LABEL_MAX, "%s%s%.100s", g, g[0] != '\0' ? "." : "", name);
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
			str_adds(why, "expected ${NAME}; write $${ for a literal ${");
			return false;
		}
		memcpy(name, in + 2, len);
		name[len] = '\0';
		if ((v = variable(l, name)) == NULL) {
			str_addf(why, "environment variable %s is not set; set it in the environment of the daemon",
			    name);
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
		str_adds(why, "expected a whole number");
		return false;
	case CONFIG_TYPE_BOOL:
		str_adds(out, config_setting_get_bool(e) ? "true" : "false");
		return true;
	case CONFIG_TYPE_STRING:
		return expand(l, config_setting_get_string(e), out, why);
	default:
		str_adds(why, "expected a value, found a group or list");
		return false;
	}
}

/* A value of any shape as text; lists are joined by SEPARATOR (0: lists are refused). */
bool settings_value_text(const struct settings_load *l, const config_setting_t *e, char separator, struct str *out,
    struct str *why)
{
	int type = config_setting_type(e);

	if (type == CONFIG_TYPE_GROUP) {
		str_adds(why, "expected a value, found a group");
		return false;
	}
	if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST)
		return scalar_text(l, e, out, why);
	if (separator == 0) {
		str_adds(why, "expected one value, found a list");
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

bool settings_is_host(const char *p)
{
	const char *dot = strrchr(p, '.');
	struct net_addr a;

	if (net_addr_parse(&a, p, 0))
		return true;
	/* A name that ends in a number would be an address (RFC 1123 2.1), but is not: 300.1.1.1, 10.1 */
	if (dot != NULL && dot[1] != '\0' && dot[1 + strspn(dot + 1, "0123456789")] == '\0')
		return false;
	return p[0] != '\0' && p[0] != '-' && strlen(p) <= 255 &&
	    p[strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_")] == '\0';
}

static bool check_address(struct str *text, struct str *why)
{
	if (strcmp(str_cstr(text), "*") == 0 || text->len == 0) {
		str_clear(text);
		str_adds(text, "0");
	}
	if (settings_is_host(str_cstr(text)))
		return true;
	str_adds(why, "expected an address or host name, or 0 for every address");
	return false;
}

static bool check_ports(const struct settings_row *row, const struct str *text, struct str *why)
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
		str_addf(why, "%.*s is neither a port from 1 to 65535 nor ADDRESS.PORT with a numeric address",
		    (int)(list - at), at);
		return false;
	}
	if (n < (unsigned)row->least)
		str_adds(why, "expected a port; omit the group to disable the service");
	return n >= (unsigned)row->least;
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
		str_addf(why, "%s\"%.*s\"", p != row->unit ? " or " : "expected ", (int)len, p);
		if (p[len] == '\0')
			break;
		p += len + 1;
	}
	return false;
}

static bool check_octal(const struct settings_row *row, const struct str *text, struct str *why)
{
	const char *p = str_cstr(text);

	if (text->len != 0 && text->len <= 4 && p[strspn(p, "01234567")] == '\0' && strtol(p, NULL, 8) <= row->most)
		return true;
	str_adds(why, "expected octal digits in quotes: \"022\"");
	return false;
}

/* Checks a text value against the row's type and normalises it. */
static bool check_text(const struct settings_row *row, struct str *text, struct str *why)
{
	if (text_plain(str_cstr(text), text->len) != text->len) {
		str_adds(why, "control characters are not allowed");
		return false;
	}
	switch (row->type) {
	case SETTINGS_T_PATH:
		while (text->len > 1 && text->data[text->len - 1] == '/')
			text->data[--text->len] = '\0';
		if (text->len == 0 || text->data[0] == '/')
			return true;
		str_adds(why, "expected an absolute path");
		return false;
	case SETTINGS_T_LIST:
		tidy_list(text);
		return true;
	case SETTINGS_T_ADDR:
		return check_address(text, why);
	case SETTINGS_T_PORTS:
		return check_ports(row, text, why);
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
		str_adds(why, "expected 1, 0, true or false");
		break;
	case SETTINGS_T_TIME:
		str_addf(why, "expected a time from %lld to %lld seconds, such as \"90\", \"90s\", \"5m\" or \"1h\"",
		    (long long)row->least, (long long)row->most);
		break;
	case SETTINGS_T_SIZE:
		str_addf(why, "expected a size from %lld to %lld bytes, such as \"500\", \"64k\", \"20M\" or \"5G\"",
		    (long long)row->least, (long long)row->most);
		break;
	default:
		str_addf(why, "expected a whole number from %lld to %lld", (long long)row->least, (long long)row->most);
	}
}

static bool check_number(const struct settings_row *row, const struct str *text, int64_t *out, struct str *why)
{
	const char *p = str_cstr(text);

	/* Accepts true and false for numbers that are almost switches. */
	if (row->type == SETTINGS_T_INT && row->most <= 2 && (strcmp(p, "true") == 0 || strcmp(p, "false") == 0))
		p = *p == 't' ? "1" : "0";
	if (settings_parse_number(row->type, p, out) &&
	    (row->type == SETTINGS_T_BOOL || (*out >= row->least && *out <= row->most)))
		return true;
	wanted_number(row, why);
	return false;
}

/* AUTHSERVICE993 = "imaps": appended to the row's value. */
static bool add_portmap(struct settings_load *l, const struct settings_row *row, const char *name,
    const struct str *text, struct str *why)
{
	char **at = settings_text_at(l->set, row), *joined;
	const char *digits = name + strlen(row->name), *v = str_cstr(text);
	uint64_t port;

	if (!num_parse_str(digits, UINT16_MAX, &port) || port == 0) {
		str_addf(why, "%s is not a port from 1 to 65535", digits);
		return false;
	}
	if (v[0] == '\0' || v[strspn(v, "abcdefghijklmnopqrstuvwxyz0123456789-_")] != '\0' || strlen(v) > 30) {
		str_adds(why, "expected the name of a service: lower-case letters, digits, - and _");
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
		str_adds(why, "expected text in quotes");
	else if (row->type == SETTINGS_T_OCTAL && type != CONFIG_TYPE_STRING && config_setting_get_int64(e) != 0)
		str_adds(why, "expected octal digits in quotes: \"022\"");
	else
		return true;
	return false;
}

static bool store(struct settings_load *l, const struct settings_row *row, const char *name, const config_setting_t *e,
    struct str *text, struct str *why)
{
	char separator = row->type == SETTINGS_T_LIST ? ' ' : row->type == SETTINGS_T_PORTS ? ',' : 0;
	int64_t v;

	if (!settings_value_text(l, e, separator, text, why) || !kind_fits(row, e, why))
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

void settings_read_row(struct settings_load *l, const struct settings_row *row, const char *name,
    const config_setting_t *e)
{
	struct str text = STR_INIT, why = STR_INIT;
	char label[SETTINGS_LABEL_MAX];

	l->row_line[row - settings_rows] = e->line;
	if (!store(l, row, name, e, &text, &why)) {
		settings_label(label, row->group, name);
		if (config_setting_is_aggregate(e) || (text.len == 0 && config_setting_type(e) != CONFIG_TYPE_STRING))
			settings_report(l->errors, &l->text, e->line, "%s: %s", label, str_cstr(&why));
		else if (config_setting_type(e) == CONFIG_TYPE_STRING)
			settings_report(l->errors, &l->text, e->line, "%s = \"%s\": %s", label,
			    config_setting_get_string(e), str_cstr(&why));
		else
			settings_report(l->errors, &l->text, e->line, "%s = %s: %s", label, str_cstr(&text),
			    str_cstr(&why));
	}
	str_fini(&text);
	str_fini(&why);
}
