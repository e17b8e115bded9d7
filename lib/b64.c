/* Base64 over OpenSSL's codec, with the strictness that it lacks. */
#include "lib/b64.h"

#include <openssl/evp.h>
#include <string.h>

void b64_encode(struct str *out, const void *p, size_t len)
{
	char *to = str_room(out, (len + 2) / 3 * 4 + 1);

	out->len += (size_t)EVP_EncodeBlock((unsigned char *)to, p, (int)len);
}

static bool in_alphabet(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

bool b64_decode(struct str *out, const char *p, size_t len)
{
	size_t pad = 0;
	char *to;
	int n;

	if (len % 4 != 0)
		return false;
	while (pad < 2 && pad < len && p[len - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < len - pad; i++)
		if (!in_alphabet(p[i]))
			return false;
	if (len == 0)
		return true;
	to = str_room(out, len / 4 * 3 + 1);
	n = EVP_DecodeBlock((unsigned char *)to, (const unsigned char *)p, (int)len);
	if (n < 0)
		return false;
	out->len += (size_t)n - pad;
	out->data[out->len] = '\0';
	return true;
}
