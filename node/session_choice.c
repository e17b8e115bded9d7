/* Which sessions an operator means. */
#include "node/session_choice.h"

#include <string.h>

/* Nobody kicks all by an empty name. */
static enum session_choice_kind kind_of(const char *verb, const char *how, const char *what)
{
	if (how[0] == '\0' && what[0] == '\0' && strcmp(verb, "who") == 0)
		return SESSION_CHOICE_ALL;
	if (what[0] == '\0')
		return SESSION_CHOICE_NONE;
	if (how[0] == '\0')
		return SESSION_CHOICE_USER;
	if (strcmp(how, "-session") == 0)
		return SESSION_CHOICE_ID;
	return net_is_network(what) ? SESSION_CHOICE_ADDRESS : SESSION_CHOICE_NONE;
}

bool session_choice_read(struct session_choice *c, const char *verb, const char *command, const char *argument)
{
	size_t len = strlen(verb);
	const char *how = command + len;

	if (strncmp(command, verb, len) != 0 ||
	    (how[0] != '\0' && strcmp(how, "-address") != 0 && strcmp(how, "-session") != 0))
		return false;
	c->kind = kind_of(verb, how, argument);
	c->what = argument;
	return true;
}

bool session_choice_has(const struct session_choice *c, const char *user, const struct net_addr *client, const char *id)
{
	switch (c->kind) {
	case SESSION_CHOICE_ALL:
		return true;
	case SESSION_CHOICE_USER:
		return strcmp(user, c->what) == 0;
	case SESSION_CHOICE_ADDRESS:
		return net_addr_in(client, c->what);
	case SESSION_CHOICE_ID:
		return strcmp(id, c->what) == 0;
	case SESSION_CHOICE_NONE:
		break;
	}
	return false;
}
