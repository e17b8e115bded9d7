/* The text of one message of the selected mailbox, read when first needed. */
#ifndef IMAPD_IMAP_MSG_H
#define IMAPD_IMAP_MSG_H

#include "maildir/md_box.h"
#include "mime/part.h"

struct imap_msg {
	struct md_box *box;
	size_t i;             /* its index there */
	struct mime_msg mime; /* valid once imap_msg_load() returned MD_OK */
	bool loaded;
	bool header_only; /* mime has the header only: imap_msg_load_header() */
	char *text;
	size_t len;
	bool mapped;
};

/* MSG stands for message I of BOX; nothing is read yet. */
void imap_msg_init(struct imap_msg *msg, struct md_box *box, size_t i);
/* Reads the text, once. MD_OK, or as md_box_read(). */
enum md_err imap_msg_load(struct imap_msg *msg);
/* As imap_msg_load(), but ->mime may have the header only, from what was parsed before (md_parsed.h): for whoever asks
 * for nothing else of it. A later imap_msg_load() makes it whole. */
enum md_err imap_msg_load_header(struct imap_msg *msg);
/* RFC822.SIZE, from the text if it is loaded. */
enum md_err imap_msg_octets(struct imap_msg *msg, uint64_t *octets_out);
void imap_msg_fini(struct imap_msg *msg);

#endif
