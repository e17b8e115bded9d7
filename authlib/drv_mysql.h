/* authmysql: accounts in MySQL or MariaDB, with the settings of Courier's authmysqlrc. Waits: for auth workers. */
#ifndef AUTHLIB_DRV_MYSQL_H
#define AUTHLIB_DRV_MYSQL_H

#include "authlib/auth.h"

extern const struct auth_driver drv_mysql;

#endif
