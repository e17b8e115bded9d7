/* What all servers of the pool can do after login, by protocol: learned from what they list when a login has succeeded
 * there, for IMAP_CAPABILITY = "auto" and POP3_CAPABILITY = "auto". Nothing is promised that one of them lacks, also
 * while it is down.
 *
 * A server (host, port, protocol) belongs to the pool as soon as an account is routed to an address of it, and until
 * none was for POOL_CAPABILITY_UNUSED. As long as its list is not known it counts as one that can do nothing but the
 * protocol; but if there is none within POOL_CAPABILITY_UNKNOWN, it is a mistake in somebody's mailhost, or a server
 * that never came, and does not count until it has one. Where there is no room for a server, it counts as one that is
 * not known. */
#ifndef AUTHD_POOL_CAPABILITY_H
#define AUTHD_POOL_CAPABILITY_H

#include "lib/str.h"
#include "settings/capability.h"

enum {
	POOL_CAPABILITY_SERVERS = 1000,          /* of all protocols */
	POOL_CAPABILITY_UNUSED = 30 * 24 * 3600, /* seconds */
	POOL_CAPABILITY_UNKNOWN = 24 * 3600,
	POOL_CAPABILITY_ASK_AGAIN = 3600, /* after so long a server is asked for its list anew */
	POOL_CAPABILITY_FILE_MAX = POOL_CAPABILITY_SERVERS * (CAPABILITY_LIST_MAX + 512) /* bytes */
};

struct pool_capability;

struct pool_capability *pool_capability_new(void);
/* *P may be NULL. */
void pool_capability_free(struct pool_capability **p);
/* A login by PROTOCOL goes to HOST (of a mailhost) at PORT. NOW in unix seconds here and below. Returns AUTH_LIST_ASK
 * if the server's list is wanted, else capability_hash() of the one that is known. */
uint32_t pool_capability_routed(struct pool_capability *p, enum protocol protocol, const char *host, uint16_t port,
    uint64_t now);
/* A login has succeeded there, and the server's list is LIST. Servers to which no login was
 * routed are ignored. */
void pool_capability_told(struct pool_capability *p, enum protocol protocol, const char *host, uint16_t port,
    const char *list, uint64_t now);
/* Forgets what is too old, and finds anew what all have in common. A bit for each protocol for which that is another
 * list than before. */
unsigned pool_capability_tick(struct pool_capability *p, uint64_t now);
/* What all have in common, as of the last tick: for IMAP with IMAP4rev1 in any case. Valid until the next tick. */
const char *pool_capability_common(const struct pool_capability *p, enum protocol protocol);
/* Servers that count although their list is not known: how many, and their texts "imap:host:port" are appended to OUT,
 * with blanks between. */
unsigned pool_capability_list_unknown(const struct pool_capability *p, uint64_t now, struct str *out);

/* Something has changed since the last pool_capability_write() that a file should keep. */
bool pool_capability_is_new(const struct pool_capability *p);
/* What was written is lost. */
void pool_capability_renew(struct pool_capability *p);
/* Appends the text of a file. */
void pool_capability_write(struct pool_capability *p, struct str *out);
/* Takes what such a file, LEN bytes at TEXT, has; P is new. False: it is none, or damaged, and nothing of it was
 * taken. */
bool pool_capability_read(struct pool_capability *p, const char *text, size_t len, uint64_t now);

#endif
