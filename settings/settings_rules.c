/* Checks that involve more than one value: settings that depend on each other, files, users. */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/net.h"
#include "lib/num.h"
#include "lib/program.h"
#include "lib/tls_cert_name.h"
#include "settings/access_file.h"
#include "settings/capability.h"
#include "settings/local_server.h"
#include "settings/options.h"
#include "settings/peer_header.h"
#include "settings/peer_hosts.h"
#include "settings/peer_tls.h"
#include "settings/pool_secret.h"
#include "settings/settings_tls.h"
#include "settings/withheld.h"

#define MISTAKE(l, member, ...) settings_report((l)->errors, &(l)->text, SETTINGS_LINE(l, member), __VA_ARGS__)
#define WARNING(l, member, ...) settings_report((l)->warnings, &(l)->text, SETTINGS_LINE(l, member), __VA_ARGS__)

enum { WORD_MAX_LEN = 128, MAX_PORTS = 64 };

/* The next blank-separated word at *P into WORD; false at the end. */
static bool next_word(const char **p, char word[WORD_MAX_LEN])
{
	size_t len;

	*p += strspn(*p, " ");
	len = strcspn(*p, " ");
	snprintf(word, WORD_MAX_LEN, "%.*s", (int)MIN(len, WORD_MAX_LEN - 1), *p);
	*p += len;
	return len != 0;
}

static bool one_of(const char *word, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcasecmp(word, *list) == 0)
			return true;
	return false;
}

/* ------------------------------------------------------------------------------------------------------------
 * The node */

/* LOG: "syslog", "stderr", or a file in an existing folder. */
static void rules_log(struct settings_load *l)
{
	const char *log = l->set->node_LOG, *slash = strrchr(log, '/');
	struct stat st;
	char *folder;

	if (strcmp(log, "syslog") == 0 || strcmp(log, "stderr") == 0)
		return;
	if (log[0] != '/') {
		MISTAKE(l, node_LOG, "LOG = \"%s\": expected \"syslog\", \"stderr\" or an absolute path", log);
		return;
	}
	folder = mem_memdup(log, MAX((size_t)(slash - log), 1));
	if (stat(log, &st) == 0 && S_ISDIR(st.st_mode))
		MISTAKE(l, node_LOG, "LOG = \"%s\": expected a file, found a folder", log);
	else if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
		MISTAKE(l, node_LOG, "LOG = \"%s\": there is no folder %s; create it", log, folder);
	mem_free(&folder);
}

static void rules_node(struct settings_load *l)
{
	const struct settings *set = l->set;
	char err[256];

	if (strlen(set->node_RUNDIR) + strlen("/control") >= sizeof(((struct sockaddr_un *)0)->sun_path))
		MISTAKE(l, node_RUNDIR, "RUNDIR is too long for a socket path; use at most %zu bytes",
		    sizeof(((struct sockaddr_un *)0)->sun_path) - strlen("/control") - 1);
	if (set->node_RUNDIR[0] == '\0' || strcmp(set->node_RUNDIR, "/") == 0)
		MISTAKE(l, node_RUNDIR, "RUNDIR must be a folder of its own, such as \"/run/waypost\"");
	rules_log(l);
	if (geteuid() != 0)
		return;
	if (!settings_user_fit("LOGIN_USER", set->node_LOGIN_USER, err, sizeof(err)))
		MISTAKE(l, node_LOGIN_USER, "%s", err);
	if (!settings_user_fit("AUTH_USER", set->node_AUTH_USER, err, sizeof(err)))
		MISTAKE(l, node_AUTH_USER, "%s", err);
	if (strcmp(set->node_LOGIN_USER, set->node_AUTH_USER) == 0)
		MISTAKE(l, node_AUTH_USER,
		    "AUTH_USER and LOGIN_USER are both \"%s\", so login workers could read the accounts; use two users",
		    set->node_AUTH_USER);
}

/* DEBUG_LOGIN, in any group, is Courier's name for a log level. */
static void apply_debug(struct settings *set)
{
	if (set->node_DEBUG_LOGIN == 0 && set->imapd_DEBUG_LOGIN == 0 && set->pop3d_DEBUG_LOGIN == 0 &&
	    set->authdaemonrc_DEBUG_LOGIN == 0)
		return;
	mem_free(&set->node_LOG_LEVEL);
	set->node_LOG_LEVEL = mem_strdup("debug");
}

/* ------------------------------------------------------------------------------------------------------------
 * Peers */

static void rules_networks(struct settings_load *l, const char *list, unsigned line, const char *label)
{
	char word[WORD_MAX_LEN];

	while (next_word(&list, word)) {
		struct net_addr a;
		unsigned bits;

		if (!net_network_parse(word, &a, &bits))
			settings_report(l->errors, &l->text, line,
			    "%s: %s is not an address or network; write \"192.0.2.7\", \"10.0.0.0/8\" or "
			    "\"2001:db8::/32\"",
			    label, word);
		else if (bits == 0)
			settings_report(l->warnings, &l->text, line,
			    "%s: %s is everybody, and who is in it may pretend to be any other client; name the "
			    "addresses that are meant",
			    label, word);
	}
}

