/* A settings file while it is being read: shared by the files that read it and that check it. */
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

/* Reads FILE into L (which need not be set up): mistakes go to ERRORS, what is odd to WARNINGS. True if there was no
 * mistake. Free with settings_load_fini() in any case. */
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

/* Checks what concerns several settings, or the system; also reads the pool secret. */
void settings_rules(struct settings_load *l);
/* Nodes that forward logins have no common secret: reports it to OUT. A mistake when a pool is set up, but only a
 * warning for a running daemon. */
void settings_rules_no_secret(struct settings_load *l, struct str *out);
/* Checks the settings that the directory of driver MODULE needs; false if MODULE is not such a driver. */
bool settings_rules_directory(struct settings_load *l, const char *module);

/* The file or folder PATH exists, and the user that looks up accounts can read it. */
bool settings_auth_reads(const struct settings_load *l, const char *path);
/* The setting at offset MEMBER, called LABEL, is a secret: checks that its file is readable only by those who need
 * it. */
void settings_rules_secret(struct settings_load *l, size_t member, const char *label);
/* Checks NAME as a login mechanism that LABEL (at LINE) lists for PROTOCOL: is it known, and can the accounts use it?
 * *SAID (0 at first, one for each list) prevents repeated warnings. */
void settings_rules_mechanism(struct settings_load *l, enum protocol protocol, unsigned line, const char *label,
    const char *name, unsigned *said);

#endif
