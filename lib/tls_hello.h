/* The first message of a TLS client, as it comes: is all of it there? So much of TLS is looked at before a stranger
 * gets anything of libssl, which sets aside tens of kilobytes at the first byte. A message may be cut into records,
 * and records into packets, anywhere (RFC 8446 5.1). */
#ifndef LIB_TLS_HELLO_H
#define LIB_TLS_HELLO_H

#include "lib/base.h"

enum { TLS_HELLO_MAX = 16 * 1024 }; /* bytes of the message, and as many of the heads of its records */

enum tls_hello_state {
	TLS_HELLO_MORE,  /* not all of it, as far as can be seen */
	TLS_HELLO_WHOLE, /* all of it, and perhaps more */
	TLS_HELLO_OTHER, /* it is none: libssl will say why */
	TLS_HELLO_LONG   /* longer than TLS_HELLO_MAX, or cut into too many records */
};

/* All zero at first. */
struct tls_hello {
	uint8_t head[5], head_len; /* of the record */
	uint8_t message_head[4];
	uint16_t record_left; /* bytes of the record that are still to come */
	uint32_t have, heads; /* bytes of the message, and of heads of records, so far */
};

/* The next LEN bytes at P have come; none after another answer than MORE. */
enum tls_hello_state tls_hello_add(struct tls_hello *h, const void *p, size_t len);

#endif
