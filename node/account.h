/* The record of an account: a driver of authlib finds it in the directory, authd keeps it and sends it to spawn. */
#ifndef NODE_ACCOUNT_H
#define NODE_ACCOUNT_H

#include "lib/msg.h"
#include "settings/options.h"

enum {
	ACCOUNT_NAME_MAX = 512,      /* bytes of a name with NUL; longer names are refused before any lookup */
	ACCOUNT_PASSWORD_MAX = 1024, /* bytes of a password with NUL */
	ACCOUNT_PATH_MAX = 4096,
	ACCOUNT_OPTIONS_MAX = 8192,
	ACCOUNT_HASH_MAX = 1024,
	ACCOUNT_HMAC_MAX = 512 /* bytes of an hmac member with NUL */
};

/* All strings are owned by the record and never NULL ("" where the directory has none). Empty ones may share one
 * address, so only the functions below may change or free a member. */
struct account {
	char *name;    /* canonical name (ADDRESS of Courier) */
	char *home;    /* absolute */
	char *maildir; /* absolute or relative to home; "" = MAILDIRPATH */
	char *quota;   /* Maildir++ quota string */
	char *fullname;
	char *options; /* comma-separated name=value, DEFAULTOPTIONS merged in */
	char *hash;    /* stored password hash; wiped when freed */
	char *clear;   /* stored clear-text password, where the directory has one; wiped when freed */
	/* HMAC states for CRAM logins without a clear password, as an option list: "md5=HEX,sha1=HEX,sha256=HEX", each
	 * in the format of authlib/hmac_state.h; wiped when freed. */
	char *hmac;
	uint32_t uid, gid;
};

/* An empty record: all strings "". */
void account_init(struct account *a);
/* Wipes and frees what the record owns. */
void account_fini(struct account *a);
/* Deep copy into TO (uninitialised before). */
void account_copy(struct account *to, const struct account *from);
/* Sets one of the string members to a copy of VALUE (NULL: ""), which may be in the record itself; the old text is
 * wiped. */
void account_set(char **member, const char *value);
/* The same with the LEN bytes at P (none of them NUL; P may be NULL if LEN is 0). */
void account_set_bytes(char **member, const void *p, size_t len);
/* The record as message fields, the secrets only if SECRETS (spawn gets none). */
void account_write(struct msgw *w, const struct account *a, bool secrets);
/* Reads what account_write() wrote; A is a valid record in any case, msgr_end() tells whether it was good. */
void account_read(struct msgr *r, struct account *a);

/* Adds each option of DEFAULTS whose name OPTIONS lacks; *OPTIONS (a record's, or freed by the caller) is then replaced
 * by a new string. */
void account_default_options(char **options, const char *defaults);

#endif
