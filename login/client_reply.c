/* Code, text and note of a reply to a login. */
#include "login/client_reply.h"

#include <string.h>

#include "login/login.h"

void client_reply_avoid_literal(char *text, size_t len)
{
	if (len != 0 && text[len - 1] == '}')
		text[len - 1] = ')';
}

/* Appends the peer's text after its code to "[ALERT] ", for the user. Drops notes at its end: they are for this node,
 * or forged for the one before it. False: there is no text. */
static bool add_alert(struct login *l)
{
	const char *text = l->peer.said + strcspn(l->peer.said, "]");
	size_t blank = l->out.len - 1, len;

	str_adds(&l->out, text + strspn(text, "] "));
	len = signature_check_text(l->out.data + blank);
	l->out.len = blank + MAX(len, 1);
	client_reply_avoid_literal(l->out.data, l->out.len);
	return len > 1;
}

void client_reply_refusal(struct login *l, enum login_failure f)
{
	enum protocol p = l->dialect->protocol;

	str_addf(&l->out, "[%s] ", l->peer.code != NULL ? l->peer.code : failure_code(f, p));
	if (f != FAILURE_ALERT || !add_alert(l))
		failure_add_text(f, p, &l->out);
	client_reply_note(l, &l->out);
}

void client_reply_note(const struct login *l, struct str *out)
{
	if (l->reply != NULL)
		str_adds(out, signature_check_note(l->reply->signature));
}
