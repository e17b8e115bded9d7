/* The IMAP dialogue with a client before login: turns commands into events for login/login.c, and its decisions into
 * replies. */
#include "imapd/imap_login.h"

#include <string.h>
#include <strings.h>

#include "imapd/imap_capability.h"
#include "imapd/imap_id.h"
#include "imapd/imap_id_list.h"
#include "lib/b64.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "login/client_reply.h"
#include "login/credentials.h"
#include "login/external.h"
#include "login/http_request.h"
#include "login/login_env.h"
#include "login/node_mark.h"
#include "settings/capability.h"

/* --- answers --- */

static enum login_event bad(struct login *l, const char *text)
{
	struct imap_login *il = l->data;

	str_addf(&l->out, "%s BAD %s\r\n", il->tag, text);
	return LOGIN_EVENT_BAD;
}

static void add_capabilities(struct login *l)
{
	const char *list = imap_capability_list(l->set, l->tls);
	bool wants_tls = login_wants_tls(l);
	struct str found = STR_INIT, withheld = STR_INIT;
	const struct imap_login *il = l->data;
	char name[ACCOUNT_NAME_MAX];

	if (capability_is_auto(list)) {
		imap_capability_add_auto(&found, str_cstr(&l->env->common[PROTOCOL_IMAP]), list);
		list = str_cstr(&found);
	}
	imap_capability_withheld(l->set, il->client, &withheld);
	imap_capability(&l->out, list, str_cstr(&withheld),
	    wants_tls ? IMAP_CAPABILITY_LOGINDISABLED : IMAP_CAPABILITY_BEFORE);
	str_fini(&found);
	str_fini(&withheld);
	if (login_offers_tls(l) == LOGIN_TLS_OFFERED)
		str_adds(&l->out, " STARTTLS");
	if (wants_tls)
		str_adds(&l->out, " LOGINDISABLED");
	if (external_name(l, name))
		str_adds(&l->out, " AUTH=EXTERNAL");
	if (l->set->has_pool_secret) /* for the other nodes, who log in by it whatever is announced to clients */
		str_adds(&l->out, wants_tls ? " X-WAYPOST-TOKEN" : " AUTH=X-WAYPOST-TOKEN");
}

enum { GREETING_SIZE_HINT = 400 }; /* bytes */

static void greet(struct login *l, const char *challenge UNUSED)
{
	str_room(&l->out, GREETING_SIZE_HINT);
	str_adds(&l->out, "* OK ");
	if (!external_is_possible(l)) { /* else it depends on a certificate that was not shown yet: clients ask */
		str_adds(&l->out, "[CAPABILITY ");
		add_capabilities(l);
		str_adds(&l->out, "] ");
	}
	node_mark_add(&l->out, l->set->node_id);
	str_adds(&l->out, "\r\n");
}

static void refuse(struct login *l, enum login_failure f)
{
	struct imap_login *il = l->data;

	il->in_sasl = false;
	sasl_end(&il->sasl);
	if (!l->peer.as_master) /* alerts for the master user are not for this user */
		str_add(&l->out, str_cstr(&l->peer.alerts), l->peer.alerts.len);
	str_addf(&l->out, "%s NO ", il->tag);
	client_reply_refusal(l, f);
	str_adds(&l->out, "\r\n");
}

static void bye(struct login *l, enum login_bye why)
{
	static const char *const texts[] = {
		[LOGIN_BYE_TIMEOUT] = "The login took too long.",
		[LOGIN_BYE_ERRORS] = "Too many errors.",
		[LOGIN_BYE_TOO_LONG] = "Too much at once.",
		[LOGIN_BYE_DRAIN] = "[UNAVAILABLE] This server accepts no logins now, please try again.",
		[LOGIN_BYE_SHUTDOWN] = "[UNAVAILABLE] The server is shutting down.",
		[LOGIN_BYE_FULL] = "[UNAVAILABLE] The server is full, please try again later.",
		[LOGIN_BYE_KICK] = "Disconnected by the administrator.",
	};

	str_addf(&l->out, "* BYE %s\r\n", texts[why]);
}

static enum login_event refuse_insecure(struct login *l)
{
	refuse(l, FAILURE_INSECURE);
	return LOGIN_EVENT_INSECURE;
}

/* --- commands --- */

static enum login_event cmd_starttls(struct login *l, struct imap_lex *c)
{
	struct imap_login *il = l->data;

