/* The protocols of a node: one row each. Everything that is done for "each protocol" takes its names, groups and
 * functions from here; a new protocol is a row, its settings (settings_tbl.h, settings_rules.c) and a folder.
 *
 *   id        PROTOCOL_id
 *   name      in mailhost, in `waypost who` and `waypost status`; the service name in queries of drivers; the password
 *             field of a userdb record ("imappw"); its folder has name_login_dialect
 *   title     for people: the log, `waypost route`
 *   group     its settings are in group and group-ssl; the program that its lines in the log are from; its folder has
 *             group_session()
 *   kind      LOGIN: clients log in, and may be forwarded to the node that has their mail. NO_LOGIN: not so (LMTP): the
 *             protocol has no dialect, no mailhost and none of the settings about logins; nothing accepts its
 *             clients yet: a login worker must not be given its sockets
 *   ports     registered: plain, TLS
 *   proxy     the setting that lets logins be forwarded; that of the access file is idACCESSFILE, and LOCAL_id says who
 *             serves the accounts whose mail is here
 *   begin, required  the settings that offer TLS at the plain ports, and ask for it before a login
 *   starttls  how the log calls a session whose client uses TLS */
#ifndef SETTINGS_PROTOCOL_H
#define SETTINGS_PROTOCOL_H

#include "lib/base.h"

/* clang-format off */
#define PROTOCOLS(P) \
	P(IMAP, imap, "IMAP", imapd, LOGIN, 143, 993, IMAP_PROXY, IMAPDSTARTTLS, IMAP_TLS_REQUIRED, "starttls") \
	P(POP3, pop3, "POP3", pop3d, LOGIN, 110, 995, POP3_PROXY, POP3_STARTTLS, POP3_TLS_REQUIRED, "stls")
/* clang-format on */

enum protocol {
#define P(id, ...) PROTOCOL_##id,
	PROTOCOLS(P)
#undef P
	    PROTOCOL_COUNT
};

struct protocol_info {
	const char *name, *title, *group, *ssl_group; /* ssl_group in the table's spelling, with '_' */
	bool has_login;
	uint16_t port, tls_port;
	const char *starttls;
	const char *access_file, *local_server;   /* the settings */
	const char *option_off, *option_insecure; /* account options: "disableimap", "disableinsecureimap" */
};

/* By enum protocol. */
extern const struct protocol_info protocols[PROTOCOL_COUNT];

/* The settings of one protocol, whatever its group is called. Texts live as long as the settings. */
struct settings;
struct protocol_settings {
	bool served, tls_served; /* the file has its group; its -ssl group */
	const char *address, *ports, *header_ports, *tls_address, *tls_ports, *tls_certfile, *tls_keyfile, *tls_certdir;
	const char *tls_versions, *tls_starttls_versions, *tls_ciphers, *tls_groups; /* see settings_tls.h */
	/* Clients are served by TLS. Those of the plain ports can begin it; they have to before they log in. */
	bool has_certificate, starttls, tls_required;
	const char *tls_verifypeer, *tls_trustcerts, *tls_external;
	const char *maildirpath;
	int64_t max_sessions; /* 0: no limit */
	/* for protocols with a login */
	bool proxy;
	int64_t proxy_port, max_per_ip, max_per_account, max_per_account_ip; /* 0: none */
	const char *access_file, *defdomain, *domainsep, *authservice, *local_server;
};

struct protocol_settings protocol_settings(const struct settings *set, enum protocol p);
/* The file has the group of some protocol. */
bool protocols_served(const struct settings *set);
/* The number of served protocols whose logins are forwarded. */
unsigned protocols_forwarded(const struct settings *set);

#endif
