/* Every setting, one row each: group, name, type, default (as one would write it), least, most, unit, roles,
 * text. From here come the parser, `waypost check`, etc/waypost.conf, waypost.conf(5) and
 * doc/courier-settings.tsv. Group "node" is the top level of the file; '_' in a group's name is '-' there.
 *
 * Types: STR any text; PATH absolute path or ""; LIST words, an array or list in the file too; ADDR address or
 * host name ("0": all); PORTS port list; PORTMAP name followed by a port, any number of times, kept as
 * "993=imaps 143=imap"; OCTAL octal digits; WORD one of the words that stand in the column unit;
 * INT, BOOL, SIZE (bytes), TIME (seconds).
 * Roles: who is told the value (SETTINGS_FOR_...). A worker is told nothing of the directories of accounts. */
#ifndef SETTINGS_TBL_H
#define SETTINGS_TBL_H

#define SF_M SETTINGS_FOR_MASTER
#define SF_W SETTINGS_FOR_WORKER
#define SF_A SETTINGS_FOR_AUTHD
#define SF_S SETTINGS_FOR_SPAWN
#define SF_ALL (SF_M | SF_W | SF_A | SF_S)
#define SF_DAY 86400

#define SETTINGS_TABLE(S) \
	SETTINGS_NODE(S) SETTINGS_PROXY(S) SETTINGS_IMAPD(S) SETTINGS_IMAPD_SSL(S) SETTINGS_POP3D(S) \
	SETTINGS_POP3D_SSL(S) SETTINGS_AUTHDAEMONRC(S) SETTINGS_AUTHUSERDB(S) SETTINGS_AUTHLDAPRC(S) \
	SETTINGS_AUTHMYSQLRC(S) SETTINGS_AUTHPGSQLRC(S) SETTINGS_AUTHSQLITERC(S) SETTINGS_AUTHDAEMON(S) SETTINGS_AUTHPIPE(S) SETTINGS_AUTHPAM(S)

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
		"what a node tells another about the client of a forwarded login. Make it on one node and copy it to all others. " \
		"If absent, the secret is derived from the private key of TLS_CERTFILE: for a pool only if all nodes have the same " \
		"key. Without either, nodes believe each other by PROXY_TRUSTED only.")

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
	S(proxy, PROXY_MASTER_USER, STR, "", 0, 0, "", SF_A, \
		"Name of the user who may log in for everybody at mailhosts that are not Waypost (Dovecot: a master user; Cyrus: one " \
		"of proxyservers), by SASL PLAIN. Used only for logins whose password nobody told (CRAM, APOP, SCRAM) to accounts " \
		"whose directory has no clear password. The same at all such servers.") \
	S(proxy, PROXY_MASTER_PASSWORD, STR, "", 0, 0, "", SF_A, \
		"Its password. It opens every mailbox there: a login worker is told it for each forwarded login whose password nobody " \
		"knows, and for no other. Keep the file from other users.") \
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
		"Port of the peers, where mailhost gives none for this protocol. 0 is the first one of PORT.") \
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
		"What CAPABILITY announces. Peers of another kind may know less: take out what they lack. Login mechanisms as for " \
		"POP3AUTH: \"... AUTH=PLAIN AUTH=CRAM-MD5\".") \
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
	S(g, SSLPORT, PORTS, port, 0, 0, "", SF_M | SF_A, \
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
		"Login mechanisms that CAPA announces. PLAIN and LOGIN are understood in any case; CRAM-MD5, CRAM-SHA1, " \
		"CRAM-SHA256, SCRAM-SHA-1, SCRAM-SHA-256 (clients prove that they know the password) only if they are named here. APOP: so is POP3's own " \
		"command, and the greeting has its timestamp. Clients choose the strongest and do not try another: name only what " \
		"all accounts can do.") \
	S(pop3d, POP3_INACTIVITY_TIMEOUT, TIME, "10m", 30, SF_DAY, "seconds", SF_S, \
		"A local session ends after this time without a command. RFC 1939 asks for 10 minutes at least.") \
	S(pop3d, POP3_LOG_DELETIONS, BOOL, "0", 0, 0, "", SF_S, \
		"Log every message that is removed.")

