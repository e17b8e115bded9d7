# tests/: unit tests run by `make check`; the black-box tests are run by scripts/check.
# A unit test is one program: add it to UNIT_TESTS and give it its SOURCES and LDADD.
EXTRA_DIST += tests/README tests/budget.tsv tests/unit/unit.h tests/unit/fake_clock.h tests/unit/job_again.h tests/unit/msg_test.h \
	tests/unit/clock_ahead.h tests/unit/clock_step.h tests/unit/wall_ahead.h tests/unit/compared.h tests/unit/listening.h tests/unit/open_mode.h tests/unit/logged.h
include tests/blackbox/local.mk
include tests/chaos/local.mk
UNIT_TESTS =
if HAVE_CUNIT
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
endif
UNIT_LIBS = $(LIB_LIBS) $(CUNIT_LIBS)

UNIT_TESTS += tests/unit/test_lib
tests_unit_test_lib_SOURCES = tests/unit/test_lib.c
tests_unit_test_lib_LDADD = $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_imap_lex
tests_unit_test_imap_lex_SOURCES = tests/unit/test_imap_lex.c
tests_unit_test_imap_lex_LDADD = imapd/libimap.a $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_bio
tests_unit_test_bio_SOURCES = tests/unit/test_bio.c
tests_unit_test_bio_LDADD = $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_session_choice
tests_unit_test_session_choice_SOURCES = tests/unit/test_session_choice.c
tests_unit_test_session_choice_LDADD = $(NODE_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_account
tests_unit_test_account_SOURCES = tests/unit/test_account.c
tests_unit_test_account_LDADD = $(NODE_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_replicated
tests_unit_test_replicated_SOURCES = tests/unit/test_replicated.c
tests_unit_test_replicated_LDADD = $(NODE_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_ocsp
tests_unit_test_ocsp_SOURCES = tests/unit/test_ocsp.c $(TLS_TEST)
tests_unit_test_ocsp_LDADD = $(KEYD_LIBS) $(TLS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_tls_choice
tests_unit_test_tls_choice_SOURCES = tests/unit/test_tls_choice.c
tests_unit_test_tls_choice_LDADD = $(NODE_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_settings
tests_unit_test_settings_SOURCES = tests/unit/test_settings.c
tests_unit_test_settings_LDADD = $(SETTINGS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_tickets
tests_unit_test_tickets_SOURCES = tests/unit/test_tickets.c
tests_unit_test_tickets_LDADD = master/libspawn.a $(NODE_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_spawn
tests_unit_test_spawn_SOURCES = tests/unit/test_spawn.c
tests_unit_test_spawn_LDADD = master/libspawn.a $(NODE_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_master
tests_unit_test_master_SOURCES = tests/unit/test_master.c
tests_unit_test_master_LDADD = master/libmaster.a $(NODE_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_certificates
tests_unit_test_certificates_SOURCES = tests/unit/test_certificates.c login/certificate.c login/client_certs.c $(TLS_TEST)
tests_unit_test_certificates_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=strcmp,--wrap=memcmp
tests_unit_test_certificates_LDADD = $(NODE_LIBS) $(TLS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_cert_files
tests_unit_test_cert_files_SOURCES = tests/unit/test_cert_files.c
tests_unit_test_cert_files_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=access,--wrap=readdir
tests_unit_test_cert_files_LDADD = master/libmaster.a $(NODE_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_cert_news
tests_unit_test_cert_news_SOURCES = tests/unit/test_cert_news.c
tests_unit_test_cert_news_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=log_error,--wrap=log_warn,--wrap=log_info,--wrap=time,--wrap=strcmp,--wrap=memcmp
tests_unit_test_cert_news_LDADD = master/libmaster.a $(NODE_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_authority_file
tests_unit_test_authority_file_SOURCES = tests/unit/test_authority_file.c $(TLS_TEST)
tests_unit_test_authority_file_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=log_error,--wrap=log_warn,--wrap=log_info
tests_unit_test_authority_file_LDADD = master/libmaster.a $(AUTHLIB_LIBS) $(TLS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_authorities
tests_unit_test_authorities_SOURCES = tests/unit/test_authorities.c master/authorities.c $(TLS_TEST)
tests_unit_test_authorities_LDADD = master/libmaster.a $(AUTHLIB_LIBS) $(TLS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_keys
tests_unit_test_keys_SOURCES = tests/unit/test_keys.c
tests_unit_test_keys_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=children_send,--wrap=children_begin,--wrap=missing_add,--wrap=cert_files_each
tests_unit_test_keys_LDADD = master/libmaster.a $(NODE_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_watch
tests_unit_test_watch_SOURCES = tests/unit/test_watch.c
tests_unit_test_watch_LDADD = master/libmaster.a $(NODE_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_pop3
tests_unit_test_pop3_SOURCES = tests/unit/test_pop3.c
tests_unit_test_pop3_LDADD = pop3d/libpop3d.a $(NODE_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_work
tests_unit_test_work_SOURCES = tests/unit/test_work.c
tests_unit_test_work_LDADD = $(NODE_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_imap_seq
tests_unit_test_imap_seq_SOURCES = tests/unit/test_imap_seq.c
tests_unit_test_imap_seq_LDADD = imapd/libimap.a $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_imap_thread
tests_unit_test_imap_thread_SOURCES = tests/unit/test_imap_thread.c
tests_unit_test_imap_thread_LDADD = $(IMAP_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_imap_match
tests_unit_test_imap_match_SOURCES = tests/unit/test_imap_match.c
tests_unit_test_imap_match_LDADD = imapd/libimap.a $(NODE_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_password
tests_unit_test_password_SOURCES = tests/unit/test_password.c
tests_unit_test_password_LDADD = $(AUTHLIB_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_scram_secret
tests_unit_test_scram_secret_SOURCES = tests/unit/test_scram_secret.c
tests_unit_test_scram_secret_LDADD = $(AUTHLIB_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_userdb
tests_unit_test_userdb_SOURCES = tests/unit/test_userdb.c
tests_unit_test_userdb_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=time
tests_unit_test_userdb_LDADD = $(AUTHLIB_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_job
tests_unit_test_job_SOURCES = tests/unit/test_job.c
tests_unit_test_job_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)

# maildir/
EXTRA_DIST += tests/unit/md_test.h
UNIT_TESTS += tests/unit/test_md_box
tests_unit_test_md_box_SOURCES = tests/unit/test_md_box.c
tests_unit_test_md_box_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_program
tests_unit_test_program_SOURCES = tests/unit/test_program.c
tests_unit_test_program_LDADD = $(LIB_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_proxy_header
tests_unit_test_proxy_header_SOURCES = tests/unit/test_proxy_header.c
tests_unit_test_proxy_header_LDADD = $(LIB_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_md_many
tests_unit_test_md_many_SOURCES = tests/unit/test_md_many.c
tests_unit_test_md_many_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_md_tree
tests_unit_test_md_tree_SOURCES = tests/unit/test_md_tree.c
tests_unit_test_md_tree_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_md_recent
tests_unit_test_md_recent_SOURCES = tests/unit/test_md_recent.c
tests_unit_test_md_recent_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_md_size
tests_unit_test_md_size_SOURCES = tests/unit/test_md_size.c
tests_unit_test_md_size_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_md_fault
tests_unit_test_md_fault_SOURCES = tests/unit/test_md_fault.c
tests_unit_test_md_fault_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
tests_unit_test_md_fault_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fstatat,--wrap=openat,--wrap=linkat,--wrap=unlinkat \
	-Wl,--wrap=renameat,--wrap=renameat2,--wrap=fdatasync,--wrap=fsync
# What faults leave behind: calls that fail, kills, power cuts.
FILE_CALLS = tests/unit/file_calls.c tests/unit/file_calls.h tests/unit/store_world.c tests/unit/store_world.h
FILE_CALLS_WRAP = -Wl,--wrap=fstatat,--wrap=fstat,--wrap=faccessat,--wrap=openat,--wrap=close,--wrap=read,--wrap=pread,--wrap=readdir \
	-Wl,--wrap=linkat,--wrap=unlinkat,--wrap=renameat,--wrap=renameat2,--wrap=mkdirat,--wrap=utimensat,--wrap=ftruncate \
	-Wl,--wrap=fdatasync,--wrap=fsync,--wrap=write
STORE_WORLD_WRAP = $(FILE_CALLS_WRAP) -Wl,--wrap=clock_gettime,--wrap=md_tmp_create
UNIT_TESTS += tests/unit/test_store_safety
tests_unit_test_store_safety_SOURCES = tests/unit/test_store_safety.c $(FILE_CALLS)
tests_unit_test_store_safety_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
tests_unit_test_store_safety_LDFLAGS = $(AM_LDFLAGS) $(STORE_WORLD_WRAP)
UNIT_TESTS += tests/unit/test_store_kill
tests_unit_test_store_kill_SOURCES = tests/unit/test_store_kill.c $(FILE_CALLS)
tests_unit_test_store_kill_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
tests_unit_test_store_kill_LDFLAGS = $(AM_LDFLAGS) $(STORE_WORLD_WRAP)
UNIT_TESTS += tests/unit/test_store_power
tests_unit_test_store_power_SOURCES = tests/unit/test_store_power.c tests/unit/disk_record.c tests/unit/disk_record.h $(FILE_CALLS)
tests_unit_test_store_power_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
tests_unit_test_store_power_LDFLAGS = $(AM_LDFLAGS) $(STORE_WORLD_WRAP)
UNIT_TESTS += tests/unit/test_md_cache
tests_unit_test_md_cache_SOURCES = tests/unit/test_md_cache.c
tests_unit_test_md_cache_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
tests_unit_test_md_cache_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=clock_gettime,--wrap=md_tmp_create,--wrap=md_rename_new \
	-Wl,--wrap=openat,--wrap=fstat,--wrap=fstatat,--wrap=read,--wrap=write,--wrap=close,--wrap=renameat
UNIT_TESTS += tests/unit/test_md_parsed
tests_unit_test_md_parsed_SOURCES = tests/unit/test_md_parsed.c
tests_unit_test_md_parsed_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_md_state
tests_unit_test_md_state_SOURCES = tests/unit/test_md_state.c tests/unit/file_calls.c tests/unit/file_calls.h
tests_unit_test_md_state_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
tests_unit_test_md_state_LDFLAGS = $(AM_LDFLAGS) $(FILE_CALLS_WRAP)
UNIT_TESTS += tests/unit/test_md_track
tests_unit_test_md_track_SOURCES = tests/unit/test_md_track.c tests/unit/file_calls.c tests/unit/file_calls.h
tests_unit_test_md_track_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
tests_unit_test_md_track_LDFLAGS = $(AM_LDFLAGS) $(FILE_CALLS_WRAP)
UNIT_TESTS += tests/unit/test_md_cost
tests_unit_test_md_cost_SOURCES = tests/unit/test_md_cost.c
tests_unit_test_md_cost_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)
tests_unit_test_md_cost_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fstatat,--wrap=openat,--wrap=faccessat,--wrap=unlinkat \
	-Wl,--wrap=renameat2,--wrap=strncasecmp,--wrap=memcmp,--wrap=strcmp
UNIT_TESTS += tests/unit/test_md_format
tests_unit_test_md_format_SOURCES = tests/unit/test_md_format.c
tests_unit_test_md_format_LDADD = $(MAILDIR_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_mime
tests_unit_test_mime_SOURCES = tests/unit/test_mime.c
tests_unit_test_mime_LDADD = $(MIME_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_imap_message
tests_unit_test_imap_message_SOURCES = tests/unit/test_imap_message.c
tests_unit_test_imap_message_LDADD = $(IMAP_LIBS) $(UNIT_LIBS)
EXTRA_DIST += tests/mail tests/plants
EXTRA_DIST += tests/blackbox/test_master.py tests/blackbox/test_imapd_direct.py
TESTS += tests/unit/test_userdb_command.sh
EXTRA_DIST += tests/unit/test_userdb_command.sh

UNIT_TESTS += tests/unit/test_sandbox
tests_unit_test_sandbox_SOURCES = tests/unit/test_sandbox.c
tests_unit_test_sandbox_LDADD = master/libspawn.a $(NODE_LIBS) $(UNIT_LIBS)
tests_unit_test_sandbox_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=readdir

UNIT_TESTS += tests/unit/test_priv
tests_unit_test_priv_SOURCES = tests/unit/test_priv.c
tests_unit_test_priv_LDADD = $(NODE_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_cache
tests_unit_test_cache_SOURCES = tests/unit/test_cache.c
tests_unit_test_cache_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_directory_lookup
tests_unit_test_directory_lookup_SOURCES = tests/unit/test_directory_lookup.c
tests_unit_test_directory_lookup_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
tests_unit_test_directory_lookup_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=ev_timer_start
UNIT_TESTS += tests/unit/test_jobs
tests_unit_test_jobs_SOURCES = tests/unit/test_jobs.c
tests_unit_test_jobs_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_resolver
tests_unit_test_resolver_SOURCES = tests/unit/test_resolver.c
tests_unit_test_resolver_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_challenge_response
tests_unit_test_challenge_response_SOURCES = tests/unit/test_challenge_response.c
tests_unit_test_challenge_response_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_pool_capability
tests_unit_test_pool_capability_SOURCES = tests/unit/test_pool_capability.c
tests_unit_test_pool_capability_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
tests_unit_test_pool_capability_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=log_error,--wrap=log_warn,--wrap=log_info
UNIT_TESTS += tests/unit/test_memcached
tests_unit_test_memcached_SOURCES = tests/unit/test_memcached.c
tests_unit_test_memcached_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_shared
tests_unit_test_shared_SOURCES = tests/unit/test_shared.c
tests_unit_test_shared_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
if WITH_GSASL
UNIT_TESTS += tests/unit/test_scram
tests_unit_test_scram_SOURCES = tests/unit/test_scram.c authd/scram_gsasl.c
tests_unit_test_scram_CFLAGS = $(AM_CFLAGS) $(GSASL_CFLAGS)
tests_unit_test_scram_LDADD = $(AUTHD_LIBS) $(GSASL_LIBS) $(CUNIT_LIBS)
endif
UNIT_TESTS += tests/unit/test_request
tests_unit_test_request_SOURCES = tests/unit/test_request.c
tests_unit_test_request_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_guesses
tests_unit_test_guesses_SOURCES = tests/unit/test_guesses.c
tests_unit_test_guesses_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_signature_errors
tests_unit_test_signature_errors_SOURCES = tests/unit/test_signature_errors.c
tests_unit_test_signature_errors_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_used_tokens
tests_unit_test_used_tokens_SOURCES = tests/unit/test_used_tokens.c
tests_unit_test_used_tokens_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_client_cert
tests_unit_test_client_cert_SOURCES = tests/unit/test_client_cert.c tests/unit/tls_test.c tests/unit/tls_test.h
tests_unit_test_client_cert_LDADD = $(TLS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_external
tests_unit_test_external_SOURCES = tests/unit/test_external.c tests/unit/tls_test.c tests/unit/tls_test.h
tests_unit_test_external_LDADD = $(AUTHD_LIBS) $(TLS_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_ticket_keys
tests_unit_test_ticket_keys_SOURCES = tests/unit/test_ticket_keys.c
tests_unit_test_ticket_keys_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=time
tests_unit_test_ticket_keys_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_authd
tests_unit_test_authd_SOURCES = tests/unit/test_authd.c
tests_unit_test_authd_LDADD = $(AUTHD_LIBS) $(CUNIT_LIBS)

TLS_TEST = tests/unit/tls_test.c tests/unit/tls_test.h
DECODED = $(TLS_TEST) tests/unit/coded.c tests/unit/coded.h tests/unit/decoded.c tests/unit/decoded.h

UNIT_TESTS += tests/unit/test_relay
tests_unit_test_relay_SOURCES = tests/unit/test_relay.c tests/unit/coded.c tests/unit/coded.h $(TLS_TEST)
tests_unit_test_relay_LDADD = $(PROXY_LIBS) $(TLS_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_login
tests_unit_test_login_SOURCES = tests/unit/test_login.c tests/unit/login_stubs.c tests/unit/login_stubs.h
tests_unit_test_login_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=certificates_context,--wrap=certificates_by_address
tests_unit_test_login_LDADD = imapd/libimap.a pop3d/libpop3d.a $(LOGIN_LIBS) $(CUNIT_LIBS)

UNIT_TESTS += tests/unit/test_acceptor
tests_unit_test_acceptor_SOURCES = tests/unit/test_acceptor.c
tests_unit_test_acceptor_LDADD = $(LOGIN_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_access
tests_unit_test_access_SOURCES = tests/unit/test_access.c
tests_unit_test_access_LDADD = $(LOGIN_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_request_table
tests_unit_test_request_table_SOURCES = tests/unit/test_request_table.c
tests_unit_test_request_table_LDADD = $(LOGIN_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_strangers
tests_unit_test_strangers_SOURCES = tests/unit/test_strangers.c
tests_unit_test_strangers_LDADD = $(LOGIN_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_worker
tests_unit_test_worker_SOURCES = tests/unit/test_worker.c tests/unit/worker_rig.h $(DECODED)
tests_unit_test_worker_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=conn_open,--wrap=ev_break,--wrap=relays_count_staying
tests_unit_test_worker_LDADD = imapd/libimap.a pop3d/libpop3d.a $(LOGIN_LIBS) $(TLS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_starttls
tests_unit_test_starttls_SOURCES = tests/unit/test_starttls.c tests/unit/worker_rig.h $(TLS_TEST)
tests_unit_test_starttls_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=certificates_context,--wrap=certificates_by_address,--wrap=log_as
tests_unit_test_starttls_LDADD = imapd/libimap.a pop3d/libpop3d.a $(LOGIN_LIBS) $(TLS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_engine
tests_unit_test_engine_SOURCES = tests/unit/test_engine.c tests/unit/login_stubs.c tests/unit/login_stubs.h tests/unit/engine_table.h tests/unit/worker_rig.h tests/unit/fake_time.h
tests_unit_test_engine_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=ev_timer_start,--wrap=ev_timer_stop,--wrap=ev_timer_again,--wrap=clock_ms \
	-Wl,--wrap=clock_now,--wrap=clock_seconds,--wrap=log_as,--wrap=log_text,--wrap=log_warn,--wrap=log_error,--wrap=net_connect \
	-Wl,--wrap=certificates_context,--wrap=certificates_by_address
tests_unit_test_engine_LDADD = $(LOGIN_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_scenarios
tests_unit_test_scenarios_SOURCES = tests/unit/test_scenarios.c tests/unit/worker_rig.h tests/unit/fake_time.h
tests_unit_test_scenarios_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=ev_timer_start,--wrap=ev_timer_stop,--wrap=ev_timer_again,--wrap=clock_ms \
	-Wl,--wrap=clock_now,--wrap=clock_seconds,--wrap=log_as,--wrap=log_text,--wrap=log_warn,--wrap=log_error,--wrap=log_info \
	-Wl,--wrap=net_connect,--wrap=rnd_bytes
tests_unit_test_scenarios_LDADD = imapd/libimap.a pop3d/libpop3d.a $(LOGIN_LIBS) $(CUNIT_LIBS)
EXTRA_DIST += tests/unit/scenarios/README tests/unit/scenarios/all_dead_in_one_budget.txt \
	tests/unit/scenarios/authd_dies_in_the_login.txt tests/unit/scenarios/behind_the_login.txt \
	tests/unit/scenarios/both_ends_close.txt tests/unit/scenarios/budget_over_two_answers.txt tests/unit/scenarios/busy_then_next.txt \
	tests/unit/scenarios/bye_in_the_login.txt tests/unit/scenarios/client_gone_while_failing_over.txt \
	tests/unit/scenarios/drain_in_the_login.txt tests/unit/scenarios/greeting_in_pieces.txt \
	tests/unit/scenarios/half_closed_before_its_login.txt tests/unit/scenarios/half_closed_client.txt \
	tests/unit/scenarios/header_before_tls.txt tests/unit/scenarios/header_with_tls.txt tests/unit/scenarios/here_after_all_others.txt tests/unit/scenarios/here_and_spawn_dies.txt \
	tests/unit/scenarios/here_and_spawn_refuses.txt tests/unit/scenarios/kick_and_the_peers_yes.txt \
	tests/unit/scenarios/kick_of_a_pending_login.txt tests/unit/scenarios/login_deadline.txt \
	tests/unit/scenarios/no_authd.txt tests/unit/scenarios/node_stops.txt tests/unit/scenarios/peer_dies_with_many.txt \
	tests/unit/scenarios/peers_yes_and_reset.txt tests/unit/scenarios/pop3_behind_the_login.txt \
	tests/unit/scenarios/pop3_peer.txt tests/unit/scenarios/program.txt tests/unit/scenarios/program_and_spawn_dies.txt \
	tests/unit/scenarios/silent_after_the_login.txt tests/unit/scenarios/starttls_with_bytes_behind.txt tests/unit/scenarios/stop_in_the_delay.txt \
	tests/unit/scenarios/tls_silent_next_host.txt tests/unit/scenarios/verdict_after_reset.txt \
	tests/unit/scenarios/verdict_and_reset_at_once.txt tests/unit/scenarios/wrong_at_second_host.txt \
	tests/unit/scenarios/wrong_password.txt tests/unit/scenarios/wrong_when_asked_again.txt

UNIT_TESTS += tests/unit/test_pop3_session
tests_unit_test_pop3_session_SOURCES = tests/unit/test_pop3_session.c
tests_unit_test_pop3_session_LDADD = $(POP3_LIBS) $(CUNIT_LIBS)

UNIT_TESTS += tests/unit/test_chan
tests_unit_test_chan_SOURCES = tests/unit/test_chan.c
tests_unit_test_chan_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=log_error,--wrap=log_warn,--wrap=log_info
tests_unit_test_chan_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_conn
tests_unit_test_conn_SOURCES = tests/unit/test_conn.c tests/unit/coded.c tests/unit/coded.h
tests_unit_test_conn_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_held
tests_unit_test_held_SOURCES = tests/unit/test_held.c tests/unit/worker_rig.h
tests_unit_test_held_LDADD = imapd/libimap.a pop3d/libpop3d.a $(LOGIN_LIBS) $(CUNIT_LIBS)

UNIT_TESTS += tests/unit/test_loop
tests_unit_test_loop_SOURCES = tests/unit/test_loop.c
tests_unit_test_loop_LDADD = $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_tls_peers
tests_unit_test_tls_peers_SOURCES = tests/unit/test_tls_peers.c $(TLS_TEST)
tests_unit_test_tls_peers_LDADD = $(LOGIN_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_tls_key
tests_unit_test_tls_key_SOURCES = tests/unit/test_tls_key.c $(TLS_TEST)
tests_unit_test_tls_key_LDADD = $(TLS_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_tls_cert
tests_unit_test_tls_cert_SOURCES = tests/unit/test_tls_cert.c $(TLS_TEST)
tests_unit_test_tls_cert_LDADD = $(TLS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_keyd
tests_unit_test_keyd_SOURCES = tests/unit/test_keyd.c $(TLS_TEST)
tests_unit_test_keyd_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=fd_wait,--wrap=log_warn,--wrap=log_error,--wrap=strcmp,--wrap=memcmp
tests_unit_test_keyd_LDADD = $(KEYD_LIBS) $(LOGIN_LIBS) $(TLS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_tls_tickets
tests_unit_test_tls_tickets_SOURCES = tests/unit/test_tls_tickets.c $(TLS_TEST)
tests_unit_test_tls_tickets_LDADD = $(TLS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_tls_hello
tests_unit_test_tls_hello_SOURCES = tests/unit/test_tls_hello.c
tests_unit_test_tls_hello_LDADD = $(TLS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_conn_tls
tests_unit_test_conn_tls_SOURCES = tests/unit/test_conn_tls.c $(TLS_TEST)
tests_unit_test_conn_tls_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=send,--wrap=recv
tests_unit_test_conn_tls_LDADD = $(TLS_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_messages
tests_unit_test_messages_SOURCES = tests/unit/test_messages.c
tests_unit_test_messages_LDADD = $(NODE_LIBS) $(CUNIT_LIBS)
UNIT_TESTS += tests/unit/test_route
tests_unit_test_route_SOURCES = tests/unit/test_route.c
tests_unit_test_route_LDADD = $(PROXY_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_orders
tests_unit_test_orders_SOURCES = tests/unit/test_orders.c tests/unit/logged.h
tests_unit_test_orders_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=log_error,--wrap=log_warn,--wrap=log_info
tests_unit_test_orders_LDADD = master/libmaster.a $(AUTHD_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_let_go
tests_unit_test_let_go_SOURCES = tests/unit/test_let_go.c $(TLS_TEST)
tests_unit_test_let_go_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=rnd_bytes
tests_unit_test_let_go_LDADD = $(PROXY_LIBS) $(TLS_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_source
tests_unit_test_source_SOURCES = tests/unit/test_source.c
tests_unit_test_source_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=net_connect_from
tests_unit_test_source_LDADD = $(PROXY_LIBS) $(UNIT_LIBS)
UNIT_TESTS += tests/unit/test_backend
tests_unit_test_backend_SOURCES = tests/unit/test_backend.c $(DECODED)
tests_unit_test_backend_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=conn_open
tests_unit_test_backend_LDADD = $(PROXY_LIBS) $(TLS_LIBS) $(UNIT_LIBS)

UNIT_TESTS += tests/unit/test_directory
tests_unit_test_directory_SOURCES = tests/unit/test_directory.c
tests_unit_test_directory_LDADD = $(AUTHLIB_LIBS) $(CUNIT_LIBS)

UNIT_TESTS += tests/unit/test_courier
tests_unit_test_courier_SOURCES = tests/unit/test_courier.c
tests_unit_test_courier_LDADD = $(AUTHLIB_LIBS) $(CUNIT_LIBS)

UNIT_TESTS += tests/unit/test_child
tests_unit_test_child_SOURCES = tests/unit/test_child.c
tests_unit_test_child_LDADD = $(AUTHLIB_LIBS) $(CUNIT_LIBS)
