/* authldap: accounts in an LDAP directory, with the settings of Courier's authldaprc. Waits: for auth workers. */
#ifndef AUTHLIB_DRV_LDAP_H
#define AUTHLIB_DRV_LDAP_H

#include "authlib/auth.h"

extern const struct auth_driver drv_ldap;

#endif
