/* The POP3 dialogue with a peer: logs in there for a client, line by line. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "lib/b64.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "lib/str.h"
#include "lib/text.h"
#include "login/forwarded_text.h"
#include "login/node_mark.h"
#include "settings/capability.h"
#include "pop3d/pop3_login.h"

/* The command that the peer's next reply belongs to. Our own nodes, and peers whose greeting says [XCLIENT], get all
 * commands in one flight; others get each one after the reply to the one before. */
enum state {
	PEER_GREETING,
	PEER_STLS,
	PEER_CAPA,      /* within TLS: for the first line, which our nodes begin like a greeting */
	PEER_CAPA_LIST, /* the rest of it */
	PEER_XCLIENT,
	PEER_UTF8,
	PEER_USER,
	PEER_WAYS,      /* USER was refused: CAPA tells whether that is for the name, or the peer takes none by it */
	PEER_WAYS_LIST, /* the rest of it */
	PEER_PASS,
	PEER_AUTH,
	PEER_TOLD,     /* logged in: CAPA tells what it can do */
	PEER_TOLD_REST /* the rest of it */
};

enum { CAP_PIPELINES = 1, CAP_TOKEN = 2, CAP_XCLIENT = 4, CAP_USER = 8, CAP_PLAIN = 16 };

static void add_attribute(struct str *out, const char *name, const char *value)
{
	str_adds(out, name);
	str_adds(out, value);
}

/* XCLIENT has no quoting: values must be without blanks and control characters, as all of ours are. */
static void add_xclient(struct login *l, struct str *out)
{
	char ip[NET_IP_TEXT_MAX], auth[FORWARDED_TEXT_AUTH_MAX], tls[FORWARDED_TEXT_TLS_MAX], number[NUM_TEXT_MAX];
	char config[FORWARDED_TEXT_CONFIG_MAX];
	struct forwarded h;

	peer_login_forwarded(l, &h);
	add_attribute(out, "XCLIENT SESSION=", h.session_id);
	add_attribute(out, " TTL=", num_text(h.ttl, number));
	if (peer_login_tells_client(l)) {
		/* Dovecot takes no "IPV6:" before it, as SMTP has it. */
		add_attribute(out, " ADDR=", net_addr_text(&h.client, ip));
		add_attribute(out, " PORT=", num_text(h.client.port, number));
		add_attribute(out, " CLIENT-TRANSPORT=", h.tls ? "TLS" : "insecure");
	}
	if (h.signature != FORWARDED_SIGNATURE_NONE)
		add_attribute(out, " WAYPOST-AUTH=", forwarded_text_auth_make(&h, auth));
	if (h.tls_words[0] != '\0' && l->peer.mark == NODE_MARK_OTHER)
		add_attribute(out, " WAYPOST-TLS=", forwarded_text_tls_make(&h, tls));
	if (h.config[0] != '\0')
		add_attribute(out, " WAYPOST-CONFIG=", forwarded_text_config_make(&h, config));
	str_adds(out, "\r\n");
}

/* Blanks at the ends and a leading blank would not survive a line of words. */
static bool awkward(const char *s)
{
	size_t len = strlen(s);

	return s[0] == ' ' || s[len - 1] == ' ';
}

static void add_auth_plain(struct login *l, struct str *out)
{
	struct str raw = STR_INIT;

	str_addc(&raw, '\0');
	str_add(&raw, l->reply->name, strlen(l->reply->name) + 1);
	str_adds(&raw, l->password);
	str_adds(out, "AUTH PLAIN ");
	b64_encode(out, raw.data, raw.len);
	str_adds(out, "\r\n");
	str_fini_secret(&raw);
}

static bool by_token(const struct login *l)
{
	return (l->peer.caps & CAP_TOKEN) != 0 && peer_login_has_token(l);
}

/* The client's password is not known: our own nodes accept a token, others the master user. */
static void add_auth_other(struct login *l, struct str *out)
{
	if (by_token(l)) {
		str_adds(out, "AUTH X-WAYPOST-TOKEN ");
		peer_login_add_token(l, out);
	} else {
		str_adds(out, "AUTH PLAIN ");
		peer_login_add_master(l, out);
	}
	str_adds(out, "\r\n");
}

