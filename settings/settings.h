/* The settings of a node, as every role sees them: one struct made from one table (settings/settings_tbl.h). A setting
 * GROUP.NAME is the member group_NAME ('-' in a group's name is '_' here; settings outside any group belong to the
 * group "node"): set->imapd_PORT, set->imapd_ssl_SSLPORT, set->proxy_PROXY_TIMEOUT, set->node_RUNDIR. Values have been
 * checked against the table and need no further test. */
#ifndef SETTINGS_SETTINGS_H
#define SETTINGS_SETTINGS_H

#include "lib/str.h"
#include "settings/protocol.h"
#include "settings/settings_tbl.h"

/* C types of the table's types. Strings are never NULL ("" = not set). SIZE is in bytes, TIME in seconds.
 * LIST: words with one blank between them. PORTS: as in the file, valid. OCTAL: octal digits. */
typedef char *settings_STR;
typedef char *settings_PATH;
typedef char *settings_LIST;
typedef char *settings_ADDR;
typedef char *settings_PORTS;
typedef char *settings_PORTMAP;
typedef char *settings_OCTAL;
typedef char *settings_WORD;
typedef int64_t settings_INT;
typedef bool settings_BOOL;
typedef int64_t settings_SIZE;
typedef int64_t settings_TIME;

enum { NODE_ID_LEN = 32 };

struct settings {
#define SETTING(group, name, type, ...) settings_##type group##_##name;
	SETTINGS_TABLE(SETTING)
#undef SETTING
	/* Whether the file has GROUP and GROUP-ssl, for each protocol. A protocol without its group is not served. */
	bool has[PROTOCOL_COUNT], has_tls[PROTOCOL_COUNT];
	/* Names that mean this node (PROXY_HOSTNAME, gethostname()), without trailing dots; self[0] is the one used
	 * in texts. self[1] is "" if both are the same. */
	char *self[2];
	/* The node's id, NODE_ID_LEN hexadecimal digits: created by the master when it starts, and the same until it
	 * ends, through reloads and restarts of roles; "" without a daemon (tools). Not a secret: every greeting has
	 * it. */
	char *node_id;
	/* Where the daemon listens, for authd alone: lines "PROTOCOL NETWORK PORT" (enum protocol; net_addr_in()); ""
	 * without a daemon. */
	char *listens;
	/* The rules of the access files (settings/access_file.h), for login workers alone; "" = none. */
	char *access[PROTOCOL_COUNT];
	/* settings_same() of the file, for authd alone; "" without a file. */
	char *same;
	/* The lines of POOL_SECRETFILE (settings/pool_secret.h); "" = none. Only authd gets them. */
	char *pool_secret;
	/* There is a pool secret: every role may know that. */
	bool has_pool_secret;
};

/* Which roles get a setting: a role sees only what it needs. */
enum {
	SETTINGS_FOR_MASTER = 1,
	SETTINGS_FOR_WORKER = 2,
	SETTINGS_FOR_AUTHD = 4,
	SETTINGS_FOR_SPAWN = 8,
	SETTINGS_FOR_KEY = 16 /* what every role needs, and nothing else */
};

/* Reads FILE. Every mistake found is appended to ERRORS as one line "FILE:LINE: what, hint\n"; what is odd but usable
 * is appended to WARNINGS in the same form. NULL if there was any mistake. Free with settings_free(). */
struct settings *settings_load(const char *file, struct str *errors, struct str *warnings);
/* The same, but returns what could be read of FILE despite mistakes, never NULL: for tools that only need to find the
 * daemon. */
struct settings *settings_load_anyway(const char *file, struct str *errors, struct str *warnings);
/* Appends the lines of WARNINGS to OUT, each after "warning: ": for output that also has errors. */
void settings_add_warnings(struct str *out, const char *warnings);
/* All defaults, as from an empty file: for tests and tools. */
struct settings *settings_defaults(void);
/* Frees *S (may be NULL), secrets wiped, and empties the pointer. */
void settings_free(struct settings **s);
/* A memory file (descriptor, to be closed by the caller) that holds what ROLES (one SETTINGS_FOR_ bit) may see. -1 with
 * errno if there is no descriptor or no memory. */
