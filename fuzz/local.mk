# Build rules of fuzz/: one target per parser; configure with CC=clang --enable-fuzzers.
if FUZZERS
noinst_PROGRAMS += fuzz/fuzz_pop3
fuzz_fuzz_pop3_SOURCES = fuzz/fuzz_pop3.c
fuzz_fuzz_pop3_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_pop3_LDADD = pop3d/libpop3d.a $(LIB_LIBS)
noinst_PROGRAMS += fuzz/fuzz_key
fuzz_fuzz_key_SOURCES = fuzz/fuzz_key.c
fuzz_fuzz_key_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_key_LDADD = $(NODE_LIBS)
noinst_PROGRAMS += fuzz/fuzz_tls_choice
fuzz_fuzz_tls_choice_SOURCES = fuzz/fuzz_tls_choice.c
fuzz_fuzz_tls_choice_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_tls_choice_LDADD = $(TLS_LIBS) $(LIB_LIBS)
noinst_PROGRAMS += fuzz/fuzz_client_cert
fuzz_fuzz_client_cert_SOURCES = fuzz/fuzz_client_cert.c
fuzz_fuzz_client_cert_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_client_cert_LDADD = $(TLS_LIBS) $(LIB_LIBS)
noinst_PROGRAMS += fuzz/fuzz_tls_hello
fuzz_fuzz_tls_hello_SOURCES = fuzz/fuzz_tls_hello.c
fuzz_fuzz_tls_hello_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_tls_hello_LDADD = $(TLS_LIBS) $(LIB_LIBS)
noinst_PROGRAMS += fuzz/fuzz_tls
fuzz_fuzz_tls_SOURCES = fuzz/fuzz_tls.c
fuzz_fuzz_tls_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_tls_LDADD = $(TLS_LIBS) $(LIB_LIBS)
noinst_PROGRAMS += fuzz/fuzz_chan
fuzz_fuzz_chan_SOURCES = fuzz/fuzz_chan.c
fuzz_fuzz_chan_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_chan_LDADD = $(LIB_LIBS)
noinst_PROGRAMS += fuzz/fuzz_route
fuzz_fuzz_route_SOURCES = fuzz/fuzz_route.c
fuzz_fuzz_route_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_route_LDADD = $(PROXY_LIBS) $(LIB_LIBS)
noinst_PROGRAMS += fuzz/fuzz_proxy_header
fuzz_fuzz_proxy_header_SOURCES = fuzz/fuzz_proxy_header.c
fuzz_fuzz_proxy_header_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_proxy_header_LDADD = $(LIB_LIBS)
noinst_PROGRAMS += fuzz/fuzz_memcached
fuzz_fuzz_memcached_SOURCES = fuzz/fuzz_memcached.c
fuzz_fuzz_memcached_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_memcached_LDADD = $(AUTHD_LIBS)
noinst_PROGRAMS += fuzz/fuzz_capability
fuzz_fuzz_capability_SOURCES = fuzz/fuzz_capability.c
fuzz_fuzz_capability_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_capability_LDADD = $(AUTHD_LIBS)
noinst_PROGRAMS += fuzz/fuzz_courier
fuzz_fuzz_courier_SOURCES = fuzz/fuzz_courier.c
fuzz_fuzz_courier_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_courier_LDADD = $(AUTHLIB_LIBS)
noinst_PROGRAMS += fuzz/fuzz_directory
fuzz_fuzz_directory_SOURCES = fuzz/fuzz_directory.c
fuzz_fuzz_directory_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_directory_LDADD = $(AUTHLIB_LIBS)
noinst_PROGRAMS += fuzz/fuzz_md
fuzz_fuzz_md_SOURCES = fuzz/fuzz_md.c
fuzz_fuzz_md_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_md_LDADD = $(MAILDIR_LIBS)
noinst_PROGRAMS += fuzz/fuzz_md_cache
fuzz_fuzz_md_cache_SOURCES = fuzz/fuzz_md_cache.c
fuzz_fuzz_md_cache_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_md_cache_LDADD = $(MAILDIR_LIBS)
noinst_PROGRAMS += fuzz/fuzz_md_parsed
fuzz_fuzz_md_parsed_SOURCES = fuzz/fuzz_md_parsed.c
fuzz_fuzz_md_parsed_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_md_parsed_LDADD = $(IMAP_LIBS)
noinst_PROGRAMS += fuzz/fuzz_md_state
fuzz_fuzz_md_state_SOURCES = fuzz/fuzz_md_state.c
fuzz_fuzz_md_state_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_md_state_LDADD = $(MAILDIR_LIBS)
noinst_PROGRAMS += fuzz/fuzz_settings
fuzz_fuzz_settings_SOURCES = fuzz/fuzz_settings.c
fuzz_fuzz_settings_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_settings_LDADD = $(SETTINGS_LIBS)
noinst_PROGRAMS += fuzz/fuzz_orders
fuzz_fuzz_orders_SOURCES = fuzz/fuzz_orders.c
fuzz_fuzz_orders_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_orders_LDADD = $(SETTINGS_LIBS)
noinst_PROGRAMS += fuzz/fuzz_access
fuzz_fuzz_access_SOURCES = fuzz/fuzz_access.c
fuzz_fuzz_access_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_access_LDADD = $(LOGIN_LIBS)
noinst_PROGRAMS += fuzz/fuzz_imap_lex
fuzz_fuzz_imap_lex_SOURCES = fuzz/fuzz_imap_lex.c
fuzz_fuzz_imap_lex_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_imap_lex_LDADD = imapd/libimap.a $(LIB_LIBS)
noinst_PROGRAMS += fuzz/fuzz_login
fuzz_fuzz_login_SOURCES = fuzz/fuzz_login.c tests/unit/login_stubs.c
fuzz_fuzz_login_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer \
	-Wl,--wrap=certificates_context,--wrap=certificates_by_address
