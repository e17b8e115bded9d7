/* Courier's names that have no row in the table, with the message for each. With settings/settings_tbl.h this covers
 * every name in Courier's files. */
#include "settings/settings_rows.h"

#define REPLACED SETTINGS_REPLACED
#define IGNORED SETTINGS_IGNORED
#define LATER SETTINGS_LATER
#define UNSAFE SETTINGS_UNSAFE
#define REFUSED SETTINGS_REFUSED

#define WEBADMIN "only Courier's web administration reads it"
#define HANDOVER "internal to Courier, whose programs pass it to each other"
#define NO_DH "keys are exchanged on elliptic curves, or as TLS_GROUPS says"
#define NO_CACHE "sessions are resumed with tickets, which take no memory here"
#define CHPASS "Waypost does not change passwords"

/* Tables: a row is a line or two. */
/* clang-format off */

/* What Courier knows for both protocols. */
#define BOTH(g, start, ssl) \
	{ g, start, IGNORED, "", "a service runs if its group is in the file; omit the group to disable it" }, \
	{ g, "PIDFILE", REPLACED, "", "RUNDIR; the service manager knows the process" }, \
	{ g, "LOGGEROPTS", REPLACED, "", "LOG" }, \
	{ g, "TCPDOPTS", IGNORED, "", "Waypost has no couriertcpd; see PROXY_PROTOCOL_PORT for -haproxy, " \
		"IMAPACCESSFILE and POP3ACCESSFILE for -access" }, \
	{ g, "AUTH_MKHOMEDIR_SKEL", LATER, "", "creating home folders at the first login" }, \
	{ g, "TIMEOUT_SOCK", REPLACED, "", "LOGIN_TIMEOUT" }, \
	{ g, "TIMEOUT_WRITE", REPLACED, "", "LOGIN_TIMEOUT" }, \
	{ g, "TIMEOUT_READ", REPLACED, "", "LOGIN_TIMEOUT" }, \
	{ g, "MAILDIRQUOTA", LATER, "", "quotas" }, \
	{ g, "MAILDIR_SKIP_SYMLINK_CHECKS", LATER, "", "messages that are symbolic links; they are not shown" }, \
	{ g, "HOSTNAME", REPLACED, "", "the host name of the machine; ${HOSTNAME} is taken from the environment" }, \
	{ g, "PROTOCOL", IGNORED, "", HANDOVER }, \
	{ g, "OPTIONS", IGNORED, "", HANDOVER }, \
	{ g, "AUTHENTICATED", IGNORED, "", HANDOVER }, \
	{ g, ssl, IGNORED, "", HANDOVER }

#define BOTH_SSL(g, start, port, alpn) \
	{ g, start, IGNORED, "", "SSLPORT is open if there is a TLS_CERTFILE; SSLPORT = \"\" closes it" }, \
	{ g, "SSLPIDFILE", REPLACED, "", "RUNDIR; the service manager knows the process" }, \
	{ g, "SSLLOGGEROPTS", REPLACED, "", "LOG" }, \
	{ g, "COURIERTLS", IGNORED, "", "TLS is part of the login workers, not a program of its own" }, \
	{ g, "TLS_PRIORITY", REFUSED, "NORMAL NORMAL:-CTYPE-OPENPGP", "TLS_PROTOCOL, TLS_CIPHER_LIST and " \
		"TLS_GROUPS (OpenSSL's words, not GnuTLS's)" }, \
	{ g, "TLS_MIN_DH_BITS", IGNORED, "", NO_DH }, \
	{ g, "TLS_DHPARAMS", IGNORED, "", NO_DH }, \
	{ g, "TLS_DHCERTFILE", IGNORED, "", NO_DH }, \
	{ g, "TLS_TIMEOUT", IGNORED, "", "Courier ignores it, too; see LOGIN_TIMEOUT" }, \
	{ g, "TLS_CACHEFILE", IGNORED, "", NO_CACHE }, \
	{ g, "TLS_CACHESIZE", IGNORED, "", NO_CACHE }, \
	{ g, "TLS_INTCACHESIZE", IGNORED, "", NO_CACHE }, \
	{ g, "TLS_ALPN", IGNORED, "", "a client that names a protocol (ALPN) must name " alpn }, \
	{ g, "TLS_COMPRESSION", IGNORED, "", "TLS never compresses, for that betrays secrets" }, \
	{ g, "TLS_KX_LIST", IGNORED, "", "keys are exchanged with (EC)DHE only; see TLS_GROUPS" }, \
	{ g, "TLS_CERTS", IGNORED, "", "certificates are those of X.509" }, \
	{ g, "MAILDIRPATH", REPLACED, "", port }

