/* Argon2 (RFC 9106) in its usual spelling: $argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$HASH, base64 without padding; of
 * version 16 "v=" may be missing. The library is loaded by the first process that needs it, so that no login
 * worker and no session server maps it; see ARCHITECTURE.md. */
#include <argon2.h>
#include <dlfcn.h>
#include <openssl/rand.h>
#include <string.h>

#include "authlib/password_kind.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"

enum {
	MEMORY_MAX = 1024 * 1024,   /* KiB that an auth worker may use for one check */
	WORK_MAX = 8 * 1024 * 1024, /* KiB times passes: some ten seconds of CPU */
	LANES_MAX = 255,
	/* All sizes in use; a truncated one seldom has them. */
	SALT_MAX = 64,
	KEY_MIN = 16,
	KEY_UNIT = 4,
	KEY_MAX = 128,
	NEW_MEMORY = 64 * 1024,
	NEW_PASSES = 3,
	NEW_SALT = 16,
	NEW_KEY = 32 /* RFC 9106 section 4, and Dovecot's */
};

typedef int argon2_fn(argon2_context *, argon2_type);

static argon2_fn *load(void)
{
	static const char name[] = "libargon2.so.1";
	static void *library;
	static bool logged;
	void *symbol;
	argon2_fn *fn = NULL;

	if (library == NULL)
		library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	symbol = library != NULL ? dlsym(library, "argon2_ctx") : NULL;
	_Static_assert(sizeof(fn) == sizeof(symbol), "POSIX's dlsym()");
	memcpy(&fn, &symbol, sizeof(fn));
	if (fn == NULL && !logged) {
		log_error("cannot check Argon2 password hashes: %s; install libargon2-1", dlerror());
		logged = true;
	}
	return fn;
}

struct argon2 {
	argon2_type type;
	uint64_t version, memory, passes, lanes;
	size_t salt_len, key_len;
	uint8_t salt[SALT_MAX], key[KEY_MAX];
};

static const char damaged[] = "the Argon2 hash is truncated or damaged";

static bool skip(const char **p, const char *text)
{
	size_t len = strlen(text);

	if (strncmp(*p, text, len) != 0)
		return false;
	*p += len;
	return true;
}

/* A number without leading zeros. */
static bool number(const char **p, uint64_t *n)
{
	size_t len = strspn(*p, "0123456789");

	if ((len > 1 && **p == '0') || !num_parse(*p, len, UINT32_MAX, n))
		return false;
	*p += len;
	return true;
}

static bool parse_type(const char **p, argon2_type *type)
{
	if (skip(p, "$argon2id$"))
		*type = Argon2_id;
	else if (skip(p, "$argon2i$"))
		*type = Argon2_i;
	else if (skip(p, "$argon2d$"))
		*type = Argon2_d;
	else
		return false;
	return true;
}

static bool parse_bytes(const char **p, uint8_t *to, size_t size, size_t *out_len)
{
	size_t len = strcspn(*p, "$");
	struct str raw = STR_INIT;
	bool good = password_b64_decode(&raw, *p, len, '+') && raw.len != 0 && raw.len <= size;

	if (good) {
		memcpy(to, raw.data, raw.len);
		*out_len = raw.len;
		*p += len;
	}
	str_fini_secret(&raw);
	return good;
}

static const char *parse(const char *text, struct argon2 *h)
{
	const char *p = text;

	memset(h, 0, sizeof(*h));
	h->version = ARGON2_VERSION_10;
	if (!parse_type(&p, &h->type) || (skip(&p, "v=") && (!number(&p, &h->version) || !skip(&p, "$"))) ||
	    !skip(&p, "m=") || !number(&p, &h->memory) || !skip(&p, ",t=") || !number(&p, &h->passes) ||
	    !skip(&p, ",p=") || !number(&p, &h->lanes) || !skip(&p, "$") ||
	    !parse_bytes(&p, h->salt, sizeof(h->salt), &h->salt_len) || !skip(&p, "$") ||
	    !parse_bytes(&p, h->key, sizeof(h->key), &h->key_len) || *p != '\0')
		return damaged;
	if (h->version != ARGON2_VERSION_10 && h->version != ARGON2_VERSION_13)
		return "unknown version of the Argon2 hash";
	if (h->memory > MEMORY_MAX || h->memory * h->passes > WORK_MAX || h->lanes > LANES_MAX)
		return "the cost of the Argon2 hash is too high: at most m=1048576 (1 GiB), m times t 8388608, p=255";
	if (h->key_len < KEY_MIN || h->key_len % KEY_UNIT != 0)
		return damaged;
	if (h->passes == 0 || h->lanes == 0 || h->memory < 8 * h->lanes || h->salt_len < ARGON2_MIN_SALT_LENGTH)
		return "the Argon2 hash has a number that is too small";
	return NULL;
}

