/* The userdb: accounts in a text file (or a directory tree of such files) in Courier's format,
 *
 *     name TAB field=value|field=value|...
 *
 * packed by userdb_build() into an immutable image in a sealed memory file. An auth worker builds it and passes
 * the descriptor; authd maps it and finds a name in about a microsecond. Nothing is compiled by hand.
 *
 * An edit must never turn into a wrong-password answer:
 * - a bad line keeps the last good record of its account from the old image; where there is none the account is
 *   recorded as broken and answers AUTH_TRY_LATER;
 * - a line that does not tell whose it is may be anybody's: while there is one, names that are in no file answer
 *   AUTH_TRY_LATER, and records of the old image stay;
 * - a file that does not end in a newline is half written, one with NUL bytes is what a power cut leaves, and an
 *   empty one either: the build is refused as a whole;
 * - so it is if a file has lost more than SHRINK percent of its accounts, or all of them, or the whole as much of
 *   its passwords;
 * - of several lines with one name the first counts.
 * Each such event is a line of the report with file, line, and what to do.
 *
 * Fields: home (absolute), uid, gid: required, uid 0 and gid 0 are refused; mail, quota, gecos, options; passwords:
 * imappw, pop3pw, systempw, others ending in pw are kept for later. Others are ignored, as are lines that are
 * blank, begin with '#', or are reverse records ("1001=" TAB name). */
#ifndef AUTHLIB_USERDB_H
#define AUTHLIB_USERDB_H

#include "authlib/auth.h"

struct userdb;

/* --- reading an image --- */

/* Maps the image in FD, which is the userdb's from now on (closed even on failure). NULL, with the reason in
 * *WHY (static), if it is not a sealed image of this program. Constant time; each look-up checks the bounds of
 * what it reads. */
struct userdb *userdb_open_fd(int fd, const char **why);
/* Unmaps, closes, empties *DB (which may be NULL). */
void userdb_close(struct userdb **db);
/* The descriptor, still owned by DB: to pass the image to a worker as the old one. */
int userdb_fd(const struct userdb *db);
/* Number of accounts, broken ones included; bytes of the image. */
uint64_t userdb_count(const struct userdb *db);
/* A hash that no password matches, of the scheme and cost that most accounts use: for unknown names. Lives as
 * long as DB. DB may be NULL (crypt(3)'s default then). */
const char *userdb_dummy_hash(const struct userdb *db);

/* The record of NAME (exact bytes) into OUT, made by account_init(): hash is <service>pw, else systempw, else "";
 * hmac has what there is of <service>-hmac-<hash>pw, else hmac-<hash>pw.
 * AUTH_OK, AUTH_UNKNOWN, AUTH_TRY_LATER (the account's line is broken), AUTH_BROKEN (the image is damaged).
 * DB may be NULL (nothing loaded yet): AUTH_TRY_LATER. MIN_UID is the caller's to check. */
enum auth_result userdb_lookup(const struct userdb *db, const char *service, const char *name, struct account *out);
/* Calls FN for every account, in the order of the files. As of auth_driver.enumerate. */
bool userdb_each(const struct userdb *db, auth_account_fn *fn, void *arg, struct str *why);
/* Where NAME's record comes from, "FILE:LINE" into DST, with " (kept from an earlier state of the file)" if so;
 * "" if there is none. Returns DST. For tools. */
const char *userdb_origin(const struct userdb *db, const char *name, char *dst, size_t size);

/* --- building one --- */

enum userdb_status {
	USERDB_BUILT,   /* a new image; the report may still list bad lines */
	USERDB_MISSING, /* the file is not there or cannot be read: keep the old image, if any */
	USERDB_CHANGED, /* it changed while being read: call userdb_watch_again() */
	USERDB_EMPTY,   /* refused: there is nothing in a file, not even a comment; keep the old image, if any */
	USERDB_CUT,     /* refused: a file is half written or damaged; keep the old image, if any */
	USERDB_SHRUNK,  /* refused: too many accounts are gone; keep the old image */
	USERDB_FAILED   /* no image could be made (memory, size) */
};

struct userdb_report {
	enum userdb_status status;
	uint64_t entries;    /* accounts in the new image, all kinds */
	uint64_t broken;     /* lines without a usable record (AUTH_TRY_LATER): of these, or nobody knows whose */
	uint64_t kept;       /* of these: bad lines that kept the old record */
	uint64_t duplicates; /* lines left out because the name was there before */
	uint64_t lost;       /* accounts of the old image that are in no file any more */
	uint64_t bytes;      /* of the new image */
	uint32_t files;
	/* Lines for the log, at most USERDB_REPORT_TEXT_MAX bytes; cut with a count of the rest. */
	struct str text;
};

enum { USERDB_REPORT_TEXT_MAX = 16 * 1024 };

/* An all-empty report. */
void userdb_report_init(struct userdb_report *rep);
void userdb_report_fini(struct userdb_report *rep);
/* "ok", "missing", ...: for status. */
const char *userdb_status_name(enum userdb_status s);
/* Logs the report: its text line by line as warnings, then one line of figures. */
void userdb_report_log(const struct userdb_report *rep, const char *path);

/* Reads the file or directory PATH and builds an image into *FD_OUT (the caller's, close-on-exec; -1 unless
 * USERDB_BUILT). OLD is the present image or NULL; it stays as it is, and counts only if it was read from the
 * same PATH: another path is another set of accounts. SHRINK_PERCENT 100: never refuse. REP was made by
 * userdb_report_init(). Takes seconds for a million accounts: for an auth worker. */
enum userdb_status userdb_build(const char *path, const struct userdb *old, unsigned shrink_percent,
    struct userdb_report *rep, int *fd_out);

/* For `waypost check`: reads PATH as a node that starts now would, and appends what is wrong with it to OUT, in
 * lines. False: a node would not take it. An empty one is a warning only, as one that is not there: not everything
 * is installed yet. FN is called with ARG for every account that a node would have. */
bool userdb_check(const char *path, struct str *out, auth_account_fn *fn, void *arg);

/* --- noticing changes --- */

/* When to read again, decided from stat() alone. All members are private. */
struct userdb_watch {
	bool looked, started, pending;
	uint64_t taken, seen; /* what the path looked like when it was taken, and at the last poll */
	uint64_t taken_file, seen_file;
	double since; /* when `seen` was first seen */
	double first; /* the first poll */
};

void userdb_watch_init(struct userdb_watch *w);
/* Looks at PATH at time NOW (seconds, any clock that does not jump): call about once a second.
 * 1: read it now: once the path looks different from what was taken and either another file was renamed into place,
 * or nothing has changed for a second; a path that went away or came back counts as a change. At first: at once,
 * unless it was written to within the last second; then once it is at rest, or after five seconds. 0: nothing to do.
 * It counts as taken then, whatever comes of it. */
int userdb_watch_poll(struct userdb_watch *w, const char *path, double now);
/* It has not been loaded yet. */
bool userdb_watch_waits(const struct userdb_watch *w);
/* The reading found it changing: take it again once it is at rest. */
void userdb_watch_again(struct userdb_watch *w);

#endif