/* The machine has A: a socket can be bound to it. */
static bool is_of_this_machine(const struct net_addr *a)
{
	struct net_addr any_port = *a;
	struct sockaddr_storage ss;
	socklen_t len;
	bool ok;
	int fd;

	any_port.port = 0;
	len = net_addr_to(&any_port, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ok = fd == -1 || bind(fd, (struct sockaddr *)&ss, len) == 0 || errno != EADDRNOTAVAIL;
	if (fd != -1)
		close(fd);
	return ok;
}

static void rules_sources(struct settings_load *l)
{
	const char *list = l->set->proxy_PROXY_SOURCE_ADDRESS;
	char word[WORD_MAX_LEN];
	struct net_addr a;

	while (next_word(&list, word))
		if (!net_addr_parse(&a, word, 0))
			MISTAKE(l, proxy_PROXY_SOURCE_ADDRESS,
			    "proxy.PROXY_SOURCE_ADDRESS: %s is not an address; write \"192.0.2.7\" or \"2001:db8::7\"",
			    word);
		else if (!is_of_this_machine(&a))
			WARNING(l, proxy_PROXY_SOURCE_ADDRESS,
			    "proxy.PROXY_SOURCE_ADDRESS: this machine does not have the address %s", word);
}

static void rules_peer_tls(struct settings_load *l)
{
	const struct settings *set = l->set;
	const char *list = set->proxy_PROXY_TLS_PEERS, *host;
	char word[WORD_MAX_LEN];
	enum peer_tls tls;
	size_t len;

	while (peer_tls_next(&list, &host, &len, &tls))
		continue;
	if (next_word(&list, word))
		MISTAKE(l, proxy_PROXY_TLS_PEERS,
		    "proxy.PROXY_TLS_PEERS: %s is not HOST=WORD, with a word of PROXY_TLS; write "
		    "\"a.example.com=implicit "
		    ".example.org=none\"",
		    word);
	if (peer_tls_is_used(set) && !set->proxy_PROXY_TLS_VERIFY)
		WARNING(l, proxy_PROXY_TLS_VERIFY,
		    "proxy.PROXY_TLS_VERIFY is off: whoever can intercept a connection to a peer gets the passwords");
}

static void rules_send_id(struct settings_load *l)
{
	const char *list = l->set->proxy_PROXY_SEND_ID;
	char word[WORD_MAX_LEN];

	while (next_word(&list, word))
		if (!peer_hosts_word_ok(word))
			MISTAKE(l, proxy_PROXY_SEND_ID,
			    "proxy.PROXY_SEND_ID: %s is not a host, address or network; write "
			    "\"a.example.com .example.org 192.0.2.7 2001:db8::/32\"",
			    word);
}

static void rules_headers_to_peers(struct settings_load *l)
{
	const char *list = l->set->proxy_PROXY_PROTOCOL_SEND, *host;
	char word[WORD_MAX_LEN];
	unsigned version;
	bool good = true;
	size_t len;

	while (good && peer_header_next(&list, &host, &len, &version)) {
		snprintf(word, sizeof(word), "%.*s", (int)MIN(len, sizeof(word) - 1), host);
		good = peer_hosts_word_ok(word);
	}
	if (!good || next_word(&list, word))
		MISTAKE(l, proxy_PROXY_PROTOCOL_SEND,
		    "proxy.PROXY_PROTOCOL_SEND: %s is not a host or network with =v1, =v2 or =none; write "
		    "\"a.example.com=v2 192.0.2.0/24=v1\"",
		    word);
}

static void rules_proxy(struct settings_load *l)
{
	const struct settings *set = l->set;

	rules_networks(l, set->proxy_PROXY_TRUSTED, SETTINGS_LINE(l, proxy_PROXY_TRUSTED), "proxy.PROXY_TRUSTED");
	if (set->proxy_PROXY_IDLE_TIMEOUT != 0 && set->proxy_PROXY_IDLE_TIMEOUT <= 30 * 60)
		WARNING(l, proxy_PROXY_IDLE_TIMEOUT,
		    "proxy.PROXY_IDLE_TIMEOUT is not longer than the 30 minutes that IMAP grants an idle client, so "
		    "sessions will break; set it to 31m or more");
	if ((set->proxy_PROXY_MASTER_USER[0] == '\0') != (set->proxy_PROXY_MASTER_PASSWORD[0] == '\0'))
		MISTAKE(l, proxy_PROXY_MASTER_USER,
		    "proxy: set both PROXY_MASTER_USER and PROXY_MASTER_PASSWORD, or neither");
	if (strlen(set->proxy_PROXY_MASTER_USER) >= SETTINGS_MASTER_USER_MAX ||
	    strlen(set->proxy_PROXY_MASTER_PASSWORD) >= SETTINGS_MASTER_PASSWORD_MAX)
		MISTAKE(l, proxy_PROXY_MASTER_USER, "proxy: PROXY_MASTER_USER or PROXY_MASTER_PASSWORD is too long");
	settings_rules_secret(l, offsetof(struct settings, proxy_PROXY_MASTER_PASSWORD), "proxy.PROXY_MASTER_PASSWORD");
	if (set->imapd_IMAP_PROXY_FOREIGN && !set->imapd_IMAP_PROXY)
		WARNING(l, imapd_IMAP_PROXY_FOREIGN, "imapd.IMAP_PROXY_FOREIGN has no effect while IMAP_PROXY is off");
	rules_sources(l);
	rules_peer_tls(l);
	rules_send_id(l);
	rules_headers_to_peers(l);
}

/* ------------------------------------------------------------------------------------------------------------
 * Ports */

struct endpoint {
	const char *group;
	unsigned line;
	char address[256];
	uint16_t port;
};

static void add_endpoints(struct settings_load *l, struct endpoint *all, size_t *n, const char *group,
    const char *address, const char *ports, unsigned line)
{
	char own[SETTINGS_ADDRESS_MAX];
	uint16_t port;

	while (settings_port_next(&ports, own, &port)) {
		const char *at = own[0] != '\0' ? own : address;

		for (size_t i = 0; i < *n; i++) {
			if (all[i].port != port || strcmp(all[i].address, at) != 0)
				continue;
			if (strcmp(all[i].group, group) == 0)
				settings_report(l->errors, &l->text, line,
				    "%s: port %u of address %s is listed twice; remove one", group, (unsigned)port, at);
			else
				settings_report(l->errors, &l->text, line,
				    "%s: port %u of address %s is also used by %s; choose another port", group,
				    (unsigned)port, at, all[i].group);
		}
		if (*n == MAX_PORTS) {
			settings_report(l->errors, &l->text, line,
			    "%s: too many ports; all groups together may have %d", group, MAX_PORTS);
			return;
		}
		all[*n].group = group;
		all[*n].line = line;
		all[*n].port = port;
		snprintf(all[*n].address, sizeof(all[*n].address), "%s", at);
		(*n)++;
	}
}

/* PORT, in SETTING, is registered for what does not come there: TLS from the start, or the opposite, or another
 * protocol. */
static void odd_port(struct settings_load *l, enum protocol p, bool tls, const char *setting, unsigned line,
    uint16_t port)
{
	for (enum protocol q = 0; q < PROTOCOL_COUNT; q++) {
		bool is_tls = port == protocols[q].tls_port;

		if ((is_tls || port == protocols[q].port) && (q != p || is_tls != tls))
			settings_report(l->warnings, &l->text, line,
			    "%s: clients take port %u for %s%s, not for %s%s; if it should be that, set it in "
			    "%s%s",
			    setting, (unsigned)port, protocols[q].title, is_tls ? " with TLS from the start" : "",
			    protocols[p].title,
			    tls        ? " with TLS from the start" :
			        is_tls ? " without" :
			                 "",
			    protocols[q].group, is_tls ? "-ssl.SSLPORT" : ".PORT");
	}
}

static void odd_ports(struct settings_load *l, enum protocol p, bool tls, const char *ports, unsigned line)
{
	char setting[SETTINGS_GROUP_MAX + 16], address[SETTINGS_ADDRESS_MAX];
	uint16_t port;

	snprintf(setting, sizeof(setting), "%s%s", protocols[p].group, tls ? "-ssl.SSLPORT" : ".PORT");
	while (settings_port_next(&ports, address, &port))
		odd_port(l, p, tls, setting, line, port);
}

static void no_tls(struct settings_load *l, const char *ports, unsigned line)
{
	char address[SETTINGS_ADDRESS_MAX];
	uint16_t port;

	while (settings_port_next(&ports, address, &port))
		settings_report(l->warnings, &l->text, line, "there is no TLS_CERTFILE: port %u stays closed",
		    (unsigned)port);
}

/* Ports at which a proxy in front says who the client is. */
static void rules_header_ports(struct settings_load *l, enum protocol p, const struct protocol_settings *s)
{
	const char *group = protocols[p].group;
	unsigned line = settings_load_line_of(l, group, "PROXY_PROTOCOL_PORT");
	char address[SETTINGS_ADDRESS_MAX];
	uint16_t port;

	if (s->header_ports[0] != '\0' && l->set->node_PROXY_PROTOCOL_FROM[0] == '\0')
		settings_report(l->errors, &l->text, line,
		    "%s.PROXY_PROTOCOL_PORT has no effect while PROXY_PROTOCOL_FROM, with the addresses of the proxies "
		    "in front, is not set; set both or neither",
		    group);
	for (const char *list = s->header_ports; settings_port_next(&list, address, &port);)
		if (address[0] != '\0' ||
		    !(settings_has_port(s->ports, port) || (s->tls_served && settings_has_port(s->tls_ports, port))))
			settings_report(l->errors, &l->text, line,
			    "%s.PROXY_PROTOCOL_PORT: %u is not one of the ports in %s.PORT (%s) or %s-ssl.SSLPORT; "
			    "write just the number of one of them",
			    group, port, group, s->ports, group);
	if (s->proxy && s->proxy_port == 0 && settings_has_port(s->header_ports, settings_first_port(s->ports)))
		settings_report(l->errors, &l->text, line,
		    "%s.PROXY_PROTOCOL_PORT: other nodes connect to the first port of %s.PORT, and send no header; put "
		    "a port without headers first, or set %s.PROXY_PORT to one",
		    group, group, group);
	if (s->proxy && settings_has_port(s->header_ports, (uint16_t)s->proxy_port))
		settings_report(l->errors, &l->text, line,
		    "%s.PROXY_PROTOCOL_PORT: other nodes connect to PROXY_PORT, %u, and send no header; set that to "
		    "another port",
		    group, (unsigned)s->proxy_port);
}

/* Why no node with these settings accepts what PROXY_TLS has it do at its peers; NULL: it does. */
static const char *refuses_peers(const struct settings *set, const struct protocol_settings *s)
{
	bool implicit = strcmp(set->proxy_PROXY_TLS, peer_tls_word(PEER_TLS_IMPLICIT)) == 0;
	uint16_t port = s->proxy_port != 0 ? (uint16_t)s->proxy_port : settings_first_port(s->tls_ports);

	if (!s->has_certificate)
		return "there is no TLS_CERTFILE";
	if (!implicit && !s->starttls)
		return "STARTTLS is off";
	if (implicit && s->tls_ports[0] == '\0')
		return "SSLPORT is closed";
	if (implicit && settings_has_port(s->ports, port))
		return "PROXY_PORT is a port without TLS";
	if (implicit && settings_has_port(s->header_ports, port))
		return "that port wants a header of PROXY_PROTOCOL_PORT, which nodes do not send";
	if (strcmp(s->tls_verifypeer, "REQUIREPEER") == 0 && set->proxy_PROXY_TLS_CERTFILE[0] == '\0')
		return "TLS_VERIFYPEER = REQUIREPEER demands a certificate, and there is no PROXY_TLS_CERTFILE";
	return NULL;
}

static void rules_peers_of_ours(struct settings_load *l, enum protocol p, const struct protocol_settings *s)
{
	bool tls = strcmp(l->set->proxy_PROXY_TLS, peer_tls_word(PEER_TLS_NONE)) != 0;
	const char *why = s->proxy && tls ? refuses_peers(l->set, s) : NULL;

	if (why != NULL)
		WARNING(l, proxy_PROXY_TLS,
		    "proxy.PROXY_TLS = %s: nodes with this configuration refuse such logins of %s: %s (which does not "
		    "matter "
		    "if all mailhosts are other servers)",
		    l->set->proxy_PROXY_TLS, protocols[p].title, why);
}

static void rules_header_senders(struct settings_load *l)
{
	bool ports = false;

	rules_networks(l, l->set->node_PROXY_PROTOCOL_FROM, SETTINGS_LINE(l, node_PROXY_PROTOCOL_FROM),
	    "PROXY_PROTOCOL_FROM");
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		ports = ports || protocol_settings(l->set, p).header_ports[0] != '\0';
	if (l->set->node_PROXY_PROTOCOL_FROM[0] != '\0' && !ports)
		WARNING(l, node_PROXY_PROTOCOL_FROM,
		    "PROXY_PROTOCOL_FROM has no effect while no PROXY_PROTOCOL_PORT is set");
}

/* Certificates of clients. */
static void rules_client_certs(struct settings_load *l, enum protocol p)
{
	const struct protocol_settings s = protocol_settings(l->set, p);
	const char *group = protocols[p].ssl_group;
	char name[SETTINGS_GROUP_MAX];
	bool asks = strcmp(s.tls_verifypeer, "NONE") != 0;

	settings_group_name(group, name);
	if (asks && s.tls_trustcerts[0] == '\0')
		settings_report(l->errors, &l->text, settings_load_line_of(l, group, "TLS_VERIFYPEER"),
		    "%s.TLS_VERIFYPEER needs TLS_TRUSTCERTS, a file or folder with the authorities that issue "
		    "certificates to clients",
		    name);
	if (s.tls_external[0] != '\0' && !asks)
		settings_report(l->errors, &l->text, settings_load_line_of(l, group, "TLS_EXTERNAL"),
		    "%s.TLS_EXTERNAL needs TLS_VERIFYPEER = \"PEER\" or \"REQUIREPEER\": else no client shows a "
		    "certificate",
		    name);
	if (s.tls_external[0] != '\0' && !tls_cert_name_field(s.tls_external))
		settings_report(l->errors, &l->text, settings_load_line_of(l, group, "TLS_EXTERNAL"),
		    "%s.TLS_EXTERNAL: certificates have no field %s; use \"email\", \"CN\" or \"UID\"", name,
		    s.tls_external);
	if (s.tls_external[0] != '\0' && strncmp(s.tls_trustcerts, "/etc/ssl/certs", 14) == 0)
		settings_report(l->warnings, &l->text, settings_load_line_of(l, group, "TLS_TRUSTCERTS"),
		    "%s.TLS_TRUSTCERTS: whoever gets a certificate with a name of this site from any of the "
		    "authorities in %s can log in; list only your own",
		    name, s.tls_trustcerts);
}

/* What is about the protocol, and not about TLS, stands in its own group. */
static void rules_tls_alone(struct settings_load *l, enum protocol p, const struct protocol_settings *s)
{
	const char *group = protocols[p].group;

	if (!s->served && s->has_certificate && s->tls_ports[0] != '\0')
		settings_report(l->warnings, &l->text, l->ssl_line[p],
		    "%s-ssl without a group %s: port %s is served, with the defaults of all settings that are not "
		    "about "
		    "TLS; add %s = { }; (with ADDRESS = \"127.0.0.1\" if nobody is to come without TLS)",
		    group, group, s->tls_ports, group);
}

static void rules_ports(struct settings_load *l)
{
	struct endpoint all[MAX_PORTS];
	size_t n = 0;

	if (!protocols_served(l->set))
		settings_report(l->errors, &l->text, 0,
		    "no service is enabled; add a group imapd or pop3d: imapd = { };");
	rules_header_senders(l);
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const struct protocol_settings s = protocol_settings(l->set, p);
		const char *group = protocols[p].group;

		if (s.served) {
			add_endpoints(l, all, &n, group, s.address, s.ports, settings_load_line_of(l, group, "PORT"));
			odd_ports(l, p, false, s.ports, settings_load_line_of(l, group, "PORT"));
			rules_header_ports(l, p, &s);
			rules_peers_of_ours(l, p, &s);
		}
		if (s.tls_served)
			odd_ports(l, p, true, s.tls_ports, l->ssl_line[p]);
		if (s.has_certificate)
			add_endpoints(l, all, &n, group, s.tls_address, s.tls_ports, l->ssl_line[p]);
		else if (s.tls_served)
			no_tls(l, s.tls_ports, l->ssl_line[p]);
		if (s.tls_served) {
			settings_rules_tls(l, p);
			rules_client_certs(l, p);
			rules_tls_alone(l, p, &s);
		}
	}
}
/* ------------------------------------------------------------------------------------------------------------
 * IMAP and POP3 */

