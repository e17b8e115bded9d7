/* The module scram.so: SCRAM by GNU SASL, and nothing else of that library. It needs no callback: all properties are
 * set in advance. */
#include <gsasl.h>
#include <string.h>

#include "authd/scram.h"
#include "authlib/module.h"
#include "lib/b64.h"
#include "lib/mem.h"

struct scram_session {
	Gsasl_session *gsasl;
	bool first_done, final_done;
};

static Gsasl *library(void)
{
	static Gsasl *ctx;

	if (ctx == NULL && gsasl_init(&ctx) != GSASL_OK)
		ctx = NULL;
	return ctx;
}

static bool set_b64(Gsasl_session *g, Gsasl_property p, const uint8_t *data, size_t len)
{
	struct str text = STR_INIT;
	bool good;

	str_room(&text, 2 * len + 4); /* in one step: a string that grows leaves copies behind */
	b64_encode(&text, data, len);
	good = gsasl_property_set(g, p, text.data) == GSASL_OK;
	str_fini_secret(&text);
	return good;
}

static void end(struct scram_session **s)
{
	if (*s == NULL)
		return;
	if ((*s)->gsasl != NULL)
		gsasl_finish((*s)->gsasl);
	mem_free(s);
}

static struct scram_session *begin(const struct scram_secret *offer)
{
	struct scram_session *s = mem_alloc(sizeof(*s));
	char *iterations = mem_printf("%u", offer->iterations);
	Gsasl *ctx = library();

	if (ctx == NULL || gsasl_server_start(ctx, scram_hash_name(offer->hash), &s->gsasl) != GSASL_OK ||
	    gsasl_property_set(s->gsasl, GSASL_SCRAM_ITER, iterations) != GSASL_OK ||
	    !set_b64(s->gsasl, GSASL_SCRAM_SALT, offer->salt, offer->salt_len))
		end(&s);
	mem_free(&iterations);
	return s;
}

/* Does one step; WANT is the result expected. */
static bool speak(struct scram_session *s, const char *text, int want, struct str *out)
{
	char *said = NULL;
	size_t len = 0;
	int result = gsasl_step(s->gsasl, text, strlen(text), &said, &len);

	if (result == want)
		str_add(out, said, len);
	gsasl_free(said);
	return result == want;
}

static bool first(struct scram_session *s, const char *text, const char *name, struct str *out)
{
	const char *said;

	if (s->first_done || text[0] == '\0')
		return false;
	s->first_done = true;
	if (!speak(s, text, GSASL_NEEDS_MORE, out))
		return false;
	said = gsasl_property_fast(s->gsasl, GSASL_AUTHID);
	return said != NULL && strcmp(said, name) == 0;
}

static bool final(struct scram_session *s, const char *text, const struct scram_secret *keys, struct str *out)
{
	if (!s->first_done || s->final_done)
		return false;
	s->final_done = true;
	return set_b64(s->gsasl, GSASL_SCRAM_SERVERKEY, keys->server_key, keys->key_len) &&
	    set_b64(s->gsasl, GSASL_SCRAM_STOREDKEY, keys->stored_key, keys->key_len) && speak(s, text, GSASL_OK, out);
}

static bool prepare(const char *password, struct str *out)
{
	char *prepared = NULL;
	bool good = gsasl_saslprep(password, 0, &prepared, NULL) == GSASL_OK && prepared[0] != '\0';

	if (good)
		str_adds(out, prepared);
	if (prepared != NULL)
		mem_wipe(prepared, strlen(prepared));
	gsasl_free(prepared);
	return good;
}

static const struct scram_module module = {
	.begin = begin,
	.first = first,
	.final = final,
	.end = end,
	.prepare = prepare,
};
extern const struct scram_module *const waypost_scram_module;
const struct scram_module *const waypost_scram_module = &module;
AUTH_MODULE_VERSION;
