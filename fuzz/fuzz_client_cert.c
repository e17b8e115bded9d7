/* Certificates of clients, and files of authorities. The first byte chooses. */
#include <openssl/err.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/text.h"
#include "lib/tls_cert_name.h"
#include "lib/tls_trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever a certificate says, a name is text that nobody reads differently. */
static void names(X509 *cert)
{
	static const char *const fields[] = { "email", "CN", "UID" };
	char name[32];

	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (tls_cert_name(cert, fields[i], name, sizeof(name)) == NULL &&
		    (memchr(name, '\0', sizeof(name)) == NULL || name[0] == '\0' || !text_is_plain(name)))
			__builtin_trap();
}

static void certificate(const uint8_t *data, size_t size)
{
	static struct tls_trust *nobody;
	X509 *cert = d2i_X509(NULL, &data, (long)size);

	if (cert != NULL) {
		names(cert);
		if (tls_trust_verify(nobody, cert, NULL) == X509_V_OK)
			__builtin_trap();
	}
	X509_free(cert);
	ERR_clear_error();
}

static void authorities(const uint8_t *data, size_t size)
{
	struct str why = STR_INIT;
	struct tls_trust *t = tls_trust_new(data, size, &why);

	if ((t == NULL) != (why.len != 0))
		__builtin_trap();
	tls_trust_free(&t);
	str_fini(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 2 == 0)
		certificate(data + 1, size - 1);
	else
		authorities(data + 1, size - 1);
	if (ERR_peek_error() != 0)
		__builtin_trap();
	return 0;
}
