/* The text of a settings file with its included files, as one text for the parser, with the origin of each line. Here
 * mistakes are found that libconfig would misread or stop at: it reads 022 as 22, wraps large numbers, and lets strings
 * run over lines and comments to the end of the file. */
#ifndef SETTINGS_TEXT_H
#define SETTINGS_TEXT_H

#include "lib/str.h"

struct settings_text {
	struct str text; /* whole lines */
	struct settings_line {
		unsigned file, line;
	} * lines; /* of each line of text, from 0 */
	size_t nlines;
	/* Names as the user would give them; [0] is the main one. */
	char **files;
	size_t nfiles;
};

/* Reads FILE and what it includes (relative to the including file); mistakes are appended to ERRORS, and what they
 * affect is left out. T need not be set up; free it with settings_text_fini() in any case. */
void settings_text_load(struct settings_text *t, const char *file, struct str *errors);
/* As settings_text_load(), the main file's bytes being the LEN at P. */
void settings_text_from(struct settings_text *t, const char *file, const char *p, size_t len, struct str *errors);
void settings_text_fini(struct settings_text *t);
/* Finds what libconfig misreads or stops at: appends all of it to ERRORS and blanks the settings concerned, so that the
 * others can still be read and checked. */
void settings_scan(struct settings_text *t, struct str *errors);
/* Appends "FILE:LINE: text\n" to OUT for LINE of T's text (from 1; 0: "FILE: text\n"). Bytes that are not
 * printable become dots. */
void settings_report(struct str *out, const struct settings_text *t, unsigned line, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

#endif
