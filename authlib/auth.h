/* Accounts and passwords: the drivers, and the chain in which they are tried. A driver finds the record of a name; most
 * leave the password to auth_check(), some (of directories that check it themselves) have their own verify(). Drivers
 * never word a reply to the client; of the client's input they only get name and password, both of limited length and
 * without control characters (node/account.h). To add one: write drv_x.c with a `const struct auth_driver`, and name it
 * in the table of auth.c. */
#ifndef AUTHLIB_AUTH_H
#define AUTHLIB_AUTH_H

#include "lib/net.h"
#include "node/account.h"

struct settings;
struct userdb;

/* The verdict. The client can distinguish only three: OK; "wrong name or password", the same in words and time, for
 * MISMATCH, UNKNOWN and DISABLED; a temporary failure for TRY_LATER and BROKEN. */
enum auth_result {
	AUTH_OK,        /* the account exists; with a password: it is correct */
	AUTH_MISMATCH,  /* the password is wrong */
	AUTH_UNKNOWN,   /* no such account: the next driver is tried */
	AUTH_DISABLED,  /* the account is there, but locked or without a password */
	AUTH_TRY_LATER, /* no verdict now: the directory is down, or the record cannot be read yet */
	AUTH_BROKEN,    /* no verdict until somebody repairs something: an unknown hash scheme, a damaged record */
	AUTH_RESULT_COUNT
};

/* A query for an account: the same from authd's loop (authd/directory_lookup.h) through the auth worker's job
 * (authd/job.h) to the driver. It owns nothing. */
struct auth_question {
	const char *service; /* "imap", "pop3", or what AUTHSERVICE makes of it */
	const char *user;    /* with its domain */
	/* To be checked. NULL: only the record is wanted, with what is stored of the password. */
	const char *password;
	struct net_addr client; /* address of the client; family 0: not known, or the operator's tool */
};

/* One account of a list. WHY NULL: A is the record as lookup() has it, without passwords. WHY not NULL: the account
 * exists, but its record cannot be used, for this reason (a sentence about "its ..."); A has only the name, and not
 * even that if the name is what is wrong. Return false to stop the list. */
typedef bool auth_account_fn(void *arg, const struct account *a, const char *why);

enum {
	AUTH_DRIVER_INLINE = 1, /* its lookup never blocks: it runs in authd's loop, all others in auth workers */
	AUTH_DRIVER_CLIENT = 2, /* the client's address may change its verdict; a module says so in auth.c */
	/* Only the check of a password shows whether it works: lookup() is answered without what checks them. A module
	 * says so in auth.c. */
	AUTH_DRIVER_CHECKS = 4
};

struct auth_driver {
	const char *name; /* as in authmodulelist */
	unsigned flags;
	/* Prepares the driver in this process; SET outlives its use. *CTX is passed to the other functions (may be
	 * NULL). False, with the reason and what to do in ERROR, if the settings cannot work. Must not wait: that a
	 * directory is down is noticed at the lookup. NULL: nothing to do. */
	bool (*init)(const struct settings *set, void **ctx, struct str *error);
	void (*fini)(void *ctx);
	/* The record of Q's account, whatever its password. OUT has been made by account_init(); it is filled if the
	 * result is AUTH_OK. */
	enum auth_result (*lookup)(void *ctx, const struct auth_question *q, struct account *out);
	/* As lookup(), and checks Q's password, which is not NULL. The client's address is for directories that check
	 * or log it. NULL: lookup() and auth_check() are used. */
	enum auth_result (*verify)(void *ctx, const struct auth_question *q, struct account *out);
	/* Calls FN for every account of the directory as they arrive, without keeping a million of them in memory.
	 * True: these were all. False: some are missing; the reason, and what to do, is in WHY, which is empty if FN
	 * stopped the list. May take minutes, but ends if the server says nothing for AUTH_LIST_SILENCE_MS. NULL: the
	 * directory cannot be listed. */
	bool (*enumerate)(void *ctx, auth_account_fn *fn, void *arg, struct str *why);
	/* For a driver whose directory is an image that this process has mapped: it is DB (the caller's, who keeps it
	 * until the next call; NULL: there is none yet, and every lookup is AUTH_TRY_LATER). NULL: the driver uses
	 * none. */
	void (*use_image)(void *ctx, const struct userdb *db);
	/* Where NAME's record comes from ("FILE:LINE") into DST; "" if it is not there. Returns DST. NULL: there is
	 * no such place. */
	const char *(*origin)(void *ctx, const char *name, char *dst, size_t size);
};

