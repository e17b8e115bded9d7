/* IMAP to a peer: the login of a client's account there, line by line, and the peer's capabilities. */
#include <string.h>
#include <strings.h>

#include "imapd/imap_id.h"
#include "imapd/imap_login.h"
#include "lib/b64.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "lib/text.h"
#include "login/client_reply.h"
#include "login/node_mark.h"
#include "settings/capability.h"

/* Our tags, by which the peer's answers are recognized. */
#define TAG_ID "I"
#define TAG_LOGIN IMAP_PEER_LOGIN_TAG
#define TAG_CAPABILITY "C"
#define TAG_TLS "S"

enum {
	ALERTS_MAX = 1000, /* bytes of alerts, after which no more are kept */
	BEHIND_MAX = 8192, /* bytes behind the reply to the login that are kept */
	LITERAL_MAX = 65536
};

enum state {
	PEER_GREETING, /* waits for "* OK" */
	PEER_STARTTLS, /* waits for the reply to STARTTLS, and for nothing else */
	PEER_ASKED,    /* waits for the capabilities that it has within TLS, and its mark; or its greeting had none */
	PEER_PLAIN,    /* waits for "+" to send the message of SASL PLAIN */
	PEER_LITERAL_USER,
	PEER_LITERAL_PASSWORD, /* waits for "+" to send the current literal */
	PEER_LOGIN,            /* waits for the reply to the login */
	PEER_CAPABILITY        /* logged in; waits for the list that logged_in() wants */
};

/* CAP_NODE: what all our nodes can do, whatever their IMAP_CAPABILITY announces. */
enum {
	CAP_SEEN = 1,
	CAP_ID = 2,
	CAP_SASL_IR = 4,
	CAP_AUTH_PLAIN = 8,
	CAP_LITERAL = 16,
	CAP_LOGINDISABLED = 32,
	CAP_TOKEN = 64,
	CAP_NODE = CAP_ID | CAP_SASL_IR | CAP_LITERAL,
};

void imap_add_quoted(struct str *out, const char *p, size_t len)
{
	size_t from = 0;

	str_addc(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (p[i] != '"' && p[i] != '\\')
			continue;
		str_add(out, p + from, i - from);
		str_addc(out, '\\');
		from = i;
	}
	str_add(out, p + from, len - from);
	str_addc(out, '"');
}

/* Takes the word at *P; moves *P past it and the blank after it. */
static size_t take_word(const char **p, const char **word)
{
	size_t len = (size_t)(strchrnul(*p, ' ') - *p);

	*word = *p;
	*p += len;
	if (**p == ' ')
		(*p)++;
	return len;
}

static unsigned read_caps(const char *list)
{
/* clang-format off */
#define CAP(name, bit) { name, sizeof(name) - 1, bit }
	/* clang-format on */
	static const struct {
		const char *name;
		size_t len;
		unsigned bit;
	} known[] = { CAP("ID", CAP_ID), CAP("SASL-IR", CAP_SASL_IR), CAP("AUTH=PLAIN", CAP_AUTH_PLAIN),
		CAP("LITERAL+", CAP_LITERAL), CAP("LITERAL-", CAP_LITERAL), CAP("LOGINDISABLED", CAP_LOGINDISABLED),
		CAP("AUTH=X-WAYPOST-TOKEN", CAP_TOKEN), CAP("X-WAYPOST-TOKEN", CAP_TOKEN) };
#undef CAP
	unsigned caps = CAP_SEEN;
	const char *word;
	size_t len;

	while (*list != '\0' && *list != ']') {
		len = take_word(&list, &word);
		len -= len != 0 && word[len - 1] == ']';
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			if (len == known[i].len && strncasecmp(word, known[i].name, len) == 0)
				caps |= known[i].bit;
	}
	return caps;
}

