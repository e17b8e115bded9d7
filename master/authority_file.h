/* A file, or folder of files, with authorities: what of it is believed, and what there is to say about it, for log,
 * `waypost status` and `waypost check`.
 * What is there but of no use (half a copy) changes nothing. Who removes it, or empties it, wants nobody to be believed
 * any more. If a revocation list vanishes while its authority stays, that is a mistake: the one before stays. */
#ifndef MASTER_AUTHORITY_FILE_H
#define MASTER_AUTHORITY_FILE_H

#include "lib/tls_trust.h"

enum authority_state {
	AUTHORITIES_BELIEVED,
	AUTHORITIES_UNLISTED, /* believed, with a revocation list of before that is not there any more */
	AUTHORITIES_REFUSED,  /* something cannot be read or used */
	AUTHORITIES_GONE      /* it is not there, or has nothing */
};

/* What is there. Free it with authority_content_fini(). */
struct authority_content {
	struct str pem;          /* the certificates and revocation lists, and nothing else */
	struct tls_trust *trust; /* of PEM; NULL: nobody */
	bool has_key;            /* a private key stands there: a mistake, and in PEM it does not */
	struct str why;          /* unless BELIEVED: a phrase */
	bool short_of;           /* descriptors: it says nothing about the file */
};
/* Reads the file PATH, or all files in the folder PATH whose names do not begin with '.' or '#' or end in '~'. */
enum authority_state authority_read(const char *path, struct authority_content *c);
void authority_content_fini(struct authority_content *c);

/* Whether a list that is good from FROM until UNTIL (unix seconds) should have been renewed at NOW: 14 days before its
 * end, or when a quarter of its time is left, as some are good for days only. */
bool authority_list_ends_soon(int64_t from, int64_t until, int64_t now);

struct authority_file {
	const char *setting; /* its name */
	const char *whose;   /* certificates lead there: "client" or "peer" */
	char *path;          /* "": there is none */
	struct str pem;      /* what is believed now; "": nobody */
	/* private */
	struct tls_trust *trust; /* of the last PEM that was not "" */
	enum authority_state state;
	struct str why; /* unless BELIEVED */
	bool has_key;
	uint64_t taken, seen; /* stamps of the files */
	int64_t told;         /* unix seconds: the log was told of lists that end */
	unsigned told_lists;  /* so many */
};

/* F begins: zeroed, but for SETTING and WHOSE. Takes PATH ("": none) from now on, and reads it at once. What was
 * believed stays only if PATH is the same. True: F->pem has changed, or PATH. */
bool authority_file_set(struct authority_file *f, const char *path);
/* To be called every few seconds: reads it again if it has changed and is at rest, and logs what there is to say. NOW:
 * unix seconds. True: F->pem has changed. */
bool authority_file_look(struct authority_file *f, int64_t now);
void authority_file_fini(struct authority_file *f);

/* Adds lines of "status" about the N files at F, if any has a path. */
void authority_files_describe(const struct authority_file *f, unsigned n, struct str *out, int64_t now);

#endif
