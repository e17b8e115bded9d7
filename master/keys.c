/* Certificates and their keys, from files to key processes. */
#include "master/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "master/cert_files.h"
#include "master/cert_news.h"
#include "master/missing.h"
#include "node/msg_control.h"
#include "node/msg_key.h"

/* In the order in which they are passed. */
enum { OCSP, CERTIFICATE, KEY, FILES };

/* By what a file that changed is told. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

/* As long as key processes have others to read first, a trial lasts on, for so many checks at most: one of them may be
 * stopped. */
enum { TRIAL_CHECKS = 2 };

enum state {
	CHANGED, /* and may still: passed when a check finds it as the one before */
	TRIED,   /* passed; if it was refused, it may have been seen half-way, and is passed once more */
	SETTLED
};

/* A certificate of the settings. */
struct certificate {
	char *use;
	char *file[FILES]; /* "" as OCSP: there is none; as KEY: the certificate's file has it */
	struct stamp stamp[FILES];
	uint32_t number; /* 0: none yet */
	enum state state;
	unsigned waited;   /* checks in which the trial could not end */
	bool found, fresh; /* in this check: it is there; it differs */
	bool lost;         /* it was not there in the check before */
	UT_hash_handle hh_use, hh_number;
};

static struct certificate *first; /* and the table by use: in the order in which they were found */
static struct certificate *by_number;
static uint32_t numbers; /* the last one given */
static struct cert_files_gaps gaps;
static ev_timer check;
static struct msgw out;

bool keys_wanted(const struct settings *set)
{
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (protocol_settings(set, p).has_certificate)
			return true;
	return set->proxy_PROXY_TLS_CERTFILE[0] != '\0';
}

/* --- to key processes --- */

static bool are_short(void)
{
	return errno == EMFILE || errno == ENFILE;
}

/* -1: it is not there, which is told; or we lack descriptors. */
static int open_file(const struct child *to, const struct certificate *c, const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char why[KEY_WHY_MAX];

	if (fd == -1 && file != c->file[OCSP] && !are_short()) {
		snprintf(why, sizeof(why), "%.*s: %s", KEY_WHY_MAX / 2, file, strerror(errno));
		cert_news_refuse(c->number, to->post->slot, why);
	}
	return fd;
}

enum passing { PASSED, ABSENT, LACKING /* descriptors: it is repeated */ };

static enum passing pass_file(struct child *to, const struct certificate *c, int file, bool more)
{
	struct control_key m = { .key = c->number, .more = more, .ocsp = file == OCSP };
	int fd = open_file(to, c, c->file[file]);
	bool sent;

	if (fd == -1 && !are_short())
		return ABSENT;
	str_copy(m.use, sizeof(m.use), c->use);
	snprintf(m.file, sizeof(m.file), "%s", c->file[file]);
	control_key_write(&out, &m);
	sent = fd != -1 && children_send(to, &out, fd);
	if (fd != -1)
		close(fd);
	if (!sent)
		keys_lack(to);
	return sent ? PASSED : LACKING;
}

static void pass(struct child *to, const struct certificate *c)
{
	bool two = c->file[KEY][0] != '\0';

	if (c->file[OCSP][0] != '\0' && pass_file(to, c, OCSP, true) == LACKING)
		return;
	if (pass_file(to, c, CERTIFICATE, two) == PASSED && two)
		pass_file(to, c, KEY, false);
}

static void say_coming(struct child *to, enum control_keys how)
{
	to->keys_coming = how != CONTROL_KEYS_ALL;
	control_keys_write(&out, how);
	children_send(to, &out, -1);
}

void keys_lack(struct child *c)
{
	key_queue_clear(&c->keys);
	c->keys_lacked = true;
	missing_add(c, CTL_KEY, NULL, 0);
}

/* Descriptors on their way are the master's: so a key is passed when there is room for it on the channel. One that has
 * another number by now comes later. */
static bool pass_next(struct chan *ch UNUSED, void *arg)
{
	struct child *to = arg;
	const struct certificate *c;
	uint32_t number;

	if (key_queue_take(&to->keys, &number)) {
		HASH_FIND(hh_number, by_number, &number, sizeof(number), c);
		if (c != NULL)
			pass(to, c);
		return true;
	}
	if (!to->keys_lacked) {
		say_coming(to, CONTROL_KEYS_ALL);
		children_begin(to);
	}
	return false;
}

