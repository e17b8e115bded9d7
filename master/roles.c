/* The table of roles. */
#include "master/roles.h"

#include <stdio.h>
#include <string.h>

#include "authd/authd.h"
#include "authd/authworker.h"
#include "imapd/imap_login.h"
#include "keyd/keyd.h"
#include "lib/die.h"
#include "lib/num.h"
#include "login/worker.h"
#include "master/spawn.h"
#include "pop3d/pop3_login.h"

static int login_worker_main(const struct role_start *who)
{
	static const struct login_dialect *const dialects[PROTOCOL_COUNT] = {
#define DIALECT_LOGIN(name) &name##_login_dialect
#define DIALECT_NO_LOGIN(name) NULL
#define P(id, name, title, group, kind, ...) [PROTOCOL_##id] = DIALECT_##kind(name),
		PROTOCOLS(P)
#undef P
	};

	return worker_main(who, dialects);
}

static const struct {
	const char *name;
	int (*run)(const struct role_start *who);
} roles[ROLE_COUNT] = {
	[ROLE_WORKER] = { "worker", login_worker_main },
	[ROLE_AUTHD] = { "authd", authd_main },
	[ROLE_AUTHWORKER] = { "auth-worker", authworker_main },
	[ROLE_SPAWN] = { "spawn", spawn_main },
	[ROLE_KEY] = { "key", keyd_main },
};

const char *roles_name(enum role role)
{
	return role == ROLE_MASTER ? "waypostd" : roles[role].name;
}

int roles_run(int argc, char **argv)
{
	struct role_start who = { 0 };
	uint64_t slot, generation;

	if (argc != 5 || !num_parse_str(argv[3], UINT32_MAX, &slot) || !num_parse_str(argv[4], UINT64_MAX, &generation))
		die_fatal("%s is for waypostd's own use", ROLES_OPTION);
	who.slot = (unsigned)slot;
	who.generation = generation;
	for (int i = 0; i < ROLE_COUNT; i++)
		if (roles[i].name != NULL && strcmp(roles[i].name, argv[2]) == 0) {
			who.role = (enum role)i;
			return roles[i].run(&who);
		}
	die_fatal("there is no role \"%s\"", argv[2]);
}
