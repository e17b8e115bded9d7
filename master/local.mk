# Build rules of master/.
# The warm parent of the session servers; its table of servers (master/spawn_table.c) belongs to the daemon.
noinst_LIBRARIES += master/libspawn.a
master_libspawn_a_SOURCES = \
	master/sandbox.c master/sandbox.h \
	master/keeper.c master/keeper.h \
	master/kick.c master/kick.h \
	master/servers.c master/servers.h \
	master/figures.c master/figures.h \
	master/programs.c master/programs.h \
	master/spawn.c master/spawn.h \
	master/spawn_child.c master/spawn_child.h \
	master/tickets.c master/tickets.h

# The daemon. What has no part in starting processes stands in a library, for the unit tests.
noinst_LIBRARIES += master/libmaster.a
master_libmaster_a_SOURCES = \
	master/peer_command.c master/peer_command.h \
	master/authority_file.c master/authority_file.h \
	master/backoff.c master/backoff.h \
	master/cert_files.c master/cert_files.h \
	master/cert_news.c master/cert_news.h \
	master/counts.c master/counts.h \
	master/listen.c master/listen.h \
	master/log_allowance.c master/log_allowance.h \
	master/log_sessions.c master/log_sessions.h \
	master/logfile.c master/logfile.h \
	master/logline.c master/logline.h \
	master/report.c master/report.h \
	master/role_env.c master/role_env.h \
	master/watch.c master/watch.h
sbin_PROGRAMS += sbin/waypostd
bin_PROGRAMS += bin/waypost
sbin_waypostd_SOURCES = \
	master/authorities.c master/authorities.h \
	master/channels.c master/channels.h \
	master/children.c master/master.h \
	master/control.c \
	master/keys.c master/keys.h \
	master/missing.c master/missing.h \
	master/notify.c master/notify.h \
	master/reload.c \
	master/roles.c master/roles.h \
	master/slots.c master/slots.h \
	master/spawn_table.c \
	master/watchdog.c master/watchdog.h \
	master/waypostd.c
# Auth workers load modules, which use what the program has.
sbin_waypostd_LDFLAGS = $(AM_LDFLAGS) -Wl,--export-dynamic
sbin_waypostd_LDADD = master/libmaster.a master/libspawn.a imapd/libimap.a pop3d/libpop3d.a keyd/libkeyd.a \
	maildir/libmaildir.a $(MIME_LIBS) $(LOGIN_LIBS)

# The operator's tool.
# It loads drivers' modules as auth workers do; which functions of lib/, settings/ and node/ these use is not known before.
bin_waypost_SOURCES = master/waypost.c master/check_accounts.c master/check_accounts.h master/check_certs.c master/check_certs.h \
	master/enumerate.c master/enumerate.h
bin_waypost_LDFLAGS = $(AM_LDFLAGS) -Wl,--export-dynamic -Wl,--whole-archive,node/libnode.a,settings/libsettings.a,lib/liblib.a,--no-whole-archive
bin_waypost_LDADD = master/libmaster.a keyd/libkeyd.a $(TLS_LIBS) $(AUTHD_LIBS)
EXTRA_DIST += master/README
