/* The first message of a TLS client: what is said of it does not depend on how it comes, and it has an end. */
#include "lib/die.h"
#include "lib/tls_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tls_hello whole = { .have = 0 }, parts = { .have = 0 };
	enum tls_hello_state at_once = tls_hello_add(&whole, data, size), in_parts = TLS_HELLO_MORE;
	size_t taken = 0;

	while (taken < size && in_parts == TLS_HELLO_MORE) {
		size_t n = MIN(1 + (size_t)data[taken] % 5, size - taken);

		in_parts = tls_hello_add(&parts, data + taken, n);
		taken += n;
	}
	DIE_IF(in_parts != at_once);
	DIE_IF(at_once == TLS_HELLO_MORE && size > 2 * TLS_HELLO_MAX);
	return 0;
}
