/* authdaemon: accounts from a running authdaemond of Courier, over its socket, so that a site can switch to Waypost and
 * leave its directory, of any kind, to Courier. One connection per query, like Courier's own programs. May block: for
 * auth workers. */
#include "authlib/drv_authdaemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "authlib/courierdir.h"
#include "lib/clock.h"
#include "lib/mem.h"
#include "settings/settings.h"

struct authdaemon {
	struct courierdir dir;
	int sock; /* -1: none */
};

static void close_connection(void *conn, struct str *why UNUSED)
{
	struct authdaemon *a = conn;

	if (a->sock != -1)
		close(a->sock);
	a->sock = -1;
}

/* While the daemon's workers are busy its queue may be full: connect() then waits, as long as sending may take. */
static bool connect_to(int sock, const char *path, int64_t deadline)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int64_t left = deadline - clock_ms();
	struct timeval time = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 };

	if (left <= 0) {
		errno = EAGAIN;
		return false;
	}
	str_copy(sun.sun_path, sizeof(sun.sun_path), path);
	return setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)) == 0 &&
	    connect(sock, (const struct sockaddr *)&sun, sizeof(sun)) == 0 && fcntl(sock, F_SETFL, O_NONBLOCK) == 0;
}

static enum courier_open open_connection(void *conn, int *to, int *from, int64_t deadline, struct str *why)
{
	struct authdaemon *a = conn;

	a->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (a->sock == -1 || !connect_to(a->sock, a->dir.servers.server[0].name, deadline)) {
		str_adds(why, errno == EAGAIN ? "its queue is full" : strerror(errno));
		close_connection(a, why);
		return COURIER_CLOSED;
	}
	*to = *from = a->sock;
	return COURIER_NEW;
}

static const struct courier_kind kind = {
	.open = open_connection,
	.close = close_connection,
	.takes_client = true,
};

static void fini(void *ctx)
{
	struct authdaemon *a = ((struct courierdir *)ctx)->conn;

	close_connection(a, NULL);
	directory_fini(&a->dir.servers);
	mem_free(&a);
}

static bool init(const struct settings *set, void **ctx, struct str *error)
{
	const char *path = set->authdaemon_AUTHDAEMON_SOCKET;
	struct authdaemon *a;

	if (path[0] == '\0' || strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		str_addf(error, "AUTHDAEMON_SOCKET is %s", path[0] == '\0' ? "missing" : "too long for a socket path");
		return false;
	}
	a = mem_alloc(sizeof(*a));
	a->sock = -1;
	a->dir.kind = &kind;
	a->dir.conn = a;
	a->dir.timeout = set->authdaemon_AUTHDAEMON_TIMEOUT * 1000;
	directory_init(&a->dir.servers, "authdaemon");
	directory_add(&a->dir.servers, path, strlen(path));
	*ctx = &a->dir;
	return true;
}

const struct auth_driver drv_authdaemon = {
	.name = "authdaemon",
	.flags = AUTH_DRIVER_CLIENT,
	.init = init,
	.fini = fini,
	.lookup = courierdir_lookup,
	.verify = courierdir_verify,
	.enumerate = courierdir_enumerate,
};
