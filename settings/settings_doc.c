/* Makes the sample file, the manual page and the list of Courier's names from the table. */
#include "settings/settings_doc.h"

#include <stdio.h>
#include <string.h>

#include "lib/num.h"
#include "settings/settings_rows.h"

enum { SAMPLE_WIDTH = 96, VALUE_MAX = 256 };

static const struct {
	const char *group, *title, *text;
} groups[] = {
	{ "node", "The node", "Settings at the top level of the file, outside any group." },
	{ "proxy", "Peers", "Forwarding logins to other nodes." },
	{ "imapd", "IMAP", "Omit this group and imapd-ssl to disable IMAP." },
	{ "imapd_ssl", "IMAP over TLS", "Clients that begin with TLS, and STARTTLS." },
	{ "pop3d", "POP3", "Omit this group and pop3d-ssl to disable POP3." },
	{ "pop3d_ssl", "POP3 over TLS", "Clients that begin with TLS, and STLS." },
	{ "authdaemonrc", "Accounts", "Where accounts are looked up." },
	{ "authuserdb", "Accounts in userdb", "The text file of accounts, in Courier's format." },
	{ "authldaprc", "Accounts in LDAP", "For authldap." },
	{ "authmysqlrc", "Accounts in MySQL or MariaDB", "For authmysql." },
	{ "authpgsqlrc", "Accounts in PostgreSQL", "For authpgsql." },
	{ "authsqliterc", "Accounts in SQLite", "For authsqlite." },
	{ "authdaemon", "Accounts from Courier's authdaemond", "For authdaemon." },
	{ "authpipe", "Accounts from a program", "For authpipe." },
	{ "authpam", "Accounts from PAM", "For authpam." },
};

/* What a first pool needs: these are not commented out in the sample. */
static const struct {
	const char *group, *name, *value;
} first_pool[] = {
	{ "imapd", "IMAP_PROXY", "1" },
	{ "pop3d", "POP3_PROXY", "1" },
	{ "authdaemonrc", "authmodulelist", NULL },
	{ "authuserdb", "USERDB", NULL },
};

static bool is_off(const char *group)
{
	return strstr(group, "_ssl") != NULL ||
	    (strncmp(group, "auth", 4) == 0 && strcmp(group, "authdaemonrc") != 0 && strcmp(group, "authuserdb") != 0);
}

/* The default as the file writes it, with quotes where they are needed. */
static const char *value_of(const struct settings_row *row, const char *value, char buf[VALUE_MAX])
{
	uint64_t v;

	if (row->type == SETTINGS_T_PORTMAP)
		value = strncmp(row->group, "imap", 4) == 0 ? "imap" : "pop3";
	snprintf(buf, VALUE_MAX, num_parse_str(value, INT32_MAX, &v) && row->type != SETTINGS_T_OCTAL ? "%s" : "\"%s\"",
	    value);
	return buf;
}

/* "AUTHSERVICE143" for a PORTMAP, in the sample. */
static const char *name_of(const struct settings_row *row, char buf[VALUE_MAX])
{
	const struct settings_row *port = settings_row_find(row->group, "PORT");

	snprintf(buf, VALUE_MAX, "%s%s", row->name, row->type == SETTINGS_T_PORTMAP && port != NULL ? port->def : "");
	return buf;
}

/* Adds TEXT as comment lines after INDENT. */
static void add_comment(struct str *out, const char *indent, const char *text)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t len = strcspn(text, " ");

		if (column != 0 && column + 1 + len > SAMPLE_WIDTH) {
			str_addc(out, '\n');
			column = 0;
		}
		if (column == 0) {
			str_addf(out, "%s#", indent);
			column = strlen(indent) * 8 + 1;
		}
		str_addf(out, " %.*s", (int)len, text);
		column += len + 1;
		text += len + strspn(text + len, " ");
	}
	str_addc(out, '\n');
}

