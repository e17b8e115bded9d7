/* Stamps of directories and files. */
#include "maildir/md_stamp.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "lib/clock.h"

enum {
	CLOCK_STEP_MS = 20,
	CLOCK_STEP_COARSE_MS = 1100,
	SETTLE_MS = 2000, /* after this a directory that was read soon after a change is read once more */
	FUTURE_MS = 5000  /* time stamps further ahead are meaningless */
};

int64_t md_ms(int64_t s, int64_t ns)
{
	return s * 1000 + ns / 1000000;
}

int64_t md_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return md_ms(ts.tv_sec, ts.tv_nsec);
}

void md_stamp_begin(struct md_stamp *s)
{
	memset(s, 0, sizeof(*s));
	s->read_at_ms = md_now_ms();
	s->read_mono_ms = clock_ms();
}

void md_stamp_set(struct md_stamp *s, const struct stat *st)
{
	s->dev = st->st_dev;
	s->ino = st->st_ino;
	s->size = (uint64_t)st->st_size;
	s->s = st->st_mtim.tv_sec;
	s->ns = st->st_mtim.tv_nsec;
	s->cs = st->st_ctim.tv_sec;
	s->cns = st->st_ctim.tv_nsec;
}

void md_stamp_take(struct md_stamp *s, int dirfd, const char *sub)
{
	struct stat st;

	md_stamp_begin(s);
	if (fstatat(dirfd, sub, &st, 0) == 0)
		md_stamp_set(s, &st);
}

bool md_stamp_same(const struct md_stamp *a, const struct md_stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->s == b->s && a->ns == b->ns &&
	    a->cs == b->cs && a->cns == b->cns;
}

bool md_stamp_young(const struct md_stamp *at, int64_t now_ms)
{
	int64_t age = at->read_at_ms - md_ms(at->s, at->ns);

	if (at->ino == 0 || age < -FUTURE_MS)
		return false;
	if (age < (at->ns != 0 ? CLOCK_STEP_MS : CLOCK_STEP_COARSE_MS))
		return true;
	return age < SETTLE_MS && now_ms - at->read_at_ms > SETTLE_MS;
}

bool md_stamp_dirty(const struct md_stamp *at, int dirfd, const char *sub)
{
	struct md_stamp now;

	md_stamp_take(&now, dirfd, sub);
	return !md_stamp_same(at, &now) || md_stamp_young(at, now.read_at_ms);
}

bool md_stamp_is_settled(const struct md_stamp *at, int64_t fs_now_ms)
{
	int64_t mtime = md_ms(at->s, at->ns), ctime = md_ms(at->cs, at->cns);
	int64_t last = MAX(mtime, ctime), since = clock_ms() - at->read_mono_ms;

	if (at->settled || at->ino == 0)
		return true;
	/* By either clock: ours may have been set meanwhile. */
	return at->read_at_ms - last >= SETTLE_MS && fs_now_ms - since - last >= SETTLE_MS;
}
