/* The driver "authdaemon": a client of a running authdaemond of Courier's. */
#ifndef AUTHLIB_DRV_AUTHDAEMON_H
#define AUTHLIB_DRV_AUTHDAEMON_H

#include "authlib/auth.h"

extern const struct auth_driver drv_authdaemon;

#endif
