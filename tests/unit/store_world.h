/* A Maildir for the tests of what faults leave behind, the changes that are made to it, and all that can be seen of it
 * as a text: after whatever happened to a change it says what it said before, or what it says after. */
#ifndef TESTS_STORE_WORLD_H
#define TESTS_STORE_WORLD_H

#include "maildir/md_box.h"

enum { WORLD_FOLDERS = 5, WORLD_MESSAGES = 10, WORLD_FIRST_TRACKED = 13, WORLD_TRACKED = 6 };

/* What a client knows that synchronises a folder: 0: nothing. */
struct world_synced {
	uint64_t highest;
	struct {
		uint32_t uid; /* 0: no such message */
		unsigned flags;
		uint64_t modseq;
	} of[WORLD_TRACKED]; /* by UID */
};

/* What was told to somebody: UIDVALIDITY of INBOX, To, Old, Plain and Tracked; UIDs of message K in INBOX and in To;
 * 0: none; sequences in Plain and in Tracked. */
struct world_told {
	uint32_t uidvalidity[WORLD_FOLDERS], uid[WORLD_MESSAGES], uid_in_to[WORLD_MESSAGES];
	uint32_t uids; /* all UIDs of INBOX up to this one */
	struct {
		struct world_synced first, latest; /* one client that has not asked since, and one that has */
	} synced[2];
	char id_of_to[MD_MAILBOX_ID_SIZE]; /* also of There, once it is renamed */
};

struct world {
	char dir[64];
	struct md_root root;
	bool cached;
	struct world_told told;
};

/* Makes one. Messages 1 to 7 are in INBOX, with UIDs that somebody knows, 11 in To, 12 in Old, 13 in Plain, which
 * has no list of UIDs yet, 14 to 17 in Tracked, which somebody synchronises; a folder There was deleted and had a
 * higher UIDVALIDITY; Old is subscribed; maildirsize is kept. CACHED: all clocks are ahead, so that caches are made
 * and believed at once, which costs some pauses. */
void world_begin(struct world *w, bool cached);
/* Makes W one of the Maildir DIR, which holds the same at another time. */
void world_at(struct world *w, const struct world *of, const char *dir);
void world_close(struct world *w);
/* Closes it and removes its files. */
void world_end(struct world *w);

enum settled {
	AS_BEFORE, /* refused: all is as it was */
	UNCERTAIN  /* refused: it may be done all the same, but may not be on disk */
};

struct change {
	const char *name;
	void (*prepare)(const struct world *w); /* what others do before, or NULL */
	enum md_err (*run)(struct world *w);
	enum settled refused;
};

extern const struct change changes[];
extern const size_t n_changes;

enum { CHANGES_MAX = 32 };

/* What can be seen of W, in new memory: folders, messages with UIDs, flags and keywords, subscriptions; and in
 * capitals what must never be. Mail is delivered before, with a name that sorts before all others: it must not get
 * a UID that was told. What caches say is compared with what is there without them. What others do meanwhile
 * (world_load()) is left out. */
char *world_seen(struct world *w);
/* What is seen before and after each change, if nothing goes wrong. */
void world_learn(char *before[CHANGES_MAX], char *after[CHANGES_MAX], bool cached);
/* To has the UIDVALIDITY that There is to have: a RENAME that was ended, or could not be undone, may have raised
 * it. UIDs stay what they are. */
#define WORLD_RAISED " raised"
/* Takes WHAT out of the text if it is there. */
void world_forget(char *text, const char *what);
/* One step of what another session does: it sets and removes \Draft, saves a message and deletes it. */
void world_load(struct world *w, unsigned step);

#endif
