/* The header of the PROXY protocol. */
#include "lib/proxy_header.h"

#include <netinet/in.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/num.h"

/* Section 2.2: no protocol of text begins so. */
static const char signature[] = { '\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n' };
static const char word[] = "PROXY ";

enum {
	TEXT_MAX = 107,                      /* version 1: a line, with CRLF */
	BINARY_HEAD = sizeof(signature) + 4, /* version 2: before what its length counts */
};

/* Section 2.2.1 and 2.2.2 */
enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 };
enum { FAMILY_UNSPEC = 0, FAMILY_INET = 1, FAMILY_INET6 = 2, FAMILY_UNIX = 3, TRANSPORT_STREAM = 1 };
enum { UNIX_ADDRESSES = 2 * 108 };
enum {
	TLV_UNIQUE_ID = 0x05,
	TLV_SSL = 0x20,
	TLV_SSL_VERSION = 0x21,
	TLV_SSL_CIPHER = 0x23,
	SSL_HEAD = 5, /* client flags, verify */
	CLIENT_SSL = 0x01,
	CLIENT_CERT_CONN = 0x02,
	CLIENT_CERT = CLIENT_CERT_CONN | 0x04 /* shown on this connection; in the session that was resumed */
};

static uint16_t get_u16(const char *p)
{
	return (uint16_t)((uint8_t)p[0] << 8 | (uint8_t)p[1]);
}

bool proxy_header_begins(const char *p, size_t len)
{
	static const char *const families[] = { "TCP4 ", "TCP6 ", "UNKNOWN" };
	const size_t head = sizeof(word) - 1;

	if (len >= sizeof(signature) && memcmp(p, signature, sizeof(signature)) == 0)
		return true;
	if (len < head || memcmp(p, word, head) != 0)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		if (len - head >= strlen(families[i]) && memcmp(p + head, families[i], strlen(families[i])) == 0)
			return true;
	return false;
}

/* --- version 1: a line --- */

/* The next word of the line *P, NUL-terminated in place; NULL: there is none, or an empty one. */
static char *next_word(char **p)
{
	char *start = *p, *end;

	if (start == NULL || start[0] == '\0' || start[0] == ' ')
		return NULL;
	end = strchr(start, ' ');
	if (end != NULL)
		*end++ = '\0';
	*p = end;
	return start;
}

static bool read_port(const char *text, uint16_t *port)
{
	uint64_t n;

	if (text == NULL || !num_parse_str(text, UINT16_MAX, &n))
		return false;
	*port = (uint16_t)n;
	return true;
}

/* " SOURCE DESTINATION SOURCE-PORT DESTINATION-PORT" */
static bool read_addresses(char *p, uint16_t family, struct proxy_header_facts *f)
{
	const char *from = next_word(&p), *to = next_word(&p), *from_port = next_word(&p), *to_port = next_word(&p);
	uint16_t port[2];

	if (p != NULL || !read_port(from_port, &port[0]) || !read_port(to_port, &port[1]))
		return false;
	if (from[0] == '[' || to[0] == '[')
		return false;
	return net_addr_parse(&f->client, from, port[0]) && net_addr_parse(&f->server, to, port[1]) &&
	    (strchr(from, ':') != NULL) == (family == AF_INET6) && (strchr(to, ':') != NULL) == (family == AF_INET6);
}

/* The line without its CRLF, behind "PROXY ". */
static bool read_line(char *p, struct proxy_header_facts *f)
{
	const char *family = next_word(&p);

	f->proxied = true;
	if (family == NULL)
		return false;
	if (strcmp(family, "UNKNOWN") == 0) /* whatever follows (section 2.1) */
		return true;
	if (strcmp(family, "TCP4") == 0)
		return read_addresses(p, AF_INET, f);
	return strcmp(family, "TCP6") == 0 && read_addresses(p, AF_INET6, f);
}

static enum proxy_header_state take_text(struct proxy_header *h, const char *p, size_t len, size_t *used,
    struct proxy_header_facts *f)
{
	const char *lf = memchr(p, '\n', len);
	size_t n = lf != NULL ? (size_t)(lf - p) + 1 : len;

	if (h->len + n > TEXT_MAX)
		return PROXY_HEADER_BAD;
	memcpy(h->data + h->len, p, n);
	h->len += n;
	*used += n;
	if (lf == NULL)
		return h->len < TEXT_MAX ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
	if (h->data[h->len - 2] != '\r' || memchr(h->data, '\0', h->len) != NULL)
		return PROXY_HEADER_BAD;
	h->data[h->len - 2] = '\0';
	return read_line(h->data + sizeof(word) - 1, f) ? PROXY_HEADER_DONE : PROXY_HEADER_BAD;
}

/* --- version 2: binary --- */

static void set_address(struct net_addr *a, uint16_t family, const char *ip, const char *port)
{
	struct sockaddr_storage ss = { .ss_family = family };
	struct sockaddr_in *in = (struct sockaddr_in *)&ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ss;

	if (family == AF_INET) {
		memcpy(&in->sin_addr, ip, sizeof(in->sin_addr));
		memcpy(&in->sin_port, port, sizeof(in->sin_port));
	} else {
		memcpy(&in6->sin6_addr, ip, sizeof(in6->sin6_addr));
		memcpy(&in6->sin6_port, port, sizeof(in6->sin6_port));
	}
	net_addr_from(a, &ss);
}

