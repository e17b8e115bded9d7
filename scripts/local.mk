# scripts/: what people run (demo, check) and the checks of the sources.
TESTS += scripts/check-format scripts/check-floors scripts/check-banned scripts/check-files scripts/check-settings scripts/check-unused
EXTRA_DIST += .clang-format scripts/format scripts/check-format
EXTRA_DIST += scripts/README scripts/check scripts/check-banned scripts/check-files scripts/check-floors scripts/check-settings scripts/check-unused scripts/bench scripts/chaos scripts/copy-sources scripts/demo scripts/demo-pool scripts/fuzz scripts/install-deps

# Courier's commands: userdb changes accounts, userdbpw makes hashes.
dist_bin_SCRIPTS += scripts/userdb
# Coming from Courier.
dist_bin_SCRIPTS += scripts/import-courier
bin_PROGRAMS += scripts/userdbpw
scripts_userdbpw_SOURCES = authlib/userdbpw.c
scripts_userdbpw_LDADD = $(AUTHLIB_LIBS)
