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

static struct authority_file file[CONTROL_TRUST_COUNT];
static unsigned source[CONTROL_TRUST_COUNT]; /* which file is whose: protocols may share one */
static ev_timer check;
static struct msgw out;

/* The system's: the first that is there. */
static const char *systems(void)
{
	static const char *const files[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (access(files[i], R_OK) == 0)
			return files[i];
	return "";
}

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

/* FD: sealed() */
static void pass(struct child *to, unsigned whose, int fd)
{
	control_trust_write(&out, whose);
	if (fd == -1 || !children_send(to, &out, fd))
		missing_add(to, CTL_TRUST, NULL, whose);
}

void authorities_repeat(struct child *c, unsigned whose)
{
	int fd = wants(c, whose) ? sealed(&file[source[whose]].pem) : -1;

	if (wants(c, whose))
		pass(c, whose, fd);
	if (fd != -1)
		close(fd);
}

/* Where no certificate is asked for any more, authd believes none; workers, which are those of before, still ask for
 * them, and keep what they have until they are replaced. */
static void pass_to_all(const struct master *m, unsigned whose)
{
	bool used = file[source[whose]].path[0] != '\0';
	int fd = sealed(&file[source[whose]].pem);

	for (struct child *c = m->children; c != NULL; c = c->next)
		if (wants(c, whose) && (used || c->post->role != ROLE_WORKER))
			pass(c, whose, fd);
	if (fd != -1)
		close(fd);
}

static bool is_used(unsigned whose)
{
	const char *path = file[source[whose]].path;

	return path != NULL && path[0] != '\0';
}

void authorities_begin(struct child *c)
{
	for (unsigned i = 0; i < CONTROL_TRUST_COUNT; i++)
		if (is_used(i))
			authorities_repeat(c, i);
}

/* --- from the files --- */

static void on_check(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	bool changed[CONTROL_TRUST_COUNT];

	for (unsigned i = 0; i < CONTROL_TRUST_COUNT; i++)
		changed[i] = authority_file_look(&file[i], (int64_t)time(NULL));
	for (unsigned i = 0; i < CONTROL_TRUST_COUNT; i++)
		if (changed[source[i]])
			pass_to_all(t->data, i);
}

/* Of clients: the protocol whose file PATH is, P or an earlier one. */
static unsigned source_of(enum protocol p, const char *path)
{
	for (enum protocol other = 0; other < p && path[0] != '\0'; other++)
		if (strcmp(file[other].path, path) == 0)
			return other;
	return p;
}

void authorities_update(struct master *m)
{
	const char *peers = m->set->proxy_PROXY_TLS_CAFILE[0] != '\0' ? m->set->proxy_PROXY_TLS_CAFILE : systems();
	bool changed[CONTROL_TRUST_COUNT];

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const struct protocol_settings s = protocol_settings(m->set, p);
		const char *path = s.tls_served && strcmp(s.tls_verifypeer, "NONE") != 0 ? s.tls_trustcerts : "";
		unsigned before = source[p];

		source[p] = source_of(p, path);
		file[p].setting = "TLS_TRUSTCERTS";
		file[p].whose = "client";
		changed[p] = authority_file_set(&file[p], source[p] == p ? path : "");
		changed[p] = changed[source[p]] || source[p] != before;
	}
	source[CONTROL_TRUST_PEERS] = CONTROL_TRUST_PEERS;
	file[CONTROL_TRUST_PEERS].setting = "PROXY_TLS_CAFILE";
	file[CONTROL_TRUST_PEERS].whose = "peer";
	changed[CONTROL_TRUST_PEERS] =
	    authority_file_set(&file[CONTROL_TRUST_PEERS], protocols_forwarded(m->set) != 0 ? peers : "");
	for (unsigned i = 0; i < CONTROL_TRUST_COUNT; i++)
		if (changed[i])
			pass_to_all(m, i);
	ev_timer_stop(m->loop, &check);
	ev_timer_init(&check, on_check, check_seconds, check_seconds);
	check.data = m;
	ev_timer_start(m->loop, &check);
}

void authorities_describe(struct str *s)
{
	authority_files_describe(file, CONTROL_TRUST_COUNT, s, (int64_t)time(NULL));
}
