/* What a directory or file looked like when it was read, to notice later whether it changed.
 *
 * Times of a file system advance in steps of the kernel's clock (10 ms at most, a second on some file systems): what is
 * read within the step of a change looks the same after a second change in that step. So a stamp is "young" if it was
 * taken that soon, and "settled" only if it was taken two seconds after the last change or later. */
#ifndef MAILDIR_MD_STAMP_H
#define MAILDIR_MD_STAMP_H

#include <sys/stat.h>

#include "lib/base.h"

/* All-zero: there was nothing. */
struct md_stamp {
	uint64_t dev, ino, size;
	int64_t s, ns;   /* of its last change (mtime) */
	int64_t cs, cns; /* the same by ctime, which no program can set */
	/* When it was taken: by the system's clock, and by one that never jumps (clock_ms()). */
	int64_t read_at_ms, read_mono_ms;
	bool settled; /* known to be settled: it comes from the cache */
};

/* S seconds and NS nanoseconds in milliseconds. */
int64_t md_ms(int64_t s, int64_t ns);
/* Time of the system clock in milliseconds. */
int64_t md_now_ms(void);
/* Begins a stamp of something that is looked up now. */
void md_stamp_begin(struct md_stamp *s);
/* ... which turned out to be ST. */
void md_stamp_set(struct md_stamp *s, const struct stat *st);
/* Takes the current stamp of SUB below DIRFD. */
void md_stamp_take(struct md_stamp *s, int dirfd, const char *sub);
/* True if A and B look alike. */
bool md_stamp_same(const struct md_stamp *a, const struct md_stamp *b);
/* True if AT was taken so soon after a change that another may have got the same time. NOW_MS: md_now_ms(). */
bool md_stamp_young(const struct md_stamp *at, int64_t now_ms);
/* True if SUB may have changed since AT was taken. */
bool md_stamp_dirty(const struct md_stamp *at, int dirfd, const char *sub);
/* True if what looks like AT later is what it was when AT was taken. FS_NOW_MS: what the file system's clock says now;
 * a file server's may differ from ours. */
bool md_stamp_is_settled(const struct md_stamp *at, int64_t fs_now_ms);

#endif