static void sample_row(struct str *out, const struct settings_row *row, const char *indent)
{
	const char *value = row->def, *off = "#";
	char name[VALUE_MAX], text[VALUE_MAX];

	for (size_t i = 0; i < ARRAY_LEN(first_pool); i++)
		if (strcmp(first_pool[i].group, row->group) == 0 && strcmp(first_pool[i].name, row->name) == 0) {
			off = "";
			if (first_pool[i].value != NULL)
				value = first_pool[i].value;
		}
	add_comment(out, indent, row->text);
	str_addf(out, "%s%s%s = %s;\n", indent, off, name_of(row, name), value_of(row, value, text));
}

void settings_doc_sample(struct str *out)
{
	char name[SETTINGS_GROUP_MAX];

	str_adds(out,
	    "# waypost.conf: the settings of a Waypost node, the same file on every node of the pool.\n"
	    "#\n"
	    "# Settings after a # show their defaults. \"waypost -c FILE check\" finds mistakes;\n"
	    "# waypost.conf(5) is the reference. ${NAME} in a string is replaced from the environment;\n"
	    "# ${HOSTNAME} and ${PROXY_HOSTNAME} are always set. @include \"FILE\" reads another file.\n");
	for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
		bool top = strcmp(groups[g].group, "node") == 0, first = true;

		str_addc(out, '\n');
		settings_group_name(groups[g].group, name);
		if (!top) {
			add_comment(out, "", groups[g].text);
			str_addf(out, "%s%s = {\n", is_off(groups[g].group) ? "#" : "", name);
		}
		for (const struct settings_row *row = settings_rows; row->name != NULL; row++)
			if (strcmp(row->group, groups[g].group) == 0) {
				str_adds(out, first ? "" : "\n");
				sample_row(out, row, top ? "" : "\t");
				first = false;
			}
		if (!top)
			str_addf(out, "%s};\n", is_off(groups[g].group) ? "#" : "");
	}
}

/* ------------------------------------------------------------------------------------------------------------
 * The manual page */

/* Adds TEXT, escaped for roff. */
static void add_roff(struct str *out, const char *text)
{
	if (*text == '.' || *text == '\'')
		str_adds(out, "\\&");
	for (; *text != '\0'; text++) {
		if (*text == '\\')
			str_adds(out, "\\e");
		else if (*text == '-')
			str_adds(out, "\\-");
		else if (*text == '"')
			str_adds(out, "\\(dq");
		else
			str_addc(out, *text);
	}
}

/* Adds one sentence per line, as man sources have it. */
static void add_sentences(struct str *out, const char *text)
{
	while (*text != '\0') {
		const char *end = strstr(text, ". ");
		size_t len = end != NULL ? (size_t)(end - text) + 1 : strlen(text);
		char line[1024];

		snprintf(line, sizeof(line), "%.*s", (int)len, text);
		add_roff(out, line);
		str_addc(out, '\n');
		text += len + (end != NULL);
	}
}

/* "error, warn or info." of "error|warn|info". */
static void add_words(struct str *out, const char *p)
{
	for (;;) {
		size_t len = strcspn(p, "|");
		const char *next = p[len] != '\0' ? p + len + 1 : NULL;

		str_addf(out, "\\(dq%.*s\\(dq%s", (int)len, p,
		    next == NULL                  ? ".\n" :
		        strchr(next, '|') == NULL ? " or " :
		                                    ", ");
		if (next == NULL)
			return;
		p = next;
	}
}

static void add_range(struct str *out, const struct settings_row *row)
{
	switch (row->type) {
	case SETTINGS_T_INT:
	case SETTINGS_T_TIME:
	case SETTINGS_T_SIZE:
		str_addf(out, "From %lld to %lld%s%s.\n", (long long)row->least, (long long)row->most,
		    row->unit[0] != '\0' ? " " : "", row->unit);
		break;
	case SETTINGS_T_BOOL:
		str_adds(out, "1 or 0.\n");
		break;
	case SETTINGS_T_WORD:
		add_words(out, row->unit);
		break;
	default:
		break;
	}
}

static void man_row(struct str *out, const struct settings_row *row)
{
	char value[VALUE_MAX];

	str_adds(out, ".TP\n.B ");
	if (row->type == SETTINGS_T_PORTMAP) {
		str_addf(out, "%s\\fIport\\fP", row->name);
	} else {
		add_roff(out, row->name);
		str_adds(out, " = ");
		add_roff(out, value_of(row, row->def, value));
	}
	str_addc(out, '\n');
	add_sentences(out, row->text);
	add_range(out, row);
}

