/* The table of settings as documentation: the sample file, the manual page, the list of Courier's names. */
#ifndef SETTINGS_DOC_H
#define SETTINGS_DOC_H

#include "lib/str.h"

/* etc/waypost.conf. A line that begins with # and a letter is a setting at its default, commented out; # and a blank
 * begin a comment. */
void settings_doc_sample(struct str *out);
/* waypost.conf(5), in man macros. */
void settings_doc_man(struct str *out);
/* doc/courier-settings.tsv: group, name, status, what it does here, default; one line per name of Courier. */
void settings_doc_tsv(struct str *out);

#endif