/* The addresses at P, of which LEN bytes are there; how many they take. 0: they are too short. */
static size_t binary_addresses(const char *p, size_t len, uint16_t family, struct proxy_header_facts *f)
{
	size_t ip = family == AF_INET ? 4 : 16, all = 2 * ip + 4;

	if (len < all)
		return 0;
	set_address(&f->client, family, p, p + 2 * ip);
	set_address(&f->server, family, p + ip, p + 2 * ip + 2);
	return all;
}

/* The LEN bytes at P, as far as there is room; what cannot be printed as '?'. */
static void take_word(char *dst, size_t room, const char *p, size_t len)
{
	len = MIN(len, room - 1);
	for (size_t i = 0; i < len; i++)
		dst[i] = p[i] > ' ' && p[i] <= '~' ? p[i] : '?';
	dst[len] = '\0';
}

static bool read_tlvs(const char *p, size_t len, bool within_ssl, struct proxy_header_facts *f);

static bool take_tlv(uint8_t type, const char *p, size_t len, bool within_ssl, struct proxy_header_facts *f)
{
	if (within_ssl && type == TLV_SSL_VERSION)
		take_word(f->tls_version, sizeof(f->tls_version), p, len);
	else if (within_ssl && type == TLV_SSL_CIPHER)
		take_word(f->tls_cipher, sizeof(f->tls_cipher), p, len);
	else if (!within_ssl && type == TLV_UNIQUE_ID)
		take_word(f->unique_id, sizeof(f->unique_id), p, len);
	else if (!within_ssl && type == TLV_SSL) {
		if (len < SSL_HEAD)
			return false;
		f->tls = (p[0] & CLIENT_SSL) != 0;
		f->tls_verified = f->tls && (p[0] & CLIENT_CERT) != 0 && memcmp(p + 1, "\0\0\0\0", 4) == 0;
		return read_tlvs(p + SSL_HEAD, len - SSL_HEAD, true, f);
	}
	return true; /* others are of no use here */
}

/* Type, length, value; they fill the LEN bytes at P (section 2.2.6). */
static bool read_tlvs(const char *p, size_t len, bool within_ssl, struct proxy_header_facts *f)
{
	while (len != 0) {
		size_t n;

		if (len < 3 || (n = get_u16(p + 1)) > len - 3 || !take_tlv((uint8_t)p[0], p + 3, n, within_ssl, f))
			return false;
		p += 3 + n;
		len -= 3 + n;
	}
	return true;
}

static bool read_binary(const char *data, size_t len, struct proxy_header_facts *f)
{
	uint8_t command = (uint8_t)data[sizeof(signature)], kind = (uint8_t)data[sizeof(signature) + 1];
	const char *p = data + BINARY_HEAD;
	size_t n = 0;

	len -= BINARY_HEAD;
	if (command == COMMAND_LOCAL) /* whatever follows */
		return true;
	if (command != COMMAND_PROXY)
		return false;
	f->proxied = true;
	switch (kind >> 4) {
	case FAMILY_INET:
	case FAMILY_INET6:
		if ((kind & 15) != TRANSPORT_STREAM)
			return false;
		n = binary_addresses(p, len, kind >> 4 == FAMILY_INET ? AF_INET : AF_INET6, f);
		break;
	case FAMILY_UNSPEC: /* TLVs may follow at once: a client without such an address may speak TLS */
		break;
	case FAMILY_UNIX: /* not addresses that could be named */
		n = len >= UNIX_ADDRESSES ? UNIX_ADDRESSES : 0;
		break;
	default:
		return false;
	}
	return (n != 0 || kind >> 4 == FAMILY_UNSPEC) && read_tlvs(p + n, len - n, false, f);
}

/* What the header has in all, as far as that is known. */
static size_t binary_size(const struct proxy_header *h)
{
	return h->len < BINARY_HEAD ? BINARY_HEAD : BINARY_HEAD + get_u16(h->data + BINARY_HEAD - 2);
}

static enum proxy_header_state take_binary(struct proxy_header *h, const char *p, size_t len, size_t *used,
    struct proxy_header_facts *f)
{
	for (;;) {
		size_t size = binary_size(h), n;

		if (size > PROXY_HEADER_MAX)
			return PROXY_HEADER_BAD;
		if (h->len == size && size != BINARY_HEAD)
			break;
		n = MIN(size - h->len, len);
		memcpy(h->data + h->len, p, n);
		h->len += n;
		*used += n;
		p += n;
		len -= n;
		if (h->len < size)
			return PROXY_HEADER_MORE;
		if (size == BINARY_HEAD && binary_size(h) == BINARY_HEAD)
			break; /* nothing follows */
	}
	return read_binary(h->data, h->len, f) ? PROXY_HEADER_DONE : PROXY_HEADER_BAD;
}

