/* The driver "authuserdb": looks accounts up in the image that it is given (auth_chain_use_image()). Never waits.
 * Who watches the file and has the image built is authd's business. */
#ifndef AUTHLIB_DRV_USERDB_H
#define AUTHLIB_DRV_USERDB_H

#include "authlib/auth.h"

extern const struct auth_driver drv_userdb;

#endif
