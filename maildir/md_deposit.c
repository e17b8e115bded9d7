/* The last step of save, copy and move, under the folder's lock. */
#include "maildir/md_deposit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/race.h"
#include "maildir/md_box.h"
#include "maildir/md_dir.h"
#include "maildir/md_keyword.h"
#include "maildir/md_lock.h"
#include "maildir/md_name.h"
#include "maildir/md_recent.h"
#include "maildir/md_scan.h"
#include "maildir/md_uidlist.h"

void md_items_free(struct md_item *it, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		str_fini(&it[i].from);
		str_fini(&it[i].name);
		mem_free(&it[i].kw);
	}
	mem_free(&it);
}

/* Takes the lock and reads the list. A folder without a list gets one first, with all its messages. */
static enum md_err lock_and_read(struct md_root *r, int tofd, const char *folder, struct md_lock *lock,
    struct md_uidlist *l)
{
	struct md_box *box;
	enum md_err e;

	for (int i = 0; i < 2; i++) {
		e = md_lock_take(r, tofd, folder, lock);
		if (e != MD_OK)
			return e;
		e = md_uidlist_read(r, tofd, folder, l);
		if (e != MD_GONE || i == 1)
			return e == MD_GONE ? MD_OK : e;
		md_lock_drop(lock);
		e = md_box_open(r, folder, true, &box);
		if (e != MD_OK)
			return e;
		md_box_close(&box);
	}
	return MD_OK;
}

static enum md_err reserve(struct md_root *r, int tofd, const char *folder, struct md_uidlist *l, struct md_item *it,
    size_t n)
{
	if (l->uidnext == 0)
		l->uidnext = 1;
	if (n >= UINT32_MAX - l->uidnext)
		return md_fail(r, MD_LIMIT, 0, "folder %s has no UIDs left; %s", md_folder_text(folder),
		    md_uidlist_used_up(l));
	for (size_t i = 0; i < n; i++) {
		it[i].uid = l->uidnext;
		md_uidlist_add(l, it[i].uid, it[i].name.data, it[i].base_len);
	}
	return md_uidlist_write(r, tofd, folder, l);
}

/* Puts one file into place. Its date is set last: in tmp/ an old file looks like a leftover to others. */
static int place_file(const struct md_item *it, int tofd, const char *to)
{
	struct timespec ts[2] = { it->date, it->date };

	if (it->link)
		return linkat(it->fromfd, it->from.data, tofd, to, 0);
	if (it->dated && utimensat(it->fromfd, it->from.data, ts, AT_SYMLINK_NOFOLLOW) != 0)
		return -1;
	return md_rename_new(it->fromfd, it->from.data, tofd, to);
}

/* The file cannot be renamed or linked into place, but its bytes can be copied. */
static bool needs_copy(const struct md_item *it, int err)
{
	return err == EXDEV || (it->link && (err == EPERM || err == EMLINK || err == EOPNOTSUPP || err == ENOSYS));
}

static enum md_err place(struct md_root *r, int tofd, const char *folder, struct md_item *it, md_lost_fn *lost,
    void *arg, bool *cross)
{
	struct str to = STR_INIT;
	enum md_err e = MD_OK;
	int rc = -1, err = 0;

	str_addf(&to, "cur/%s", it->name.data);
	for (int i = 0; i < MD_RENAME_TRIES; i++) {
		rc = place_file(it, tofd, to.data);
		err = errno;
		if (rc == 0 || err != ENOENT || lost == NULL)
			break;
		RACE("deposit: the file has another name by now");
		e = lost(it, arg);
		if (e != MD_OK)
			break;
	}
	it->missed = e == MD_GONE && !it->must;
	if (rc == 0) {
		it->placed = true;
	} else if (it->missed) {
		e = MD_OK;
	} else if (e == MD_OK) {
		*cross = needs_copy(it, err);
		e = md_fail(r, err == ENOENT ? MD_NOTMAILDIR : md_errno(err), err,
		    "cannot put a message into folder %s", md_folder_text(folder));
	}
	str_fini(&to);
	return e;
}

/* The file came from another folder: it must not be lost. One from tmp/ was made for this, and a full disk may refuse a
 * new name for it, but not that it goes. */
static bool is_moved(const struct md_item *it)
{
	return !it->link && strncmp(it->from.data, "tmp/", 4) != 0;
}

/* Moves one file back, or removes it. False: it no longer has the name that we know. */
static bool take_back(int tofd, struct md_item *it)
{
	struct str to = STR_INIT;
	bool known;
	int rc;

	str_addf(&to, "cur/%s", it->name.data);
	rc = is_moved(it) ? md_rename_new(tofd, to.data, it->fromfd, it->from.data) : unlinkat(tofd, to.data, 0);
	known = rc == 0 || errno != ENOENT;
	it->placed = rc != 0;
	str_fini(&to);
	return known;
}

