# lib/: bytes, sockets, log, messages between processes. Knows no mail.
noinst_LIBRARIES += lib/liblib.a
lib_liblib_a_SOURCES = \
	lib/base.h \
	lib/b64.c lib/b64.h \
	lib/bio.c lib/bio.h \
	lib/chan.c lib/chan.h \
	lib/clock.c lib/clock.h \
	lib/conn.c lib/conn.h \
	lib/die.c lib/die.h \
	lib/fd.c lib/fd.h \
	lib/hex.c lib/hex.h \
	lib/landlock.c lib/landlock.h \
	lib/log.c lib/log.h \
	lib/loop.c lib/loop.h \
	lib/mac.c lib/mac.h \
	lib/mem.c lib/mem.h \
	lib/msg.c lib/msg.h \
	lib/net.c lib/net.h \
	lib/num.c lib/num.h \
	lib/program.c lib/program.h \
	lib/proxy_header.c lib/proxy_header.h \
	lib/race.c lib/race.h \
	lib/rnd.c lib/rnd.h \
	lib/seal.c lib/seal.h \
	lib/str.c lib/str.h \
	lib/text.c lib/text.h \
	lib/tls_cert.c lib/tls_cert.h \
	lib/tls_scheme.c lib/tls_scheme.h \
	lib/tls_cert_name.c lib/tls_cert_name.h \
	lib/tls_issuers.c lib/tls_issuers.h \
	lib/tls_ticket_keys.c lib/tls_ticket_keys.h \
	lib/tls_lists.c lib/tls_lists.h \
	lib/tls_trust.c lib/tls_trust.h \
	lib/utf8.c lib/utf8.h
LIB_LIBS = lib/liblib.a $(UNISTRING_LIBS) $(EV_LIBS) $(CRYPTO_LIBS)
# TLS: only who speaks it is linked with libssl.
noinst_LIBRARIES += lib/libtls.a
lib_libtls_a_SOURCES = \
	lib/conn_tls.c lib/conn_tls.h \
	lib/tls_choice.c lib/tls_choice.h \
	lib/tls_ctx.c lib/tls_ctx.h \
	lib/tls_hello.c lib/tls_hello.h \
	lib/tls_key.c lib/tls_key.h \
	lib/tls_tickets.c lib/tls_tickets.h
TLS_LIBS = lib/libtls.a $(SSL_LIBS)
EXTRA_DIST += lib/README
