# authd/: the process that knows the accounts, the sessions of this node and its peers; its auth workers.
noinst_LIBRARIES += authd/libauthd.a
authd_libauthd_a_SOURCES = \
	authd/admit.c authd/admit.h \
	authd/authd.c authd/authd.h authd/authd_private.h \
	authd/authworker.c authd/authworker.h \
	authd/cache.c authd/cache.h \
	authd/challenges.c authd/challenges.h \
	authd/directory_health.c authd/directory_health.h \
	authd/external.c authd/external.h \
	authd/guesses.c authd/guesses.h \
	authd/hold.c authd/hold.h \
	authd/identify.c authd/identify.h \
	authd/job.c authd/job.h \
	authd/jobs.c authd/jobs.h \
	authd/lacking.c authd/lacking.h \
	authd/troubles.c authd/troubles.h \
	authd/challenge_response.c authd/challenge_response.h \
	authd/memcached.c authd/memcached_text.c authd/memcached_text.h \
	authd/orders.c authd/orders.h \
	authd/outage.h \
	authd/peers.c authd/peers.h \
	authd/pool_capability.c authd/pool_capability.h \
	authd/pool_file.c authd/pool_file.h \
	authd/directory_lookup.c authd/directory_lookup.h \
	authd/register.c authd/register.h \
	authd/request.c authd/request.h \
	authd/resolver.c authd/resolver.h \
	authd/routing.c authd/routing.h \
	authd/same_nodes.c authd/same_nodes.h \
	authd/scram.c authd/scram.h \
	authd/peer_ports.c authd/peer_ports.h \
	authd/service.c \
	authd/sessions.c authd/sessions.h \
	authd/shared.c authd/shared.h authd/store.h \
	authd/signature_errors.c authd/signature_errors.h \
	authd/ticket_keys.c authd/ticket_keys.h \
	authd/turns.c authd/turns.h \
	authd/used_tokens.c authd/used_tokens.h \
	authd/control_replies.c \
	authd/verify.c authd/verify.h
# SCRAM logins: a module, loaded by authd only if they are turned on (authd/scram.h). What it uses of lib/ and authlib/ is
# the program's.
if WITH_GSASL
pkglibexec_PROGRAMS += authd/scram.so
authd_scram_so_SOURCES = authd/scram_gsasl.c
authd_scram_so_CFLAGS = $(AM_CFLAGS) $(GSASL_CFLAGS) -fPIC
authd_scram_so_LDFLAGS = $(AM_LDFLAGS) -shared
authd_scram_so_LDADD = $(GSASL_LIBS)
endif
AUTHD_LIBS = authd/libauthd.a $(PROXY_LIBS) $(AUTHLIB_LIBS)
EXTRA_DIST += authd/README
