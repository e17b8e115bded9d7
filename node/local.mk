# node/: what the processes of a node share: settings, messages, roles, account and session records.
noinst_LIBRARIES += node/libnode.a
node_libnode_a_SOURCES = \
	node/account.c node/account.h \
	node/priv.c node/priv.h \
	node/role.c node/role.h \
	node/session.c node/session.h \
	node/settings.h node/settings_tbl.h \
	node/wire.h
NODE_LIBS = node/libnode.a $(LIB_LIBS)
