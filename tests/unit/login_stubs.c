/* Stubs of the functions of a login worker, for tests of the dialects. */
#include "tests/unit/login_stubs.h"

#include <stdlib.h>

#include "login/worker.h"

SSL_CTX *login_stub_tls;

/* One function a line. */
/* clang-format off */
struct ev_loop *worker_loop(struct worker *w UNUSED) { abort(); }
const struct settings *worker_settings(struct worker *w UNUSED) { abort(); }
void worker_set_stranger(struct worker *w UNUSED, struct login *l UNUSED, bool is UNUSED) { abort(); }
void worker_weigh(struct worker *w UNUSED, struct login *l UNUSED) { abort(); }
void worker_stray_header(struct worker *w UNUSED, const struct login *l UNUSED) { abort(); }
void worker_add(struct worker *w UNUSED, struct login *l UNUSED) { abort(); }
void worker_remove(struct worker *w UNUSED, struct login *l UNUSED) { abort(); }
struct str *worker_greeting(struct worker *w UNUSED, enum protocol protocol UNUSED, unsigned kind UNUSED) { abort(); }
SSL_CTX *worker_starttls(struct worker *w UNUSED, const struct login *l UNUSED) { return login_stub_tls; }
void worker_send_credentials(struct worker *w UNUSED, struct login *l UNUSED) { abort(); }
bool worker_request_challenge(struct worker *w UNUSED, struct login *l UNUSED, enum auth_mech mech UNUSED) { abort(); }
void worker_end_exchange(struct worker *w UNUSED, struct login *l UNUSED) { abort(); }
void worker_relay_here(struct worker *w UNUSED, struct login *l UNUSED) { abort(); }
bool worker_hand_off(struct worker *w UNUSED, struct login *l UNUSED) { abort(); }
void worker_session_end(struct worker *w UNUSED, uint64_t session UNUSED) { abort(); }
void worker_peer_result(struct worker *w UNUSED, uint64_t session UNUSED, unsigned target UNUSED, enum peer_result result UNUSED, uint32_t took UNUSED) { abort(); }
void worker_peer_trouble(struct worker *w UNUSED, const struct login *l UNUSED, enum peer_trouble_kind kind UNUSED, const char *host UNUSED, const struct net_addr *addr UNUSED, const char *why UNUSED) { abort(); }
void worker_peer_signature(struct worker *w UNUSED, const char *host UNUSED, enum signature_check check UNUSED) { abort(); }
SSL *worker_tls(struct worker *w UNUSED, const struct auth_target *t UNUSED) { abort(); }
void worker_arrived(struct worker *w UNUSED, uint64_t session UNUSED, unsigned target UNUSED) { abort(); }
/* clang-format on */
void worker_relay(struct worker *w UNUSED, struct login *l UNUSED, struct conn *client UNUSED, struct conn *peer UNUSED,
    struct str *to_client UNUSED, struct str *to_server UNUSED)
{
	abort();
}

bool worker_draining(const struct worker *w UNUSED)
{
	abort();
}

void login_stub_init(struct login *l, const struct login_dialect *d, const struct settings *set)
{
	memset(l, 0, sizeof(*l));
	l->dialect = d;
	l->set = set;
	l->data = mem_alloc(d->data_size);
}

void login_stub_fini(struct login *l)
{
	l->dialect->fini(l);
	mem_free(&l->data);
	mem_free(&l->user);
	mem_free_secret(&l->password);
	str_fini(&l->out);
	str_fini(&l->in);
	str_fini(&l->peer.capability);
	str_fini(&l->peer.alerts);
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
