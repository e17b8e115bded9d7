/* Answers that come later because of wrong passwords: for how long, and the logins that wait meanwhile (REQUEST_HELD).
 * The check itself is not put off: only afterwards is known what else was tried meanwhile. A right password waits as
 * long as a wrong one would, so that nobody learns anything by leaving early, and is never refused, except when
 * HOLD_ACCOUNT_MAX right ones wait already. */
#ifndef AUTHD_HOLD_H
#define AUTHD_HOLD_H

#include "authd/request.h"

enum {
	HOLD_MOST = 15,        /* seconds */
	HOLD_ACCOUNT_MAX = 100 /* right logins of one account that wait; only who has its password can reach that */
};

/* RQ has the wrong credentials: counts them. Returns the delay of the refusal, ms. */
uint32_t hold_wrong(struct request *rq);
/* RQ has the right ones: the state that follows, NEXT, REQUEST_HELD, or REQUEST_REFUSE. Once for each request; later it
 * is NEXT. */
enum request_state hold_right(struct request *rq, enum request_state next);
/* The login of RQ, which may have been held, is complete. */
void hold_over(struct request *rq);
/* Lets the requests go on that were held until NOW. To be called each second. */
void hold_release(struct authd *a, double now);

#endif
