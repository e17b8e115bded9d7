/* The POP3 dialogue with a client before login: turns commands into events for login/login.c, whose decisions it turns
 * into replies. */
#include "pop3d/pop3_login.h"

#include <string.h>
#include <strings.h>

#include "lib/b64.h"
#include "lib/mem.h"
#include "lib/text.h"
#include "login/client_reply.h"
#include "login/credentials.h"
#include "login/external.h"
#include "login/forwarded_text.h"
#include "login/http_request.h"
#include "login/login_env.h"
#include "login/node_mark.h"
#include "settings/capability.h"
#include "pop3d/pop3_capa.h"

static enum login_event bad(struct login *l, const char *text)
{
	str_addf(&l->out, "-ERR %s\r\n", text);
	return LOGIN_EVENT_BAD;
}

/* What other nodes have to know of us, without the end of the line: [XCLIENT] tells peers that they may name the client
 * they log in for, [X-WAYPOST-TOKEN] tells nodes of the pool that they may log in by AUTH X-WAYPOST-TOKEN. */
static void about_us(struct login *l)
{
	str_adds(&l->out, "+OK [XCLIENT]");
	if (l->set->has_pool_secret)
		str_adds(&l->out, " [X-WAYPOST-TOKEN]");
	str_addc(&l->out, ' ');
	node_mark_add(&l->out, l->set->node_id);
}

/* TIMESTAMP is APOP's. */
static void greet(struct login *l, const char *timestamp)
{
	about_us(l);
	if (timestamp != NULL) {
		str_addc(&l->out, ' ');
		str_adds(&l->out, timestamp);
	}
	str_adds(&l->out, "\r\n");
}

static const char *mechanisms(const struct login *l)
{
	return l->tls && l->set->pop3d_POP3AUTH_TLS[0] != '\0' ? l->set->pop3d_POP3AUTH_TLS : l->set->pop3d_POP3AUTH;
}

static bool offers_apop(const struct login *l)
{
	return sasl_named(mechanisms(l), "", "APOP", 4);
}

static bool greeting_mech(const struct login *l, enum auth_mech *mech)
{
	*mech = AUTH_MECH_APOP;
	return offers_apop(l);
}

static void refuse(struct login *l, enum login_failure f)
{
	struct pop3_login *pl = l->data;

	pl->in_sasl = false;
	sasl_end(&pl->sasl);
	str_adds(&l->out, "-ERR ");
	client_reply_refusal(l, f);
	str_adds(&l->out, "\r\n");
}

static void bye(struct login *l, enum login_bye why)
{
	static const char *const texts[] = {
		[LOGIN_BYE_TIMEOUT] = "[SYS/TEMP] The login took too long.",
		[LOGIN_BYE_ERRORS] = "Too many errors.",
		[LOGIN_BYE_TOO_LONG] = "Too much at once.",
		[LOGIN_BYE_DRAIN] = "[SYS/TEMP] This server accepts no logins now, please try again.",
		[LOGIN_BYE_SHUTDOWN] = "[SYS/TEMP] The server is shutting down.",
		[LOGIN_BYE_FULL] = "[SYS/TEMP] The server is full, please try again later.",
		[LOGIN_BYE_KICK] = "[SYS/TEMP] Disconnected by the administrator.",
	};

	str_addf(&l->out, "-ERR %s\r\n", texts[why]);
}

/* The rest of the line after the verb and one blank; it may contain blanks and NUL bytes. */
struct args {
	const char *p;
	size_t len;
};

/* The names of what all sessions support, wherever they are. */
static const char *announced(const struct login *l)
{
	return capability_is_auto(l->set->pop3d_POP3_CAPABILITY) ? str_cstr(&l->env->common[PROTOCOL_POP3]) :
	                                                           l->set->pop3d_POP3_CAPABILITY;
}

static enum login_event cmd_capa(struct login *l, struct args *a UNUSED)
{
	struct str list = STR_INIT;
	char name[ACCOUNT_NAME_MAX];

	str_adds(&list, mechanisms(l));
	if (external_name(l, name))
		str_adds(&list, " EXTERNAL");
	about_us(l); /* nodes that began TLS have had no greeting within it */
	str_adds(&l->out, "\r\n");
	if (login_offers_tls(l) == LOGIN_TLS_OFFERED)
		str_adds(&l->out, "STLS\r\n");
	pop3_capa(&l->out, announced(l), login_wants_tls(l) ? NULL : str_cstr(&list));
	str_adds(&l->out, ".\r\n");
	str_fini(&list);
	return LOGIN_EVENT_NEXT;
}

static enum login_event cmd_stls(struct login *l, struct args *a)
{
	if (a->len != 0)
		return bad(l, "STLS takes no argument.");
	switch (login_offers_tls(l)) {
	case LOGIN_TLS_NO:
		return bad(l, l->tls ? "TLS is used already." : "Unknown command, or not before login.");
	case LOGIN_TLS_LATER:
		return bad(l, "[SYS/TEMP] TLS is not available now, please try again later.");
	case LOGIN_TLS_OFFERED:
		break;
	}
	str_adds(&l->out, "+OK Begin TLS negotiation now.\r\n");
	return LOGIN_EVENT_TLS;
}

