/* Which server of a directory is usable now. */
#include "authlib/directory.h"

#include <stdlib.h>
#include <string.h>

#include "authlib/dirnews.h"
#include "lib/mem.h"

void directory_init(struct directory *d, const char *driver)
{
	memset(d, 0, sizeof(*d));
	d->driver = driver;
}

void directory_fini(struct directory *d)
{
	for (unsigned i = 0; i < d->count; i++)
		mem_free(&d->server[i].name);
	d->count = 0;
}

bool directory_add(struct directory *d, const char *name, size_t len)
{
	if (d->count == DIRECTORY_SERVERS_MAX)
		return false;
	d->server[d->count++].name = mem_memdup(name, len);
	return true;
}

unsigned directory_next(const struct directory *d, unsigned tried, int64_t now)
{
	unsigned last = d->count;

	for (unsigned i = 0; i < d->count; i++) {
		const struct directory_server *s = &d->server[i];

		if ((tried >> i & 1) != 0)
			continue;
		if (s->retry_at <= now)
			return i;
		if (s->silent && last == d->count)
			last = i;
	}
	return last;
}

/* The pause that follows a failure after TOOK ms. */
static void pause_server(struct directory_server *s, int64_t now, int64_t took)
{
	if (took < DIRECTORY_SLOW_MS)
		return;
	s->pause = s->pause == 0 ? DIRECTORY_PAUSE_MS : MIN(s->pause * 2, DIRECTORY_PAUSE_MAX_MS);
	/* A random part keeps auth workers and nodes from retrying all at the same moment. */
	s->retry_at = now + s->pause - (int64_t)arc4random_uniform(s->pause / 4);
}

void directory_erred(const struct directory *d, unsigned i, const char *why)
{
	dirnews_add(DIRNEWS_ERRED, d->driver, d->server[i].name, why);
}

void directory_silent(struct directory *d, unsigned i, int64_t now, int64_t took, const char *why)
{
	dirnews_add(DIRNEWS_SILENT, d->driver, d->server[i].name, why);
	d->server[i].silent = true;
	pause_server(&d->server[i], now, took);
}

void directory_failed(struct directory *d, unsigned i, int64_t now, int64_t took, const char *why)
{
	dirnews_add(DIRNEWS_FAILED, d->driver, d->server[i].name, why);
	d->server[i].silent = false;
	pause_server(&d->server[i], now, took);
}

void directory_answered(struct directory *d, unsigned i)
{
	struct directory_server *s = &d->server[i];

	dirnews_add(DIRNEWS_ANSWERED, d->driver, s->name, "");
	s->pause = 0;
	s->retry_at = 0;
}

void directory_refused(const struct directory *d, const char *why)
{
	dirnews_add(DIRNEWS_REFUSED, d->driver, "", why);
}

void directory_served(const struct directory *d)
{
	dirnews_add(DIRNEWS_SERVED, d->driver, "", "");
}
