# authlib/: who may log in. Drivers, hashes, the userdb.
noinst_LIBRARIES += authlib/libauth.a
authlib_libauth_a_SOURCES = \
	authlib/auth.c authlib/auth.h \
	authlib/drv_userdb.c authlib/drv_userdb.h \
	authlib/hmac_state.c authlib/hmac_state.h \
	authlib/password.c authlib/password.h \
	authlib/userdb.c authlib/userdb.h authlib/userdb_image.h \
	authlib/userdb_build.c \
	authlib/userdb_parse.c \
	authlib/userdb_report.c \
	authlib/userdb_watch.c \
	authlib/userdb_writer.c authlib/userdb_writer.h
AUTHLIB_LIBS = authlib/libauth.a $(NODE_LIBS) $(CRYPT_LIBS)
EXTRA_DIST += authlib/README
