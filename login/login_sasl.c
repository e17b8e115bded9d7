/* SASL exchanges of a login, whatever the protocol. */
#include "login/login_sasl.h"

#include <string.h>
#include <strings.h>

#include "lib/b64.h"
#include "lib/mem.h"
#include "lib/text.h"
#include "login/credentials.h"
#include "login/external.h"

#define PROMPT_USER "VXNlcm5hbWU6"     /* "Username:" */
#define PROMPT_PASSWORD "UGFzc3dvcmQ6" /* "Password:" */

/* A message of the client, decoded (a NUL follows it). */
typedef enum sasl_result sasl_message_fn(struct login *l, struct sasl *s, const char *p, size_t len);

struct sasl_mechanism {
	const char *name;    /* NULL: as authd names it */
	enum auth_mech mech; /* as authd knows it */
	/* LISTED: if the settings name it; POOL: if the pool has a secret; CERTIFICATE: if the client has shown one. */
	enum { SASL_ALWAYS, SASL_LISTED, SASL_POOL, SASL_CERTIFICATE } offered;
	/* The challenge, in base64, for a client that sends no initial response; NULL: it cannot send one, as authd
	 * makes the challenge. */
	const char *prompt;
	sasl_message_fn *message;
};

/* [authzid] NUL authcid NUL passwd */
static enum sasl_result plain(struct login *l, struct sasl *s UNUSED, const char *p, size_t len)
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
	credentials_set(l, user, user_len, password, len - authzid_len - user_len - 2, "PLAIN");
	return SASL_CREDENTIALS;
}

static enum sasl_result login(struct login *l, struct sasl *s, const char *p, size_t len)
{
	if (s->have_user) {
		credentials_set(l, s->user, s->user_len, p, len, "LOGIN");
		return SASL_CREDENTIALS;
	}
	s->user_len = MIN(len, sizeof(s->user)); /* a name of this size is refused as too long */
	memcpy(s->user, p, s->user_len);
	s->have_user = true;
	s->challenge = PROMPT_PASSWORD;
	return SASL_CONTINUE;
}

/* name NUL token */
static enum sasl_result token(struct login *l, struct sasl *s UNUSED, const char *p, size_t len)
{
	const char *end = memchr(p, '\0', len);

	if (end == NULL)
		return SASL_MALFORMED;
	credentials_set_proof(l, AUTH_MECH_TOKEN, p, (size_t)(end - p), end + 1, (size_t)(p + len - end - 1));
	return SASL_CREDENTIALS;
}

/* user SP digest in hexadecimal; the user may have blanks (RFC 2195 section 2). */
static enum sasl_result cram(struct login *l, struct sasl *s, const char *p, size_t len)
{
	const char *blank = memrchr(p, ' ', len);

	if (blank == NULL)
		return SASL_MALFORMED;
	credentials_set_proof(l, s->mechanism->mech, p, (size_t)(blank - p), blank + 1, (size_t)(p + len - blank - 1));
	return SASL_CREDENTIALS;
}

/* saslname: "=2C" is a comma, "=3D" an equals sign (RFC 5802 section 5.1). */
static bool add_saslname(struct str *out, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] != '=') {
			str_addc(out, p[i]);
		} else if (len - i >= 3 && (memcmp(p + i, "=2C", 3) == 0 || memcmp(p + i, "=3D", 3) == 0)) {
			str_addc(out, p[i + 1] == '2' ? ',' : '=');
			i += 2;
		} else {
			return false;
		}
	}
	return true;
}

/* Returns the part of TEXT up to the next comma and its length in LEN; TEXT moves past the comma. */
static const char *next_part(const char **text, const char *end, size_t *len)
{
	const char *p = *text, *comma = memchr(p, ',', (size_t)(end - p));

	*len = (size_t)((comma != NULL ? comma : end) - p);
	*text = comma != NULL ? comma + 1 : end;
	return p;
}

/* SCRAM's first message, parsed only to learn the user's name; authd parses it in full. */
static enum sasl_result scram_first(struct login *l, struct sasl *s, const char *p, size_t len)
{
	const char *end = p + len, *rest = p, *flag, *authzid, *name;
	size_t flag_len, authzid_len, name_len;
	struct str user = STR_INIT, other = STR_INIT;
	enum sasl_result result = SASL_MALFORMED;

	flag = next_part(&rest, end, &flag_len);
	authzid = next_part(&rest, end, &authzid_len);
	name = next_part(&rest, end, &name_len);
	/* No channel binding: the client lacks it ("n"), or thinks that the server does ("y"). */
	if (flag_len == 1 && (flag[0] == 'n' || flag[0] == 'y') && name_len > 2 && memcmp(name, "n=", 2) == 0 &&
	    (authzid_len == 0 || (authzid_len > 2 && memcmp(authzid, "a=", 2) == 0)) &&
	    add_saslname(&user, name + 2, name_len - 2) &&
	    (authzid_len == 0 || add_saslname(&other, authzid + 2, authzid_len - 2))) {
		s->have_user = true;
		if (authzid_len != 0 && (other.len != user.len || memcmp(other.data, user.data, user.len) != 0)) {
			result = SASL_AUTHZID;
		} else {
			credentials_set_proof(l, s->mechanism->mech, user.data, user.len, p, len);
			result = SASL_STEP;
		}
	}
	str_fini(&user);
	str_fini(&other);
	return result;
}

