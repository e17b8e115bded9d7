/* The driver "authuserdb": looks accounts up in the image that this process holds. Never waits.
 * Who watches the file and has the image built is authd's business. */
#ifndef AUTHLIB_DRV_USERDB_H
#define AUTHLIB_DRV_USERDB_H

#include "authlib/auth.h"

struct userdb;

extern const struct auth_driver drv_userdb;

/* Puts DB (owned by the driver from now on; NULL: none) in the place of the present image, which is closed. */
void drv_userdb_use(struct userdb *db);
/* The present image, or NULL while none was loaded: every look-up is AUTH_TRY_LATER then. */
const struct userdb *drv_userdb_current(void);

#endif
