/* node/session_choice: which sessions a command of the operator is about. */
#include "tests/unit/unit.h"

#include <string.h>

#include "lib/mem.h"
#include "node/session_choice.h"

static const struct {
	const char *user, *ip, *id;
} sessions[] = {
	{ "anna@example.com", "192.0.2.1", "00000000000000a1" },
	{ "192.0.2.1", "192.0.2.2", "00000000000000a2" },  /* an account whose name is an address, ... */
	{ "00000000000000a1", "2001:db8::1", "front7.3" }, /* ... or the id of a session */
	{ "anna@example.com", "2001:db8::2", "00000000000000a4" },
};

/* One letter for each session that is meant; "none": the argument is no good; "other": another command. */
static char *chosen(const char *verb, const char *command, const char *argument)
{
	static char out[16];
	struct session_choice c;
	size_t n = 0;

	if (!session_choice_read(&c, verb, command, argument))
		return strcpy(out, "other");
	for (size_t i = 0; i < ARRAY_LEN(sessions); i++) {
		struct net_addr a;

		CU_ASSERT(net_addr_parse(&a, sessions[i].ip, 143));
		if (session_choice_has(&c, sessions[i].user, &a, sessions[i].id))
			out[n++] = (char)('1' + i);
	}
	out[n] = '\0';
	return c.kind == SESSION_CHOICE_NONE && n == 0 ? strcpy(out, "none") : out;
}

/* What a word means is said by the command, never guessed from the word. */
static void test_choice(void)
{
	static const struct {
		const char *verb, *command, *argument, *chosen;
	} t[] = {
		{ "who", "who", "", "1234" },
		{ "kick", "kick", "", "none" },
		{ "who", "who", "anna@example.com", "14" },
		{ "kick", "kick", "anna@example.com", "14" },
		{ "kick", "kick", "anna", "" },
		{ "kick", "kick", "192.0.2.1", "2" },
		{ "kick", "kick-address", "192.0.2.1", "1" },
		{ "kick", "kick-address", "::ffff:192.0.2.1", "1" }, /* as the log has it */
		{ "kick", "kick-address", "192.0.2.0/30", "12" },
		{ "kick", "kick-address", "2001:DB8::/64", "34" },
		{ "kick", "kick-address", "0.0.0.0/0", "12" },
		{ "kick", "kick-address", "", "none" },
		{ "kick", "kick-address", "192.0.2.1 ", "none" },
		{ "kick", "kick-address", "192.0.2.1/33", "none" },
		{ "kick", "kick-address", "anna@example.com", "none" },
		{ "kick", "kick", "00000000000000a1", "3" },
		{ "kick", "kick-session", "00000000000000a1", "1" },
		{ "kick", "kick-session", "a1", "" },
		{ "kick", "kick-session", "front7.3", "3" },
		{ "kick", "kick-session", "", "none" },
		{ "who", "who-address", "2001:db8::2", "4" },
		{ "who", "who-address", "", "none" },
		{ "who", "who-session", "00000000000000a4", "4" },
		{ "kick", "kick-user", "x", "other" },
		{ "kick", "kick-", "x", "other" },
		{ "kick", "kick-address2", "192.0.2.1", "other" },
		{ "kick", "kicks", "x", "other" },
		{ "kick", "who", "x", "other" },
		{ "who", "status", "", "other" },
		{ "who", "wh", "", "other" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		const char *got = chosen(t[i].verb, t[i].command, t[i].argument);

		CU_ASSERT_STRING_EQUAL(got, t[i].chosen);
		if (strcmp(got, t[i].chosen) != 0)
			printf("\n%s %s: %s\n", t[i].command, t[i].argument, got);
	}
}

/* A network that is cut anywhere means what is left of it, or nothing. */
static void test_cut(void)
{
	static const char network[] = "192.0.2.128/25";

	for (size_t cut = 0; cut < strlen(network); cut++) {
		char *part = mem_memdup(network, cut);
		bool whole = cut >= strlen("192.0.2.1") && part[cut - 1] != '/';

		CU_ASSERT_EQUAL(strcmp(chosen("kick", "kick-address", part), "none") != 0, whole);
		mem_free(&part);
	}
}

static const struct unit_case cases[] = { { "choice", test_choice }, { "cut", test_cut }, { NULL, NULL } };

UNIT_MAIN("session choice", cases)
