/* libexec/waypost/imapd: prints its version, or serves one Maildir on standard input and output. The node itself
 * does not run it: spawn forks with the session server linked in. For tests, fuzzing and debugging by hand. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "imapd/imapd.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"

static void usage(FILE *to)
{
	fputs("usage: imapd --version\n"
	      "       imapd --maildir DIR [--user NAME] [--tag TAG] [--prefix PREFIX] [--timeout SECONDS] [--poll "
	      "SECONDS]\n"
	      "Serves the Maildir DIR to an IMAP client on standard input and output, without asking for a password.\n"
	      "With --tag the greeting is the answer to a LOGIN of that tag. PREFIX is \"INBOX.\" or \"\".\n"
	      "SECONDS stand for IMAP_INACTIVITY_TIMEOUT and IMAP_IDLE_TIMEOUT.\n",
	    to);
}

static char *absolute(const char *path)
{
	char here[4096];

	if (path[0] == '/' || getcwd(here, sizeof(here)) == NULL)
		return mem_strdup(path);
	return mem_printf("%s/%s", here, path);
}

static void serve(const char *maildir, const char *user, const char *tag, struct settings *set)
{
	static struct session_counters counters;
	char *path = absolute(maildir);
	struct session_start start = {
		.user = user,
		.home = path,
		.maildir = path,
		.options = "",
		.session_id = "direct",
		.context = tag,
		.leftover = "",
		.began = clock_seconds(),
		.counters = &counters,
		.set = set,
	};

	imapd_serve(STDIN_FILENO, STDOUT_FILENO, &start);
	mem_free(&path);
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' }, { "maildir", required_argument, NULL, 'm' },
		{ "user", required_argument, NULL, 'u' }, { "tag", required_argument, NULL, 't' },
		{ "prefix", required_argument, NULL, 'p' }, { "timeout", required_argument, NULL, 'T' },
		{ "poll", required_argument, NULL, 'P' }, { NULL, 0, NULL, 0 } };
	const char *maildir = NULL, *user = "nobody", *tag = "", *prefix = NULL;
	struct settings *set;
	uint64_t seconds = 0, poll = 0;
	int c;

	while ((c = getopt_long(argc, argv, "V", options, NULL)) != -1)
		switch (c) {
		case 'V':
			puts("waypost imapd " PACKAGE_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		case 'm':
			maildir = optarg;
			break;
		case 'u':
			user = optarg;
			break;
		case 't':
			tag = optarg;
			break;
		case 'p':
			prefix = optarg;
			break;
		case 'T':
			if (num_parse_str(optarg, 86400, &seconds))
				break;
			usage(stderr);
			return 2;
		case 'P':
			if (num_parse_str(optarg, 86400, &poll))
				break;
			/* fall through */
		default:
			usage(stderr);
			return 2;
		}
	if (maildir == NULL || optind != argc) {
		usage(stderr);
		return 2;
	}
	log_set_program("imapd");
	set = settings_defaults();
	if (seconds != 0)
		set->imapd_IMAP_INACTIVITY_TIMEOUT = (int64_t)seconds;
	if (poll != 0)
		set->imapd_IMAP_IDLE_TIMEOUT = (int64_t)poll;
	if (prefix != NULL) {
		mem_free(&set->imapd_IMAP_NAMESPACE_PREFIX);
		set->imapd_IMAP_NAMESPACE_PREFIX = mem_strdup(prefix);
	}
	serve(maildir, user, tag, set);
	settings_free(&set);
	return 0;
}
