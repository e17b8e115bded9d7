/* INBOX as POP3 sees it. */
#include "maildir/md_pop3.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/race.h"
#include "maildir/md_dir.h"
#include "maildir/md_lock.h"
#include "maildir/md_name.h"
#include "maildir/md_pop3_in.h"
#include "maildir/md_pop3list.h"
#include "maildir/md_scan.h"

enum { LIST_BYTES_MAX = 512 << 20, RENAME_TRIES = 8, READ_BUF = 65536 };

/* --- the files --- */

static void move_new(struct md_pop3 *p)
{
	struct md_root *r = p->root;
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	struct str to = STR_INIT;

	if (md_dirlist_read(r, r->fd, "", "new", MD_LIST_MESSAGES, &l) == MD_OK)
		for (size_t i = 0; i < l.n; i++) {
			str_clear(&to);
			if (md_name_valid(md_dirlist_name(&l, i)))
				(void)md_move_new(r->fd, md_dirlist_name(&l, i), &to); /* else it is there at the next login */
		}
	str_fini(&to);
	md_dirlist_fini(&l);
}

static int by_name(const void *a, const void *b)
{
	const struct md_pop3_msg *x = a, *y = b;
	int c = md_name_order(x->name, y->name);

	return c != 0 ? c : strcmp(x->name, y->name);
}

/* Is there a file NAME in cur/? */
static bool in_cur(const struct md_root *r, const char *name)
{
	struct str path = STR_INIT;
	struct stat st;
	bool there;

	str_addf(&path, "cur/%s", name);
	there = fstatat(r->fd, path.data, &st, AT_SYMLINK_NOFOLLOW) == 0;
	str_fini(&path);
	return there;
}

/* Two names of one base: a file that was renamed while we read, mostly. */
static void drop_ghosts(struct md_pop3 *p)
{
	size_t k = 0;

	for (size_t i = 0; i < p->n; i++) {
		bool ghost = (i != 0 && k != 0 && md_name_order(p->msgs[k - 1].name, p->msgs[i].name) == 0) ||
			(i + 1 < p->n && md_name_order(p->msgs[i].name, p->msgs[i + 1].name) == 0);

		if (ghost && !in_cur(p->root, p->msgs[i].name))
			mem_free(&p->msgs[i].name);
		else
			p->msgs[k++] = p->msgs[i];
	}
	p->n = k;
}

static enum md_err read_cur(struct md_pop3 *p)
{
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	enum md_err e = md_dirlist_read(p->root, p->root->fd, "", "cur", MD_LIST_MESSAGES, &l);

	if (e == MD_OK) {
		p->msgs = mem_array(l.n, sizeof(*p->msgs));
		for (size_t i = 0; i < l.n; i++)
			if (md_name_valid(md_dirlist_name(&l, i)))
				p->msgs[p->n++].name = mem_strdup(md_dirlist_name(&l, i));
		qsort(p->msgs, p->n, sizeof(*p->msgs), by_name);
		drop_ghosts(p);
	}
	md_dirlist_fini(&l);
	return e;
}

static const char *msg_name(const void *arg, uint32_t val, size_t *len_out)
{
	const struct md_pop3 *p = arg;

	*len_out = md_name_base_len(p->msgs[val].name);
	return p->msgs[val].name;
}

static void hash_msgs(struct md_hash *h, const struct md_pop3 *p)
{
	md_hash_init(h, p->n);
	for (size_t i = 0; i < p->n; i++)
		md_hash_add(h, p->msgs[i].name, md_name_base_len(p->msgs[i].name), (uint32_t)i);
}

/* Others renamed files: names anew. Messages that are not found keep theirs. */
static void refresh_names(struct md_pop3 *p)
{
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	struct md_hash h;

	hash_msgs(&h, p);
	if (md_dirlist_read(p->root, p->root->fd, "", "cur", MD_LIST_MESSAGES, &l) == MD_OK)
		for (size_t i = 0; i < l.n; i++) {
			const char *name = md_dirlist_name(&l, i);
			uint32_t v = md_hash_find(&h, name, md_name_base_len(name), msg_name, p);

			if (v != MD_HASH_NONE && strcmp(p->msgs[v].name, name) != 0) {
				mem_free(&p->msgs[v].name);
				p->msgs[v].name = mem_strdup(name);
			}
		}
	md_hash_fini(&h);
	md_dirlist_fini(&l);
}