const struct settings_known settings_known[] = {
	{ "proxy", "PROXY_REFERRAL_HOSTS", LATER, "", "following a peer that names another owner of the account" },

	BOTH("imapd", "IMAPDSTART", "IMAP_TLS"),
	{ "imapd", "IMAP_ACL", LATER, "", "access rights on folders" },
	{ "imapd", "SMAP_CAPABILITY", IGNORED, "", "only Courier's own programs speak SMAP" },
	{ "imapd", "IMAP_CAPABILITY_ORIG", IGNORED, "", WEBADMIN },
	{ "imapd", "IMAP_CAPABILITY_TLS_ORIG", IGNORED, "", WEBADMIN },
	{ "imapd", "IMAP_ULIMITD", LATER, "", "a limit on the memory of a session" },
	{ "imapd", "IMAP_SHAREDINDEXFILE", LATER, "", "shared folders" },
	{ "imapd", "IMAP_SHAREDMUNGENAMES", LATER, "", "shared folders" },
	{ "imapd", "IMAP_ENHANCEDIDLE", IGNORED, "", "IDLE always uses the system's change notification" },
	{ "imapd", "IMAP_MOVE_EXPUNGE_TO_TRASH", UNSAFE, "", "moving expunged messages to the trash folder; they "
		"would be deleted" },
	{ "imapd", "IMAP_USELOCKS", IGNORED, "", "a folder is always locked while its index is written" },
	{ "imapd", "IMAP_EMPTYTRASH", LATER, "", "removing old messages from the trash folder; nothing is removed" },
	{ "imapd", "IMAP_TRASHFOLDERNAME", LATER, "", "a trash folder; it is a folder like any other" },
	{ "imapd", "IMAPDEBUGFILE", IGNORED, "", "no trace of a session is written; see DEBUG_LOGIN" },
	{ "imapd", "IMAP_BROKENUIDV", IGNORED, "", "UIDVALIDITY is always the folder's own" },
	{ "imapd", "OUTBOX", UNSAFE, "", "sending mail by copying it to a folder; it would stay there unsent" },
	{ "imapd", "OUTBOX_MULTIPLE_SEND", IGNORED, "", "needs OUTBOX, which is not in this version" },
	{ "imapd", "SENDMAIL", IGNORED, "", "needs OUTBOX, which is not in this version" },
	{ "imapd", "HEADERFROM", IGNORED, "", "needs OUTBOX, which is not in this version" },
	{ "imapd", "IMAPLOGINTAG", IGNORED, "", HANDOVER },

	BOTH_SSL("imapd_ssl", "IMAPDSSLSTART", "MAILDIRPATH of imapd", "imap"),
	{ "imapd_ssl", "IMAP_STARTTLS", REPLACED, "", "IMAPDSTARTTLS" },

	BOTH("pop3d", "POP3DSTART", "POP3_TLS"),
	{ "pop3d", "POP3AUTH_ORIG", IGNORED, "", WEBADMIN },
	{ "pop3d", "POP3AUTH_TLS_ORIG", IGNORED, "", WEBADMIN },
	{ "pop3d", "MIME_UNICODE_MESSAGE_TYPE", LATER, "", "wrapping UTF-8 messages for clients without UTF-8 "
		"support" },
	{ "pop3d", "UTF8", IGNORED, "", HANDOVER },

	BOTH_SSL("pop3d_ssl", "POP3DSSLSTART", "MAILDIRPATH of pop3d", "pop3"),

	{ "authdaemonrc", "authmodulelistorig", IGNORED, "", WEBADMIN },
	{ "authdaemonrc", "authdaemonvar", REPLACED, "", "RUNDIR; AUTHDAEMON_SOCKET in the group authdaemon connects "
		"to Courier's authdaemond" },
	{ "authdaemonrc", "LOGGEROPTS", REPLACED, "", "LOG" },
	{ "authdaemonrc", "LDAPTLS_*", REPLACED, "", "the system's ldap.conf for other TLS settings of LDAP" },

	{ "authmysqlrc", "MYSQL_CHPASS_CLAUSE", IGNORED, "", CHPASS },
	{ "authpgsqlrc", "PGSQL_CHPASS_CLAUSE", IGNORED, "", CHPASS },

	{ "authsqliterc", "SQLITE_CHPASS_CLAUSE", IGNORED, "", CHPASS },

	{ NULL, NULL, IGNORED, NULL, NULL }
};
/* clang-format on */
