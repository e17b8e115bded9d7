/* Who serves the accounts whose mail is here: LOCAL_IMAP and LOCAL_POP3. */
#ifndef SETTINGS_LOCAL_SERVER_H
#define SETTINGS_LOCAL_SERVER_H

#include <sys/un.h>

#include "lib/net.h"
#include "settings/protocol.h"

enum local_server_kind {
	LOCAL_SERVER_BUILTIN, /* "", "builtin": the session server of this program */
	LOCAL_SERVER_INET,    /* "inet:ADDRESS:PORT": another server, where the login is done as at a peer */
	LOCAL_SERVER_UNIX,    /* "unix:PATH": the same by a socket */
	LOCAL_SERVER_EXEC     /* "exec:/PROGRAM WORD ...": a program that is started for each login */
};

struct local_server {
	enum local_server_kind kind;
	struct net_addr addr;   /* of INET */
	struct sockaddr_un sun; /* of UNIX */
	const char *command;    /* of EXEC: points into the setting */
};

/* The program of an EXEC server and its arguments, as words of a copy: argv[] ends with NULL. */
enum { LOCAL_SERVER_WORDS_MAX = 16, LOCAL_SERVER_COMMAND_MAX = 1024 };
struct local_server_command {
	char *argv[LOCAL_SERVER_WORDS_MAX + 1];
	char text[LOCAL_SERVER_COMMAND_MAX];
};
void local_server_words(const struct local_server *s, struct local_server_command *c);

/* Reads TEXT, the value of such a setting. NULL: good; else what is wrong, for people. */
const char *local_server_parse(struct local_server *s, const char *text);
/* That of protocol P, whose setting was checked before. */
struct local_server local_server_of(const struct settings *set, enum protocol p);
/* The server is another one, to be connected to. */
bool local_server_is_other(const struct local_server *s);
/* SET has some protocol served by a program. */
bool local_server_runs_program(const struct settings *set);

#endif
