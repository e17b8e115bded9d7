/* Checks login mechanisms other than PLAIN and LOGIN: are they known, allowed there, and usable for the accounts of
 * this node? */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "settings/capability.h"
#include "settings/settings_load.h"

enum kind { KIND_PLAINTEXT, KIND_CRAM, KIND_APOP, KIND_SCRAM, KIND_EXTERNAL, KIND_UNSUPPORTED };

#ifdef WITH_GSASL
enum { HAVE_SCRAM = 1 };
#else
enum { HAVE_SCRAM = 0 };
#endif

static const struct {
	const char *name;
	enum kind kind;
} known[] = {
	{ "PLAIN", KIND_PLAINTEXT },
	{ "LOGIN", KIND_PLAINTEXT },
	{ "CRAM-MD5", KIND_CRAM },
	{ "CRAM-SHA1", KIND_CRAM },
	{ "CRAM-SHA256", KIND_CRAM },
	{ "APOP", KIND_APOP },
	{ "SCRAM-SHA-1", KIND_SCRAM },
	{ "SCRAM-SHA-256", KIND_SCRAM },
	{ "SCRAM-SHA-1-PLUS", KIND_UNSUPPORTED },
	{ "SCRAM-SHA-256-PLUS", KIND_UNSUPPORTED },
	{ "EXTERNAL", KIND_EXTERNAL },
	{ "OAUTHBEARER", KIND_UNSUPPORTED },
	{ "XOAUTH2", KIND_UNSUPPORTED },
};

static const char scram_needs[] =
    "a clear password, or a {SCRAM-SHA-1} or {SCRAM-SHA-256} secret of the same mechanism";

/* What accounts of MODULE need for logins by a mechanism of KIND, and this node cannot find out whether they have it;
 * NULL: they have it, or it can: each account of a userdb is looked at (authd/lacking.h). */
static const char *obstacle(const struct settings *set, const char *module, enum kind kind)
{
	if (strcmp(module, "authldap") == 0)
		return set->authldaprc_LDAP_AUTHBIND ?
		    "a clear password, which LDAP_AUTHBIND never reveals" :
		    set->authldaprc_LDAP_CLEARPW[0] == '\0' ?
		    kind == KIND_SCRAM ? scram_needs : "a clear password; set LDAP_CLEARPW to its attribute" :
		    NULL;
	if (strcmp(module, "authmysql") == 0)
		return set->authmysqlrc_MYSQL_CLEAR_PWFIELD[0] == '\0' &&
		        set->authmysqlrc_MYSQL_SELECT_CLAUSE[0] == '\0' ?
		    kind == KIND_SCRAM ? scram_needs : "a clear password; set MYSQL_CLEAR_PWFIELD to its column" :
		    NULL;
	if (strcmp(module, "authpgsql") == 0)
		return set->authpgsqlrc_PGSQL_CLEAR_PWFIELD[0] == '\0' &&
		        set->authpgsqlrc_PGSQL_SELECT_CLAUSE[0] == '\0' ?
		    kind == KIND_SCRAM ? scram_needs : "a clear password; set PGSQL_CLEAR_PWFIELD to its column" :
		    NULL;
	if (strcmp(module, "authsqlite") == 0)
		return set->authsqliterc_SQLITE_CLEAR_PWFIELD[0] == '\0' &&
		        set->authsqliterc_SQLITE_SELECT_CLAUSE[0] == '\0' ?
		    kind == KIND_SCRAM ? scram_needs : "a clear password; set SQLITE_CLEAR_PWFIELD to its column" :
		    NULL;
	if (strcmp(module, "authpam") == 0 || strcmp(module, "authpwd") == 0 || strcmp(module, "authshadow") == 0)
		return "a clear password, which the system never has";
	return NULL;
}

/* Most clients use what is announced, and try nothing else if it fails. */
static void warn_accounts(struct settings_load *l, unsigned line, const char *label, const char *name, enum kind kind)
{
	const char *p = l->set->authdaemonrc_authmodulelist;

	for (;;) {
		char module[64];
		const char *why;
		size_t len;

		p += strspn(p, " ");
		if ((len = strcspn(p, " ")) == 0)
			return;
		snprintf(module, sizeof(module), "%.*s", (int)MIN(len, sizeof(module) - 1), p);
		p += len;
		if ((why = obstacle(l->set, module, kind)) != NULL)
			settings_report(l->warnings, &l->text, line, "%s: for logins with %s, accounts of %s need %s",
			    label, name, module, why);
	}
}

void settings_rules_mechanism(struct settings_load *l, enum protocol protocol, unsigned line, const char *label,
    const char *name, unsigned *said)
{
	static const char ours[] = "PLAIN, LOGIN, CRAM-MD5, CRAM-SHA1, CRAM-SHA256, SCRAM-SHA-1 or SCRAM-SHA-256";
	size_t i = 0;

	while (i < ARRAY_LEN(known) && strcasecmp(known[i].name, name) != 0)
		i++;
	if (i == ARRAY_LEN(known) || (known[i].kind == KIND_APOP && protocol != PROTOCOL_POP3))
		settings_report(l->errors, &l->text, line, "%s: the mechanism %s is unknown; use %s", label, name,
		    ours);
	else if (known[i].kind == KIND_SCRAM && !HAVE_SCRAM)
		settings_report(l->errors, &l->text, line,
		    "%s: %s is not in this build because GNU SASL was missing; install libgsasl-dev and build again",
		    label, name);
	else if (known[i].kind == KIND_EXTERNAL)
		settings_report(l->errors, &l->text, line,
		    "%s: EXTERNAL is announced to clients that have shown a certificate, if TLS_EXTERNAL is set; leave "
		    "it "
		    "out here",
		    label);
	else if (known[i].kind == KIND_UNSUPPORTED)
		settings_report(l->errors, &l->text, line, "%s: the mechanism %s is not in this version; use %s", label,
		    name, ours);
	else if (known[i].kind != KIND_PLAINTEXT && (*said & 1u << known[i].kind) == 0)
		warn_accounts(l, line, label, known[i].name, known[i].kind);
	if (i < ARRAY_LEN(known))
		*said |= 1u << known[i].kind;
}

bool settings_offers(const struct settings *set, enum protocol p, const char *mechanism)
{
	const struct {
		const char *prefix, *list, *tls_list;
	} announced[PROTOCOL_COUNT] = {
		[PROTOCOL_IMAP] = { "AUTH=", set->imapd_IMAP_CAPABILITY, set->imapd_IMAP_CAPABILITY_TLS },
		[PROTOCOL_POP3] = { "", set->pop3d_POP3AUTH, set->pop3d_POP3AUTH_TLS },
	};
	char word[64];
	size_t len;

	if (!set->has[p] || announced[p].list == NULL)
		return false;
	snprintf(word, sizeof(word), "%s%s", announced[p].prefix, mechanism);
	len = strlen(word);
	return capability_has(announced[p].list, word, len) || capability_has(announced[p].tls_list, word, len);
}

bool settings_offer_scram(const struct settings *set)
{
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			if (known[i].kind == KIND_SCRAM && settings_offers(set, p, known[i].name))
				return true;
	return false;
}
