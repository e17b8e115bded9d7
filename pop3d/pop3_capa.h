/* What POP3 on this node can do (RFC 2449): one list for both sides of login. */
#ifndef POP3D_POP3_CAPA_H
#define POP3D_POP3_CAPA_H

#include "settings/settings.h"

/* Appends the lines of the CAPA reply between its "+OK" line and its ".", each with CRLF. BEFORE_LOGIN: with what is
 * only of use there (SASL, USER). The login dialect adds what depends on TLS (STLS). */
void pop3_capa(struct str *out, const struct settings *set, bool before_login);

#endif
