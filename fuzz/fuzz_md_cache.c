/* waypostcache: whatever a file with right checksums holds, the box that comes of it keeps its promises. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "maildir/md_cache.h"
#include "maildir/md_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool parse(struct md_box *box, const char *p, size_t len)
{
	int fd = memfd_create("cache", MFD_CLOEXEC);
	bool ok;

	DIE_IF(fd < 0 || write(fd, p, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) != 0);
	ok = md_cache_read_bytes(box, fd);
	close(fd);
	return ok;
}

static void check(const struct md_box *box)
{
	for (size_t i = 0; i < box->n; i++) {
		const struct md_msg *m = &box->msgs[i];

		DIE_IF(!md_name_valid(m->name) || strchr(m->name, '/') != NULL || strlen(m->name) > MD_NAME_MAX);
		DIE_IF(m->uid == 0 || m->uid >= box->uidnext || (i != 0 && m->uid <= box->msgs[i - 1].uid));
		for (uint32_t k = 0; m->kw != NULL && k < m->kw->n; k++)
			DIE_IF(m->kw->idx[k] >= box->n_keywords);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *file = mem_memdup(data, size);
	static struct md_root root = { .fd = -1 };
	struct md_box *box = mem_alloc(sizeof(*box)), *again = mem_alloc(sizeof(*again));
	struct str s = STR_INIT;

	box->root = again->root = &root;
	box->fd = again->fd = -1;
	if (size >= MD_CACHE_HEADER_BYTES)
		md_cache_seal(file, size); /* or nothing would be reached */
	if (parse(box, file, size)) {
		check(box);
		md_cache_format(box, &s);
		DIE_IF(!parse(again, s.data, s.len) || again->n != box->n);
	} else {
		DIE_IF(box->n != 0 || box->n_keywords != 0);
	}
	str_fini(&s);
	mem_free(&file);
	md_box_close(&box);
	md_box_close(&again);
	return 0;
}
