# proxy/: routes, logins at peers, relaying bytes. Knows no protocol.
noinst_LIBRARIES += proxy/libproxy.a
proxy_libproxy_a_SOURCES = \
	proxy/backend.c proxy/backend.h \
	proxy/let_go.c proxy/let_go.h \
	proxy/relay.c proxy/relay.h \
	proxy/route.c proxy/route.h \
	proxy/source.c proxy/source.h
PROXY_LIBS = proxy/libproxy.a
EXTRA_DIST += proxy/README