#define SETTINGS_POP3D_SSL(S) SETTINGS_SSL(S, pop3d_ssl, "995")

#define SETTINGS_AUTHDAEMONRC(S) \
	S(authdaemonrc, authmodulelist, LIST, "authuserdb", 0, 0, "", SF_M | SF_A, \
		"Where accounts are looked up, in this order: authuserdb, authldap, authmysql, authpgsql, authsqlite, authdaemon, " \
		"authpipe, authpam. Only an account that one does not know is looked up in the next; one that gives no answer ends the search with \"not now\".") \
	S(authdaemonrc, daemons, INT, "5", 1, 256, "processes", SF_M | SF_A, \
		"Processes that do what takes long: hashes, questions to directories, lookups of host names.") \
	S(authdaemonrc, SCRAM_ITERATIONS, INT, "4096", 4096, 10000000, "", SF_A, \
		"What SCRAM logins cost where the directory has a clear password. Secrets that it has ready ({SCRAM-SHA-256}) say it " \
		"themselves; set it to theirs, for names that nobody has get this one and shall not look different.") \
	S(authdaemonrc, DEFAULTOPTIONS, STR, "", 0, 0, "", SF_A, \
		"Options for every account that does not have them itself: \"disablepop3=1,mailhost=a.example.com\".") \
	S(authdaemonrc, AUTH_CACHE_TTL, TIME, "60s", 0, 86400, "seconds", SF_A, \
		"How long an account of a directory (all modules but authuserdb) is known after its password was proven: logins " \
		"with that password ask the directory no question and compute no slow hash. Until then an old password still " \
		"enters, and so does an account that was locked or moved; a new password enters at once. waypost flush ends it " \
		"at once. 0 asks at each login.") \
	S(authdaemonrc, AUTH_CACHE_NEGATIVE_TTL, TIME, "30s", 0, 3600, "seconds", SF_A, \
		"How long a wrong password is remembered for the name that it was tried with. Until then a password that was " \
		"tried before it was set is still refused. 0: not at all.") \
	S(authdaemonrc, AUTH_CACHE_STALE, TIME, "1d", 0, 2592000, "seconds", SF_A, \
		"While a directory gives no answer, accounts whose password was proven within this time still log in with it, " \
		"at once when it is known to be down, else after 0.8 seconds. All others are told to try again. 0: nobody " \
		"does.") \
	S(authdaemonrc, AUTH_CACHE_SIZE, SIZE, "64M", 1048576, 68719476736, "bytes", SF_A, \
		"Most memory that all this may take, digests of proven passwords of authuserdb included; some 400 bytes are an " \
		"account. What was used least lately makes room; wrong guesses have an eighth.") \
	S(authdaemonrc, AUTH_CACHE_MEMCACHED, LIST, "", 0, 0, "", SF_A, \
		"Memcached servers in which the nodes of a pool share which passwords the directories have proven, so that a " \
		"login that one node has seen asks no directory on the others, nor after a restart: HOST, HOST:PORT, " \
		"[IPV6]:PORT, or the path of a socket. The times of AUTH_CACHE_TTL and AUTH_CACHE_STALE count from the question " \
		"to the directory, on whichever node. Names and contents are sealed with the pool's secret (POOL_SECRETFILE or " \
		"the key of TLS_CERTFILE), which is needed for this. A server that does not answer is left alone for a while; " \
		"logins go on without it. A host name is looked up whenever a connection is made: addresses are safer.") \
	S(authdaemonrc, AUTH_CACHE_MEMCACHED_TIMEOUT, INT, "200", 1, 5000, "milliseconds", SF_A, \
		"How long a login waits for a memcached server at most, before that server is left alone.") \
	S(authdaemonrc, LDAPTLS_CACERT, PATH, "", 0, 0, "", SF_A, \
		"PEM file of the authorities that may sign the LDAP server's certificate. Empty: those of the system's " \
		"ldap.conf.") \
	S(authdaemonrc, LDAPTLS_CACERTDIR, PATH, "", 0, 0, "", SF_A, \
		"Folder of such authorities.") \
	S(authdaemonrc, LDAPTLS_CERT, PATH, "", 0, 0, "", SF_A, \
		"PEM file of the certificate that this node shows to the LDAP server.") \
	S(authdaemonrc, LDAPTLS_KEY, PATH, "", 0, 0, "", SF_A, \
		"PEM file of its private key; AUTH_USER must be able to read it.") \
	S(authdaemonrc, LDAPTLS_REQCERT, WORD, "demand", 0, 0, "demand|hard|try|allow|never", SF_A, \
		"What a bad certificate of the LDAP server does: demand and hard refuse it, never does not look.") \
	S(authdaemonrc, LDAPTLS_CIPHER_SUITE, STR, "", 0, 0, "", SF_A, \
		"Ciphers towards the LDAP server, as its TLS library names them.") \
	S(authdaemonrc, LDAPTLS_CRLFILE, PATH, "", 0, 0, "", SF_A, \
		"PEM file of revoked certificates.") \
	S(authdaemonrc, DEBUG_LOGIN, INT, "0", 0, 2, "", SF_M, \
		"As at the top level of the file, where it belongs; taken here because Courier has it here.")

