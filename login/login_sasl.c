#include "login/login_sasl.h"

#include <string.h>
#include <strings.h>

#include "lib/b64.h"
#include "lib/mem.h"

#define PROMPT_USER "VXNlcm5hbWU6" /* "Username:" */
#define PROMPT_PASSWORD "UGFzc3dvcmQ6" /* "Password:" */

/* [authzid] NUL authcid NUL passwd */
static enum sasl_result plain(struct login *l, const char *p, size_t len)
{
	const char *user = memchr(p, '\0', len), *password;
	size_t authzid_len, user_len;

	if (user == NULL)
		return SASL_MALFORMED;
	authzid_len = (size_t)(user - p);
	user++;
	password = memchr(user, '\0', len - authzid_len - 1);
	if (password == NULL)
		return SASL_MALFORMED;
	user_len = (size_t)(password - user);
	password++;
	if (authzid_len != 0 && (authzid_len != user_len || memcmp(p, user, user_len) != 0))
		return SASL_AUTHZID;
	if (!login_set_credentials(l, user, user_len, password, len - authzid_len - user_len - 2, "PLAIN"))
		return SASL_MALFORMED;
	return SASL_CREDENTIALS;
}

static enum sasl_result login(struct login *l, struct sasl *s, const char *p, size_t len, const char **challenge)
{
	if (s->have_user)
		return login_set_credentials(l, s->user, strlen(s->user), p, len, "LOGIN") ? SASL_CREDENTIALS : SASL_MALFORMED;
	if (len == 0 || len >= sizeof(s->user) || memchr(p, '\0', len) != NULL)
		return SASL_MALFORMED;
	memcpy(s->user, p, len);
	s->user[len] = '\0';
	s->have_user = true;
	*challenge = PROMPT_PASSWORD;
	return SASL_CONTINUE;
}

static enum sasl_result step(struct login *l, struct sasl *s, const char *line, size_t len, const char **challenge)
{
	enum sasl_result result = SASL_MALFORMED;
	struct str raw = STR_INIT;

	if (len <= SASL_LINE_MAX && b64_decode(&raw, line, len))
		result = s->mechanism == SASL_PLAIN ? plain(l, str_cstr(&raw), raw.len) : login(l, s, str_cstr(&raw), raw.len, challenge);
	str_fini_secret(&raw);
	return result;
}

static bool is_word(const char *p, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(p, word, len) == 0;
}

enum sasl_result sasl_start(struct login *l, struct sasl *s, const char *mechanism, size_t mechanism_len,
    const char *initial, size_t initial_len, const char **challenge)
{
	enum sasl_result result;

	memset(s, 0, sizeof(*s));
	if (is_word(mechanism, mechanism_len, "PLAIN"))
		s->mechanism = SASL_PLAIN;
	else if (is_word(mechanism, mechanism_len, "LOGIN"))
		s->mechanism = SASL_LOGIN;
	else
		return SASL_UNKNOWN;
	if (initial == NULL) {
		*challenge = s->mechanism == SASL_LOGIN ? PROMPT_USER : "";
		return SASL_CONTINUE;
	}
	if (initial_len == 1 && initial[0] == '=')
		initial_len = 0;
	result = step(l, s, initial, initial_len, challenge);
	if (result != SASL_CONTINUE)
		sasl_end(s);
	return result;
}

enum sasl_result sasl_line(struct login *l, struct sasl *s, const char *line, size_t len, const char **challenge)
{
	enum sasl_result result;

	if (len == 1 && line[0] == '*')
		result = SASL_ABORT;
	else
		result = step(l, s, line, len, challenge);
	if (result != SASL_CONTINUE)
		sasl_end(s);
	return result;
}

void sasl_end(struct sasl *s)
{
	mem_wipe(s, sizeof(*s));
}
