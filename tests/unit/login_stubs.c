/* A login for tests of the dialects, and the certificates of its worker. */
#include "tests/unit/login_stubs.h"

#include "login/certificates.h"
#include "login/login_env.h"

SSL_CTX *login_stub_tls;

bool __wrap_certificates_by_address(const struct certificates *c, enum protocol p);
SSL_CTX *__wrap_certificates_context(struct certificates *c, enum protocol p, bool starttls,
    const struct net_addr *here);

bool __wrap_certificates_by_address(const struct certificates *c UNUSED, enum protocol p UNUSED)
{
	return false;
}

SSL_CTX *__wrap_certificates_context(struct certificates *c UNUSED, enum protocol p UNUSED, bool starttls UNUSED,
    const struct net_addr *here UNUSED)
{
	return login_stub_tls;
}

void login_stub_init(struct login *l, const struct login_dialect *d, const struct settings *set)
{
	static struct login_env env;

	memset(l, 0, sizeof(*l));
	l->dialect = d;
	l->set = set;
	l->env = &env;
	l->data = mem_alloc(d->data_size);
}

void login_stub_fini(struct login *l)
{
	l->dialect->fini(l);
	mem_free(&l->data);
	mem_free(&l->forwarded);
	mem_free(&l->user);
	mem_free_secret(&l->password);
	str_fini(&l->out);
	str_fini(&l->in);
	str_fini(&l->peer.capability);
	str_fini(&l->peer.list);
	str_fini(&l->peer.alerts);
	str_fini(&l->peer.behind);
}

void login_stub_feed(struct login *l, const char *p, size_t len, size_t step, struct str *log)
{
	size_t seen = 0, off = 0;

	/* As the engine does: passes what is there from OFF on, then again with more bytes. */
	while (seen < len) {
		seen = MIN(seen + step, len);
		while (off < seen) {
			char *copy = mem_memdup(p + off, seen - off); /* so that a sanitizer sees a read beyond it */
			size_t used = 0;
			enum login_event e = l->dialect->input(l, copy, seen - off, &used);

			mem_free(&copy);
			off += used;
			str_add(log, str_cstr(&l->out), l->out.len);
			str_clear(&l->out);
			if (e == LOGIN_EVENT_MORE)
				break;
			if (e == LOGIN_EVENT_CREDENTIALS) {
				str_addf(log, "<%s|%s|%s>%s\n", l->method, l->user, l->password,
				    exchange_answers(l) ? " answers" : "");
				l->exchange = auth_mech_exchange(l->mech) == AUTH_EXCHANGE_STEPS ? EXCHANGE_CHALLENGED :
				                                                                   EXCHANGE_NONE;
			}
			if (e == LOGIN_EVENT_CHALLENGE) {
				l->exchange = EXCHANGE_CHALLENGED;
				l->dialect->challenge(l, "<1.2@n>");
				str_add(log, str_cstr(&l->out), l->out.len);
				str_clear(&l->out);
			}
			if (e == LOGIN_EVENT_QUIT || e == LOGIN_EVENT_FATAL) {
				str_adds(log, e == LOGIN_EVENT_QUIT ? "<quit>\n" : "<fatal>\n");
				return;
			}
			if ((e == LOGIN_EVENT_BAD || e == LOGIN_EVENT_INSECURE) && l->exchange != EXCHANGE_GREETED)
				l->exchange = EXCHANGE_NONE;
			if (e == LOGIN_EVENT_INSECURE)
				str_adds(log, "<insecure>\n");
			if (e == LOGIN_EVENT_TLS) {
				str_adds(log, "<tls>\n");
				return;
			}
			if (e == LOGIN_EVENT_HTTP) {
				str_adds(log, "<http>\n");
				return;
			}
		}
	}
}
