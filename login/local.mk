# login/: a client's connection until it is handed on; the login worker.
noinst_LIBRARIES += login/liblogin.a
login_liblogin_a_SOURCES = \
	login/access.c login/access.h \
	login/authd_link.c login/authd_link.h \
	login/acceptor.c login/acceptor.h \
	login/certificate.c login/certificate.h \
	login/certificates.c login/certificates.h \
	login/client_tls.c login/client_tls.h \
	login/client_reply.c login/client_reply.h \
	login/credentials.c login/credentials.h \
	login/client_certs.c login/client_certs.h \
	login/external.c login/external.h \
	login/exchange.c login/exchange.h \
	login/failure.c login/failure.h \
	login/header_wait.c login/header_wait.h \
	login/http_request.c login/http_request.h \
	login/key_client.c login/key_client.h \
	login/login.c login/login.h login/login_env.h \
	login/forwarded_text.c login/forwarded_text.h \
	login/login_sasl.c login/login_sasl.h \
	login/node_mark.c login/node_mark.h \
	login/peer_login.c login/peer_login.h \
	login/relayed.c login/relayed.h \
	login/relays.c login/relays.h \
	login/request_table.c login/request_table.h \
	login/spawn_link.c login/spawn_link.h \
	login/stranger_limits.c login/stranger_limits.h \
	login/strangers.c login/strangers.h \
	login/tls_peers.c login/tls_peers.h \
	login/worker.c login/worker.h
LOGIN_LIBS = login/liblogin.a $(TLS_LIBS) $(AUTHD_LIBS)
EXTRA_DIST += login/README