static enum md_err fail(struct md_pop3 *p, int err, const char *what, const struct md_pop3_msg *m)
{
	enum md_err e = md_errno(err);

	if (e == MD_GONE)
		return md_fail(p->root, e, 0, "message %zu is no longer there", (size_t)(m - p->msgs) + 1);
	return md_fail(p->root, e, err, "cannot %s message %zu", what, (size_t)(m - p->msgs) + 1);
}

static bool still_there(struct md_pop3 *p, struct md_pop3_msg *m)
{
	refresh_names(p);
	return in_cur(p->root, m->name);
}

size_t md_pop3_count(const struct md_pop3 *p)
{
	return p->n;
}

uint64_t md_pop3_octets(const struct md_pop3 *p, size_t i)
{
	return p->msgs[i].octets;
}

const char *md_pop3_file_name(const struct md_pop3 *p, size_t i)
{
	return p->msgs[i].name;
}

bool md_pop3_marked(const struct md_pop3 *p, size_t i)
{
	return p->msgs[i].deleted;
}

void md_pop3_mark(struct md_pop3 *p, size_t i, bool mark)
{
	p->msgs[i].deleted = mark;
}

enum md_err md_pop3_read(struct md_pop3 *p, size_t i, int *fd_out)
{
	struct md_pop3_msg *m = &p->msgs[i];
	struct str path = STR_INIT;
	struct stat st;
	int err = 0;

	*fd_out = -1;
	for (int k = 0; k < RENAME_TRIES; k++) {
		str_clear(&path);
		str_addf(&path, "cur/%s", m->name);
		*fd_out = openat(p->root->fd, path.data, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		err = errno;
		if (*fd_out >= 0 || err != ENOENT || !still_there(p, m))
			break;
	}
	str_fini(&path);
	if (*fd_out < 0)
		return fail(p, err, "read", m);
	if (fstat(*fd_out, &st) == 0 && S_ISREG(st.st_mode))
		return MD_OK;
	close(*fd_out);
	*fd_out = -1;
	return fail(p, ELOOP, "read", m);
}

/* Counts M's octets and looks for 8-bit characters in its header. */
static enum md_err measure(struct md_pop3 *p, struct md_pop3_msg *m)
{
	char *buf;
	ssize_t n = 0;
	bool header = true;
	char last = '\n';
	int fd;
	enum md_err e = md_pop3_read(p, (size_t)(m - p->msgs), &fd);

