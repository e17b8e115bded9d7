#include "authlib/directory.h"

#include <string.h>
#include <unistd.h>

#include "lib/log.h"
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
	mem_free(&d->trouble);
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

	if (!s->down)
		log_error("%s: %s does not answer: %.*s; its logins are told to try again", d->driver, s->name, (int)strcspn(why, "\n"), why);
	s->down = true;
	if (took < DIRECTORY_SLOW_MS)
		return;
	s->pause = s->pause == 0 ? DIRECTORY_PAUSE_MS : MIN(s->pause * 2, DIRECTORY_PAUSE_MAX_MS);
	/* The auth workers of a node shall not all come back at the same moment. */
	s->retry_at = now + s->pause - (int64_t)((unsigned)getpid() * 2654435761U % (s->pause / 4));
}

void directory_answered(struct directory *d, unsigned i)
{
	struct directory_server *s = &d->server[i];

	if (s->down)
		log_info("%s: %s answers again", d->driver, s->name);
	s->down = false;
	s->pause = 0;
	s->retry_at = 0;
}

void directory_refused(struct directory *d, const char *why)
{
	if (d->trouble != NULL && strcmp(d->trouble, why) == 0)
		return;
	log_error("%s: the question is refused: %.*s; logins are told to try again", d->driver, (int)strcspn(why, "\n"), why);
	mem_free(&d->trouble);
	d->trouble = mem_strdup(why);
}

void directory_served(struct directory *d)
{
	if (d->trouble != NULL)
		log_info("%s: questions are answered again", d->driver);
	mem_free(&d->trouble);
}
