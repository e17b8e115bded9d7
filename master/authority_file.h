/* A file, or folder of files, with authorities: what of it is believed, and what there is to say about it, for log,
 * `waypost status` and `waypost check`.
 * What is there but of no use (half a copy) changes nothing. Who removes it, or empties it, wants nobody to be believed
 * any more. If a revocation list vanishes while its authority stays, or an older one takes its place, that is a
 * mistake: the one before stays. */
#ifndef MASTER_AUTHORITY_FILE_H
#define MASTER_AUTHORITY_FILE_H

#include "lib/tls_trust.h"

enum authority_state {
	AUTHORITIES_BELIEVED,
	AUTHORITIES_UNLISTED, /* believed, with a revocation list of before: it is not there any more, or older */
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

enum authority_end { AUTHORITY_GOOD, AUTHORITY_ENDS, AUTHORITY_ENDED };
/* What there is to say at NOW of AUTHORITY's certificate, or (IS_LIST) revocation list, that is good from FROM until
 * UNTIL (all unix seconds), as a phrase in TEXT unless it is GOOD. It ENDS 14 days before its end, or when a quarter of
 * its time is left, as some lists are good for days only. */
enum authority_end authority_end(bool is_list, const X509_NAME *authority, int64_t from, int64_t until, int64_t now,
    struct str *text);

struct authority_file {
	const char *setting; /* its name */
	const char *whose;   /* certificates lead there: "client" or "peer" */
	bool is_ours;        /* else the machine's: who looks after that sees to it that authorities do not end */
	char *path;
	struct str pem; /* what is believed now; "": nobody */
	/* private */
	struct tls_trust *trust; /* of the last PEM that was not "" */
	enum authority_state state;
	struct str why; /* unless BELIEVED */
	bool has_key;
	uint64_t taken, seen; /* stamps of the files */
	int64_t told;         /* unix seconds: the log was told of what ends */
	unsigned told_ends;   /* so much */
};

/* The file that this machine has of authorities; "": none. */
const char *authority_file_systems(void);
/* Reads PATH at once. The texts but PATH stay the caller's. */
struct authority_file *authority_file_new(const char *setting, const char *whose, const char *path, bool is_ours);
void authority_file_free(struct authority_file **f);
/* To be called every few seconds: reads it again if it has changed and is at rest, and logs what there is to say. NOW:
 * unix seconds. True: F->pem has changed. */
bool authority_file_look(struct authority_file *f, int64_t now);

/* Where in F file number I stands for the first time. */
unsigned authority_file_first(struct authority_file *const *f, unsigned i);
/* Adds lines of "status" about the N files at F, some of which may be NULL, or the same, if there is any. */
void authority_files_describe(struct authority_file *const *f, unsigned n, struct str *out, int64_t now);

#endif
