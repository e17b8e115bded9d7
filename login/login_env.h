/* What all logins of a worker share: whom they ask, and the list of them. The worker makes it (login/worker.c). */
#ifndef LOGIN_LOGIN_ENV_H
#define LOGIN_LOGIN_ENV_H

#include <ev.h>

#include "lib/str.h"
#include "settings/settings.h"

struct login;

enum { LOGIN_GREETINGS = 8 /* greetings of a protocol: what they depend on, besides the settings, is three bits */ };

struct login_env {
	struct ev_loop *loop;
	const struct settings *set;
	struct request_table *requests;
	struct authd_link *authd;
	struct spawn_link *spawn;
	struct relays *relays;
	struct certificates *certificates;
	struct tls_peers *tls_peers;
	struct source *source; /* where connections to peers come from */
	struct stranger_limits *strangers;
	struct header_wait *headers;
	/* A login has been freed. May be NULL. */
	void (*ended)(void *arg);
	void *arg;
	bool draining; /* new clients are greeted with "not now" */
	/* The logins': */
	struct login *logins;
	unsigned nlogins;
	struct str common[PROTOCOL_COUNT]; /* what all servers of the pool can do, as authd says */
	/* Greetings without a challenge, each as it was made once: the settings of a worker never change, and with
	 * another `common` they are made anew. */
	struct str greeting[PROTOCOL_COUNT][LOGIN_GREETINGS];
};

#endif
