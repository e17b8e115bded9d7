/* Names of message files: "<seconds>.<unique>.<host>[,S=<bytes>][,W=<bytes>][:2,<flags>]".
 * The base (all up to the last ':') is the message's identity and never changes; what follows holds the flags. */
#ifndef MAILDIR_MD_NAME_H
#define MAILDIR_MD_NAME_H

#include "lib/str.h"
#include "maildir/md.h"

enum { MD_NAME_MAX = 255 }; /* bytes of a file name */

/* Length of the base of NAME. */
size_t md_name_base_len(const char *name);
/* The flags after ":2,", as MD_ bits; unknown letters are ignored. 0 without such a part. */
unsigned md_name_flags(const char *name);
/* True, and the number after ",S=" (bytes on disk), if the base has one. */
bool md_name_size(const char *name, uint64_t *bytes_out);
/* True, and the number after ",W=" (bytes with CRLF), if the base has one. */
bool md_name_vsize(const char *name, uint64_t *bytes_out);
/* The number at the beginning of the name (0 if none; the maximum if too large). */
uint64_t md_name_time(const char *name);
/* Appends base (BASE_LEN bytes of NAME) and ":2," with FLAGS in order, and the unknown letters that NAME had,
 * all in ASCII order. */
void md_name_with_flags(struct str *out, const char *name, unsigned flags);
/* Length of the base without its ",S=..." part, which is compared when the whole base is not found. */
size_t md_name_stem_len(const char *name);
/* The order in which messages get UIDs and POP3 numbers: the order of delivery, as far as their names show it
 * (second, microsecond, process, and that process's count, as numbers), then bytes of the base.
 * Negative, 0, positive as strcmp(). */
int md_name_order(const char *a, const char *b);
/* A name that a message file may have: not empty, no '.' first, no '/', no line feed, not too long. */
bool md_name_valid(const char *name);
/* Appends a new unique name for a file in tmp/: "<sec>.M<usec>P<pid>_<n>.<host>". */
void md_name_tmp(struct md_root *r, struct str *out);
/* NAME was made by md_name_tmp() in a process of this host that still runs. */
bool md_name_in_use(const char *name);
/* Appends the base of a new message: the tmp name TMP with V (device) and I (inode) parts, and ",S=SIZE". */
void md_name_new(struct str *out, const char *tmp, uint64_t dev, uint64_t ino, uint64_t size);

#endif
