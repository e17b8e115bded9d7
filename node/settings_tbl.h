/* Every setting, one row each: group, name, type, default (as one would write it), least, most, unit, roles,
 * text. From here come the parser, `waypost check`, etc/waypost.conf, waypost.conf(5) and
 * doc/courier-settings.tsv. Group "node" is the top level of the file; '_' in a group's name is '-' there.
 *
 * Types: STR any text; PATH absolute path or ""; LIST words, an array or list in the file too; ADDR address or
 * host name ("0": all); PORTS port list; PORTMAP name followed by a port, any number of times, kept as
 * "993=imaps 143=imap"; OCTAL octal digits; WORD one of the words that stand in the column unit;
 * INT, BOOL, SIZE (bytes), TIME (seconds).
 * Roles: who is told the value (SETTINGS_FOR_...). A worker is told nothing of the directories of accounts. */
#ifndef NODE_SETTINGS_TBL_H
#define NODE_SETTINGS_TBL_H

#define SF_M SETTINGS_FOR_MASTER
#define SF_W SETTINGS_FOR_WORKER
#define SF_A SETTINGS_FOR_AUTHD
#define SF_S SETTINGS_FOR_SPAWN
#define SF_ALL (SF_M | SF_W | SF_A | SF_S)
#define SF_DAY 86400

#define SETTINGS_TABLE(S) \
	SETTINGS_NODE(S) SETTINGS_PROXY(S) SETTINGS_IMAPD(S) SETTINGS_IMAPD_SSL(S) SETTINGS_POP3D(S) \
	SETTINGS_POP3D_SSL(S) SETTINGS_AUTHDAEMONRC(S) SETTINGS_AUTHUSERDB(S)

#define SETTINGS_NODE(S) \
	S(node, RUNDIR, PATH, "/run/waypost", 0, 0, "", SF_ALL, \
		"Folder of the control socket and of the lock that keeps a second daemon out. Nodes that share a machine " \
		"need one each: RUNDIR = \"/run/waypost/${PROXY_HOSTNAME}\".") \
	S(node, PROXY_HOSTNAME, STR, "", 0, 0, "", SF_ALL, \
		"The name of this node as mailhost options give it. The environment variable of the same name wins over " \
		"the setting; the host name of the machine always means this node, too. Upper and lower case and a " \
		"trailing dot make no difference.") \
	S(node, LOGIN_USER, STR, "waypost", 0, 0, "", SF_ALL, \
		"System user of the login workers. Unused when the daemon is started by an ordinary user.") \
	S(node, AUTH_USER, STR, "waypostauth", 0, 0, "", SF_ALL, \
		"System user of the role that reads the accounts. Unused when the daemon is started by an ordinary user.") \
	S(node, MIN_UID, INT, "100", 1, 4294967294, "", SF_A | SF_S, \
		"Accounts with a smaller uid or gid are refused.") \
	S(node, LOGIN_WORKERS, INT, "0", 0, 256, "processes", SF_M | SF_A, \
		"Processes that accept clients and relay sessions. 0 is one per processor core.") \
	S(node, LOGIN_TIMEOUT, TIME, "60s", 1, 3600, "seconds", SF_W | SF_A, \
		"Time from the connection to the end of the login, everything included.") \
	S(node, LOGIN_FAIL_DELAY, TIME, "2s", 0, 60, "seconds", SF_W | SF_A, \
		"How long the answer to a wrong password is held back. Nobody else waits for it.") \
	S(node, LOG, STR, "syslog", 0, 0, "", SF_M, \
		"Where the log goes: \"syslog\" (facility mail), \"stderr\", or the absolute path of a file.") \
	S(node, LOG_LEVEL, WORD, "info", 0, 0, "error|warn|info|debug", SF_ALL, \
		"The least important lines that are logged.") \
	S(node, DEBUG_LOGIN, INT, "0", 0, 2, "", SF_M, \
		"1 logs how each login goes on its way; it is LOG_LEVEL = \"debug\" under Courier's name. 2 is the same: " \
		"passwords are never logged.") \
	S(node, POOL_SECRETFILE, PATH, "", 0, 0, "", SF_M, \
		"File with the secret that the nodes of the pool share (one line, 16 bytes or more, mode 0600). It signs " \
		"what a node tells another about the client of a forwarded login. If absent, the secret is derived from " \
		"the private key of TLS_CERTFILE; without either, nodes believe each other by PROXY_TRUSTED only.")