#define SETTINGS_AUTHUSERDB(S) \
	S(authuserdb, USERDB, PATH, "/etc/waypost/userdb", 0, 0, "", SF_M | SF_A, \
		"The account file, or a folder of such files; read again when it changes.") \
	S(authuserdb, USERDB_SHRINK, INT, "50", 0, 100, "percent", SF_A, \
		"A changed file that lost more than this part of its accounts, or all of them, is refused and the old one stays in use. " \
		"100 takes any file that is whole.")

#define SETTINGS_AUTHLDAPRC(S) \
	S(authldaprc, LDAP_URI, LIST, "", 0, 0, "", SF_M | SF_A, \
		"The LDAP servers: \"ldap://a.example.com ldap://b.example.com\". The first one that answers is used. Also " \
		"ldaps:// and ldapi://.") \
	S(authldaprc, LDAP_PROTOCOL_VERSION, INT, "3", 2, 3, "", SF_A, \
		"Version of the protocol.") \
	S(authldaprc, LDAP_BASEDN, STR, "", 0, 0, "", SF_A, \
		"Below this entry accounts are searched for: \"ou=people,dc=example,dc=com\".") \
	S(authldaprc, LDAP_INITBIND, BOOL, "0", 0, 0, "", SF_A, \
		"Bind as LDAP_BINDDN before searching. Off: search anonymously.") \
	S(authldaprc, LDAP_BINDDN, STR, "", 0, 0, "", SF_A, \
		"Who searches.") \
	S(authldaprc, LDAP_BINDPW, STR, "", 0, 0, "", SF_A, \
		"Password of LDAP_BINDDN.") \
	S(authldaprc, LDAP_TIMEOUT, TIME, "5s", 1, 60, "seconds", SF_A, \
		"How long a server may take for a connection, and for an answer. Then the next one is asked.") \
	S(authldaprc, LDAP_AUTHBIND, BOOL, "0", 0, 0, "", SF_A, \
		"Check a password by binding as the account's entry. Off: by LDAP_CLEARPW and LDAP_CRYPTPW.") \
	S(authldaprc, LDAP_MAIL, STR, "mail", 0, 0, "", SF_A, \
		"Attribute that holds the name with which one logs in.") \
	S(authldaprc, LDAP_FILTER, STR, "", 0, 0, "", SF_A, \
		"What else must be true of the entry: \"(objectClass=CourierMailAccount)\".") \
	S(authldaprc, LDAP_DOMAIN, STR, "", 0, 0, "", SF_A, \
		"Added, with an @ before it, to names without @ when they are searched for.") \
	S(authldaprc, LDAP_GLOB_UID, STR, "", 0, 0, "", SF_A, \
		"User id, as a number or a name, of accounts whose entry has no LDAP_UID.") \
	S(authldaprc, LDAP_GLOB_GID, STR, "", 0, 0, "", SF_A, \
		"Group id, as a number or a name, of accounts whose entry has no LDAP_GID. A number is taken as it is " \
		"(Courier takes that of LDAP_GLOB_UID instead).") \
	S(authldaprc, LDAP_HOMEDIR, STR, "homeDir", 0, 0, "", SF_A, \
		"Attribute of the home folder; most schemas say homeDirectory.") \
	S(authldaprc, LDAP_MAILROOT, STR, "", 0, 0, "", SF_A, \
		"Folder in which the home folders are: put before them, with a slash between.") \
	S(authldaprc, LDAP_MAILDIR, STR, "", 0, 0, "", SF_A, \
		"Attribute of the Maildir, absolute or relative to the home folder. Empty or not in the entry: MAILDIRPATH.") \
	S(authldaprc, LDAP_DEFAULTDELIVERY, STR, "", 0, 0, "", SF_A, \
		"Attribute used instead of LDAP_MAILDIR for the service \"courier\", which only AUTHSERVICE can name here.") \
	S(authldaprc, LDAP_MAILDIRQUOTA, STR, "", 0, 0, "", SF_A, \
		"Attribute of the Maildir++ quota; kept with the account, quotas come with a later version.") \
	S(authldaprc, LDAP_FULLNAME, STR, "", 0, 0, "", SF_A, \
		"Attribute of the full name.") \
	S(authldaprc, LDAP_CLEARPW, STR, "", 0, 0, "", SF_A, \
		"Attribute of the clear password. If the entry has one, it alone counts.") \
	S(authldaprc, LDAP_CRYPTPW, STR, "", 0, 0, "", SF_A, \
		"Attribute of the password's hash: userPassword, mostly.") \
	S(authldaprc, LDAP_UID, STR, "", 0, 0, "", SF_A, \
		"Attribute of the user id; else LDAP_GLOB_UID.") \
	S(authldaprc, LDAP_GID, STR, "", 0, 0, "", SF_A, \
		"Attribute of the group id; else LDAP_GLOB_GID.") \
	S(authldaprc, LDAP_AUXOPTIONS, STR, "", 0, 0, "", SF_A, \
		"Attributes that are options of the account: \"mailHost=mailhost,noImap=disableimap\". Attributes that the " \
		"entry lacks are left out. mailhost is what the pool routes by.") \
	S(authldaprc, LDAP_ENUMERATE_FILTER, STR, "", 0, 0, "", SF_A, \
		"Entries that waypost auth --enumerate lists. Empty: those that LDAP_FILTER takes and that have LDAP_MAIL.") \
	S(authldaprc, LDAP_DEREF, WORD, "never", 0, 0, "never|searching|finding|always", SF_A, \
		"When aliases are followed.") \
	S(authldaprc, LDAP_TLS, BOOL, "0", 0, 0, "", SF_A, \
		"StartTLS before anything is said; a server that cannot is not used. LDAPTLS_CACERT and its like stand in " \
		"authdaemonrc.") \
	S(authldaprc, LDAP_EMAILMAP, STR, "", 0, 0, "", SF_A, \
		"If set, names with an @ are searched for in two steps: with this filter, in which @user@ and @realm@ are " \
		"the parts of the name, below LDAP_EMAILMAP_BASEDN; then by what is found there.") \
	S(authldaprc, LDAP_EMAILMAP_BASEDN, STR, "", 0, 0, "", SF_A, \
		"Where LDAP_EMAILMAP searches.") \
	S(authldaprc, LDAP_EMAILMAP_ATTRIBUTE, STR, "handle", 0, 0, "", SF_A, \
		"Attribute of the entry found by LDAP_EMAILMAP whose value the account is searched by.") \
	S(authldaprc, LDAP_EMAILMAP_MAIL, STR, "", 0, 0, "", SF_A, \
		"Attribute of the account that has that value. Empty: LDAP_MAIL.")