/* True if TEXT begins with a response code "[NAME ...]", which is returned in *CODE without brackets. */
static bool take_code(const char *text, const char **code, size_t *len)
{
	const char *end;

	if (text[0] != '[' || (end = strchr(text, ']')) == NULL)
		return false;
	*code = text + 1;
	*len = (size_t)(end - *code);
	return true;
}

/* Keeps a capability list if it may be passed on to the client: printable characters, no brackets or braces. */
static void keep_capability(struct login *l, const char *list, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!text_is_printable(list[i]) || list[i] == ']' || list[i] == '[' || list[i] == '{')
			return;
	str_clear(&l->peer.capability);
	str_add(&l->peer.capability, list, len);
}

/* Notes a [CAPABILITY ...] code of TEXT as the list after login. */
static void take_capability_code(struct login *l, const char *text)
{
	const char *code;
	size_t len;

	if (take_code(text, &code, &len) && len > 11 && strncasecmp(code, "CAPABILITY ", 11) == 0)
		keep_capability(l, code + 11, len - 11);
}

static enum backend_step invalid(struct login *l, const char *why)
{
	return peer_login_fail(l, FAILURE_INVALID, why);
}

/* Codes that a client can use (RFC 5530), and what they mean for the login. */
static const struct {
	const char *code;
	enum login_failure failure;
} codes[] = {
	{ "UNAVAILABLE", FAILURE_TEMPORARY },
	{ "SERVERBUG", FAILURE_TEMPORARY },
	{ "LIMIT", FAILURE_PEER_LIMIT },
	{ "INUSE", FAILURE_IN_USE },
	{ "CONTACTADMIN", FAILURE_ADMIN },
	{ "OVERQUOTA", FAILURE_ADMIN },
	{ "CORRUPTION", FAILURE_ADMIN },
	{ "EXPIRED", FAILURE_EXPIRED },
	{ "PRIVACYREQUIRED", FAILURE_NEEDS_TLS },
	{ "AUTHORIZATIONFAILED", FAILURE_DENIED },
	{ "NOPERM", FAILURE_DENIED },
	{ "ALERT", FAILURE_ALERT },
};

/* Keeps an ALERT for the user (RFC 3501 section 7.1): its word WORD and its text, made printable and cut, go to the
 * client before the reply to its login. Alerts beyond a limit are dropped. */
static void take_alert(struct login *l, const char *word, const char *text)
{
	char clean[PEER_LOGIN_SAID_MAX];
	const char *code;
	size_t len;

	if (!take_code(text, &code, &len) || !text_is_word(code, len, "ALERT") || l->peer.alerts.len >= ALERTS_MAX)
		return;
	log_clean(clean, sizeof(clean), text);
	client_reply_avoid_literal(clean, strlen(clean));
	str_addf(&l->peer.alerts, "* %s %s\r\n", word, clean);
}

/* Returns what the code that TEXT begins with means, and notes it if we know it; WITHOUT if there is none. */
static enum login_failure code_failure(struct login *l, const char *text, enum login_failure without)
{
	const char *code;
	size_t len;

	if (!take_code(text, &code, &len))
		return without;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (text_is_word(code, len, codes[i].code)) {
			l->peer.code = codes[i].code;
			return codes[i].failure;
		}
	if (text_is_word(code, len, "AUTHENTICATIONFAILED"))
		return FAILURE_REFUSED;
	return without == FAILURE_REFUSED ? FAILURE_TEMPORARY : without;
}

/* LOGINDISABLED forbids LOGIN alone (RFC 3501 section 7.2.1): a peer that announces SASL PLAIN beside it takes
 * that. */
static bool takes_no_login(const struct login *l)
{
	return (l->peer.caps & (CAP_LOGINDISABLED | CAP_AUTH_PLAIN)) == CAP_LOGINDISABLED;
}

/* The peer refuses all logins, or this one, with TEXT (of NO, BAD or BYE). WITHOUT: what that means if no known code
 * says more. */