#define SETTINGS_PROXY(S) \
	S(proxy, PROXY_TIMEOUT, TIME, "10s", 1, 300, "seconds", SF_W | SF_A, \
		"How long a peer may take from the connection to the end of its login before the client is told that its " \
		"mailbox is unavailable.") \
	S(proxy, PROXY_IDLE_TIMEOUT, TIME, "31m", 0, 30 * SF_DAY, "seconds", SF_W, \
		"A relayed session ends after this time without a byte in either direction. 0 is no limit. Less than the " \
		"30 minutes that IMAP grants its clients ends sessions early.") \
	S(proxy, PROXY_HOPS, INT, "4", 1, 255, "nodes", SF_W | SF_A, \
		"A login that was forwarded so many times is refused: two nodes disagree about who owns the account.") \
	S(proxy, PROXY_TRUSTED, LIST, "", 0, 0, "networks", SF_W | SF_A, \
		"Addresses and networks whose forwarded logins are believed without a signature, for peers that do not " \
		"know the pool secret: \"192.0.2.0/24 2001:db8::7\".") \
	S(proxy, PROXY_DOWN_TIME, TIME, "30s", 0, 3600, "seconds", SF_A, \
		"After a failure a peer is tried last for this long.") \
	S(proxy, DNS_TTL, TIME, "60s", 1, SF_DAY, "seconds", SF_A, \
		"How long the address of a peer is used before it is looked up again. If that fails, the old one stays.")

#define SETTINGS_BOTH(S, g, port, PROXY) \
	S(g, ADDRESS, ADDR, "0", 0, 0, "", SF_M, \
		"Address to listen on, or a host name. 0 is every address of the machine.") \
	S(g, PORT, PORTS, port, 0, 0, "", SF_M | SF_W | SF_A, \
		"Port to listen on; several separated by commas (\"1143,127.0.0.9.2143\": ADDRESS.PORT listens on " \
		"that address instead of ADDRESS).") \
	S(g, PROXY, BOOL, "0", 0, 0, "", SF_W | SF_A, \
		"Forward logins to the node that the account's mailhost option names. Off: every account is served here.") \
	S(g, PROXY_PORT, INT, "0", 0, 65535, "", SF_W | SF_A, \
		"Port of the peers, where mailhost gives none. 0 is the first one of PORT.") \
	S(g, PROXY_HOSTNAME, STR, "", 0, 0, "", SF_M, \
		"As at the top level of the file, where it belongs; taken here because Courier has it here.") \
	S(g, MAXDAEMONS, INT, "0", 0, 10000000, "sessions", SF_W | SF_A, \
		"Most sessions of this protocol at a time. 0 is no limit (Courier: 40).") \
	S(g, MAXPERIP, INT, "0", 0, 10000000, "sessions", SF_W | SF_A, \
		"Most sessions of this protocol from one client address. 0 is no limit: whole offices and webmail " \
		"servers share an address (Courier: 4).") \
	S(g, DEFDOMAIN, STR, "", 0, 0, "", SF_A, \
		"Appended to user names that lack its first character: \"@example.com\".") \
	S(g, DOMAINSEP, STR, "", 0, 0, "", SF_A, \
		"If set, DEFDOMAIN is appended to names that have none of these characters instead.") \
	S(g, AUTHSERVICE, PORTMAP, "", 0, 0, "", SF_W | SF_A, \
		"AUTHSERVICE followed by a port: the name under which logins at that port are checked, instead of the " \
		"protocol's own. AUTHSERVICE1143 = \"imaps\" makes them use the password imapspw of userdb.") \
	S(g, MAILDIRPATH, STR, "Maildir", 0, 0, "", SF_A | SF_S, \
		"Maildir of accounts that name none, relative to the home folder.") \
	S(g, DEBUG_LOGIN, INT, "0", 0, 2, "", SF_M, \
		"As at the top level of the file, where it belongs; taken here because Courier has it here.")

