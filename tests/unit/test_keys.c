/* The master's keys.c and a key process, of which the test reads what it is told; and the watchdog's question to it. */
#include "tests/unit/msg_test.h"
#include "tests/unit/unit.h"

#include <errno.h>

#include "master/keys.c"
/* They have statics of one name. */
#define out watchdog_out
#include "master/watchdog.c"
#undef out
#include "node/msg_channel.h"

/* --- what is around them --- */

static char told[256]; /* a word for each message to the key process, and for each call */
static unsigned sends_left;
static unsigned certificates;

static void note_told(const char *word)
{
	CU_ASSERT_FATAL(strlen(told) + strlen(word) + 2 <= sizeof(told));
	if (told[0] != '\0')
		strcat(told, " ");
	strcat(told, word);
}

bool __wrap_children_send(struct child *c, const struct msgw *w, int fd);
bool __wrap_children_send(struct child *c UNUSED, const struct msgw *w, int fd)
{
	struct control_key key;
	struct msgr r;
	enum control_keys how;

	if (fd != -1 && sends_left-- == 0) {
		errno = EMFILE;
		return false;
	}
	msgr_begin(&r, w->buf, w->len);
	if (r.type == CTL_KEY && control_key_read(&r, &key))
		note_told(key.use);
	else if (r.type == CTL_KEYS && control_keys_read(&r, &how))
		note_told(how == CONTROL_KEYS_ALL ? "all" : how == CONTROL_KEYS_MORE ? "more" : "afresh");
	else
		note_told(r.type == CTL_PING ? "ping" : "other");
	return true;
}

void __wrap_children_begin(struct child *c);
void __wrap_children_begin(struct child *c UNUSED)
{
	note_told("begin");
}

void __wrap_missing_add(struct child *to, uint16_t what, struct child *other, unsigned slot);
void __wrap_missing_add(struct child *to UNUSED, uint16_t what, struct child *other UNUSED, unsigned slot UNUSED)
{
	CU_ASSERT_EQUAL(what, CTL_KEY);
	note_told("missing");
}

void __wrap_cert_files_each(const struct settings *set, cert_files_fn *fn, void *arg, struct cert_files_gaps *g);
void __wrap_cert_files_each(const struct settings *set UNUSED, cert_files_fn *fn, void *arg, struct cert_files_gaps *g)
{
	char use[] = "a";

	for (unsigned i = 0; i < certificates; i++, use[0]++)
		fn(arg, use, "/dev/null", "", "");
	g->n = 0;
}

const char *master_post_name(const struct post *p UNUSED, char dst[32])
{
	return strcpy(dst, "key 0");
}

void slots_update(struct master *x UNUSED) { }

void children_succeed(struct post *p UNUSED)
{
	CU_FAIL("it is not that late");
}

static struct settings *set;
static struct master m;
static struct post post = { .role = ROLE_KEY, .m = &m };
static struct child child;
static int far;

static void on_msg(struct chan *c UNUSED, struct msgr *r UNUSED, int fd UNUSED, void *arg UNUSED) { }

static void on_gone(struct chan *c UNUSED, void *arg UNUSED) { }

static void setup(unsigned n)
{
	int fd[2];

	set = settings_defaults();
	m = (struct master){ .loop = ev_default_loop(EVFLAG_AUTO), .set = set, .children = &child };
	memset(&child, 0, sizeof(child));
	child.post = &post;
	child.introduced = true;
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	child.control = chan_new(m.loop, fd[0], on_msg, on_gone, &child);
	far = fd[1];
	certificates = n;
	sends_left = UINT_MAX;
	m.children = NULL;
	keys_update(&m);
	m.children = &child;
	told[0] = '\0';
}

static void teardown(void)
{
	certificates = 0;
	m.children = NULL;
	keys_update(&m);
	keys_forget(&child);
	chan_free(&child.control);
	close(far);
	settings_free(&set);
}

/* From now on, what the key process was told is WANT. */
static void expect_told(const char *want)
{
	for (int i = 0; i < 10; i++)
		ev_run(m.loop, EVRUN_NOWAIT);
	CU_ASSERT_STRING_EQUAL(told, want);
	told[0] = '\0';
}

