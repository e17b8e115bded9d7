/* The userdb: accounts in a text file (or a directory tree of such files) in Courier's format,
 *
 *     name TAB field=value|field=value|...
 *
 * packed by userdb_build() into an immutable image in a sealed memory file. An auth worker builds it and passes
 * the descriptor; authd maps it and finds a name in about a microsecond. Nothing is compiled by hand.
 *
 * An edit must never cause a wrong-password reply:
 * - for a bad line, the last good record of its account in the old image is kept; if there is none, the account is
 *   recorded as broken and gives AUTH_TRY_LATER;
 * - a line without a readable name may be of any account: while there is one, unknown names give AUTH_TRY_LATER, and
 *   records of the old image are kept;
 * - a file without a newline at its end is half written, one with NUL bytes or an empty one may be left by a power
 *   failure: the whole build is refused;
 * - so it is if a file has lost more than SHRINK percent of its accounts, or all of them, or if that much of all
 *   passwords is gone;
 * - of several lines with one name the first counts.
 * Each such event is a line in the report with file, line, and what to do.
 *
 * Fields: home (absolute), uid, gid: required, uid 0 and gid 0 are refused; mail, quota, gecos, options; passwords:
 * imappw, pop3pw, systempw, others ending in pw are kept for later. Others are ignored, as are lines that are
 * blank, begin with '#', or are reverse records ("1001=" TAB name). */
#ifndef AUTHLIB_USERDB_H
#define AUTHLIB_USERDB_H

#include "authlib/auth.h"

struct userdb;

/* --- reading an image --- */

/* Maps the image in FD, which the userdb then owns (closed even on failure). NULL, with the reason in *WHY (static), if
 * it is not a sealed image of this program. Takes constant time; each lookup checks the bounds of what it reads. */
struct userdb *userdb_open_fd(int fd, const char **why);
/* Unmaps and closes *DB (which may be NULL) and sets it to NULL. */
void userdb_close(struct userdb **db);
/* DB was made from the file or directory at PATH (of that name, whatever is in it). */
bool userdb_is_of(const struct userdb *db, const char *path);
/* The descriptor, still owned by DB: to pass the image to a worker as the old one. */
int userdb_fd(const struct userdb *db);
/* Number of accounts, broken ones included; bytes of the image. */
uint64_t userdb_count(const struct userdb *db);
/* A hash that no password matches, of the scheme and cost that most accounts use: for unknown names. Lives as
 * long as DB. DB may be NULL (crypt(3)'s default then). */
const char *userdb_dummy_hash(const struct userdb *db);

/* The record of NAME (exact bytes) into OUT, made by account_init(): hash is <service>pw, else systempw, else ""; hmac
 * has the existing <service>-hmac-<hash>pw, else hmac-<hash>pw. AUTH_OK, AUTH_UNKNOWN, AUTH_TRY_LATER (the account's
 * line is broken), AUTH_BROKEN (the image is damaged). DB may be NULL (nothing loaded yet): AUTH_TRY_LATER. The caller
 * checks MIN_UID. */
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
	USERDB_EMPTY,   /* refused: a file is empty, without even a comment; keep the old image, if any */
	USERDB_CUT,     /* refused: a file is half written or damaged; keep the old image, if any */
	USERDB_SHRUNK,  /* refused: too many accounts are gone; keep the old image */
	USERDB_FAILED   /* no image could be made (memory, size) */
};

struct userdb_report {
	enum userdb_status status;
	uint64_t entries;    /* accounts in the new image, all kinds */
	uint64_t broken;     /* lines without a usable record (AUTH_TRY_LATER), including those without a name */
	uint64_t kept;       /* of these: bad lines that kept the old record */
	uint64_t duplicates; /* lines skipped because the name occurred before */
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
 * USERDB_BUILT). OLD is the current image or NULL; it is not changed, and used only if it was read from the same PATH:
 * another path is another set of accounts. SHRINK_PERCENT 100: never refuse. REP was made by userdb_report_init().
 * Takes seconds for a million accounts: for an auth worker. */
enum userdb_status userdb_build(const char *path, const struct userdb *old, unsigned shrink_percent,
    struct userdb_report *rep, int *fd_out);

/* For `waypost check`: reads PATH like a node at its start, and appends lines about errors to OUT. False: a node would
 * refuse it. An empty or missing one is only a warning: the installation may be incomplete. USE is called with
 * ARG and what a node would have, if it can be made; DB is valid until it returns. */
typedef void userdb_use_fn(void *arg, const struct userdb *db);
bool userdb_check(const char *path, struct str *out, userdb_use_fn *use, void *arg);

/* --- noticing changes --- */

/* Decides from stat() alone when to read again. All members are private. */
struct userdb_watch {
	bool looked, started, pending;
	uint64_t taken, seen; /* stamps of the path when it was last read, and at the last poll */
	uint64_t taken_file, seen_file;
	double since; /* when `seen` was first seen */
	double first; /* the first poll */
};

void userdb_watch_init(struct userdb_watch *w);
/* Checks PATH at time NOW (seconds, any clock that does not jump); call it about once a second. Returns 1 if PATH
 * should be read now: it differs from the last time it was read, and either another file was renamed into place, or it
 * has not changed for a second; a path that went away or came back counts as changed. The first time: at once, unless
 * it was written to within the last second; then when it has come to rest, or after five seconds. After 1 it counts as
 * read, whatever the result. 0: nothing to do. */
int userdb_watch_poll(struct userdb_watch *w, const char *path, double now);
/* It was not loaded yet. */
bool userdb_watch_waits(const struct userdb_watch *w);
/* It changed while it was read: read it again when it has come to rest. */
void userdb_watch_again(struct userdb_watch *w);

#endif
