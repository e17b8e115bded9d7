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

static void on_end(void *arg, bool is_list UNUSED, const X509_NAME *authority, int64_t from UNUSED,
    int64_t until UNUSED)
{
	if (authority == NULL)
		__builtin_trap();
	++*(unsigned *)arg;
}

/* Nothing is lost when a set comes after itself, and what is passed on is read as it was. */
static void facts(const struct tls_trust *t)
{
	STACK_OF(X509_NAME) *names = tls_trust_names(t);
	const X509_NAME *first = NULL;
	struct str pem = STR_INIT;
	unsigned lists = 0, certs = 0;
	bool older = false;

	tls_trust_each_list(t, on_end, &lists);
	tls_trust_each_cert(t, on_end, &certs);
	if (certs == 0 || certs > tls_trust_count(t) || tls_trust_unlisted(t, &first) > tls_trust_count(t) ||
	    tls_trust_keep_lists(t, t, &pem, &older) != NULL || pem.len != 0)
		__builtin_trap();
	sk_X509_NAME_pop_free(names, X509_NAME_free);
}

/* As master/authority_file.c takes them. */
static void authorities(const uint8_t *data, size_t size)
{
	struct str why = STR_INIT, blocks = STR_INIT, again = STR_INIT;
	bool has_key = false, still = false;
	struct tls_trust *t;

	if (!tls_trust_blocks((const char *)data, size, &blocks, &has_key, &why)) {
		if (why.len == 0)
			__builtin_trap();
		str_clear(&why);
	} else if (!tls_trust_blocks(str_cstr(&blocks), blocks.len, &again, &still, &why) || still ||
	    again.len != blocks.len) {
		__builtin_trap();
	}
	t = tls_trust_new(str_cstr(&blocks), blocks.len, &why);
	if ((t == NULL) != (why.len != 0))
		__builtin_trap();
	if (t != NULL)
		facts(t);
	tls_trust_free(&t);
	str_fini(&why);
	str_fini(&blocks);
	str_fini(&again);
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