static bool by_other(const struct login *l)
{
	return l->reply->peer_credentials == AUTH_PEER_TOKEN_OR_MASTER;
}

static void add_user(struct login *l, struct str *out)
{
	str_adds(out, "USER ");
	str_adds(out, l->reply->name);
	str_adds(out, "\r\n");
}

static void add_pass(struct login *l, struct str *out)
{
	str_adds(out, "PASS ");
	str_adds(out, l->password);
	str_adds(out, "\r\n");
}

static bool wants_utf8(const struct login *l)
{
	const struct pop3_login *pl = l->data;

	return pl->utf8;
}

static void send_flight(struct login *l, struct str *out)
{
	add_xclient(l, out);
	if (wants_utf8(l))
		str_adds(out, "UTF8\r\n");
	if (by_other(l)) {
		add_auth_other(l, out);
	} else if (awkward(l->reply->name) || awkward(l->password)) {
		add_auth_plain(l, out);
	} else {
		add_user(l, out);
		add_pass(l, out);
	}
	l->peer.state = PEER_XCLIENT;
}

/* Continues after the reply to STATE; sends the next command unless the peer has it already. */
static enum backend_step next(struct login *l, struct str *out, enum state after)
{
	bool sent = (l->peer.caps & CAP_PIPELINES) != 0;

	if (after < PEER_UTF8 && wants_utf8(l)) {
		l->peer.state = PEER_UTF8;
		if (!sent)
			str_adds(out, "UTF8\r\n");
	} else if (by_other(l)) {
		l->peer.state = PEER_AUTH;
		if (!sent)
			add_auth_other(l, out);
	} else if (after < PEER_USER) {
		l->peer.state = sent && (awkward(l->reply->name) || awkward(l->password)) ? PEER_AUTH : PEER_USER;
		if (!sent)
			add_user(l, out);
	} else {
		l->peer.state = PEER_PASS;
		if (!sent)
			add_pass(l, out);
	}
	return BACKEND_STEP_MORE;
}

/* Codes that a client can use (RFC 2449, RFC 3206), and what they mean for the login. */
static const struct {
	const char *code;
	enum login_failure failure;
} codes[] = {
	{ "SYS/TEMP", FAILURE_TEMPORARY },
	{ "SYS/PERM", FAILURE_ADMIN },
	{ "IN-USE", FAILURE_IN_USE },
	{ "LOGIN-DELAY", FAILURE_TOO_SOON },
};

/* What the response code at the start of TEXT means, which is noted; WITHOUT if it has no code that we know. */
static enum login_failure code_failure(struct login *l, const char *text, enum login_failure without)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		size_t len = strlen(codes[i].code);

		/* What follows a slash is a detail of the code (RFC 2449 section 8). */
		if (text[0] == '[' && strncasecmp(text + 1, codes[i].code, len) == 0 &&
		    (text[1 + len] == ']' || text[1 + len] == '/')) {
			l->peer.code = codes[i].code;
			return codes[i].failure;
		}
	}
	return without;
}

/* The peer refuses with LINE. WITHOUT: what that means if there is no code that we know. */
static enum backend_step on_refusal(struct login *l, const char *line, enum login_failure without)
{
	const char *text = line + strcspn(line, " ");
	enum login_failure f;

	text += strspn(text, " ");
	f = code_failure(l, text, without);
	if ((l->peer.code == NULL || f == FAILURE_ADMIN) && failure_wants_tls(text))
		f = FAILURE_NEEDS_TLS;
	else if (f == FAILURE_REFUSED && l->peer.as_master)
		f = FAILURE_MASTER;
	return peer_login_fail(l, f, line);
}

/* LINE, the greeting or the like, says what the peer takes. */
static void take_greeting(struct login *l, const char *line)
{
	peer_login_take_greeting(l, line);
	if (strstr(line, "[XCLIENT]") != NULL)
		l->peer.caps |= CAP_XCLIENT;
	if (strstr(line, "[XCLIENT] [X-WAYPOST-TOKEN]") != NULL)
		l->peer.caps |= CAP_TOKEN;
}

static bool wants_stls(const struct login *l)
{
	return peer_login_target(l)->tls == PEER_TLS_STARTTLS;
}

