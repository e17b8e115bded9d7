/* waypoststate: what no other file of a folder can tell. Its mailbox id (RFC 8474), and, once somebody has asked for
 * modification sequences (RFC 7162), for each message what it looked like when the folder was last compared and the
 * sequence of its last change; for those that are gone since, their UIDs and when. Messages are compared with it when
 * somebody asks (md_track.h), so that it does not matter who changed them, and who does not ask pays nothing.
 *
 * The file is a header and blocks, each with a checksum. A block has any number of entries; of two with the same UID
 * the later counts. A record is one more block in one write, synced before anybody is told; when most of the file is
 * out of date it is written anew through tmp/, synced with its folder. A block at its end that is shorter than it
 * says is a record whose writer ended: nobody was told of it, and the next record writes the file anew without it.
 * It is changed under the folder's lock only. Mode 0600; wiped, renamed and copied with the folder. Numbers are in
 * the machine's byte order: another's is damaged.
 *
 * It cannot be rebuilt. A file that is lost, or damaged anywhere, begins anew: at a sequence above all that it can have
 * had (the clock in microseconds, and all that were seen), with a floor at that place. The floor is the sequence since
 * which all that went is known: whoever synchronises from before it is told of all UIDs that are not there. The same
 * happens when the oldest expunged UIDs are dropped, which bounds the file.
 *
 * The file is hostile input: read into memory, bounds checked. */
#ifndef MAILDIR_MD_STATE_H
#define MAILDIR_MD_STATE_H

#include "lib/str.h"
#include "maildir/md.h"

#define MD_STATE_FILE "waypoststate"
enum {
	MD_STATE_GONE_MAX = 16384, /* expunged messages that are kept when the file is written anew */
	MD_STATE_FILE_MAX = 256 << 20,
	MD_STATE_HEADER_BYTES = 48
};
#define MD_STATE_MODSEQ_MAX (UINT64_C(1) << 62) /* no clock gives more: a file with more is damaged */
#define MD_STATE_GONE UINT32_C(0x80000000)

struct md_state_entry {
	uint32_t uid;
	uint32_t look;     /* MD_ bits of its flags, or MD_STATE_GONE */
	uint64_t keywords; /* a sum of their names; 0: none, or gone */
	uint64_t modseq;   /* of its last change */
};

/* All-zero: nothing was read. */
struct md_state {
	uint64_t id[2];       /* zeros: none */
	uint32_t uidvalidity; /* 0: nothing is recorded but the id */
	uint32_t uidnext;     /* UIDs from here on have not been compared */
	uint64_t highest;     /* sequence; stays when the file is lost meanwhile */
	uint64_t floor;
	size_t n, n_gone;
	struct md_state_entry *e; /* by UID */
	uint64_t dev, ino, size;  /* of the file as it was read, without what is torn, or zeros */
	uint64_t torn;            /* bytes at its end that are no whole record */
	int fd;                   /* of it, if there is an INO: kept open so that no other file gets its inode number */
};

enum md_state_read {
	MD_STATE_SAME, /* it was read before, and did not change */
	MD_STATE_READ,
	MD_STATE_NONE,
	MD_STATE_DAMAGED, /* or of another version or owner; it was logged. S has id and highest as far as known */
	MD_STATE_FAILED   /* it cannot be read now; R->why tells */
};

void md_state_fini(struct md_state *s);
/* S is to be read wholly next time. */
void md_state_drop_file(struct md_state *s);
/* Reads the file of folder DIRFD, or what was added to it since it was read into S. With the lock held: a record that
 * is being written looks torn. */
enum md_state_read md_state_read(struct md_root *r, int dirfd, const char *folder, struct md_state *s) MUST_CHECK;
/* Reads only the id. False: there is none, or it must be read wholly to know. */
bool md_state_read_id(int dirfd, uint64_t id[2]) MUST_CHECK;
/* True if the file is the one that S was read from or written to, and as long; not if its end is torn. */
bool md_state_is_same(int dirfd, const struct md_state *s);
/* The sequence for a change that is recorded now: the clock in microseconds, or above the highest. */
uint64_t md_state_next(const struct md_state *s);
/* The entry of UID, or NULL. */
const struct md_state_entry *md_state_find(const struct md_state *s, uint32_t uid);
/* Records the N changes at E, by UID, all of sequence MODSEQ (md_state_next()), and that all UIDs below UIDNEXT were
 * compared. It is on disk then. The lock must be held, and S be as md_state_read() has just left it.
 * MD_OK; MD_FULL, MD_PERM, MD_READONLY, MD_LIMIT, MD_IO: nothing was recorded, S is as before. */
enum md_err md_state_add(struct md_root *r, int dirfd, const char *folder, struct md_state *s,
    const struct md_state_entry *e, size_t n, uint64_t modseq, uint32_t uidnext) MUST_CHECK;
/* Writes the whole file from S, which gets an id if it has none; the oldest expunged ones are dropped if there are too
 * many. Otherwise as md_state_add(). */
enum md_err md_state_write(struct md_root *r, int dirfd, const char *folder, struct md_state *s) MUST_CHECK;

/* --- its text --- */

/* Appends the file's text to OUT. */
void md_state_format(const struct md_state *s, struct str *out);
/* Adds what the LEN bytes at P hold, a whole file, or (MORE) blocks of it, to S; S->torn of them, at the end, are no
 * whole block. False if they are damaged: S->highest is above all that could be read, the rest of S is for
 * md_state_fini(). */
bool md_state_parse_bytes(struct md_state *s, const char *p, size_t len, bool more) MUST_CHECK;
/* Puts the checksums into such a file of LEN bytes at P (at least MD_STATE_HEADER_BYTES). */
void md_state_seal(char *p, size_t len);

#endif