enum { CAPABILITY_MAX = 2000 };

/* LIST is the value of the setting NAME of the group imapd. */
static void rules_capability(struct settings_load *l, const char *list, const char *name)
{
	unsigned line = settings_load_line_of(l, "imapd", name), said = 0;
	bool imap4rev1 = false, too_long = strlen(list) > CAPABILITY_MAX, is_auto = capability_is_auto(list);
	char word[WORD_MAX_LEN], label[WORD_MAX_LEN];

	snprintf(label, sizeof(label), "imapd.%s", name);
	while (next_word(&list, word)) {
		imap4rev1 |= strcasecmp(word, "IMAP4rev1") == 0 || is_auto;
		if (is_auto && strcasecmp(word, "auto") == 0)
			continue;
		if (strncasecmp(word, "AUTH=", 5) == 0)
			settings_rules_mechanism(l, PROTOCOL_IMAP, line, label, word + 5, &said);
		else if (word[strcspn(word, "(){%*\"\\]")] != '\0')
			settings_report(l->errors, &l->text, line, "%s: %s is not a valid IMAP capability", label,
			    word);
		else if (is_auto)
			settings_report(l->errors, &l->text, line,
			    "%s: with \"auto\" only AUTH= words can be added, not %s: the rest is found out", label,
			    word);
		else if (!capability_is_ours(word, strlen(word)))
			settings_report(l->warnings, &l->text, line,
			    "%s announces %s, which sessions on this node do not support", label, word);
	}
	if (too_long)
		settings_report(l->errors, &l->text, line, "%s is longer than %d bytes, too long for the greeting",
		    label, CAPABILITY_MAX);
	if (!imap4rev1)
		settings_report(l->errors, &l->text, line, "%s lacks IMAP4rev1, which clients require; add it", label);
}