/* The bytes so far, and those at P, begin as WORD does. */
static bool begins(const struct proxy_header *h, const char *p, size_t len, const char *begin, size_t begin_len)
{
	size_t old = MIN(h->len, begin_len), new = MIN(len, begin_len - old);

	return memcmp(h->data, begin, old) == 0 && memcmp(p, begin + old, new) == 0;
}

enum proxy_header_state proxy_header_take(struct proxy_header *h, const char *p, size_t len, size_t *used,
    struct proxy_header_facts *f)
{
	enum proxy_header_state state = PROXY_HEADER_BAD;
	struct proxy_header_facts found = { 0 };

	*used = 0;
	if (len == 0)
		return PROXY_HEADER_MORE;
	if (begins(h, p, len, word, sizeof(word) - 1))
		state = take_text(h, p, len, used, &found);
	else if (begins(h, p, len, signature, sizeof(signature)))
		state = take_binary(h, p, len, used, &found);
	if (state == PROXY_HEADER_DONE)
		*f = found;
	return state;
}

/* --- writing --- */

/* The family that both addresses can be written in; 0: one is none. */
static uint16_t common_family(const struct proxy_header_facts *f)
{
	if (f->client.family == 0 || f->server.family == 0)
		return 0;
	return f->client.family == AF_INET && f->server.family == AF_INET ? AF_INET : AF_INET6;
}

/* The bytes of A in FAMILY; returns their number. */
static size_t address_bytes(const struct net_addr *a, uint16_t family, uint8_t ip[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (a->family == family) {
		memcpy(ip, a->ip, 16);
		return family == AF_INET ? 4 : 16;
	}
	memcpy(ip, mapped, sizeof(mapped));
	memcpy(ip + sizeof(mapped), a->ip, 4);
	return 16;
}

static void add_address_text(struct str *out, const struct net_addr *a, uint16_t family)
{
	char ip[NET_IP_TEXT_MAX];

	str_addf(out, " %s%s", a->family == family ? "" : "::ffff:", net_addr_text(a, ip));
}

static void write_text(struct str *out, const struct proxy_header_facts *f)
{
	uint16_t family = common_family(f);

	if (family == 0) {
		str_adds(out, "PROXY UNKNOWN\r\n");
		return;
	}
	str_addf(out, "PROXY %s", family == AF_INET ? "TCP4" : "TCP6");
	add_address_text(out, &f->client, family);
	add_address_text(out, &f->server, family);
	str_addf(out, " %u %u\r\n", f->client.port, f->server.port);
}

static void add_u16(struct str *out, size_t n)
{
	str_addc(out, (char)(n >> 8));
	str_addc(out, (char)(n & 0xff));
}

static void add_address_bytes(struct str *out, const struct net_addr *a, uint16_t family)
{
	uint8_t ip[16];
	size_t len = address_bytes(a, family, ip);

	str_add(out, ip, len);
}

static void add_tlv(struct str *out, uint8_t type, const char *p, size_t len)
{
	str_addc(out, (char)type);
	add_u16(out, len);
	str_add(out, p, len);
}

static void add_tls(struct str *out, const struct proxy_header_facts *f)
{
	struct str ssl = STR_INIT;

	str_addc(&ssl, (char)(CLIENT_SSL | (f->tls_verified ? CLIENT_CERT_CONN : 0)));
	str_add(&ssl, f->tls_verified ? "\0\0\0\0" : "\0\0\0\1", 4);
	if (f->tls_version[0] != '\0')
		add_tlv(&ssl, TLV_SSL_VERSION, f->tls_version, strlen(f->tls_version));
	if (f->tls_cipher[0] != '\0')
		add_tlv(&ssl, TLV_SSL_CIPHER, f->tls_cipher, strlen(f->tls_cipher));
	add_tlv(out, TLV_SSL, ssl.data, ssl.len);
	str_fini(&ssl);
}

/* The byte that says which addresses there are. */
static char binary_kind(uint16_t family)
{
	int number = family == AF_INET ? FAMILY_INET : FAMILY_INET6;

	return family == 0 ? FAMILY_UNSPEC : (char)(number << 4 | TRANSPORT_STREAM);
}

static void write_binary(struct str *out, const struct proxy_header_facts *f)
{
	uint16_t family = common_family(f);
	struct str body = STR_INIT;

	if (family != 0) {
		add_address_bytes(&body, &f->client, family);
		add_address_bytes(&body, &f->server, family);
		add_u16(&body, f->client.port);
		add_u16(&body, f->server.port);
	}
	if (f->tls)
		add_tls(&body, f);
	str_add(out, signature, sizeof(signature));
	str_addc(out, COMMAND_PROXY);
	str_addc(out, binary_kind(family));
	add_u16(out, body.len);
	str_add(out, str_cstr(&body), body.len);
	str_fini(&body);
}

void proxy_header_write(struct str *out, unsigned version, const struct proxy_header_facts *f)
{
	if (version == 1)
		write_text(out, f);
	else
		write_binary(out, f);
}
