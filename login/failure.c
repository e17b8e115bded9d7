/* The table of failures: verdict, texts and codes, one row for each. */
#include "login/failure.h"

#include <string.h>

#include "lib/text.h"
#include "settings/protocol.h"

#define LATER "Temporary problem, please try again later."
#define ITSELF "This account can only log in with a mechanism that sends its password, such as PLAIN."
#define NEEDS_PASSWORD \
	"cannot be forwarded: %m reveals no password, which mailhost %h needs; the directory does not have the clear " \
	"password, "
#define CODES(imap, pop3) \
	{ \
		[PROTOCOL_IMAP] = imap, [PROTOCOL_POP3] = pop3 \
	}

/* Reasons may contain %h, %a, %s, %m, %n for the facts host, at, said, method, self; a text may begin with %p, the
 * protocol. */
static const struct {
	enum auth_verdict verdict;
	const char *reason; /* NULL: authd gives one */
	const char *text;
	const char *code[PROTOCOL_COUNT];
} rows[] = {
	[FAILURE_WRONG] = { AUTH_VERDICT_WRONG, NULL, "Login failed.", CODES("AUTHENTICATIONFAILED", "AUTH") },
	[FAILURE_DISABLED] = { AUTH_VERDICT_DISABLED, NULL, "%p access is disabled for this account.",
	    CODES("CONTACTADMIN", "SYS/PERM") },
	[FAILURE_UNAVAILABLE] = { AUTH_VERDICT_UNAVAILABLE, NULL, LATER, CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_LIMIT] = { AUTH_VERDICT_LIMIT, NULL, "Too many sessions, please close some, or try again later.",
	    CODES("LIMIT", "SYS/TEMP") },
	[FAILURE_ACCOUNT_LIMIT] = { AUTH_VERDICT_ACCOUNT_LIMIT, NULL,
	    "Too many sessions of this account, please close some.", CODES("LIMIT", "IN-USE") },
	[FAILURE_LOOP] = { AUTH_VERDICT_LOOP, NULL, LATER, CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_CANNOT] = { AUTH_VERDICT_CANNOT, NULL, ITSELF, CODES("CONTACTADMIN", "SYS/PERM") },
	[FAILURE_INSECURE] = { AUTH_VERDICT_INSECURE, NULL, "TLS is required to log in.",
	    CODES("PRIVACYREQUIRED", "SYS/PERM") },
	[FAILURE_AUTHZID] = { AUTH_VERDICT_AUTHZID, NULL, "Logging in as somebody else is not allowed.",
	    CODES("AUTHORIZATIONFAILED", "SYS/PERM") },
	[FAILURE_NO_AUTHD] = { AUTH_VERDICT_UNAVAILABLE, "authd does not answer", LATER,
	    CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_NO_SERVER] = { AUTH_VERDICT_UNAVAILABLE, "cannot start a session server; see the lines of spawn",
	    LATER, CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_NO_DESCRIPTOR] = { AUTH_VERDICT_UNAVAILABLE,
	    "no descriptor is left for the connection to the local server; raise LimitNOFILE", LATER,
	    CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_KICKED] = { AUTH_VERDICT_UNAVAILABLE, "ended by waypost kick", "Disconnected by the administrator.",
	    CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_CONTROL_CHARS] = { AUTH_VERDICT_UNAVAILABLE,
	    "the account's name or password, or the session id, has control characters and "
	    "cannot be forwarded: check the account with `waypost auth USER`",
	    LATER, CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_UNREACHABLE] = { AUTH_VERDICT_UNAVAILABLE, "mailhost %h cannot be reached: %s", LATER,
	    CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_UNANSWERED] = { AUTH_VERDICT_UNAVAILABLE, "mailhost %h did not finish the login: %s", LATER,
	    CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_INVALID] = { AUTH_VERDICT_UNAVAILABLE, "mailhost %h at %a sent an invalid answer: %s", LATER,
	    CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_REFUSED] = { AUTH_VERDICT_UNAVAILABLE,
	    "mailhost %h at %a refused a login that the directory here accepted; do both use the "
	    "same directory? It said: %s",
	    LATER, CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_MASTER] = { AUTH_VERDICT_UNAVAILABLE,
	    "mailhost %h at %a refused PROXY_MASTER_USER; does that user exist there, with "
	    "PROXY_MASTER_PASSWORD, and may it act for others? It said: %s",
	    LATER, CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_TEMPORARY] = { AUTH_VERDICT_UNAVAILABLE, "mailhost %h at %a has a temporary failure. It said: %s",
	    LATER, CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_NEEDS_TLS] = { AUTH_VERDICT_CANNOT,
	    "mailhost %h at %a accepts no logins without TLS: set PROXY_TLS, or PROXY_TLS_PEERS for it. It said: %s",
	    "The server of this mailbox accepts logins over TLS only; please contact the administrator.",
	    CODES("CONTACTADMIN", "SYS/PERM") },
	[FAILURE_CLIENT_TLS] = { AUTH_VERDICT_INSECURE,
	    "mailhost %h at %a accepts no login of a client without TLS, and this client has none: give this node a "
	    "certificate, too (TLS_CERTFILE), and have the user use TLS. It said: %s",
	    "TLS is required to log in.", CODES("PRIVACYREQUIRED", "SYS/PERM") },
	[FAILURE_UNBELIEVED] = { AUTH_VERDICT_UNAVAILABLE,
	    "mailhost %h at %a does not accept this node's signature, and without it no login: copy one "
	    "POOL_SECRETFILE to all nodes. It said: %s",
	    LATER, CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_NO_STARTTLS] = { AUTH_VERDICT_UNAVAILABLE,
	    "mailhost %h at %a did not begin TLS, and got nothing of the login: does it support STARTTLS (PROXY_TLS), "
	    "or "
	    "does somebody sit between? It said: %s",
	    LATER, CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_EXPIRED] = { AUTH_VERDICT_CANNOT, "the password has expired at mailhost %h at %a. It said: %s",
	    "The password has expired; please set a new one.", CODES("EXPIRED", "SYS/PERM") },
	[FAILURE_DENIED] = { AUTH_VERDICT_CANNOT,
	    "mailhost %h at %a does not allow this account to log in. It said: %s",
	    "This account may not log in at the server of its mailbox.", CODES("AUTHORIZATIONFAILED", "SYS/PERM") },
	[FAILURE_ADMIN] = { AUTH_VERDICT_CANNOT,
	    "mailhost %h at %a cannot serve this account until somebody repairs something there. It said: %s",
	    "The server of this mailbox cannot serve this account; please contact the administrator.",
	    CODES("CONTACTADMIN", "SYS/PERM") },
	[FAILURE_PEER_LIMIT] = { AUTH_VERDICT_LIMIT, "mailhost %h at %a has reached a limit. It said: %s",
	    "The server of this mailbox has reached a limit; close other sessions, or try later.",
	    CODES("LIMIT", "IN-USE") },
	[FAILURE_IN_USE] = { AUTH_VERDICT_UNAVAILABLE, "mailhost %h at %a says that the mailbox is in use. It said: %s",
	    "The mailbox is in use by another session; please try again later.", CODES("INUSE", "IN-USE") },
	[FAILURE_ALERT] = { AUTH_VERDICT_CANNOT,
	    "mailhost %h at %a refused the login with a message for its user. It said: %s",
	    "The server of this mailbox refuses this login.", CODES("ALERT", "SYS/PERM") },
	[FAILURE_TOO_SOON] = { AUTH_VERDICT_UNAVAILABLE,
	    "mailhost %h at %a allows no logins so soon after each other. It said: %s",
	    "The last login was a moment ago; please wait before the next one.", CODES("UNAVAILABLE", "LOGIN-DELAY") },
	[FAILURE_SELF] = { AUTH_VERDICT_LOOP,
	    "proxy loop: mailhost %h at %a is this node itself, whose name is %n: change mailhost to that name, or set "
	    "PROXY_HOSTNAME of this node to %h",
	    LATER, CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_LOCAL_SELF] = { AUTH_VERDICT_LOOP,
	    "the local server at %a is Waypost, this node or another: LOCAL_IMAP and LOCAL_POP3 name a server of "
	    "another kind; for another node set mailhost",
	    LATER, CODES("UNAVAILABLE", "SYS/TEMP") },
	[FAILURE_LOCAL_TLS] = { AUTH_VERDICT_CANNOT,
	    "the local server at %a accepts no logins without TLS: let it accept them from this machine. It said: %s",
	    "The server of this mailbox accepts logins over TLS only; please contact the administrator.",
	    CODES("CONTACTADMIN", "SYS/PERM") },
	[FAILURE_NO_MASTER] = { AUTH_VERDICT_CANNOT,
	    NEEDS_PASSWORD "it is not a node with our pool secret, and PROXY_MASTER_USER is not set", ITSELF,
	    CODES("CONTACTADMIN", "SYS/PERM") },
	[FAILURE_NO_PLAIN] = { AUTH_VERDICT_CANNOT, NEEDS_PASSWORD "it accepts neither our token nor SASL PLAIN",
	    ITSELF, CODES("CONTACTADMIN", "SYS/PERM") },
};

