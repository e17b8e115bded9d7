/* Checks the settings of account directories, so that `waypost check` reports what would otherwise make logins fail. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/mem.h"
#include "settings/clause.h"
#include "settings/settings_load.h"

#define MISTAKE(l, member, ...) settings_report((l)->errors, &(l)->text, SETTINGS_LINE(l, member), __VA_ARGS__)
#define WARNING(l, member, ...) settings_report((l)->warnings, &(l)->text, SETTINGS_LINE(l, member), __VA_ARGS__)
#define NEED(l, member, label, hint) \
	do { \
		if ((l)->set->member[0] == '\0') \
			MISTAKE(l, member, label " is missing; set it to " hint); \
	} while (0)

#ifdef WITH_LDAP
enum { HAVE_LDAP = 1 };
#else
enum { HAVE_LDAP = 0 };
#endif
#ifdef WITH_MYSQL
enum { HAVE_MYSQL = 1 };
#else
enum { HAVE_MYSQL = 0 };
#endif
#ifdef WITH_PGSQL
enum { HAVE_PGSQL = 1 };
#else
enum { HAVE_PGSQL = 0 };
#endif
#ifdef WITH_PAM
enum { HAVE_PAM = 1 };
#else
enum { HAVE_PAM = 0 };
#endif
#ifdef WITH_SQLITE
enum { HAVE_SQLITE = 1 };
#else
enum { HAVE_SQLITE = 0 };
#endif

void settings_rules_secret(struct settings_load *l, size_t member, const char *label)
{
	unsigned line = settings_load_line(l, member);
	const char *file;
	struct stat st;

	if (line == 0 || line > l->text.nlines)
		return;
	file = l->text.files[l->text.lines[line - 1].file];
	if (stat(file, &st) == 0 && (st.st_mode & 004) != 0)
		settings_report(l->warnings, &l->text, line,
		    "%s is in a file that everybody on this machine can read; run: chmod o= %s, or move the group to a "
		    "file of its own and @include it",
		    label, file);
}

/* ------------------------------------------------------------------------------------------------------------
 * LDAP */

static void check_uris(struct settings_load *l)
{
	static const char *const schemes[] = { "ldap://", "ldaps://", "ldapi://" };

	for (const char *p = l->set->authldaprc_LDAP_URI; *p != '\0';) {
		size_t len = strcspn(p, " ");
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(schemes); i++)
			known |= strncasecmp(p, schemes[i], strlen(schemes[i])) == 0;
		if (!known)
			MISTAKE(l, authldaprc_LDAP_URI,
			    "authldaprc.LDAP_URI: %.*s must begin with ldap://, ldaps:// or ldapi://", (int)len, p);
		p += len + (p[len] == ' ');
	}
}

/* "attr=option,attr2=option2" */
/* The setting LABEL says where accounts have their quota, which has no effect yet. */
static void check_quota(struct settings_load *l, unsigned line, const char *label, const char *value)
{
	if (value[0] != '\0' && strcmp(value, "''") != 0 && strcasecmp(value, "NULL") != 0)
		settings_report(l->warnings, &l->text, line, "%s has no effect; not in this version: quotas", label);
}

static void check_auxoptions(struct settings_load *l)
{
	for (const char *p = l->set->authldaprc_LDAP_AUXOPTIONS; *p != '\0';) {
		size_t len = strcspn(p, ","), name = strcspn(p, "=,");

		if (name == 0 || name == len || name + 1 == len || memchr(p, ' ', len) != NULL)
			MISTAKE(l, authldaprc_LDAP_AUXOPTIONS,
			    "authldaprc.LDAP_AUXOPTIONS: expected ATTRIBUTE=OPTION, found \"%.*s\"; separate entries "
			    "by commas, without spaces: \"mailHost=mailhost,noImap=disableimap\"",
			    (int)len, p);
		p += len + (p[len] == ',');
	}
}

