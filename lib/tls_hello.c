/* Looks for the end of a ClientHello. */
#include "lib/tls_hello.h"

#include <openssl/ssl3.h>

enum { MESSAGE_HEAD = 4, RECORD_MAX = SSL3_RT_MAX_PLAIN_LENGTH };

/* A head of a record, or the first bytes of one, is such as libssl may take. */
static bool head_fits(const struct tls_hello *h)
{
	if (h->head[0] != SSL3_RT_HANDSHAKE || (h->head_len > 1 && h->head[1] != SSL3_VERSION_MAJOR))
		return false;
	return h->head_len < sizeof(h->head) || (h->record_left != 0 && h->record_left <= RECORD_MAX);
}

static bool add_head(struct tls_hello *h, uint8_t byte)
{
	h->head[h->head_len++] = byte;
	h->heads++;
	if (h->head_len == sizeof(h->head))
		h->record_left = (uint16_t)(h->head[3] << 8 | h->head[4]);
	return head_fits(h);
}

/* Bytes of the message with its head; 0: not known yet. */
static uint32_t message_len(const struct tls_hello *h)
{
	const uint8_t *m = h->message_head;

	return h->have < MESSAGE_HEAD ? 0 : MESSAGE_HEAD + ((uint32_t)m[1] << 16 | (uint32_t)m[2] << 8 | m[3]);
}

/* Takes some of the bytes of a record: their number. */
static size_t add_body(struct tls_hello *h, const uint8_t *p, size_t len)
{
	size_t n = MIN(len, (size_t)h->record_left);

	for (size_t i = 0; i < n && h->have + i < MESSAGE_HEAD; i++)
		h->message_head[h->have + i] = p[i];
	h->have += (uint32_t)n;
	h->record_left = (uint16_t)(h->record_left - n);
	if (h->record_left == 0)
		h->head_len = 0;
	return n;
}

static enum tls_hello_state judge(const struct tls_hello *h)
{
	uint32_t len = message_len(h);

	if (h->have != 0 && h->message_head[0] != SSL3_MT_CLIENT_HELLO)
		return TLS_HELLO_OTHER;
	if (len > TLS_HELLO_MAX || h->heads > TLS_HELLO_MAX)
		return TLS_HELLO_LONG;
	return len != 0 && h->have >= len ? TLS_HELLO_WHOLE : TLS_HELLO_MORE;
}

enum tls_hello_state tls_hello_add(struct tls_hello *h, const void *p, size_t len)
{
	const uint8_t *next = p, *end = next + len;
	enum tls_hello_state state = TLS_HELLO_MORE;

	while (next < end && state == TLS_HELLO_MORE) {
		if (h->record_left != 0)
			next += add_body(h, next, (size_t)(end - next));
		else if (!add_head(h, *next++))
			return TLS_HELLO_OTHER;
		state = judge(h);
	}
	return state;
}
