/* Every setting, one row each: group, name, type, default (as one would write it), least, most, unit, roles,
 * text. From here come the parser, `waypost check`, etc/waypost.conf, waypost.conf(5) and
 * doc/courier-settings.tsv. Group "node" is the top level of the file; '_' in a group's name is '-' there.
 *
 * Types: STR any text; PATH absolute path or ""; LIST words, an array or list in the file too; ADDR address or
 * host name ("0": all); PORTS port list; PORTMAP name followed by a port, any number of times, kept as
 * "993=imaps 143=imap"; OCTAL octal digits; WORD one of the words that stand in the column unit;
 * INT, BOOL, SIZE (bytes), TIME (seconds).
 * Roles: which processes get the value (SETTINGS_FOR_...). Workers get no settings of account directories. */
#ifndef SETTINGS_TBL_H
#define SETTINGS_TBL_H

#define SF_M SETTINGS_FOR_MASTER
#define SF_W SETTINGS_FOR_WORKER
#define SF_A SETTINGS_FOR_AUTHD
#define SF_S SETTINGS_FOR_SPAWN
#define SF_ALL (SF_M | SF_W | SF_A | SF_S | SETTINGS_FOR_KEY)
#define SF_DAY 86400

/* A row is a few lines of a fixed form: the tool would flow them together. */
/* clang-format off */
#define SETTINGS_TABLE(S) \
	SETTINGS_NODE(S) SETTINGS_PROXY(S) SETTINGS_IMAPD(S) SETTINGS_IMAPD_SSL(S) SETTINGS_POP3D(S) \
	SETTINGS_POP3D_SSL(S) SETTINGS_AUTHDAEMONRC(S) SETTINGS_AUTHUSERDB(S) SETTINGS_AUTHLDAPRC(S) \
	SETTINGS_AUTHMYSQLRC(S) SETTINGS_AUTHPGSQLRC(S) SETTINGS_AUTHSQLITERC(S) SETTINGS_AUTHDAEMON(S) \
	SETTINGS_AUTHPIPE(S) SETTINGS_AUTHPAM(S)

#define SETTINGS_NODE(S) \
	S(node, RUNDIR, PATH, "/run/waypost", 0, 0, "", SF_ALL, \
		"Folder of the control socket and the lock file. Each node on a machine needs its own: RUNDIR = " \
		"\"/run/waypost/${PROXY_HOSTNAME}\".") \
	S(node, STATEDIR, PATH, "", 0, 0, "", SF_M | SF_A, \
		"Folder of what the node has learned and keeps over a restart (IMAP_CAPABILITY = \"auto\"); it is made if its " \
		"parent exists, and belongs to AUTH_USER. Each node on a machine needs its own. Not set: RUNDIR/state, which " \
		"the machine forgets when it starts anew: \"/var/lib/waypost/state\" lasts.") \
	S(node, PROXY_HOSTNAME, STR, "", 0, 0, "", SF_ALL, \
		"The name of this node in mailhost options. The environment variable of the same name overrides the " \
		"setting; the host name of the machine always names this node, too. Case and a trailing dot do not " \
		"matter.") \
	S(node, LOGIN_USER, STR, "waypost", 0, 0, "", SF_ALL, \
		"System user of the login workers. Ignored if an ordinary user starts the daemon.") \
	S(node, AUTH_USER, STR, "waypostauth", 0, 0, "", SF_ALL, \
		"System user of the processes that read the accounts. Ignored if an ordinary user starts the " \
		"daemon.") \
	S(node, MIN_UID, INT, "100", 1, 4294967294, "", SF_A | SF_S, \
		"Accounts with a smaller uid or gid are refused.") \
	S(node, LOGIN_WORKERS, INT, "0", 0, 256, "processes", SF_M | SF_A, \
		"Processes that accept clients and relay sessions. 0 is one per processor core.") \
	S(node, LOGIN_TIMEOUT, TIME, "60s", 1, 3600, "seconds", SF_W | SF_A, \
		"Time limit for a login, from the connection on.") \
	S(node, LOGIN_FAIL_DELAY, TIME, "2s", 0, 60, "seconds", SF_W | SF_A, \
		"Delay before the reply to a wrong password. If more than 5 different ones were tried for an account, or " \
		"from an address (an IPv6 one counts by its /64), replies to further logins there wait as long again, " \
		"to the right password too, doubled with every 5 more, up to 15 seconds (and a quarter of " \
		"LOGIN_TIMEOUT). One is forgotten each minute. An account is not delayed where it has logged in before, " \
		"unless that very account is guessed at there. List a proxy or webmail that does not say who its " \
		"clients are in PROXY_TRUSTED: its address is not counted. 0: no delays.") \
	S(node, LOGIN_START_RATE, INT, "500", 0, 1000000, "logins per second", SF_A, \
		"For a minute after the start (also of authd alone, after a crash) this node begins no more logins in a " \
		"second; more wait for their turn in order, for PROXY_TIMEOUT / 2 at most, and if too many wait, " \
		"they fail temporarily. One address has a quarter of the places. 0 is no limit.") \
	S(node, LOG, STR, "syslog", 0, 0, "", SF_M, \
		"Where the log goes: \"syslog\" (facility mail), \"stderr\", or the absolute path of a file.") \
	S(node, LOG_LEVEL, WORD, "info", 0, 0, "error|warn|info|debug", SF_ALL, \
		"Lowest severity that is logged.") \
	S(node, DEBUG_LOGIN, INT, "0", 0, 2, "", SF_M, \
		"1 logs each step of a login, like LOG_LEVEL = \"debug\". 2 is the same: passwords are never " \
		"logged.") \
	S(node, PROXY_PROTOCOL_FROM, LIST, "", 0, 0, "networks", SF_W, \
		"Addresses and networks of the proxies in front, whose word at the ports of PROXY_PROTOCOL_PORT is " \
		"taken for who a client is: \"192.0.2.0/24 2001:db8::7\". Connections of others to these ports are " \
		"closed.") \
	S(node, POOL_SECRETFILE, PATH, "", 0, 0, "", SF_M, \
		"File with the secret that the nodes of the pool share (a line of 16 bytes or more, mode 0600). It signs " \
		"the client information of a forwarded login, and makes the keys of TLS session tickets, so that " \
		"each node takes those of the others. Create it on one node and copy it to all others. " \
		"Without it, nodes trust forwarded client information only from PROXY_TRUSTED. Up to 8 lines: the " \
		"first one signs, all are accepted, so that the secret can be replaced without a failed login.")

