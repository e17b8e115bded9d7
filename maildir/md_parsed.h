/* waypostparsed: what was parsed once of the messages of a folder, so that their files need not be opened for it
 * again. It can be deleted at any time.
 *
 * It is a sequence of records, each with a checksum: UID, a sum of the base name (whose file never changes its
 * content), kind, bytes. Sessions append theirs in one write, without a lock: one that is damaged or half there ends
 * what is believed, and the next session that can writes the file anew, through tmp/, with what was good. It is mode
 * 0600, never mapped, and not synced. Numbers are in the machine's byte order: another's is damaged.
 *
 * The file is hostile input: a record holds bytes, which the caller must check as it would those of a message. */
#ifndef MAILDIR_MD_PARSED_H
#define MAILDIR_MD_PARSED_H

#include "lib/str.h"
#include "maildir/md_box.h"

#define MD_PARSED_FILE "waypostparsed"

enum md_parsed_kind { MD_PARSED_HEADER, MD_PARSED_BODY, MD_PARSED_BODYSTRUCTURE, MD_PARSED_KINDS };

enum {
	MD_PARSED_RECORD_MAX = 32 * 1024, /* bytes of one record: what is longer is not kept */
	MD_PARSED_FILE_MAX = 256 << 20,
	MD_PARSED_WORTH = 16 * 1024 /* of the file are read rather than that a message's file is opened */
};

/* What is known of message I. False: not known. *P is valid until md_parsed_end(). The file is
 * read once so much was asked for in this command that reading it costs less than opening the messages' files. */
bool md_parsed_get(struct md_box *box, size_t i, enum md_parsed_kind kind, const char **p, size_t *len) MUST_CHECK;
/* Reads the file now if it was not read yet. */
void md_parsed_read(struct md_box *box);
/* Notes the LEN bytes at P (copied) for message I, unless that is known. Written at the end of the command, or when
 * there is a megabyte. */
void md_parsed_put(struct md_box *box, size_t i, enum md_parsed_kind kind, const void *p, size_t len);
/* The end of a command: writes what was noted, unless BOX is read-only, and frees the memory. Failures to write are
 * none of the caller's business. */
void md_parsed_end(struct md_box *box);

/* --- its text --- */

/* A record in memory. */
struct md_parsed_record {
	uint32_t uid, kind;
	uint64_t base; /* md_parsed_base() of the message's base name */
	const char *p;
	size_t len;
};

/* The sum of the LEN bytes of a base name. */
uint64_t md_parsed_base(const char *name, size_t len);
/* Appends the record to OUT. */
void md_parsed_add(struct str *out, const struct md_parsed_record *r);
/* Takes the record at *AT of the LEN bytes at P (aligned as any), and advances *AT. False at the end, or if it is
 * damaged (*AT is not LEN then). */
bool md_parsed_take(const char *p, size_t len, size_t *at, struct md_parsed_record *r) MUST_CHECK;
/* Puts mark, length and checksum into the record at P, of LEN bytes in all (at least those before a record's bytes). */
void md_parsed_seal(char *p, size_t len);

#endif