static void man_head(struct str *out)
{
	str_adds(out,
	    ".\\\" Made from the table of settings by doc/gen-settings: change the table.\n"
	    ".TH WAYPOST.CONF 5 \"\" \"Waypost\" \"File formats\"\n"
	    ".SH NAME\n"
	    "waypost.conf \\- settings of a Waypost mail access node\n"
	    ".SH DESCRIPTION\n"
	    ".B waypostd\n"
	    "and\n"
	    ".B waypost\n"
	    "read one settings file, the same on every node of a pool.\n"
	    "Groups are named after Courier\\(aqs files. Settings that Courier has keep their name, unit and meaning.\n"
	    ".PP\n"
	    ".EX\n"
	    "# a comment\n"
	    "NAME = value;\n"
	    "group = {\n"
	    "    NAME = \"text\";\n"
	    "};\n"
	    "@include \"other.conf\"\n"
	    ".EE\n"
	    ".PP\n"
	    "The file is in the format of libconfig.\n"
	    "A relative @include path starts at the folder of the including file.\n"
	    "Put text in double quotes; quotes around numbers are optional.\n"
	    "Switches are 1 or 0, true or false, \"yes\" or \"no\", \"on\" or \"off\".\n"
	    "Times are in seconds or have a unit: \"90s\", \"5m\", \"1h\", \"1d\".\n"
	    "Sizes are in bytes or have a unit: \"64k\", \"20M\", \"5G\".\n"
	    "Lists are words in one string or an array: [ \"PLAIN\", \"LOGIN\" ].\n"
	    ".PP\n"
	    "${NAME} in a string is replaced from the environment of the daemon, $${ is a literal ${.\n"
	    "${HOSTNAME} and ${PROXY_HOSTNAME} are always set, so that all nodes can share one file.\n"
	    "A variable that is not set is a mistake.\n"
	    ".PP\n"
	    "If the file has a mistake, the daemon does not start; at a reload it keeps the old settings.\n"
	    "What is wrong with the certificates that it names is a mistake for\n"
	    ".B check\n"
	    "only: the daemon starts without those that it cannot use, and the log and\n"
	    ".B waypost status\n"
	    "say what is wrong.\n"
	    ".PP\n"
	    ".B waypost \\-c\n"
	    ".I FILE\n"
	    ".B check\n"
	    "lists all mistakes, and the system limits that matter most.\n");
}

static void man_tail(struct str *out)
{
	str_adds(out,
	    ".SH EXAMPLE\n"
	    "A pool on one machine: start one daemon with PROXY_HOSTNAME=127.0.0.1 in its environment, one with "
	    "127.0.0.2,\n"
	    "and so on.\n"
	    ".PP\n"
	    ".EX\n"
	    "RUNDIR = \"/run/waypost/${PROXY_HOSTNAME}\";\n"
	    "authdaemonrc = { authmodulelist = \"authuserdb\"; };\n"
	    "authuserdb   = { USERDB = \"/etc/waypost/userdb\"; };\n"
	    "imapd = { ADDRESS = \"${PROXY_HOSTNAME}\"; PORT = 1143; IMAP_PROXY = 1; };\n"
	    "pop3d = { ADDRESS = \"${PROXY_HOSTNAME}\"; PORT = 1110; POP3_PROXY = 1; };\n"
	    ".EE\n"
	    ".SH SEE ALSO\n"
	    ".BR waypost (1),\n"
	    ".BR waypostd (8)\n");
}

static const char *status_text(enum settings_status status)
{
	switch (status) {
	case SETTINGS_REPLACED:
	case SETTINGS_REFUSED:
		return "replaced";
	case SETTINGS_IGNORED:
		return "ignored";
	default:
		return "later";
	}
}

