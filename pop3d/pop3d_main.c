/* POP3 on standard input and output for one Maildir: for tests, and to tell the build. */
#include "pop3d/pop3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"

static int usage(FILE *to)
{
	fprintf(to,
	    "usage: pop3d --version | pop3d --maildir DIR\n"
	    "With --maildir it serves DIR on standard input and output, as if someone had logged in.\n"
	    "Mail is served over the network by waypostd.\n");
	return to == stdout ? 0 : 2;
}

static int serve(const char *maildir)
{
	static struct session_counters counters;
	struct settings *set = settings_defaults();
	const struct session_start start = {
		.user = "-",
		.home = "/",
		.maildir = maildir,
		.options = "",
		.session_id = "-",
		.context = "",
		.leftover = "",
		.began = clock_seconds(),
		.counters = &counters,
		.set = set,
	};

	log_set_program("pop3d");
	pop3d_session_on(STDIN_FILENO, STDOUT_FILENO, &start);
	settings_free(&set);
	return counters.end == SESSION_END_SERVER;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("waypost pop3d " PACKAGE_VERSION);
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "--maildir") == 0)
		return serve(argv[2]);
	return usage(argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
}