static void pass_later(struct child *to, uint32_t number)
{
	if (to->control == NULL || to->keys_lacked)
		return;
	if (!to->keys_coming)
		say_coming(to, CONTROL_KEYS_MORE);
	key_queue_add(&to->keys, number);
	chan_feed(to->control, pass_next);
}

static bool is_key_process(const struct child *c)
{
	return c->post->role == ROLE_KEY && c->introduced && c->control != NULL;
}

static void pass_to_all(const struct master *m, const struct certificate *cert)
{
	for (struct child *c = m->children; c != NULL; c = c->next)
		if (is_key_process(c))
			pass_later(c, cert->number);
}

static void take_away(const struct master *m, const struct certificate *cert)
{
	struct control_key_gone gone = { .key = cert->number };

	str_copy(gone.use, sizeof(gone.use), cert->use);
	control_key_gone_write(&out, &gone);
	for (struct child *c = m->children; cert->number != 0 && c != NULL; c = c->next)
		if (is_key_process(c))
			children_send(c, &out, -1);
}

/* --- files that change --- */

/* A file that is not there has a stamp of zeros. */
static struct stamp stamp_of(const char *file)
{
	struct stamp s;
	struct stat st;

	memset(&s, 0, sizeof(s)); /* they are compared as bytes */
	if (file[0] == '\0' || stat(file, &st) != 0)
		return s;
	s.dev = st.st_dev;
	s.ino = st.st_ino;
	s.size = st.st_size;
	s.mtime = st.st_mtim;
	s.ctime = st.st_ctim;
	return s;
}

static bool take_stamps(struct certificate *c)
{
	bool changed = false;

	for (int i = 0; i < FILES; i++) {
		struct stamp now = stamp_of(c->file[i]);

		changed = changed || memcmp(&now, &c->stamp[i], sizeof(now)) != 0;
		c->stamp[i] = now;
	}
	return changed;
}

static void give_number(struct certificate *c)
{
	if (c->number != 0)
		HASH_DELETE(hh_number, by_number, c);
	c->number = ++numbers;
	HASH_ADD(hh_number, by_number, number, sizeof(c->number), c);
	cert_news_given(c->use, c->file[CERTIFICATE], c->number);
}

static bool set_file(struct certificate *c, int i, const char *file)
{
	if (c->file[i] != NULL && strcmp(c->file[i], file) == 0)
		return false;
	mem_free(&c->file[i]);
	c->file[i] = mem_strdup(file);
	return true;
}

static struct certificate *find(const char *use)
{
	struct certificate *c;

	HASH_FIND(hh_use, first, use, strlen(use), c);
	return c;
}

static void on_found(void *arg UNUSED, const char *use, const char *file, const char *key, const char *ocsp)
{
	struct certificate *c = find(use);
	bool other;

	if (c == NULL) {
		c = mem_alloc(sizeof(*c));
		c->use = mem_strdup(use);
		HASH_ADD_KEYPTR(hh_use, first, c->use, strlen(c->use), c);
	}
	other = set_file(c, CERTIFICATE, file);
	other = set_file(c, KEY, key) || other;
	other = set_file(c, OCSP, ocsp) || other;
	c->fresh = take_stamps(c) || other;
	if (c->fresh)
		c->state = CHANGED;
	c->found = true;
}

static void drop(const struct master *m, struct certificate *c)
{
	take_away(m, c);
	HASH_DELETE(hh_use, first, c);
	if (c->number != 0)
		HASH_DELETE(hh_number, by_number, c);
	for (int i = 0; i < FILES; i++)
		mem_free(&c->file[i]);
	mem_free(&c->use);
	mem_free(&c);
}

/* Forgets what is gone: what was not there in two checks, or at once if SURE. */
static void forget(const struct master *m, bool sure)
{
	struct certificate *next;

	for (struct certificate *c = first; c != NULL; c = next) {
		next = c->hh_use.next;
		if (!c->found && (sure || c->lost))
			drop(m, c);
		else
			c->lost = !c->found;
	}
}

static bool has_gap(const struct cert_files_gaps *all, const struct cert_files_gap *one)
{
	for (unsigned i = 0; i < all->n; i++)
		if (all->gap[i].error == one->error && strcmp(all->gap[i].folder, one->folder) == 0)
			return true;
	return false;
}

