# node/: what the processes of a node share: settings, messages, roles, account and session records.
noinst_LIBRARIES += node/libnode.a
node_libnode_a_SOURCES = \
	node/account.c node/account.h \
	node/clause.c node/clause.h \
	node/hop_check.c node/hop_check.h \
	node/limits.c node/limits.h \
	node/priv.c node/priv.h \
	node/role.c node/role.h \
	node/session.c node/session.h \
	node/settings.c node/settings.h node/settings_tbl.h \
	node/settings_rows.h \
	node/settings_check.c \
	node/settings_doc.c node/settings_doc.h \
	node/settings_known.c \
	node/settings_load.c node/settings_load.h \
	node/settings_names.c \
	node/settings_read.c node/settings_read.h \
	node/settings_ports.c \
	node/settings_rules.c \
	node/settings_rules_dir.c \
	node/settings_rules_mech.c \
	node/settings_scan.c \
	node/settings_text.c node/settings_text.h \
	node/settings_value.c \
	node/pool_secret.c node/pool_secret.h \
	node/work.c node/work.h \
	node/wire.h
NODE_LIBS = node/libnode.a $(LIBCONFIG_LIBS) $(SECCOMP_LIBS) $(LIB_LIBS)
EXTRA_DIST += node/README
