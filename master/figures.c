/* The memory file with the figures of session servers. */
#include "master/figures.h"

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

int64_t figures_new(void)
{
	if (next_page == pages && !grow())
		return FIGURES_NONE;
	return next_page++;
}

struct bio_figures *figures_map(int64_t page)
{
	void *p;

	if (page == FIGURES_NONE)
		return NULL;
	p = mmap(NULL, (size_t)page_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, page * page_size);
	if (p == MAP_FAILED)
		return NULL;
	(void)syscall(SYS_mseal, p, (size_t)page_size, 0UL);
	return p;
}

bool figures_read(int64_t page, struct bio_figures *out)
{
	return page != FIGURES_NONE && pread(file, out, sizeof(*out), page * page_size) == (ssize_t)sizeof(*out);
}

void figures_drop(int64_t page)
{
	if (page != FIGURES_NONE)
		(void)fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page * page_size, page_size);
}
