# node/: what the processes of a node share: settings, messages, roles, account and session records.
noinst_LIBRARIES += node/libnode.a
node_libnode_a_SOURCES = \
	node/account.c node/account.h \
	node/priv.c node/priv.h \
	node/role.c node/role.h \
	node/session.c node/session.h \
	node/settings.c node/settings.h node/settings_tbl.h \
	node/settings_rows.h \
	node/settings_value.c \
	node/wire.h
NODE_LIBS = node/libnode.a $(LIBCONFIG_LIBS) $(LIB_LIBS)