fuzz_fuzz_login_LDADD = imapd/libimap.a pop3d/libpop3d.a $(LOGIN_LIBS)

noinst_PROGRAMS += fuzz/fuzz_mime fuzz/fuzz_mime_text fuzz/fuzz_imap_text
fuzz_fuzz_mime_SOURCES = fuzz/fuzz_mime.c
fuzz_fuzz_mime_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_mime_LDADD = imapd/libimap.a $(MIME_LIBS) $(NODE_LIBS)
fuzz_fuzz_mime_text_SOURCES = fuzz/fuzz_mime_text.c
fuzz_fuzz_mime_text_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_mime_text_LDADD = $(MIME_LIBS) $(LIB_LIBS)
fuzz_fuzz_imap_text_SOURCES = fuzz/fuzz_imap_text.c
fuzz_fuzz_imap_text_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_imap_text_LDADD = imapd/libimap.a $(MIME_LIBS) $(NODE_LIBS)
noinst_PROGRAMS += fuzz/fuzz_shared
fuzz_fuzz_shared_SOURCES = fuzz/fuzz_shared.c
fuzz_fuzz_shared_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_shared_LDADD = $(AUTHD_LIBS)
noinst_PROGRAMS += fuzz/fuzz_used_tokens
fuzz_fuzz_used_tokens_SOURCES = fuzz/fuzz_used_tokens.c
fuzz_fuzz_used_tokens_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_used_tokens_LDADD = $(AUTHD_LIBS)
noinst_PROGRAMS += fuzz/fuzz_userdb fuzz/fuzz_userdb_image fuzz/fuzz_password fuzz/fuzz_job
fuzz_fuzz_userdb_SOURCES = fuzz/fuzz_userdb.c
fuzz_fuzz_userdb_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_userdb_LDADD = $(AUTHLIB_LIBS)
fuzz_fuzz_userdb_image_SOURCES = fuzz/fuzz_userdb_image.c
fuzz_fuzz_userdb_image_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_userdb_image_LDADD = $(AUTHLIB_LIBS)
fuzz_fuzz_password_SOURCES = fuzz/fuzz_password.c
fuzz_fuzz_password_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_password_LDADD = $(AUTHLIB_LIBS)
fuzz_fuzz_job_SOURCES = fuzz/fuzz_job.c
fuzz_fuzz_job_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_job_LDADD = $(AUTHD_LIBS)
noinst_PROGRAMS += fuzz/fuzz_auth
fuzz_fuzz_auth_SOURCES = fuzz/fuzz_auth.c
fuzz_fuzz_auth_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_auth_LDADD = $(AUTHD_LIBS)
if WITH_GSASL
fuzz_fuzz_auth_SOURCES += authd/scram_gsasl.c
fuzz_fuzz_auth_CFLAGS = $(AM_CFLAGS) $(GSASL_CFLAGS)
fuzz_fuzz_auth_LDADD += $(GSASL_LIBS)
endif
noinst_PROGRAMS += fuzz/fuzz_master
fuzz_fuzz_master_SOURCES = fuzz/fuzz_master.c
fuzz_fuzz_master_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_master_LDADD = master/libmaster.a $(NODE_LIBS)
noinst_PROGRAMS += fuzz/fuzz_imap
fuzz_fuzz_imap_SOURCES = fuzz/fuzz_imap.c fuzz/scratch.c fuzz/scratch.h
fuzz_fuzz_imap_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_imap_LDADD = $(IMAP_LIBS)
noinst_PROGRAMS += fuzz/fuzz_list
fuzz_fuzz_list_SOURCES = fuzz/fuzz_list.c
fuzz_fuzz_list_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_list_LDADD = $(IMAP_LIBS)
noinst_PROGRAMS += fuzz/fuzz_imap_thread
fuzz_fuzz_imap_thread_SOURCES = fuzz/fuzz_imap_thread.c
fuzz_fuzz_imap_thread_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_imap_thread_LDADD = $(IMAP_LIBS)
noinst_PROGRAMS += fuzz/fuzz_search
fuzz_fuzz_search_SOURCES = fuzz/fuzz_search.c fuzz/scratch.c fuzz/scratch.h
fuzz_fuzz_search_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_search_LDADD = $(IMAP_LIBS)
noinst_PROGRAMS += fuzz/fuzz_account
fuzz_fuzz_account_SOURCES = fuzz/fuzz_account.c
fuzz_fuzz_account_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_account_LDADD = $(NODE_LIBS)
noinst_PROGRAMS += fuzz/fuzz_forwarded
fuzz_fuzz_forwarded_SOURCES = fuzz/fuzz_forwarded.c
fuzz_fuzz_forwarded_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
fuzz_fuzz_forwarded_LDADD = $(LOGIN_LIBS)
endif
# What fuzz_login starts from: greetings of another node and of the node itself, notes, alerts, refusals.
EXTRA_DIST += fuzz/corpus/fuzz_route/addresses fuzz/corpus/fuzz_route/named
EXTRA_DIST += fuzz/corpus/fuzz_login/node-imap fuzz/corpus/fuzz_login/node-pop3 fuzz/corpus/fuzz_login/self-imap \
	fuzz/corpus/fuzz_login/note-imap fuzz/corpus/fuzz_login/note-pop3 fuzz/corpus/fuzz_login/auth-none \
	fuzz/corpus/fuzz_login/alert-imap fuzz/corpus/fuzz_login/bye-imap fuzz/corpus/fuzz_login/http-imap \
	fuzz/corpus/fuzz_login/http-pop3
