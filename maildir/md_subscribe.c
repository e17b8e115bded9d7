/* The list of subscriptions, read and replaced. */
#include "maildir/md_subscribe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "lib/mem.h"
#include "lib/str.h"
#include "maildir/md_dir.h"
#include "maildir/md_lock.h"
#include "maildir/md_tree.h"

#define SUBSCRIBED_FILE "courierimapsubscribed"

enum { FILE_BYTES_MAX = 16 << 20 };

/* The folder that the line of LEN bytes at P names, or NULL if it is not in this tree. */
static char *line_folder(const char *p, size_t len)
{
	char *name;

	if (len < 5 || strncasecmp(p, "INBOX", 5) != 0 || (len > 5 && p[5] != '.') || memchr(p, '\0', len) != NULL)
		return NULL;
	name = mem_memdup(len > 5 ? p + 6 : "", len > 5 ? len - 6 : 0);
	if ((len > 5 && *name == '\0') || !md_tree_valid(name))
		mem_free(&name);
	return name;
}

static enum md_err read_text(struct md_root *r, struct str *text)
{
	struct stat st;

	if (md_read_file(r->fd, SUBSCRIBED_FILE, FILE_BYTES_MAX, text, &st) == 0 || errno == ENOENT)
		return MD_OK;
	return md_fail(r, md_errno(errno), errno, "cannot read " SUBSCRIBED_FILE);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_unique(struct md_names *n)
{
	size_t k = 0;

	if (n->n != 0)
		qsort(n->name, n->n, sizeof(*n->name), by_bytes);
	for (size_t i = 0; i < n->n; i++) {
		if (k != 0 && strcmp(n->name[k - 1], n->name[i]) == 0)
			mem_free(&n->name[i]);
		else
			n->name[k++] = n->name[i];
	}
	n->n = k;
}

enum md_err md_subscribed(struct md_root *r, struct md_names *n)
{
	struct str text = STR_INIT;
	enum md_err e = read_text(r, &text);
	const char *p = str_cstr(&text), *end = p + text.len;

	memset(n, 0, sizeof(*n));
	while (e == MD_OK && p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((nl != NULL ? nl : end) - p);
		char *name = line_folder(p, len);

		if (name != NULL) {
			if ((n->n & (n->n - 1)) == 0)
				n->name = mem_grow(n->name, (n->n != 0 ? n->n * 2 : 1) * sizeof(*n->name));
			n->name[n->n++] = name;
		}
		p += len + 1;
	}
	sort_unique(n);
	str_fini(&text);
	return e;
}

void md_names_fini(struct md_names *n)
{
	for (size_t i = 0; i < n->n; i++)
		mem_free(&n->name[i]);
	mem_free(&n->name);
	n->n = 0;
}

bool md_names_has(const struct md_names *n, const char *name)
{
	size_t lo = 0, hi = n->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(n->name[mid], name);

		if (c == 0)
			return true;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

/* Appends TEXT without the lines that name FOLDER to OUT; returns their number. */
static size_t filter(const struct str *text, const char *folder, struct str *out)
{
	const char *p = str_cstr(text), *end = p + text->len;
	size_t found = 0;

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t len = (size_t)((nl != NULL ? nl : end) - p);
		char *name = line_folder(p, len);

		if (name != NULL && strcmp(name, folder) == 0) {
			found++;
		} else {
			str_add(out, p, len);
			str_addc(out, '\n');
		}
		mem_free(&name);
		p += len + 1;
	}
	return found;
}

static enum md_err change(struct md_root *r, const char *folder, bool subscribe)
{
	struct md_lock lock = MD_LOCK_INIT;
	struct str text = STR_INIT, out = STR_INIT;
	struct stat st;
	enum md_err e;
	size_t found;

	if (!md_tree_valid(folder))
		return md_fail(r, MD_BADNAME, 0, "%s cannot be a folder's name", md_folder_text(folder));
	e = md_lock_take(r, r->fd, "", &lock);
	if (e == MD_OK)
		e = read_text(r, &text);
	if (e == MD_OK) {
		found = filter(&text, folder, &out);
		if (subscribe)
			str_addf(&out, "INBOX%s%s\n", *folder != '\0' ? "." : "", folder);
		if ((found != 0) != subscribe &&
		    (md_replace_file(r, r->fd, r->fd, SUBSCRIBED_FILE, &out, true, &st) != 0 ||
		        md_sync_dir(r->fd, ".") != 0))
			e = md_fail(r, md_errno(errno), errno, "cannot write " SUBSCRIBED_FILE);
	}
	md_lock_drop(&lock);
	str_fini(&text);
	str_fini(&out);
	return e;
}

enum md_err md_subscribe(struct md_root *r, const char *folder)
{
	return change(r, folder, true);
}

enum md_err md_unsubscribe(struct md_root *r, const char *folder)
{
	return change(r, folder, false);
}
