/* The pages on which session servers show their figures. */
#include "master/shown.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_mseal
#define SYS_mseal 462 /* on every architecture */
#endif

enum { PAGES_AHEAD = 256 }; /* the file grows by so many at a time */

static int file = -1;
static int64_t page_size, pages, next_page;

static bool grow(void)
{
	if (file == -1) {
		page_size = sysconf(_SC_PAGESIZE);
		file = memfd_create("figures", MFD_CLOEXEC);
	}
	if (file == -1 || ftruncate(file, (pages + PAGES_AHEAD) * page_size) != 0)
		return false;
	pages += PAGES_AHEAD;
	return true;
}

int64_t shown_new(void)
{
	if (next_page == pages && !grow())
		return SHOWN_NONE;
	return next_page++;
}

struct bio_figures *shown_map(int64_t page)
{
	void *p;

	if (page == SHOWN_NONE)
		return NULL;
	p = mmap(NULL, (size_t)page_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, page * page_size);
	if (p == MAP_FAILED)
		return NULL;
	(void)syscall(SYS_mseal, p, (size_t)page_size, 0UL);
	return p;
}

bool shown_read(int64_t page, struct bio_figures *out)
{
	return page != SHOWN_NONE && pread(file, out, sizeof(*out), page * page_size) == (ssize_t)sizeof(*out);
}

void shown_drop(int64_t page)
{
	if (page != SHOWN_NONE)
		(void)fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page * page_size, page_size);
}
