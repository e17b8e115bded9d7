/* Writes RUNDIR/peers. */
#include "master/peer_command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "node/msg_control.h"

/* Writes TEXT to a new file at PATH. False with errno. */
static bool write_new(const char *path, const struct str *text)
{
	int fd;
	bool good;

	unlink(path);
	if ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644)) == -1)
		return false;
	good = fchmod(fd, 0644) == 0 && fd_write_all(fd, str_cstr(text), text->len);
	return close(fd) == 0 && good;
}

/* ALL into the file at PATH, in one step. */
static bool replace(const char *path, const struct peer_orders *all, struct str *why)
{
	char *new = mem_printf("%s.new", path);
	struct str text = STR_INIT;
	bool good;

	str_adds(&text, "# What `waypost peer` says. Written by waypostd.\n");
	for (unsigned i = 0; i < all->n; i++) {
		peer_order_write(&all->order[i], &text);
		str_addc(&text, '\n');
	}
	good = write_new(new, &text) && rename(new, path) == 0;
	if (!good)
		str_addf(why, "cannot write %s: %s; nothing was changed\n", path, strerror(errno));
	str_fini(&text);
	mem_free(&new);
	return good;
}

bool peer_command_save(const char *rundir, const struct peer_order *o, int64_t now, struct str *why)
{
	char *path = mem_printf("%s/" CONTROL_PEERS_FILE, rundir);
	struct peer_orders all = { 0 };
	struct peer_order dated = *o;
	struct str text = STR_INIT, bad = STR_INIT;
	int64_t changed;
	bool good = peer_orders_read_file(path, &text, &changed, why) != -1;

	if (!good)
		str_addc(why, '\n');
	else
		peer_orders_parse(&all, str_cstr(&text), text.len, &bad);
	dated.since = now;
	if (o->word == PEER_WORD_UP)
		peer_orders_remove(&all, o);
	else if (good && !(good = peer_orders_set(&all, &dated)))
		str_addf(why, "%u peers have been named already; say up of some\n", all.n);
	good = good && replace(path, &all, why);
	str_fini(&bad);
	str_fini(&text);
	peer_orders_fini(&all);
	mem_free(&path);
	return good;
}