static void rules_withheld(struct settings_load *l)
{
	const char *list = l->set->imapd_IMAP_CAPABILITY_WITHHELD, *pattern, *words;
	char word[WORD_MAX_LEN];
	size_t len, n;

	while (withheld_next(&list, &pattern, &len, &words, &n))
		;
	if (next_word(&list, word))
		MISTAKE(l, imapd_IMAP_CAPABILITY_WITHHELD,
		    "imapd.IMAP_CAPABILITY_WITHHELD: %s is not PATTERN=CAPABILITY:CAPABILITY; write ? for a blank in a "
		    "client's name: \"Old?Mail*=IDLE:MOVE\"",
		    word);
}

/* A TLS_REQUIRED that the file switches ON must not be without effect, and one that is off not contradict others. */
static void rules_tls_required(struct settings_load *l, enum protocol p, bool on, unsigned line, const char *label)
{
	const struct protocol_settings s = protocol_settings(l->set, p);

	if (!on && s.has_certificate && s.served && strcmp(s.tls_verifypeer, "REQUIREPEER") == 0)
		settings_report(l->warnings, &l->text, line,
		    "%s = 0: who logs in without TLS shows no certificate, whatever TLS_VERIFYPEER = \"REQUIREPEER\" "
		    "demands of others; set it to 1",
		    label);
	if (line != 0 && on && !s.tls_required)
		settings_report(l->errors, &l->text, line,
		    "%s has no effect without TLS_CERTFILE: passwords would cross the network in clear; set "
		    "TLS_CERTFILE, or this to 0",
		    label);
	if (s.served && s.tls_required && !s.starttls && s.tls_ports[0] == '\0' && s.header_ports[0] == '\0')
		settings_report(l->warnings, &l->text, line,
		    "%s = 1, and clients have no way to TLS (STARTTLS is off, SSLPORT is closed): all but those "
		    "of this machine and of PROXY_TRUSTED are refused; switch one of them on, or set this to 0",
		    label);
}