#define SETTINGS_PROXY(S) \
	S(proxy, PROXY_TIMEOUT, TIME, "10s", 1, 300, "seconds", SF_W | SF_A, \
		"Time limit for a peer, from the connection to the end of its login. After that the client gets an " \
		"error: mailbox unavailable.") \
	S(proxy, PROXY_IDLE_TIMEOUT, TIME, "31m", 0, 30 * SF_DAY, "seconds", SF_W, \
		"A relayed session ends after this time without traffic in either direction. 0 is no limit. RFC " \
		"3501 grants idle IMAP clients 30 minutes: a shorter time breaks sessions.") \
	S(proxy, PROXY_DISCONNECT_SPREAD, TIME, "30s", 0, 600, "seconds", SF_W, \
		"When a peer dies with more than a few sessions, their idle clients are disconnected spread over this " \
		"time, so that not all of them log in again in the same second. 0 disconnects them at once.") \
	S(proxy, PROXY_HOPS, INT, "4", 1, 255, "nodes", SF_W | SF_A, \
		"Refuse a login that was forwarded this many times: two nodes disagree about the owner of the " \
		"account.") \
	S(proxy, PROXY_TRUSTED, LIST, "", 0, 0, "networks", SF_W | SF_A, \
		"Addresses and networks of fronts, webmail, and nodes without the pool secret: \"192.0.2.7 2001:db8::7\". " \
		"What they say about their clients is believed without a signature; they may log in without TLS; wrong " \
		"passwords are not counted for their address, and their connections are not closed for others. Whoever " \
		"is in it can claim to be any client: name single machines.") \
	S(proxy, PROXY_DOWN_TIME, TIME, "30s", 0, 3600, "seconds", SF_A, \
		"For this long after a failure a peer is tried last, and one that takes no logins after others.") \
	S(proxy, PROXY_PEERS_FILE, PATH, "", 0, 0, "", SF_A, \
		"A file in which a monitor says which peers to use, one line each: \"HOST[:PORT] [imap|pop3] " \
		"up|down|drain\". A peer that is down gets no logins; one that is to be drained only those that no other " \
		"host of the account takes. It is read again when it changes (rename a new one into place). " \
		"waypost peer says the same by hand; the more cautious counts.") \
	S(proxy, PROXY_MASTER_USER, STR, "", 0, 0, "", SF_A, \
		"User that may log in for everybody, by SASL PLAIN, at mailhosts that are not Waypost (Dovecot: a " \
		"master user; Cyrus: one of proxyservers). Used only after logins that reveal no password (CRAM, " \
		"APOP, SCRAM), to accounts whose directory has no clear password. All such servers need the same " \
		"user.") \
	S(proxy, PROXY_MASTER_PASSWORD, STR, "", 0, 0, "", SF_A, \
		"Password of PROXY_MASTER_USER. It opens every mailbox on those servers: login workers get it only " \
		"for a forwarded login whose password is not known. Protect the file from other users.") \
	S(proxy, PROXY_TLS, WORD, "none", 0, 0, "none|starttls|implicit", SF_A, \
		"Whether peers are spoken to by TLS: \"implicit\" from the first byte, \"starttls\" after that " \
		"command (POP3: STLS). The option of an account \"proxytls=implicit\", beside its mailhost, goes before it. " \
		"With \"implicit\" the peer's port, if mailhost has none, is PROXY_PORT, else the first SSLPORT.") \
	S(proxy, PROXY_TLS_PEERS, LIST, "", 0, 0, "hosts", SF_A, \
		"PROXY_TLS for some mailhosts, as they stand there: \"old.example.com=none .example.com=implicit\". A " \
		"dot before means all hosts below. The first that fits counts.") \
	S(proxy, PROXY_TLS_VERIFY, BOOL, "1", 0, 0, "", SF_W, \
		"A peer's certificate has to be for its name in mailhost (or its address, if that stands there), and to " \
		"lead to a certificate in PROXY_TLS_CAFILE. Off: whoever can intercept the connection gets the passwords.") \
	S(proxy, PROXY_TLS_CERTFILE, PATH, "", 0, 0, "", SF_M, \
		"PEM file with a private key and its certificate, which is shown to peers that ask for one (mutual TLS). It " \
		"opens nothing by itself. As TLS_CERTFILE, only the key processes read it.") \
	S(proxy, PROXY_TLS_KEYFILE, PATH, "", 0, 0, "", SF_M, \
		"PEM file with the private key, if it is not in PROXY_TLS_CERTFILE.") \
	S(proxy, PROXY_TLS_CAFILE, PATH, "", 0, 0, "", SF_M, \
		"PEM file, or folder of PEM files, of the certificates that those of peers have to lead to; a peer's own may " \
		"be one. Revocation lists and changes: as TLS_TRUSTCERTS. Not set: those of the system.") \
	S(proxy, PROXY_SEND_ID, LIST, "", 0, 0, "hosts and networks", SF_W, \
		"Servers that are not Waypost and may know who logs in: the client's address and port, and whether it " \
		"uses TLS, by IMAP ID or POP3 XCLIENT: \"imap.example.com .example.org 192.0.2.0/24\". Hosts as they stand " \
		"in mailhost; a dot before means all hosts below. They have to trust this node (Dovecot: " \
		"login_trusted_networks).") \
	S(proxy, PROXY_PROTOCOL_SEND, LIST, "", 0, 0, "hosts and networks", SF_W, \
		"Servers that want a header of the PROXY protocol before all else, which tells the client's address, and its " \
		"version: \"imap.example.com=v2 .example.org=v1 192.0.2.0/24=v2\". Only v2 says whether the client uses " \
		"TLS. Hosts as in PROXY_SEND_ID; the first that fits counts; \"none\" excepts some. A server that expects no " \
		"header takes no login then.") \
	S(proxy, PROXY_SOURCE_ADDRESS, LIST, "", 0, 0, "addresses", SF_W, \
		"Addresses of this machine that connections to peers come from, in turn: \"192.0.2.7 192.0.2.8\". Each has " \
		"some 28,000 ports for a peer's port, so a node with more sessions there needs several. Not set: the system " \
		"chooses. A family that is not in the list is not affected.") \
	S(proxy, DNS_TTL, TIME, "60s", 1, SF_DAY, "seconds", SF_A, \
		"How long the address of a peer is used before the next lookup. If that lookup fails, the old " \
		"address stays in use.")

