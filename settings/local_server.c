/* Reads LOCAL_IMAP and LOCAL_POP3. */
#include "settings/local_server.h"

#include <stdio.h>
#include <string.h>

#include "lib/die.h"
#include "lib/num.h"
#include "lib/str.h"
#include "lib/text.h"
#include "settings/settings.h"

/* ADDRESS:PORT, an IPv6 address in brackets. */
static bool parse_inet(struct net_addr *a, const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[NET_IP_TEXT_MAX];
	uint64_t port;
	size_t len;

	if (colon == NULL || !num_parse(colon + 1, strlen(colon + 1), UINT16_MAX, &port) || port == 0)
		return false;
	len = (size_t)(colon - text);
	if (len >= sizeof(host) || (memchr(text, ':', len) != NULL && text[0] != '['))
		return false;
	if (memchr(text, '%', len) != NULL) /* an interface may be gone at the next look */
		return false;
	snprintf(host, sizeof(host), "%.*s", (int)len, text);
	return net_addr_parse(a, host, (uint16_t)port);
}

/* The number of words of COMMAND. */
static unsigned count_words(const char *command)
{
	unsigned n = 0;

	for (const char *p = command; *(p += strspn(p, " ")) != '\0'; p += strcspn(p, " "))
		n++;
	return n;
}

static const char *parse_exec(struct local_server *s, const char *command)
{
	s->kind = LOCAL_SERVER_EXEC;
	s->command = command;
	if (command[0] != '/' || strlen(command) >= LOCAL_SERVER_COMMAND_MAX ||
	    count_words(command) > LOCAL_SERVER_WORDS_MAX || !text_is_plain(command))
		return "expected exec:PROGRAM ARGUMENT ..., PROGRAM an absolute path, at most 16 words";
	return NULL;
}

void local_server_words(const struct local_server *s, struct local_server_command *c)
{
	unsigned n = 0;

	str_copy(c->text, sizeof(c->text), s->command);
	for (char *p = c->text; *(p += strspn(p, " ")) != '\0' && n < LOCAL_SERVER_WORDS_MAX;) {
		c->argv[n++] = p;
		p += strcspn(p, " ");
		if (*p != '\0')
			*p++ = '\0';
	}
	c->argv[n] = NULL;
}

const char *local_server_parse(struct local_server *s, const char *text)
{
	memset(s, 0, sizeof(*s));
	if (text[0] == '\0' || strcmp(text, "builtin") == 0)
		return NULL;
	if (strncmp(text, "inet:", 5) == 0) {
		s->kind = LOCAL_SERVER_INET;
		return parse_inet(&s->addr, text + 5) ? NULL :
		                                        "expected inet:ADDRESS:PORT, the address in numbers and an "
		                                        "IPv6 one in brackets: \"inet:127.0.0.1:943\"";
	}
	if (strncmp(text, "unix:", 5) == 0) {
		s->kind = LOCAL_SERVER_UNIX;
		s->sun.sun_family = AF_UNIX;
		if (text[5] != '/' || strlen(text + 5) >= sizeof(s->sun.sun_path) || !text_is_plain(text))
			return "expected unix:PATH, an absolute path of at most 107 bytes";
		memcpy(s->sun.sun_path, text + 5, strlen(text + 5));
		return NULL;
	}
	if (strncmp(text, "exec:", 5) == 0)
		return parse_exec(s, text + 5);
	return "expected \"builtin\", inet:ADDRESS:PORT, unix:PATH or exec:PROGRAM";
}

struct local_server local_server_of(const struct settings *set, enum protocol p)
{
	struct local_server s;

	DIE_IF(local_server_parse(&s, protocol_settings(set, p).local_server) != NULL);
	return s;
}

bool local_server_is_other(const struct local_server *s)
{
	return s->kind == LOCAL_SERVER_INET || s->kind == LOCAL_SERVER_UNIX;
}

bool local_server_runs_program(const struct settings *set)
{
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (set->has[p] && protocols[p].has_login && local_server_of(set, p).kind == LOCAL_SERVER_EXEC)
			return true;
	return false;
}
