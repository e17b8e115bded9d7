/* Places of a message on disk and on the wire. */
#include "mime/wire.h"

#include <string.h>

#include "lib/mem.h"
#include "mime/hdr.h"

enum { STEP = 1024 }; /* bytes of text between two places whose counts are kept */

/* LFs without CR between FROM and TO. */
static uint64_t count_bare(const char *text, size_t from, size_t to)
{
	const char *p = text + from, *end = text + to, *nl;
	uint64_t n = 0;

	while (p < end && (nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		n += nl == text || nl[-1] != '\r';
		p = nl + 1;
	}
	return n;
}

static void count_all(struct mime_msg *m)
{
	size_t n = m->len / STEP + 1;

	if (m->bare != NULL)
		return;
	m->bare = mem_array(n, sizeof(m->bare[0]));
	m->bare[0] = 0;
	for (size_t i = 1; i < n; i++)
		m->bare[i] = m->bare[i - 1] + count_bare(m->text, (i - 1) * STEP, i * STEP);
}

uint64_t mime_wire_at(struct mime_msg *m, size_t off)
{
	size_t i = off / STEP;

	count_all(m);
	return off + m->bare[i] + count_bare(m->text, i * STEP, off);
}

size_t mime_wire_seek(struct mime_msg *m, size_t from, uint64_t skip, uint64_t *rest)
{
	uint64_t want = mime_wire_at(m, from) + skip;
	/* Searches the kept places for the last one that is not beyond it. */
	size_t low = from / STEP, high = m->len / STEP;

	while (low < high) {
		size_t mid = high - (high - low) / 2;

		if (mid * STEP + m->bare[mid] <= want)
			low = mid;
		else
			high = mid - 1;
	}
	if (low * STEP <= from) {
		*rest = skip;
		return from;
	}
	*rest = want - (low * STEP + m->bare[low]);
	return low * STEP;
}

size_t mime_wire_header(struct mime_msg *m)
{
	if (!m->have_hdr_len)
		m->hdr_len = mime_hdr_len(m->text, m->len);
	m->have_hdr_len = true;
	return m->hdr_len;
}