/* Logs only what is new. */
static void take_gaps(const struct cert_files_gaps *new)
{
	struct str text = STR_INIT;

	for (unsigned i = 0; i < new->n; i++)
		if (!has_gap(&gaps, &new->gap[i])) {
			str_clear(&text);
			cert_files_gap_text(&new->gap[i], &text);
			log_error("%s", str_cstr(&text));
		}
	str_fini(&text);
	gaps = *new;
}

void keys_describe(struct str *s)
{
	for (unsigned i = 0; i < gaps.n; i++) {
		str_adds(s, "note\tcertificate\t");
		cert_files_gap_text(&gaps.gap[i], s);
		str_addc(s, '\n');
	}
	if (first != NULL)
		str_addf(s, "count\tcertificates_not_found\t%d\n", gaps.n != 0);
}

static void look(const struct master *m, bool sure)
{
	bool was_blind = cert_files_gaps_are_blind(&gaps), is_blind;
	struct cert_files_gaps now;

	for (struct certificate *c = first; c != NULL; c = c->hh_use.next)
		c->found = false;
	cert_files_each(m->set, on_found, NULL, &now);
	take_gaps(&now);
	is_blind = cert_files_gaps_are_blind(&now);
	if (!is_blind)
		forget(m, sure);
	for (struct child *c = m->children; was_blind && !is_blind && c != NULL; c = c->next)
		if (is_key_process(c))
			keys_repeat(c); /* one that has begun meanwhile lacks what is there */
	cert_news_begin();
	for (const struct certificate *c = first; c != NULL; c = c->hh_use.next)
		cert_news_keep(c->use);
	cert_news_end();
}

static bool are_queued(const struct master *m)
{
	for (const struct child *c = m->children; c != NULL; c = c->next)
		if (is_key_process(c) && keys_are_waiting(c))
			return true;
	return false;
}

/* What did not change since the check before is whole, but for files that are replaced one after the other with time
 * in between: they do not fit together then, are refused, and get one more check. QUEUED: key processes have not been
 * passed everything yet that the check before had to pass. */
static void advance(const struct master *m, struct certificate *c, bool queued)
{
	if (c->state == CHANGED) {
		give_number(c);
		cert_news_begin_trial(c->number);
		pass_to_all(m, c);
		c->state = TRIED;
		c->waited = 0;
	} else if (c->state == TRIED && queued && c->waited < TRIAL_CHECKS) {
		c->waited++;
	} else if (c->state == TRIED) {
		if (cert_news_end_trial(c->number))
			pass_to_all(m, c);
		c->state = SETTLED;
	}
}

static void on_check(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	const struct master *m = t->data;
	bool queued;

	look(m, false);
	queued = are_queued(m); /* before this check passes any */
	for (struct certificate *c = first; c != NULL; c = c->hh_use.next)
		if (c->found && !c->fresh)
			advance(m, c, queued);
	cert_news_tick((int64_t)time(NULL));
}

void keys_update(struct master *m)
{
	look(m, true);
	for (struct certificate *c = first; c != NULL; c = c->hh_use.next) {
		if (c->state != CHANGED && cert_news_is_taken(c->number))
			continue;
		give_number(c);
		c->state = SETTLED;
		pass_to_all(m, c);
	}
	ev_timer_stop(m->loop, &check);
	ev_timer_init(&check, on_check, KEYS_CHECK_SECONDS, KEYS_CHECK_SECONDS);
	check.data = m;
	if (keys_wanted(m->set))
		ev_timer_start(m->loop, &check);
}

/* What C has of them it does not take again. */
void keys_repeat(struct child *c)
{
	if (c->control == NULL)
		return;
	key_queue_clear(&c->keys);
	c->keys_lacked = false;
	say_coming(c, CONTROL_KEYS_AFRESH);
	for (const struct certificate *cert = first; cert != NULL; cert = cert->hh_use.next)
		if (cert->number != 0)
			pass_later(c, cert->number);
	chan_feed(c->control, pass_next); /* there may be none any more */
}

void keys_begin(struct child *c)
{
	keys_repeat(c);
	cert_news_begun(c->post->slot);
}

bool keys_are_waiting(const struct child *c)
{
	return c->keys_coming;
}

void keys_forget(struct child *c)
{
	key_queue_clear(&c->keys);
}