#define SETTINGS_BOTH(S, g, port, PROXY) \
	S(g, ADDRESS, ADDR, "0", 0, 0, "", SF_M, \
		"Address to listen on, or a host name. 0 is every address of the machine.") \
	S(g, PORT, PORTS, port, 1, 0, "", SF_M | SF_W | SF_A, \
		"Port to listen on; separate several by commas. ADDRESS.PORT listens on that address instead of " \
		"ADDRESS: \"1143,127.0.0.9.2143\".") \
	S(g, PROXY_PROTOCOL_PORT, PORTS, "", 0, 0, "", SF_W, \
		"Those of PORT and SSLPORT at which every connection begins with a header of the PROXY protocol, " \
		"version 1 or 2, by which HAProxy and others tell who the client is: \"1143\". At one of SSLPORT, " \
		"TLS follows. Not the first of PORT unless PROXY_PORT is set, nor with PROXY_TLS = \"implicit\" " \
		"the first of SSLPORT: other nodes send no header. See PROXY_PROTOCOL_FROM.") \
	S(g, PROXY, BOOL, "0", 0, 0, "", SF_W | SF_A, \
		"Forward logins to the node that the account's mailhost option names. Off: serve every account here.") \
	S(g, PROXY_PORT, INT, "0", 0, 65535, "", SF_W | SF_A, \
		"Port of the peers, if the account's mailhost has none for this protocol. 0 is the first port of " \
		"PORT, or with PROXY_TLS = \"implicit\" the first of SSLPORT.") \
	S(g, PROXY_HOSTNAME, STR, "", 0, 0, "", SF_M, \
		"Same as PROXY_HOSTNAME at the top level of the file; accepted here as in Courier.") \
	S(g, MAXDAEMONS, INT, "0", 0, 10000000, "sessions", SF_W | SF_A, \
		"Most concurrent sessions of this protocol. 0 is no limit (Courier: 40).") \
	S(g, MAXPERIP, INT, "0", 0, 10000000, "sessions", SF_W | SF_A, \
		"Most concurrent sessions of this protocol per client address. 0 is no limit, as offices and " \
		"webmail servers share an address (Courier: 4).") \
	S(g, MAXPERACCOUNT, INT, "100", 0, 10000000, "sessions", SF_W | SF_A, \
		"Most concurrent sessions of this protocol per account, counted by each node: those that it serves, " \
		"from wherever they come, and those that it forwards. 0 is no limit.") \
	S(g, MAXPERACCOUNTIP, INT, "0", 0, 10000000, "sessions", SF_W | SF_A, \
		"Most concurrent sessions of this protocol per account and client address. 0 is no limit.") \
	S(g, DEFDOMAIN, STR, "", 0, 0, "", SF_A, \
		"Appended to user names that do not contain its first character: \"@example.com\".") \
	S(g, DOMAINSEP, STR, "", 0, 0, "", SF_A, \
		"If set, DEFDOMAIN is appended to user names that contain none of these characters.") \
	S(g, AUTHSERVICE, PORTMAP, "", 0, 0, "", SF_W | SF_A, \
		"AUTHSERVICE followed by a port: the service name for logins at that port, instead of the " \
		"protocol's own. AUTHSERVICE1143 = \"imaps\" makes them use imapspw from userdb.") \
	S(g, MAILDIRPATH, STR, "Maildir", 0, 0, "", SF_A | SF_S, \
		"Maildir of accounts without one of their own, relative to the home folder.") \
	S(g, DEBUG_LOGIN, INT, "0", 0, 2, "", SF_M, \
		"Same as DEBUG_LOGIN at the top level of the file; accepted here as in Courier.")

#define SETTINGS_IMAPD(S) \
	SETTINGS_BOTH(S, imapd, "143", IMAP_PROXY) \
	S(imapd, IMAPACCESSFILE, PATH, "", 0, 0, "", SF_M, \
		"File, or folder of files, that tells which addresses may connect: Courier's text, which makeimapaccess " \
		"compiles, not the .dat. A line is a network, a tab or blanks, and allow or deny: \"192.68.0<tab>deny\", " \
		"\"192.68.0.10<tab>allow\", \"*<tab>deny\"; also 192.68.0.0/22 and 2001:db8::/32. The most specific network " \
		"decides; others may connect. Behind a proxy in front the client's address counts; for a forwarded login " \
		"that of the forwarding node. Read at start and reload.") \
	S(imapd, IMAP_PROXY_FOREIGN, BOOL, "0", 0, 0, "", SF_W, \
		"Peers are not Waypost: request their capabilities and send these to the client after its login.") \
	S(imapd, LOCAL_IMAP, STR, "builtin", 0, 0, "", SF_W | SF_A | SF_S, \
		"Who serves the accounts whose mail is here: \"builtin\", our own session servers; or another server of this " \
		"machine, at \"unix:/run/dovecot/waypost-imap\" or \"inet:127.0.0.1:943\", where the login is done as at a " \
		"peer: with the client's password, or as PROXY_MASTER_USER if that is not known (AUTH_USER has to be " \
		"allowed to connect to the socket); or a program that is started for each login as the account's user, with " \
		"Courier's environment: \"exec:/usr/lib/courier/courier/imapd Maildir\". It and all folders before it must " \
		"belong to root. After a change from or to \"exec:\" restart the node.") \
	S(imapd, IMAP_CAPABILITY, LIST, \
		"IMAP4rev1 LITERAL+ SASL-IR ID ENABLE UIDPLUS CHILDREN NAMESPACE IDLE UNSELECT MOVE SORT SORT=DISPLAY " \
		"THREAD=ORDEREDSUBJECT THREAD=REFERENCES ESEARCH ESORT SEARCHRES WITHIN PARTIAL AUTH=PLAIN AUTH=LOGIN", \
		0, 0, "", SF_W | SF_A | SF_S, \
		"Capabilities to announce. If peers are not Waypost, remove what they do not support, or let the node find " \
		"out: \"auto AUTH=PLAIN AUTH=LOGIN\" announces, beside these mechanisms, what all servers support that " \
		"accounts have been routed to in the last 30 days, as they list it after logins; IMAP4rev1 alone while one of " \
		"them is not known (see README.proxy). For login mechanisms see POP3AUTH: \"... AUTH=PLAIN AUTH=CRAM-MD5\".") \
	S(imapd, IMAP_CAPABILITY_TLS, LIST, "", 0, 0, "", SF_W | SF_A | SF_S, \
		"Capabilities to announce to clients that use TLS. Empty: as IMAP_CAPABILITY.") \
	S(imapd, IMAP_CAPABILITY_WITHHELD, LIST, "", 0, 0, "", SF_W | SF_S, \
		"Capabilities that clients are not told, by the name in their ID, as single programs break on single " \
		"extensions: \"Old?Mail*=IDLE:MOVE *phone*=LITERAL+\". * stands for any characters, ? for one, and so for a " \
		"blank; all rows that fit count. It concerns what is announced after the client's ID, and after its login the " \
		"list in the answer; if it asks a server that is not Waypost later, that answers by itself.") \
	S(imapd, IMAP_ID_FIELDS, INT, "0", 0, 7, "", SF_W | SF_S, \
		"What ID reveals besides the server name, as a sum: 1 version, 2 operating system, 4 its release.") \
	S(imapd, IMAP_DISABLETHREADSORT, BOOL, "0", 0, 0, "", SF_W | SF_S, \
		"1: no SORT and THREAD for the accounts of this node: they are not announced, and get NO.") \
	S(imapd, IMAP_NAMESPACE_PREFIX, WORD, "INBOX.", 0, 0, "INBOX.|", SF_S, \
		"Prefix of the user's folders. \"INBOX.\" is Courier's; \"\" puts them beside INBOX, for new sites.") \
	S(imapd, IMAP_INACTIVITY_TIMEOUT, TIME, "30m", 60, 7 * SF_DAY, "seconds", SF_S, \
		"A local session ends after this time without a command. RFC 3501 requires at least 30 minutes.") \
	S(imapd, IMAP_IDLE_TIMEOUT, TIME, "60s", 1, 3600, "seconds", SF_S, \
		"How often IDLE checks for changes if the system cannot report them.") \
	S(imapd, IMAP_APPENDLIMIT, SIZE, "0", 0, 1099511627776, "bytes", SF_S, \
		"Largest message that APPEND accepts. 0 is no limit.") \
	S(imapd, IMAP_KEYWORDS, INT, "1", 0, 2, "", SF_S, \
		"Keywords on messages: 0 off, 1 on; 2 is the same as 1.") \
	S(imapd, IMAP_UMASK, OCTAL, "022", 0, 0777, "", SF_S, \
		"umask of new files and folders, octal, in quotes. That of POP3 is 022.") \
	S(imapd, IMAP_MAILBOX_SANITY_CHECK, BOOL, "1", 0, 0, "", SF_S, \
		"Refuse a Maildir that does not belong to the account's uid and gid.") \
	S(imapd, IMAP_CHECK_ALL_FOLDERS, BOOL, "0", 0, 0, "", SF_S, \
		"LIST looks for new messages in every folder, not only in INBOX, to mark it.") \
	S(imapd, IMAP_OBSOLETE_CLIENT, BOOL, "0", 0, 0, "", SF_S, \
		"LIST returns \\NoInferiors instead of \\HasNoChildren.") \
	S(imapd, IMAP_LOG_DELETIONS, BOOL, "0", 0, 0, "", SF_S, \
		"Log every deleted message.")

