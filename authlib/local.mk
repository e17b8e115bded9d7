# authlib/: who may log in. Drivers, hashes, the userdb.
noinst_LIBRARIES += authlib/libauth.a
authlib_libauth_a_SOURCES = \
	authlib/auth.c authlib/auth.h \
	authlib/directory.c authlib/directory.h \
	authlib/drv_userdb.c authlib/drv_userdb.h \
	authlib/hmac_state.c authlib/hmac_state.h \
	authlib/ldapquery.c authlib/ldapquery.h \
	authlib/password.c authlib/password.h \
	authlib/record.c authlib/record.h \
	authlib/sqldir.c authlib/sqldir.h \
	authlib/sqlquery.c authlib/sqlquery.h \
	authlib/userdb.c authlib/userdb.h authlib/userdb_image.h \
	authlib/userdb_build.c \
	authlib/userdb_parse.c \
	authlib/userdb_report.c \
	authlib/userdb_watch.c \
	authlib/userdb_writer.c authlib/userdb_writer.h
# Drivers whose library was found.
if WITH_LDAP
authlib_libauth_a_SOURCES += authlib/drv_ldap.c authlib/drv_ldap.h
endif
if WITH_MYSQL
authlib_libauth_a_SOURCES += authlib/drv_mysql.c authlib/drv_mysql.h
endif
if WITH_PGSQL
authlib_libauth_a_SOURCES += authlib/drv_pgsql.c authlib/drv_pgsql.h
endif
AUTHLIB_LIBS = authlib/libauth.a $(NODE_LIBS) $(CRYPT_LIBS) $(LDAP_LIBS) $(MYSQL_LIBS) $(PGSQL_LIBS)
EXTRA_DIST += authlib/README