	if (imap_lex_end(c) != 1)
		return bad(l, "STARTTLS takes no arguments.");
	switch (login_offers_tls(l)) {
	case LOGIN_TLS_NO:
		return bad(l, l->tls ? "TLS is used already." : "Unknown command, or not before login.");
	case LOGIN_TLS_LATER:
		str_addf(&l->out, "%s NO [UNAVAILABLE] TLS is not available now, please try again later.\r\n", il->tag);
		return LOGIN_EVENT_BAD;
	case LOGIN_TLS_OFFERED:
		break;
	}
	str_addf(&l->out, "%s OK Begin TLS negotiation now.\r\n", il->tag);
	return LOGIN_EVENT_TLS;
}

static enum login_event cmd_capability(struct login *l, struct imap_lex *c)
{
	struct imap_login *il = l->data;

	if (imap_lex_end(c) != 1)
		return bad(l, "CAPABILITY takes no arguments.");
	str_adds(&l->out, "* CAPABILITY ");
	add_capabilities(l);
	str_addf(&l->out, "\r\n%s OK CAPABILITY completed ", il->tag);
	node_mark_add(&l->out, l->set->node_id); /* nodes that began TLS have had no greeting within it */
	str_adds(&l->out, "\r\n");
	return LOGIN_EVENT_NEXT;
}

static enum login_event cmd_noop(struct login *l, struct imap_lex *c)
{
	struct imap_login *il = l->data;

	if (imap_lex_end(c) != 1)
		return bad(l, "NOOP takes no arguments.");
	str_addf(&l->out, "%s OK NOOP completed\r\n", il->tag);
	return LOGIN_EVENT_NEXT;
}

static enum login_event cmd_logout(struct login *l, struct imap_lex *c)
{
	struct imap_login *il = l->data;

	if (imap_lex_end(c) != 1)
		return bad(l, "LOGOUT takes no arguments.");
	str_addf(&l->out, "* BYE Logging out\r\n%s OK LOGOUT completed\r\n", il->tag);
	return LOGIN_EVENT_QUIT;
}

static enum login_event cmd_login(struct login *l, struct imap_lex *c)
{
	struct str user = STR_INIT, password = STR_INIT;
	enum login_event event = LOGIN_EVENT_CREDENTIALS;

	if (imap_lex_space(c) != 1 || imap_lex_astring(c, &user) != 1 || imap_lex_space(c) != 1 ||
	    imap_lex_astring(c, &password) != 1 || imap_lex_end(c) != 1) {
		event = bad(l, "LOGIN takes a name and a password.");
	} else {
		credentials_set(l, str_cstr(&user), user.len, str_cstr(&password), password.len, "LOGIN");
	}
	str_fini(&user);
	str_fini_secret(&password);
	return event;
}

static enum login_event on_sasl(struct login *l, enum sasl_result r)
{
	struct imap_login *il = l->data;

	il->in_sasl = r == SASL_CONTINUE || r == SASL_CHALLENGE || r == SASL_STEP;
	switch (r) {
	case SASL_CREDENTIALS:
	case SASL_STEP:
		return LOGIN_EVENT_CREDENTIALS;
	case SASL_CHALLENGE:
		return LOGIN_EVENT_CHALLENGE;
	case SASL_CONTINUE:
		str_addf(&l->out, "+ %s\r\n", il->sasl.challenge);
		return LOGIN_EVENT_NEXT;
	case SASL_ABORT:
		return bad(l, "Authentication cancelled.");
	case SASL_AUTHZID:
		refuse(l, FAILURE_AUTHZID);
		return LOGIN_EVENT_BAD;
	case SASL_UNKNOWN:
		str_addf(&l->out, "%s NO [CANNOT] Unsupported authentication mechanism.\r\n", il->tag);
		return LOGIN_EVENT_BAD;
	case SASL_MALFORMED:
		break;
	}
	return bad(l, "Malformed authentication data.");
}

static void challenge(struct login *l, const char *text)
{
	str_adds(&l->out, "+ ");
	b64_encode(&l->out, text, strlen(text));
	str_adds(&l->out, "\r\n");
}

/* The initial response is base64: an astring without quoting, or "=" alone. */
static enum login_event cmd_authenticate(struct login *l, struct imap_lex *c)
{
	struct imap_login *il = l->data;
	struct str mechanism = STR_INIT, initial = STR_INIT;
	bool has_initial = false, ok;
	enum login_event event;

