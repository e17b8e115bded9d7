/* What POP3 on this node can do (RFC 2449): one list for both sides of login. */
#ifndef POP3D_POP3_CAPA_H
#define POP3D_POP3_CAPA_H

#include "lib/str.h"

/* Appends the lines of the CAPA reply between its "+OK" line and its ".", each with CRLF: those of NAMES (settings/
 * capability.h). MECHANISMS is a list such as POP3AUTH, if the client can log in now: with what is only of use then
 * (SASL, USER); else NULL. The login dialect
 * adds what depends on TLS (STLS). */
void pop3_capa(struct str *out, const char *names, const char *mechanisms);

#endif
