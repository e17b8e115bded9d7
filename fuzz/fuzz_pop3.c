/* Command lines of POP3 clients, and messages for them: a message cut anywhere gives the same bytes, and a client that
 * removes the dots gets the message back. */
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "pop3d/pop3_dots.h"
#include "pop3d/pop3_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t send_cut(const char *in, size_t len, size_t cut, uint64_t lines, char *out)
{
	struct pop3_dots d;
	size_t n;

	pop3_dots_init(&d, lines);
	n = pop3_dots_feed(&d, in, cut, out);
	n += pop3_dots_feed(&d, in + cut, len - cut, out + n);
	return n + pop3_dots_end(&d, out + n);
}

/* What a client relies on: only the final dot is alone on its line. */
static void check_end(const char *out, size_t n)
{
	if (n < 3 || memcmp(out + n - 3, ".\r\n", 3) != 0)
		abort();
	for (size_t i = 0; i + 3 < n; i++)
		if (memcmp(out + i, ".\r\n", 3) == 0 && (i == 0 || out[i - 1] == '\n'))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_memdup(data, size), *one, *two;
	struct pop3_line l;
	uint64_t lines;
	size_t n, cut;

	pop3_line_parse(&l, text, size);
	mem_free(&text);
	if (size < 2)
		return 0;
	lines = data[0] == 255 ? UINT64_MAX : data[0];
	cut = data[1] % (size - 1);
	data += 2;
	size -= 2;
	one = mem_alloc(2 * size + 8);
	two = mem_alloc(2 * size + 8);
	n = send_cut((const char *)data, size, 0, lines, one);
	check_end(one, n);
	if (send_cut((const char *)data, size, cut, lines, two) != n || memcmp(one, two, n) != 0)
		abort();
	mem_free(&one);
	mem_free(&two);
	return 0;
}
