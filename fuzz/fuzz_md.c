/* The store's files: the first byte chooses which one, the rest is its text. What was read and written must be the same
 * when it is read again. */
#include <string.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "maildir/md_keyword.h"
#include "maildir/md_name.h"
#include "maildir/md_pop3list.h"
#include "maildir/md_tree.h"
#include "maildir/md_uidlist.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_uidlist(const char *p, size_t len)
{
	struct md_uidlist l = { 0 }, again = { 0 };
	struct str s = STR_INIT;

	if (md_uidlist_parse(&l, p, len)) {
		md_uidlist_format(&l, &s);
		DIE_IF(!md_uidlist_parse(&again, s.data, s.len));
		DIE_IF(again.n != l.n || again.uidvalidity != l.uidvalidity || again.uidnext != l.uidnext);
		for (size_t i = 0; i < l.n; i++)
			DIE_IF(l.e[i].uid != again.e[i].uid ||
			    strcmp(md_uidlist_name(&l, i), md_uidlist_name(&again, i)) != 0);
		DIE_IF(l.n != 0 && l.uidnext <= l.e[l.n - 1].uid);
	}
	md_uidlist_fini(&l);
	md_uidlist_fini(&again);
	str_fini(&s);
}

static void fuzz_kwlist(const char *p, size_t len)
{
	struct md_kwlist l = { STR_INIT, 0, 0, 0, NULL, NULL, NULL };

	md_kwlist_parse(&l, p, len);
	for (size_t i = 0; i < l.n_msgs; i++)
		for (uint32_t k = 0; k < l.msg[i].n; k++)
			DIE_IF(l.idx[l.msg[i].first + k] >= l.n_names);
	md_kwlist_fini(&l);
}

static void fuzz_pop3list(const char *p, size_t len)
{
	struct md_pop3list l;

	if (md_pop3list_parse(&l, p, len))
		DIE_IF(l.next == 0);
	else
		DIE_IF(l.n != 0);
	md_pop3list_fini(&l);
}

static void fuzz_name(const char *p, size_t len)
{
	char *name = mem_memdup(p, len);
	struct str s = STR_INIT;
	unsigned flags = md_name_flags(name);
	uint64_t v;

	md_name_with_flags(&s, name, flags);
	DIE_IF(md_name_flags(s.data) != flags || md_name_base_len(s.data) != md_name_base_len(name));
	DIE_IF(md_name_order(s.data, name) != 0);
	DIE_IF(md_name_stem_len(name) > md_name_base_len(name));
	(void)md_name_size(name, &v);
	(void)md_name_vsize(name, &v);
	(void)md_name_valid(name);
	if (md_tree_valid(name))
		DIE_IF(name[0] == '.' || strchr(name, '/') != NULL);
	str_fini(&s);
	mem_free(&name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data + 1;

	if (size == 0)
		return 0;
	switch (data[0] % 4) {
	case 0:
		fuzz_uidlist(p, size - 1);
		break;
	case 1:
		fuzz_kwlist(p, size - 1);
		break;
	case 2:
		fuzz_pop3list(p, size - 1);
		break;
	default:
		fuzz_name(p, size - 1);
	}
	return 0;
}