	ok = imap_lex_space(c) == 1 && imap_lex_atom(c, &mechanism) == 1;
	if (ok && imap_lex_space(c) == 1)
		has_initial = imap_lex_atom(c, &initial) == 1;
	if (!ok || imap_lex_end(c) != 1)
		event = bad(l, "AUTHENTICATE takes a mechanism and, perhaps, an initial response.");
	else
		event = on_sasl(l,
		    sasl_start(l, &il->sasl,
		        &(struct sasl_command){
		            .list = imap_capability_list(l->set, l->tls),
		            .prefix = "AUTH=",
		            .mechanism = mechanism.data,
		            .mechanism_len = mechanism.len,
		            .initial = has_initial ? initial.data : NULL,
		            .initial_len = initial.len,
		        }));
	str_fini(&mechanism);
	str_fini_secret(&initial);
	return event;
}

/* The first ID of a connection may carry a forwarded login's identity. */
static void first_id_pair(void *arg, const char *key, const char *value, size_t len)
{
	imap_id_pair(arg, key, value, len, true);
}

static void later_id_pair(void *arg, const char *key, const char *value, size_t len)
{
	imap_id_pair(arg, key, value, len, false);
}

static enum login_event cmd_id(struct login *l, struct imap_lex *c)
{
	struct imap_login *il = l->data;
	bool first = !il->id_seen;

	str_clear(&il->id);
	il->client[0] = '\0';
	il->id_pairs = 0;
	il->id_seen = true;
	if (!imap_id_list(c, first ? first_id_pair : later_id_pair, l))
		return bad(l, IMAP_ID_BAD);
	imap_id_reply(&l->out, l->set);
	str_addf(&l->out, "%s OK ID completed\r\n", il->tag);
	return LOGIN_EVENT_NEXT;
}

static const struct {
	const char *name;
	bool literals;
	bool logs_in; /* not allowed while login_wants_tls() */
	enum login_event (*run)(struct login *l, struct imap_lex *c);
} commands[] = {
	{ "CAPABILITY", false, false, cmd_capability },
	{ "NOOP", false, false, cmd_noop },
	{ "LOGOUT", false, false, cmd_logout },
	{ "STARTTLS", false, false, cmd_starttls },
	{ "LOGIN", true, true, cmd_login },
	{ "AUTHENTICATE", false, true, cmd_authenticate },
	{ "ID", true, false, cmd_id },
};

/* The text of a refusal that is for want of TLS, and no BAD. */
static const char insecure[] = "";

/* ROW of commands[] is a login, for which the client has to begin TLS first. */
static bool is_insecure(const struct login *l, int row)
{
	return row >= 0 && commands[row].logs_in && login_wants_tls(l);
}

/* What take_head() finds instead of a row of commands[]. */
enum { HEAD_UNKNOWN = -1, HEAD_NONE = -2, HEAD_HTTP = -3 };

static int find_command(const struct str *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (imap_word_is(name, commands[i].name))
			return (int)i;
	return HEAD_UNKNOWN;
}

/* Reads the tag into il->tag, and the command after it: its row, or what there is instead. */
static int take_head(struct imap_login *il, struct imap_lex *c)
{
	struct str word = STR_INIT;
	int row = HEAD_NONE;

	str_copy(il->tag, sizeof(il->tag), "*");
	if (imap_lex_tag(c, &word) == 1) {
		str_copy(il->tag, sizeof(il->tag), word.data);
		if (imap_lex_space(c) == 1 && imap_lex_name(c, &word) == 1)
			row = find_command(&word);
	}
	str_fini(&word);
	return row < 0 && http_request_begins(c->data, c->len) ? HEAD_HTTP : row;
}

static enum login_event run(struct login *l, const char *p, size_t len)
{
	struct imap_lex c;
	int row;

	imap_lex_init(&c, p, len);
	row = take_head(l->data, &c);
	if (row == HEAD_HTTP)
		return LOGIN_EVENT_HTTP;
	if (row == HEAD_NONE)
		return bad(l, "Expected a tag, a space and a command.");
	if (row == HEAD_UNKNOWN)
		return bad(l, "Unknown command, or not before login.");
	if (is_insecure(l, row))
		return refuse_insecure(l);
	return commands[row].run(l, &c);
}

static enum login_event answer_refused(struct login *l, const char *text)
{
	return text == insecure ? refuse_insecure(l) : bad(l, text);
}

/* Skips bytes of a refused command, and answers it once its end is seen. Ends the session if it is too long to wait
 * for. */
static enum login_event pass_over(struct login *l, const char *p, size_t len, size_t *used)
{
	struct imap_login *il = l->data;
	enum login_event event;
	bool over;