# An address and an access file.
EXTRA_DIST += fuzz/corpus/fuzz_access/four fuzz/corpus/fuzz_access/six
EXTRA_DIST += fuzz/corpus/fuzz_orders/lines fuzz/corpus/fuzz_orders/mistakes
EXTRA_DIST += fuzz/corpus/fuzz_tls_choice/protocols fuzz/corpus/fuzz_tls_choice/name fuzz/corpus/fuzz_tls_choice/wildcard
# Hashes from which fuzz_password starts, one of each form; cheap ones, which it computes.
EXTRA_DIST += fuzz/corpus/fuzz_password/argon2 fuzz/corpus/fuzz_password/argon2-b64 fuzz/corpus/fuzz_password/argon2id \
	fuzz/corpus/fuzz_password/cram-md5 fuzz/corpus/fuzz_password/crypt fuzz/corpus/fuzz_password/md5-crypt \
	fuzz/corpus/fuzz_password/pbkdf2 fuzz/corpus/fuzz_password/pbkdf2-sha256 fuzz/corpus/fuzz_password/plain-b64 \
	fuzz/corpus/fuzz_password/scram-sha-1 fuzz/corpus/fuzz_password/scram-sha-256 fuzz/corpus/fuzz_password/scrypt \
	fuzz/corpus/fuzz_password/sha-hex fuzz/corpus/fuzz_password/sha512crypt fuzz/corpus/fuzz_password/ssha512 \
	fuzz/corpus/fuzz_password/yescrypt
