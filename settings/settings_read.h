/* Reads one setting of the file: its value, or a message about its name. */
#ifndef SETTINGS_READ_H
#define SETTINGS_READ_H

#include <libconfig.h>

#include "settings/settings_load.h"

/* "imapd.PORT", or "RUNDIR" at the top level. Returns BUF. */
enum { SETTINGS_LABEL_MAX = 160 };
const char *settings_label(char buf[SETTINGS_LABEL_MAX], const char *group, const char *name);
/* The value E as text, ${NAME} replaced in its strings, lists joined by SEPARATOR (0: lists are refused), appended to
 * OUT. False with a sentence in WHY. */
bool settings_value_text(const struct settings_load *l, const config_setting_t *e, char separator, struct str *out,
    struct str *why);
/* Takes E, which the file calls NAME, as the value of ROW; a mistake is reported. */
void settings_read_row(struct settings_load *l, const struct settings_row *row, const char *name,
    const config_setting_t *e);
/* Reports what happens to E, a setting described by K. */
void settings_read_known(struct settings_load *l, const struct settings_known *k, const char *name,
    const config_setting_t *e);
/* Reports that GROUP has no setting NAME, with the nearest one. */
void settings_unknown(struct settings_load *l, const char *group, const char *name, const config_setting_t *e);
/* P is an address (also in brackets), or consists of characters of a host name and does not end in a number. */
bool settings_is_host(const char *p);

#endif
