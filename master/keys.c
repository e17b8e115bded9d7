/* Certificates and their keys, from files to key processes. */
#include "master/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"
#include "master/cert_news.h"
#include "node/msg_key.h"

enum { CERTIFICATE, KEY, FILES };

/* By what a file that changed is told. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};

/* A certificate of the settings. */
struct certificate {
	struct certificate *next;
	char use[KEY_USE_MAX];
	char *file[FILES]; /* "" as KEY: the certificate's file has it */
	struct stamp stamp[FILES];
	uint32_t number;
};

static struct certificate *first;
static uint32_t numbers; /* the last one given */
static ev_timer check;
static struct msgw out;

bool keys_wanted(const struct settings *set)
{
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		struct protocol_settings s = protocol_settings(set, p);

		if (s.tls_served && s.tls_certfile[0] != '\0')
			return true;
	}
	return false;
}

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

static int open_file(const struct certificate *c, const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char why[KEY_WHY_MAX];

	if (fd == -1) {
		snprintf(why, sizeof(why), "%.*s: %s", KEY_WHY_MAX / 2, file, strerror(errno));
		cert_news_refuse(c->number, why);
	}
	return fd;
}

static bool pass_file(struct child *to, const struct certificate *c, int file, bool more)
{
	struct control_key m = { .key = c->number, .more = more };
	int fd = open_file(c, c->file[file]);
	bool sent;

	if (fd == -1)
		return false;
	str_copy(m.use, sizeof(m.use), c->use);
	snprintf(m.file, sizeof(m.file), "%s", c->file[file]);
	control_key_write(&out, &m);
	sent = children_send(to, &out, fd);
	close(fd);
	return sent;
}

static void pass(struct child *to, const struct certificate *c)
{
	bool two = c->file[KEY][0] != '\0';

	if (pass_file(to, c, CERTIFICATE, two) && two)
		pass_file(to, c, KEY, false);
}

static bool is_key_process(const struct child *c)
{
	return c->post->role == ROLE_KEY && c->begun && c->control != NULL;
}

static void pass_to_all(const struct master *m, const struct certificate *cert)
{
	for (struct child *c = m->children; c != NULL; c = c->next)
		if (is_key_process(c))
			pass(c, cert);
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
	c->number = ++numbers;
	cert_news_given(c->use, c->file[CERTIFICATE], c->number);
}

static void on_check(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	for (struct certificate *c = first; c != NULL; c = c->next) {
		if (!take_stamps(c))
			continue;
		give_number(c);
		pass_to_all(t->data, c);
	}
	cert_news_tick((int64_t)time(NULL));
}

static void free_all(struct certificate *c)
{
	while (c != NULL) {
		struct certificate *next = c->next;

		for (int i = 0; i < FILES; i++)
			mem_free(&c->file[i]);
		mem_free(&c);
		c = next;
	}
}

static void add(const char *use, const char *file, const char *key)
{
	struct certificate *c = mem_alloc(sizeof(*c));

	snprintf(c->use, sizeof(c->use), "%s", use);
	c->file[CERTIFICATE] = mem_strdup(file);
	c->file[KEY] = mem_strdup(key);
	take_stamps(c);
	give_number(c);
	c->next = first;
	first = c;
}

/* What is no longer in the settings leaves the key processes. */
static void forget(const struct master *m, const struct certificate *old)
{
	for (; old != NULL; old = old->next) {
		bool is_used = false;

		for (const struct certificate *c = first; c != NULL; c = c->next)
			is_used = is_used || strcmp(c->use, old->use) == 0;
		if (is_used)
			continue;
		control_key_gone_write(&out, old->number);
		for (struct child *c = m->children; c != NULL; c = c->next)
			if (is_key_process(c))
				children_send(c, &out, -1);
	}
}

void keys_update(struct master *m)
{
	struct certificate *old = first;

	first = NULL;
	cert_news_begin();
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		struct protocol_settings s = protocol_settings(m->set, p);

		if (s.tls_served && s.tls_certfile[0] != '\0')
			add(protocols[p].ssl_group, s.tls_certfile, s.tls_keyfile);
	}
	cert_news_end();
	for (const struct certificate *c = first; c != NULL; c = c->next)
		pass_to_all(m, c);
	forget(m, old);
	free_all(old);
	ev_timer_stop(m->loop, &check);
	ev_timer_init(&check, on_check, KEYS_CHECK_SECONDS, KEYS_CHECK_SECONDS);
	check.data = m;
	if (first != NULL)
		ev_timer_start(m->loop, &check);
}

void keys_begin(struct child *c)
{
	for (const struct certificate *cert = first; cert != NULL; cert = cert->next)
		pass(c, cert);
}
