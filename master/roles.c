#include "master/roles.h"

#include <stdio.h>
#include <string.h>

#include "lib/die.h"
#include "lib/num.h"
#include "master/spawn.h"
#include "master/spawn.h"

static const struct role_hooks no_hooks;

/* A role that is there and does nothing. */
static int idle_main(const struct role_start *who)
{
	static struct role_ctx ctx;

	role_init(&ctx, who, "waypostd", &no_hooks, NULL);
	ev_run(ctx.loop, 0);
	return 0;
}

static const struct { const char *name; int (*run)(const struct role_start *who); } roles[ROLE_COUNT] = {
	[ROLE_WORKER] = { "worker", idle_main },
	[ROLE_AUTHD] = { "authd", idle_main },
	[ROLE_AUTHWORKER] = { "auth-worker", idle_main },
	[ROLE_SPAWN] = { "spawn", spawn_main },
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
