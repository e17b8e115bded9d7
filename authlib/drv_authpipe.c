/* authpipe: accounts from a program of the site. It is started once in each auth worker, reads queries from standard
 * input and answers on standard output (authlib/courier.h); if it hangs, dies or sends garbage, it is killed and
 * restarted. May block: for auth workers. */
#include "authlib/drv_authpipe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "authlib/child.h"
#include "authlib/courierdir.h"
#include "lib/mem.h"
#include "settings/settings.h"

struct authpipe {
	struct courierdir dir;
	const char *program;
	struct child child;
};

static void close_program(void *conn, struct str *why)
{
	struct authpipe *a = conn;

	child_end(&a->child, why);
}

/* In the child. */
static int run_program(void *arg)
{
	const struct authpipe *a = arg;

	if (chdir("/") == 0)
		execl(a->program, a->program, (char *)NULL);
	return 127;
}

/* It has ended, or sent unrequested output, which could be mistaken for the next answer. */
static bool is_stale(const struct authpipe *a)
{
	struct pollfd p = { .fd = a->child.from, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

static enum courier_open open_program(void *conn, int *to, int *from, int64_t deadline UNUSED, struct str *why)
{
	struct authpipe *a = conn;
	bool old = a->child.pid != 0;

	if (old && is_stale(a)) {
		child_end(&a->child, NULL);
		old = false;
	}
	if (!old && access(a->program, X_OK) != 0) {
		str_addf(why, "cannot run it: %s", strerror(errno));
		return COURIER_CLOSED;
	}
	if (!old && !child_start(&a->child, CHILD_BYTES, run_program, a, why))
		return COURIER_CLOSED;
	*to = a->child.to;
	*from = a->child.from;
	return old ? COURIER_OLD : COURIER_NEW;
}

static const struct courier_kind kind = {
	.open = open_program,
	.close = close_program,
	.keeps = true,
};

static void fini(void *ctx)
{
	struct authpipe *a = ((struct courierdir *)ctx)->conn;

	child_end(&a->child, NULL);
	directory_fini(&a->dir.servers);
	mem_free(&a);
}

static bool init(const struct settings *set, void **ctx, struct str *error)
{
	struct authpipe *a;

	if (set->authpipe_AUTHPIPE_PROGRAM[0] == '\0') {
		str_adds(error, "set AUTHPIPE_PROGRAM");
		return false;
	}
	a = mem_alloc(sizeof(*a));
	a->program = set->authpipe_AUTHPIPE_PROGRAM;
	a->child = (struct child)CHILD_INIT;
	a->dir.kind = &kind;
	a->dir.conn = a;
	a->dir.timeout = set->authpipe_AUTHPIPE_TIMEOUT * 1000;
	directory_init(&a->dir.servers, "authpipe");
	directory_add(&a->dir.servers, a->program, strlen(a->program));
	*ctx = &a->dir;
	return true;
}

const struct auth_driver drv_authpipe = {
	.name = "authpipe",
	.init = init,
	.fini = fini,
	.lookup = courierdir_lookup,
	.verify = courierdir_verify,
	.enumerate = courierdir_enumerate,
};