static enum backend_step on_refusal(struct login *l, const char *text, enum login_failure without)
{
	enum login_failure f = code_failure(l, text, without);
	bool vague = l->peer.code == NULL || f == FAILURE_ADMIN || f == FAILURE_ALERT;

	if (takes_no_login(l) || (vague && failure_wants_tls(text))) {
		l->peer.code = f == FAILURE_NEEDS_TLS ? l->peer.code : NULL;
		f = FAILURE_NEEDS_TLS;
	}
	/* The client can do nothing about the master user. */
	if (l->peer.as_master &&
	    (f == FAILURE_REFUSED || f == FAILURE_EXPIRED || f == FAILURE_DENIED || f == FAILURE_ALERT)) {
		l->peer.code = NULL;
		f = FAILURE_MASTER;
	}
	return peer_login_fail(l, f, text);
}

/* --- what is sent --- */

static bool is_7bit(const char *s)
{
	for (; *s != '\0'; s++)
		if ((*s & 0x80) != 0)
			return false;
	return true;
}

/* Appends the message of SASL PLAIN: the user's, or the master user's for it. */
static void add_plain(struct login *l, struct str *out)
{
	struct str raw = STR_INIT;

	if (l->reply->peer_credentials == AUTH_PEER_TOKEN_OR_MASTER) {
		peer_login_add_master(l, out);
		return;
	}
	str_addc(&raw, '\0');
	str_add(&raw, l->reply->name, strlen(l->reply->name) + 1);
	str_adds(&raw, l->password);
	b64_encode(out, raw.data, raw.len);
	str_fini_secret(&raw);
}

static void send_plain(struct login *l, struct str *out)
{
	str_adds(out, TAG_LOGIN " AUTHENTICATE PLAIN");
	if ((l->peer.caps & CAP_SASL_IR) != 0) {
		str_addc(out, ' ');
		add_plain(l, out);
		l->peer.state = PEER_LOGIN;
	} else {
		l->peer.state = PEER_PLAIN;
	}
}

/* Sends the login in one flight if the peer allows it. 8-bit names and passwords cannot be quoted: they are sent by
 * SASL with an initial response, or as literals. */
static void send_login(struct login *l, struct str *out)
{
	const char *user = l->reply->name;

	if ((l->peer.caps & CAP_LOGINDISABLED) != 0) {
		send_plain(l, out);
	} else if (is_7bit(user) && is_7bit(l->password)) {
		str_adds(out, TAG_LOGIN " LOGIN ");
		imap_add_quoted(out, user, strlen(user));
		str_addc(out, ' ');
		imap_add_quoted(out, l->password, strlen(l->password));
		l->peer.state = PEER_LOGIN;
	} else if ((l->peer.caps & CAP_SASL_IR) != 0 && (l->peer.caps & CAP_AUTH_PLAIN) != 0) {
		send_plain(l, out);
	} else if ((l->peer.caps & CAP_LITERAL) != 0) {
		str_addf(out, TAG_LOGIN " LOGIN {%zu+}\r\n%s {%zu+}\r\n%s", strlen(user), user, strlen(l->password),
		    l->password);
		l->peer.state = PEER_LOGIN;
	} else {
		str_addf(out, TAG_LOGIN " LOGIN {%zu}", strlen(user));
		l->peer.state = PEER_LITERAL_USER;
	}
	str_adds(out, "\r\n");
}

/* Logs in without the client's password: our nodes accept a token, valid only with ID; others the master user. */
static enum backend_step send_other(struct login *l, struct str *out)
{
	unsigned caps = l->peer.caps;

