/* The driver "authpipe": a program of the site's own, as Courier's authpipe runs it. */
#ifndef AUTHLIB_DRV_AUTHPIPE_H
#define AUTHLIB_DRV_AUTHPIPE_H

#include "authlib/auth.h"

extern const struct auth_driver drv_authpipe;

#endif
