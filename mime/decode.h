/* Streaming decoders of Content-Transfer-Encoding (RFC 2045 section 6). Tolerant: what is not in the alphabet
 * is skipped (base64) or kept as it is (quoted-printable). Input may be cut anywhere. */
#ifndef MIME_DECODE_H
#define MIME_DECODE_H

#include "lib/str.h"
#include "mime/part.h"

enum mime_encoding {
	MIME_ENC_NONE, /* 7bit, 8bit, binary; no field */
	MIME_ENC_BASE64,
	MIME_ENC_QP,
	MIME_ENC_OTHER, /* unknown to us: passed through */
};

struct mime_decoder {
	enum mime_encoding enc;
	uint32_t bits; /* base64: bits that do not make a byte yet */
	int n_bits;
	char held[80]; /* quoted-printable: bytes whose meaning depends on the next ones */
	size_t n_held;
};

/* The encoding that a value of Content-Transfer-Encoding names. */
enum mime_encoding mime_encoding_of(const struct mime_text *value);
void mime_decoder_init(struct mime_decoder *d, enum mime_encoding enc);
/* Decodes LEN bytes at P and appends the result to OUT. */
void mime_decoder_add(struct mime_decoder *d, struct str *out, const char *p, size_t len);
/* Ends the input: appends what is still held. */
void mime_decoder_end(struct mime_decoder *d, struct str *out);

#endif