	if ((caps & CAP_TOKEN) != 0 && (caps & CAP_ID) != 0 && peer_login_has_token(l)) {
		l->peer.state = PEER_LOGIN;
		str_adds(out, TAG_LOGIN " AUTHENTICATE X-WAYPOST-TOKEN ");
		peer_login_add_token(l, out);
	} else if (l->reply->master_user[0] != '\0' && ((caps & CAP_SEEN) == 0 || (caps & CAP_AUTH_PLAIN) != 0)) {
		send_plain(l, out);
	} else {
		return peer_login_fail(l, l->reply->master_user[0] == '\0' ? FAILURE_NO_MASTER : FAILURE_NO_PLAIN, "");
	}
	str_adds(out, "\r\n");
	return BACKEND_STEP_MORE;
}

/* --- greeting, TLS --- */

/* The peer refuses all logins with TEXT, before it heard of this one. */
static enum backend_step on_refusal_of_all(struct login *l, const char *text)
{
	on_refusal(l, text, FAILURE_TEMPORARY);
	return BACKEND_STEP_NEXT;
}

/* What was said in clear (LINE, which goes on with WORD, LEN bytes, and then TEXT) does not begin TLS: the peer has no
 * time for us, or it does not do as it should. Somebody between may have said it: nothing of it reaches the client. */
static enum backend_step no_tls(struct login *l, const char *line, const char *word, size_t len, const char *text)
{
	const char *code;
	size_t code_len;

	if (text_is_word(word, len, "BYE") ||
	    (text_is_word(word, len, "NO") && take_code(text, &code, &code_len) &&
	        text_is_word(code, code_len, "UNAVAILABLE"))) {
		peer_login_fail(l, FAILURE_TEMPORARY, line);
		return BACKEND_STEP_NEXT;
	}
	return peer_login_fail(l, FAILURE_NO_STARTTLS, line);
}

static bool wants_starttls(const struct login *l)
{
	return peer_login_target(l)->tls == PEER_TLS_STARTTLS;
}

/* Logs in at a peer whose greeting, mark and capabilities are known as far as they ever are before that. */
static enum backend_step begin_login(struct login *l, struct str *out)
{
	if (peer_login_leads_back(l))
		return peer_login_fail(l, FAILURE_SELF, "");
	if (!peer_login_is_fit(l))
		return peer_login_fail(l, FAILURE_CONTROL_CHARS, "");
	/* What our nodes announce is for clients: they accept each other's signed logins whatever it says. One that
	 * may ask for certificates announces nothing in its greeting. */
	if (l->peer.mark == NODE_MARK_OTHER)
		l->peer.caps |= (l->peer.caps & CAP_SEEN) != 0 ? CAP_NODE : CAP_NODE | CAP_TOKEN;
	if (l->peer.mark == NODE_MARK_OTHER && l->reply->time != 0)
		l->peer.caps &= ~(unsigned)CAP_LOGINDISABLED;
	if (takes_no_login(l))
		return peer_login_fail(l, FAILURE_NEEDS_TLS, "LOGINDISABLED");
	if ((l->peer.caps & CAP_ID) != 0)
		imap_id_forward(l, out, TAG_ID);
	if (l->reply->peer_credentials == AUTH_PEER_TOKEN_OR_MASTER)
		return send_other(l, out);
	send_login(l, out);
	return BACKEND_STEP_MORE;
}

/* Before the password: a peer may have LOGINDISABLED, or take it by SASL alone. */
static enum backend_step ask_capabilities(struct login *l, struct str *out)
{
	str_adds(out, TAG_CAPABILITY " CAPABILITY\r\n");
	l->peer.state = PEER_ASKED;
	return BACKEND_STEP_ASK;
}

static enum backend_step on_greeting(struct login *l, const char *line, struct str *out)
{
	const char *all = line, *word, *code;
	size_t len = take_word(&line, &word);

