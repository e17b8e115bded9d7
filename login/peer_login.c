/* What the dialects' dialogues with a peer share. */
#include "login/peer_login.h"

#include <string.h>

#include "lib/b64.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "lib/text.h"
#include "login/login.h"
#include "settings/peer_hosts.h"

void peer_login_forget_words(struct login *l)
{
	str_fini(&l->peer.capability);
	str_fini(&l->peer.list);
	str_fini(&l->peer.alerts);
	str_fini(&l->peer.behind);
	memset(&l->peer, 0, sizeof(l->peer));
}

void peer_login_take_greeting(struct login *l, const char *line)
{
	const char *id;

	l->peer.mark = node_mark_read(line, l->set->node_id, &id);
	if (id != NULL)
		memcpy(l->peer.node_id, id, NODE_ID_LEN);
}

bool peer_login_asks_list(const struct login *l)
{
	return peer_login_target(l)->list == AUTH_LIST_ASK;
}

bool peer_login_has_token(const struct login *l)
{
	return l->peer.mark == NODE_MARK_OTHER && l->reply->time != 0;
}

void peer_login_add_token(const struct login *l, struct str *out)
{
	char token[TOKEN_TEXT_MAX];
	struct str raw = STR_INIT;

	str_room(&raw, ACCOUNT_NAME_MAX + TOKEN_TEXT_MAX);
	str_add(&raw, l->reply->name, strlen(l->reply->name) + 1);
	str_adds(&raw, forwarded_token(peer_login_target(l)->token_key, l->peer.node_id, token));
	b64_encode(out, raw.data, raw.len);
	str_fini_secret(&raw);
	mem_wipe(token, sizeof(token));
}

void peer_login_add_master(struct login *l, struct str *out)
{
	const struct auth_reply *a = l->reply;
	struct str raw = STR_INIT;

	l->peer.as_master = true;
	str_room(&raw, 2 * ACCOUNT_NAME_MAX + ACCOUNT_PASSWORD_MAX);
	str_add(&raw, a->name, strlen(a->name) + 1);
	str_add(&raw, a->master_user, strlen(a->master_user) + 1);
	str_adds(&raw, a->peer_password);
	b64_encode(out, raw.data, raw.len);
	str_fini_secret(&raw);
}

/* What a peer means that accepts no login without TLS: only in most cases the TLS with us. */
static enum login_failure why_needs_tls(struct login *l)
{
	if (signature_check_bad(l->peer.signature)) {
		l->peer.code = NULL;
		return FAILURE_UNBELIEVED;
	}
	if (peer_login_has_token(l) && !l->reply->client_tls)
		return FAILURE_CLIENT_TLS;
	if (peer_login_target(l)->tls == PEER_TLS_NONE)
		return FAILURE_NEEDS_TLS;
	l->peer.code = NULL;
	return FAILURE_ADMIN;
}

enum backend_step peer_login_fail(struct login *l, enum login_failure f, const char *text)
{
	l->peer.failed = true;
	l->peer.failure = f == FAILURE_NEEDS_TLS ? why_needs_tls(l) : f;
	log_clean(l->peer.said, sizeof(l->peer.said), text);
	return f == FAILURE_INVALID  ? BACKEND_STEP_INVALID :
	    f == FAILURE_NO_STARTTLS ? BACKEND_STEP_NO_TLS :
	    f == FAILURE_TEMPORARY   ? BACKEND_STEP_LATER :
	                               BACKEND_STEP_REFUSED;
}

bool peer_login_is_fit(const struct login *l)
{
	const struct auth_reply *a = l->reply;

	return text_is_plain(a->name) && text_is_plain(l->password) && text_is_plain(a->master_user) &&
	    text_is_plain(a->peer_password) && session_id_ok(a->session_id);
}

void peer_login_take_note(struct login *l, const char *line)
{
	if (l->peer.mark == NODE_MARK_OTHER)
		l->peer.signature = signature_check_read(line);
}

bool peer_login_is_program(const struct login *l)
{
	return l->reply != NULL && l->reply->local && l->reply->local_server;
}

bool peer_login_leads_back(const struct login *l)
{
	return l->peer.mark == NODE_MARK_SELF || (l->reply->local_server && l->peer.mark == NODE_MARK_OTHER);
}

const struct auth_target *peer_login_target(const struct login *l)
{
	return &l->reply->target[backend_index(l->backend)];
}

bool peer_login_tells_client(const struct login *l)
{
	const struct auth_target *t = peer_login_target(l);

	return l->peer.mark == NODE_MARK_OTHER || l->reply->local_server ||
	    peer_hosts_has(l->set->proxy_PROXY_SEND_ID, t->host, &t->addr);
}

void peer_login_forwarded(const struct login *l, struct forwarded *out)
{
	const struct auth_reply *a = l->reply;

	memset(out, 0, sizeof(*out));
	out->present = true;
	str_copy(out->session_id, sizeof(out->session_id), a->session_id);
	out->client = a->client;
	out->tls = a->client_tls;
	str_copy(out->tls_words, sizeof(out->tls_words), a->client_tls_words);
	out->ttl = a->ttl;
	out->signature = l->peer.mark != NODE_MARK_OTHER ? FORWARDED_SIGNATURE_NONE :
	    a->time != 0                                 ? FORWARDED_SIGNATURE_MADE :
	                                                   FORWARDED_SIGNATURE_NO_SECRET;
	out->time = a->time;
	memcpy(out->mac, peer_login_target(l)->mac, sizeof(out->mac));
	memcpy(out->tls_mac, peer_login_target(l)->tls_mac, sizeof(out->tls_mac));
	if (out->signature != FORWARDED_SIGNATURE_MADE) /* it is not for others to know */
		return;
	str_copy(out->config, sizeof(out->config), a->config);
	memcpy(out->config_mac, peer_login_target(l)->config_mac, sizeof(out->config_mac));
}
