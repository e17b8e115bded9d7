/* The driver "authuserdb": looks accounts up in the image that it is given (auth_chain_use_image()). Never waits. authd
 * watches the file and has the image built. */
#ifndef AUTHLIB_DRV_USERDB_H
#define AUTHLIB_DRV_USERDB_H

#include "authlib/auth.h"

extern const struct auth_driver drv_userdb;

#endif