EXTRA_DIST += fuzz/corpus/fuzz_client_cert/authority fuzz/corpus/fuzz_client_cert/certificate
EXTRA_DIST += fuzz/corpus/fuzz_imap/append fuzz/corpus/fuzz_imap/folders fuzz/corpus/fuzz_imap/session
EXTRA_DIST += fuzz/corpus/fuzz_imap_text/id fuzz/corpus/fuzz_imap_text/section
EXTRA_DIST += fuzz/corpus/fuzz_tls/tls12 fuzz/corpus/fuzz_tls/tls13 fuzz/corpus/fuzz_tls/ticket \
	fuzz/corpus/fuzz_tls_hello/tls13 fuzz/corpus/fuzz_tls_hello/cut fuzz/corpus/fuzz_key/sign \
	fuzz/corpus/fuzz_key/signed fuzz/corpus/fuzz_key/chain fuzz/corpus/fuzz_key/key
EXTRA_DIST += fuzz/corpus/fuzz_proxy_header/binary fuzz/corpus/fuzz_proxy_header/text
EXTRA_DIST += fuzz/corpus/fuzz_list/inbox fuzz/corpus/fuzz_list/levels fuzz/corpus/fuzz_list/utf7
EXTRA_DIST += fuzz/corpus/fuzz_md_cache/empty fuzz/corpus/fuzz_md_cache/keywords fuzz/corpus/fuzz_md_cache/three
EXTRA_DIST += fuzz/corpus/fuzz_md_parsed/body fuzz/corpus/fuzz_md_parsed/header
EXTRA_DIST += fuzz/corpus/fuzz_md_state/id fuzz/corpus/fuzz_md_state/two-records
EXTRA_DIST += fuzz/corpus/fuzz_account/ipv4 fuzz/corpus/fuzz_account/ipv6
EXTRA_DIST += fuzz/corpus/fuzz_search/addresses fuzz/corpus/fuzz_search/nested fuzz/corpus/fuzz_search/numbers \
	fuzz/corpus/fuzz_search/dates fuzz/corpus/fuzz_search/return
EXTRA_DIST += fuzz/corpus/fuzz_forwarded/signed fuzz/corpus/fuzz_forwarded/tls fuzz/corpus/fuzz_forwarded/config fuzz/corpus/fuzz_forwarded/tls-none fuzz/corpus/fuzz_forwarded/no-secret
EXTRA_DIST += fuzz/corpus/fuzz_capability/file fuzz/corpus/fuzz_capability/list
EXTRA_DIST += fuzz/corpus/fuzz_imap_thread/replies fuzz/corpus/fuzz_imap_thread/loops
