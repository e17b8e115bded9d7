/* Authorities, from files to those who verify. */
#include "master/authorities.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"
#include "master/authority_file.h"
#include "master/missing.h"
#include "node/msg_control.h"

static const double check_seconds = 1;

static struct authority_file *file[CONTROL_TRUST_COUNT]; /* protocols may share one; NULL: nobody is asked */
static const struct str nobody = STR_INIT;
static ev_timer check;
static struct msgw out;

/* --- to those who verify --- */

static bool wants(const struct child *c, unsigned whose)
{
	return c->begun && c->control != NULL &&
	    (c->post->role == ROLE_WORKER || (c->post->role == ROLE_AUTHD && whose != CONTROL_TRUST_PEERS));
}

/* A memory file that nobody can change. -1, which was logged: there is none. */
static int sealed(const struct str *pem)
{
	int fd = memfd_create("trust", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd != -1 && write(fd, pem->data, pem->len) == (ssize_t)pem->len &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
		return fd;
	log_error("cannot pass certificates of authorities: %s", strerror(errno));
	if (fd != -1)
		close(fd);
	return -1;
}

static int sealed_set(unsigned whose)
{
	return sealed(file[whose] != NULL ? &file[whose]->pem : &nobody);
}

/* FD: sealed() */
static void pass(struct child *to, unsigned whose, int fd)
{
	control_trust_write(&out, whose);
	if (fd == -1 || !children_send(to, &out, fd))
		missing_add(to, CTL_TRUST, NULL, whose);
}

void authorities_repeat(struct child *c, unsigned whose)
{
	int fd = wants(c, whose) ? sealed_set(whose) : -1;

	if (wants(c, whose))
		pass(c, whose, fd);
	if (fd != -1)
		close(fd);
}

/* Where no certificate is asked for any more, authd believes none; workers, which are those of before, still ask for
 * them, and keep what they have until they are replaced. */
static void pass_to_all(const struct master *m, unsigned whose)
{
	int fd = sealed_set(whose);

	for (struct child *c = m->children; c != NULL; c = c->next)
		if (wants(c, whose) && (file[whose] != NULL || c->post->role != ROLE_WORKER))
			pass(c, whose, fd);
	if (fd != -1)
		close(fd);
}

void authorities_begin(struct child *c)
{
	for (unsigned i = 0; i < CONTROL_TRUST_COUNT; i++)
		if (file[i] != NULL)
			authorities_repeat(c, i);
}

/* --- from the files --- */

static void on_check(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	bool changed[CONTROL_TRUST_COUNT];

	for (unsigned i = 0; i < CONTROL_TRUST_COUNT; i++) {
		unsigned first = authority_file_first(file, i);

		changed[i] =
		    first < i ? changed[first] : file[i] != NULL && authority_file_look(file[i], (int64_t)time(NULL));
	}
	for (unsigned i = 0; i < CONTROL_TRUST_COUNT; i++)
		if (changed[i])
			pass_to_all(t->data, i);
}

/* What the settings name. */
struct named {
	const char *setting, *whose, *path; /* PATH "": none */
	bool is_ours;
};

static struct named named_for(const struct settings *set, unsigned whose)
{
	struct named n = { "PROXY_TLS_CAFILE", "peer", "", true };
	struct protocol_settings s;

	if (whose == CONTROL_TRUST_PEERS) {
		n.is_ours = set->proxy_PROXY_TLS_CAFILE[0] != '\0';
		if (protocols_forwarded(set) != 0)
			n.path = n.is_ours ? set->proxy_PROXY_TLS_CAFILE : authority_file_systems();
		return n;
	}
	s = protocol_settings(set, (enum protocol)whose);
	if (s.tls_served && strcmp(s.tls_verifypeer, "NONE") != 0)
		n.path = s.tls_trustcerts;
	n.setting = "TLS_TRUSTCERTS";
	n.whose = "client";
	return n;
}

/* The one of FILES that N means: what was kept of it is kept, whoever has named it before. */
static struct authority_file *find(struct authority_file *const files[CONTROL_TRUST_COUNT], const struct named *n)
{
	for (unsigned i = 0; i < CONTROL_TRUST_COUNT; i++)
		if (files[i] != NULL && strcmp(files[i]->path, n->path) == 0 &&
		    strcmp(files[i]->setting, n->setting) == 0)
			return files[i];
	return NULL;
}

static bool is_used(const struct authority_file *f)
{
	for (unsigned i = 0; i < CONTROL_TRUST_COUNT; i++)
		if (file[i] == f)
			return true;
	return false;
}

/* Of FILES, which may have one twice. */
static void free_unused(struct authority_file *const files[CONTROL_TRUST_COUNT])
{
	for (unsigned i = CONTROL_TRUST_COUNT; i-- > 0;) {
		struct authority_file *f = files[i];

		if (f != NULL && authority_file_first(files, i) == i && !is_used(f))
			authority_file_free(&f);
	}
}

void authorities_update(struct master *m)
{
	struct authority_file *before[CONTROL_TRUST_COUNT];

	memcpy(before, file, sizeof(before));
	memset(file, 0, sizeof(file));
	for (unsigned i = 0; i < CONTROL_TRUST_COUNT; i++) {
		struct named n = named_for(m->set, i);

		if (n.path[0] == '\0')
			continue;
		if ((file[i] = find(file, &n)) == NULL && (file[i] = find(before, &n)) == NULL)
			file[i] = authority_file_new(n.setting, n.whose, n.path, n.is_ours);
		file[i]->is_ours = n.is_ours;
	}
	for (unsigned i = 0; i < CONTROL_TRUST_COUNT; i++)
		if (file[i] != before[i])
			pass_to_all(m, i);
	free_unused(before);
	ev_timer_stop(m->loop, &check);
	ev_timer_init(&check, on_check, check_seconds, check_seconds);
	check.data = m;
	ev_timer_start(m->loop, &check);
}

void authorities_describe(struct str *s)
{
	authority_files_describe(file, CONTROL_TRUST_COUNT, s, (int64_t)time(NULL));
}