static void rules_maildirpath(struct settings_load *l, unsigned line, const char *label, const char *path)
{
	if (path[0] == '\0' || path[0] == '/' || strcmp(path, "..") == 0 || strncmp(path, "../", 3) == 0 ||
	    strstr(path, "/../") != NULL || (strlen(path) > 2 && strcmp(path + strlen(path) - 3, "/..") == 0))
		settings_report(l->errors, &l->text, line,
		    "%s = \"%s\": expected a path inside the home folder, such as \"Maildir\"", label, path);
}

static void rules_imap(struct settings_load *l)
{
	const struct settings *set = l->set;

	rules_capability(l, set->imapd_IMAP_CAPABILITY, "IMAP_CAPABILITY");
	if (set->imapd_IMAP_CAPABILITY_TLS[0] != '\0')
		rules_capability(l, set->imapd_IMAP_CAPABILITY_TLS, "IMAP_CAPABILITY_TLS");
	rules_withheld(l);
	rules_tls_required(l, PROTOCOL_IMAP, set->imapd_ssl_IMAP_TLS_REQUIRED,
	    SETTINGS_LINE(l, imapd_ssl_IMAP_TLS_REQUIRED), "imapd-ssl.IMAP_TLS_REQUIRED");
	rules_maildirpath(l, SETTINGS_LINE(l, imapd_MAILDIRPATH), "imapd.MAILDIRPATH", set->imapd_MAILDIRPATH);
	if (set->imapd_IMAP_INACTIVITY_TIMEOUT < 30 * 60)
		WARNING(l, imapd_IMAP_INACTIVITY_TIMEOUT,
		    "imapd.IMAP_INACTIVITY_TIMEOUT is shorter than the 30 minutes that RFC 3501 requires, so idle "
		    "clients will lose their sessions");
}

static void rules_pop3auth(struct settings_load *l, const char *list, unsigned line, const char *label)
{
	unsigned said = 0;
	char word[WORD_MAX_LEN];

	while (next_word(&list, word))
		settings_rules_mechanism(l, PROTOCOL_POP3, line, label, word, &said);
}

