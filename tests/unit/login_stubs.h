/* A login without a worker and without a socket, to feed its dialect with bytes. */
#ifndef TESTS_LOGIN_STUBS_H
#define TESTS_LOGIN_STUBS_H

#include <string.h>

#include "lib/mem.h"
#include "login/login.h"

void login_stub_init(struct login *l, const struct login_dialect *d, const struct settings *set);
void login_stub_fini(struct login *l);
/* Gives the LEN bytes at P to the dialect, STEP more of them at a time, and appends to LOG what it answers and
 * the credentials it finds, as <method|user|password>; the challenge that it may want is <1.2@n>. Ends at goodbye. */
void login_stub_feed(struct login *l, const char *p, size_t len, size_t step, struct str *log);

#endif