static void rules_ldap(struct settings_load *l)
{
	const struct settings *set = l->set;

	NEED(l, authldaprc_LDAP_URI, "authldaprc.LDAP_URI", "\"ldap://ldap.example.com\"");
	NEED(l, authldaprc_LDAP_BASEDN, "authldaprc.LDAP_BASEDN",
	    "the entry above the accounts, \"ou=people,dc=example,dc=com\"");
	NEED(l, authldaprc_LDAP_MAIL, "authldaprc.LDAP_MAIL", "the attribute of the login name");
	NEED(l, authldaprc_LDAP_HOMEDIR, "authldaprc.LDAP_HOMEDIR", "the attribute of the home folder");
	check_uris(l);
	check_auxoptions(l);
	check_quota(l, SETTINGS_LINE(l, authldaprc_LDAP_MAILDIRQUOTA), "authldaprc.LDAP_MAILDIRQUOTA",
	    set->authldaprc_LDAP_MAILDIRQUOTA);
	if (set->authldaprc_LDAP_INITBIND &&
	    (set->authldaprc_LDAP_BINDDN[0] == '\0' || set->authldaprc_LDAP_BINDPW[0] == '\0'))
		MISTAKE(l, authldaprc_LDAP_INITBIND, "authldaprc.LDAP_INITBIND needs LDAP_BINDDN and LDAP_BINDPW");
	if (!set->authldaprc_LDAP_AUTHBIND && set->authldaprc_LDAP_CLEARPW[0] == '\0' &&
	    set->authldaprc_LDAP_CRYPTPW[0] == '\0')
		MISTAKE(l, authldaprc_LDAP_URI,
		    "authldaprc: no way to check passwords: set LDAP_CRYPTPW = \"userPassword\", or LDAP_AUTHBIND = 1");
	if (set->authldaprc_LDAP_UID[0] == '\0' && set->authldaprc_LDAP_GLOB_UID[0] == '\0')
		MISTAKE(l, authldaprc_LDAP_URI,
		    "authldaprc: accounts have no user id: set LDAP_UID = \"uidNumber\", or LDAP_GLOB_UID");
	if (set->authldaprc_LDAP_GID[0] == '\0' && set->authldaprc_LDAP_GLOB_GID[0] == '\0')
		MISTAKE(l, authldaprc_LDAP_URI,
		    "authldaprc: accounts have no group id: set LDAP_GID = \"gidNumber\", or LDAP_GLOB_GID");
	if (set->authldaprc_LDAP_EMAILMAP[0] != '\0' && set->authldaprc_LDAP_EMAILMAP_BASEDN[0] == '\0')
		MISTAKE(l, authldaprc_LDAP_EMAILMAP, "authldaprc.LDAP_EMAILMAP needs LDAP_EMAILMAP_BASEDN");
	settings_rules_secret(l, offsetof(struct settings, authldaprc_LDAP_BINDPW), "authldaprc.LDAP_BINDPW");
}

/* ------------------------------------------------------------------------------------------------------------
 * SQL */

static void check_clause(struct settings_load *l, unsigned line, const char *label, const char *clause,
    enum clause_dialect dialect)
{
	const char *why = clause_mistake(clause, dialect);

	if (why != NULL)
		settings_report(l->errors, &l->text, line, "%s: %s", label, why);
}