/* What the SQL directories have in common. DB begins the settings' names; OPTIONS is an example of an expression in its
 * SQL, QUOTES what else to know of its quotes. */
#define SETTINGS_SQL(S, g, db, options, quotes) \
	S(g, db##_USER_TABLE, STR, "", 0, 0, "", SF_A, \
		"Table of the accounts; what SQL takes behind FROM, joins too.") \
	S(g, db##_CRYPT_PWFIELD, STR, "", 0, 0, "", SF_A, \
		"Column of the password's hash. If it is not empty, it alone counts. This and all other fields may be any SQL " \
		"expression.") \
	S(g, db##_CLEAR_PWFIELD, STR, "", 0, 0, "", SF_A, \
		"Column of the clear password.") \
	S(g, db##_UID_FIELD, STR, "uid", 0, 0, "", SF_A, \
		"Column of the user id.") \
	S(g, db##_GID_FIELD, STR, "gid", 0, 0, "", SF_A, \
		"Column of the group id.") \
	S(g, db##_LOGIN_FIELD, STR, "id", 0, 0, "", SF_A, \
		"Column of the name with which one logs in.") \
	S(g, db##_HOME_FIELD, STR, "home", 0, 0, "", SF_A, \
		"Column of the home folder. An account whose home is empty is taken as not there.") \
	S(g, db##_NAME_FIELD, STR, "", 0, 0, "", SF_A, \
		"Column of the full name.") \
	S(g, db##_MAILDIR_FIELD, STR, "", 0, 0, "", SF_A, \
		"Column of the Maildir, absolute or relative to the home folder. Empty: MAILDIRPATH.") \
	S(g, db##_QUOTA_FIELD, STR, "", 0, 0, "", SF_A, \
		"Column of the Maildir++ quota; kept with the account, quotas come with a later version.") \
	S(g, db##_DEFAULTDELIVERY_FIELD, STR, "", 0, 0, "", SF_A, \
		"Column used instead of " #db "_MAILDIR_FIELD for the service \"courier\", which only AUTHSERVICE can name here.") \
	S(g, db##_DEFAULTDELIVERY, STR, "", 0, 0, "", SF_A, \
		"Another name of " #db "_DEFAULTDELIVERY_FIELD.") \
	S(g, db##_AUXOPTIONS_FIELD, STR, "", 0, 0, "", SF_A, \
		"SQL expression of the account's options: \"" options "\". mailhost is what the pool routes by.") \
	S(g, db##_AUXOPTIONS, STR, "", 0, 0, "", SF_A, \
		"Another name of " #db "_AUXOPTIONS_FIELD.") \
	S(g, db##_WHERE_CLAUSE, STR, "", 0, 0, "", SF_A, \
		"What else must be true of the row: \"active = 1\"." quotes) \
	S(g, db##_SELECT_CLAUSE, STR, "", 0, 0, "", SF_A, \
		"If set, the whole question, instead of table and fields. $(local_part), $(domain) and $(service) are " \
		"replaced in it; the first two must stand in quotes: '$(local_part)'. It brings, in this order, name, hash, " \
		"clear password, uid, gid, home, and if wanted Maildir, quota, full name, options; empty text for what is not " \
		"there. The first row counts.") \
	S(g, db##_ENUMERATE_CLAUSE, STR, "", 0, 0, "", SF_A, \
		"If set, the whole question of waypost auth --enumerate, instead of table and fields. It brings, in this order, " \
		"name, uid, gid, home, and if wanted Maildir, options, a row for each account. $(service) is \"enumerate\" in it.") \
	S(g, DEFAULT_DOMAIN, STR, "", 0, 0, "", SF_A, \
		"Domain of names without @: searched for as NAME@DOMAIN, and what $(domain) is then.")

#define SETTINGS_AUTHMYSQLRC(S) \
	S(authmysqlrc, MYSQL_SERVER, LIST, "", 0, 0, "", SF_M | SF_A, \
		"The database servers, host names or addresses: \"a.example.com b.example.com\". The first one that answers " \
		"is used. Either this or MYSQL_SOCKET is needed; \"localhost\" is the socket, too.") \
	S(authmysqlrc, MYSQL_SOCKET, PATH, "", 0, 0, "", SF_M | SF_A, \
		"Socket of a server on this machine.") \
	S(authmysqlrc, MYSQL_PORT, INT, "0", 0, 65535, "", SF_A, \
		"Port of the servers. 0 is the usual one, 3306.") \
	S(authmysqlrc, MYSQL_USERNAME, STR, "", 0, 0, "", SF_A, \
		"Who reads the accounts.") \
	S(authmysqlrc, MYSQL_PASSWORD, STR, "", 0, 0, "", SF_A, \
		"Password of MYSQL_USERNAME.") \
	S(authmysqlrc, MYSQL_DATABASE, STR, "", 0, 0, "", SF_A, \
		"Database of the accounts.") \
	S(authmysqlrc, MYSQL_OPT, INT, "0", 0, 4294967295, "", SF_A, \
		"Flags of mysql_real_connect(), as a sum.") \
	S(authmysqlrc, MYSQL_SSL_KEY, PATH, "", 0, 0, "", SF_A, \
		"PEM file of this node's private key towards the server.") \
	S(authmysqlrc, MYSQL_SSL_CERT, PATH, "", 0, 0, "", SF_A, \
		"PEM file of its certificate.") \
	S(authmysqlrc, MYSQL_SSL_CACERT, PATH, "", 0, 0, "", SF_A, \
		"PEM file of the authorities that may sign the server's certificate. With this or MYSQL_SSL_CAPATH the " \
		"connection is under TLS, and a server that cannot, or shows another's certificate, is not used.") \
	S(authmysqlrc, MYSQL_SSL_CAPATH, PATH, "", 0, 0, "", SF_A, \
		"Folder of such authorities.") \
	S(authmysqlrc, MYSQL_SSL_CIPHER, STR, "", 0, 0, "", SF_A, \
		"Ciphers, as OpenSSL names them.") \
	S(authmysqlrc, MYSQL_SSL_CIPHERS, STR, "", 0, 0, "", SF_A, \
		"Another name of MYSQL_SSL_CIPHER.") \
	S(authmysqlrc, MYSQL_TIMEOUT, TIME, "3s", 1, 60, "seconds", SF_A, \
		"How long a server may take for a connection, and for an answer. Then the next one is asked.") \
	S(authmysqlrc, MYSQL_CHARACTER_SET, STR, "", 0, 0, "", SF_A, \
		"Character set of the connection, in which names are compared. Empty: utf8mb4.") \
	SETTINGS_SQL(S, authmysqlrc, MYSQL, "CONCAT('mailhost=', mailhost)", "")

#define SETTINGS_AUTHPGSQLRC(S) \
	S(authpgsqlrc, PGSQL_CONNECTION, STR, "", 0, 0, "", SF_A, \
		"The connection as libpq has it: \"host=a.example.com,b.example.com dbname=mail user=waypost password=secret " \
		"sslmode=verify-full\". Of several hosts the first one that answers is used.") \
	S(authpgsqlrc, PGSQL_HOST, LIST, "", 0, 0, "", SF_M | SF_A, \
		"Older way of saying it, without PGSQL_CONNECTION: the servers.") \
	S(authpgsqlrc, PGSQL_PORT, INT, "0", 0, 65535, "", SF_A, \
		"Their port, without PGSQL_CONNECTION. 0 is the usual one, 5432.") \
	S(authpgsqlrc, PGSQL_USERNAME, STR, "", 0, 0, "", SF_A, \
		"Who reads the accounts, without PGSQL_CONNECTION.") \
	S(authpgsqlrc, PGSQL_PASSWORD, STR, "", 0, 0, "", SF_A, \
		"Password of PGSQL_USERNAME, without PGSQL_CONNECTION.") \
	S(authpgsqlrc, PGSQL_DATABASE, STR, "", 0, 0, "", SF_A, \
		"Database of the accounts, without PGSQL_CONNECTION.") \
	S(authpgsqlrc, PGSQL_OPT, STR, "", 0, 0, "", SF_A, \
		"Options for the server process, without PGSQL_CONNECTION.") \
	S(authpgsqlrc, PGSQL_TIMEOUT, TIME, "3s", 1, 60, "seconds", SF_A, \
		"How long a server may take for a connection, and for an answer. Then the next one is asked.") \
	S(authpgsqlrc, PGSQL_CHARACTER_SET, STR, "", 0, 0, "", SF_A, \
		"Character set of the connection, in which names are compared. Empty: that of the database.") \
	SETTINGS_SQL(S, authpgsqlrc, PGSQL, "'mailhost=' || mailhost", "")

#define SETTINGS_AUTHSQLITERC(S) \
	S(authsqliterc, SQLITE_DATABASE, PATH, "", 0, 0, "", SF_M | SF_A, \
		"The file of the database. It is opened for reading only; a new file that is renamed into its place is used at " \
		"once. AUTH_USER must be able to read it.") \
	S(authsqliterc, SQLITE_TIMEOUT, TIME, "3s", 1, 60, "seconds", SF_A, \
		"How long somebody else's lock may keep an answer back, and how long an answer may take to find.") \
	SETTINGS_SQL(S, authsqliterc, SQLITE, "'mailhost=' || mailhost", \
		" Here and in all other clauses text stands in '...'; what stands in double quotes is a column, and never text because " \
		"there is no such column.")

#define SETTINGS_AUTHDAEMON(S) \
	S(authdaemon, AUTHDAEMON_SOCKET, PATH, "/run/courier/authdaemon/socket", 0, 0, "", SF_M | SF_A, \
		"The socket of Courier's authdaemond (authlib 0.71 or later): authdaemonvar of its authdaemonrc, and \"/socket\". " \
		"AUTH_USER must be able to reach it; on Debian, as a member of the group courier.") \
	S(authdaemon, AUTHDAEMON_TIMEOUT, TIME, "5s", 1, 60, "seconds", SF_A, \
		"How long it may take for an answer.")

#define SETTINGS_AUTHPIPE(S) \
	S(authpipe, AUTHPIPE_PROGRAM, PATH, "/etc/courier/authProg", 0, 0, "", SF_M | SF_A, \
		"The program that knows the accounts, as Courier's authpipe runs it; here it runs as AUTH_USER, without a way " \
		"to more rights (no sudo), once in each of the processes of authdaemonrc.daemons.") \
	S(authpipe, AUTHPIPE_TIMEOUT, TIME, "5s", 1, 60, "seconds", SF_A, \
		"How long it may take for an answer. Then it is killed, with all that it has started, and started again. An " \
		"auth worker (daemons of authdaemonrc) waits with it, so names for which it hangs are felt by all.")

#define SETTINGS_AUTHPAM(S) \
	S(authpam, AUTHPAM_TIMEOUT, TIME, "10s", 1, 300, "seconds", SF_A, \
		"How long PAM may take for an answer. The PAM service is \"imap\" or \"pop3\", or what AUTHSERVICE says. pam_unix " \
		"reads /etc/shadow: for that AUTH_USER must be a member of the group shadow.") \
	S(authpam, AUTHPAM_CONFDIR, PATH, "", 0, 0, "", SF_M | SF_A, \
		"Folder of the PAM services. Empty: the system's, /etc/pam.d.")

#endif