static const char *item_name(const void *arg, uint32_t val, size_t *len_out)
{
	const struct md_item *it = arg;

	*len_out = it[val].base_len;
	return it[val].name.data;
}

/* Finds the current names of the files still to be moved back. */
static void find_renamed(struct md_root *r, int tofd, const char *folder, struct md_item *it, size_t n)
{
	struct md_root quiet = *r; /* report the first failure */
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	struct md_hash h;

	md_hash_init(&h, n);
	for (size_t i = 0; i < n; i++)
		if (it[i].placed)
			md_hash_add(&h, it[i].name.data, it[i].base_len, (uint32_t)i);
	if (md_dirlist_read(&quiet, tofd, folder, "cur", MD_LIST_MESSAGES, &l) == MD_OK)
		for (size_t i = 0; i < l.n; i++) {
			const char *name = md_dirlist_name(&l, i);
			uint32_t v = md_hash_find(&h, name, md_name_base_len(name), item_name, it);

			if (v != MD_HASH_NONE) {
				str_clear(&it[v].name);
				str_adds(&it[v].name, name);
			}
		}
	md_hash_fini(&h);
	md_dirlist_fini(&l);
}

/* Moves everything back, whatever flags others have set meanwhile. */
static void undo(struct md_root *r, int tofd, const char *folder, struct md_item *it, size_t n)
{
	size_t lost = 1;

	for (int k = 0; k < MD_RENAME_TRIES && lost != 0; k++) {
		lost = 0;
		for (size_t i = 0; i < n; i++)
			lost += it[i].placed && !take_back(tofd, &it[i]);
		if (lost != 0)
			find_renamed(r, tofd, folder, it, n);
	}
	for (size_t i = 0; i < n; i++)
		if (it[i].nkw != 0 && !it[i].placed)
			md_kw_forget(tofd, it[i].name.data, it[i].base_len);
}

static enum md_err write_keywords(struct md_root *r, int tofd, const char *folder, const struct md_item *it, size_t n)
{
	enum md_err e = MD_OK;
	bool any = false;

	for (size_t i = 0; e == MD_OK && i < n; i++)
		if (!md_goes_on(r, 1, 0)) {
			e = MD_STOPPED;
		} else if (it[i].nkw != 0) {
			e = md_kw_write(r, tofd, folder, it[i].name.data, it[i].base_len, it[i].kw, it[i].nkw);
			any = true;
		}
	if (e == MD_OK && any && md_sync_dir(tofd, MD_KW_DIR) != 0)
		e = md_fail(r, md_errno(errno), errno, "cannot sync the keywords of folder %s", md_folder_text(folder));
	return e;
}

/* Syncs the directories that moved files have left, but not tmp/: what is found there once more is a leftover. */
static int sync_sources(const struct md_item *it, size_t n)
{
	static const char *const sub[] = { "cur", "new" };
	int rc = 0;

	for (size_t k = 0; rc == 0 && k < ARRAY_LEN(sub); k++)
		for (size_t i = 0; i < n; i++)
			if (it[i].placed && !it[i].link && strncmp(it[i].from.data, sub[k], 3) == 0) {
				rc = md_sync_dir(it[i].fromfd, sub[k]); /* all items have the same */
				break;
			}
	return rc;
}

enum md_err md_deposit(struct md_root *r, int tofd, const char *folder, struct md_item *it, size_t n, md_lost_fn *lost,
    void *arg, uint32_t *uidvalidity_out, bool *cross)
{
	struct md_lock lock = MD_LOCK_INIT;
	struct md_uidlist l = { 0 };
	enum md_err e;

	*cross = false;
	e = lock_and_read(r, tofd, folder, &lock, &l);
	if (e == MD_OK)
		e = reserve(r, tofd, folder, &l, it, n);
	RACE("deposit: UIDs are in the list, the files are not in cur/");
	if (e == MD_OK) {
		md_recent_add(r, tofd, l.uidvalidity, it[0].uid);
		e = write_keywords(r, tofd, folder, it, n);
		for (size_t i = 0; e == MD_OK && i < n; i++)
			e = md_goes_on(r, 1, 0) ? place(r, tofd, folder, &it[i], lost, arg, cross) : MD_STOPPED;
		if (e == MD_OK && (md_sync_dir(tofd, "cur") != 0 || sync_sources(it, n) != 0))
			e = md_fail(r, md_errno(errno), errno, "cannot sync folder %s", md_folder_text(folder));
		if (e != MD_OK)
			undo(r, tofd, folder, it, n);
		for (size_t i = 0; e == MD_OK && i < n; i++)
			if (it[i].placed)
				md_size_came(r, folder, it[i].name.data, md_size_of(r, tofd, it[i].name.data));
	}
	*uidvalidity_out = l.uidvalidity;
	md_lock_drop(&lock);
	md_uidlist_fini(&l);
	return md_folder_gone(r, tofd, folder, e);
}