static enum login_event cmd_quit(struct login *l, struct args *a UNUSED)
{
	str_adds(&l->out, "+OK Bye.\r\n");
	return LOGIN_EVENT_QUIT;
}

static enum login_event cmd_utf8(struct login *l, struct args *a)
{
	struct pop3_login *pl = l->data;

	if (a->len != 0)
		return bad(l, "UTF8 takes no argument.");
	pl->utf8 = true;
	str_adds(&l->out, "+OK UTF8 enabled\r\n");
	return LOGIN_EVENT_NEXT;
}

static enum login_event cmd_user(struct login *l, struct args *a)
{
	struct pop3_login *pl = l->data;

	if (a->len == 0 || a->len >= sizeof(pl->user))
		return bad(l, "USER takes a name.");
	if (text_plain(a->p, a->len) != a->len)
		return bad(l, "Control characters are not allowed in names.");
	memcpy(pl->user, a->p, a->len);
	pl->user[a->len] = '\0';
	str_adds(&l->out, "+OK Password required.\r\n");
	return LOGIN_EVENT_NEXT;
}

static enum login_event cmd_pass(struct login *l, struct args *a)
{
	struct pop3_login *pl = l->data;

	if (pl->user[0] == '\0')
		return bad(l, "USER first.");
	credentials_set(l, pl->user, strlen(pl->user), a->p, a->len, "USER");
	pl->user[0] = '\0';
	return LOGIN_EVENT_CREDENTIALS;
}

static enum login_event on_sasl(struct login *l, enum sasl_result r)
{
	struct pop3_login *pl = l->data;

