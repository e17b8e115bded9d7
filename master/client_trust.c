/* Authorities of clients' certificates, from files to those who verify. */
#include "master/client_trust.h"

#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "master/trust_files.h"
#include "node/msg_control.h"

/* Of a protocol that asks for certificates. */
struct source {
	char *path;     /* "": it does not ask */
	struct str pem; /* as it was read last; empty: never */
	struct str why; /* why it could not be read the last time; empty: it could */
};

static struct source source[PROTOCOL_COUNT];
static bool missed;
static ev_timer check;
static struct msgw out;

/* --- to those who verify --- */

static bool wants(const struct child *c)
{
	return (c->post->role == ROLE_WORKER || c->post->role == ROLE_AUTHD) && c->begun && c->control != NULL;
}

static void pass(struct child *to, enum protocol p, int fd)
{
	control_trust_write(&out, p);
	children_send(to, &out, fd);
}

static void pass_to_all(const struct master *m, enum protocol p)
{
	int fd = trust_sealed(&source[p].pem);

	for (struct child *c = m->children; fd != -1 && c != NULL; c = c->next)
		if (wants(c))
			pass(c, p, fd);
	if (fd != -1)
		close(fd);
}

/* Logs only what is new. */
static void complain(struct source *s, const struct str *why)
{
	if (why->len != 0 && strcmp(str_cstr(why), str_cstr(&s->why)) != 0)
		log_error("cannot read TLS_TRUSTCERTS %s: %s; %s", s->path, str_cstr(why),
		    s->pem.len != 0 ? "what it was before stays" : "clients with certificates are refused");
	str_clear(&s->why);
	str_adds(&s->why, str_cstr(why));
}

/* True: it holds something else than before. */
static bool read_again(struct source *s)
{
	struct str pem = STR_INIT, why = STR_INIT;
	bool changed = trust_files(s->path, &pem, &why) &&
	    (pem.len != s->pem.len || memcmp(str_cstr(&pem), str_cstr(&s->pem), pem.len) != 0);

	complain(s, &why);
	if (changed) {
		str_fini(&s->pem);
		s->pem = pem;
	} else {
		str_fini(&pem);
	}
	str_fini(&why);
	return changed;
}

static void on_check(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	bool again = missed;

	missed = false;
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (source[p].path[0] != '\0' && (read_again(&source[p]) || (again && source[p].pem.len != 0)))
			pass_to_all(t->data, p);
}

void client_trust_missed(void)
{
	missed = true;
}

void client_trust_update(struct master *m)
{
	bool any = false;

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const struct protocol_settings s = protocol_settings(m->set, p);
		bool asks = s.tls_served && strcmp(s.tls_verifypeer, "NONE") != 0;

		mem_free(&source[p].path);
		source[p].path = mem_strdup(asks ? s.tls_trustcerts : "");
		str_fini(&source[p].pem);
		str_clear(&source[p].why);
		any = any || source[p].path[0] != '\0';
	}
	ev_timer_stop(m->loop, &check);
	ev_timer_init(&check, on_check, CLIENT_TRUST_CHECK_SECONDS, CLIENT_TRUST_CHECK_SECONDS);
	check.data = m;
	if (any)
		ev_timer_start(m->loop, &check);
	on_check(m->loop, &check, 0);
}

void client_trust_begin(struct child *c)
{
	for (enum protocol p = 0; p < PROTOCOL_COUNT && wants(c); p++) {
		int fd = source[p].path != NULL && source[p].pem.len != 0 ? trust_sealed(&source[p].pem) : -1;

		if (fd == -1)
			continue;
		pass(c, p, fd);
		close(fd);
	}
}
