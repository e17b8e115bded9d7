# authlib/: who may log in. Drivers, hashes, the userdb.
noinst_LIBRARIES += authlib/libauth.a
authlib_libauth_a_SOURCES = \
	authlib/auth.c authlib/auth.h \
	authlib/child.c authlib/child.h \
	authlib/courier.c authlib/courier.h \
	authlib/courierdir.c authlib/courierdir.h \
	authlib/directory.c authlib/directory.h \
	authlib/dirnews.c authlib/dirnews.h \
	authlib/drv_authdaemon.c authlib/drv_authdaemon.h \
	authlib/drv_authpipe.c authlib/drv_authpipe.h \
	authlib/drv_userdb.c authlib/drv_userdb.h \
	authlib/hmac_state.c authlib/hmac_state.h \
	authlib/ldapquery.c authlib/ldapquery.h \
	authlib/module.c authlib/module.h \
	authlib/password.c authlib/password.h authlib/password_kind.h \
	authlib/password_argon2.c \
	authlib/password_crypt.c \
	authlib/password_pbkdf2.c \
	authlib/record.c authlib/record.h \
	authlib/scram_secret.c authlib/scram_secret.h \
	authlib/sqldir.c authlib/sqldir.h \
	authlib/sqlquery.c authlib/sqlquery.h \
	authlib/userdb.c authlib/userdb.h authlib/userdb_image.h \
	authlib/userdb_build.c \
	authlib/userdb_parse.c \
	authlib/userdb_report.c \
	authlib/userdb_watch.c \
	authlib/userdb_writer.c authlib/userdb_writer.h
# Drivers whose library was found: modules, loaded by auth workers only (authlib/module.h). What they use of lib/,
# settings/ and node/ is the program's.
if WITH_LDAP
pkglibexec_PROGRAMS += authlib/authldap.so
authlib_authldap_so_SOURCES = authlib/drv_ldap.c authlib/directory.c authlib/ldapquery.c authlib/record.c
authlib_authldap_so_CFLAGS = $(AM_CFLAGS) -fPIC
authlib_authldap_so_LDFLAGS = $(AM_LDFLAGS) -shared
authlib_authldap_so_LDADD = $(LDAP_LIBS)
endif
if WITH_MYSQL
pkglibexec_PROGRAMS += authlib/authmysql.so
authlib_authmysql_so_SOURCES = authlib/drv_mysql.c authlib/directory.c authlib/record.c authlib/sqldir.c authlib/sqlquery.c
authlib_authmysql_so_CFLAGS = $(AM_CFLAGS) -fPIC
authlib_authmysql_so_LDFLAGS = $(AM_LDFLAGS) -shared
authlib_authmysql_so_LDADD = $(MYSQL_LIBS)
endif
if WITH_PGSQL
pkglibexec_PROGRAMS += authlib/authpgsql.so
authlib_authpgsql_so_SOURCES = authlib/drv_pgsql.c authlib/directory.c authlib/record.c authlib/sqldir.c authlib/sqlquery.c
authlib_authpgsql_so_CFLAGS = $(AM_CFLAGS) -fPIC
authlib_authpgsql_so_LDFLAGS = $(AM_LDFLAGS) -shared
authlib_authpgsql_so_LDADD = $(PGSQL_LIBS)
endif
if WITH_SQLITE
pkglibexec_PROGRAMS += authlib/authsqlite.so
authlib_authsqlite_so_SOURCES = authlib/drv_sqlite.c authlib/directory.c authlib/record.c authlib/sqldir.c authlib/sqlquery.c
authlib_authsqlite_so_CFLAGS = $(AM_CFLAGS) -fPIC
authlib_authsqlite_so_LDFLAGS = $(AM_LDFLAGS) -shared
authlib_authsqlite_so_LDADD = $(SQLITE_LIBS)
endif
if WITH_PAM
pkglibexec_PROGRAMS += authlib/authpam.so
authlib_authpam_so_SOURCES = authlib/drv_pam.c authlib/child.c authlib/directory.c authlib/record.c
authlib_authpam_so_CFLAGS = $(AM_CFLAGS) -fPIC
authlib_authpam_so_LDFLAGS = $(AM_LDFLAGS) -shared
authlib_authpam_so_LDADD = $(PAM_LIBS)
endif
AUTHLIB_LIBS = authlib/libauth.a $(NODE_LIBS) $(CRYPT_LIBS)
EXTRA_DIST += authlib/README
