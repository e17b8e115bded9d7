/* The text of one message of the selected mailbox. */
#include "imapd/imap_msg.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "maildir/md_parsed.h"
#include "mime/hdr.h"

enum { READ_MAX = 128 * 1024 }; /* larger files are mapped, so that only requested parts are read */

void imap_msg_init(struct imap_msg *msg, struct md_box *box, size_t i)
{
	msg->box = box;
	msg->i = i;
	msg->loaded = msg->mapped = msg->header_only = false;
	msg->text = NULL;
	msg->len = 0;
}

static bool read_all(struct imap_msg *msg, int fd, size_t size)
{
	ssize_t n;

	msg->text = mem_grow(NULL, size + 1);
	n = fd_read_all(fd, msg->text, size);
	msg->len = n < 0 ? 0 : (size_t)n;
	return n >= 0;
}

static bool take_text(struct imap_msg *msg, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	if (st.st_size <= READ_MAX)
		return read_all(msg, fd, (size_t)st.st_size);
	msg->text = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (msg->text == MAP_FAILED) {
		msg->text = NULL;
		return false;
	}
	msg->len = (size_t)st.st_size;
	msg->mapped = true;
	return true;
}

enum md_err imap_msg_load(struct imap_msg *msg)
{
	enum md_err e;
	int fd;

	if (msg->loaded && !msg->header_only)
		return MD_OK;
	e = md_box_read(msg->box, msg->i, &fd);
	if (e != MD_OK)
		return e;
	if (!take_text(msg, fd))
		e = md_box_read_failed(msg->box, msg->i, errno);
	close(fd);
	if (e != MD_OK)
		return e;
	if (msg->header_only)
		mime_msg_fini(&msg->mime);
	mime_msg_init(&msg->mime, msg->text, msg->len);
	msg->loaded = true;
	msg->header_only = false;
	return MD_OK;
}

enum md_err imap_msg_load_header(struct imap_msg *msg)
{
	const char *p;
	size_t len;
	enum md_err e;

	if (msg->loaded)
		return MD_OK;
	if (md_parsed_get(msg->box, msg->i, MD_PARSED_HEADER, &p, &len)) {
		mime_msg_init(&msg->mime, p, len);
		msg->loaded = msg->header_only = true;
		return MD_OK;
	}
	e = imap_msg_load(msg);
	if (e == MD_OK)
		md_parsed_put(msg->box, msg->i, MD_PARSED_HEADER, msg->mime.text,
		    mime_hdr_len(msg->mime.text, msg->len));
	return e;
}

enum md_err imap_msg_octets(struct imap_msg *msg, uint64_t *octets_out)
{
	if (msg->loaded && !msg->header_only && !md_box_octets_known(msg->box, msg->i))
		md_box_note_octets(msg->box, msg->i, mime_wire_size(msg->text, msg->len));
	return md_box_octets(msg->box, msg->i, octets_out);
}

void imap_msg_fini(struct imap_msg *msg)
{
	if (msg->loaded)
		mime_msg_fini(&msg->mime);
	if (msg->mapped)
		munmap(msg->text, msg->len);
	else
		mem_free(&msg->text);
	msg->text = NULL;
	msg->loaded = msg->mapped = false;
}