static void rules_mysql(struct settings_load *l)
{
	const struct settings *set = l->set;

	if (set->authmysqlrc_MYSQL_SERVER[0] == '\0' && set->authmysqlrc_MYSQL_SOCKET[0] == '\0')
		MISTAKE(l, authmysqlrc_MYSQL_SERVER, "authmysqlrc: set MYSQL_SERVER or MYSQL_SOCKET");
	NEED(l, authmysqlrc_MYSQL_USERNAME, "authmysqlrc.MYSQL_USERNAME", "the user that reads the accounts");
	NEED(l, authmysqlrc_MYSQL_DATABASE, "authmysqlrc.MYSQL_DATABASE", "the database of the accounts");
	settings_rules_secret(l, offsetof(struct settings, authmysqlrc_MYSQL_PASSWORD), "authmysqlrc.MYSQL_PASSWORD");
	check_clause(l, SETTINGS_LINE(l, authmysqlrc_MYSQL_SELECT_CLAUSE), "authmysqlrc.MYSQL_SELECT_CLAUSE",
	    set->authmysqlrc_MYSQL_SELECT_CLAUSE, CLAUSE_MYSQL);
	check_clause(l, SETTINGS_LINE(l, authmysqlrc_MYSQL_ENUMERATE_CLAUSE), "authmysqlrc.MYSQL_ENUMERATE_CLAUSE",
	    set->authmysqlrc_MYSQL_ENUMERATE_CLAUSE, CLAUSE_MYSQL);
	if (set->authmysqlrc_MYSQL_SELECT_CLAUSE[0] != '\0')
		return;
	check_quota(l, SETTINGS_LINE(l, authmysqlrc_MYSQL_QUOTA_FIELD), "authmysqlrc.MYSQL_QUOTA_FIELD",
	    set->authmysqlrc_MYSQL_QUOTA_FIELD);
	NEED(l, authmysqlrc_MYSQL_USER_TABLE, "authmysqlrc.MYSQL_USER_TABLE", "the table of the accounts");
	NEED(l, authmysqlrc_MYSQL_LOGIN_FIELD, "authmysqlrc.MYSQL_LOGIN_FIELD", "the column of the login name");
	NEED(l, authmysqlrc_MYSQL_HOME_FIELD, "authmysqlrc.MYSQL_HOME_FIELD", "the column of the home folder");
	if (set->authmysqlrc_MYSQL_CRYPT_PWFIELD[0] == '\0' && set->authmysqlrc_MYSQL_CLEAR_PWFIELD[0] == '\0')
		MISTAKE(l, authmysqlrc_MYSQL_USER_TABLE,
		    "authmysqlrc: set MYSQL_CRYPT_PWFIELD or MYSQL_CLEAR_PWFIELD to the column of the passwords");
}

static void rules_pgsql(struct settings_load *l)
{
	const struct settings *set = l->set;

	if (set->authpgsqlrc_PGSQL_CONNECTION[0] == '\0' && set->authpgsqlrc_PGSQL_DATABASE[0] == '\0')
		MISTAKE(l, authpgsqlrc_PGSQL_CONNECTION,
		    "authpgsqlrc.PGSQL_CONNECTION is missing; set it to \"host=db.example.com dbname=mail "
		    "user=waypost\"");
	settings_rules_secret(l, offsetof(struct settings, authpgsqlrc_PGSQL_PASSWORD), "authpgsqlrc.PGSQL_PASSWORD");
	if (strstr(set->authpgsqlrc_PGSQL_CONNECTION, "password") != NULL)
		settings_rules_secret(l, offsetof(struct settings, authpgsqlrc_PGSQL_CONNECTION),
		    "authpgsqlrc.PGSQL_CONNECTION");
	check_clause(l, SETTINGS_LINE(l, authpgsqlrc_PGSQL_SELECT_CLAUSE), "authpgsqlrc.PGSQL_SELECT_CLAUSE",
	    set->authpgsqlrc_PGSQL_SELECT_CLAUSE, CLAUSE_PGSQL);
	check_clause(l, SETTINGS_LINE(l, authpgsqlrc_PGSQL_ENUMERATE_CLAUSE), "authpgsqlrc.PGSQL_ENUMERATE_CLAUSE",
	    set->authpgsqlrc_PGSQL_ENUMERATE_CLAUSE, CLAUSE_PGSQL);
	if (set->authpgsqlrc_PGSQL_SELECT_CLAUSE[0] != '\0')
		return;
	check_quota(l, SETTINGS_LINE(l, authpgsqlrc_PGSQL_QUOTA_FIELD), "authpgsqlrc.PGSQL_QUOTA_FIELD",
	    set->authpgsqlrc_PGSQL_QUOTA_FIELD);
	NEED(l, authpgsqlrc_PGSQL_USER_TABLE, "authpgsqlrc.PGSQL_USER_TABLE", "the table of the accounts");
	NEED(l, authpgsqlrc_PGSQL_LOGIN_FIELD, "authpgsqlrc.PGSQL_LOGIN_FIELD", "the column of the login name");
	NEED(l, authpgsqlrc_PGSQL_HOME_FIELD, "authpgsqlrc.PGSQL_HOME_FIELD", "the column of the home folder");
	if (set->authpgsqlrc_PGSQL_CRYPT_PWFIELD[0] == '\0' && set->authpgsqlrc_PGSQL_CLEAR_PWFIELD[0] == '\0')
		MISTAKE(l, authpgsqlrc_PGSQL_USER_TABLE,
		    "authpgsqlrc: set PGSQL_CRYPT_PWFIELD or PGSQL_CLEAR_PWFIELD to the column of the passwords");
}