	if (e != MD_OK)
		return e;
	buf = mem_alloc(READ_BUF);
	while (header && ((n = read(fd, buf, READ_BUF)) > 0 || (n < 0 && errno == EINTR))) {
		for (ssize_t i = 0; header && i < n; i++) {
			if (buf[i] & 0x80)
				m->utf8 = true;
			if (buf[i] == '\n' && last == '\n')
				header = false;
			if (buf[i] != '\r')
				last = buf[i];
		}
	}
	if (n < 0 || !md_count_octets(fd, &m->octets))
		e = fail(p, errno, "read", m);
	close(fd);
	mem_free(&buf);
	return e;
}

/* --- the list --- */

/* Takes from the list in the Maildir what it knows. *UNKNOWN: messages that it does not; *STALE: it should be written anew
 * in any case. Lines that no message of ours has go to OTHERS, unless that is NULL. */
static void read_list(struct md_pop3 *p, size_t *unknown, bool *stale, struct md_pop3list *others)
{
	struct md_pop3list l = { 0 };
	struct str text = STR_INIT;
	struct md_hash h;
	struct stat st;
	size_t known = 0;

	if (md_read_file(p->root->fd, MD_POP3_FILE, LIST_BYTES_MAX, &text, &st) != 0 ||
	    !md_pop3list_parse(&l, str_cstr(&text), text.len)) {
		md_pop3list_fini(&l);
		l.next = 1;
		l.uidv = (uint32_t)time(NULL);
		l.upgrade = true;
	}
	str_fini(&text);
	hash_msgs(&h, p);
	for (size_t i = 0; i < p->n; i++)
		p->msgs[i].known = false;
	for (size_t i = 0; i < l.n; i++) {
		const char *name = l.line[i].name;
		uint32_t v = md_hash_find(&h, name, md_name_base_len(name), msg_name, p);

		if (v == MD_HASH_NONE && others != NULL)
			md_pop3list_move(others, &l.line[i]);
		if (v == MD_HASH_NONE || p->msgs[v].known)
			continue;
		p->msgs[v].octets = l.line[i].octets;
		p->msgs[v].n = l.line[i].n;
		p->msgs[v].uidv = l.line[i].uidv;
		p->msgs[v].utf8 = l.line[i].utf8;
		p->msgs[v].known = true;
		known++;
	}
	p->next = l.next;
	p->uidv = l.uidv;
	*unknown = p->n - known;
	*stale = l.upgrade || known != l.n;
	md_hash_fini(&h);
	md_pop3list_fini(&l);
}

/* The names in new/ and cur/, of several looks together. *SURE: what is not among them is not there, for no change could
 * be seen while we looked. False: they cannot be read. */
static bool look(struct md_root *r, struct md_dirlist *names, bool *sure)
{
	struct md_stamp before, after, last = { 0, 0, 0, 0 };
	unsigned quiet = 0;

	for (int i = 0; i < MD_SCAN_PASSES && quiet < MD_SCAN_QUIET; i++) {
		md_stamp_take(&before, r->fd, "cur");
		if (md_dirlist_read(r, r->fd, "", "new", MD_LIST_MESSAGES, names) != MD_OK ||
		    md_dirlist_read(r, r->fd, "", "cur", MD_LIST_MESSAGES, names) != MD_OK)
			return false;
		md_stamp_take(&after, r->fd, "cur");
		quiet = md_stamp_quiet(quiet, &last, &before, &after);
		last = after;
	}
	*sure = quiet == MD_SCAN_QUIET;
	return true;
}

static const char *listed_name(const void *arg, uint32_t val, size_t *len_out)
{
	const char *name = md_dirlist_name(arg, val);

	*len_out = md_name_base_len(name);
	return name;
}

static void hash_names(struct md_hash *h, const struct md_dirlist *l)
{
	md_hash_init(h, l->n);
	for (size_t i = 0; i < l->n; i++) {
		const char *name = md_dirlist_name(l, i);

		if (md_hash_find(h, name, md_name_base_len(name), listed_name, l) == MD_HASH_NONE)
			md_hash_add(h, name, md_name_base_len(name), (uint32_t)i);
	}
}

/* Under the lock: what of the list and of our messages is there? Another session may have recorded mail since we read
 * cur/, which would get another UIDL if its line were dropped, and may have deleted some that we are about to record. */
static void look_again(struct md_pop3 *p, struct md_pop3list *others)
{
	struct md_dirlist names = { STR_INIT, NULL, 0, 0 };
	size_t k = 0;
	struct md_hash h;
	bool sure;

	if (!look(p->root, &names, &sure)) {
		md_dirlist_fini(&names);
		return;
	}
	hash_names(&h, &names);
	for (size_t i = 0; i < others->n; i++) {
		const char *name = others->line[i].name;

		if (sure && md_hash_find(&h, name, md_name_base_len(name), listed_name, &names) == MD_HASH_NONE)
			mem_free(&others->line[i].name);
		else
			others->line[k++] = others->line[i];
	}
	others->n = k;
	k = 0;
	for (size_t i = 0; i < p->n; i++) {
		struct md_pop3_msg *m = &p->msgs[i];

		if (!m->known && md_hash_find(&h, m->name, md_name_base_len(m->name), listed_name, &names) == MD_HASH_NONE)
			mem_free(&m->name);
		else
			p->msgs[k++] = *m;
	}
	p->n = k;
	md_hash_fini(&h);
	md_dirlist_fini(&names);
}

/* Octets of the messages that the list does not know. Those that cannot be read are left out, but only after all were
 * tried: looking for a file that was renamed goes through the names of all messages. */
static enum md_err measure_unknown(struct md_pop3 *p)
{
	size_t k = 0, bytes = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct md_pop3_msg *m = &p->msgs[i];

