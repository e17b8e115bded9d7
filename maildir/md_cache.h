/* waypostcache: what an open of an unchanged folder needs, beside Courier's files, so that neither new/, cur/,
 * courierimapuiddb nor courierimapkeywords/ need be read. It can be deleted at any time.
 *
 * It has a header and a body, each with a checksum. The header has the counts for STATUS and the stamps (md_stamp.h) of
 * those four as they were when they were read; the cache counts only if all four look the same still. Only settled
 * stamps are written, so nothing can have changed without changing them. The body has for each message its UID, name
 * (which holds the flags), keywords, date and sizes.
 *
 * The file is hostile input: read into memory, bounds checked; a damaged or foreign one is passed over, logged, and
 * replaced. It is written through tmp/ without a lock, mode 0600, and not synced: whichever is there is whole, or its
 * checksum tells. A folder of few messages has none. Numbers are in the machine's byte order: another's is foreign. */
#ifndef MAILDIR_MD_CACHE_H
#define MAILDIR_MD_CACHE_H

#include <sys/stat.h>

#include "maildir/md_box_private.h"

#define MD_CACHE_FILE "waypostcache"
enum { MD_CACHE_MESSAGES_MIN = 16, MD_CACHE_HEADER_BYTES = 49 * 8 };

/* Fills BOX, which has just been made, from its folder's cache. False: there is none that counts; BOX is as before. */
bool md_cache_load(struct md_box *box) MUST_CHECK;
/* The counts of FOLDER, opened as DIRFD, from its cache. False: there is none that counts. */
bool md_cache_status(struct md_root *r, int dirfd, const char *folder, struct md_status *st) MUST_CHECK;
/* Writes the cache if BOX knows more than the one on disk, and the folder is as BOX has read it. A failure is none of
 * the caller's business: it goes on without a cache. */
void md_cache_save(struct md_box *box);

/* --- what both caches (md_parsed.h) need --- */

/* Continues the checksum H over LEN more bytes at P. */
uint64_t md_cache_sum(uint64_t h, const void *p, size_t len);
/* True if the file that ST describes belongs to the owner of the folder that DIR describes, and no other may
 * write it. */
bool md_cache_belongs(const struct stat *dir, const struct stat *st);
/* The same for the folder DIRFD; false, too, if it cannot be asked. */
bool md_cache_is_ours(int dirfd, const struct stat *st);
/* By R->cache_use the caches are read, and written. */
bool md_cache_is_read(const struct md_root *r);
bool md_cache_is_written(const struct md_root *r);
/* Only the owner of the folder writes: what another may see in it is not the cache's to keep. */
bool md_cache_may_write(const struct md_box *box);
/* Appends the text for BOX to OUT; the file that is to have it has just been made, as MADE tells. False: there is
 * none. */
typedef bool md_cache_text_fn(const struct md_box *box, const struct stat *made, struct str *out, const void *arg);
/* Puts a file NAME with that text in the folder of BOX, mode 0600, through tmp/. False: nothing has changed, as there
 * is no text, the file cannot be written, or no reader would believe it: a mount may give it an owner and a mode of
 * its own. */
bool md_cache_replace(const struct md_box *box, const char *name, md_cache_text_fn *text, const void *arg);

/* --- its text --- */

/* Appends the file's text for BOX to OUT. */
void md_cache_format(const struct md_box *box, struct str *out);
/* Fills BOX from the file FD, which is at its start, without asking whether it counts. False if it is damaged; BOX is
 * as before. */
bool md_cache_read_bytes(struct md_box *box, int fd) MUST_CHECK;
/* Puts the checksums into the header of such a file of LEN bytes at P (at least MD_CACHE_HEADER_BYTES). */
void md_cache_seal(char *p, size_t len);

#endif