/* --- tests --- */

static void test_begin(void)
{
	setup(3);
	keys_begin(&child);
	CU_ASSERT(keys_are_waiting(&child));
	expect_told("afresh a b c all begin");
	CU_ASSERT_FALSE(keys_are_waiting(&child));
	teardown();
	setup(0);
	keys_begin(&child);
	expect_told("afresh all begin");
	teardown();
}

/* One that has begun is told that a key comes, and that it was all. */
static void test_renewal(void)
{
	setup(2);
	keys_begin(&child);
	expect_told("afresh a b all begin");
	find("a")->state = CHANGED;
	find("b")->state = CHANGED;
	advance(&m, find("a"), are_queued(&m));
	advance(&m, find("b"), are_queued(&m));
	CU_ASSERT(keys_are_waiting(&child));
	expect_told("more a b all begin"); /* which children_begin() has done */
	teardown();
}

/* A trial lasts until it was passed, and some checks at most: then it is passed once more. */
static void test_trial(void)
{
	setup(1);
	keys_begin(&child);
	expect_told("afresh a all begin");
	find("a")->state = CHANGED;
	advance(&m, find("a"), are_queued(&m));
	advance(&m, find("a"), are_queued(&m));
	CU_ASSERT_EQUAL(find("a")->state, TRIED);
	expect_told("more a all begin");
	advance(&m, find("a"), are_queued(&m));
	CU_ASSERT_EQUAL(find("a")->state, SETTLED);
	expect_told("more a all begin");
	find("a")->state = CHANGED;
	for (int i = 0; i < 1 + TRIAL_CHECKS; i++)
		advance(&m, find("a"), are_queued(&m));
	CU_ASSERT_EQUAL(find("a")->state, TRIED);
	advance(&m, find("a"), are_queued(&m));
	CU_ASSERT_EQUAL(find("a")->state, SETTLED);
	expect_told("more a a all begin");
	teardown();
}

/* Several that change at once do not wait for each other. */
static void test_trials_at_once(void)
{
	setup(2);
	keys_begin(&child);
	expect_told("afresh a b all begin");
	find("a")->state = find("b")->state = CHANGED;
	on_check(m.loop, &check, 0);
	expect_told("more a b all begin");
	on_check(m.loop, &check, 0);
	CU_ASSERT(find("a")->state == SETTLED && find("b")->state == SETTLED);
	expect_told("more a b all begin");
	teardown();
}

/* Descriptors run out: it does not begin, nor is it told that it has all, before all have been passed once more. */
static void test_lack(void)
{
	setup(3);
	sends_left = 1;
	keys_begin(&child);
	expect_told("afresh a missing");
	CU_ASSERT(keys_are_waiting(&child));
	sends_left = UINT_MAX;
	find("c")->state = CHANGED;
	advance(&m, find("c"), are_queued(&m));
	expect_told("");
	keys_repeat(&child);
	expect_told("afresh a b c all begin");
	CU_ASSERT_FALSE(keys_are_waiting(&child));
	keys_lack(&child); /* as it has said itself */
	expect_told("missing");
	keys_repeat(&child);
	expect_told("afresh a b c all begin");
	teardown();
}

/* One that still waits for its keys may hang, too. */
static void test_watched_before_it_begins(void)
{
	setup(1);
	m.state = MASTER_RUNNING;
	child.begun = false;
	watchdog_start(&m);
	on_tick(m.loop, &dog.tick, 0);
	ev_timer_stop(m.loop, &dog.tick);
	CU_ASSERT(child.watch.asked);
	expect_told("ping");
	teardown();
}

static const struct unit_case cases[] = {
	{ "a key process begins", test_begin },
	{ "a renewal", test_renewal },
	{ "a trial", test_trial },
	{ "trials at once", test_trials_at_once },
	{ "descriptors run out", test_lack },
	{ "watched before it begins", test_watched_before_it_begins },
	{ NULL, NULL },
};
UNIT_MAIN("keys", cases)
