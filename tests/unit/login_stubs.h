/* A login without worker and socket, to feed its dialect with bytes. */
#ifndef TESTS_LOGIN_STUBS_H
#define TESTS_LOGIN_STUBS_H

#include <string.h>

#include "lib/mem.h"
#include "login/login.h"

/* With which clients can begin TLS, never used here; NULL: there is no certificate. */
extern SSL_CTX *login_stub_tls;

void login_stub_init(struct login *l, const struct login_dialect *d, const struct settings *set);
void login_stub_fini(struct login *l);
/* Feeds the LEN bytes at P to the dialect, STEP more of them at a time, and appends its replies to LOG, and the
 * credentials that it finds as <method|user|password>. If it asks for a challenge, that is <1.2@n>. Ends at goodbye. */
void login_stub_feed(struct login *l, const char *p, size_t len, size_t step, struct str *log);

#endif