	if (text_is_word(word, len, "+OK") || text_is_word(word, len, "-ERR"))
		return invalid(l,
		    "it sent a POP3 greeting. Set the port of IMAP in mailhost: "
		    "HOST:imap=PORT:pop3=PORT");
	if (!text_is_word(word, len, "*"))
		return wants_starttls(l) ? no_tls(l, all, "", 0, "") : invalid(l, "no IMAP greeting");
	len = take_word(&line, &word);
	if (wants_starttls(l)) {
		if (!text_is_word(word, len, "OK"))
			return no_tls(l, all, word, len, line);
		str_adds(out, TAG_TLS " STARTTLS\r\n");
		l->peer.state = PEER_STARTTLS;
		return BACKEND_STEP_ASK;
	}
	peer_login_take_greeting(l, all);
	if (text_is_word(word, len, "BYE"))
		return on_refusal_of_all(l, line);
	/* Whose mailbox that is, nobody said; every client would get it. */
	if (text_is_word(word, len, "PREAUTH"))
		return invalid(l,
		    "it greets with PREAUTH, as if somebody had logged in; have it ask for a password here");
	if (!text_is_word(word, len, "OK"))
		return invalid(l, "no IMAP greeting");
	take_alert(l, "OK", line);
	if (take_code(line, &code, &len) && len > 11 && strncasecmp(code, "CAPABILITY ", 11) == 0)
		l->peer.caps = read_caps(code + 11);
	else if (l->peer.mark == NODE_MARK_NONE)
		return ask_capabilities(l, out);
	return begin_login(l, out);
}

/* The first line after STARTTLS was sent. */
static enum backend_step on_starttls(struct login *l, const char *line, struct str *out)
{
	const char *rest = line, *word;
	size_t len = take_word(&rest, &word);
	bool ours = len == 1 && word[0] == TAG_TLS[0], untagged = text_is_word(word, len, "*");

	len = take_word(&rest, &word);
	if (!ours || !text_is_word(word, len, "OK"))
		return no_tls(l, line, word, ours || untagged ? len : 0, rest);
	ask_capabilities(l, out);
	return BACKEND_STEP_TLS;
}

/* A tagged line before the login: the reply to CAPABILITY, in which our nodes have their mark within TLS; REST is what
 * follows the tag. Every server knows the command: one that says NO to it wants no client now. */
static enum backend_step on_asked(struct login *l, const char *line, const char *rest, struct str *out)
{
	const char *word;
	size_t len = take_word(&rest, &word);

	peer_login_take_greeting(l, line);
	if (text_is_word(word, len, "NO"))
		return on_refusal_of_all(l, rest);
	return begin_login(l, out);
}

static enum backend_step on_continue(struct login *l, struct str *out)
{
	switch (l->peer.state) {
	case PEER_PLAIN:
		add_plain(l, out);
		str_adds(out, "\r\n");
		l->peer.state = PEER_LOGIN;
		return BACKEND_STEP_MORE;
	case PEER_LITERAL_USER:
		str_addf(out, "%s {%zu}\r\n", l->reply->name, strlen(l->password));
		l->peer.state = PEER_LITERAL_PASSWORD;
		return BACKEND_STEP_MORE;
	case PEER_LITERAL_PASSWORD:
		str_addf(out, "%s\r\n", l->password);
		l->peer.state = PEER_LOGIN;
		return BACKEND_STEP_MORE;
	default:
		return invalid(l, "an unexpected continuation");
	}
}

/* --- replies --- */

/* The client, who knows what we announce, is told what the peer can do. */
static bool tells_capability(const struct login *l)
{
	return l->set->imapd_IMAP_PROXY_FOREIGN != 0 || l->reply->local_server;
}

static enum backend_step logged_in(struct login *l, struct str *out)
{
	if ((!tells_capability(l) && !peer_login_asks_list(l)) || l->peer.capability.len != 0)
		return BACKEND_STEP_OK;
	str_adds(out, TAG_CAPABILITY " CAPABILITY\r\n");
	l->peer.state = PEER_CAPABILITY;
	return BACKEND_STEP_MORE;
}

static enum backend_step on_login_answer(struct login *l, const char *line, struct str *out)
{
	const char *word;
	size_t len = take_word(&line, &word);

