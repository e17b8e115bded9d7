/* The identity that a node forwards, one member per line: session, address, port, hops, transport, signature. What was
 * accepted is the same after writing and reading it, and what is written for peers and the log has only harmless
 * bytes. */
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "login/forwarded_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef void reader(struct forwarded *h, const char *value);

static reader *const readers[] = { forwarded_text_session, forwarded_text_ip, forwarded_text_port, forwarded_text_ttl,
	forwarded_text_transport, forwarded_text_auth, forwarded_text_tls, forwarded_text_config };

/* In the form for the next node, one member per line. */
static void write_all(struct str *out, const struct forwarded *h)
{
	char ip[NET_IP_TEXT_MAX], auth[FORWARDED_TEXT_AUTH_MAX], tls[FORWARDED_TEXT_TLS_MAX];
	char config[FORWARDED_TEXT_CONFIG_MAX];

	str_addf(out, "%s\n%s\n%u\n", h->session_id, net_addr_text(&h->client, ip), h->client.port);
	str_addf(out, "%u\n%s\n", h->ttl, h->tls ? "TLS" : "insecure");
	if (h->signature != FORWARDED_SIGNATURE_NONE)
		str_adds(out, forwarded_text_auth_make(h, auth));
	str_adds(out, "\n");
	if (h->tls_words[0] != '\0')
		str_adds(out, forwarded_text_tls_make(h, tls));
	str_adds(out, "\n");
	if (h->config[0] != '\0')
		str_adds(out, forwarded_text_config_make(h, config));
}

/* TEXT is changed. */
static void read_all(struct forwarded *h, char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(readers) && text != NULL; i++) {
		char *end = strchr(text, '\n');

		if (end != NULL)
			*end++ = '\0';
		readers[i](h, text);
		text = end;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct forwarded h = { .present = false }, again = { .present = false };
	struct str one = STR_INIT, two = STR_INIT;
	char *text = mem_memdup(data, size);

	read_all(&h, text);
	mem_free(&text);
	write_all(&one, &h);
	for (size_t i = 0; i < one.len; i++)
		if (one.data[i] != '\n' &&
		    (one.data[i] <= ' ' || one.data[i] > '~' || strchr("\"\\,", one.data[i]) != NULL))
			abort();
	text = mem_memdup(one.data, one.len);
	read_all(&again, text);
	mem_free(&text);
	if (h.ttl == 0) /* not given */
		again.ttl = 0;
	write_all(&two, &again);
	if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
		abort();
	str_fini(&one);
	str_fini(&two);
	return 0;
}