int settings_write(const struct settings *s, unsigned roles);
/* Reads back what settings_write() wrote, from its start; members that the role may not see have their
 * defaults. NULL if it is damaged. FD stays open. */
struct settings *settings_read(int fd);

enum { SETTINGS_DIGEST_LEN = 32 };

/* A digest of everything that affects the answers of directories: the chain of modules and the groups of the
 * directories. Two processes with the same digest get the same answers. */
void settings_directories_digest(const struct settings *s, uint8_t out[SETTINGS_DIGEST_LEN]);

enum { SETTINGS_ADDRESS_MAX = 64 };
/* Bytes with NUL of PROXY_MASTER_USER and PROXY_MASTER_PASSWORD. */
enum { SETTINGS_MASTER_USER_MAX = 512, SETTINGS_MASTER_PASSWORD_MAX = 1024 };

/* Takes the next entry of a PORTS setting at *LIST, which advances: its port, and in ADDRESS where to listen if the
 * entry says so ("127.0.0.9.2143"; numeric), else "" (then ADDRESS of the group counts). False at the end. A malformed
 * entry has port 0; settings_load() refuses those. */
bool settings_port_next(const char **list, char address[SETTINGS_ADDRESS_MAX], uint16_t *port);
/* The port of the first entry (the port of the peers, where nothing else is set). */
uint16_t settings_first_port(const char *list);
/* PORT is one of those of LIST, a PORTS setting. */
bool settings_has_port(const char *list, uint16_t port);
/* Connections of protocol P at PORT begin with a header of the PROXY protocol. */
bool settings_has_header(const struct settings *set, enum protocol p, uint16_t port);
struct net_addr;
/* What is sent to A crosses no network that strangers listen at: it is this machine, or one of PROXY_TRUSTED. */
bool settings_is_local(const struct settings *set, const struct net_addr *a);
enum { SETTINGS_SERVERS_MAX = 16, SETTINGS_HOST_MAX = 256, SETTINGS_SOCKET_PATH_MAX = 108 /* of sockaddr_un */ };

/* Takes the next word of a LIST of servers at *LIST, which advances: HOST, HOST:PORT, [IPV6]:PORT, or the path of a
 * socket (PORT is 0 then, as where none is given). 1: a valid one; 0: the end; -1: a malformed one. */
int settings_server_next(const char **list, char host[SETTINGS_HOST_MAX], uint16_t *port);
/* The service name that a PORTMAP setting (imapd_AUTHSERVICE) gives for logins at the local port PORT, in BUF of
 * SIZE bytes (32 are enough), or NORMAL. */
const char *settings_authservice(const char *map, uint16_t port, const char *normal, char *buf, size_t size);
/* Clients by P are offered logins by MECHANISM ("CRAM-MD5", "APOP"), with TLS or without. False if P is not served. */
bool settings_offers(const struct settings *set, enum protocol p, const char *mechanism);
/* Some protocol offers a SCRAM mechanism. */
bool settings_offer_scram(const struct settings *set);
/* The system user NAME, which SETTING names, exists and can run a role: it is not root. If not, ERR (ERRSIZE bytes)
 * says what to do. */
bool settings_user_fit(const char *setting, const char *name, char *err, size_t errsize);
/* More checks, of what this folder knows nothing of: reports as its own do (settings/settings_load.h). What it adds to
 * FACTS, whole lines, is shown if there is no mistake. */
struct settings_load;
typedef void settings_check_fn(struct settings_load *l, struct str *facts);
/* The output of `waypost check` for FILE: mistakes, warnings, the system's limits, and last "FILE: no mistakes found"
 * or their number. Also checks whether host names can be resolved, which may block, and what MORE (may be NULL) does.
 * Returns the exit status of the tool: 0, or 1 if there are mistakes. */
int settings_check(const char *file, struct str *out, settings_check_fn *more);

#endif