static enum backend_step begin_login(struct login *l, struct str *out)
{
	if (peer_login_leads_back(l))
		return peer_login_fail(l, FAILURE_SELF, "");
	if (!peer_login_is_fit(l))
		return peer_login_fail(l, FAILURE_CONTROL_CHARS, "");
	if (by_other(l) && !by_token(l) && l->reply->master_user[0] == '\0')
		return peer_login_fail(l, FAILURE_NO_MASTER, "");
	if (l->peer.mark != NODE_MARK_NONE || (l->peer.caps & CAP_XCLIENT) != 0) {
		l->peer.caps |= CAP_PIPELINES;
		send_flight(l, out);
		return BACKEND_STEP_MORE;
	}
	if (!wants_stls(l) || !peer_login_tells_client(l))
		return next(l, out, PEER_XCLIENT);
	/* Servers announce XCLIENT in the greeting alone, which was in clear: so it is tried, nothing behind it, at
	 * those that the operator says take it. It begins no login: one that hangs up has seen none. */
	add_xclient(l, out);
	l->peer.state = PEER_XCLIENT;
	return BACKEND_STEP_ASK;
}

/* LINE, in clear, does not begin TLS: the peer has no time for us, or it does not do as it should. */
static enum backend_step no_tls(struct login *l, const char *line)
{
	bool refused = strncasecmp(line, "-ERR", 4) == 0;

	if (refused && (l->peer.state == PEER_GREETING || strncasecmp(line, "-ERR [SYS/TEMP", 14) == 0)) {
		peer_login_fail(l, FAILURE_TEMPORARY, line);
		return BACKEND_STEP_NEXT;
	}
	return peer_login_fail(l, FAILURE_NO_STARTTLS, line);
}

/* LINE came before TLS, as the greeting or as the reply to STLS. Somebody between may have said it: nothing of it is
 * kept, or reaches the client. */
static enum backend_step on_clear(struct login *l, const char *line, bool ok, struct str *out)
{
	if (!ok)
		return no_tls(l, line);
	if (l->peer.state == PEER_GREETING) {
		str_adds(out, "STLS\r\n");
		l->peer.state = PEER_STLS;
		return BACKEND_STEP_ASK;
	}
	str_adds(out, "CAPA\r\n");
	l->peer.state = PEER_CAPA;
	return BACKEND_STEP_TLS;
}

/* A line of the reply to CAPA. A peer may not know the command. */
static enum backend_step on_capa(struct login *l, const char *line, bool ok, struct str *out)
{
	if (l->peer.state == PEER_CAPA && ok) {
		take_greeting(l, line);
		l->peer.state = PEER_CAPA_LIST;
	} else if (l->peer.state == PEER_CAPA || strcmp(line, ".") == 0) {
		return begin_login(l, out);
	}
	return BACKEND_STEP_ASK;
}

static enum backend_step on_greeting(struct login *l, const char *line, struct str *out)
{
	take_greeting(l, line);
	if (line[0] != '-')
		return begin_login(l, out);
	on_refusal(l, line, FAILURE_TEMPORARY);
	return BACKEND_STEP_NEXT;
}

/* The peer refuses USER with LINE. One that has several mechanisms may know none but SASL's (RFC 2449 section 6.3). */
static enum backend_step on_user_refused(struct login *l, const char *line, struct str *out)
{
	enum backend_step step = on_refusal(l, line, FAILURE_REFUSED);

	if (l->peer.failure != FAILURE_REFUSED || (l->peer.caps & CAP_PIPELINES) != 0)
		return step;
	str_adds(out, "CAPA\r\n");
	l->peer.state = PEER_WAYS;
	return BACKEND_STEP_MORE;
}

/* The words of LINE, "SASL PLAIN ...", have PLAIN. */
static bool has_plain(const char *line)
{
	size_t len = strcspn(line, " ");
	bool is = text_is_word(line, len, "SASL");

	while (is && line[len] != '\0') {
		line += len + 1;
		len = strcspn(line, " ");
		if (text_is_word(line, len, "PLAIN"))
			return true;
	}
	return false;
}

