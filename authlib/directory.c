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

bool directory_usable(const struct directory *d, unsigned i, int64_t now)
{
	return d->server[i].retry_at <= now;
}

void directory_failed(struct directory *d, unsigned i, int64_t now, int64_t took, const char *why)
{
	struct directory_server *s = &d->server[i];

	dirnews_add(DIRNEWS_FAILED, d->driver, s->name, why);
	if (took < DIRECTORY_SLOW_MS)
		return;
	s->pause = s->pause == 0 ? DIRECTORY_PAUSE_MS : MIN(s->pause * 2, DIRECTORY_PAUSE_MAX_MS);
	/* A random part keeps auth workers and nodes from retrying all at the same moment. */
	s->retry_at = now + s->pause - (int64_t)arc4random_uniform(s->pause / 4);
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