#define SETTINGS_SSL(S, g, port, STARTTLS, command, TLS_REQUIRED) \
	S(g, SSLADDRESS, ADDR, "0", 0, 0, "", SF_M, \
		"Address to listen on for clients that begin with TLS, as ADDRESS.") \
	S(g, SSLPORT, PORTS, port, 0, 0, "", SF_M | SF_A, \
		"Port for clients that begin with TLS, as PORT. \"\": none. Closed if there is no TLS_CERTFILE.") \
	S(g, TLS_CERTFILE, PATH, "", 0, 0, "", SF_M | SF_W | SF_A, \
		"PEM file with the private key (RSA of 2048 bits or more, or EC: P-256, P-384, P-521; without a " \
		"passphrase), its certificate and the intermediate ones. Only the key processes read it; changes " \
		"are used within ten seconds. With .NAME or .ADDRESS behind its name: for clients that ask for " \
		"that host (\"*\" may be its first label), or connect to that address. With .rsa or .ecdsa behind " \
		"that: for the same clients, with another kind of key. With .ocsp: the OCSP response (DER) that is " \
		"sent with it.") \
	S(g, TLS_PRIVATE_KEYFILE, PATH, "", 0, 0, "", SF_M, \
		"PEM file with the private key, if it is not in TLS_CERTFILE. With something behind it as TLS_CERTFILE, if " \
		"there is such a file.") \
	S(g, TLS_CERTDIR, PATH, "", 0, 0, "", SF_M, \
		"Folder of more certificates, for clients that ask for a name that is in one: files NAME.pem as " \
		"TLS_CERTFILE, or folders with fullchain.pem and privkey.pem, as certbot's live. For these names they go " \
		"before TLS_CERTFILE, which has to be set, too. OCSP responses: NAME.pem.ocsp, NAME/fullchain.pem.ocsp.") \
	S(g, TLS_PROTOCOL, STR, "TLSv1.2+", 0, 0, "", SF_W, \
		"Oldest version of TLS at SSLPORT: TLSv1.2+ or TLSv1.3+. Courier's other words are understood; versions " \
		"before 1.2 are never used.") \
	S(g, TLS_STARTTLS_PROTOCOL, STR, "", 0, 0, "", SF_W, \
		"The same after " command ". Empty: TLS_PROTOCOL.") \
	S(g, TLS_CIPHER_LIST, STR, "", 0, 0, "", SF_W, \
		"Ciphers of TLS 1.2, in the words of openssl-ciphers(1). Those without forward secrecy are never used. " \
		"Empty: OpenSSL's own without CBC. Those of TLS 1.3 need no choice.") \
	S(g, TLS_GROUPS, STR, "", 0, 0, "", SF_W, \
		"Groups for key exchange, the best first, in OpenSSL's words: \"X25519MLKEM768:X25519:P-256\". Those that " \
		"this machine's OpenSSL does not know are left out. Empty: OpenSSL's own.") \
	S(g, STARTTLS, BOOL, "1", 0, 0, "", SF_W, \
		"Offer " command " at the ports of PORT, if there is a certificate.") \
	S(g, TLS_REQUIRED, BOOL, "1", 0, 0, "", SF_W | SF_A, \
		"If there is a TLS_CERTFILE, accept no login without TLS, except from the machine itself (127.0.0.0/8, ::1; " \
		"not its address in the network), from PROXY_TRUSTED, and from nodes with our pool secret if their client " \
		"uses TLS or is one of these. 0: from everywhere (Courier's default).") \
	S(g, TLS_VERIFYPEER, WORD, "NONE", 0, 0, "NONE|PEER|REQUIREPEER", SF_M | SF_W, \
		"Certificates of clients. NONE: they are not asked for one. PEER: they are; one that is not good " \
		"ends the connection, and one that no authority of TLS_TRUSTCERTS has issued counts as none " \
		"(Courier refuses that, too). REQUIREPEER: a client without a good one is refused; where TLS ends " \
		"at a proxy, that has to say that it has found one good (HAProxy: send-proxy-v2-ssl). Where " \
		"clients are asked there are no session tickets: each connection shows its certificate again.") \
	S(g, TLS_TRUSTCERTS, PATH, "", 0, 0, "", SF_M | SF_W | SF_A, \
		"PEM file, or folder of PEM files, with the authorities that issue certificates to clients, and " \
		"nobody else; no private key. With a revocation list there, each certificate of a chain, but the " \
		"one that stands in the file, needs a valid list of its issuer. Changes are noticed: without the " \
		"file, or if it is empty, nobody is believed; one that is broken changes nothing.") \
	S(g, TLS_EXTERNAL, STR, "", 0, 0, "", SF_W | SF_A, \
		"Clients log in by their certificate, without a password (AUTH=EXTERNAL), under the name that is the " \
		"value of this field of it: \"email\" (also among the alternative names), \"CN\", \"UID\", ... " \
		"Empty: they do not. Read doc/threat-model.md first: what login workers say is believed here.")

