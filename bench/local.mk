# bench/: measurements, built and run by hand: make bench/NAME
EXTRA_PROGRAMS += bench/userdb_load
bench_userdb_load_SOURCES = bench/userdb_load.c
bench_userdb_load_LDADD = $(AUTHLIB_LIBS)
