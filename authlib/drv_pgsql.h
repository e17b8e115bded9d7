/* authpgsql: accounts in PostgreSQL, with the settings of Courier's authpgsqlrc. Waits: for auth workers. */
#ifndef AUTHLIB_DRV_PGSQL_H
#define AUTHLIB_DRV_PGSQL_H

#include "authlib/auth.h"

extern const struct auth_driver drv_pgsql;

#endif