/* Appends when K is a mistake, after BEFORE; nothing if it never is. */
static void add_mistake(struct str *out, const struct settings_known *k, const char *before, const char *after)
{
	if (k->status == SETTINGS_UNSAFE)
		str_addf(out, "%smistake while it is switched on%s", before, after);
	else if (k->status == SETTINGS_REFUSED)
		str_addf(out, "%smistake, unless the value is one of Courier's own: %s%s", before, k->off, after);
}

/* "NAME: replaced by RUNDIR", as a sentence. */
static void man_known(struct str *out, const struct settings_known *k)
{
	str_adds(out, ".TP\n.B ");
	add_roff(out, k->name);
	str_addc(out, '\n');
	if (k->status == SETTINGS_REPLACED || k->status == SETTINGS_REFUSED)
		str_adds(out, "Replaced: ");
	else if (k->status == SETTINGS_IGNORED)
		str_adds(out, "No effect: ");
	else
		str_adds(out, "Not in this version: ");
	add_roff(out, k->text);
	str_adds(out, ".\n");
	add_mistake(out, k, "A ", ".\n");
}

static void man_known_all(struct str *out)
{
	const char *group = "";
	char name[SETTINGS_GROUP_MAX];

	str_adds(out,
	    ".SH OTHER NAMES OF COURIER\n"
	    "These are accepted with a warning, so that Courier\\(aqs settings can be copied unchanged.\n");
	for (const struct settings_known *k = settings_known; k->name != NULL; k++) {
		/* Groups of databases: their settings are all of one kind. */
		if (strcmp(k->group, group) != 0) {
			group = k->group;
			str_adds(out, ".SS ");
			add_roff(out, settings_group_name(group, name));
			str_addc(out, '\n');
		}
		man_known(out, k);
	}
}

void settings_doc_man(struct str *out)
{
	char name[SETTINGS_GROUP_MAX];

	man_head(out);
	str_adds(out, ".SH SETTINGS\n");
	for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
		settings_group_name(groups[g].group, name);
		str_addf(out, ".SS %s%s", groups[g].title, name[0] != '\0' ? ": " : "");
		add_roff(out, name);
		str_addf(out, "\n%s\n", groups[g].text);
		for (const struct settings_row *row = settings_rows; row->name != NULL; row++)
			if (strcmp(row->group, groups[g].group) == 0)
				man_row(out, row);
	}
	man_known_all(out);
	man_tail(out);
}

/* ------------------------------------------------------------------------------------------------------------
 * Courier's names */

/* Settings that only Waypost has. */
static bool is_ours(const char *group, const char *name)
{
	static const char *const names[] = { "PROXY_PORT", "IMAP_NAMESPACE_PREFIX", "IMAP_INACTIVITY_TIMEOUT",
		"IMAP_APPENDLIMIT", "POP3_INACTIVITY_TIMEOUT", "MYSQL_TIMEOUT", "PGSQL_TIMEOUT", "SQLITE_TIMEOUT",
		"SCRAM_ITERATIONS", "AUTH_TIMEOUT", "TLS_GROUPS", "TLS_CERTDIR" };

	if (strcmp(group, "node") == 0 || strcmp(group, "proxy") == 0 || strcmp(group, "authuserdb") == 0 ||
	    strncmp(name, "AUTH_CACHE_", 11) == 0)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

void settings_doc_tsv(struct str *out)
{
	char name[SETTINGS_GROUP_MAX];

	str_adds(out, "group\tname\tstatus\twhat it does here\tdefault\n");
	for (const struct settings_row *row = settings_rows; row->name != NULL; row++)
		if (!is_ours(row->group, row->name))
			str_addf(out, "%s\t%s%s\tacted on\t%s\t%s\n", settings_group_name(row->group, name), row->name,
			    row->type == SETTINGS_T_PORTMAP ? "<port>" : "", row->text, row->def);
	for (const struct settings_known *k = settings_known; k->name != NULL; k++)
		if (!is_ours(k->group, k->name)) {
			str_addf(out, "%s\t%s\t%s\t%s", settings_group_name(k->group, name), k->name,
			    status_text(k->status), k->text);
			add_mistake(out, k, " (a ", ")");
			str_adds(out, "\t\n");
		}
}
