# keyd/: the process that holds private keys.
noinst_LIBRARIES += keyd/libkeyd.a
keyd_libkeyd_a_SOURCES = \
	keyd/keyd.c keyd/keyd.h \
	keyd/keyring.c keyd/keyring.h \
	keyd/ocsp.c keyd/ocsp.h
KEYD_LIBS = keyd/libkeyd.a $(NODE_LIBS) $(LIB_LIBS)
EXTRA_DIST += keyd/README
