/* Which session servers this program has. */
#include "master/spawn.h"

session_server_fn *const spawn_servers[PROTOCOL_COUNT] = {
	[PROTOCOL_IMAP] = NULL,
	[PROTOCOL_POP3] = NULL,
};