	peer_login_take_note(l, line);
	if (text_is_word(word, len, "NO"))
		return on_refusal(l, line, FAILURE_REFUSED);
	if (text_is_word(word, len, "BAD"))
		return on_refusal(l, line, FAILURE_INVALID);
	if (!text_is_word(word, len, "OK"))
		return invalid(l, word);
	if (l->peer.state != PEER_LOGIN)
		return invalid(l, "it accepted a login before it got the credentials");
	take_alert(l, "OK", line);
	take_capability_code(l, line);
	return logged_in(l, out);
}

/* Until a peer that was asked for its capabilities has told them, nothing of the login is sent. */
static enum backend_step go_on(const struct login *l)
{
	return l->peer.state == PEER_ASKED ? BACKEND_STEP_ASK : BACKEND_STEP_MORE;
}

/* Keeps what follows "* " in a line behind the reply to the login: the session has begun there, so the client gets it
 * behind its own reply. A line with a literal, which we do not have, one with a CR, which some clients take for the
 * end of a line, and lines beyond a limit are dropped. */
static void keep_behind(struct login *l, const char *line, bool has_literal)
{
	if (!has_literal && strchr(line, '\r') == NULL && l->peer.behind.len + strlen(line) < BEHIND_MAX)
		str_addf(&l->peer.behind, "* %s\r\n", line);
}

static enum backend_step on_untagged(struct login *l, const char *line, bool has_literal, struct str *out)
{
	const char *all = line, *word;
	size_t len = take_word(&line, &word);

	if (text_is_word(word, len, "CAPABILITY")) {
		if (l->peer.state == PEER_ASKED)
			l->peer.caps = read_caps(line);
		else if (l->peer.mark != NODE_MARK_OTHER)
			l->peer.caps |= read_caps(line) & CAP_LOGINDISABLED;
		if (l->peer.state >= PEER_LOGIN)
			keep_capability(l, line, strlen(line));
		return go_on(l);
	}
	/* A program that was not told a tag (RFC 9051 section 7.1.4). */
	if (text_is_word(word, len, "PREAUTH") && peer_login_is_program(l) && l->peer.state == PEER_LOGIN) {
		take_capability_code(l, line);
		return logged_in(l, out);
	}
	if (text_is_word(word, len, "BYE"))
		return l->peer.state == PEER_ASKED ? on_refusal_of_all(l, line) :
		                                     on_refusal(l, line, FAILURE_TEMPORARY);
	if (l->peer.state == PEER_CAPABILITY) {
		keep_behind(l, all, has_literal);
		return BACKEND_STEP_MORE;
	}
	/* BAD is about our commands: Dovecot warns with it of a password sent in clear text. */
	if (text_is_word(word, len, "OK") || text_is_word(word, len, "NO"))
		take_alert(l, text_is_word(word, len, "OK") ? "OK" : "NO", line);
	return go_on(l);
}

/* REST, behind "* ", is text to its end (RFC 3501 section 9, resp-text), which may look like the size of a literal:
 * only a code in it that is still open can go on in one. */
static bool is_text(const char *rest)
{
	static const char *const status[] = { "OK", "NO", "BAD", "BYE", "PREAUTH" };
	const char *word;
	size_t len = take_word(&rest, &word);

	for (size_t i = 0; i < ARRAY_LEN(status); i++)
		if (text_is_word(word, len, status[i]))
			return rest[0] != '[' || strchr(rest, ']') != NULL;
	return false;
}

/* The size of a literal, "{n}", announced at the end of an untagged line; else 0. */
static uint64_t literal_behind(const char *line, size_t len)
{
	const char *open = memrchr(line, '{', len);
	uint64_t n;

	if (len < 3 || line[len - 1] != '}' || open == NULL ||
	    !num_parse(open + 1, (size_t)(line + len - 1 - open - 1), UINT64_MAX, &n))
		return 0;
	return n;
}