/* One thread, whatever the lanes: a check takes one CPU, as any other job of an auth worker. */
static bool compute(const struct argon2 *h, const char *password, uint8_t *key)
{
	argon2_fn *fn = load();
	struct argon2 in = *h;
	char *pwd = mem_strdup(password);
	argon2_context c = {
		.out = key,
		.outlen = (uint32_t)h->key_len,
		.pwd = (uint8_t *)pwd,
		.pwdlen = (uint32_t)strlen(password),
		.salt = in.salt,
		.saltlen = (uint32_t)h->salt_len,
		.t_cost = (uint32_t)h->passes,
		.m_cost = (uint32_t)h->memory,
		.lanes = (uint32_t)h->lanes,
		.threads = 1,
		.version = (uint32_t)h->version,
		.flags = ARGON2_FLAG_CLEAR_PASSWORD,
	};
	int err = fn != NULL ? fn(&c, h->type) : ARGON2_INCORRECT_PARAMETER;

	if (fn != NULL && err != ARGON2_OK)
		log_error("cannot check an Argon2 password hash with m=%llu: libargon2 error %d%s",
		    (unsigned long long)h->memory, err, err == ARGON2_MEMORY_ALLOCATION_ERROR ? ", no memory" : "");
	mem_free_secret(&pwd);
	mem_wipe(&in, sizeof(in));
	return err == ARGON2_OK;
}

static const char *wrong(const struct password_scheme *s UNUSED, const struct str *body)
{
	struct argon2 h;
	const char *why = parse(str_cstr(body), &h);

	mem_wipe(&h, sizeof(h));
	return why;
}

static enum auth_result check(const struct password_scheme *s UNUSED, const struct str *body, const char *password)
{
	struct argon2 h;
	uint8_t is[KEY_MAX];
	enum auth_result r = AUTH_TRY_LATER;

	if (parse(str_cstr(body), &h) != NULL)
		r = AUTH_BROKEN;
	else if (compute(&h, password, is))
		r = mem_equal_secret(is, h.key_len, h.key, h.key_len) ? AUTH_OK : AUTH_MISMATCH;
	mem_wipe(is, sizeof(is));
	mem_wipe(&h, sizeof(h));
	return r;
}

static size_t class(const char *text)
{
	const char *p = strstr(text, "m=");

	return p != NULL ? (size_t)(p - text) + strcspn(p, "$") : 0;
}

static void dummy(const struct password_scheme *s UNUSED, struct str *body)
{
	char *key = strrchr(body->data, '$') + 1;

	memset(key, 'A', strlen(key));
}

static bool make(const struct password_scheme *s, struct str *body, const char *password)
{
	struct argon2 h = {
		.type = strcmp(s->name, "ARGON2I") == 0 ? Argon2_i : Argon2_id,
		.version = ARGON2_VERSION_13,
		.memory = NEW_MEMORY,
		.passes = NEW_PASSES,
		.lanes = 1,
		.salt_len = NEW_SALT,
		.key_len = NEW_KEY,
	};
	bool good = RAND_bytes(h.salt, NEW_SALT) == 1 && compute(&h, password, h.key);

	if (good) {
		str_addf(body, "$%s$v=%d$m=%d,t=%d,p=1$", h.type == Argon2_i ? "argon2i" : "argon2id",
		    ARGON2_VERSION_13, NEW_MEMORY, NEW_PASSES);
		password_b64_encode(body, h.salt, h.salt_len);
		str_addc(body, '$');
		password_b64_encode(body, h.key, h.key_len);
	}
	mem_wipe(&h, sizeof(h));
	return good;
}

const struct password_kind password_argon2 = {
	.slow = true,
	.wrong = wrong,
	.check = check,
	.class = class,
	.dummy = dummy,
	.make = make,
};
