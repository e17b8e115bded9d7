/* Which servers and drivers are down: logs each change once, and decides when to retry. */
#include "authd/directory_health.h"

#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/str.h"

enum {
	NOTES_MAX = 20,  /* lines about single questions, */
	NOTES_MS = 60000 /* in this time */
};

/* A server that does not answer, or a driver whose queries are refused (SERVER is "" then). */
struct trouble {
	struct trouble *next;
	char *driver, *server, *why;
	bool quiet; /* it was not logged */
};

struct place {
	struct directory_health *health;
	bool suspected, down; /* not both */
	unsigned pause;
	int64_t answered; /* when it last did; 0: never */
	ev_timer probe;
};

struct directory_health {
	struct ev_loop *loop;
	directory_health_probe_fn *probe;
	void *arg;
	struct place place[AUTH_CHAIN_MAX];
	struct trouble *troubles;
	unsigned count;
	/* Log lines about what a single question may have caused: how many this minute, and the reason in the last. */
	int64_t noted_since;
	unsigned noted;
	char noted_why[DIRNEWS_WHY_MAX];
};

static void on_probe(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct place *p = t->data;

	p->health->probe((unsigned)(p - p->health->place), p->health->arg);
}

struct directory_health *directory_health_new(struct ev_loop *loop, directory_health_probe_fn *probe, void *arg)
{
	struct directory_health *h = mem_alloc(sizeof(*h));

	h->loop = loop;
	h->probe = probe;
	h->arg = arg;
	for (unsigned i = 0; i < AUTH_CHAIN_MAX; i++) {
		h->place[i].health = h;
		ev_timer_init(&h->place[i].probe, on_probe, 0, 0);
		h->place[i].probe.data = &h->place[i];
	}
	return h;
}

static void remove_trouble(struct directory_health *h, struct trouble **at)
{
	struct trouble *t = *at;

	*at = t->next;
	h->count--;
	mem_free(&t->driver);
	mem_free(&t->server);
	mem_free(&t->why);
	mem_free(&t);
}

void directory_health_reset(struct directory_health *h)
{
	while (h->troubles != NULL)
		remove_trouble(h, &h->troubles);
	for (unsigned i = 0; i < AUTH_CHAIN_MAX; i++) {
		struct place *p = &h->place[i];

		ev_timer_stop(h->loop, &p->probe);
		p->suspected = p->down = false;
		p->pause = 0;
		p->answered = 0;
	}
}

void directory_health_free(struct directory_health **h)
{
	if (*h == NULL)
		return;
	directory_health_reset(*h);
	mem_free(h);
}

/* --- log lines --- */

static struct trouble **find_trouble(struct directory_health *h, const struct dirnews_item *item)
{
	struct trouble **at = &h->troubles;

	while (*at != NULL && (strcmp((*at)->driver, item->driver) != 0 || strcmp((*at)->server, item->server) != 0))
		at = &(*at)->next;
	return at;
}

static void add_trouble(struct directory_health *h, const struct dirnews_item *item, bool quiet)
{
	struct trouble *t;

	if (h->count == HEALTH_SERVERS_MAX)
		return;
	t = mem_alloc(sizeof(*t));
	t->driver = mem_strdup(item->driver);
	t->server = mem_strdup(item->server);
	t->why = mem_strdup(item->why);
	t->quiet = quiet;
	t->next = h->troubles;
	h->troubles = t;
	h->count++;
}

/* True: one more such line may be logged. Nobody can fill the log by asking bad questions. */
static bool may_note(struct directory_health *h, int64_t now)
{
	if (h->noted == 0 || now - h->noted_since >= NOTES_MS) {
		h->noted_since = now;
		h->noted = 0;
		h->noted_why[0] = '\0';
	}
	return h->noted < NOTES_MAX && h->noted++ < NOTES_MAX;
}

/* Notes that the question of ITEM had no answer, which is no trouble yet. */
static void note_silence(struct directory_health *h, const struct dirnews_item *item, int64_t now)
{
	if ((now - h->noted_since < NOTES_MS && strcmp(h->noted_why, item->why) == 0) || !may_note(h, now))
		return;
	str_copy(h->noted_why, sizeof(h->noted_why), item->why);
	log_warn("%s: %s does not answer: %s; this login fails temporarily, others still ask it", item->driver,
	    item->server, item->why);
}

static void begin_trouble(struct directory_health *h, const struct dirnews_item *item, const char *logins, bool whole,
    int64_t now)
{
	bool quiet = item->kind != DIRNEWS_FAILED && !may_note(h, now);

	add_trouble(h, item, quiet);
	if (quiet)
		return;
	if (item->kind == DIRNEWS_REFUSED)
		log_error("%s: the query is refused: %s; %s", item->driver, item->why, logins);
	else
		log_error("%s: %s does not answer: %s; %s", item->driver, item->server, item->why,
		    whole ? logins : "trying another server");
}

static void end_trouble(struct directory_health *h, struct trouble **at)
{
	const struct trouble *t = *at;

	if (!t->quiet && t->server[0] != '\0')
		log_info("%s: %s answers again", t->driver, t->server);
	else if (!t->quiet)
		log_info("%s: queries are answered again", t->driver);
	remove_trouble(h, at);
}