		if (m->known)
			continue;
		if (!md_goes_on(p->root, 1, bytes))
			return MD_STOPPED;
		m->unreadable = measure(p, m) != MD_OK;
		bytes = m->octets;
	}
	for (size_t i = 0; i < p->n; i++) {
		struct md_pop3_msg *m = &p->msgs[i];

		if (m->unreadable)
			mem_free(&m->name);
		else
			p->msgs[k++] = *m;
	}
	p->n = k;
	return MD_OK;
}

/* The next numbers for the messages without one. */
static void number(struct md_pop3 *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct md_pop3_msg *m = &p->msgs[i];

		if (m->known)
			continue;
		if (p->next >= UINT32_MAX - 1 || p->next == 0) { /* used up: another list */
			p->next = 1;
			p->uidv = MAX((uint32_t)time(NULL), p->uidv + 1);
		}
		m->n = p->next++;
		m->uidv = p->uidv;
	}
}

static enum md_err save_list(struct md_pop3 *p, const struct md_pop3list *others)
{
	struct str text = STR_INIT;
	struct stat st;
	int rc, err;

	md_pop3list_format(p, others, &text);
	rc = md_replace_file(p->root, p->root->fd, p->root->fd, MD_POP3_FILE, &text, true, &st);
	if (rc == 0)
		rc = md_sync_dir(p->root->fd, ".");
	err = errno;
	str_fini(&text);
	return rc == 0 ? MD_OK : md_fail(p->root, md_errno(err), err, "cannot write " MD_POP3_FILE "; new mail is not shown");
}

/* The UIDL of a message alone in a Maildir whose list cannot be saved. */
static void give_own_uidl(struct md_pop3 *p, struct md_pop3_msg *m)
{
	struct stat st;
	struct str path = STR_INIT;

	str_addf(&path, "cur/%s", m->name);
	if (fstatat(p->root->fd, path.data, &st, AT_SYMLINK_NOFOLLOW) == 0)
		m->uidl = mem_printf("ENOMEM-%llx-%llx-%llx", (unsigned long long)st.st_mtime, (unsigned long long)st.st_dev,
			(unsigned long long)st.st_ino);
	else
		m->uidl = mem_strdup("ENOMEM-0");
	str_fini(&path);
}

/* Messages whose UIDL could not be recorded are not shown, but the only one. */
static void hide_unknown(struct md_pop3 *p)
{
	size_t known = 0, k = 0;

	for (size_t i = 0; i < p->n; i++)
		known += p->msgs[i].known;
	for (size_t i = 0; i < p->n; i++) {
		struct md_pop3_msg *m = &p->msgs[i];

		if (!m->known && known == 0 && i == 0)
			give_own_uidl(p, m);
		if (m->known || m->uidl != NULL)
			p->msgs[k++] = *m;
		else
			mem_free(&m->name);
	}
	p->n = k;
}

/* Numbers for what the list does not know, and the list on disk. */
static enum md_err update_list(struct md_pop3 *p)
{
	struct md_lock lock = MD_LOCK_INIT;
	struct md_pop3list others = { 0 };
	size_t unknown, listed;
	bool stale;
	enum md_err e = md_lock_take(p->root, p->root->fd, "", &lock);

	if (e == MD_OK) {
		read_list(p, &unknown, &stale, &others); /* another session may have been first */
		listed = others.n;
		if (unknown != 0 || stale)
			look_again(p, &others);
		if (unknown != 0 || others.n != listed || (stale && listed == 0)) {
			number(p);
			e = save_list(p, &others);
		}
	}
	md_lock_drop(&lock);
	md_pop3list_fini(&others);
	return e;
}

static enum md_err take_list(struct md_pop3 *p)
{
	size_t unknown;
	bool stale;
	enum md_err e;

	read_list(p, &unknown, &stale, NULL);
	if (unknown == 0 && !stale)
		return MD_OK;
	e = measure_unknown(p); /* may take long: not under the lock */
	if (e != MD_OK)
		return e;
	if (update_list(p) == MD_OK)
		p->root->why[0] = '\0';
	else
		hide_unknown(p);
	return MD_OK;
}

