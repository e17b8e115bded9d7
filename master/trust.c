/* Certificates of authorities, from a file to the login workers. */
#include "master/trust.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "authlib/userdb_image.h"
#include "lib/log.h"
#include "master/missing.h"
#include "master/trust_files.h"
#include "node/msg_key.h"

enum state { BELIEVED, REFUSED, GONE };

static char file[KEY_FILE_MAX]; /* "": there is none */
static uint64_t stamp;          /* of what was read last; 0: it has to be read again */
static enum state state;
static struct str pem; /* what is believed; it outlasts a file that is refused */
static struct str why; /* of what is not BELIEVED */
static ev_timer check;
static struct msgw out;

/* The first that is there. */
static const char *systems(void)
{
	static const char *const files[] = { "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (access(files[i], R_OK) == 0)
			return files[i];
	return "";
}

void trust_begin(struct child *c)
{
	struct control_key m = { .use = "peers" };
	int fd = trust_sealed(&pem);

	if (fd == -1) {
		missing_add(c, CTL_KEY, NULL, 0);
		return;
	}
	str_copy(m.file, sizeof(m.file), file);
	control_key_write(&out, &m);
	children_send(c, &out, fd);
	close(fd);
}

static void pass_to_all(const struct master *m)
{
	for (struct child *c = m->children; c != NULL; c = c->next)
		if (c->post->role == ROLE_WORKER && c->begun && c->control != NULL)
			trust_begin(c);
}

static const char *consequence(void)
{
	return pem.len != 0 ? "what it was before stays" : "no peer's certificate is believed";
}

/* Logs only what is new. */
static void take_state(enum state now, const struct str *reason)
{
	bool new = now != state || strcmp(str_cstr(reason), str_cstr(&why)) != 0;

	state = now;
	str_clear(&why);
	str_adds(&why, str_cstr(reason));
	if (now != BELIEVED && new)
		log_error("PROXY_TLS_CAFILE: %s; %s", str_cstr(&why), consequence());
}

/* A file that is there but of no use may be half a copy: it changes nothing. Whoever removes it, or names another that
 * is not there, wants those before to be believed no more. */
static void read_file(void)
{
	struct str new = STR_INIT, reason = STR_INIT;
	enum state now = BELIEVED;

	stamp = userdb_stamp(file);
	if (file[0] != '\0' && !trust_peers_file(file, &new, &reason))
		now = errno == ENOENT ? GONE : REFUSED;
	if (now == REFUSED) {
		str_fini(&new);
	} else {
		str_fini(&pem);
		pem = new;
	}
	take_state(now, &reason);
	str_fini(&reason);
}

static void on_check(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	if (userdb_stamp(file) == stamp)
		return;
	read_file();
	if (state != REFUSED)
		pass_to_all(t->data);
}

void trust_describe(struct str *s)
{
	if (file[0] == '\0')
		return;
	str_addf(s, "count\tauthorities_refused\t%d\n", state != BELIEVED);
	if (state != BELIEVED)
		str_addf(s, "note\tauthorities\t%s; %s\n", str_cstr(&why), consequence());
}

void trust_update(struct master *m)
{
	const char *wanted = m->set->proxy_PROXY_TLS_CAFILE[0] != '\0' ? m->set->proxy_PROXY_TLS_CAFILE : systems();

	str_copy(file, sizeof(file), protocols_forwarded(m->set) != 0 ? wanted : "");
	read_file();
	pass_to_all(m);
	ev_timer_stop(m->loop, &check);
	ev_timer_init(&check, on_check, TRUST_CHECK_SECONDS, TRUST_CHECK_SECONDS);
	check.data = m;
	if (file[0] != '\0')
		ev_timer_start(m->loop, &check);
}
