/* waypoststate: whatever a file holds, what comes of it keeps its promises, and is the same when written again. */
#include <stdint.h>
#include <string.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "maildir/md_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct md_state *s, size_t size)
{
	size_t gone = 0;

	DIE_IF(s->torn > size);
	DIE_IF(s->highest > MD_STATE_MODSEQ_MAX || s->floor > s->highest);
	for (size_t i = 0; i < s->n; i++) {
		const struct md_state_entry *e = &s->e[i];

		DIE_IF(e->uid == 0 || e->uid >= s->uidnext || (i != 0 && e->uid <= s->e[i - 1].uid));
		DIE_IF(e->modseq == 0 || e->modseq > s->highest || md_state_find(s, e->uid) != e);
		gone += e->look == MD_STATE_GONE;
	}
	DIE_IF(gone != s->n_gone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *file = mem_memdup(data, size);
	struct md_state s = { 0 }, again = { 0 };
	struct str text = STR_INIT;

	if (size >= MD_STATE_HEADER_BYTES)
		md_state_seal(file, size); /* or nothing would be reached */
	if (size > MD_STATE_HEADER_BYTES)  /* the writer of the last record may have ended anywhere */
		size -= MIN(data[0] % 64, size - MD_STATE_HEADER_BYTES);
	if (md_state_parse_bytes(&s, file, size, false)) {
		check(&s, size);
		md_state_format(&s, &text);
		DIE_IF(!md_state_parse_bytes(&again, text.data, text.len, false) || again.n != s.n);
		DIE_IF(s.n != 0 && memcmp(again.e, s.e, s.n * sizeof(*s.e)) != 0);
	}
	str_fini(&text);
	md_state_fini(&s);
	md_state_fini(&again);
	mem_free(&file);
	return 0;
}
