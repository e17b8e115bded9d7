/* INBOX as POP3 sees it. */
#include "maildir/md_pop3.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"
#include "maildir/md_dir.h"
#include "maildir/md_lock.h"
#include "maildir/md_name.h"
#include "maildir/md_pop3_private.h"
#include "maildir/md_pop3list.h"
#include "maildir/md_scan_private.h"

enum { LIST_BYTES_MAX = 512 << 20, READ_BUF = 65536 };

/* --- messages --- */

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
	return md_box_file_name(p->box, p->msgs[i].i);
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
	return md_box_read(p->box, p->msgs[i].i, fd_out);
}

/* Counts M's octets and looks for 8-bit characters in its header. */
static enum md_err measure(struct md_pop3 *p, struct md_pop3_msg *m)
{
	char *buf;
	ssize_t n = 0;
	bool header = true;
	char last = '\n';
	int fd;
	enum md_err e = md_box_read(p->box, m->i, &fd);

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
		e = md_box_read_failed(p->box, m->i, errno);
	close(fd);
	mem_free(&buf);
	return e;
}

/* --- the list --- */

static const char *msg_name(const void *arg, uint32_t val, size_t *len_out)
{
	const char *name = md_pop3_file_name(arg, val);

	*len_out = md_name_base_len(name);
	return name;
}

static void hash_msgs(struct md_hash *h, const struct md_pop3 *p)
{
	md_hash_init(h, p->n);
	for (size_t i = 0; i < p->n; i++) {
		size_t len;
		const char *name = msg_name(p, (uint32_t)i, &len);

		md_hash_add(h, name, len, (uint32_t)i);
	}
}

/* Reads the list in the Maildir. *UNKNOWN: number of messages not in it; *STALE: it should be rewritten in any case.
 * Lines without a message of ours go to OTHERS, unless that is NULL. */
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

/* Under the lock: drops what is gone from the list and our messages. Since we read cur/, another session may have
 * recorded mail, which would get another UIDL if its line were dropped, or deleted some that we are about to record. */
static void look_again(struct md_pop3 *p, struct md_pop3list *others)
{
	struct md_scan sc;
	size_t k = 0;

	if (md_scan_again(&sc, p->box) != MD_OK) {
		md_scan_end(&sc);
		return;
	}
	for (size_t i = 0; i < others->n; i++) {
		const char *name = others->line[i].name;

		if (md_scan_sure(&sc) && md_scan_find(&sc, name, md_name_base_len(name)) == NULL)
			mem_free(&others->line[i].name);
		else
			others->line[k++] = others->line[i];
	}
	others->n = k;
	k = 0;
	for (size_t i = 0; i < p->n; i++)
		if (p->msgs[i].known || p->box->msgs[p->msgs[i].i].found)
			p->msgs[k++] = p->msgs[i];
	p->n = k;
	md_scan_end(&sc);
}

/* Measures the messages that are not in the list. Those that cannot be read are left out. */
static enum md_err measure_unknown(struct md_pop3 *p)
{
	size_t k = 0, bytes = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct md_pop3_msg *m = &p->msgs[i];
		enum md_err e = MD_OK;

		if (!m->known) {
			if (!md_goes_on(p->root, 1, bytes))
				return MD_STOPPED;
			e = measure(p, m);
			bytes = m->octets;
		}
		if (e == MD_OK)
			p->msgs[k++] = *m;
	}
	p->n = k;
	return MD_OK;
}

/* Gives the next numbers to messages without one. */
static void number(struct md_pop3 *p)
{
	for (size_t i = 0; i < p->n; i++) {
		struct md_pop3_msg *m = &p->msgs[i];

		if (m->known)
			continue;
		if (p->next >= UINT32_MAX - 1 || p->next == 0) { /* used up: begin another list */
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
	return rc == 0 ? MD_OK :
	                 md_fail(p->root, md_errno(err), err, "cannot write " MD_POP3_FILE "; new mail is not shown");
}

/* Makes a UIDL for the only message shown of a Maildir whose list cannot be saved. */
static void give_own_uidl(struct md_pop3 *p, struct md_pop3_msg *m)
{
	struct stat st;
	int fd;

	if (md_box_read(p->box, m->i, &fd) == MD_OK) {
		if (fstat(fd, &st) == 0)
			m->uidl = mem_printf("ENOMEM-%llx-%llx-%llx", (unsigned long long)st.st_mtime,
			    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
		close(fd);
	}
	if (m->uidl == NULL)
		m->uidl = mem_strdup("ENOMEM-0");
}

/* Hides messages whose UIDL could not be recorded, except the first if all are such. */
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
	}
	p->n = k;
}

/* Numbers messages that are not in the list, and saves the list. */
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
	e = measure_unknown(p); /* not under the lock, as it may take long */
	if (e != MD_OK)
		return e;
	if (update_list(p) == MD_OK)
		p->root->why[0] = '\0';
	else
		hide_unknown(p);
	return MD_OK;
}

/* For texts, which name a message by its number. */
static void set_numbers(struct md_pop3 *p)
{
	for (size_t i = 0; i < p->n; i++)
		p->box->msgs[p->msgs[i].i].uid = (uint32_t)i + 1;
}

enum md_err md_pop3_open(struct md_root *r, struct md_pop3 **p_out)
{
	struct md_pop3 *p = mem_alloc(sizeof(*p));
	enum md_err e;

	p->root = r;
	e = md_box_open_files(r, &p->box);
	if (e == MD_OK) {
		p->n = md_box_count(p->box);
		p->msgs = mem_array(p->n, sizeof(*p->msgs));
		for (size_t i = 0; i < p->n; i++)
			p->msgs[i].i = i;
		e = take_list(p);
	}
	if (e == MD_OK)
		set_numbers(p);
	else
		md_pop3_close(&p);
	*p_out = p;
	return e;
}

void md_pop3_close(struct md_pop3 **pp)
{
	struct md_pop3 *p = *pp;

	if (p == NULL)
		return;
	for (size_t i = 0; i < p->n; i++)
		mem_free(&p->msgs[i].uidl);
	mem_free(&p->msgs);
	md_box_close(&p->box);
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
		const char *name = md_pop3_file_name(p, i);
		size_t len = md_name_base_len(name);

		for (size_t k = 0; k < len; k++) {
			unsigned char c = (unsigned char)name[k];

			if (c < 0x21 || c > 0x7e || c == '\'' || c == '"' || c == '+')
				str_addf(out, "+%02X", c);
			else
				str_addc(out, (char)c);
		}
	}
}

enum md_err md_pop3_seen(struct md_pop3 *p, size_t i)
{
	return md_box_store(p->box, p->msgs[i].i, MD_STORE_ADD, MD_SEEN, NULL, 0);
}

enum md_err md_pop3_commit(struct md_pop3 *p, size_t *deleted_out)
{
	enum md_err worst = MD_OK;

	*deleted_out = 0;
	for (size_t i = 0; i < p->n; i++) {
		struct md_pop3_msg *m = &p->msgs[i];
		enum md_err e;

		if (!m->deleted)
			continue;
		if (!md_goes_on(p->root, 1, 0)) {
			worst = md_fail(p->root, MD_STOPPED, 0,
			    "stopped while messages were deleted; the others are still there");
			break;
		}
		e = md_box_expunge(p->box, m->i);
		m->deleted = e != MD_OK;
		if (e == MD_OK)
			++*deleted_out;
		else
			worst = e;
	}
	md_size_flush(p->root);
	if (*deleted_out != 0 && worst == MD_OK)
		worst = md_box_flush(p->box);
	return worst;
}
