/* The table of settings as text for people: the sample file, the manual page, the list of Courier's names. */
#ifndef SETTINGS_DOC_H
#define SETTINGS_DOC_H

#include "lib/str.h"

/* etc/waypost.conf. A line that begins with # and a letter is a setting at its default, switched off; # and a
 * blank is a comment. */
void settings_doc_sample(struct str *out);
/* waypost.conf(5), in man macros. */
void settings_doc_man(struct str *out);
/* doc/courier-settings.tsv: group, name, status, what it does here, default; one line a name of Courier's. */
void settings_doc_tsv(struct str *out);

#endif
