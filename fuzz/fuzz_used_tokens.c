/* The file of used tokens as an authd may have left it: one with three tokens in which the input overwrites bytes
 * ({2 bytes of place, 1 byte of value}...). Whatever is made of it, from then on each token is good once. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "authd/used_tokens.h"
#include "lib/die.h"
#include "lib/log.h"

enum { NOW = 1800000000, TOKENS = 4 /* one of them is new */ };

static struct used_tokens *begin(int file)
{
	return used_tokens_open(fcntl(file, F_DUPFD_CLOEXEC, 0), NOW);
}

static enum used_token take(struct used_tokens *t, unsigned n)
{
	char text[TOKEN_TEXT_MAX];

	snprintf(text, sizeof(text), "%064x", n);
	return used_tokens_take(t, text, NOW - 1 + n, NOW);
}

static void use(int file)
{
	for (unsigned turn = 0; turn < 3; turn++) {
		struct used_tokens *t = begin(file);

		for (unsigned n = 0; n < TOKENS; n++) {
			enum used_token got = take(t, n);

			DIE_IF(got == USED_TOKEN_FAILED || got == USED_TOKEN_FULL);
			DIE_IF(turn != 0 && got == USED_TOKEN_FRESH);
			DIE_IF(take(t, n) == USED_TOKEN_FRESH);
		}
		used_tokens_free(&t);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int null = -1; /* where the lines about the damage go */
	int file = used_tokens_file();
	struct used_tokens *t;

	if (null == -1)
		log_set_socket(null = open("/dev/null", O_RDWR | O_CLOEXEC));
	DIE_IF(file == -1 || null == -1);
	t = begin(file);
	for (unsigned n = 0; n < TOKENS - 1; n++)
		DIE_IF(take(t, n) != USED_TOKEN_FRESH);
	used_tokens_free(&t);
	for (; size >= 3; data += 3, size -= 3)
		DIE_IF(pwrite(file, data + 2, 1, (off_t)(data[0] << 8 | data[1]) % 512) != 1);
	use(file);
	close(file);
	return 0;
}