bool failure_wants_tls(const char *text)
{
	/* Dovecot; Zimbra; Cyrus; Courier and others. */
	static const char *const words[] = { "plaintext auth", "cleartext auth", "cleartext login", "entering TLS mode",
		"available under a layer", "TLS required", "TLS is required", "SSL required", "SSL is required",
		"requires TLS", "requires SSL", "starttls", "ssl/tls", "LOGINDISABLED" };
	size_t len = strcspn(text, ".");

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasestr(text, words[i]) != NULL)
			return true;
	/* UW-IMAP; GNU imap4d. A refusal of one account has more words. */
	return text_is_word(text, len, "LOGIN disabled") || text_is_word(text, len, "Command disabled");
}

enum login_failure failure_of_verdict(enum auth_verdict v)
{
	static const enum login_failure failures[] = {
		[AUTH_VERDICT_OK] = FAILURE_UNAVAILABLE,
		[AUTH_VERDICT_WRONG] = FAILURE_WRONG,
		[AUTH_VERDICT_DISABLED] = FAILURE_DISABLED,
		[AUTH_VERDICT_UNAVAILABLE] = FAILURE_UNAVAILABLE,
		[AUTH_VERDICT_LIMIT] = FAILURE_LIMIT,
		[AUTH_VERDICT_LOOP] = FAILURE_LOOP,
		[AUTH_VERDICT_CANNOT] = FAILURE_CANNOT,
		[AUTH_VERDICT_INSECURE] = FAILURE_INSECURE,
		[AUTH_VERDICT_AUTHZID] = FAILURE_AUTHZID,
		[AUTH_VERDICT_ACCOUNT_LIMIT] = FAILURE_ACCOUNT_LIMIT,
	};

