/* Keeps what was read of both files, and says what has changed. */
#include "authd/orders.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "authlib/userdb.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"

enum { CHANGES_LOGGED = 20, TIME_TEXT_MAX = 32 };

struct source {
	char *path; /* "": there is none */
	struct peer_orders all;
	unsigned bad;
};

struct orders {
	struct source from[ORDERS_SOURCES];
	struct userdb_watch watch; /* of the monitor's */
	orders_up_fn *up;
	void *arg;
};

static const char *const names[ORDERS_SOURCES] = { [ORDERS_OPERATOR] = "operator", [ORDERS_MONITOR] = "monitor" };

struct orders *orders_new(orders_up_fn *up, void *arg)
{
	struct orders *o = mem_alloc(sizeof(*o));

	o->up = up;
	o->arg = arg;
	for (enum orders_by by = 0; by < ORDERS_SOURCES; by++)
		o->from[by].path = mem_strdup("");
	return o;
}

void orders_free(struct orders **o)
{
	if (*o == NULL)
		return;
	for (enum orders_by by = 0; by < ORDERS_SOURCES; by++) {
		mem_free(&(*o)->from[by].path);
		peer_orders_fini(&(*o)->from[by].all);
	}
	mem_free(o);
}

/* --- for people --- */

static const char *time_text(int64_t t, char out[TIME_TEXT_MAX])
{
	time_t clock = (time_t)t;
	struct tm tm;

	if (gmtime_r(&clock, &tm) == NULL || strftime(out, TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		out[0] = '\0';
	return out;
}

const char *orders_why(const struct peer_order *order, enum orders_by by, char out[ORDERS_WHY_MAX])
{
	char when[TIME_TEXT_MAX];

	snprintf(out, ORDERS_WHY_MAX, "the %s said so at %s", names[by], time_text(order->since, when));
	return out;
}

void orders_describe(const struct orders *o, struct str *out)
{
	char why[ORDERS_WHY_MAX];

	for (enum orders_by by = 0; by < ORDERS_SOURCES; by++)
		for (unsigned i = 0; i < o->from[by].all.n; i++) {
			const struct peer_order *order = &o->from[by].all.order[i];

			peer_order_name(order, out);
			if (order->protocol != PROTOCOL_COUNT)
				str_addf(out, " %s", protocols[order->protocol].name);
			str_addf(out, ": %s, %s\n", peer_word_text(order->word), orders_why(order, by, why));
		}
}

unsigned orders_list(const struct orders *o, enum peer_word word, struct str *out)
{
	char when[TIME_TEXT_MAX];
	unsigned n = 0;

	for (enum orders_by by = 0; by < ORDERS_SOURCES; by++)
		for (unsigned i = 0; i < o->from[by].all.n; i++) {
			const struct peer_order *order = &o->from[by].all.order[i];

			if (order->word != word)
				continue;
			str_adds(out, n++ != 0 ? " " : "");
			peer_order_name(order, out);
			str_addf(out, "(%s%s%s,%s)",
			    order->protocol != PROTOCOL_COUNT ? protocols[order->protocol].name : "",
			    order->protocol != PROTOCOL_COUNT ? "," : "", names[by], time_text(order->since, when));
		}
	return n;
}

unsigned orders_bad_lines(const struct orders *o)
{
	return o->from[ORDERS_MONITOR].bad;
}

/* --- changes --- */

static enum peer_word word_of(const struct peer_order *order)
{
	return order != NULL ? order->word : PEER_WORD_UP;
}

static void log_change(const struct peer_order *order, enum peer_word word, enum orders_by by)
{
	static const char *const what[PEER_WORDS] = {
		[PEER_WORD_UP] = "gets logins again",
		[PEER_WORD_DRAIN] = "gets logins only of accounts that no other host serves",
		[PEER_WORD_DOWN] = "gets no logins",
	};
	struct str name = STR_INIT;

	peer_order_name(order, &name);
	log_info("peer %s%s%s is %s, says the %s: it %s", str_cstr(&name), order->protocol != PROTOCOL_COUNT ? " " : "",
	    order->protocol != PROTOCOL_COUNT ? protocols[order->protocol].name : "", peer_word_text(word), names[by],
	    what[word]);
	str_fini(&name);
}

/* Logs where NEW differs from OLD, and tells of what is up now. */
static void compare(struct orders *o, const struct peer_orders *old, const struct peer_orders *new, enum orders_by by)
{
	unsigned n = 0;

	for (unsigned i = 0; i < new->n; i++) {
		const struct peer_order *was = peer_orders_find(old, &new->order[i]);

		if (word_of(was) != new->order[i].word && n++ < CHANGES_LOGGED)
			log_change(&new->order[i], new->order[i].word, by);
		if (new->order[i].word == PEER_WORD_UP && (was == NULL || was->word != PEER_WORD_UP))
			o->up(&new->order[i], o->arg);
	}
	for (unsigned i = 0; i < old->n; i++)
		if (old->order[i].word != PEER_WORD_UP && peer_orders_find(new, &old->order[i]) == NULL &&
		    n++ < CHANGES_LOGGED)
			log_change(&old->order[i], PEER_WORD_UP, by);
	if (n > CHANGES_LOGGED)
		log_info("the %s says %u things more of peers; see `waypost peer`", names[by], n - CHANGES_LOGGED);
}

/* Who does not say since when: since it was first read there. */
static void date(struct peer_orders *new, const struct peer_orders *old, int64_t changed)
{
	for (unsigned i = 0; i < new->n; i++) {
		struct peer_order *order = &new->order[i];
		const struct peer_order *was = peer_orders_find(old, order);

		if (order->since == 0)
			order->since = was != NULL && was->word == order->word ? was->since : changed;
	}
}

static void log_bad(const char *path, const char *bad)
{
	for (const char *p = bad; *p != '\0'; p += strcspn(p, "\n") + 1)
		log_error("%s: %.*s; the line is left out, the others count", path, (int)strcspn(p, "\n"), p);
}

/* A file that cannot be read changes nothing; one that is not there says nothing. */
static void read_again(struct orders *o, enum orders_by by)
{
	struct source *s = &o->from[by];
	struct peer_orders new = { 0 };
	struct str text = STR_INIT, why = STR_INIT;
	int64_t changed = 0;
	int got = s->path[0] != '\0' ? peer_orders_read_file(s->path, &text, &changed, &why) : 0;

	if (got == -1) {
		log_error("%s; what it said before still counts", str_cstr(&why));
		s->bad = 1;
	} else {
		s->bad = peer_orders_parse(&new, str_cstr(&text), text.len, &why);
		log_bad(s->path, str_cstr(&why));
		date(&new, &s->all, changed);
		compare(o, &s->all, &new, by);
		peer_orders_fini(&s->all);
		s->all = new;
	}
	str_fini(&text);
	str_fini(&why);
}

void orders_use(struct orders *o, const char *operators, const char *monitors)
{
	const char *const paths[ORDERS_SOURCES] = { [ORDERS_OPERATOR] = operators, [ORDERS_MONITOR] = monitors };

	for (enum orders_by by = 0; by < ORDERS_SOURCES; by++) {
		mem_free(&o->from[by].path);
		o->from[by].path = mem_strdup(paths[by]);
	}
	read_again(o, ORDERS_OPERATOR);
	read_again(o, ORDERS_MONITOR);
	userdb_watch_init(&o->watch);
	if (monitors[0] != '\0')
		userdb_watch_poll(&o->watch, monitors, clock_now()); /* it was read just now */
}

void orders_changed(struct orders *o)
{
	read_again(o, ORDERS_OPERATOR);
}

void orders_tick(struct orders *o, double now)
{
	const char *path = o->from[ORDERS_MONITOR].path;

	if (path[0] != '\0' && userdb_watch_poll(&o->watch, path, now) != 0)
		read_again(o, ORDERS_MONITOR);
}

const struct peer_order *orders_about(const struct orders *o, const char *host, const struct net_addr *addr,
    uint16_t port, enum protocol p, enum orders_by *by)
{
	const struct peer_order *found = NULL;

	for (enum orders_by i = 0; i < ORDERS_SOURCES; i++) {
		const struct peer_order *order = peer_orders_about(&o->from[i].all, host, addr, port, p);

		if (order != NULL && (found == NULL || order->word > found->word)) {
			found = order;
			*by = i;
		}
	}
	return found;
}
