/* Any bytes as a message to or from a key process: what is read keeps its limits, and is written as it was read. */
#include "lib/die.h"
#include "lib/mem.h"
#include "node/msg_channel.h"
#include "node/msg_key.h"

static struct msgw w;

static bool is_rewritten(const uint8_t *data, size_t size)
{
	return w.len == size && memcmp(w.buf, data, size) == 0;
}

static void try_sign(const uint8_t *data, size_t size)
{
	struct key_sign m;
	struct msgr r;

	msgr_begin(&r, data, size);
	if (!key_sign_read(&r, &m))
		return;
	DIE_IF(m.scheme >= TLS_SCHEME_COUNT);
	key_sign_write(&w, &m);
	DIE_IF(!is_rewritten(data, size));
}

static void try_signed(const uint8_t *data, size_t size)
{
	struct key_signed m;
	struct msgr r;

	msgr_begin(&r, data, size);
	if (!key_signed_read(&r, &m))
		return;
	DIE_IF(m.len > TLS_SIGNATURE_MAX);
	key_signed_write(&w, &m);
	DIE_IF(!is_rewritten(data, size));
}

static void try_chain(const uint8_t *data, size_t size)
{
	static struct key_chain m;
	struct msgr r;
	size_t sum = 0;

	msgr_begin(&r, data, size);
	if (!key_chain_read(&r, &m))
		return;
	DIE_IF(m.n == 0 || m.n > KEY_CHAIN_CERTS);
	for (unsigned i = 0; i < m.n; i++)
		sum += m.cert[i].len;
	DIE_IF(sum > KEY_CHAIN_BYTES);
	key_chain_write(&w, &m);
	DIE_IF(!is_rewritten(data, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct control_key key;
	static struct control_key_news news;
	static struct control_key_gone gone;
	static enum control_keys how;
	static uint8_t copy[MSG_SIZE_MAX];
	static const uint16_t types[] = { KEY_SIGN, KEY_SIGNED, KEY_CHAIN, CTL_KEY, CTL_KEY_NEWS, CTL_KEY_GONE,
		CTL_KEYS };
	struct msgr r;

	if (size < 2 || size > sizeof(copy))
		return 0;
	memcpy(copy, data, size);
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		memcpy(copy, &types[i], sizeof(types[i])); /* as lib/msg.c writes it */
		if (types[i] == KEY_SIGN)
			try_sign(copy, size);
		else if (types[i] == KEY_SIGNED)
			try_signed(copy, size);
		else if (types[i] == KEY_CHAIN)
			try_chain(copy, size);
		msgr_begin(&r, copy, size);
		if (control_key_read(&r, &key))
			DIE_IF(strlen(key.file) >= KEY_FILE_MAX || strlen(key.use) >= KEY_USE_MAX);
		msgr_begin(&r, copy, size);
		if (control_key_news_read(&r, &news))
			DIE_IF(strlen(news.why) >= KEY_WHY_MAX);
		msgr_begin(&r, copy, size);
		if (control_key_gone_read(&r, &gone))
			DIE_IF(strlen(gone.use) >= KEY_USE_MAX);
		msgr_begin(&r, copy, size);
		if (control_keys_read(&r, &how))
			DIE_IF(how >= CONTROL_KEYS_COUNT);
	}
	return 0;
}