#define SETTINGS_IMAPD(S) \
	SETTINGS_BOTH(S, imapd, "143", IMAP_PROXY) \
	S(imapd, IMAP_PROXY_FOREIGN, BOOL, "0", 0, 0, "", SF_W, \
		"Peers are not Waypost: ask them for their capabilities and tell the client right after its login.") \
	S(imapd, IMAP_CAPABILITY, LIST, \
		"IMAP4rev1 LITERAL+ SASL-IR ID ENABLE UIDPLUS CHILDREN NAMESPACE IDLE UNSELECT MOVE AUTH=PLAIN AUTH=LOGIN", \
		0, 0, "", SF_W | SF_S, \
		"What CAPABILITY announces. Peers of another kind may know less: take out what they lack.") \
	S(imapd, IMAP_ID_FIELDS, INT, "0", 0, 7, "", SF_W | SF_S, \
		"What ID tells besides the name of the server, as a sum: 1 version, 2 operating system, 4 its release.") \
	S(imapd, IMAP_NAMESPACE_PREFIX, WORD, "INBOX.", 0, 0, "INBOX.|", SF_S, \
		"Prefix of the user's folders. \"INBOX.\" is Courier's; \"\" puts them beside INBOX, for new sites.") \
	S(imapd, IMAP_INACTIVITY_TIMEOUT, TIME, "30m", 60, 7 * SF_DAY, "seconds", SF_S, \
		"A local session ends after this time without a command. RFC 3501 asks for 30 minutes at least.") \
	S(imapd, IMAP_IDLE_TIMEOUT, TIME, "60s", 1, 3600, "seconds", SF_S, \
		"How often IDLE looks for changes where the system cannot tell of them.") \
	S(imapd, IMAP_APPENDLIMIT, SIZE, "0", 0, 1099511627776, "bytes", SF_S, \
		"Largest message that APPEND takes. 0 is no limit.") \
	S(imapd, IMAP_KEYWORDS, INT, "1", 0, 2, "", SF_S, \
		"Keywords on messages: 0 off, 1 on; 2 is the same as 1.") \
	S(imapd, IMAP_UMASK, OCTAL, "022", 0, 0777, "", SF_S, \
		"umask of new files and folders, octal, in quotes.") \
	S(imapd, IMAP_MAILBOX_SANITY_CHECK, BOOL, "1", 0, 0, "", SF_S, \
		"Refuse a Maildir that does not belong to the account's uid and gid.") \
	S(imapd, IMAP_CHECK_ALL_FOLDERS, BOOL, "0", 0, 0, "", SF_S, \
		"LIST looks for new messages in every folder, not only in INBOX, to mark it.") \
	S(imapd, IMAP_OBSOLETE_CLIENT, BOOL, "0", 0, 0, "", SF_S, \
		"LIST says \\NoInferiors instead of \\HasNoChildren.") \
	S(imapd, IMAP_LOG_DELETIONS, BOOL, "0", 0, 0, "", SF_S, \
		"Log every message that is removed.")

#define SETTINGS_SSL(S, g, port) \
	S(g, SSLADDRESS, ADDR, "0", 0, 0, "", SF_M, \
		"Address to listen on for TLS. Checked, but TLS is not in this version: nothing listens there.") \
	S(g, SSLPORT, PORTS, port, 0, 0, "", SF_M, \
		"Port for TLS. Checked, but TLS is not in this version: it is not opened.") \
	S(g, TLS_CERTFILE, PATH, "", 0, 0, "", SF_M, \
		"PEM file with certificate and private key. In this version it only serves to derive the pool secret " \
		"where POOL_SECRETFILE is absent.") \
	S(g, TLS_PRIVATE_KEYFILE, PATH, "", 0, 0, "", SF_M, \
		"PEM file with the private key, if it is not in TLS_CERTFILE.")

#define SETTINGS_IMAPD_SSL(S) SETTINGS_SSL(S, imapd_ssl, "993")

#define SETTINGS_POP3D(S) \
	SETTINGS_BOTH(S, pop3d, "110", POP3_PROXY) \
	S(pop3d, POP3AUTH, LIST, "PLAIN LOGIN", 0, 0, "", SF_W, \
		"Mechanisms that CAPA announces: PLAIN, LOGIN, both or none.") \
	S(pop3d, POP3_INACTIVITY_TIMEOUT, TIME, "10m", 30, SF_DAY, "seconds", SF_S, \
		"A local session ends after this time without a command. RFC 1939 asks for 10 minutes at least.") \
	S(pop3d, POP3_LOG_DELETIONS, BOOL, "0", 0, 0, "", SF_S, \
		"Log every message that is removed.")

#define SETTINGS_POP3D_SSL(S) SETTINGS_SSL(S, pop3d_ssl, "995")

#define SETTINGS_AUTHDAEMONRC(S) \
	S(authdaemonrc, authmodulelist, LIST, "authuserdb", 0, 0, "", SF_M | SF_A, \
		"Where accounts are looked up, in this order. This version knows authuserdb.") \
	S(authdaemonrc, daemons, INT, "5", 1, 256, "processes", SF_M | SF_A, \
		"Processes that do what takes long: hashes, lookups of host names.") \
	S(authdaemonrc, DEFAULTOPTIONS, STR, "", 0, 0, "", SF_A, \
		"Options for every account that does not have them itself: \"disablepop3=1,mailhost=a.example.com\".") \
	S(authdaemonrc, DEBUG_LOGIN, INT, "0", 0, 2, "", SF_M, \
		"As at the top level of the file, where it belongs; taken here because Courier has it here.")

#define SETTINGS_AUTHUSERDB(S) \
	S(authuserdb, USERDB, PATH, "/etc/waypost/userdb", 0, 0, "", SF_M | SF_A, \
		"The account file, or a folder of such files; read again when it changes.") \
	S(authuserdb, USERDB_SHRINK, INT, "50", 0, 100, "percent", SF_A, \
		"A changed file that lost more than this part of its accounts is refused and the old one stays in use. " \
		"100 takes any file.")

#endif