enum md_err md_pop3_open(struct md_root *r, struct md_pop3 **p_out)
{
	struct md_pop3 *p = mem_alloc(sizeof(*p));
	enum md_err e;

	p->root = r;
	r->why[0] = '\0';
	e = md_check_dirs(r, r->fd, "");
	if (e == MD_OK) {
		md_clean_tmp(r->fd, time(NULL));
		move_new(p);
		e = read_cur(p);
	}
	if (e == MD_OK)
		e = take_list(p);
	if (e != MD_OK)
		md_pop3_close(&p);
	*p_out = p;
	return e;
}

void md_pop3_close(struct md_pop3 **pp)
{
	struct md_pop3 *p = *pp;

	if (p == NULL)
		return;
	for (size_t i = 0; i < p->n; i++) {
		mem_free(&p->msgs[i].name);
		mem_free(&p->msgs[i].uidl);
	}
	mem_free(&p->msgs);
	mem_free(pp);
}

void md_pop3_uidl(const struct md_pop3 *p, size_t i, struct str *out)
{
	const struct md_pop3_msg *m = &p->msgs[i];

	if (m->uidl != NULL) {
		str_adds(out, m->uidl);
	} else if (m->n != 0) {
		str_addf(out, "UID%u", m->n);
		if (m->uidv != 0)
			str_addf(out, "-%u", m->uidv);
	} else {
		size_t len = md_name_base_len(m->name);

		for (size_t k = 0; k < len; k++) {
			unsigned char c = (unsigned char)m->name[k];

			if (c < 0x21 || c > 0x7e || c == '\'' || c == '"' || c == '+')
				str_addf(out, "+%02X", c);
			else
				str_addc(out, (char)c);
		}
	}
}

enum md_err md_pop3_seen(struct md_pop3 *p, size_t i)
{
	struct md_pop3_msg *m = &p->msgs[i];
	struct str from = STR_INIT, to = STR_INIT;
	enum md_err e = MD_IO;
	int err = 0;

	for (int k = 0; k < RENAME_TRIES; k++) {
		str_clear(&from);
		str_clear(&to);
		str_addf(&from, "cur/%s", m->name);
		str_adds(&to, "cur/");
		md_name_with_flags(&to, m->name, md_name_flags(m->name) | MD_SEEN);
		RACE("pop3: the name of what was read is known");
		if (strcmp(from.data, to.data) == 0 || md_rename_new(p->root->fd, from.data, p->root->fd, to.data) == 0) {
			mem_free(&m->name);
			m->name = mem_strdup(to.data + 4);
			e = MD_OK;
			break;
		}
		err = errno;
		if (err != ENOENT || !still_there(p, m))
			break;
	}
	str_fini(&from);
	str_fini(&to);
	return e == MD_OK ? e : fail(p, err, "mark", m);
}

/* Deletes the marked messages under the names that we know. The number of files that had another name. */
static size_t delete_marked(struct md_pop3 *p, size_t *deleted, enum md_err *worst)
{
	struct str path = STR_INIT;
	size_t lost = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct md_pop3_msg *m = &p->msgs[i];
		int64_t bytes;

		if (!m->deleted)
			continue;
		str_clear(&path);
		str_addf(&path, "cur/%s", m->name);
		bytes = md_size_of(p->root, p->root->fd, path.data);
		RACE("pop3: the name of what is deleted is known");
		if (unlinkat(p->root->fd, path.data, 0) == 0) {
			md_size_left(p->root, "", m->name, bytes);
			m->deleted = false;
			++*deleted;
		} else if (errno == ENOENT) {
			lost++;
		} else {
			m->deleted = false;
			*worst = fail(p, errno, "delete", m);
		}
	}
	str_fini(&path);
	return lost;
}

enum md_err md_pop3_commit(struct md_pop3 *p, size_t *deleted_out)
{
	enum md_err worst = MD_OK;
	size_t lost = 0, before = 0;

	*deleted_out = 0;
	for (int i = 0; i < RENAME_TRIES; i++) {
		lost = delete_marked(p, deleted_out, &worst);
		if (lost == 0 || (i > 1 && lost == before)) /* twice not found: gone */
			break;
		before = lost;
		refresh_names(p);
	}
	*deleted_out += lost;
	md_size_flush(p->root);
	return worst;
}