	*used += imap_skip_next(&il->skip, p, len, &over);
	if (!over && il->skip.passed + il->skip.literal <= IMAP_LOGIN_SKIP_MAX)
		return LOGIN_EVENT_MORE;
	event = answer_refused(l, il->refused);
	il->refused = NULL;
	mem_wipe(&il->skip, sizeof(il->skip));
	if (over)
		return event;
	bye(l, LOGIN_BYE_TOO_LONG);
	return LOGIN_EVENT_FATAL;
}

/* Refuses a command: LINE: it is too long, else it has a literal that is not allowed. P begins with what was scanned
 * of it. Its bytes must not be taken for commands. */
static enum login_event refuse_command(struct login *l, const char *p, size_t len, size_t *used, const char *text,
    bool line)
{
	struct imap_login *il = l->data;
	struct imap_frame f = il->frame;
	struct imap_lex c;

	imap_lex_init(&c, p, line ? len : f.pos);
	if (take_head(il, &c) == HEAD_HTTP) {
		*used = len;
		return LOGIN_EVENT_HTTP;
	}
	memset(&il->frame, 0, sizeof(il->frame));
	*used = line ? f.start : f.pos;
	if (!line && f.sync) /* the client waits, and is not asked to send it */
		return answer_refused(l, text);
	il->refused = text;
	il->skip = (struct imap_skip){ .literal = line ? 0 : f.literal };
	return pass_over(l, p + *used, len - *used, used);
}

static enum login_event input_command(struct login *l, const char *p, size_t len, size_t *used)
{
	static const struct imap_frame_limits limits = { IMAP_LOGIN_LINE_MAX, IMAP_LOGIN_LINE_MAX };
	struct imap_login *il = l->data;
	struct imap_lex c;
	int row;

	if (il->refused != NULL)
		return pass_over(l, p, len, used);
	for (;;) {
		switch (imap_frame_next(&il->frame, p, len, &limits)) {
		case IMAP_FRAME_MORE:
			return LOGIN_EVENT_MORE;
		case IMAP_FRAME_DONE:
			*used = il->frame.pos;
			memset(&il->frame, 0, sizeof(il->frame));
			return run(l, p, *used);
		case IMAP_FRAME_LITERAL:
			imap_lex_init(&c, p, il->frame.pos);
			row = take_head(il, &c);
			if (is_insecure(l, row))
				return refuse_command(l, p, len, used, insecure, false);
			if (row >= 0 && commands[row].literals) {
				if (il->frame.sync)
					str_adds(&l->out, "+ OK\r\n");
				continue;
			}
			return refuse_command(l, p, len, used, "A literal is not allowed here.", false);
		case IMAP_FRAME_BIG:
			return refuse_command(l, p, len, used, "[TOOBIG] The literal is too long.", false);
		case IMAP_FRAME_LONG:
			return refuse_command(l, p, len, used, "[TOOBIG] The line is too long.", true);
		}
	}
}

static enum login_event input_sasl(struct login *l, const char *p, size_t len, size_t *used)
{
	struct imap_login *il = l->data;
	const char *lf = memchr(p, '\n', len);
	size_t line_len = lf != NULL ? (size_t)(lf - p) : len;

	if (line_len > SASL_LINE_MAX) {
		*used = len;
		sasl_end(&il->sasl);
		bad(l, "The line is too long.");
		bye(l, LOGIN_BYE_TOO_LONG);
		return LOGIN_EVENT_FATAL;
	}
	if (lf == NULL)
		return LOGIN_EVENT_MORE;
	*used = line_len + 1;
	if (line_len != 0 && p[line_len - 1] == '\r')
		line_len--;
	return on_sasl(l, sasl_line(l, &il->sasl, p, line_len));
}

static enum login_event input(struct login *l, const char *p, size_t len, size_t *used)
{
	const struct imap_login *il = l->data;

	return il->in_sasl ? input_sasl(l, p, len, used) : input_command(l, p, len, used);
}

static void context(struct login *l, struct str *out)
{
	const struct imap_login *il = l->data;

	if (peer_login_is_program(l)) {
		str_adds(out, IMAP_PEER_LOGIN_TAG);
		return;
	}
	str_adds(out, il->tag);
	if (il->client[0] != '\0')
		str_addf(out, " %s", il->client);
}

static void fini(struct login *l)
{
	struct imap_login *il = l->data;

	sasl_end(&il->sasl);
	str_fini(&il->id);
}

const struct login_dialect imap_login_dialect = {
	.protocol = PROTOCOL_IMAP,
	.data_size = sizeof(struct imap_login),
	.fini = fini,
	.greet = greet,
	.challenge = challenge,
	.input = input,
	.refuse = refuse,
	.bye = bye,
	.context = context,
	.peer_line = imap_peer_line,
	.accepted = imap_accepted,
};
