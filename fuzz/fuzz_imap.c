/* Any bytes from a client to a session server with its own Maildir: commands, literals, everything. The replies are
 * discarded. */
#include <fcntl.h>
#include <stdio.h>

#include "fuzz/scratch.h"
#include "imapd/imapd.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RUNS_PER_MAILDIR = 500 };

static const char message[] =
    "From: A <a@b>\nSubject: =?utf-8?q?x?=\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b\n"
    "Content-Type: message/rfc822\n\nSubject: in\n\ny\n--b--\n";

/* A Maildir of one message; earlier ones go. */
static char *new_maildir(unsigned n)
{
	char name[32];
	char *maildir, *new;

	scratch_clear();
	snprintf(name, sizeof(name), "%u", n);
	maildir = scratch_maildir(name);
	new = mem_printf("%s/new", maildir);
	scratch_file(new, "1.M1P1.host", message);
	mem_free(&new);
	return maildir;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct settings *settings;
	static char *maildir;
	static unsigned runs;
	static int null;
	struct session_counters counters = { 0 };
	struct session_start start = {
		.user = "u",
		.options = "",
		.session_id = "s",
		.context = "",
		.counters = &counters,
		.leftover = data,
		.leftover_len = size,
	};

	if (size > SESSION_LEFTOVER_MAX)
		return 0;
	if (settings == NULL) {
		settings = settings_defaults();
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		DIE_IF(null < 0);
		log_set_socket(null);
	}
	if (runs++ % RUNS_PER_MAILDIR == 0) {
		mem_free(&maildir);
		maildir = new_maildir(runs);
	}
	start.home = start.maildir = maildir;
	start.set = settings;
	imapd_serve(null, null, &start);
	return 0;
}