static enum sasl_result scram(struct login *l, struct sasl *s, const char *p, size_t len)
{
	if (!s->have_user)
		return scram_first(l, s, p, len);
	return credentials_set_step(l, p, len) ? SASL_STEP : SASL_MALFORMED;
}

/* [authzid]: what the client says is compared with its certificate's name, by authd, and never takes its place. */
static enum sasl_result external(struct login *l, struct sasl *s, const char *p, size_t len)
{
	char name[ACCOUNT_NAME_MAX];

	if (!external_name(l, name))
		return SASL_MALFORMED;
	credentials_set_proof(l, s->mechanism->mech, name, strlen(name), len != 0 ? p : name,
	    len != 0 ? len : strlen(name));
	return SASL_CREDENTIALS;
}

static const struct sasl_mechanism mechanisms[] = {
	{ "PLAIN", AUTH_MECH_PASSWORD, SASL_ALWAYS, "", plain },
	{ "LOGIN", AUTH_MECH_PASSWORD, SASL_ALWAYS, PROMPT_USER, login },
	{ NULL, AUTH_MECH_TOKEN, SASL_POOL, "", token },
	{ NULL, AUTH_MECH_CRAM_MD5, SASL_LISTED, NULL, cram },
	{ NULL, AUTH_MECH_CRAM_SHA1, SASL_LISTED, NULL, cram },
	{ NULL, AUTH_MECH_CRAM_SHA256, SASL_LISTED, NULL, cram },
	{ NULL, AUTH_MECH_SCRAM_SHA_1, SASL_LISTED, "", scram },
	{ NULL, AUTH_MECH_SCRAM_SHA_256, SASL_LISTED, "", scram },
	{ NULL, AUTH_MECH_EXTERNAL, SASL_CERTIFICATE, "", external },
};

static enum sasl_result step(struct login *l, struct sasl *s, const char *line, size_t len)
{
	enum sasl_result result = SASL_MALFORMED;
	struct str raw = STR_INIT;

	if (len <= SASL_LINE_MAX && b64_decode(&raw, line, len))
		result = s->mechanism->message(l, s, str_cstr(&raw), raw.len);
	str_fini_secret(&raw);
	if (result != SASL_CONTINUE && result != SASL_STEP)
		sasl_end(s);
	return result;
}

bool sasl_named(const char *list, const char *prefix, const char *name, size_t len)
{
	size_t skip = strlen(prefix);

	for (const char *p = list; *p != '\0'; p += strspn(p, " \t")) {
		size_t word = strcspn(p, " \t");

		if (word == skip + len && strncasecmp(p, prefix, skip) == 0 && strncasecmp(p + skip, name, len) == 0)
			return true;
		p += word;
	}
	return false;
}

static bool is_offered(struct login *l, const struct sasl_mechanism *m, const struct sasl_command *c)
{
	switch (m->offered) {
	case SASL_LISTED:
		return sasl_named(c->list, c->prefix, c->mechanism, c->mechanism_len);
	case SASL_POOL:
		return l->set->has_pool_secret;
	case SASL_CERTIFICATE:
		return external_begins(l);
	default:
		return true;
	}
}

static const struct sasl_mechanism *find(struct login *l, const struct sasl_command *c)
{
	for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++) {
		const struct sasl_mechanism *m = &mechanisms[i];

		if (text_is_word(c->mechanism, c->mechanism_len, m->name != NULL ? m->name : auth_mech_name(m->mech)))
			return is_offered(l, m, c) ? m : NULL;
	}
	return NULL;
}

enum sasl_result sasl_start(struct login *l, struct sasl *s, const struct sasl_command *c)
{
	memset(s, 0, sizeof(*s));
	if ((s->mechanism = find(l, c)) == NULL)
		return SASL_UNKNOWN;
	if (c->initial != NULL && s->mechanism->prompt == NULL) { /* the server speaks first */
		sasl_end(s);
		return SASL_MALFORMED;
	}
	if (c->initial != NULL)
		return step(l, s, c->initial, c->initial_len == 1 && c->initial[0] == '=' ? 0 : c->initial_len);
	if (s->mechanism->prompt != NULL) {
		s->challenge = s->mechanism->prompt;
		return SASL_CONTINUE;
	}
	l->mech = s->mechanism->mech;
	l->method = auth_mech_name(l->mech);
	return SASL_CHALLENGE;
}

enum sasl_result sasl_line(struct login *l, struct sasl *s, const char *line, size_t len)
{
	if (len != 1 || line[0] != '*')
		return step(l, s, line, len);
	sasl_end(s);
	return SASL_ABORT;
}

void sasl_end(struct sasl *s)
{
	mem_wipe(s, sizeof(*s));
}
