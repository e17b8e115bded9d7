/* The header of the PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt), by which a proxy in front
 * tells whom a connection is from. It stands before all else, also before TLS. */
#ifndef LIB_PROXY_HEADER_H
#define LIB_PROXY_HEADER_H

#include "lib/net.h"
#include "lib/str.h"

enum {
	PROXY_HEADER_MAX = 2048, /* bytes of one, with its end: version 1 has at most 107, version 2 some hundred */
	PROXY_HEADER_TEXT_MAX = 128
};

enum proxy_header_state {
	PROXY_HEADER_MORE, /* it does not end here yet */
	PROXY_HEADER_DONE,
	PROXY_HEADER_BAD /* this is none, or one that nothing can be made of */
};

/* What a header says. */
struct proxy_header_facts {
	/* It speaks of another connection than that of the proxy itself (health checks). The rest is set only then. */
	bool proxied;
	struct net_addr client, server; /* with ports; version 1's UNKNOWN and version 2's UNSPEC and UNIX: family 0 */
	bool tls;                       /* the client speaks TLS to the proxy: */
	bool tls_verified;              /* it has shown a certificate, which the proxy has found good */
	char tls_version[PROXY_HEADER_TEXT_MAX], tls_cipher[PROXY_HEADER_TEXT_MAX]; /* "": not told */
	char unique_id[PROXY_HEADER_TEXT_MAX + 1]; /* of the connection; "": not told */
};

/* A header that is being read; all-zero at first. */
struct proxy_header {
	size_t len;
	char data[PROXY_HEADER_MAX];
};

/* Takes from the LEN bytes at P, which follow what was taken before, those that belong to the header, and no more:
 * *USED of them. Texts in F are printable. F is set with PROXY_HEADER_DONE only. */
enum proxy_header_state proxy_header_take(struct proxy_header *h, const char *p, size_t len, size_t *used,
    struct proxy_header_facts *f);

/* Appends the header of version VERSION (1 or 2) that says F, of which `proxied` is taken for true; unique_id is left
 * out, and in version 1, which has no room for it, TLS. Where one address is IPv4 and the other IPv6, that of IPv4 is
 * written as a mapped one. */
void proxy_header_write(struct str *out, unsigned version, const struct proxy_header_facts *f);

/* The LEN bytes at P, the first of a connection, are those of a header. For where none is expected. */
bool proxy_header_begins(const char *p, size_t len);

#endif
