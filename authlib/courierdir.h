/* Lookups in the protocol of authlib/courier.h: connection, query, retry on a new connection if an old one is lost,
 * verdict. The kind of server provides two functions. */
#ifndef AUTHLIB_COURIERDIR_H
#define AUTHLIB_COURIERDIR_H

#include "authlib/courier.h"
#include "authlib/directory.h"

enum courier_open {
	COURIER_CLOSED, /* there is no connection: WHY */
	COURIER_NEW,    /* made just now */
	COURIER_OLD     /* it has answered before: losing it now is not a failure yet */
};

struct courier_kind {
	/* Opens a connection before DEADLINE (clock_ms()), with non-blocking descriptors to write to and to read
	 * from. */
	enum courier_open (*open)(void *conn, int *to, int *from, int64_t deadline, struct str *why);
	/* Closes it, if it is open. How it ended may be appended to WHY. */
	void (*close)(void *conn, struct str *why);
	bool keeps;        /* it can be reused */
	bool takes_client; /* a query may be preceded by the client's address (authlib 0.71 and later) */
};

struct courierdir {
	const struct courier_kind *kind;
	void *conn;
	struct directory servers; /* one */
	int64_t timeout;          /* ms, for a connection and an answer */
};

/* For struct auth_driver, of a driver whose CTX is the struct courierdir. */
enum auth_result courierdir_lookup(void *ctx, const struct auth_question *q, struct account *out);
enum auth_result courierdir_verify(void *ctx, const struct auth_question *q, struct account *out);
bool courierdir_enumerate(void *ctx, auth_account_fn *fn, void *arg, struct str *why);

#endif