/* A line of the reply to CAPA after USER was refused, whose reason is noted. */
static enum backend_step on_ways(struct login *l, const char *line, bool ok, struct str *out)
{
	if (l->peer.state == PEER_WAYS && ok) {
		l->peer.state = PEER_WAYS_LIST;
	} else if (l->peer.state == PEER_WAYS || strcmp(line, ".") == 0) {
		if ((l->peer.caps & (CAP_USER | CAP_PLAIN)) != CAP_PLAIN)
			return BACKEND_STEP_REFUSED;
		l->peer.failed = false;
		l->peer.state = PEER_AUTH;
		add_auth_plain(l, out);
	} else if (text_is_word(line, strlen(line), "USER")) {
		l->peer.caps |= CAP_USER;
	} else if (has_plain(line)) {
		l->peer.caps |= CAP_PLAIN;
	}
	return BACKEND_STEP_MORE;
}

static enum backend_step logged_in(struct login *l, struct str *out)
{
	if (!peer_login_asks_list(l))
		return BACKEND_STEP_OK;
	if (l->peer.mark == NODE_MARK_OTHER) {
		l->peer.has_list = true;
		capability_take(&l->peer.list, capability_ours(PROTOCOL_POP3));
		return BACKEND_STEP_OK;
	}
	str_adds(out, "CAPA\r\n");
	l->peer.state = PEER_TOLD;
	return BACKEND_STEP_MORE;
}

/* A line of the reply to CAPA after the login, which is good even if the peer does not know the command. */
static enum backend_step on_list(struct login *l, const char *line, bool ok)
{
	const char *name;

	l->peer.has_list = true;
	if (l->peer.state == PEER_TOLD && ok)
		l->peer.state = PEER_TOLD_REST;
	else if (l->peer.state == PEER_TOLD || strcmp(line, ".") == 0)
		return BACKEND_STEP_OK;
	else if ((name = capability_pop3_name(line)) != NULL)
		capability_take(&l->peer.list, name);
	return BACKEND_STEP_MORE;
}

/* LINE begins with the status indicator STATUS (RFC 1939 section 3), not with a longer word. */
static bool has_status(const char *line, const char *status)
{
	size_t len = strlen(status);

	return strncasecmp(line, status, len) == 0 && !isalnum((unsigned char)line[len]);
}

enum backend_step pop3_peer_line(const char *line, size_t len, struct str *out, uint64_t *skip UNUSED, void *arg)
{
	struct login *l = arg;
	bool ok = has_status(line, "+OK");
	bool clear = l->peer.state == PEER_STLS || (l->peer.state == PEER_GREETING && wants_stls(l));

	if (l->peer.state == PEER_GREETING && peer_login_is_program(l))
		l->peer.state = PEER_PASS;
	if (l->peer.state == PEER_GREETING && strncmp(line, "* ", 2) == 0)
		return peer_login_fail(l, FAILURE_INVALID,
		    "it sent an IMAP greeting. Set the port of POP3 in mailhost: HOST:imap=PORT:pop3=PORT");
	if (memchr(line, '\0', len) != NULL)
		return peer_login_fail(l, clear ? FAILURE_NO_STARTTLS : FAILURE_INVALID, line);
	if (clear)
		return on_clear(l, line, ok, out);
	if (l->peer.state == PEER_CAPA_LIST)
		return on_capa(l, line, ok, out);
	if (l->peer.state == PEER_TOLD_REST)
		return on_list(l, line, ok);
	if (l->peer.state == PEER_WAYS_LIST)
		return on_ways(l, line, ok, out);
	if (!ok && !has_status(line, "-ERR"))
		return peer_login_fail(l, FAILURE_INVALID, line);
	switch (l->peer.state) {
	case PEER_GREETING:
		return on_greeting(l, line, out);
	case PEER_CAPA:
		return on_capa(l, line, ok, out);
	case PEER_XCLIENT: /* a peer may refuse it; the login does not depend on it */
		return next(l, out, PEER_XCLIENT);
	case PEER_UTF8:
		/* The client has an OK for UTF8: a peer without it must not get the session. */
		return ok ? next(l, out, PEER_UTF8) : on_refusal(l, line, FAILURE_INVALID);
	case PEER_USER:
		return ok ? next(l, out, PEER_USER) : on_user_refused(l, line, out);
	case PEER_WAYS:
		return on_ways(l, line, ok, out);
	case PEER_TOLD:
		return on_list(l, line, ok);
	default:
		peer_login_take_note(l, line);
		return ok ? logged_in(l, out) : on_refusal(l, line, FAILURE_REFUSED);
	}
}
