/* The table of settings as data, for the files of this folder that read, check and print settings. */
#ifndef NODE_SETTINGS_ROWS_H
#define NODE_SETTINGS_ROWS_H

#include "node/settings.h"

enum settings_type {
	SETTINGS_T_STR, SETTINGS_T_PATH, SETTINGS_T_LIST, SETTINGS_T_ADDR, SETTINGS_T_PORTS, SETTINGS_T_PORTMAP,
	SETTINGS_T_OCTAL, SETTINGS_T_WORD, SETTINGS_T_INT, SETTINGS_T_BOOL, SETTINGS_T_SIZE, SETTINGS_T_TIME
};

struct settings_row {
	const char *group; /* as in the member's name: "imapd_ssl", "node" */
	const char *name;
	enum settings_type type;
	size_t offset;     /* in struct settings */
	const char *def;   /* as one would write it */
	int64_t least, most;
	const char *unit;
	unsigned roles;
	const char *text;
};

/* All rows in the table's order, ended by a NULL name. */
extern const struct settings_row settings_rows[];

/* Values of this type are strings in struct settings. */
bool settings_is_text(enum settings_type type);
/* Where S keeps the string of ROW. */
char **settings_text_at(struct settings *s, const struct settings_row *row);
/* The number (0 or 1 for BOOL) that S has for ROW, and how to set it. */
int64_t settings_number(const struct settings *s, const struct settings_row *row);
void settings_set_number(struct settings *s, const struct settings_row *row, int64_t v);

/* TEXT read as a number of TYPE: "5G" for SIZE, "10m" for TIME, "yes" for BOOL. False if it is none or does
 * not fit; least and most are not looked at. */
bool settings_parse_number(enum settings_type type, const char *text, int64_t *out);

#endif