static const char *who_reads(const struct settings *set)
{
	return geteuid() == 0 ? set->node_AUTH_USER : "this user";
}

static void rules_sqlite(struct settings_load *l)
{
	const struct settings *set = l->set;

	NEED(l, authsqliterc_SQLITE_DATABASE, "authsqliterc.SQLITE_DATABASE", "the file of the database");
	check_clause(l, SETTINGS_LINE(l, authsqliterc_SQLITE_SELECT_CLAUSE), "authsqliterc.SQLITE_SELECT_CLAUSE",
	    set->authsqliterc_SQLITE_SELECT_CLAUSE, CLAUSE_SQLITE);
	check_clause(l, SETTINGS_LINE(l, authsqliterc_SQLITE_ENUMERATE_CLAUSE), "authsqliterc.SQLITE_ENUMERATE_CLAUSE",
	    set->authsqliterc_SQLITE_ENUMERATE_CLAUSE, CLAUSE_SQLITE);
	if (set->authsqliterc_SQLITE_DATABASE[0] != '\0' && !settings_auth_reads(l, set->authsqliterc_SQLITE_DATABASE))
		WARNING(l, authsqliterc_SQLITE_DATABASE,
		    "authsqliterc.SQLITE_DATABASE: %s does not exist or is not readable by %s; logins fail temporarily "
		    "until it is",
		    set->authsqliterc_SQLITE_DATABASE, who_reads(set));
	if (set->authsqliterc_SQLITE_SELECT_CLAUSE[0] != '\0')
		return;
	check_quota(l, SETTINGS_LINE(l, authsqliterc_SQLITE_QUOTA_FIELD), "authsqliterc.SQLITE_QUOTA_FIELD",
	    set->authsqliterc_SQLITE_QUOTA_FIELD);
	NEED(l, authsqliterc_SQLITE_USER_TABLE, "authsqliterc.SQLITE_USER_TABLE", "the table of the accounts");
	NEED(l, authsqliterc_SQLITE_LOGIN_FIELD, "authsqliterc.SQLITE_LOGIN_FIELD", "the column of the login name");
	NEED(l, authsqliterc_SQLITE_HOME_FIELD, "authsqliterc.SQLITE_HOME_FIELD", "the column of the home folder");
	if (set->authsqliterc_SQLITE_CRYPT_PWFIELD[0] == '\0' && set->authsqliterc_SQLITE_CLEAR_PWFIELD[0] == '\0')
		MISTAKE(l, authsqliterc_SQLITE_USER_TABLE,
		    "authsqliterc: set SQLITE_CRYPT_PWFIELD or SQLITE_CLEAR_PWFIELD to the column of the passwords");
}

/* ------------------------------------------------------------------------------------------------------------
 * Courier */

static void rules_authdaemon(struct settings_load *l)
{
	const char *path = l->set->authdaemon_AUTHDAEMON_SOCKET;
	char *folder;
	struct stat st;

	NEED(l, authdaemon_AUTHDAEMON_SOCKET, "authdaemon.AUTHDAEMON_SOCKET", "the socket of Courier's authdaemond");
	if (path[0] == '\0')
		return;
	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		MISTAKE(l, authdaemon_AUTHDAEMON_SOCKET,
		    "authdaemon.AUTHDAEMON_SOCKET: %s is too long for a socket path", path);
		return;
	}
	if (stat(path, &st) != 0) {
		WARNING(l, authdaemon_AUTHDAEMON_SOCKET,
		    "authdaemon.AUTHDAEMON_SOCKET: %s: %s; logins fail temporarily until Courier's authdaemond runs; "
		    "run: systemctl start courier-authdaemon",
		    path, strerror(errno));
		return;
	}
	if (!S_ISSOCK(st.st_mode))
		MISTAKE(l, authdaemon_AUTHDAEMON_SOCKET, "authdaemon.AUTHDAEMON_SOCKET: %s is not a socket", path);
	folder = mem_memdup(path, (size_t)(strrchr(path, '/') - path));
	if (!settings_auth_reads(l, folder[0] != '\0' ? folder : "/"))
		WARNING(l, authdaemon_AUTHDAEMON_SOCKET,
		    "authdaemon.AUTHDAEMON_SOCKET: %s may not enter %s; run: usermod -aG courier %s", who_reads(l->set),
		    folder, geteuid() == 0 ? l->set->node_AUTH_USER : "USER");
	mem_free(&folder);
}

