/* Any bytes as what a client sends to a session server on a Maildir of its own: commands, literals, all of it. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imapd/imapd.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RUNS_PER_MAILDIR = 500 };

static char root[] = "/tmp/fuzz_imap_XXXXXX";
static struct settings *settings;
static char *maildir;

static void put_message(void)
{
	static const char text[] =
	    "From: A <a@b>\nSubject: =?utf-8?q?x?=\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b\n"
	    "Content-Type: message/rfc822\n\nSubject: in\n\ny\n--b--\n";
	char *path = mem_printf("%s/new/1.M1P1.host", maildir);
	FILE *f = fopen(path, "w");

	DIE_IF(f == NULL);
	fputs(text, f);
	fclose(f);
	mem_free(&path);
}

static void new_maildir(unsigned n)
{
	static const char *const subs[] = { "", "/cur", "/new", "/tmp" };

	if (settings == NULL) {
		settings = settings_defaults();
		DIE_IF(mkdtemp(root) == NULL);
		log_set_socket(open("/dev/null", O_WRONLY));
	}
	mem_free(&maildir);
	maildir = mem_printf("%s/%u", root, n);
	for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
		char *path = mem_printf("%s%s", maildir, subs[i]);

		DIE_IF(mkdir(path, 0700) < 0);
		mem_free(&path);
	}
	put_message();
}

static void *swallow(void *arg)
{
	char bytes[4096];

	while (read(*(int *)arg, bytes, sizeof(bytes)) > 0)
		continue;
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned runs;
	struct session_counters counters = { 0 };
	struct session_start start = {
		.user = "u",
		.options = "",
		.session_id = "s",
		.context = "",
		.counters = &counters,
	};
	pthread_t reader;
	int sock[2];

	if (size > SESSION_LEFTOVER_MAX)
		return 0;
	if (runs++ % RUNS_PER_MAILDIR == 0)
		new_maildir(runs);
	DIE_IF(socketpair(AF_UNIX, SOCK_STREAM, 0, sock) < 0);
	start.home = start.maildir = maildir;
	start.set = settings;
	start.leftover = data;
	start.leftover_len = size;
	shutdown(sock[0], SHUT_WR);
	DIE_IF(pthread_create(&reader, NULL, swallow, &sock[0]) != 0);
	imapd_session(sock[1], &start);
	close(sock[1]);
	pthread_join(reader, NULL);
	close(sock[0]);
	return 0;
}