#define SETTINGS_IMAPD_SSL(S) SETTINGS_SSL(S, imapd_ssl, "993", IMAPDSTARTTLS, "STARTTLS", IMAP_TLS_REQUIRED)

#define SETTINGS_POP3D(S) \
	SETTINGS_BOTH(S, pop3d, "110", POP3_PROXY) \
	S(pop3d, POP3ACCESSFILE, PATH, "", 0, 0, "", SF_M, \
		"The same as IMAPACCESSFILE, for POP3, where Courier has none. It may be the same file.") \
	S(pop3d, LOCAL_POP3, STR, "builtin", 0, 0, "", SF_W | SF_A | SF_S, \
		"The same as LOCAL_IMAP, for POP3: \"unix:/run/dovecot/waypost-pop3\".") \
	S(pop3d, POP3AUTH, LIST, "PLAIN LOGIN", 0, 0, "", SF_W | SF_A, \
		"Login mechanisms that CAPA announces. PLAIN and LOGIN are always accepted; CRAM-MD5, CRAM-SHA1, " \
		"CRAM-SHA256, SCRAM-SHA-1, SCRAM-SHA-256 (clients prove that they know the password) only if " \
		"listed. APOP enables POP3's APOP command and the timestamp in the greeting. Clients choose the " \
		"strongest mechanism and try no other: list only what works for all accounts.") \
	S(pop3d, POP3AUTH_TLS, LIST, "", 0, 0, "", SF_W | SF_A, \
		"Login mechanisms for clients that use TLS. Empty: as POP3AUTH.") \
	S(pop3d, POP3_CAPABILITY, LIST, "TOP UIDL RESP-CODES AUTH-RESP-CODE PIPELINING UTF8 EXPIRE LOGIN-DELAY", \
		0, 0, "", SF_W | SF_A, \
		"What CAPA announces before login, by name: of these what all servers of the pool support, as POP3 has no " \
		"message that tells a client another list after it. \"auto\": the node finds out, as with IMAP_CAPABILITY.") \
	S(pop3d, POP3_INACTIVITY_TIMEOUT, TIME, "10m", 30, SF_DAY, "seconds", SF_S, \
		"A local session ends after this time without a command. RFC 1939 requires at least 10 minutes.") \
	S(pop3d, POP3_LOG_DELETIONS, BOOL, "0", 0, 0, "", SF_S, \
		"Log every deleted message.")

#define SETTINGS_POP3D_SSL(S) SETTINGS_SSL(S, pop3d_ssl, "995", POP3_STARTTLS, "STLS", POP3_TLS_REQUIRED)

#define SETTINGS_AUTHDAEMONRC(S) \
	S(authdaemonrc, authmodulelist, LIST, "authuserdb", 0, 0, "", SF_M | SF_A, \
		"Where to look up accounts, in this order: authuserdb, authldap, authmysql, authpgsql, authsqlite, " \
		"authdaemon, authpipe, authpam. Only if a module does not know the account is the next one tried; " \
		"if a module does not answer, the login fails temporarily.") \
	S(authdaemonrc, daemons, INT, "5", 1, 256, "processes", SF_M | SF_A, \
		"Processes for slow work: password hashes, the userdb, directory queries.") \
	S(authdaemonrc, AUTH_TIMEOUT, TIME, "5s", 1, 300, "seconds", SF_A, \
		"How long a login waits for the answers of directories (all modules but authuserdb), whatever their own " \
		"time limits are, and for an auth worker that can ask them. After that it fails temporarily.") \
	S(authdaemonrc, SCRAM_ITERATIONS, INT, "4096", 4096, 10000000, "", SF_A, \
		"Iteration count of SCRAM logins if the directory has a clear password. Stored secrets " \
		"({SCRAM-SHA-256}) have their own count; set this to the same, because unknown users get this one " \
		"and must not be recognizable.") \
	S(authdaemonrc, DEFAULTOPTIONS, STR, "", 0, 0, "", SF_A, \
		"Options for every account that does not set them itself: \"disablepop3=1,mailhost=a.example.com\".") \
	S(authdaemonrc, AUTH_CACHE_TTL, TIME, "60s", 0, 86400, "seconds", SF_A, \
		"How long a directory account (all modules but authuserdb) is cached after a successful login: " \
		"logins with that password then need no directory query and no slow hash. Until it expires an old " \
		"password still works, and so does an account that was locked or moved; a new password works at " \
		"once. waypost flush empties the cache. 0 queries the directory at each login.") \
	S(authdaemonrc, AUTH_CACHE_NEGATIVE_TTL, TIME, "30s", 0, 3600, "seconds", SF_A, \
		"How long a wrong password is cached for the name it was tried with. Until it expires, a new " \
		"password that was tried before it was set is still refused. 0 disables this.") \
	S(authdaemonrc, AUTH_CACHE_STALE, TIME, "1d", 0, 2592000, "seconds", SF_A, \
		"While a directory does not answer, accounts whose password was verified within this time can still " \
		"log in with it: at once if the directory is known to be down, else after 0.8 seconds. All others " \
		"get a temporary error. 0 disables this.") \
	S(authdaemonrc, AUTH_CACHE_SIZE, SIZE, "64M", 1048576, 68719476736, "bytes", SF_A, \
		"Most memory for the cache, including digests of verified passwords of authuserdb; an account takes " \
		"about 400 bytes. The least recently used entries are dropped first; wrong passwords may use an " \
		"eighth.") \
	S(authdaemonrc, AUTH_CACHE_MEMCACHED, LIST, "", 0, 0, "", SF_A, \
		"Memcached servers through which the nodes of a pool share the passwords that directories have " \
		"verified. A login seen by one node then needs no directory query on the others, nor after a " \
		"restart. HOST, HOST:PORT, [IPV6]:PORT, or the path of a socket. AUTH_CACHE_TTL and " \
		"AUTH_CACHE_STALE count from the directory query, on whichever node. Names and contents are " \
		"encrypted with the pool secret (POOL_SECRETFILE), which is required. A " \
		"server that does not answer is not used for a while; logins go on without it. A host name is " \
		"looked up for each connection: prefer addresses.") \
	S(authdaemonrc, AUTH_CACHE_MEMCACHED_TIMEOUT, INT, "200", 1, 5000, "milliseconds", SF_A, \
		"How long a login waits for a memcached server. After that the server is not used for a while.") \
	S(authdaemonrc, LDAPTLS_CACERT, PATH, "", 0, 0, "", SF_A, \
		"PEM file of the authorities that may sign the LDAP server's certificate. Empty: those of the " \
		"system's ldap.conf.") \
	S(authdaemonrc, LDAPTLS_CACERTDIR, PATH, "", 0, 0, "", SF_A, \
		"Folder of such authorities.") \
	S(authdaemonrc, LDAPTLS_CERT, PATH, "", 0, 0, "", SF_A, \
		"PEM file of the client certificate for the LDAP server.") \
	S(authdaemonrc, LDAPTLS_KEY, PATH, "", 0, 0, "", SF_A, \
		"PEM file of its private key; AUTH_USER must be able to read it.") \
	S(authdaemonrc, LDAPTLS_REQCERT, WORD, "demand", 0, 0, "demand|hard|try|allow|never", SF_A, \
		"How to treat a bad certificate of the LDAP server: demand and hard refuse it, never does not " \
		"check.") \
	S(authdaemonrc, LDAPTLS_CIPHER_SUITE, STR, "", 0, 0, "", SF_A, \
		"Ciphers for LDAP, as its TLS library names them.") \
	S(authdaemonrc, LDAPTLS_CRLFILE, PATH, "", 0, 0, "", SF_A, \
		"PEM file of revoked certificates.") \
	S(authdaemonrc, DEBUG_LOGIN, INT, "0", 0, 2, "", SF_M, \
		"Same as DEBUG_LOGIN at the top level of the file; accepted here as in Courier.")