	pl->in_sasl = r == SASL_CONTINUE || r == SASL_CHALLENGE || r == SASL_STEP;
	switch (r) {
	case SASL_CREDENTIALS:
	case SASL_STEP:
		return LOGIN_EVENT_CREDENTIALS;
	case SASL_CHALLENGE:
		return LOGIN_EVENT_CHALLENGE;
	case SASL_CONTINUE:
		str_addf(&l->out, "+ %s\r\n", pl->sasl.challenge);
		return LOGIN_EVENT_NEXT;
	case SASL_ABORT:
		return bad(l, "Authentication cancelled.");
	case SASL_AUTHZID:
		refuse(l, FAILURE_AUTHZID);
		return LOGIN_EVENT_BAD;
	case SASL_UNKNOWN:
		return bad(l, "Unsupported authentication mechanism.");
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

/* APOP name digest (RFC 1939 section 7); the name may have blanks. */
static enum login_event cmd_apop(struct login *l, struct args *a)
{
	const char *blank = memrchr(a->p, ' ', a->len);

	if (!offers_apop(l))
		return bad(l, "Unknown command, or not before login.");
	if (blank == NULL || blank == a->p || a->p[a->len - 1] == ' ')
		return bad(l, "APOP takes a name and a digest.");
	if (l->exchange != EXCHANGE_GREETED)
		return bad(l, "[SYS/TEMP] The timestamp was used, or there is none now; please connect again.");
	credentials_set_proof(l, AUTH_MECH_APOP, a->p, (size_t)(blank - a->p), blank + 1,
	    (size_t)(a->p + a->len - blank - 1));
	return LOGIN_EVENT_CREDENTIALS;
}

static enum login_event cmd_auth(struct login *l, struct args *a)
{
	struct pop3_login *pl = l->data;
	const char *blank = memchr(a->p, ' ', a->len), *initial = NULL;
	size_t mechanism_len = blank != NULL ? (size_t)(blank - a->p) : a->len, initial_len = 0;

	if (mechanism_len == 0)
		return bad(l, "AUTH takes a mechanism.");
	if (blank != NULL) {
		initial = blank + 1;
		initial_len = a->len - mechanism_len - 1;
	}
	return on_sasl(l,
	    sasl_start(l, &pl->sasl,
	        &(struct sasl_command){
	            .list = mechanisms(l),
	            .prefix = "",
	            .mechanism = a->p,
	            .mechanism_len = mechanism_len,
	            .initial = initial,
	            .initial_len = initial_len,
	        }));
}

/* XCLIENT KEY=VALUE ...; unknown keys are ignored. Only the first one counts, and only if authd trusts the sender. */
static void take_xclient(struct forwarded *h, const char *key, const char *value)
{
	if (strcasecmp(key, "ADDR") == 0)
		forwarded_text_ip(h, strncasecmp(value, "IPV6:", 5) == 0 ? value + 5 : value);
	else if (strcasecmp(key, "PORT") == 0)
		forwarded_text_port(h, value);
	else if (strcasecmp(key, "SESSION") == 0)
		forwarded_text_session(h, value);
	else if (strcasecmp(key, "TTL") == 0)
		forwarded_text_ttl(h, value);
	else if (strcasecmp(key, "CLIENT-TRANSPORT") == 0)
		forwarded_text_transport(h, value);
	else if (strcasecmp(key, "WAYPOST-AUTH") == 0)
		forwarded_text_auth(h, value);
	else if (strcasecmp(key, "WAYPOST-TLS") == 0)
		forwarded_text_tls(h, value);
	else if (strcasecmp(key, "WAYPOST-CONFIG") == 0)
		forwarded_text_config(h, value);
}

static enum login_event cmd_xclient(struct login *l, struct args *a)
{
	struct pop3_login *pl = l->data;
	char *text = mem_memdup(a->p, a->len), *rest = text, *word;

	while (!pl->xclient_seen && (word = strsep(&rest, " ")) != NULL) {
		char *eq = strchr(word, '=');

		if (eq == NULL)
			continue;
		*eq = '\0';
		take_xclient(login_forwarded(l), word, eq + 1);
	}
	pl->xclient_seen = true;
	mem_free(&text);
	str_adds(&l->out, "+OK Noted.\r\n");
	return LOGIN_EVENT_NEXT;
}

static const struct {
	const char *name;
	bool logs_in; /* not allowed while login_wants_tls() */
	enum login_event (*run)(struct login *l, struct args *a);
} commands[] = {
	{ "USER", true, cmd_user },
	{ "PASS", true, cmd_pass },
	{ "AUTH", true, cmd_auth },
	{ "CAPA", false, cmd_capa },
	{ "STLS", false, cmd_stls },
	{ "UTF8", false, cmd_utf8 },
	{ "QUIT", false, cmd_quit },
	{ "APOP", true, cmd_apop },
	{ "XCLIENT", false, cmd_xclient },
};

static enum login_event run_command(struct login *l, size_t row, struct args *a)
{
	if (!commands[row].logs_in || !login_wants_tls(l))
		return commands[row].run(l, a);
	refuse(l, FAILURE_INSECURE);
	return LOGIN_EVENT_INSECURE;
}

static enum login_event run(struct login *l, const char *p, size_t len)
{
	const char *blank = memchr(p, ' ', len);
	size_t word_len = blank != NULL ? (size_t)(blank - p) : len;
	struct args a = { blank != NULL ? blank + 1 : p + len, blank != NULL ? len - word_len - 1 : 0 };

	if (memchr(p, '\0', len) != NULL && !text_is_word(p, word_len, "PASS")) /* a password with one is a wrong one */
		return bad(l, "A NUL byte is not allowed.");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (text_is_word(p, word_len, commands[i].name))
			return run_command(l, i, &a);
	if (http_request_begins(p, len))
		return LOGIN_EVENT_HTTP;
	return bad(l, "Unknown command, or not before login.");
}

static enum login_event input(struct login *l, const char *p, size_t len, size_t *used)
{
	struct pop3_login *pl = l->data;
	const char *lf = memchr(p, '\n', len);
	size_t line_len = lf != NULL ? (size_t)(lf - p) : len;
	/* AUTH with an initial response may be as long as a SASL line (RFC 5034 section 4). */
	bool sasl = pl->in_sasl || (len >= 5 && strncasecmp(p, "AUTH ", 5) == 0);

	if (line_len >= (sasl ? SASL_LINE_MAX : POP3_LOGIN_LINE_MAX)) {
		*used = len;
		str_adds(&l->out, "-ERR The line is too long.\r\n");
		return LOGIN_EVENT_FATAL;
	}
	if (lf == NULL)
		return LOGIN_EVENT_MORE;
	*used = line_len + 1;
	if (line_len != 0 && p[line_len - 1] == '\r')
		line_len--;
	if (pl->in_sasl)
		return on_sasl(l, sasl_line(l, &pl->sasl, p, line_len));
	return run(l, p, line_len);
}

static void context(struct login *l, struct str *out)
{
	const struct pop3_login *pl = l->data;

	str_adds(out, pl->utf8 ? "UTF8" : "");
}

static void accepted(struct login *l)
{
	str_adds(&l->out, "+OK Logged in.");
	client_reply_note(l, &l->out);
	str_adds(&l->out, "\r\n");
}

static void fini(struct login *l)
{
	struct pop3_login *pl = l->data;

	sasl_end(&pl->sasl);
}

const struct login_dialect pop3_login_dialect = {
	.protocol = PROTOCOL_POP3,
	.data_size = sizeof(struct pop3_login),
	.fini = fini,
	.greeting_mech = greeting_mech,
	.greet = greet,
	.challenge = challenge,
	.input = input,
	.refuse = refuse,
	.bye = bye,
	.context = context,
	.peer_line = pop3_peer_line,
	.accepted = accepted,
};
