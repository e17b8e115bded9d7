/* Which session servers this program has. */
#include "imapd/imapd.h"
#include "master/spawn.h"
#include "pop3d/pop3d.h"

session_server_fn *const spawn_servers[PROTOCOL_COUNT] = {
#define P(id, name, title, group, ...) [PROTOCOL_##id] = group##_session,
	PROTOCOLS(P)
#undef P
};

const char *const spawn_context_variables[PROTOCOL_COUNT] = {
	[PROTOCOL_IMAP] = "IMAPLOGINTAG",
	[PROTOCOL_POP3] = "UTF8",
};