	return failures[v];
}

enum login_failure failure_of_local(enum login_failure f)
{
	return f == FAILURE_SELF ? FAILURE_LOCAL_SELF : f == FAILURE_NEEDS_TLS ? FAILURE_LOCAL_TLS : f;
}

const char *failure_word(enum login_failure f)
{
	switch (rows[f].verdict) {
	case AUTH_VERDICT_WRONG:
		return "LOGIN FAILED";
	case AUTH_VERDICT_LIMIT: /* trying again would not help */
	case AUTH_VERDICT_ACCOUNT_LIMIT:
	case AUTH_VERDICT_DISABLED:
	case AUTH_VERDICT_CANNOT:
	case AUTH_VERDICT_INSECURE:
	case AUTH_VERDICT_AUTHZID:
		return "LOGIN REFUSED";
	default:
		return "TEMPORARY FAILURE";
	}
}

static const char *fact(char letter, const struct failure_facts *facts)
{
	switch (letter) {
	case 'h':
		return facts->host;
	case 'a':
		return facts->at;
	case 's':
		return facts->said;
	case 'm':
		return facts->method;
	default:
		return facts->self;
	}
}

void failure_add_reason(enum login_failure f, const struct failure_facts *facts, struct str *out)
{
	for (const char *p = rows[f].reason, *mark; p != NULL; p = mark != NULL ? mark + 2 : NULL) {
		mark = strchr(p, '%');
		str_add(out, p, mark != NULL ? (size_t)(mark - p) : strlen(p));
		if (mark != NULL)
			str_adds(out, fact(mark[1], facts));
	}
}

const char *failure_code(enum login_failure f, enum protocol p)
{
	return rows[f].code[p];
}

void failure_add_text(enum login_failure f, enum protocol p, struct str *out)
{
	const char *text = rows[f].text;

	if (text[0] == '%') {
		str_adds(out, protocols[p].title);
		text += 2;
	}
	str_adds(out, text);
}
