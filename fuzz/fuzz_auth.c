/* Messages of a login worker, which may be compromised, to authd; and responses of its clients to challenges. The first
 * byte chooses. */
#include <string.h>

#include "authd/challenge_response.h"
#include "authd/scram.h"
#include "lib/mem.h"
#include "lib/text.h"
#include "node/msg_channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void message(const uint8_t *data, size_t size)
{
	static struct msgw w;
	static struct auth_request q;
	static struct auth_reply a;
	static char text[AUTH_TEXT_MAX];
	static struct tls_ticket_keys keys;
	enum auth_mech mech;
	uint32_t request;
	struct msgr r;

	/* Whatever was read can be written again, with the same result. */
	msgr_begin(&r, data, size);
	if (r.type == AUTH_REQUEST && auth_request_read(&r, &q)) {
		auth_request_write(&w, &q);
		if (w.len != size || memcmp(w.buf, data, size) != 0)
			__builtin_trap();
		if (!text_is_plain(q.user) || !text_is_plain(q.credential) || !text_is_plain(q.forwarded.session_id))
			__builtin_trap();
	}
	msgr_begin(&r, data, size);
	if (r.type == AUTH_REPLY && auth_reply_read(&r, &a)) {
		auth_reply_write(&w, &a);
		if (w.len != size || memcmp(w.buf, data, size) != 0)
			__builtin_trap();
		if (!text_is_plain(a.name) || !text_is_plain(a.peer_password) || !text_is_plain(a.master_user) ||
		    !text_is_plain(a.session_id))
			__builtin_trap();
	}
	msgr_begin(&r, data, size);
	if (auth_challenge_wanted_read(&r, &request, &mech) && auth_mech_exchange(mech) != AUTH_EXCHANGE_CHALLENGE)
		__builtin_trap();
	msgr_begin(&r, data, size);
	auth_text_read(&r, &request, text);
	msgr_begin(&r, data, size);
	if (r.type == AUTH_TICKET_KEYS && auth_ticket_keys_read(&r, &keys)) {
		auth_ticket_keys_write(&w, &keys);
		if (w.len != size || memcmp(w.buf, data, size) != 0)
			__builtin_trap();
	}
}

/* Records and answers: five texts with NUL between them. */
static void answer(const uint8_t *data, size_t size)
{
	char *all = mem_memdup(data, size), *p = all, *end = all + size;
	const char *part[5] = { "", "", "", "", "" }, *why;
	struct account a;
	enum auth_result r;

	for (size_t i = 0; i < ARRAY_LEN(part) && p < end; i++, p += strlen(p) + 1)
		part[i] = p;
	account_init(&a);
	account_set(&a.clear, part[0]);
	account_set(&a.hash, part[1]);
	account_set(&a.hmac, part[2]);
	for (int m = AUTH_MECH_APOP; m <= AUTH_MECH_CRAM_SHA256; m++) {
		r = challenge_response_check((enum auth_mech)m, &a, part[3], part[4], &why);
		if (r != AUTH_OK && r != AUTH_MISMATCH && r != AUTH_DISABLED)
			__builtin_trap();
	}
	account_fini(&a);
	mem_free(&all);
}

#ifdef WITH_GSASL
extern const struct scram_module *const waypost_scram_module;

/* Two messages, separated by NUL, of a client that does not know the password. */
static void scram(const uint8_t *data, size_t size)
{
	static struct mac *salts;
	char *first = mem_memdup(data, size);
	const char *final = strlen(first) < size ? first + strlen(first) + 1 : "", *why;
	struct str out = STR_INIT;
	struct scram *s;

	if (salts == NULL)
		salts = mac_new("key", 3);
	s = scram_new(waypost_scram_module, SCRAM_SHA_256, "user", "user", NULL, salts, 4096, &why);
	if (scram_step(s, first, &out) == SCRAM_CHALLENGE &&
	    (scram_step(s, final, &out) != SCRAM_COMPUTE || scram_computed(s, "", &out) != SCRAM_WRONG))
		__builtin_trap();
	scram_free(&s);
	str_fini(&out);
	mem_free(&first);
}
#endif

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 4 == 1)
		answer(data + 1, size - 1);
#ifdef WITH_GSASL
	else if (data[0] % 4 == 2)
		scram(data + 1, size - 1);
#endif
	else
		message(data + 1, size - 1);
	return 0;
}
