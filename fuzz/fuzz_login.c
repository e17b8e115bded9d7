/* Bytes of a client before login, and of a peer during a login, to both dialects. The first byte chooses. */
#include <ev.h>
#include <stdlib.h>

#include "imapd/imap_login.h"
#include "lib/text.h"
#include "pop3d/pop3_login.h"
#include "tests/unit/login_stubs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed_client(struct login *l, const char *p, size_t len, size_t step)
{
	struct str log = STR_INIT;

	login_stub_feed(l, p, len, step, &log);
	str_fini(&log);
}

/* Whatever the peer says, the client gets whole lines, of which those before the last BEHIND bytes have no control
 * characters: what is behind the reply is of the session. */
static void check_told(const struct str *out, size_t behind)
{
	for (size_t i = 0; i < out->len; i++) {
		bool cr = out->data[i] == '\r', lf = out->data[i] == '\n';

		if ((i + behind < out->len && text_is_control(out->data[i]) && !cr && !lf) ||
		    (cr && out->data[i + 1] != '\n') || (lf && (i == 0 || out->data[i - 1] != '\r')))
			abort();
	}
	if (out->len != 0 && out->data[out->len - 1] != '\n')
		abort();
}

static void feed_peer(struct login *l, const char *p, size_t len)
{
	const struct backend_fns fns = { .line = l->dialect->peer_line };
	static struct auth_reply reply;
	enum backend_step step = BACKEND_STEP_MORE;
	uint64_t skip = 0;

	strcpy(reply.name, "user");
	strcpy(reply.session_id, "sid");
	net_addr_parse(&reply.client, "192.0.2.7", 99);
	reply.ntargets = 1;
	l->reply = &reply;
	reply.peer_credentials = len % 3 == 0 ? AUTH_PEER_TOKEN_OR_MASTER : AUTH_PEER_CLIENT_PASSWORD;
	reply.time = len % 2;
	reply.local_server = len % 11 == 0;
	strcpy(reply.master_user, len % 5 == 0 ? "" : "master");
	l->password = mem_strdup(len % 2 == 0 ? "password" : "\xe4 ");
	net_addr_parse(&reply.target[0].addr, "127.0.0.1", 1);
	reply.target[0].tls = len % 7 == 0 ? PEER_TLS_STARTTLS : PEER_TLS_NONE;
	l->backend = backend_start(EV_DEFAULT, &reply.target[0].addr, 1, 1, &fns, l);
	while (len != 0 && step <= BACKEND_STEP_TLS) {
		const char *lf = memchr(p, '\n', len);
		size_t n = lf != NULL ? (size_t)(lf - p) : len;
		size_t text = n != 0 && p[n - 1] == '\r' ? n - 1 : n; /* as proxy/backend.c does it */
		char *line = mem_memdup(p, text);
		struct str out = STR_INIT;

		step = l->dialect->peer_line(line, text, &out, &skip, l);
		str_fini(&out);
		mem_free(&line);
		p += n;
		len -= n;
		if (len != 0) {
			p++;
			len--;
		}
	}
	if (step == BACKEND_STEP_OK)
		l->dialect->accepted(l);
	else if (step > BACKEND_STEP_TLS)
		l->dialect->refuse(l, l->peer.failure);
	check_told(&l->out, step == BACKEND_STEP_OK ? l->peer.behind.len : 0);
	backend_free(&l->backend);
	l->reply = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct settings *set;
	struct login l;

	if (set == NULL) {
		set = settings_defaults();
		mem_free(&set->imapd_IMAP_CAPABILITY);
		set->imapd_IMAP_CAPABILITY =
		    mem_strdup("IMAP4rev1 AUTH=PLAIN AUTH=CRAM-MD5 AUTH=CRAM-SHA1 AUTH=CRAM-SHA256 AUTH=SCRAM-SHA-256");
		mem_free(&set->pop3d_POP3AUTH);
		set->pop3d_POP3AUTH = mem_strdup("PLAIN APOP CRAM-MD5 SCRAM-SHA-1");
		set->has_pool_secret = true;
		mem_free(&set->imapd_ssl_TLS_CERTFILE);
		set->imapd_ssl_TLS_CERTFILE = mem_strdup("/cert");
		mem_free(&set->pop3d_ssl_TLS_CERTFILE);
		set->pop3d_ssl_TLS_CERTFILE = mem_strdup("/cert");
		login_stub_tls = (SSL_CTX *)&set; /* is not used */
		mem_free(&set->node_id);
		set->node_id = mem_strdup("00112233445566778899aabbccddeeff");
	}
	if (size == 0)
		return 0;
	set->has_tls[PROTOCOL_IMAP] = set->has_tls[PROTOCOL_POP3] = (data[0] & 0x80) != 0; /* it is a stranger, too */
	login_stub_init(&l, (data[0] & 1) != 0 ? &imap_login_dialect : &pop3_login_dialect, set);
	if ((data[0] & 2) != 0)
		feed_peer(&l, (const char *)data + 1, size - 1);
	else
		feed_client(&l, (const char *)data + 1, size - 1, ((data[0] >> 2) & 31) + 1);
	login_stub_fini(&l);
	return 0;
}
