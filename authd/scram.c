/* The account's side of SCRAM, step by step; the mechanism itself is GNU SASL's (scram_gsasl.c). */
#include "authd/scram.h"

#include <string.h>

#include "authlib/module.h"
#include "authlib/password.h"
#include "lib/mem.h"

enum { SALT_LEN = 16 };

/* What is known of the account's password. */
enum known {
	KNOWN_KEYS,     /* the directory has the keys */
	KNOWN_PASSWORD, /* it has the password: the keys are computed from it */
	KNOWN_NOTHING   /* no such account: the login must fail, but not faster */
};

struct scram {
	const struct scram_module *module;
	struct scram_session *session;
	enum known known;
	unsigned step;
	char *user;
	struct scram_secret secret; /* salt and iterations; keys with KNOWN_KEYS */
	struct str password;        /* with KNOWN_PASSWORD, prepared */
	struct str final;           /* the last message of the client */
	struct str stored;          /* scram_question()'s */
};

const struct scram_module *scram_module_load(struct str *why)
{
	static const struct scram_module *loaded;

	if (loaded == NULL)
		loaded = auth_module_symbol("scram", "waypost_scram_module", why);
	return loaded;
}

/* The salt of a name that has no stored one: always the same, on all nodes that have the key, and to others no
 * different from a stored one. */
static void make_salt(struct scram_secret *s, struct mac *salts, const char *name)
{
	uint8_t digest[MAC_LEN];
	struct str text = STR_INIT;

	str_adds(&text, "waypost scram salt 1\n");
	str_adds(&text, scram_hash_name(s->hash));
	str_addc(&text, '\n');
	str_adds(&text, name);
	mac_compute(salts, text.data, text.len, digest);
	s->salt_len = SALT_LEN;
	memcpy(s->salt, digest, SALT_LEN);
	str_fini(&text);
}

/* Reads into S what the record has for HASH. */
static enum known read_record(struct scram *s, enum scram_hash hash, const struct account *a)
{
	char password[ACCOUNT_PASSWORD_MAX];
	enum known known = KNOWN_NOTHING;
	const char *why;

	if (a == NULL || password_is_locked(a->hash))
		return KNOWN_NOTHING;
	if (scram_secret_read(&s->secret, a->hash, &why) && s->secret.hash == hash)
		return KNOWN_KEYS;
	mem_wipe(&s->secret, sizeof(s->secret));
	str_room(&s->password, 2 * ACCOUNT_PASSWORD_MAX);
	if (auth_clear_password(a, password) && s->module->prepare(password, &s->password))
		known = KNOWN_PASSWORD;
	mem_wipe(password, sizeof(password));
	return known;
}

struct scram *scram_new(const struct scram_module *m, enum scram_hash hash, const char *user, const char *name,
    const struct account *a, struct mac *salts, unsigned iterations, const char **why)
{
	struct scram *s = mem_alloc(sizeof(*s));

	s->module = m;
	s->user = mem_strdup(user);
	s->known = read_record(s, hash, a);
	*why = "";
	if (a != NULL && s->known == KNOWN_NOTHING && !password_is_locked(a->hash))
		*why = "its directory has neither its clear password nor a secret of this mechanism ({SCRAM-SHA-256}, "
		       "{SCRAM-SHA-1})";
	if (s->known != KNOWN_KEYS) {
		s->secret.hash = hash;
		s->secret.iterations = iterations;
		make_salt(&s->secret, salts, name);
	}
	s->session = m->begin(&s->secret);
	if (s->session == NULL)
		scram_free(&s);
	return s;
}

void scram_free(struct scram **sp)
{
	struct scram *s = *sp;

	if (s == NULL)
		return;
	s->module->end(&s->session);
	str_fini_secret(&s->password);
	str_fini_secret(&s->stored);
	str_fini(&s->final);
	mem_free(&s->user);
	mem_wipe(s, sizeof(*s));
	mem_free(sp);
}

static enum scram_next judge(struct scram *s, struct str *out)
{
	if (!s->module->final(s->session, str_cstr(&s->final), &s->secret, out))
		return SCRAM_WRONG;
	s->step = 2;
	return SCRAM_PROVED;
}

enum scram_next scram_step(struct scram *s, const char *text, struct str *out)
{
	switch (s->step) {
	case 0:
		s->step = s->module->first(s->session, text, s->user, out) ? 1 : 3;
		return s->step == 1 ? SCRAM_CHALLENGE : SCRAM_WRONG;
	case 1:
		s->step = 3; /* ends here unless judge() continues it */
		str_adds(&s->final, text);
		if (s->known == KNOWN_KEYS && judge(s, out) == SCRAM_PROVED)
			return SCRAM_PROVED;
		/* Every refusal costs one computation, whether or not anything depends on it. */
		return SCRAM_COMPUTE;
	case 2:
		s->step = 3;
		return text[0] == '\0' ? SCRAM_RIGHT : SCRAM_WRONG;
	default:
		return SCRAM_WRONG;
	}
}

void scram_question(struct scram *s, const char **password, const char **secret)
{
	struct scram_secret sample = s->secret;

	sample.key_len = s->secret.hash == SCRAM_SHA_1 ? 20 : 32;
	memset(sample.stored_key, 0, sizeof(sample.stored_key));
	memset(sample.server_key, 0, sizeof(sample.server_key));
	str_clear(&s->stored);
	str_room(&s->stored, ACCOUNT_HASH_MAX);
	scram_secret_add(&s->stored, &sample);
	*password = s->known == KNOWN_PASSWORD ? str_cstr(&s->password) : "nobody's";
	*secret = s->stored.data;
}

enum scram_next scram_computed(struct scram *s, const char *secret, struct str *out)
{
	const char *why;

	if (s->known != KNOWN_PASSWORD || !scram_secret_read(&s->secret, secret, &why))
		return SCRAM_WRONG;
	return judge(s, out);
}
