# The black-box tests; scripts/check runs them against an installed build.
EXTRA_DIST += tests/blackbox/pytest.ini tests/blackbox/test_attack.py tests/blackbox/conftest.py tests/blackbox/pool.py \
	tests/blackbox/certificates.py tests/blackbox/test_certificates.py tests/blackbox/test_client_certs.py tests/blackbox/test_external.py \
	tests/blackbox/test_imapd_direct.py tests/blackbox/test_mech.py tests/blackbox/test_proxy_header.py tests/blackbox/test_strangers.py tests/blackbox/test_tickets.py \
	tests/blackbox/client.py tests/blackbox/fakeserver.py tests/blackbox/test_badinput.py \
	tests/blackbox/debian.py tests/blackbox/isolation.py tests/blackbox/directories.py tests/blackbox/test_config.py tests/blackbox/test_directories.py \
	tests/blackbox/test_cache.py tests/blackbox/test_cost.py tests/blackbox/test_courier.py tests/blackbox/test_drivers.py tests/blackbox/manyaccounts.py tests/blackbox/test_large.py \
	tests/blackbox/test_inherit.py tests/blackbox/test_isolation.py tests/blackbox/test_life.py tests/blackbox/test_loops.py tests/blackbox/test_controls.py tests/blackbox/test_foreign.py \
	tests/blackbox/messages.py tests/blackbox/test_compromised.py tests/blackbox/test_keys.py \
	tests/blackbox/model.py tests/blackbox/model_actors.py tests/blackbox/model_truth.py tests/blackbox/model tests/blackbox/test_model.py \
	tests/blackbox/test_import.py tests/blackbox/test_local_server.py tests/blackbox/test_log.py tests/blackbox/test_login.py tests/blackbox/test_master.py tests/blackbox/test_memcached.py tests/blackbox/test_names.py \
	tests/blackbox/test_peer_tls.py tests/blackbox/test_peer_words.py tests/blackbox/test_peers.py tests/blackbox/test_ports.py tests/blackbox/test_send_id.py tests/blackbox/test_source_address.py tests/blackbox/test_tls_words.py \
	tests/blackbox/test_passwords.py tests/blackbox/test_pool.py tests/blackbox/test_programs.py tests/blackbox/test_queue.py tests/blackbox/test_storm.py tests/blackbox/test_proxy_send.py tests/blackbox/test_relay.py tests/blackbox/test_replicated.py \
	tests/blackbox/test_root.py tests/blackbox/test_sort.py tests/blackbox/test_samples.py tests/blackbox/test_settings_rows.py tests/blackbox/test_shortage.py tests/blackbox/test_signatures.py tests/blackbox/test_store.py tests/blackbox/test_starttls.py tests/blackbox/test_tls.py tests/blackbox/test_tls_clients.py tests/blackbox/test_userdb.py tests/blackbox/realservers.py tests/blackbox/test_real_servers.py tests/blackbox/test_hard_mail.py