static void rules_authpipe(struct settings_load *l)
{
	const char *path = l->set->authpipe_AUTHPIPE_PROGRAM;
	struct stat st;

	NEED(l, authpipe_AUTHPIPE_PROGRAM, "authpipe.AUTHPIPE_PROGRAM", "the program that looks up accounts");
	if (path[0] == '\0')
		return;
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		WARNING(l, authpipe_AUTHPIPE_PROGRAM,
		    "authpipe.AUTHPIPE_PROGRAM: %s is not an executable program; logins fail temporarily until it is",
		    path);
	else if ((st.st_mode & 022) != 0)
		WARNING(l, authpipe_AUTHPIPE_PROGRAM,
		    "authpipe.AUTHPIPE_PROGRAM: %s is writable by others than its owner, who could learn all "
		    "passwords; run: chmod go-w %s",
		    path, path);
}

/* ------------------------------------------------------------------------------------------------------------
 * PAM */

static void check_pam_service(struct settings_load *l, const char *folder, const char *service)
{
	char *path = mem_printf("%s/%s", folder, service);

	if (!settings_auth_reads(l, path))
		WARNING(l, authdaemonrc_authmodulelist,
		    "authpam: %s does not exist or is not readable by %s, so PAM uses %s/other; see the sample "
		    "etc/waypost.pam",
		    path, who_reads(l->set), folder);
	mem_free(&path);
}

static void rules_pam(struct settings_load *l)
{
	const struct settings *set = l->set;
	const char *folder = set->authpam_AUTHPAM_CONFDIR[0] != '\0' ? set->authpam_AUTHPAM_CONFDIR : "/etc/pam.d";

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const struct protocol_settings s = protocol_settings(set, p);

		if (s.served && protocols[p].has_login && s.authservice[0] == '\0')
			check_pam_service(l, folder, protocols[p].name);
	}
	if (!settings_auth_reads(l, "/etc/shadow"))
		WARNING(l, authdaemonrc_authmodulelist,
		    "authpam: %s cannot read /etc/shadow: pam_unix will refuse every password; run: usermod -aG shadow "
		    "%s",
		    who_reads(set), geteuid() == 0 ? set->node_AUTH_USER : "USER");
}

bool settings_rules_directory(struct settings_load *l, const char *module)
{
	static const struct {
		const char *name;
		int built;
		const char *package;
		void (*rules)(struct settings_load *l);
	} known[] = {
		{ "authldap", HAVE_LDAP, "libldap-dev", rules_ldap },
		{ "authmysql", HAVE_MYSQL, "default-libmysqlclient-dev", rules_mysql },
		{ "authpgsql", HAVE_PGSQL, "libpq-dev", rules_pgsql },
		{ "authsqlite", HAVE_SQLITE, "libsqlite3-dev", rules_sqlite },
		{ "authdaemon", 1, "", rules_authdaemon },
		{ "authpipe", 1, "", rules_authpipe },
		{ "authpam", HAVE_PAM, "libpam0g-dev", rules_pam },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strcmp(known[i].name, module) != 0)
			continue;
		if (known[i].built)
			known[i].rules(l);
		else
			MISTAKE(l, authdaemonrc_authmodulelist,
			    "authdaemonrc.authmodulelist: %s is not in this build because its library was missing; "
			    "install %s and build again",
			    module, known[i].package);
		return true;
	}
	return false;
}