static void take_item(struct directory_health *h, const struct dirnews_item *item, const char *logins, bool whole,
    int64_t now)
{
	struct trouble **at = find_trouble(h, item);

	switch (item->kind) {
	case DIRNEWS_FAILED:
	case DIRNEWS_SILENT:
		/* That a server cannot be used is told, whatever of single questions was not. */
		if (*at != NULL && (item->kind != DIRNEWS_FAILED || !(*at)->quiet))
			return;
		if (*at != NULL)
			remove_trouble(h, at);
		begin_trouble(h, item, logins, whole, now);
		break;
	case DIRNEWS_REFUSED:
		if (*at != NULL && strcmp((*at)->why, item->why) == 0)
			return;
		if (*at != NULL)
			remove_trouble(h, at);
		begin_trouble(h, item, logins, whole, now);
		break;
	case DIRNEWS_ERRED: /* of one question */
		break;
	case DIRNEWS_ANSWERED:
	case DIRNEWS_SERVED:
	case DIRNEWS_KINDS:
		if (*at != NULL)
			end_trouble(h, at);
		break;
	}
}

void directory_health_news(struct directory_health *h, unsigned pos, const struct dirnews *news,
    enum directory_outcome outcome, const char *logins, int64_t now)
{
	bool of_question = outcome == DIRECTORY_SILENT && pos < AUTH_CHAIN_MAX && !h->place[pos].down;

	for (unsigned i = 0; i < news->n; i++)
		if (news->item[i].kind == DIRNEWS_ERRED || (of_question && news->item[i].kind == DIRNEWS_SILENT))
			note_silence(h, &news->item[i], now);
		else
			take_item(h, &news->item[i], logins, outcome == DIRECTORY_FAILED || outcome == DIRECTORY_SILENT,
			    now);
}

unsigned directory_health_list(const struct directory_health *h, struct str *out)
{
	for (const struct trouble *t = h->troubles; t != NULL; t = t->next)
		str_addf(out, "%s%s%s%s", t == h->troubles ? "" : ", ", t->driver, t->server[0] != '\0' ? " " : "",
		    t->server);
	return h->count;
}

/* --- which driver is used --- */

static void probe_later(struct place *p)
{
	/* Nodes that lost the same directory must not all return to it at once. */
	double ms = p->pause * 0.75 + arc4random_uniform(p->pause / 2 + 1);

	ev_timer_stop(p->health->loop, &p->probe);
	ev_timer_set(&p->probe, ms / 1000, 0);
	ev_timer_start(p->health->loop, &p->probe);
}

enum directory_change directory_health_result(struct directory_health *h, unsigned pos, enum directory_outcome outcome,
    int64_t asked, int64_t now)
{
	struct place *p = pos < AUTH_CHAIN_MAX ? &h->place[pos] : NULL;

	if (p == NULL || outcome == DIRECTORY_NOT_ASKED)
		return DIRECTORY_SAME;
	if (outcome == DIRECTORY_ANSWERED || outcome == DIRECTORY_ERRED) {
		p->answered = now;
		p->suspected = p->down = false;
		ev_timer_stop(h->loop, &p->probe);
		return DIRECTORY_SAME;
	}
	/* Other questions were answered meanwhile: only this one failed. */
	if (outcome != DIRECTORY_REFUSED && (p->down || p->answered > asked))
		return DIRECTORY_SAME;
	if (outcome == DIRECTORY_REFUSED) /* by a server that is up */
		p->answered = now;
	if (outcome != DIRECTORY_FAILED && p->suspected)
		return DIRECTORY_SAME;
	p->down = outcome == DIRECTORY_FAILED;
	p->suspected = !p->down;
	p->pause = HEALTH_FIRST_MS;
	probe_later(p);
	return p->down ? DIRECTORY_DOWN : DIRECTORY_SUSPECTED;
}

enum directory_change directory_health_probed(struct directory_health *h, unsigned pos, enum directory_outcome outcome,
    int64_t asked, int64_t now)
{
	struct place *p = pos < AUTH_CHAIN_MAX ? &h->place[pos] : NULL;
	unsigned most = now - asked > 2 * HEALTH_PAUSE_MS ? HEALTH_PAUSE_SLOW_MS : HEALTH_PAUSE_MAX_MS;
	enum directory_change change;

	if (p == NULL || (!p->suspected && !p->down && outcome != DIRECTORY_ANSWERED))
		return DIRECTORY_SAME;
	change = directory_health_result(h, pos, outcome, asked, now);
	if (!p->suspected && !p->down)
		return change;
	p->pause = MAX(outcome != DIRECTORY_NOT_ASKED ? MIN(p->pause * 2, most) : p->pause, HEALTH_PAUSE_MS);
	probe_later(p);
	return change;
}

bool directory_health_confirm(struct directory_health *h, unsigned pos, int64_t asked)
{
	struct place *p = pos < AUTH_CHAIN_MAX ? &h->place[pos] : NULL;

	if (p == NULL || !p->suspected || p->answered > asked)
		return false;
	p->suspected = false;
	p->down = true;
	return true;
}

bool directory_health_down(const struct directory_health *h, unsigned pos)
{
	return pos < AUTH_CHAIN_MAX && h->place[pos].down;
}

unsigned directory_health_all_down(const struct directory_health *h)
{
	unsigned all = 0;

	for (unsigned i = 0; i < AUTH_CHAIN_MAX; i++)
		all |= (unsigned)h->place[i].down << i;
	return all;
}
