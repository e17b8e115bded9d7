/* Parameters of Content-Type and Content-Disposition with those that came in sections put together (RFC 2231 section
 * 3): name*0, name*1 become "name"; if a section is extended (name*0*), "name*" with a value of the form
 * charset'language'%41. */
#ifndef MIME_PARAM_H
#define MIME_PARAM_H

#include "mime/ctype.h"

enum { MIME_PARAMS_MAX = 1000 }; /* of one field, sections counted; what comes behind them is left out */

struct mime_param {
	struct str name, value;
};
/* In the order of the field; a parameter of sections stands where its section 0 stands. */
struct mime_params {
	struct mime_param *v;
	size_t n;
};

/* Reads the parameters of a field value, whose first word or type is skipped. Of two sections with one number the first
 * counts. Sections behind a gap, and those without a section 0, are handed out as they stand. Free *P with
 * mime_params_fini(). */
void mime_params_read(struct mime_params *p, const struct mime_text *value);
void mime_params_fini(struct mime_params *p);
/* The parameter called NAME of a field value, in whatever form it came: its text in OUT (emptied first), a %41
 * decoded and the charset left aside. The plain form counts before the extended one. False if there is none. */
bool mime_param_find(const struct mime_text *value, const char *name, struct str *out);

#endif
