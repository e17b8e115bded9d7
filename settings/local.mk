# settings/: the configuration file: its table, how it is read, judged and told to the roles.
noinst_LIBRARIES += settings/libsettings.a
settings_libsettings_a_SOURCES = \
	settings/access_file.c settings/access_file.h \
	settings/capability.c settings/capability.h \
	settings/clause.c settings/clause.h \
	settings/limits.c settings/limits.h \
	settings/local_server.c settings/local_server.h \
	settings/options.c settings/options.h \
	settings/peer_header.c settings/peer_header.h settings/peer_hosts.c settings/peer_hosts.h \
	settings/peer_orders.c settings/peer_orders.h \
	settings/peer_tls.c settings/peer_tls.h \
	settings/pool_secret.c settings/pool_secret.h \
	settings/protocol.c settings/protocol.h \
	settings/replicated.c settings/replicated.h \
	settings/settings.c settings/settings.h settings/settings_tbl.h \
	settings/settings_rows.h \
	settings/settings_check.c \
	settings/settings_doc.c settings/settings_doc.h \
	settings/settings_known.c \
	settings/settings_load.c settings/settings_load.h \
	settings/settings_names.c \
	settings/settings_read.c settings/settings_read.h \
	settings/settings_ports.c \
	settings/settings_rules.c \
	settings/settings_rules_dir.c \
	settings/settings_rules_mech.c \
	settings/settings_same.c settings/settings_same.h \
	settings/settings_scan.c \
	settings/settings_tls.c settings/settings_tls.h \
	settings/settings_text.c settings/settings_text.h \
	settings/settings_user.c \
	settings/settings_value.c \
	settings/withheld.c settings/withheld.h
SETTINGS_LIBS = settings/libsettings.a $(LIBCONFIG_LIBS) $(TLS_LIBS) $(LIB_LIBS)
EXTRA_DIST += settings/README
