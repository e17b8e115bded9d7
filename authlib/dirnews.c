/* The list of server states that goes to authd. */
#include "authlib/dirnews.h"

#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/text.h"

static struct dirnews present;

void dirnews_add(enum dirnews_kind kind, const char *driver, const char *server, const char *why)
{
	struct dirnews_item *item;

	if (present.n == DIRNEWS_MAX)
		return;
	if (present.item == NULL)
		present.item = mem_array(DIRNEWS_MAX, sizeof(*present.item));
	item = &present.item[present.n++];
	item->kind = kind;
	snprintf(item->driver, sizeof(item->driver), "%s", driver);
	snprintf(item->server, sizeof(item->server), "%s", server);
	snprintf(item->why, sizeof(item->why), "%.*s", (int)MIN(strcspn(why, "\n"), sizeof(item->why)), why);
	text_make_plain(item->why, ' ');
}

void dirnews_take(struct dirnews *out)
{
	*out = present;
	memset(&present, 0, sizeof(present));
}

void dirnews_fini(struct dirnews *news)
{
	mem_free(&news->item);
	news->n = 0;
}

void dirnews_write(struct msgw *w, const struct dirnews *news)
{
	msgw_u8(w, (uint8_t)news->n);
	for (unsigned i = 0; i < news->n; i++) {
		msgw_u8(w, (uint8_t)news->item[i].kind);
		msgw_str(w, news->item[i].driver);
		msgw_str(w, news->item[i].server);
		msgw_str(w, news->item[i].why);
	}
}

void dirnews_read(struct msgr *r, struct dirnews *out)
{
	uint8_t n = msgr_below(r, DIRNEWS_MAX + 1);

	memset(out, 0, sizeof(*out));
	if (r->bad || n == 0)
		return;
	out->item = mem_array(n, sizeof(*out->item));
	for (; out->n < n && !r->bad; out->n++) {
		struct dirnews_item *item = &out->item[out->n];
		uint8_t kind = msgr_below(r, DIRNEWS_KINDS);

		item->kind = r->bad ? DIRNEWS_SERVED : (enum dirnews_kind)kind;
		msgr_str(r, item->driver, sizeof(item->driver));
		msgr_str(r, item->server, sizeof(item->server));
		msgr_str(r, item->why, sizeof(item->why));
	}
}