#define SETTINGS_AUTHUSERDB(S) \
	S(authuserdb, USERDB, PATH, "/etc/waypost/userdb", 0, 0, "", SF_M | SF_A, \
		"The account file, or a folder of account files; reloaded when it changes.") \
	S(authuserdb, USERDB_SHRINK, INT, "50", 0, 100, "percent", SF_A, \
		"A changed file that lost more than this part of its accounts or passwords, or all accounts, is refused; the old " \
		"one stays in use. 100 accepts any complete file.")

#define SETTINGS_AUTHLDAPRC(S) \
	S(authldaprc, LDAP_URI, LIST, "", 0, 0, "", SF_M | SF_A, \
		"The LDAP servers: \"ldap://a.example.com ldap://b.example.com\". The first one that answers is used. Also " \
		"ldaps:// and ldapi://.") \
	S(authldaprc, LDAP_PROTOCOL_VERSION, INT, "3", 2, 3, "", SF_A, \
		"LDAP protocol version.") \
	S(authldaprc, LDAP_BASEDN, STR, "", 0, 0, "", SF_A, \
		"Base of the search for accounts: \"ou=people,dc=example,dc=com\".") \
	S(authldaprc, LDAP_INITBIND, BOOL, "0", 0, 0, "", SF_A, \
		"Bind as LDAP_BINDDN before searching. Off: search anonymously.") \
	S(authldaprc, LDAP_BINDDN, STR, "", 0, 0, "", SF_A, \
		"DN to bind as before searching.") \
	S(authldaprc, LDAP_BINDPW, STR, "", 0, 0, "", SF_A, \
		"Password of LDAP_BINDDN.") \
	S(authldaprc, LDAP_TIMEOUT, TIME, "5s", 1, 60, "seconds", SF_A, \
		"Time limit for a connection, and for an answer. After that the next server is tried.") \
	S(authldaprc, LDAP_AUTHBIND, BOOL, "0", 0, 0, "", SF_A, \
		"Check passwords by binding as the account's entry. Off: by LDAP_CLEARPW and LDAP_CRYPTPW.") \
	S(authldaprc, LDAP_MAIL, STR, "mail", 0, 0, "", SF_A, \
		"Attribute of the login name.") \
	S(authldaprc, LDAP_FILTER, STR, "", 0, 0, "", SF_A, \
		"Further filter for accounts: \"(objectClass=CourierMailAccount)\".") \
	S(authldaprc, LDAP_DOMAIN, STR, "", 0, 0, "", SF_A, \
		"Appended, after an @, to names without @ before the search.") \
	S(authldaprc, LDAP_GLOB_UID, STR, "", 0, 0, "", SF_A, \
		"User id, numeric or a name, of accounts without LDAP_UID.") \
	S(authldaprc, LDAP_GLOB_GID, STR, "", 0, 0, "", SF_A, \
		"Group id, numeric or a name, of accounts without LDAP_GID. With a number, Courier uses that of " \
		"LDAP_GLOB_UID instead.") \
	S(authldaprc, LDAP_HOMEDIR, STR, "homeDir", 0, 0, "", SF_A, \
		"Attribute of the home folder; most schemas have homeDirectory.") \
	S(authldaprc, LDAP_MAILROOT, STR, "", 0, 0, "", SF_A, \
		"Folder that contains the home folders; prepended to them with a slash.") \
	S(authldaprc, LDAP_MAILDIR, STR, "", 0, 0, "", SF_A, \
		"Attribute of the Maildir, absolute or relative to the home folder. Empty or missing in the entry: " \
		"MAILDIRPATH.") \
	S(authldaprc, LDAP_DEFAULTDELIVERY, STR, "", 0, 0, "", SF_A, \
		"Attribute to use instead of LDAP_MAILDIR for the service \"courier\", which only AUTHSERVICE can " \
		"set here.") \
	S(authldaprc, LDAP_MAILDIRQUOTA, STR, "", 0, 0, "", SF_A, \
		"Attribute of the Maildir++ quota. Read, but quotas come with a later version.") \
	S(authldaprc, LDAP_FULLNAME, STR, "", 0, 0, "", SF_A, \
		"Attribute of the full name.") \
	S(authldaprc, LDAP_CLEARPW, STR, "", 0, 0, "", SF_A, \
		"Attribute of the clear password. If the entry has it, LDAP_CRYPTPW is ignored.") \
	S(authldaprc, LDAP_CRYPTPW, STR, "", 0, 0, "", SF_A, \
		"Attribute of the password hash, usually userPassword.") \
	S(authldaprc, LDAP_UID, STR, "", 0, 0, "", SF_A, \
		"Attribute of the user id; else LDAP_GLOB_UID.") \
	S(authldaprc, LDAP_GID, STR, "", 0, 0, "", SF_A, \
		"Attribute of the group id; else LDAP_GLOB_GID.") \
	S(authldaprc, LDAP_AUXOPTIONS, STR, "", 0, 0, "", SF_A, \
		"Attributes that are options of the account: \"mailHost=mailhost,noImap=disableimap\". Attributes " \
		"that the entry lacks are skipped. mailhost is the option that routes the account.") \
	S(authldaprc, LDAP_ENUMERATE_FILTER, STR, "", 0, 0, "", SF_A, \
		"Filter for waypost auth --enumerate. Empty: LDAP_FILTER, and LDAP_MAIL is present.") \
	S(authldaprc, LDAP_DEREF, WORD, "never", 0, 0, "never|searching|finding|always", SF_A, \
		"When to follow aliases.") \
	S(authldaprc, LDAP_TLS, BOOL, "0", 0, 0, "", SF_A, \
		"Use StartTLS; a server without it is not used. LDAPTLS_CACERT and other TLS settings are in " \
		"authdaemonrc.") \
	S(authldaprc, LDAP_EMAILMAP, STR, "", 0, 0, "", SF_A, \
		"If set, names with an @ are searched in two steps: with this filter, in which @user@ and @realm@ " \
		"are the parts of the name, below LDAP_EMAILMAP_BASEDN; then by the value found there.") \
	S(authldaprc, LDAP_EMAILMAP_BASEDN, STR, "", 0, 0, "", SF_A, \
		"Base of the search with LDAP_EMAILMAP.") \
	S(authldaprc, LDAP_EMAILMAP_ATTRIBUTE, STR, "handle", 0, 0, "", SF_A, \
		"Attribute of the entry found with LDAP_EMAILMAP; its value finds the account.") \
	S(authldaprc, LDAP_EMAILMAP_MAIL, STR, "", 0, 0, "", SF_A, \
		"Attribute of the account to compare with that value. Empty: LDAP_MAIL.")

