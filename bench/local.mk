# bench/: measurements, built and run by hand: make bench/NAME, or scripts/bench
EXTRA_PROGRAMS += bench/userdb_load bench/load bench/backend bench/relay
bench_userdb_load_SOURCES = bench/userdb_load.c
bench_userdb_load_LDADD = $(AUTHLIB_LIBS)
bench_load_SOURCES = bench/load.c bench/client_tls.c bench/client_tls.h bench/wire.c bench/wire.h
bench_load_LDADD = $(LIB_LIBS) $(SSL_LIBS)
bench_backend_SOURCES = bench/backend.c bench/wire.c bench/wire.h
bench_backend_LDADD = $(LIB_LIBS)
bench_relay_SOURCES = bench/relay.c bench/wire.c bench/wire.h
bench_relay_LDADD = $(LIB_LIBS)
EXTRA_DIST += bench/README bench/run.py bench/report.py bench/system.py bench/packages.py bench/certificates.py \
	bench/peers/__init__.py bench/peers/floor.py bench/peers/haproxy.py bench/peers/nginx.py bench/peers/dovecot.py \
	bench/peers/perdition.py bench/peers/courier.py bench/peers/imapproxy.py bench/peers/mail.py bench/peers/waypost.py \
	bench/peers/drivers.py
# What an index would cost in other stores: needs liblmdb-dev and libsqlite3-dev, which nothing else does.
EXTRA_PROGRAMS += bench/index_store
bench_index_store_SOURCES = bench/index_store.c
bench_index_store_LDADD = $(MAILDIR_LIBS) -llmdb -lsqlite3
