/* Which session servers this program has. */
#include "imapd/imapd.h"
#include "master/spawn.h"
#include "pop3d/pop3d.h"

session_server_fn *const spawn_servers[PROTOCOL_COUNT] = {
	[PROTOCOL_IMAP] = imapd_session,
	[PROTOCOL_POP3] = pop3d_session,
};
