/* A settings file while it is being read: shared by the files that read it and that judge what it says. */
#ifndef SETTINGS_LOAD_H
#define SETTINGS_LOAD_H

#include "settings/settings_rows.h"
#include "settings/settings_text.h"

struct settings_load {
	struct settings_text text;
	struct settings *set;                  /* defaults until a value is read */
	struct str *errors, *warnings;         /* of the caller */
	unsigned row_line[SETTINGS_ROW_COUNT]; /* line of the text that sets the row; 0: it has its default */
	unsigned ssl_line[PROTOCOL_COUNT];     /* of the -ssl groups */
	char hostname[256];
	char *proxy_hostname; /* what ${PROXY_HOSTNAME} stands for */
};

/* Reads FILE into L (which need not be set up): every mistake to ERRORS, what is odd to WARNINGS. True if there
 * was no mistake. Free with settings_load_fini() in any case. */
bool settings_load_begin(struct settings_load *l, const char *file, struct str *errors, struct str *warnings);
/* The same for the LEN bytes at P, which are called FILE. */
bool settings_load_bytes(struct settings_load *l, const char *file, const char *p, size_t len, struct str *errors,
    struct str *warnings);
void settings_load_fini(struct settings_load *l);
/* The line that sets the member of struct settings at OFFSET, or 0. */
unsigned settings_load_line(const struct settings_load *l, size_t offset);
/* The same for the setting NAME of GROUP, which must be one of the table. */
unsigned settings_load_line_of(const struct settings_load *l, const char *group, const char *name);
#define SETTINGS_LINE(l, member) settings_load_line((l), offsetof(struct settings, member))

/* What concerns several settings, or the system around them; also reads the pool secret. */
void settings_rules(struct settings_load *l);
/* Nodes that forward logins have no secret in common: told to OUT. A mistake for who sets up a pool, a warning for a
 * daemon that is to serve on. */
void settings_rules_no_secret(struct settings_load *l, struct str *out);
/* What the directory that the driver MODULE asks needs of the settings; false if MODULE is no such driver. */
bool settings_rules_directory(struct settings_load *l, const char *module);

/* The file or folder PATH is there, and the user that looks up accounts may read it. */
bool settings_auth_reads(const struct settings_load *l, const char *path);
/* The setting at offset MEMBER, called LABEL, is a secret: its file may be read by those who need it only. */
void settings_rules_secret(struct settings_load *l, size_t member, const char *label);
/* NAME as a login mechanism, which LABEL (at LINE) lists for PROTOCOL: known, and of use for the accounts.
 * *SAID (0 at first, then one for each list) keeps a warning from being said twice. */
void settings_rules_mechanism(struct settings_load *l, enum protocol protocol, unsigned line, const char *label,
    const char *name, unsigned *said);

#endif
