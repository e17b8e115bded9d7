# Build rules of master/.
# The warm parent of the session servers; its table of servers (master/spawn_table.c) belongs to the daemon.
noinst_LIBRARIES += master/libspawn.a
master_libspawn_a_SOURCES = \
	master/tickets.c master/tickets.h
