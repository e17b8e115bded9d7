/* What a ClientHello asks for: a name that is taken is one in small letters, and stays as it is; a protocol that is
 * found stands in the list. */
#include <string.h>

#include "lib/die.h"
#include "lib/tls_choice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[TLS_NAME_MAX], again[TLS_NAME_MAX], wildcard[TLS_NAME_MAX];
	const uint8_t *found = tls_choice_alpn(data, size, "imap");

	DIE_IF(found != NULL && (found <= data || found + 4 > data + size || memcmp(found - 1, "\4imap", 5) != 0));
	if (!tls_choice_name((const char *)data, size, name)) {
		DIE_IF(name[0] != '\0');
		tls_choice_pattern((const char *)data, size, name);
		DIE_IF(name[0] != '\0' && memcmp(name, "*.", 2) != 0);
		return 0;
	}
	DIE_IF(name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")] != '\0' || strlen(name) >= TLS_NAME_MAX);
	DIE_IF(!tls_choice_pattern(name, strlen(name), again) || strcmp(name, again) != 0);
	if (tls_choice_wildcard(name, wildcard))
		DIE_IF(!tls_choice_pattern(wildcard, strlen(wildcard), again) || strcmp(wildcard, again) != 0);
	return 0;
}