enum { AUTH_LIST_SILENCE_MS = 60 * 1000 };

/* The driver of that name, or NULL. */
const struct auth_driver *auth_driver_find(const char *name);

/* Checks PASSWORD against the record's hash, or if there is none against its clear password; AUTH_DISABLED if it has
 * neither. May take a second of CPU: see password_is_slow(). */
enum auth_result auth_check(const struct account *a, const char *password);

/* The account's password, if its directory has it in clear ({PLAIN} hashes too), in DST, which the caller wipes. */
bool auth_clear_password(const struct account *a, char dst[ACCOUNT_PASSWORD_MAX]);

/* Which drivers of a chain a process runs. A chain may mix both kinds in any order: the two sides then pass the query
 * back and forth, with its position. */
enum auth_side {
	AUTH_SIDE_LOOP,   /* those with AUTH_DRIVER_INLINE */
	AUTH_SIDE_WORKER, /* the others */
	AUTH_SIDE_TOOL    /* all, in a program that is not a role of the daemon */
};

struct auth_chain;

enum { AUTH_CHAIN_MAX = 16 }; /* drivers in one */

/* The drivers named in MODULES (blanks or commas between them), in that order; those of SIDE are made ready.
 * NULL, with one line per mistake in ERRORS, if a name is unknown or named twice, a driver refuses, or none is
 * named. Free with auth_chain_free(). */
struct auth_chain *auth_chain_new(const char *modules, enum auth_side side, const struct settings *set,
    struct str *errors);
void auth_chain_free(struct auth_chain **c);
/* One of its drivers has AUTH_DRIVER_CLIENT. */
bool auth_chain_uses_client(const struct auth_chain *c);
/* Name of the driver at POS; "" after the last. */
const char *auth_chain_name(const struct auth_chain *c, unsigned pos);
/* The driver at POS has AUTH_DRIVER_CHECKS. */
bool auth_chain_checks(const struct auth_chain *c, unsigned pos);
/* MODULES, as for auth_chain_new(), name DRIVER. */
bool auth_modules_have(const char *modules, const char *driver);
/* One of its drivers of this side looks accounts up in an image. */
bool auth_chain_uses_image(const struct auth_chain *c);
/* DB is that image from now on; see auth_driver.use_image. */
void auth_chain_use_image(struct auth_chain *c, const struct userdb *db);
/* As auth_driver.origin, of the driver at POS. */
const char *auth_chain_origin(const struct auth_chain *c, unsigned pos, const char *name, char *dst, size_t size);
/* A hash that no password matches, as slow to check as most of those in the image; without one as slow as crypt(3)'s
 * usual ones. Lives until the next auth_chain_use_image(). */
const char *auth_chain_dummy_hash(const struct auth_chain *c);

/* From now on drivers whose bit is in POSITIONS are not queried: reaching one is AUTH_TRY_LATER. They are known to be
 * down, so waiting for them is useless. */
void auth_chain_avoid(struct auth_chain *c, unsigned positions);

/* Queries the drivers from number *POS on (0 at first) until one returns anything but AUTH_UNKNOWN. True: *RESULT is
 * the verdict (AUTH_UNKNOWN: all said so), *POS is the driver that gave it. Without a password AUTH_OK means that the
 * account exists, and OUT (initialised by the caller) is filled; with one, that it is right, and OUT is also filled for
 * AUTH_MISMATCH if the driver only looked the account up. Checking the password of an unknown name takes as long as for
 * an account seen before, whatever its hash. False: the driver *POS belongs to the other side; continue there, from
 * *POS on. */
bool auth_chain_ask(struct auth_chain *c, unsigned *pos, const struct auth_question *q, enum auth_result *result,
    struct account *out);

/* All accounts of the driver at POS, which is of this side (see auth_driver.enumerate). */
bool auth_chain_enumerate(struct auth_chain *c, unsigned pos, auth_account_fn *fn, void *arg, struct str *why);

#endif
