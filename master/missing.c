/* Retries what could not be passed to a role. */
#include "master/missing.h"

#include <inttypes.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "master/slots.h"
#include "settings/limits.h"

enum { AGAIN_SECONDS = 1, QUIET_SECONDS = 3 };

enum missing_state {
	MISSING_LACKED, /* to be sent again */
	MISSING_SENT    /* it was; no complaint has come yet */
};

struct missing {
	struct missing *next;
	struct child *to, *other;
	uint16_t what;
	unsigned slot;
	enum missing_state state;
	double sent;
};

static struct missing *list;
static ev_timer again;

static const char *word(uint16_t what)
{
	switch (what) {
	case CTL_CHANNEL:
		return "a channel";
	case CTL_LISTEN:
		return "listening sockets";
	case CTL_KEY:
		return "certificates";
	case CTL_TRUST:
		return "authorities of certificates";
	default:
		return "the new settings";
	}
}

static bool is_same(const struct missing *x, const struct child *to, uint16_t what, const struct child *other,
    unsigned slot)
{
	return x->what == what && x->slot == slot &&
	    ((x->to == to && x->other == other) || (x->to == other && x->other == to));
}

/* True: X is settled and can be forgotten. */
static bool look_after(struct missing *x)
{
	char name[32];

	if (x->state == MISSING_LACKED) {
		x->state = MISSING_SENT;
		x->sent = clock_now();
		children_repeat(x->to, x->what, x->other, x->slot);
		return false;
	}
	if (clock_now() - x->sent < QUIET_SECONDS)
		return false;
	log_info("%s (pid %ld) has %s now", master_post_name(x->to->post, name), (long)x->to->pid, word(x->what));
	return true;
}

static void on_again(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	struct master *m = list != NULL ? list->to->post->m : NULL;

	for (struct missing **p = &list; *p != NULL;) {
		struct missing *x = *p;

		if (!look_after(x)) {
			p = &x->next;
			continue;
		}
		*p = x->next;
		mem_free(&x);
	}
	if (list == NULL)
		ev_timer_stop(loop, t);
	if (m != NULL)
		slots_update(m);
}

void missing_add(struct child *to, uint16_t what, struct child *other, unsigned slot)
{
	struct missing *x;
	char name[32], whose[32] = "";

	for (x = list; x != NULL; x = x->next)
		if (is_same(x, to, what, other, slot)) {
			x->state = MISSING_LACKED;
			return;
		}
	log_error("%s (pid %ld) lacks %s%s%s because descriptors ran out; retrying. Set LimitNOFILE=%" PRIu64
	          " in the service unit",
	    master_post_name(to->post, name), (long)to->pid, word(what), other != NULL ? " to " : "",
	    other != NULL ? master_post_name(other->post, whose) : "", limits_more_descriptors(to->post->m->set));
	x = mem_alloc(sizeof(*x));
	x->to = to;
	x->other = other;
	x->what = what;
	x->slot = slot;
	x->next = list;
	list = x;
	if (again.data == NULL) {
		again.data = &list;
		ev_timer_init(&again, on_again, AGAIN_SECONDS, AGAIN_SECONDS);
	}
	ev_timer_start(to->post->m->loop, &again); /* unless it runs */
}

void missing_forget(const struct child *c)
{
	for (struct missing **p = &list; *p != NULL;) {
		struct missing *x = *p;

		if (x->to != c && x->other != c) {
			p = &x->next;
			continue;
		}
		*p = x->next;
		mem_free(&x);
	}
}

bool missing_sockets(const struct child *c)
{
	for (const struct missing *x = list; x != NULL; x = x->next)
		if (x->to == c && x->what == CTL_LISTEN)
			return true;
	return false;
}

unsigned missing_count(void)
{
	unsigned n = 0;

	for (const struct missing *x = list; x != NULL; x = x->next)
		n++;
	return n;
}