static void rules_pop3_capability(struct settings_load *l, const char *list)
{
	char word[WORD_MAX_LEN];
	unsigned n = 0;

	while (next_word(&list, word)) {
		n++;
		if (strcasecmp(word, "auto") != 0 && capability_pop3_line(word, strlen(word)) == NULL)
			MISTAKE(l, pop3d_POP3_CAPABILITY,
			    "pop3d.POP3_CAPABILITY: %s is none of \"auto\", %s; SASL, USER and STLS are announced "
			    "where "
			    "they are true",
			    word, capability_ours(PROTOCOL_POP3));
	}
	if (n > 1 && capability_is_auto(l->set->pop3d_POP3_CAPABILITY))
		MISTAKE(l, pop3d_POP3_CAPABILITY,
		    "pop3d.POP3_CAPABILITY: \"auto\" stands alone: the rest is found out");
}

static void rules_pop3(struct settings_load *l)
{
	const struct settings *set = l->set;

	rules_pop3auth(l, set->pop3d_POP3AUTH, SETTINGS_LINE(l, pop3d_POP3AUTH), "pop3d.POP3AUTH");
	rules_pop3auth(l, set->pop3d_POP3AUTH_TLS, SETTINGS_LINE(l, pop3d_POP3AUTH_TLS), "pop3d.POP3AUTH_TLS");
	rules_pop3_capability(l, set->pop3d_POP3_CAPABILITY);
	rules_tls_required(l, PROTOCOL_POP3, set->pop3d_ssl_POP3_TLS_REQUIRED,
	    SETTINGS_LINE(l, pop3d_ssl_POP3_TLS_REQUIRED), "pop3d-ssl.POP3_TLS_REQUIRED");
	rules_maildirpath(l, SETTINGS_LINE(l, pop3d_MAILDIRPATH), "pop3d.MAILDIRPATH", set->pop3d_MAILDIRPATH);
	if (set->pop3d_POP3_INACTIVITY_TIMEOUT < 10 * 60)
		WARNING(l, pop3d_POP3_INACTIVITY_TIMEOUT,
		    "pop3d.POP3_INACTIVITY_TIMEOUT is shorter than the 10 minutes that RFC 1939 requires");
}

static void (*const rules_protocol[PROTOCOL_COUNT])(struct settings_load *l) = {
#define P(id, name, ...) [PROTOCOL_##id] = rules_##name,
	PROTOCOLS(P)
#undef P
};

/* ------------------------------------------------------------------------------------------------------------
 * Accounts */

/* The check of root on behalf of AUTH_USER. */
static bool readable_by(const struct stat *st, const char *user)
{
	const struct passwd *pw = getpwnam(user);
	gid_t groups[256];
	int n = ARRAY_LEN(groups);
	mode_t dir = S_ISDIR(st->st_mode) ? 1 : 0;

	if (pw == NULL)
		return true; /* told elsewhere */
	if (st->st_uid == pw->pw_uid)
		return (st->st_mode & (04 | dir) << 6) == (04 | dir) << 6;
	if (getgrouplist(user, pw->pw_gid, groups, &n) < 0)
		n = MIN(n, (int)ARRAY_LEN(groups));
	for (int i = 0; i < n; i++)
		if (groups[i] == st->st_gid)
			return (st->st_mode & (04 | dir) << 3) == (04 | dir) << 3;
	return (st->st_mode & (04 | dir)) == (04 | dir);
}

bool settings_auth_reads(const struct settings_load *l, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return false;
	return geteuid() == 0 ? readable_by(&st, l->set->node_AUTH_USER) :
	                        access(path, S_ISDIR(st.st_mode) ? R_OK | X_OK : R_OK) == 0;
}

static void rules_userdb(struct settings_load *l)
{
	const char *path = l->set->authuserdb_USERDB, *user = l->set->node_AUTH_USER;
	struct stat st;

	if (path[0] == '\0') {
		MISTAKE(l, authuserdb_USERDB, "authuserdb.USERDB is empty; set it to the path of the account file");
	} else if (stat(path, &st) != 0 && errno == ENOENT) {
		/* The node starts anyway: logins fail temporarily until the file appears. */
		WARNING(l, authuserdb_USERDB,
		    "authuserdb.USERDB: %s does not exist: nobody can log in until it does; create it with waypost's "
		    "userdb command",
		    path);
	} else if (stat(path, &st) != 0) {
		MISTAKE(l, authuserdb_USERDB, "authuserdb.USERDB: %s: %s", path, strerror(errno));
	} else if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		MISTAKE(l, authuserdb_USERDB, "authuserdb.USERDB: %s is neither a file nor a folder", path);
	} else if (!settings_auth_reads(l, path)) {
		MISTAKE(l, authuserdb_USERDB, "authuserdb.USERDB: %s is not readable by %s%s%s", path,
		    geteuid() == 0 ? user : "this user", geteuid() == 0 ? "; run: chmod 640 and chgrp " : "",
		    geteuid() == 0 ? user : "");
	} else if ((st.st_mode & 007) != 0 && S_ISREG(st.st_mode)) {
		WARNING(l, authuserdb_USERDB,
		    "authuserdb.USERDB: %s is readable by everybody on this machine; run: chmod o= %s", path, path);
	}
}

/* DEFAULTOPTIONS applies to every account that does not override it: warns of options that refuse all logins, and of
 * those that have an effect in Courier but not here. */
