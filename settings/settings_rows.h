/* The table of settings as data, for the files of this folder that read, check and print settings. */
#ifndef SETTINGS_ROWS_H
#define SETTINGS_ROWS_H

#include "settings/settings.h"

enum settings_type {
	SETTINGS_T_STR,
	SETTINGS_T_PATH,
	SETTINGS_T_LIST,
	SETTINGS_T_ADDR,
	SETTINGS_T_PORTS,
	SETTINGS_T_PORTMAP,
	SETTINGS_T_OCTAL,
	SETTINGS_T_WORD,
	SETTINGS_T_INT,
	SETTINGS_T_BOOL,
	SETTINGS_T_SIZE,
	SETTINGS_T_TIME,
};

struct settings_row {
	const char *group; /* as in the member's name: "imapd_ssl", "node" */
	const char *name;
	enum settings_type type;
	size_t offset;   /* in struct settings */
	const char *def; /* as one would write it */
	int64_t least, most;
	const char *unit;
	unsigned roles;
	const char *text;
};

#define SETTINGS_ONE(...) +1
enum { SETTINGS_ROW_COUNT = 0 SETTINGS_TABLE(SETTINGS_ONE) };
#undef SETTINGS_ONE

/* All rows in the table's order, ended by a NULL name. */
extern const struct settings_row settings_rows[SETTINGS_ROW_COUNT + 1];

/* The status of a name of Courier that has no effect here. */
enum settings_status {
	SETTINGS_REPLACED, /* text: by what */
	SETTINGS_IGNORED,  /* text: why */
	SETTINGS_LATER,    /* text: what is not in this version */
	SETTINGS_UNSAFE,   /* as LATER, and an error if enabled, because ignoring it would do harm */
	SETTINGS_REFUSED   /* as REPLACED, and an error if enabled, because ignoring it would do harm */
};

struct settings_known {
	const char *group; /* as in struct settings_row */
	const char *name;  /* a '*' at the end stands for anything */
	enum settings_status status;
	const char *off; /* words that mean "switched off" besides "", 0, no and the like */
	const char *text;
};

/* Ended by a NULL name. */
extern const struct settings_known settings_known[];

/* The group as the file writes it: "imapd-ssl"; "" for "node". Returns BUF (SETTINGS_GROUP_MAX bytes). */
enum { SETTINGS_GROUP_MAX = 32 };
const char *settings_group_name(const char *group, char buf[SETTINGS_GROUP_MAX]);
/* The known entry of GROUP that NAME falls under, or NULL. */
const struct settings_known *settings_known_find(const char *group, const char *name);
/* The row GROUP.NAME, or NULL; AUTHSERVICE followed by a port finds AUTHSERVICE. */
const struct settings_row *settings_row_find(const char *group, const char *name);
/* True if the file may have a group of this name (as in struct settings_row). */
bool settings_is_group(const char *group);

/* Values of this type are strings in struct settings. */
bool settings_is_text(enum settings_type type);
/* Where S keeps the string of ROW. */
char **settings_text_at(struct settings *s, const struct settings_row *row);
/* The number (0 or 1 for BOOL) that S has for ROW, and how to set it. */
int64_t settings_number(const struct settings *s, const struct settings_row *row);
void settings_set_number(struct settings *s, const struct settings_row *row, int64_t v);

/* Parses TEXT as a number of TYPE: "5G" for SIZE, "10m" for TIME, "yes" for BOOL. False if it is invalid or overflows;
 * `least` and `most` are not checked. */
bool settings_parse_number(enum settings_type type, const char *text, int64_t *out);

#endif