/* What the SQL directories have in common. DB begins the settings' names; OPTIONS is an example of an expression in its
 * SQL, QUOTES what else to know of its quotes. */
#define SETTINGS_SQL(S, g, db, options, quotes) \
	S(g, db##_USER_TABLE, STR, "", 0, 0, "", SF_A, \
		"Table of the accounts: anything that SQL accepts after FROM, including joins.") \
	S(g, db##_CRYPT_PWFIELD, STR, "", 0, 0, "", SF_A, \
		"Column of the password hash. If not empty, the clear password is ignored. This and all other " \
		"fields may be SQL expressions.") \
	S(g, db##_CLEAR_PWFIELD, STR, "", 0, 0, "", SF_A, \
		"Column of the clear password.") \
	S(g, db##_UID_FIELD, STR, "uid", 0, 0, "", SF_A, \
		"Column of the user id.") \
	S(g, db##_GID_FIELD, STR, "gid", 0, 0, "", SF_A, \
		"Column of the group id.") \
	S(g, db##_LOGIN_FIELD, STR, "id", 0, 0, "", SF_A, \
		"Column of the login name.") \
	S(g, db##_HOME_FIELD, STR, "home", 0, 0, "", SF_A, \
		"Column of the home folder. An account with an empty one does not exist.") \
	S(g, db##_NAME_FIELD, STR, "", 0, 0, "", SF_A, \
		"Column of the full name.") \
	S(g, db##_MAILDIR_FIELD, STR, "", 0, 0, "", SF_A, \
		"Column of the Maildir, absolute or relative to the home folder. Empty: MAILDIRPATH.") \
	S(g, db##_QUOTA_FIELD, STR, "", 0, 0, "", SF_A, \
		"Column of the Maildir++ quota. Read, but quotas come with a later version.") \
	S(g, db##_DEFAULTDELIVERY_FIELD, STR, "", 0, 0, "", SF_A, \
		"Column to use instead of " #db "_MAILDIR_FIELD for the service \"courier\", which only AUTHSERVICE " \
		"can set here.") \
	S(g, db##_DEFAULTDELIVERY, STR, "", 0, 0, "", SF_A, \
		"Another name of " #db "_DEFAULTDELIVERY_FIELD.") \
	S(g, db##_AUXOPTIONS_FIELD, STR, "", 0, 0, "", SF_A, \
		"SQL expression of the account's options: \"" options "\". mailhost is the option that routes the " \
		"account.") \
	S(g, db##_AUXOPTIONS, STR, "", 0, 0, "", SF_A, \
		"Another name of " #db "_AUXOPTIONS_FIELD.") \
	S(g, db##_WHERE_CLAUSE, STR, "", 0, 0, "", SF_A, \
		"Further condition for accounts: \"active = 1\"." quotes) \
	S(g, db##_SELECT_CLAUSE, STR, "", 0, 0, "", SF_A, \
		"If set, the complete query, instead of table and fields. $(local_part), $(domain) and $(service) " \
		"are replaced; put the first two in quotes: '$(local_part)'. Columns, in this order: name, hash, " \
		"clear password, uid, gid, home, and optionally Maildir, quota, full name, options; empty text for " \
		"a missing value. Only the first row is used.") \
	S(g, db##_ENUMERATE_CLAUSE, STR, "", 0, 0, "", SF_A, \
		"If set, the complete query for waypost auth --enumerate, instead of table and fields. Columns, in " \
		"this order: name, uid, gid, home, and optionally Maildir, options; one row per account. $(service) " \
		"is \"enumerate\".") \
	S(g, DEFAULT_DOMAIN, STR, "", 0, 0, "", SF_A, \
		"Domain of names without @: they are searched for as NAME@DOMAIN, and $(domain) is DOMAIN.")

#define SETTINGS_AUTHMYSQLRC(S) \
	S(authmysqlrc, MYSQL_SERVER, LIST, "", 0, 0, "", SF_M | SF_A, \
		"The database servers, host names or addresses: \"a.example.com b.example.com\". The first one that " \
		"answers is used. Set this or MYSQL_SOCKET; \"localhost\" means the socket, too.") \
	S(authmysqlrc, MYSQL_SOCKET, PATH, "", 0, 0, "", SF_M | SF_A, \
		"Socket of a server on this machine.") \
	S(authmysqlrc, MYSQL_PORT, INT, "0", 0, 65535, "", SF_A, \
		"Port of the servers. 0 is the default, 3306.") \
	S(authmysqlrc, MYSQL_USERNAME, STR, "", 0, 0, "", SF_A, \
		"User that reads the accounts.") \
	S(authmysqlrc, MYSQL_PASSWORD, STR, "", 0, 0, "", SF_A, \
		"Password of MYSQL_USERNAME.") \
	S(authmysqlrc, MYSQL_DATABASE, STR, "", 0, 0, "", SF_A, \
		"Database of the accounts.") \
	S(authmysqlrc, MYSQL_OPT, INT, "0", 0, 4294967295, "", SF_A, \
		"Flags of mysql_real_connect(), as a sum.") \
	S(authmysqlrc, MYSQL_SSL_KEY, PATH, "", 0, 0, "", SF_A, \
		"PEM file of the client's private key.") \
	S(authmysqlrc, MYSQL_SSL_CERT, PATH, "", 0, 0, "", SF_A, \
		"PEM file of its certificate.") \
	S(authmysqlrc, MYSQL_SSL_CACERT, PATH, "", 0, 0, "", SF_A, \
		"PEM file of the authorities that may sign the server's certificate. With this or MYSQL_SSL_CAPATH, " \
		"TLS is required: a server without TLS or with another certificate is not used.") \
	S(authmysqlrc, MYSQL_SSL_CAPATH, PATH, "", 0, 0, "", SF_A, \
		"Folder of such authorities.") \
	S(authmysqlrc, MYSQL_SSL_CIPHER, STR, "", 0, 0, "", SF_A, \
		"Ciphers, as OpenSSL names them.") \
	S(authmysqlrc, MYSQL_SSL_CIPHERS, STR, "", 0, 0, "", SF_A, \
		"Another name of MYSQL_SSL_CIPHER.") \
	S(authmysqlrc, MYSQL_TIMEOUT, TIME, "3s", 1, 60, "seconds", SF_A, \
		"Time limit for a connection, and for an answer. After that the next server is tried.") \
	S(authmysqlrc, MYSQL_CHARACTER_SET, STR, "", 0, 0, "", SF_A, \
		"Character set of the connection; names are compared in it. Empty: utf8mb4.") \
	SETTINGS_SQL(S, authmysqlrc, MYSQL, "CONCAT('mailhost=', mailhost)", "")

#define SETTINGS_AUTHPGSQLRC(S) \
	S(authpgsqlrc, PGSQL_CONNECTION, STR, "", 0, 0, "", SF_A, \
		"libpq connection string: \"host=a.example.com,b.example.com dbname=mail user=waypost " \
		"password=secret sslmode=verify-full\". Of several hosts the first one that answers is used.") \
	S(authpgsqlrc, PGSQL_HOST, LIST, "", 0, 0, "", SF_M | SF_A, \
		"The servers, if PGSQL_CONNECTION is not set.") \
	S(authpgsqlrc, PGSQL_PORT, INT, "0", 0, 65535, "", SF_A, \
		"Port of the servers, if PGSQL_CONNECTION is not set. 0 is the default, 5432.") \
	S(authpgsqlrc, PGSQL_USERNAME, STR, "", 0, 0, "", SF_A, \
		"User that reads the accounts, if PGSQL_CONNECTION is not set.") \
	S(authpgsqlrc, PGSQL_PASSWORD, STR, "", 0, 0, "", SF_A, \
		"Password of PGSQL_USERNAME, if PGSQL_CONNECTION is not set.") \
	S(authpgsqlrc, PGSQL_DATABASE, STR, "", 0, 0, "", SF_A, \
		"Database of the accounts, if PGSQL_CONNECTION is not set.") \
	S(authpgsqlrc, PGSQL_OPT, STR, "", 0, 0, "", SF_A, \
		"Options for the server process, if PGSQL_CONNECTION is not set.") \
	S(authpgsqlrc, PGSQL_TIMEOUT, TIME, "3s", 1, 60, "seconds", SF_A, \
		"Time limit for a connection, and for an answer. After that the next server is tried.") \
	S(authpgsqlrc, PGSQL_CHARACTER_SET, STR, "", 0, 0, "", SF_A, \
		"Character set of the connection; names are compared in it. Empty: that of the database.") \
	SETTINGS_SQL(S, authpgsqlrc, PGSQL, "'mailhost=' || mailhost", "")

#define SETTINGS_AUTHSQLITERC(S) \
	S(authsqliterc, SQLITE_DATABASE, PATH, "", 0, 0, "", SF_M | SF_A, \
		"The database file. It is opened read-only; a new file renamed into its place is used at once. " \
		"AUTH_USER must be able to read it.") \
	S(authsqliterc, SQLITE_TIMEOUT, TIME, "3s", 1, 60, "seconds", SF_A, \
		"Time limit for waiting for a lock, and for a query.") \
	SETTINGS_SQL(S, authsqliterc, SQLITE, "'mailhost=' || mailhost", \
		" In this and all other clauses write text as '...'; \"...\" is always a column, never text.")

#define SETTINGS_AUTHDAEMON(S) \
	S(authdaemon, AUTHDAEMON_SOCKET, PATH, "/run/courier/authdaemon/socket", 0, 0, "", SF_M | SF_A, \
		"Socket of Courier's authdaemond (authlib 0.71 or later): its authdaemonvar, followed by " \
		"\"/socket\". AUTH_USER must be able to reach it; on Debian, as a member of the group courier.") \
	S(authdaemon, AUTHDAEMON_TIMEOUT, TIME, "5s", 1, 60, "seconds", SF_A, \
		"Time limit for an answer.")

#define SETTINGS_AUTHPIPE(S) \
	S(authpipe, AUTHPIPE_PROGRAM, PATH, "/etc/courier/authProg", 0, 0, "", SF_M | SF_A, \
		"The program that looks up accounts, as for Courier's authpipe. It runs as AUTH_USER, cannot gain " \
		"privileges (no sudo), and runs once in each process of authdaemonrc.daemons.") \
	S(authpipe, AUTHPIPE_TIMEOUT, TIME, "5s", 1, 60, "seconds", SF_A, \
		"Time limit for an answer. After that the program and all its children are killed, and it is " \
		"started again. An auth worker (daemons of authdaemonrc) waits meanwhile, so names that make it " \
		"hang delay all logins.")

#define SETTINGS_AUTHPAM(S) \
	S(authpam, AUTHPAM_TIMEOUT, TIME, "10s", 1, 300, "seconds", SF_A, \
		"Time limit for PAM. The PAM service is \"imap\" or \"pop3\", or as AUTHSERVICE says. pam_unix " \
		"reads /etc/shadow: AUTH_USER must be a member of the group shadow.") \
	S(authpam, AUTHPAM_SYSTEM_ERROR, WORD, "temporary", 0, 0, "temporary|wrong", SF_A, \
		"What \"System error\" and \"Error in service module\" of a PAM module are taken for: a temporary failure of " \
		"that login, or a wrong password. Set \"wrong\" if a module answers so to wrong passwords, as " \
		"pam_exec does if its program exits with 1: else they are no LOGIN FAILED in the log, and fail2ban is " \
		"blind to them. An outage that a module reports so is a wrong password then.") \
	S(authpam, AUTHPAM_CONFDIR, PATH, "", 0, 0, "", SF_M | SF_A, \
		"Folder of the PAM services. Empty: /etc/pam.d.")
/* clang-format on */

#endif
