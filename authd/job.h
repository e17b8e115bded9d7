/* Jobs of authd for its auth workers: everything that may block or take long. One job at a time per worker.
 *
 *   JOB      u32 id, u8 kind, then by kind                      JOB_DONE   u32 id, u8 kind, u8 result, then by kind
 *   HASH         str password, str hash                             -
 *   SCRAM        str password, str hash                             str text
 *   USERDB_LOAD  str path, u8 shrink percent [old image's fd]       u8 status, u64 x 6, u32 files, str text
 *                                                                   [new image's fd]
 *   KEEP         [the new content]                                  -
 *   LOOKUP       u8 from, u16 avoid, str service, str user          u8 answered, u8 pos, u64 age, account,
 *   VERIFY       as LOOKUP, str password, net_addr client,          settings, news; VERIFY as LOOKUP
 *                u64 since, u8 only shared
 *
 * Both ends are our code, but both check everything. */
#ifndef AUTHD_JOB_H
#define AUTHD_JOB_H

#include "authd/lacking.h"
#include "authlib/dirnews.h"
#include "authlib/userdb.h"
#include "lib/net.h"
#include "settings/settings.h"

enum job_kind {
	JOB_HASH = 1,    /* password_check() */
	JOB_USERDB_LOAD, /* userdb_build() */
	JOB_LOOKUP,      /* auth_chain_ask() of the drivers that may wait, without a password */
	JOB_VERIFY,      /* the same with one */
	JOB_SCRAM,       /* scram_secret_derive() */
	JOB_KEEP         /* pool_file_write(): which file that is, the auth worker knows */
};

#define JOB_SINCE_NOW UINT64_MAX

enum { JOB_SERVICE_MAX = 32, JOB_TEXT_MAX = USERDB_REPORT_TEXT_MAX + LACKING_TEXT_MAX };

/* A job. Strings are owned and never NULL; only those of the kind matter. */
struct job {
	uint32_t id;
	enum job_kind kind;
	char *password; /* HASH, SCRAM, VERIFY; wiped when freed */
	char *hash;     /* HASH; SCRAM: a stored secret, whose keys do not matter; wiped when freed */
	char *path;     /* USERDB_LOAD */
	uint8_t shrink_percent;
	bool with_image; /* USERDB_LOAD: the current image comes along; without it nothing must be treated as new */
	uint8_t from;    /* LOOKUP, VERIFY: position in the chain to begin at */
	/* LOOKUP, VERIFY: a bit for each position that is known to be down: reaching one ends the search with
	 * AUTH_TRY_LATER. */
	uint16_t avoid;
	char *service, *user;
	struct net_addr client; /* VERIFY; family 0: not known */
	/* VERIFY: verdicts shared by the nodes of the pool count if they are newer than this (unix seconds);
	 * JOB_SINCE_NOW: query the directory itself. */
	uint64_t since;
	bool only_shared; /* VERIFY: the directory is known to be down; do not wait for it */
};

/* An answer. Strings are owned and never NULL. */
struct job_done {
	uint32_t id;
	enum job_kind kind;
	/* HASH, LOOKUP, VERIFY: the verdict. USERDB_LOAD: AUTH_OK if there is a new image; KEEP: if it was written. */
	enum auth_result result;
	char *text; /* SCRAM: the secret with its keys; wiped when freed */
	/* USERDB_LOAD; the new image is the message's descriptor */
	struct userdb_report report;
	/* LOOKUP, VERIFY */
	bool answered; /* false: driver `pos` is an inline one, ask it and what follows in the loop */
	uint8_t pos;   /* the driver that gave the verdict */
	uint64_t age;  /* seconds since it did; 0 unless the verdict was shared by a node of the pool */
	struct account account;
	uint8_t settings[SETTINGS_DIGEST_LEN]; /* of the directories, which the worker used */
	struct dirnews news;
};

/* The query of J (a LOOKUP or a VERIFY); lives as long as J. */
struct auth_question job_question(const struct job *j);
void job_init(struct job *j, uint32_t id, enum job_kind kind);
void job_fini(struct job *j);
/* Reads a whole message of type JOB, to its end. J is valid and to be freed with job_fini() in any case; false
 * if the message is bad. */
bool job_read(struct msgr *r, struct job *j);

void job_done_init(struct job_done *d, uint32_t id, enum job_kind kind);
void job_done_fini(struct job_done *d);
void job_done_write(struct msgw *w, const struct job_done *d);
/* As job_read(), for type JOB_DONE. */
bool job_done_read(struct msgr *r, struct job_done *d);

/* The kind of the job that was written into W. */
enum job_kind job_kind_of(const struct msgw *w);

/* For authd: each writes a whole message into W; send it with the descriptor that belongs to it. */
void job_write_hash(struct msgw *w, uint32_t id, const char *password, const char *hash);
void job_write_scram(struct msgw *w, uint32_t id, const char *password, const char *hash);
void job_write_userdb_load(struct msgw *w, uint32_t id, const char *path, unsigned shrink_percent, bool with_image);
void job_write_keep(struct msgw *w, uint32_t id);
void job_write_lookup(struct msgw *w, uint32_t id, const struct auth_question *q, unsigned from, unsigned avoid);
void job_write_verify(struct msgw *w, uint32_t id, const struct auth_question *q, unsigned from, unsigned avoid,
    uint64_t since, bool only_shared);

#endif
