/* The UID from which on stored messages are recent. */
#include "maildir/md_recent.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/num.h"
#include "lib/str.h"
#include "maildir/md_dir.h"

enum { FILE_MAX = 64 };

static bool read_mark(int dirfd, struct str *text)
{
	struct stat st;

	return md_read_file(dirfd, MD_RECENT_FILE, FILE_MAX, text, &st) == 0;
}

bool md_recent_there(int dirfd)
{
	struct str text = STR_INIT;
	bool there = read_mark(dirfd, &text);

	str_fini(&text);
	return there;
}

/* Reads a number and the character LAST after it; advances *P. */
static bool take_number(const char **p, const char *end, char last, uint64_t *out)
{
	const char *start = *p, *at = memchr(start, last, (size_t)(end - start));

	if (at == NULL || !num_parse(start, (size_t)(at - start), UINT32_MAX, out))
		return false;
	*p = at + 1;
	return true;
}

uint32_t md_recent_parse(const char *p, size_t len, uint32_t uidvalidity)
{
	const char *end = p + len;
	uint64_t version, validity, uid;

	if (!take_number(&p, end, ' ', &version) || !take_number(&p, end, ' ', &validity) ||
	    !take_number(&p, end, '\n', &uid) || p != end)
		return MD_RECENT_NONE;
	return version == 1 && validity == uidvalidity && uid != 0 ? (uint32_t)uid : MD_RECENT_NONE;
}

uint32_t md_recent_first(int dirfd, uint32_t uidvalidity)
{
	uint32_t uid = MD_RECENT_NONE;
	struct str text = STR_INIT;

	if (read_mark(dirfd, &text))
		uid = md_recent_parse(str_cstr(&text), text.len, uidvalidity);
	str_fini(&text);
	return uid;
}

void md_recent_add(struct md_root *r, int dirfd, uint32_t uidvalidity, uint32_t uid)
{
	struct str text = STR_INIT;
	struct stat st;

	if (md_recent_first(dirfd, uidvalidity) <= uid)
		return;
	str_addf(&text, "1 %u %u\n", uidvalidity, uid);
	(void)md_replace_file(r, dirfd, dirfd, MD_RECENT_FILE, &text, false, &st);
	str_fini(&text);
}

uint32_t md_recent_take(int dirfd, uint32_t uidvalidity)
{
	uint32_t uid = MD_RECENT_NONE;
	struct str text = STR_INIT;

	if (read_mark(dirfd, &text) && unlinkat(dirfd, MD_RECENT_FILE, 0) == 0)
		uid = md_recent_parse(str_cstr(&text), text.len, uidvalidity);
	str_fini(&text);
	return uid;
}

void md_recent_revalue(struct md_root *r, int dirfd, uint32_t from, uint32_t to)
{
	uint32_t uid = md_recent_first(dirfd, from);

	if (uid != MD_RECENT_NONE)
		md_recent_add(r, dirfd, to, uid);
}
