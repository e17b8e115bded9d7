/* Certificates of authorities, from a file to the login workers. */
#include "master/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "authlib/userdb_image.h"
#include "lib/log.h"
#include "master/missing.h"
#include "node/msg_key.h"

static char file[KEY_FILE_MAX]; /* "": there is none */
static uint64_t stamp;
static ev_timer check;
static struct msgw out;

/* The first that is there. */
static const char *systems(void)
{
	static const char *const files[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (access(files[i], R_OK) == 0)
			return files[i];
	return "";
}

/* -1: the one who is to get it will be told later. Where there is no file, an empty one takes back what was passed
 * before. */
static int open_file(struct child *to)
{
	int fd = file[0] != '\0' ? open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY) : -1, error = errno;

	if (fd != -1)
		return fd;
	if (file[0] != '\0')
		log_error("PROXY_TLS_CAFILE: %s: %s", file, strerror(error));
	if ((file[0] == '\0' || (error != EMFILE && error != ENFILE)) &&
	    (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) != -1)
		return fd;
	missing_add(to, CTL_KEY, NULL, 0);
	return -1;
}

void trust_begin(struct child *c)
{
	struct control_key m = { .use = "peers" };
	int fd = open_file(c);

	if (fd == -1)
		return;
	str_copy(m.file, sizeof(m.file), file);
	control_key_write(&out, &m);
	children_send(c, &out, fd);
	close(fd);
}

static void pass_to_all(const struct master *m)
{
	for (struct child *c = m->children; c != NULL; c = c->next)
		if (c->post->role == ROLE_WORKER && c->begun && c->control != NULL)
			trust_begin(c);
}

static void on_check(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	uint64_t now = userdb_stamp(file);

	if (now == stamp)
		return;
	stamp = now;
	pass_to_all(t->data);
}

void trust_update(struct master *m)
{
	const char *wanted = m->set->proxy_PROXY_TLS_CAFILE[0] != '\0' ? m->set->proxy_PROXY_TLS_CAFILE : systems();

	str_copy(file, sizeof(file), protocols_forwarded(m->set) != 0 ? wanted : "");
	stamp = userdb_stamp(file);
	pass_to_all(m);
	ev_timer_stop(m->loop, &check);
	ev_timer_init(&check, on_check, TRUST_CHECK_SECONDS, TRUST_CHECK_SECONDS);
	check.data = m;
	if (file[0] != '\0')
		ev_timer_start(m->loop, &check);
}