static void rules_options(struct settings_load *l)
{
	const char *options = l->set->authdaemonrc_DEFAULTOPTIONS;
	char why[PEER_TLS_WHY_MAX];

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const struct protocol_info *info = &protocols[p];

		if (!l->set->has[p] || !info->has_login)
			continue;
		if (options_is_on(options, info->option_off))
			WARNING(l, authdaemonrc_DEFAULTOPTIONS,
			    "authdaemonrc.DEFAULTOPTIONS contains %s: %s logins of all accounts are refused, except "
			    "where an account sets %s=0",
			    info->option_off, info->title, info->option_off);
		else if (options_is_on(options, info->option_insecure) && !protocol_settings(l->set, p).has_certificate)
			WARNING(l, authdaemonrc_DEFAULTOPTIONS,
			    "authdaemonrc.DEFAULTOPTIONS contains %s: %s logins of all accounts are refused, because "
			    "there is no TLS_CERTFILE, unless they come through a node or proxy that says the client "
			    "uses TLS (PROXY_TRUSTED); set TLS_CERTFILE, remove it, or set %s=0",
			    info->option_insecure, info->title, info->option_insecure);
	}
	if (peer_tls_is_mistake(options, why))
		MISTAKE(l, authdaemonrc_DEFAULTOPTIONS, "authdaemonrc.DEFAULTOPTIONS: %s", why);
	if (options_get(options, "sharedgroup", NULL, 0))
		WARNING(l, authdaemonrc_DEFAULTOPTIONS,
		    "authdaemonrc.DEFAULTOPTIONS: sharedgroup has no effect; not in this version: shared folders");
}

#define OURS "authuserdb, authldap, authmysql, authpgsql, authsqlite, authdaemon, authpipe or authpam"

static void rules_auth(struct settings_load *l)
{
	static const char *const later[] = { "authpwd", "authshadow", "authcustom", NULL };
	const char *p = l->set->authdaemonrc_authmodulelist;
	char word[WORD_MAX_LEN];
	bool userdb = false, any = false;

	for (; next_word(&p, word); any = true) {
		if (strcmp(word, "authuserdb") == 0)
			userdb = true;
		else if (settings_rules_directory(l, word))
			continue;
		else if (one_of(word, later))
			MISTAKE(l, authdaemonrc_authmodulelist,
			    "authdaemonrc.authmodulelist: %s is not supported; use " OURS "%s", word,
			    strcmp(word, "authcustom") != 0 ? " (authpam has the same accounts)" : "");
		else
			MISTAKE(l, authdaemonrc_authmodulelist, "authdaemonrc.authmodulelist: %s is unknown; use " OURS,
			    word);
	}
	if (!any)
		MISTAKE(l, authdaemonrc_authmodulelist,
		    "authdaemonrc.authmodulelist is empty, so nobody could log in; set it to \"authuserdb\"");
	if (userdb)
		rules_userdb(l);
}

/* ------------------------------------------------------------------------------------------------------------
 * The pool secret */

/* Checks who can read the secret in PATH. */
static void rules_mode(struct settings_load *l, unsigned line, const char *path, const char *what)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return;
	if ((st.st_mode & 007) != 0)
		settings_report(l->errors, &l->text, line,
		    "%s: %s is readable by everybody on this machine; run: chmod 600 %s, and replace the secret", what,
		    path, path);
	else if ((st.st_mode & 070) != 0)
		settings_report(l->warnings, &l->text, line, "%s: %s is readable by its group; run: chmod 600 %s", what,
		    path, path);
}

static void rules_secret(struct settings_load *l)
{
	struct settings *set = l->set;
	struct str why = STR_INIT;
	char *secret;

	if (set->node_POOL_SECRETFILE[0] != '\0') {
		secret = pool_secret_read(set->node_POOL_SECRETFILE, &why);
		if (secret == NULL) {
			MISTAKE(l, node_POOL_SECRETFILE, "POOL_SECRETFILE: %s", str_cstr(&why));
		} else {
			mem_free(&set->pool_secret);
			set->pool_secret = secret;
			rules_mode(l, SETTINGS_LINE(l, node_POOL_SECRETFILE), set->node_POOL_SECRETFILE,
			    "POOL_SECRETFILE");
		}
		str_fini(&why);
		return;
	}
	if (settings_offer_scram(set))
		settings_report(l->warnings, &l->text, 0,
		    "SCRAM without a pool secret: salts sent for unknown users change with each restart and differ "
		    "between nodes, which reveals who has an account; set POOL_SECRETFILE");
}

void settings_rules_no_secret(struct settings_load *l, struct str *out)
{
	if (l->set->node_POOL_SECRETFILE[0] == '\0' && protocols_forwarded(l->set) != 0)
		settings_report(out, &l->text, 0,
		    "IMAP_PROXY or POP3_PROXY is on, and POOL_SECRETFILE is not set: %s, and logins that tell no "
		    "password cannot be forwarded; README.proxy, section 2, says how to create it",
		    l->set->proxy_PROXY_TRUSTED[0] == '\0' ?
		        "for forwarded logins, nodes log and count each other's addresses instead of the clients'" :
		        "forwarded logins are believed by their address alone");
}

/* Reports each line of TEXT to OUT. */
static void report_lines(struct settings_load *l, struct str *out, unsigned line, const char *label, const char *text)
{
	for (size_t len; *text != '\0'; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		settings_report(out, &l->text, line, "%s: %.*s", label, (int)len, text);
	}
}

static void rules_access(struct settings_load *l, enum protocol p)
{
	const char *path = protocol_settings(l->set, p).access_file;
	struct str mistakes = STR_INIT, odd = STR_INIT, label = STR_INIT;
	unsigned line;
	char *rules;

	if (path[0] == '\0')
		return;
	str_addf(&label, "%s.%s", protocols[p].group, protocols[p].access_file);
	line = settings_load_line_of(l, protocols[p].group, protocols[p].access_file);
	if ((rules = access_file_read(path, &mistakes, &odd)) != NULL) {
		mem_free(&l->set->access[p]);
		l->set->access[p] = rules;
	}
	report_lines(l, l->errors, line, str_cstr(&label), str_cstr(&mistakes));
	report_lines(l, l->warnings, line, str_cstr(&label), str_cstr(&odd));
	str_fini(&mistakes);
	str_fini(&odd);
	str_fini(&label);
}