/* A line begins or goes on with LINE: *SKIP bytes follow, and then the rest of it. False: no answer to a login has that
 * many. */
static bool take_literal(struct login *l, const char *line, size_t len, uint64_t *skip)
{
	*skip = literal_behind(line, len);
	l->peer.in_line = *skip != 0;
	return *skip <= LITERAL_MAX;
}

enum backend_step imap_peer_line(const char *line, size_t len, struct str *out, uint64_t *skip, void *arg)
{
	struct login *l = arg;
	const char *word, *rest = line;
	size_t word_len;

	if (memchr(line, '\0', len) != NULL)
		return wants_starttls(l) && l->peer.state <= PEER_STARTTLS ? no_tls(l, "a NUL byte", "", 0, "") :
		                                                             invalid(l, "a NUL byte");
	if (l->peer.state == PEER_GREETING && peer_login_is_program(l))
		l->peer.state = PEER_LOGIN;
	if (l->peer.state == PEER_GREETING)
		return on_greeting(l, line, out);
	if (l->peer.state == PEER_STARTTLS)
		return on_starttls(l, line, out);
	if (l->peer.in_line)
		return take_literal(l, line, len, skip) ? go_on(l) : invalid(l, line);
	word_len = take_word(&rest, &word);
	if (text_is_word(word, word_len, "*")) {
		if (!is_text(rest) && !take_literal(l, line, len, skip))
			return invalid(l, line);
		return on_untagged(l, rest, *skip != 0, out);
	}
	if (text_is_word(word, word_len, "+"))
		return on_continue(l, out);
	if (l->peer.state == PEER_ASKED)
		return word_len == 1 && word[0] == TAG_CAPABILITY[0] ? on_asked(l, line, rest, out) : invalid(l, line);
	if (word_len == 1 && word[0] == TAG_LOGIN[0] && l->peer.state != PEER_CAPABILITY)
		return on_login_answer(l, rest, out);
	if (word_len == 1 && word[0] == TAG_CAPABILITY[0] && l->peer.state == PEER_CAPABILITY)
		return BACKEND_STEP_OK; /* logged in, even if it refuses this command */
	if (word_len == 1 && word[0] == TAG_ID[0])
		return BACKEND_STEP_MORE; /* a peer may refuse ID; the login does not depend on it */
	return invalid(l, line);
}

void imap_accepted(struct login *l)
{
	const struct imap_login *il = l->data;
	struct str withheld = STR_INIT;

	withheld_from(l->set->imapd_IMAP_CAPABILITY_WITHHELD, il->client, &withheld);
	capability_take(&l->peer.list, str_cstr(&l->peer.capability));
	/* Another node knows who the client is, and withholds the same: that is not all that it can do. */
	l->peer.has_list = (l->peer.capability.len != 0 || l->peer.state == PEER_CAPABILITY) &&
	    (withheld.len == 0 || l->peer.mark != NODE_MARK_OTHER);
	if (withheld.len != 0)
		capability_drop(&l->peer.capability, withheld.data);
	str_fini(&withheld);
	/* Tells the client the capabilities, which it may not know, or know differently from before the login. */
	if (tells_capability(l) && l->peer.capability.len != 0)
		str_addf(&l->out, "* CAPABILITY %s\r\n", l->peer.capability.data);
	str_add(&l->out, str_cstr(&l->peer.alerts), l->peer.alerts.len);
	str_adds(&l->out, il->tag);
	str_adds(&l->out, " OK ");
	if (l->peer.capability.len != 0)
		str_addf(&l->out, "[CAPABILITY %s] ", l->peer.capability.data);
	str_adds(&l->out, "LOGIN Ok.");
	client_reply_note(l, &l->out);
	str_adds(&l->out, "\r\n");
	str_add(&l->out, str_cstr(&l->peer.behind), l->peer.behind.len);
}
