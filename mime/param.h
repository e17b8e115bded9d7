/* Parameters of Content-Type and Content-Disposition, with sections joined (RFC 2231 section 3): name*0, name*1 become
 * "name"; if a section is extended (name*0*), "name*" with a value of the form charset'language'%41. */
#ifndef MIME_PARAM_H
#define MIME_PARAM_H

#include "mime/ctype.h"

enum { MIME_PARAMS_MAX = 1000 }; /* of one field, each section counted; further ones are left out */

struct mime_param {
	struct str name, value;
};
/* In the order of the field; a joined parameter has the place of its section 0. */
struct mime_params {
	struct mime_param *v;
	size_t n;
};

/* Reads the parameters of a field value, skipping its first word or type. Of two sections with the same number the
 * first counts. Sections after a gap, and those without a section 0, are returned as they are. Free *P with
 * mime_params_fini(). */
void mime_params_read(struct mime_params *p, const struct mime_text *value);
void mime_params_fini(struct mime_params *p);
/* The parameter called NAME of a field value, in whatever form: its text in OUT (emptied first), with %41 decoded and
 * the charset ignored. The plain form is preferred to the extended one. False if there is none. */
bool mime_param_find(const struct mime_text *value, const char *name, struct str *out);

#endif