/* This node listens there itself: not the only way to a loop, but the one that can be seen here. */
static bool is_own_port(const struct protocol_settings *s, const struct net_addr *a)
{
	char address[SETTINGS_ADDRESS_MAX];
	const char *list = s->ports;
	struct net_addr own;
	uint16_t port;

	while (settings_port_next(&list, address, &port)) {
		const char *at = address[0] != '\0' ? address : s->address;

		if (port == a->port &&
		    ((strcmp(at, "0") == 0 && is_of_this_machine(a)) ||
		        (net_addr_parse(&own, at, port) && net_addr_same_ip(&own, a))))
			return true;
	}
	return false;
}

static void rules_local_socket(struct settings_load *l, unsigned line, const char *label, const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		settings_report(l->warnings, &l->text, line,
		    "%s: there is no socket %s (%s): logins fail temporarily until its server is started", label, path,
		    strerror(errno));
	else if (!S_ISSOCK(st.st_mode))
		settings_report(l->errors, &l->text, line, "%s: %s is no socket", label, path);
}

static void rules_local_program(struct settings_load *l, unsigned line, const char *label, const struct local_server *s)
{
	struct local_server_command c;
	char why[PROGRAM_WHY_MAX];

	local_server_words(s, &c);
	if (!program_is_trusted(c.argv[0], why))
		settings_report(l->errors, &l->text, line, "%s: the program is not executed: %s", label, why);
}

/* Only root may listen at ports below it. */
enum { PORT_OF_ANYBODY = 1024 };

/* Who serves the accounts whose mail is here. */
static void rules_local_server(struct settings_load *l, enum protocol p)
{
	const struct protocol_settings s = protocol_settings(l->set, p);
	struct local_server server;
	char label[64];
	const char *name = protocols[p].local_server, *why = local_server_parse(&server, s.local_server);
	unsigned line;

	if (!protocols[p].has_login)
		return;
	snprintf(label, sizeof(label), "%s.%s", protocols[p].group, name);
	line = settings_load_line_of(l, protocols[p].group, name);
	if (why != NULL)
		settings_report(l->errors, &l->text, line, "%s = \"%s\": %s", label, s.local_server, why);
	else if (server.kind == LOCAL_SERVER_UNIX)
		rules_local_socket(l, line, label, server.sun.sun_path);
	else if (server.kind == LOCAL_SERVER_EXEC)
		rules_local_program(l, line, label, &server);
	else if (server.kind == LOCAL_SERVER_INET && is_own_port(&s, &server.addr))
		settings_report(l->errors, &l->text, line,
		    "%s = \"%s\": this node listens there itself; give the other server a port of its own", label,
		    s.local_server);
	else if (server.kind == LOCAL_SERVER_INET && !net_addr_in_any(&server.addr, "127.0.0.0/8 ::1"))
		settings_report(l->warnings, &l->text, line,
		    "%s = \"%s\" is not a loopback address: passwords go there without TLS. For a server elsewhere, "
		    "use mailhost and PROXY_TLS",
		    label, s.local_server);
	else if (server.kind == LOCAL_SERVER_INET && server.addr.port >= PORT_OF_ANYBODY)
		settings_report(l->warnings, &l->text, line,
		    "%s = \"%s\": while that server is down, any user of this machine can listen there and be told "
		    "passwords; use unix:PATH, or a port below %d",
		    label, s.local_server, PORT_OF_ANYBODY);
}

/* The cache that the pool shares. */
static void rules_shared(struct settings_load *l)
{
	const char *p = l->set->authdaemonrc_AUTH_CACHE_MEMCACHED;
	char host[SETTINGS_HOST_MAX];
	uint16_t port;
	unsigned n = 0;
	int got;

	while ((got = settings_server_next(&p, host, &port)) == 1)
		n++;
	if (got != 0)
		MISTAKE(l, authdaemonrc_AUTH_CACHE_MEMCACHED,
		    "authdaemonrc.AUTH_CACHE_MEMCACHED: server %u is not valid; write HOST, HOST:PORT, [IPV6]:PORT or "
		    "the path of a socket",
		    n + 1);
	else if (n > SETTINGS_SERVERS_MAX)
		MISTAKE(l, authdaemonrc_AUTH_CACHE_MEMCACHED,
		    "authdaemonrc.AUTH_CACHE_MEMCACHED: %u servers; at most %d are allowed", n, SETTINGS_SERVERS_MAX);
	else if (n != 0 && l->set->pool_secret[0] == '\0')
		MISTAKE(l, authdaemonrc_AUTH_CACHE_MEMCACHED,
		    "authdaemonrc.AUTH_CACHE_MEMCACHED needs a pool secret to seal the entries; set POOL_SECRETFILE, "
		    "the same on all nodes");
}

void settings_rules(struct settings_load *l)
{
	rules_node(l);
	rules_proxy(l);
	rules_ports(l);
	for (int p = 0; p < PROTOCOL_COUNT; p++)
		if (l->set->has[p]) {
			rules_protocol[p](l);
			rules_access(l, p);
			rules_local_server(l, (enum protocol)p);
		}
	rules_auth(l);
	rules_options(l);
	rules_secret(l);
	rules_shared(l);
	apply_debug(l->set);
}
